"""Tasks that are added to a run while it goes on."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio import (
    Actions,
    CycleError,
    DuplicateTaskError,
    InvalidArgumentError,
    NonRetryable,
    RawStore,
    RetryLater,
    RetryPolicy,
    Run,
    RunFinishedError,
    TaskGraph,
    UnknownActionError,
    UnknownDependencyError,
    open_run,
    output_of,
    run_graph,
)
from tgtrio._growth import Growth

from .diaries import Diary
from .runs import Meter, graph_of, nap, raises, returns, sleeps, states, task
from .stores import until

PLAIN: dict[str, Any] = {"max_retries": 0, "idempotent": False}


# A run stays open


async def test_a_run_stays_open_as_long_as_its_block(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": sleeps(1)}) as run:
        await trio.sleep(100)
        assert run.statistics()["states"]["succeeded"] == 1
        run.add_task("b", "work")
    result = await run.wait()
    assert states(result) == {"a": "succeeded", "b": "succeeded"}
    assert trio.current_time() == 101


async def test_an_empty_graph_is_filled_while_it_runs(autojump_clock: MockClock) -> None:
    async with open_run(TaskGraph("g"), {"work": sleeps(1)}) as run:
        for n in range(10):
            run.add_task(f"t{n}", "work", {"n": n})
            await trio.sleep(1)
    assert (await run.wait()).total_tasks == 10


async def test_who_waits_ends_a_run_that_has_nothing_left(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": sleeps(1)}) as run:
        assert (await run.wait()).ok
        with pytest.raises(RunFinishedError, match="task 'b' cannot be added"):
            run.add_task("b", "work")
        assert "b" not in run.graph


async def test_a_run_stays_open_for_who_says_so_whoever_waits(autojump_clock: MockClock) -> None:
    async def feed(run: Run) -> None:
        with run.staying_open():
            for n in range(3):
                await trio.sleep(10)
                run.add_task(f"t{n}", "work", **PLAIN)

    async with trio.open_nursery() as nursery, open_run(TaskGraph("g"), {"work": sleeps(1)}) as run:
        nursery.start_soon(feed, run)
        await trio.testing.wait_all_tasks_blocked()
        result = await run.wait()
    assert result.total_tasks == 3
    assert trio.current_time() == 31


@pytest.mark.parametrize("how", ["cancel", "drain"])
async def test_an_open_run_without_tasks_can_be_ended(autojump_clock: MockClock, how: str) -> None:
    async with open_run(graph_of("a"), {"work": sleeps(1)}) as run:
        await trio.sleep(10)
        if how == "cancel":
            run.cancel()
        else:
            await run.drain()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RunFinishedError):
            run.add_task("b", "work")
    result = await run.wait()
    assert states(result) == {"a": "succeeded"}
    assert result.ok  # nothing was left to be cancelled


async def test_a_block_that_raises_after_the_last_task_cancels_nothing(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(ValueError, match="enough"):
        async with open_run(graph_of("a"), {"work": sleeps(1)}) as run:
            await trio.sleep(10)
            raise ValueError("enough")
    assert (await run.wait()).ok


async def test_a_run_that_is_cancelled_while_it_has_none_takes_no_tasks(tmp_path: Path) -> None:
    """Its surroundings cancel it: the store closes, and may take its time."""
    refused: list[str] = []
    with RawStore(tmp_path / "s.db") as store, trio.CancelScope() as scope:
        async with open_run(graph_of("a"), {"work": returns()}, store=store) as run:
            while run.statistics()["states"]["succeeded"] == 0:
                await trio.lowlevel.checkpoint()
            scope.cancel()
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
                for n in range(3):
                    with pytest.raises(RunFinishedError):
                        run.add_task(f"t{n}", "work")
                    refused.append(f"t{n}")
                    await trio.lowlevel.checkpoint()
    assert len(refused) == 3
    assert states(await run.wait()) == {"a": "succeeded"}


async def test_a_run_that_is_being_ended_takes_no_tasks(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": sleeps(5)}) as run:
        await trio.sleep(1)
        run.cancel()
        with pytest.raises(RunFinishedError):
            run.add_task("b", "work")


# Where it belongs


async def test_its_dependencies_may_be_anywhere_in_their_lives(autojump_clock: MockClock) -> None:
    graph = graph_of(
        "done", task("running", normalized_args={"seconds": 5}), task("later", "running")
    )
    async with open_run(graph, {"work": nap}) as run:
        await trio.sleep(2)
        run.add_task("new", "work", dependencies=["done", "running", "later"], **PLAIN)
        assert run.statistics()["states"]["pending"] == 2
        run.add_task("newer", "work", dependencies=["done"], **PLAIN)
        run.add_task("newest", "work", dependencies=["newer", "new"], **PLAIN)
    assert (await run.wait()).ok
    assert trio.current_time() == 8


@pytest.mark.parametrize(
    ("policy", "state"),
    [
        ("abort", "aborted"),
        ("skip", "skipped"),
        ("continue_if_any", "succeeded"),
        ("always", "succeeded"),
        ("on_failure", "succeeded"),
    ],
)
async def test_its_policy_decides_about_a_dependency_that_has_failed(
    autojump_clock: MockClock, policy: str, state: str
) -> None:
    actions = {"work": returns(), "bad": raises()}
    async with open_run(graph_of(task("bad", action_name="bad")), actions) as run:
        await trio.sleep(1)
        run.add_task("new", "work", dependencies=["bad"], on_dep_fail=policy, **PLAIN)
    result = await run.wait()
    assert states(result)["new"] == state
    if state != "succeeded":
        assert result.results["new"].caused_by == "bad"
        assert "'bad' failed" in result.results["new"].error


async def test_it_starts_in_the_order_of_priorities_and_deadlines(
    autojump_clock: MockClock, wall_start: Any
) -> None:
    order: list[str] = []

    async def work(args: dict[str, Any], context: Any) -> None:
        order.append(context.task_id)
        await trio.sleep(1)

    soon = wall_start + timedelta(hours=1)
    graph = graph_of(task("first", priority=9), "p0", task("p1", priority=1), "p0b", max_parallel=1)
    async with open_run(graph, {"work": work}) as run:
        await trio.sleep(0.5)
        run.add_task("n0", "work", **PLAIN)
        run.add_task("n2", "work", priority=2, **PLAIN)
        run.add_task("n1", "work", priority=1, **PLAIN)
        run.add_task("n0-soon", "work", deadline=soon, **PLAIN)
        run.add_task("n2-soon", "work", priority=2, deadline=soon, **PLAIN)
    assert (await run.wait()).ok
    assert order == ["first", "n2-soon", "n2", "p1", "n1", "n0-soon", "p0", "p0b", "n0"]


async def test_responses_go_into_tasks_that_are_added_later(autojump_clock: MockClock) -> None:
    async def double(args: dict[str, Any]) -> int:
        return 2 * int(args["n"])

    async with open_run(graph_of(), {"double": double}) as run:
        run.add_task("t0", "double", {"n": 1})
        for n in range(1, 10):
            run.add_task(f"t{n}", "double", {"n": output_of(f"t{n - 1}")})
    assert (await run.wait()).results["t9"].response == 1024


async def test_caps_and_resources_bound_it(autojump_clock: MockClock) -> None:
    meter = Meter()
    limits: dict[str, Any] = {"per_action_caps": {"work": 2}, "resource_caps": {"r": 1}}
    actions = {"work": meter.naps("work"), "other": meter.naps("other")}
    async with open_run(graph_of("a"), actions, **limits) as run:
        for n in range(6):
            run.add_task(f"w{n}", "work", **PLAIN)
            run.add_task(f"r{n}", "other", resource_ids=["r"], **PLAIN)
        run._engine.queue.validate()
    assert (await run.wait()).ok
    assert meter.peak == {"work": 2, "other": 1}
    assert trio.current_time() == 6


async def test_a_limiter_of_the_callers_bounds_it(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(2)
    meter = Meter()
    async with open_run(graph_of(), {"w": meter.naps()}, per_action_caps={"w": limiter}) as run:
        for n in range(6):
            run.add_task(f"t{n}", "w", **PLAIN)
    assert (await run.wait()).ok
    assert meter.peak["all"] == 2
    assert limiter.borrowed_tokens == 0


async def test_an_action_that_is_new_has_retries_a_breaker_and_a_thread(
    patient_clock: MockClock,
) -> None:
    calls: Counter[str] = Counter()

    async def flaky(args: dict[str, Any]) -> None:
        calls["flaky"] += 1
        if calls["flaky"] < 3:
            raise ValueError("not yet")

    def threaded(args: dict[str, Any]) -> str:
        return "from a thread"

    actions = {"work": returns(), "flaky": flaky, "threaded": threaded}
    async with open_run(graph_of("a"), actions, seed=1) as run:
        run.add_task("f", "flaky")
        run.add_task("t", "threaded")
        run.add_task("u", "threaded", {"n": 1})
        run.isolate("threaded")
        await trio.sleep(0.5)
        run.close_breaker("threaded")
    result = await run.wait()
    assert result.results["f"].attempts == 3
    assert result.results["u"].response == "from a thread"
    assert set(result.statistics["breaker_states"]) == {"work", "flaky", "threaded"}


async def test_retries_of_an_action_that_is_new_do_not_touch_the_others(
    autojump_clock: MockClock,
) -> None:
    actions = Actions({"work": raises(lambda: RetryLater(5))})
    actions.register("new", sleeps(1), retry=RetryPolicy())
    async with open_run(graph_of("a"), actions, retry=None, breaker=None) as run:
        run.add_task("b", "new")
        await trio.sleep(2)
        run.add_task("c", "work", **PLAIN)
    result = await run.wait()
    assert states(result) == {"a": "failed", "b": "succeeded", "c": "failed"}
    assert result.results["c"].error == "RetryLater: asked to be tried again in 5 s"
    assert trio.current_time() == 2


async def test_timeouts_and_deadlines_hold(autojump_clock: MockClock, wall_start: Any) -> None:
    async with open_run(graph_of(), {"work": sleeps(50)}, max_parallel=1) as run:
        run.add_task("slow", "work", task_timeout_ms=3000, **PLAIN)
        deadline = wall_start + timedelta(seconds=10)
        run.add_task(
            "late", "work", deadline=deadline, expire_at_deadline=True, priority=-1, **PLAIN
        )
    result = await run.wait()
    assert "timed out" in result.results["slow"].error
    assert "deadline" in result.results["late"].error
    assert trio.current_time() == 10


async def test_actions_add_tasks_themselves(autojump_clock: MockClock) -> None:
    async def crawl(args: dict[str, Any]) -> None:
        for n in range(3 if args["depth"] else 0):
            path = f"{args['path']}/{n}"
            run.add_task(path, "crawl", {"path": path, "depth": args["depth"] - 1})

    graph = TaskGraph("crawl")
    graph.add_task("/", "crawl", {"path": "", "depth": 4})
    async with open_run(graph, {"crawl": crawl}) as run:
        result = await run.wait()
    assert result.total_tasks == 1 + 3 + 9 + 27 + 81
    assert result.ok


# Equal work


async def test_it_is_served_what_an_equal_task_has_done(autojump_clock: MockClock) -> None:
    calls: list[Any] = []

    async def work(args: dict[str, Any]) -> int:
        calls.append(args)
        await trio.sleep(1)
        return len(calls)

    graph = TaskGraph("g")
    graph.add_task("done", "work", {"n": 1})
    graph.add_task("running", "work", {"n": 2}, dependencies=["done"])
    graph.add_task("pending", "work", {"n": 3}, dependencies=["running"])
    async with open_run(graph, {"work": work}) as run:
        await trio.sleep(1.5)
        for n in (1, 2, 3):
            run.add_task(f"new{n}", "work", {"n": n})
        await trio.testing.wait_all_tasks_blocked()
        assert run.statistics()["states"]["running"] == 2
    result = await run.wait()
    assert result.ok
    assert len(calls) == 3
    served = {name for name, one in result.results.items() if one.cached}
    assert served == {"new1", "new2", "pending"}
    assert result.results["new1"].response == 1


async def test_no_thread_takes_it_before_it_is_known_to_share_its_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(args: dict[str, Any]) -> None:
        calls.append(args["n"])
        if args["n"] == "long":
            busy.wait(5)

    def share(growth: Growth, rank: int, number: int) -> None:
        busy.set()
        time.sleep(0.05)  # the thread looks for more
        known(growth, rank, number)

    calls: list[str] = []
    busy, known = threading.Event(), Growth._share
    graph = TaskGraph("g", max_parallel=1)
    graph.add_task("a", "work", {"n": "short"})
    graph.add_task("b", "work", {"n": "long"})
    async with open_run(graph, {"work": work}) as run:
        await until(lambda: len(calls) == 2)
        monkeypatch.setattr(Growth, "_share", share)
        run.add_task("c", "work", {"n": "short"})
    assert (await run.wait()).results["c"].cached
    assert calls == ["short", "long"]


async def test_it_shares_the_final_failure_of_equal_work(autojump_clock: MockClock) -> None:
    async def work(args: dict[str, Any]) -> None:
        await trio.sleep(1)
        raise NonRetryable("no")

    graph = TaskGraph("g")
    graph.add_task("a", "work", {"n": 1})
    async with open_run(graph, {"work": work}) as run:
        await trio.sleep(0.5)
        run.add_task("b", "work", {"n": 1})
    result = await run.wait()
    assert states(result) == {"a": "failed", "b": "failed"}
    assert result.results["b"].caused_by == "a"
    assert result.results["b"].attempts == 0


async def test_work_of_a_run_that_shares_nothing_is_done_each_time(
    autojump_clock: MockClock,
) -> None:
    calls: list[Any] = []

    async def work(args: dict[str, Any]) -> None:
        calls.append(args)

    async with open_run(TaskGraph("g"), {"work": work}, idempotent=False) as run:
        for n in range(3):
            run.add_task(f"t{n}", "work")
    assert len(calls) == 3


async def test_a_store_keeps_it_and_a_resumed_run_is_served_from_it(
    patient_clock: MockClock, tmp_path: Path
) -> None:
    calls: list[str] = []
    runs: list[Run] = []

    async def work(args: dict[str, Any], context: Any) -> str:
        calls.append(context.task_id)
        if context.task_id == "stop":
            runs[-1].cancel()
            await trio.sleep_forever()
        return str(context.task_id)

    async def once(store: RawStore, last: str) -> Any:
        async with open_run(graph_of("a"), {"work": work}, store=store) as run:
            runs.append(run)
            run.add_task("b", "work", dependencies=["a"], **PLAIN)
            run.add_task(last, "work", dependencies=["b"], **PLAIN)
            return await run.wait()

    with RawStore(tmp_path / "s.db", durability="task") as store:
        await once(store, "stop")
        result = await once(store, "go on")
    assert result.ok
    assert calls == ["a", "b", "stop", "go on"]
    assert result.results["b"].cached


async def test_a_resumed_run_does_not_repeat_it_whether_it_shares_its_work_or_not(
    tmp_path: Path,
) -> None:
    calls: list[str] = []

    async def work(args: dict[str, Any], context: Any) -> None:
        calls.append(context.task_id)

    async def live(store: RawStore) -> None:
        async with open_run(
            graph_of("a"), {"work": work, "wait": sleeps(9)}, store=store, run_id="r"
        ) as run:
            await until(lambda: run.statistics()["states"]["succeeded"] == 1)
            run.add_task("b", "work", **PLAIN)
            await until(lambda: run.statistics()["states"]["succeeded"] == 2)
            run.add_task("c", "wait", **PLAIN)
            run.cancel()

    with RawStore(tmp_path / "s.db") as store:
        for _ in range(2):
            await live(store)
    assert calls == ["a", "b"]


# What is refused, and leaves everything as it was


async def test_what_is_refused_changes_nothing(autojump_clock: MockClock) -> None:
    actions = {"work": sleeps(1)}
    async with open_run(graph_of("a"), actions, retry=None, breaker=None) as run:
        refusals: list[tuple[type[Exception], tuple[Any, ...], dict[str, Any]]] = [
            (DuplicateTaskError, ("a", "work"), {}),
            (UnknownActionError, ("b", "wrok"), {}),
            (UnknownDependencyError, ("b", "work"), {"dependencies": ["c"]}),
            (InvalidArgumentError, ("b", "work", {"x": object()}), {}),
            (UnknownDependencyError, ("b", "work", {"x": output_of("c")}), {}),
            ((CycleError, UnknownDependencyError), ("b", "work"), {"dependencies": ["b"]}),  # type: ignore[list-item]
            (TypeError, ("b",), {}),
            (TypeError, ("b", "work"), {"depends": ["a"]}),
        ]
        for error, fields, named in refusals:
            with pytest.raises(error):
                run.add_task(*fields, **named)
            assert list(run.graph.nodes) == ["a"]
            assert run.statistics()["total_tasks"] == 1
    assert (await run.wait()).ok


async def test_the_graph_keeps_what_was_added_for_its_next_run(autojump_clock: MockClock) -> None:
    graph = graph_of("a")
    async with open_run(graph, {"work": nap}) as run:
        node = run.add_task("b", "work", dependencies=["a"], **PLAIN)
        assert graph.nodes["b"] is node
        assert graph.get_stats()["total_tasks"] == 2
    assert states(await run_graph(graph, {"work": nap})) == {"a": "succeeded", "b": "succeeded"}


async def test_instruments_are_told_of_it(autojump_clock: MockClock) -> None:
    diary = Diary()
    async with open_run(graph_of("a"), {"work": sleeps(1)}, instruments=[diary]) as run:
        await trio.sleep(0.5)
        run.add_task("b", "work", **PLAIN)
    diary.check(await run.wait())
    assert ("steered", "add_task", "b", None, 0.5) in diary.pages


# Many


async def test_thousands_are_added_one_by_one(autojump_clock: MockClock) -> None:
    async with open_run(TaskGraph("g"), {"work": returns()}, max_parallel=7) as run:
        for n in range(5000):
            run.add_task(f"t{n}", "work", {"n": n}, dependencies=[f"t{n - 1}"] if n % 3 else [])
            if n % 100 == 0:
                await trio.lowlevel.checkpoint()
        run._engine.queue.validate()
    result = await run.wait()
    assert result.ok
    assert result.total_tasks == 5000


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_run_to_which_tasks_are_added_ends_like_one_that_had_them_all(
    data: st.DataObject,
) -> None:
    size = data.draw(st.integers(1, 12))
    policies = ["abort", "skip", "always", "continue_if_any", "on_failure"]
    fields = []
    for n in range(size):
        dependencies = (
            data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3)) if n else []
        )
        fields.append(
            task(
                f"t{n}",
                *(f"t{d}" for d in dependencies),
                action_name=data.draw(st.sampled_from(["work", "bad"])),
                normalized_args={"seconds": data.draw(st.integers(0, 2))},
                on_dep_fail=data.draw(st.sampled_from(policies)),
                priority=data.draw(st.integers(0, 1)),
            )
        )
    first = data.draw(st.integers(0, size))
    pauses = data.draw(
        st.lists(st.sampled_from([0.0, 0.3, 1.0, 5.0]), min_size=size, max_size=size)
    )
    actions = {"work": nap, "bad": raises()}
    options: dict[str, Any] = {"max_parallel": 3, "breaker": None, "per_action_caps": {"work": 2}}

    async def whole() -> dict[str, str]:
        return states(await run_graph(graph_of(*fields), actions, **options))

    async def grown() -> dict[str, str]:
        async with open_run(graph_of(*fields[:first]), actions, **options) as run:
            for one, pause in zip(fields[first:], pauses, strict=False):
                await trio.sleep(pause)
                run.add_task(**{"action_name": "work", **PLAIN, **one})
                run._engine.queue.validate()
        return states(await run.wait())

    expected = trio.run(whole, clock=MockClock(autojump_threshold=0))
    assert trio.run(grown, clock=MockClock(autojump_threshold=0)) == expected
