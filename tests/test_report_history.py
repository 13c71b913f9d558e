"""The history of a run: who waited for what, and what made the run as long as it was."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio import (
    BreakerPolicy,
    DependencyPolicy,
    RetryLater,
    RetryPolicy,
    Run,
    RunFinishedError,
    TaskGraph,
    TaskState,
    UnknownTaskError,
    open_run,
    run_graph,
)
from tgtrio.report.critical_path import Step, critical_path
from tgtrio.report.history import History, Wait

from .runs import graph_of, nap, raises, returns, sleeps, task


async def history_of(graph: TaskGraph, actions: object = None, **options: Any) -> History:
    history = History()
    actions = {"work": nap} if actions is None else actions
    await run_graph(graph, actions, instruments=[history], **options)
    return history


# Who waited for what


async def test_a_task_that_starts_when_it_can_has_waited_for_nothing(
    autojump_clock: MockClock,
) -> None:
    history = await history_of(graph_of("a", task("b", "a")))
    assert history.ready("b") == 1
    assert history.waits("a") == history.waits("b") == ()
    assert history.end("b") == (TaskState.SUCCEEDED, 2)
    (attempt,) = history.attempts("b")
    assert (attempt.number, attempt.begin, attempt.end, attempt.retried) == (0, 1, 2, False)


async def test_limits(autojump_clock: MockClock) -> None:
    graph = graph_of(
        "a",
        "b",
        task("other", action_name="other", resource_ids=["disk"]),
        task("same", action_name="other", resource_ids=["disk"]),
        task("last", action_name="other"),
        max_parallel=2,
    )
    actions = {"work": nap, "other": nap}
    history = await history_of(
        graph, actions, per_action_caps={"work": 1}, resource_caps={"disk": 1}
    )
    assert history.waits("b") == (Wait(0, 1, "cap", "work"),)
    assert history.waits("other") == ()
    assert history.waits("same") == (Wait(0, 1, "resource", "disk"),)
    assert history.waits("last") == (Wait(0, 2, "max_parallel"),)


async def test_a_limit_that_is_free_for_a_moment_was_reached_all_the_time(
    autojump_clock: MockClock,
) -> None:
    """In real time a slot is not taken in the instant in which it is left."""

    class Slow(History):
        """What is told to it happens a little late each time."""

        def task_started(self, task_id: str, attempt: int, at: float) -> None:
            super().task_started(task_id, attempt, at + 0.0005)

    history = Slow()
    graph = graph_of(*(f"t{n}" for n in range(4)), max_parallel=1)
    await run_graph(graph, {"work": nap}, instruments=[history])
    assert [wait.kind for wait in history.waits("t3")] == ["max_parallel"]


async def test_back_off(autojump_clock: MockClock) -> None:
    graph = graph_of(task("t", max_retries=1))
    history = await history_of(graph, {"work": raises()}, seed=1)
    (retry,) = history.retries
    assert (retry.task_id, retry.attempt, retry.error) == ("t", 0, "ValueError: broken")
    assert history.waits("t") == (Wait(0, retry.delay, "back_off"),)
    assert [attempt.retried for attempt in history.attempts("t")] == [True, False]


async def test_after_the_back_off_a_limit(autojump_clock: MockClock) -> None:
    graph = graph_of(task("t", max_retries=1, action_name="bad"), task("long"), max_parallel=1)
    history = await history_of(graph, {"work": sleeps(50), "bad": raises()}, seed=1)
    (retry,) = history.retries
    back_off, limit = history.waits("t")
    assert back_off == Wait(0, retry.delay, "back_off")
    assert limit == Wait(retry.delay, 50, "max_parallel")


async def test_equal_work(autojump_clock: MockClock) -> None:
    graph = graph_of(task("one", idempotent=True), task("two", idempotent=True))
    history = await history_of(graph)
    assert history.waits("two") == (Wait(0, 1, "leader", "one"),)
    assert history.attempts("two") == ()


async def test_equal_work_that_failed(autojump_clock: MockClock) -> None:
    async def work(args: dict[str, Any]) -> None:
        await trio.sleep(3)
        raise ValueError("broken")

    graph = graph_of(task("one", idempotent=True), task("two", idempotent=True))
    history = await history_of(graph, {"work": work})
    assert history.waits("two") == (Wait(0, 3, "leader", "one"),)


async def test_a_breaker(autojump_clock: MockClock) -> None:
    outcomes = iter([raises(), returns(), returns()])

    async def work(args: dict[str, Any]) -> object:
        return await next(outcomes)(args)

    graph = graph_of("a", "b", max_parallel=1)
    policy = BreakerPolicy(window=1, open_for=30)
    history = await history_of(graph, {"work": work}, breaker=policy)
    assert history.waits("b") == (Wait(0, 30, "breaker", "work"),)
    assert [move.after.value for move in history.moves] == ["OPEN", "HALF_OPEN", "CLOSED"]


async def test_an_action_that_cools(autojump_clock: MockClock) -> None:
    async def work(args: dict[str, Any]) -> None:
        if args and trio.current_time() < 9:
            raise RetryLater(10)

    graph = graph_of(task("a", normalized_args={"x": 1}, max_retries=1), "b", max_parallel=1)
    history = await history_of(graph, {"work": work})
    assert history.waits("a") == (Wait(0, 10, "back_off"),)
    assert history.waits("b") == (Wait(0, 10, "cooling", "work"),)


async def test_a_pause_and_limits_that_are_changed(autojump_clock: MockClock) -> None:
    history = History()
    graph = graph_of("a", "b", "c", "d", max_parallel=1)
    async with open_run(graph, {"work": sleeps(2)}, instruments=[history]) as run:
        await trio.sleep(1)
        run.pause()
        await trio.sleep(3)
        run.resume()
        await trio.sleep(1)
        run.set_cap("work", 1)
        run.set_max_parallel(2)
    assert history.waits("b") == (Wait(0, 1, "max_parallel"), Wait(1, 4, "paused"))
    assert history.waits("c") == (
        Wait(0, 1, "max_parallel"),
        Wait(1, 4, "paused"),
        Wait(4, 5, "max_parallel"),
        Wait(5, 6, "cap", "work"),
    )


async def test_a_limiter_of_the_program(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(1)
    graph = graph_of("a", "b")
    history = await history_of(graph, per_action_caps={"work": limiter})
    assert history.waits("b") == (Wait(0, 1, "limiter", "work"),)


async def test_a_task_that_never_was_ready_has_not_waited(autojump_clock: MockClock) -> None:
    history = await history_of(graph_of("a", task("b", "a")), {"work": raises()})
    assert (history.ready("b"), history.waits("b"), history.attempts("b")) == (None, (), ())
    assert history.end("b")[0] is TaskState.ABORTED


async def test_functions_in_threads_are_told_in_order_of_time() -> None:
    graph = graph_of(*(f"t{n}" for n in range(200)), max_parallel=4)
    history = await history_of(graph, {"work": lambda args: sum(range(1000))})
    begins = history.record.begin
    assert list(begins) == sorted(begins)
    for task_id in graph.nodes:
        check_tiles(history, task_id)


def test_before_the_end_there_is_no_history() -> None:
    with pytest.raises(RunFinishedError, match="this one is not"):
        History().waits("t")


async def test_a_task_that_the_run_did_not_have() -> None:
    history = await history_of(graph_of("fetch"), {"work": returns()})
    with pytest.raises(UnknownTaskError, match="did you mean 'fetch'"):
        history.waits("fetsh")


async def test_the_next_run_takes_the_place_of_the_last(autojump_clock: MockClock) -> None:
    history = History()
    for graph in (graph_of("a", "b", max_parallel=1), graph_of("c")):
        await run_graph(graph, {"work": nap}, instruments=[history])
    assert list(history.record.index) == ["c"]
    assert history.waits("c") == ()


# The critical path


async def test_the_path_goes_through_dependencies_and_through_who_made_room(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of(
        task("a", normalized_args={"seconds": 3}),
        task("b", normalized_args={"seconds": 1}),
        task("c", "b", normalized_args={"seconds": 5}),
        max_parallel=1,
    )
    assert critical_path(await history_of(graph)) == (
        Step("a", 0, 3, "in_flight", "", 0),
        Step("b", 3, 4, "in_flight", "", 0, room=("max_parallel", "")),
        Step("c", 4, 9, "in_flight", "", 0),
    )


async def test_the_path_holds_the_waits_that_no_task_ended(autojump_clock: MockClock) -> None:
    history = await history_of(graph_of(task("t", max_retries=1)), {"work": raises()}, seed=1)
    (retry,) = history.retries
    assert critical_path(history) == (Step("t", 0, retry.delay, "back_off"),)


async def test_a_run_without_tasks_has_no_path() -> None:
    assert critical_path(await history_of(TaskGraph("g"))) == ()


# Laws


class FlakyError(Exception):
    pass


async def flaky(args: dict[str, Any], context: Any) -> None:
    await trio.sleep(args["seconds"])
    if context.attempt < args["fails"]:
        raise RetryLater(2) if args["later"] else FlakyError


def drawn_graph(data: st.DataObject) -> TaskGraph:
    graph = TaskGraph("g", max_parallel=data.draw(st.integers(1, 4)), max_retry_tokens=5)
    for n in range(data.draw(st.integers(0, 12))):
        below = st.sampled_from([f"t{m}" for m in range(n)] or ["none"])
        seconds, fails = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 2))
        graph.add_task(
            f"t{n}",
            data.draw(st.sampled_from(["x", "y"])),
            {"seconds": seconds, "fails": fails, "later": data.draw(st.booleans())},
            data.draw(st.lists(st.sampled_from(["r", "s"]), unique=True)),
            dependencies=data.draw(st.lists(below, max_size=3 * bool(n), unique=True)),
            on_dep_fail=data.draw(st.sampled_from(list(DependencyPolicy))),
            max_retries=data.draw(st.integers(0, 2)),
            idempotent=data.draw(st.booleans()),
        )
    return graph


@st.composite
def drawn_histories(draw: st.DrawFn) -> tuple[History, int]:
    """The history of a drawn run, and its `max_parallel`."""
    data: Any = draw(st.data())
    graph, history = drawn_graph(data), History()
    end, when = draw(st.sampled_from(["", "", "cancel", "drain", "pause"])), draw(st.integers(0, 7))

    async def main() -> None:
        async with open_run(
            graph,
            {"x": flaky, "y": flaky},
            instruments=[history],
            retry=RetryPolicy(base=4),
            breaker=BreakerPolicy(window=4, open_for=5),
            seed=1,
            per_action_caps={"x": 1},
            resource_caps={"r": 1, "s": 2},
        ) as run:
            await trio.sleep(when)
            await interfere(run, end)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return history, history.info.max_parallel or 0


async def interfere(run: Run, end: str) -> None:
    if end == "cancel":
        run.cancel()
    elif end == "drain":
        await run.drain()
    elif end == "pause":
        run.pause()
        await trio.sleep(2)
        run.resume()


def check_tiles(history: History, task_id: str) -> None:
    """Waits and executions follow each other from when a task was ready to its end."""
    parts = [(wait.begin, wait.end) for wait in history.waits(task_id)]
    parts += [(one.begin, one.end) for one in history.attempts(task_id)]
    at = history.ready(task_id)
    for begin, end in sorted(parts):
        assert begin == at
        assert begin <= end
        at = end
    if at is not None:
        assert at == history.end(task_id)[1]


@given(drawn=drawn_histories())
def test_waits_and_executions_cover_the_life_of_a_task(drawn: tuple[History, int]) -> None:
    history, _ = drawn
    for task_id in history.record.index:
        check_tiles(history, task_id)


@given(drawn=drawn_histories())
def test_a_limit_that_is_named_as_the_cause_was_reached(drawn: tuple[History, int]) -> None:
    history, max_parallel = drawn
    record = history.record
    limits = {"max_parallel": max_parallel, "x": 1, "r": 1, "s": 2}

    def in_flight(kind: str, subject: str, at: float) -> int:
        return sum(
            begin <= at < end
            for begin, end, place in zip(record.begin, record.end, record.task, strict=True)
            if kind == "max_parallel"
            or subject in (record.nodes[place].action_name, *record.nodes[place].resource_ids)
        )

    for task_id in record.index:
        for wait in history.waits(task_id):
            if wait.kind in ("cap", "resource", "max_parallel"):
                middle = (wait.begin + wait.end) / 2
                taken = in_flight(wait.kind, wait.subject, middle)
                assert taken == limits[wait.subject or wait.kind]


@given(drawn=drawn_histories())
def test_no_limit_is_exceeded(drawn: tuple[History, int]) -> None:
    history, max_parallel = drawn
    record, limits = history.record, {"x": 1, "r": 1, "s": 2}
    changes = [(place, n, 1) for n, place in zip(record.task, record.begin_place, strict=True)]
    changes += [(place, n, -1) for n, place in zip(record.task, record.end_place, strict=True)]
    taken: dict[str, int] = {}
    for _, n, change in sorted(changes):
        node = record.nodes[n]
        for name in (node.action_name, *node.resource_ids, "all"):
            taken[name] = taken.get(name, 0) + change
            assert 0 <= taken[name] <= limits.get(name, max_parallel)


@given(drawn=drawn_histories())
def test_the_critical_path_has_no_gaps(drawn: tuple[History, int]) -> None:
    history, _ = drawn
    path = critical_path(history)
    at = history.started
    for step in path:
        assert step.begin == at
        assert step.end > step.begin
        at = step.end
    assert at == max(history.record.ended, default=history.started)
