"""Laws of runs with functions in threads, tried on many small graphs at random."""

from __future__ import annotations

import functools
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tgtrio import Actions, BreakerPolicy, TaskGraph, open_run, run_graph

from .lanes import LONG, QUICK, switching_every
from .runs import Args, graph_of, task

KINDS = ("async", "thread", "inline", "lambda")
POLICIES = ("abort", "skip", "continue_if_any", "always", "on_failure")


@pytest.fixture(scope="module", autouse=True)
def _hasty_threads() -> Iterator[None]:
    """Threads change places as often as they can."""
    with switching_every(1e-5):
        yield


@pytest.fixture
def busy_machine() -> Iterator[None]:
    """Somebody else's thread calculates all the time."""
    over = threading.Event()

    def burn() -> None:
        while not over.is_set():
            pass

    thread = threading.Thread(target=burn)
    thread.start()
    yield
    over.set()
    thread.join()


def actions_of_all_kinds() -> Actions:
    """Different ways to do the same: return the number, or raise if it is divisible by 7."""

    def plain(args: Args) -> int:
        if args["n"] % 5 == 0:
            time.sleep(0.0001)
        if args["n"] % 7 == 0:
            raise ValueError
        return int(args["n"])

    async def suspending(args: Args) -> int:
        await trio.lowlevel.checkpoint()
        return plain(args)

    actions = Actions()
    actions.register("async", suspending)
    actions.register("thread", plain)
    actions.register("inline", plain, inline=True)
    actions.register("lambda", lambda args: suspending(args))
    return actions


TASKS = st.lists(
    st.fixed_dictionaries(
        {
            "action_name": st.sampled_from(KINDS),
            "on_dep_fail": st.sampled_from(POLICIES),
            "dependencies": st.lists(st.integers(1, 8), max_size=3, unique=True),
            "task_timeout_ms": st.sampled_from([None, 60_000]),
            "max_retries": st.integers(0, 1),
            "priority": st.integers(0, 2),
        }
    ),
    max_size=25,
)


@given(tasks=TASKS, max_parallel=st.sampled_from([1, 2, 50]), cap=st.sampled_from([1, 3, 100]))
@settings(max_examples=50)
def test_the_results_are_those_of_async_actions(
    tasks: list[dict[str, Any]], max_parallel: int, cap: int
) -> None:
    def outcomes(**same: Any) -> dict[str, tuple[str, object, int]]:
        graph = TaskGraph("g", max_parallel=max_parallel, max_retry_tokens=100)
        for n, fields in enumerate(tasks):
            before = [str(n - back) for back in fields["dependencies"] if n >= back]
            own = {"dependencies": before, "normalized_args": {"n": n}, "resource_ids": ["r"]}
            graph.add_task(str(n), **{**fields, **own, **same})
        main = functools.partial(
            run_graph,
            graph,
            actions_of_all_kinds(),
            resource_caps={"r": cap} if tasks else None,
            retry=QUICK,
            breaker=None,
            idempotent=False,
        )
        result = trio.run(main)
        return {
            name: (one.state.value, one.response, one.attempts)
            for name, one in result.results.items()
        }

    assert outcomes() == outcomes(action_name="async")


async def test_many_small_runs_on_a_busy_machine_come_to_their_ends(busy_machine: None) -> None:
    """Whoever waits for work is called when there is some."""
    for seed in range(40):
        rng = random.Random(seed)
        graph = graph_of(
            *(
                task(
                    str(n),
                    *(str(k) for k in range(n) if rng.random() < 0.2),
                    action_name=rng.choice(KINDS),
                    normalized_args={"n": 7 * n + 1},
                )
                for n in range(12)
            ),
            max_parallel=rng.choice([1, 2, 12]),
        )
        with trio.fail_after(LONG):
            assert (await run_graph(graph, actions_of_all_kinds(), breaker=None)).ok


def restless(args: Args) -> object:
    """What a function may do while it is cancelled or runs out of time."""
    until = time.monotonic() + args["seconds"]
    while time.monotonic() < until:
        if args["asks"]:
            trio.from_thread.check_cancelled()
        time.sleep(0.0003)
    if args["raises"]:
        raise ValueError
    return trio.sleep(args["seconds"]) if args["returns_awaitable"] else None


def restless_graph(rng: random.Random) -> TaskGraph:
    return graph_of(
        *(
            task(
                str(n),
                *(str(k) for k in range(n) if rng.random() < 0.1),
                normalized_args={
                    "seconds": rng.choice([0, 0.001, 0.004]),
                    "asks": rng.random() < 0.5,
                    "raises": rng.random() < 0.2,
                    "returns_awaitable": rng.random() < 0.2,
                },
                task_timeout_ms=rng.choice([None, 1, 2, 5]),
                max_retries=rng.randrange(3),
            )
            for n in range(10)
        ),
        max_parallel=rng.choice([1, 2, 50]),
        graph_timeout_ms=rng.choice([None, None, 10]),
    )


@pytest.mark.parametrize("ending", ["none", "cancel", "outside", "drain", "tasks"])
async def test_whatever_ends_a_run_or_a_task_everything_ends_for_that_reason(ending: str) -> None:
    for seed in range(20):
        rng = random.Random(f"{ending} {seed}")
        policy = rng.choice([None, BreakerPolicy(open_for=0.01)])
        with trio.fail_after(LONG), trio.CancelScope() as scope:
            async with open_run(
                restless_graph(rng), {"work": restless}, retry=QUICK, breaker=policy
            ) as run:
                await trio.sleep(rng.choice([0, 0.001, 0.003, 0.006]))
                if ending == "cancel":
                    run.cancel()
                elif ending == "outside":
                    scope.cancel()
                elif ending == "drain":
                    await run.drain()
                for _ in range(5 if ending == "tasks" else 0):
                    run.cancel(str(rng.randrange(10)))
                    await trio.sleep(0.001)
        result = await run.wait()
        counts = result.statistics["states"]
        assert counts["pending"] == counts["ready"] == counts["running"] == 0
        for one in result.results.values():
            assert "LeakedScopeError" not in one.error
            assert ending == "outside" or "outside" not in one.error
