"""Instruments: what their hooks are told of a run, however it goes and however it ends."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio import (
    AbortConditionMonitor,
    Actions,
    BreakerPolicy,
    BreakerState,
    DependencyPolicy,
    GraphResult,
    NonRetryable,
    RawStore,
    RetryPolicy,
    Run,
    TaskGraph,
    TaskState,
    open_run,
    run_graph,
)

from .diaries import Diary, watched
from .runs import graph_of, nap, raises, returns, sleeps, task

SURE = RetryPolicy(base=0, cap=0)  # tries again at once


# What is told


async def test_a_run_from_its_start_to_its_end(autojump_clock: MockClock) -> None:
    diary = await watched(graph_of("a", task("b", "a")))
    ok = TaskState.SUCCEEDED
    assert diary.pages == [
        ("run started",),
        ("started", "a", 0, 0.0),
        ("ended", "a", ok, 1.0),
        ("started", "b", 0, 1.0),
        ("ended", "b", ok, 2.0),
        ("run ended",),
    ]


async def test_what_the_run_is(wall_start: datetime) -> None:
    diary = await watched(graph_of("a", "b", graph_id="x"), {"work": returns()}, run_id=None)
    assert diary.info is not None
    assert diary.result is not None
    assert (diary.info.graph_id, diary.info.total_tasks) == ("x", 2)
    assert diary.info.run_id == diary.result.run_id
    assert diary.info.wall(diary.info.started) == wall_start


async def test_a_graph_without_tasks() -> None:
    assert (await watched(TaskGraph("g"))).pages == [("run started",), ("run ended",)]


async def test_retries_are_told_between_their_attempts(autojump_clock: MockClock) -> None:
    graph = graph_of(task("t", max_retries=2))
    diary = await watched(graph, {"work": raises()}, seed=1)
    first, second = (page for page in diary.pages if page[0] == "retried")
    assert first[:4] == ("retried", "t", 0, "ValueError: broken")
    assert diary.of("t") == [
        ("started", 0),
        ("retried", 0),
        ("started", 1),
        ("retried", 1),
        ("started", 2),
        ("ended", TaskState.FAILED),
    ]
    starts = [page[3] for page in diary.pages if page[0] == "started"]
    assert starts == [0, pytest.approx(first[4]), pytest.approx(first[4] + second[4])]


async def test_a_retry_in_the_same_batch_hides_no_start(autojump_clock: MockClock) -> None:
    """Each attempt overwrites what the run knows of the one before."""
    graph = graph_of(*(task(f"t{n}", max_retries=3) for n in range(20)), max_parallel=3)
    diary = await watched(graph, {"work": raises()}, retry=SURE, breaker=None)
    assert sum(page[0] == "started" for page in diary.pages) == 80


async def test_a_breaker_moves(autojump_clock: MockClock) -> None:
    outcomes = iter([raises(), returns(), returns()])

    async def work(args: dict[str, Any]) -> object:
        return await next(outcomes)(args)

    graph = graph_of(*(task(f"t{n}") for n in range(3)), max_parallel=1)
    diary = await watched(graph, {"work": work}, breaker=BreakerPolicy(window=1))
    moves = [page[1:4] for page in diary.pages if page[0] == "moved"]
    closed, opened, half = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
    assert moves == [("work", closed, opened), ("work", opened, half), ("work", half, closed)]


@pytest.mark.parametrize("setback", ["timeout", "value", "programming error", "no retry"])
async def test_an_attempt_that_fails(autojump_clock: MockClock, setback: str) -> None:
    actions = {
        "timeout": sleeps(3),
        "value": raises(),
        "programming error": raises(TypeError),
        "no retry": raises(lambda: NonRetryable("no")),
    }
    graph = graph_of(task("t", task_timeout_ms=1000, max_retries=1))
    diary = await watched(graph, {"work": actions[setback]}, retry=SURE)
    retried = setback in ("timeout", "value")
    assert [page[0] for page in diary.pages].count("retried") == retried
    assert diary.ends() == {"t": TaskState.FAILED}


async def test_tasks_that_no_action_is_called_for(autojump_clock: MockClock) -> None:
    graph = graph_of(
        task("bad", action_name="bad"),
        task("aborted", "bad"),
        task("skipped", "bad", on_dep_fail=DependencyPolicy.SKIP),
        task("idle", on_dep_fail=DependencyPolicy.ON_FAILURE),
        task("leader", idempotent=True, normalized_args={"n": 1}),
        task("served", idempotent=True, normalized_args={"n": 1}),
    )
    diary = await watched(graph, {"bad": raises(), "work": returns()})
    assert diary.ends() == {
        "bad": TaskState.FAILED,
        "aborted": TaskState.ABORTED,
        "skipped": TaskState.SKIPPED,
        "idle": TaskState.SKIPPED,
        "leader": TaskState.SUCCEEDED,
        "served": TaskState.SUCCEEDED,
    }
    assert diary.of("served") == [("ended", TaskState.SUCCEEDED)]
    order = [page[1] for page in diary.pages if page[0] == "ended"]
    assert order.index("bad") < order.index("aborted") < order.index("skipped")


async def test_a_task_that_an_open_breaker_fails(autojump_clock: MockClock) -> None:
    graph = graph_of("a", "b", max_parallel=1)
    policy = BreakerPolicy(window=1)
    diary = await watched(graph, {"work": raises()}, breaker=policy, when_open="fail")
    assert diary.of("b") == [("ended", TaskState.FAILED)]


async def test_functions_in_threads(patient_clock: MockClock) -> None:
    graph = graph_of(*(f"t{n}" for n in range(50)), task("end", *(f"t{n}" for n in range(50))))
    diary = await watched(graph, {"work": lambda args: 1})
    assert set(diary.ends().values()) == {TaskState.SUCCEEDED}


async def test_what_threads_do_is_told_while_the_event_loop_is_idle() -> None:
    class Opener(Diary):
        def task_started(self, task_id: str, attempt: int, at: float) -> None:
            super().task_started(task_id, attempt, at)
            if task_id == "b":  # "a" has ended, and "b" waits for this
                opened.set()

    opened = trio.Event()

    def work(args: dict[str, Any]) -> None:
        if args:
            trio.from_thread.run(opened.wait)

    diary = Opener()
    graph = graph_of("a", task("b", "a", normalized_args={"wait": True}))
    with trio.fail_after(10):
        result = await run_graph(graph, {"work": work}, instruments=[diary])
    diary.check(result)


async def test_instants_of_work_in_inline_functions_and_in_stores(tmp_path: Any) -> None:
    graph = graph_of("a", task("b", "a"), task("c", "b", action_name="sync"))
    actions = Actions({"sync": lambda args: 2})
    actions.register("work", inline=True)(lambda args: 1)
    with RawStore(tmp_path / "store.db", durability="task") as store:
        await watched(graph, actions, store=store)
        again = await watched(graph, actions, store=store, run_id="other")
    assert again.of("c") == [("started", 0), ("ended", TaskState.SUCCEEDED)]


# The end of a run


async def ended_by(how: str, graph: TaskGraph, diary: Diary) -> GraphResult:
    monitor = AbortConditionMonitor(rules=())
    work = {"work": sleeps(10)}
    with trio.CancelScope() as outside:
        async with open_run(graph, work, instruments=[diary], abort_monitor=monitor) as run:
            await trio.sleep(1)
            if how == "cancel":
                run.cancel()
            elif how == "drain":
                await run.drain()
            elif how == "abort":
                monitor.trip("enough")
            elif how == "outside":
                outside.cancel()
    return await run.wait()


@pytest.mark.parametrize("how", ["cancel", "drain", "abort", "outside", "time"])
async def test_every_task_ends_with_the_run(autojump_clock: MockClock, how: str) -> None:
    timeout = 1000 if how == "time" else None
    graph = graph_of("a", "b", task("c", "a"), max_parallel=1, graph_timeout_ms=timeout)
    diary = Diary()
    result = await ended_by(how, graph, diary)
    diary.check(result)
    assert diary.of("c") == [("ended", result.results["c"].state)]
    assert sum(page[0] == "started" for page in diary.pages) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_every_task_ends_with_a_run_that_is_interrupted(error: type[BaseException]) -> None:
    diary = Diary()
    with pytest.raises(error):
        await run_graph(graph_of("a", task("b", "a")), {"work": raises(error)}, instruments=[diary])
    assert diary.result is not None
    diary.check(diary.result)


async def test_a_task_that_backs_off_when_the_run_is_drained(autojump_clock: MockClock) -> None:
    diary = Diary()
    graph = graph_of(task("t", max_retries=1, action_name="bad"), "slow")
    retry = RetryPolicy(base=1e6, cap=1e6)
    actions = {"bad": raises(), "work": sleeps(5)}
    async with open_run(graph, actions, instruments=[diary], retry=retry, seed=1) as run:
        await trio.sleep(2)
        result = await run.drain()
    diary.check(result)
    assert ("ended", "t", TaskState.CANCELLED, 2.0) in diary.pages


@given(data=st.data())
def test_exactly_one_end_for_each_task(data: st.DataObject) -> None:
    total = data.draw(st.integers(0, 12))
    policies = st.sampled_from(list(DependencyPolicy))
    graph = TaskGraph("g", max_parallel=data.draw(st.integers(1, 4)), max_retry_tokens=5)
    for n in range(total):
        below = st.sampled_from([f"t{m}" for m in range(n)] or ["none"])
        graph.add_task(
            f"t{n}",
            data.draw(st.sampled_from(["nap", "nap", "bad", "now"])),
            {"seconds": data.draw(st.integers(0, 3))},
            dependencies=data.draw(st.lists(below, max_size=3 * bool(n), unique=True)),
            on_dep_fail=data.draw(policies),
            task_timeout_ms=data.draw(st.sampled_from([None, None, 2000])),
            max_retries=data.draw(st.integers(0, 1)),
            idempotent=data.draw(st.booleans()),
        )
    end = data.draw(st.sampled_from(["", "", "cancel", "drain", "one"]))
    when = data.draw(st.sampled_from([0, 0.5, 2, 7]))
    diary = Diary()

    async def main() -> GraphResult:
        actions = {"nap": nap, "bad": raises(), "now": returns()}
        async with open_run(graph, actions, instruments=[diary], seed=1) as run:
            await trio.sleep(when)
            await interfere(run)
        return await run.wait()

    async def interfere(run: Run) -> None:
        if end == "cancel":
            run.cancel()
        elif end == "drain":
            await run.drain()
        elif end == "one" and total:
            run.cancel(f"t{data.draw(st.integers(0, total - 1))}")

    diary.check(trio.run(main, clock=MockClock(autojump_threshold=0)))
