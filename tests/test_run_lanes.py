"""Plain functions in threads: who runs beside whom, in what order, with what around them.

Compiled, thread lanes call them; with the pure twins each is a thread call of its own. What
follows holds in both cases.
"""

from __future__ import annotations

import contextvars
import functools
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import Actions, BreakerPolicy, GraphResult, output_of, run_graph

from .lanes import LONG, run, switching_every
from .runs import Args, Meter, graph_of, task


def responses(result: GraphResult) -> list[object]:
    return [one.response for one in result.results.values()]


def numbered(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Tasks that know their numbers."""
    return [task(str(n), normalized_args={"n": n}, **fields) for n in range(count)]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads change places as often as they can."""
    with switching_every(1e-6):
        yield


# side by side


async def test_functions_that_wait_run_side_by_side() -> None:
    barrier = threading.Barrier(20)
    result = await run(
        graph_of(*map(str, range(20)), max_parallel=20), {"work": lambda args: barrier.wait(LONG)}
    )
    assert sorted(responses(result)) == list(range(20))  # type: ignore[type-var]


@pytest.mark.parametrize("virtual", [False, True])
def test_functions_that_calculate_do_not_keep_each_other_from_starting(virtual: bool) -> None:
    begun = []

    def work(args: Args) -> bool:
        begun.append(1)
        give_up = time.monotonic() + LONG
        while len(begun) < 3 and time.monotonic() < give_up:
            pass
        return len(begun) == 3

    main = functools.partial(run_graph, graph_of("a", "b", "c"), {"work": work})
    result = trio.run(main, clock=MockClock(autojump_threshold=0.2) if virtual else None)
    assert responses(result) == [True] * 3


async def test_async_work_starts_while_a_function_waits_or_calculates() -> None:
    begun = threading.Event()

    async def begin(args: Args) -> None:
        begun.set()

    def spin(args: Args) -> bool:
        give_up = time.monotonic() + LONG
        while not begun.is_set() and time.monotonic() < give_up:
            pass
        return begun.is_set()

    graph = graph_of(
        task("waits", action_name="wait"),
        task("calculates", action_name="spin"),
        task("async", action_name="begin"),
    )
    actions = {"wait": lambda args: begun.wait(LONG), "spin": spin, "begin": begin}
    assert responses(await run(graph, actions)) == [True, True, None]


@pytest.mark.parametrize(
    "options",
    [{"max_parallel": 1}, {"per_action_caps": {"work": 1}}, {"resource_caps": {"r": 1}}],
    ids=lambda options: next(iter(options)),
)
async def test_a_limit_of_one_is_never_exceeded(
    options: dict[str, Any], hasty_threads: None
) -> None:
    meter = Meter()

    def work(args: Args) -> None:
        with meter.count("inside"):
            time.sleep(0.0002 * (args["n"] % 2))

    graph = graph_of(*numbered(200, resource_ids=["r"]))
    assert (await run(graph, {"work": work}, **options)).ok
    assert meter.peak["inside"] == 1


async def test_functions_and_async_actions_share_the_slots_of_the_run(hasty_threads: None) -> None:
    meter = Meter()

    def work(args: Args) -> None:
        with meter.count("all"):
            time.sleep(0.0005)

    async def nap(args: Args) -> None:
        with meter.count("all"):
            await trio.sleep(0.0005)

    graph = graph_of(*(task(str(n), action_name=("work", "nap")[n % 2]) for n in range(120)))
    assert (await run(graph, {"work": work, "nap": nap}, max_parallel=3)).ok
    assert meter.peak["all"] == 3


async def test_two_runs_share_a_limiter() -> None:
    meter, limiter = Meter(), trio.CapacityLimiter(2)

    def work(args: Args) -> None:
        with meter.count("all"):
            time.sleep(0.0005)

    async with trio.open_nursery() as nursery:
        for n in range(2):
            graph = graph_of(*map(str, range(30)), graph_id=str(n))
            options = {"per_action_caps": {"work": limiter}}
            nursery.start_soon(functools.partial(run, graph, {"work": work}, **options))
    assert meter.peak["all"] == 2
    assert limiter.borrowed_tokens == 0


# order


@pytest.mark.parametrize("seed", range(5))
async def test_one_at_a_time_actions_of_all_kinds_start_in_the_total_order(
    seed: int, hasty_threads: None
) -> None:
    rng, begun = random.Random(seed), []

    def note(args: Args) -> None:
        begun.append(args["n"])

    async def note_async(args: Args) -> None:
        begun.append(args["n"])
        await trio.lowlevel.checkpoint()

    actions = Actions()
    actions.register("thread", note)
    actions.register("inline", note, inline=True)
    actions.register("async", note_async)
    priorities = [rng.randrange(4) for _ in range(60)]
    kinds = [rng.choice(["thread", "inline", "async"]) for _ in priorities]
    graph = graph_of(
        *(
            task(str(n), normalized_args={"n": n}, priority=priority, action_name=kind)
            for n, (priority, kind) in enumerate(zip(priorities, kinds, strict=True))
        )
    )
    assert (await run(graph, actions, max_parallel=1)).ok
    assert begun == sorted(range(60), key=lambda n: (-priorities[n], n))


# what is around a function


async def test_each_call_has_a_copy_of_the_callers_context() -> None:
    var = contextvars.ContextVar("var", default="unset")
    var.set("the caller's")

    def work(args: Args) -> str:
        seen = var.get()
        var.set(args["n"])
        return seen

    result = await run(graph_of(*numbered(30), max_parallel=3), {"work": work})
    assert set(responses(result)) == {"the caller's"}
    assert var.get() == "the caller's"


async def test_no_exception_of_an_earlier_function_is_about() -> None:
    def work(args: Args) -> None:
        assert sys.exception() is None
        raise ValueError(args["n"])

    result = await run(graph_of(*numbered(20), max_parallel=1), {"work": work}, breaker=None)
    for n, one in enumerate(result.results.values()):
        assert one.error == f"ValueError: {n}"
        assert one.exception is not None
        assert one.exception.__context__ is None


async def test_from_thread_works() -> None:
    home = threading.get_ident()

    async def add(a: int, b: int) -> int:
        await trio.lowlevel.checkpoint()
        return a + b

    def work(args: Args) -> tuple[int, bool, bool]:
        trio.from_thread.check_cancelled()
        there = trio.from_thread.run_sync(threading.get_ident)
        return trio.from_thread.run(add, 1, args["n"]), there == home, threading.get_ident() == home

    result = await run(graph_of(*numbered(20)), {"work": work})
    assert responses(result) == [(1 + n, True, False) for n in range(20)]


async def test_a_function_can_run_graphs_of_its_own() -> None:
    def inner(args: Args) -> int:
        return 1

    def outer(args: Args) -> int:
        graph = graph_of(*map(str, range(5)), graph_id=f"inner {args['n']}")
        there = functools.partial(run_graph, graph, {"work": inner})
        result = trio.from_thread.run(there) if args["n"] % 2 else trio.run(there)
        return sum(one.response for one in result.results.values())

    result = await run(graph_of(*numbered(10), max_parallel=4), {"work": outer})
    assert responses(result) == [5] * 10


async def test_context_and_outputs_reach_functions(hasty_threads: None) -> None:
    def work(args: Args, context: Any) -> str:
        return f"{args.get('before', '')}{context.task_id}"

    graph = graph_of(
        "0", *(task(str(n), normalized_args={"before": output_of(str(n - 1))}) for n in range(1, 9))
    )
    result = await run(graph, {"work": work})
    assert responses(result) == ["012345678"[: n + 1] for n in range(9)]


# what comes of it


async def test_failures_among_many_successes_do_not_open_the_breaker() -> None:
    """The successes between two failures count, however late the failures are heard of."""

    def work(args: Args) -> None:
        if args["n"] % 20 == 0:
            raise ValueError

    result = await run(graph_of(*numbered(400)), {"work": work}, retry=None)
    assert result.statistics["states"]["failed"] == 20
    assert result.statistics["breaker_states"]["work"]["state"] == "CLOSED"


async def test_an_open_breaker_lets_one_probe_through_and_closes() -> None:
    calls: list[int] = []
    meter = Meter()

    def work(args: Args) -> None:
        with meter.count("after" if len(calls) > 4 else "before"):
            calls.append(args["n"])
            if args["n"] < 5:
                raise ValueError

    policy = BreakerPolicy(window=5, threshold=1, open_for=0.05)
    graph = graph_of(*numbered(20), max_parallel=1)
    result = await run(graph, {"work": work}, retry=None, breaker=policy)
    assert calls == list(range(20))
    assert result.statistics["states"]["failed"] == 5
    assert result.statistics["breaker_states"]["work"]["state"] == "CLOSED"


async def test_equal_work_is_done_once() -> None:
    calls: list[int] = []

    def work(args: Args) -> int:
        calls.append(args["n"])
        time.sleep(0.0005)
        return len(calls)

    graph = graph_of(
        *(task(str(n), normalized_args={"n": n % 5}, idempotent=None) for n in range(50))
    )
    result = await run(graph, {"work": work})
    assert sorted(calls) == list(range(5))
    assert result.statistics["cached_tasks"] == 45
    assert result.ok
