"""In which order ready tasks start, and what deadlines do."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio import (
    DeadlineExpiredError,
    GraphResult,
    TaskContext,
    TaskGraph,
    TaskState,
    open_run,
    run_graph,
)

from .runs import graph_of, nap, returns, sleeps, states, task


async def order_of(graph: TaskGraph, max_parallel: int = 1) -> list[str]:
    """The ids in the order in which they start."""
    order: list[str] = []

    async def note(args: dict[str, Any], context: TaskContext) -> None:
        order.append(context.task_id)
        await trio.sleep(1)

    await run_graph(graph, {"work": note}, max_parallel=max_parallel)
    return order


async def test_equal_tasks_start_in_the_order_of_insertion(autojump_clock: MockClock) -> None:
    assert await order_of(graph_of("c", "a", "b")) == ["c", "a", "b"]


async def test_higher_priority_starts_first(autojump_clock: MockClock) -> None:
    graph = graph_of(
        task("low", priority=-1),
        task("zero"),
        task("high", priority=10),
        task("tiny", priority=0.1),
    )
    assert await order_of(graph) == ["high", "tiny", "zero", "low"]


async def test_priority_counts_more_than_the_deadline(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = graph_of(
        task("none"),
        task("late", deadline=wall_start + timedelta(hours=2)),
        task("soon", deadline=wall_start + timedelta(hours=1)),
        task("first", priority=1),
        task("first-soon", priority=1, deadline=wall_start + timedelta(hours=9)),
    )
    assert await order_of(graph) == ["first-soon", "first", "soon", "late", "none"]


async def test_deadlines_are_instants_whatever_their_time_zone(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    east, west = timezone(timedelta(hours=9)), timezone(timedelta(hours=-9))
    graph = graph_of(
        task("second", deadline=(wall_start + timedelta(hours=2)).astimezone(east)),
        task("first", deadline=(wall_start + timedelta(hours=1)).astimezone(west)),
    )
    assert await order_of(graph) == ["first", "second"]


async def test_a_ready_task_of_higher_priority_overtakes_those_that_waited(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of("first", "b", "c", task("urgent", "first", priority=5))
    assert await order_of(graph) == ["first", "urgent", "b", "c"]


async def test_with_two_slots_the_order_of_starts_is_the_same(autojump_clock: MockClock) -> None:
    graph = graph_of(*(task(str(n), priority=n) for n in range(9)))
    starts: dict[str, float] = {}

    async def note(args: dict[str, Any], context: TaskContext) -> None:
        starts[context.task_id] = trio.current_time()
        await trio.sleep(1)

    began = trio.current_time()
    await run_graph(graph, {"work": note}, max_parallel=2)
    assert [starts[str(n)] - began for n in range(8, -1, -1)] == [0, 0, 1, 1, 2, 2, 3, 3, 4]


@given(st.lists(st.sampled_from([-1.5, 0.0, 0.5, 2.0]), max_size=30))
def test_the_order_is_total_and_stable(priorities: list[float]) -> None:
    graph = graph_of(*(task(str(n), priority=p) for n, p in enumerate(priorities)))
    expected = sorted(range(len(priorities)), key=lambda n: -priorities[n])
    order = trio.run(order_of, graph, clock=MockClock(autojump_threshold=0))
    assert order == [str(n) for n in expected]


# deadlines order, they do not kill


async def test_a_late_task_runs_and_says_so(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = graph_of(
        task("late", deadline=wall_start + timedelta(seconds=1)),
        task("exact", deadline=wall_start + timedelta(seconds=2)),
        task("early", deadline=wall_start + timedelta(seconds=3)),
        task("none"),
    )
    result = await run_graph(graph, {"work": sleeps(2, "done")})
    assert set(states(result).values()) == {"succeeded"}
    assert [one.deadline_missed for one in result.results.values()] == [True, False, False, False]


async def test_a_deadline_long_past_only_orders(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = graph_of(task("a", deadline=wall_start - timedelta(days=9999)))
    result = await run_graph(graph, {"work": returns(1)})
    assert result.results["a"].success
    assert result.results["a"].deadline_missed


@pytest.mark.parametrize("deadline", [datetime.min, datetime.max])
async def test_the_most_extreme_deadlines_are_deadlines(
    deadline: datetime, autojump_clock: MockClock
) -> None:
    for hours in (-12, 0, 12):
        zone = timezone(timedelta(hours=hours))
        graph = graph_of(task("a", deadline=deadline.replace(tzinfo=zone)), "b")
        result = await run_graph(graph, {"work": returns(1)})
        assert result.results["a"].deadline_missed is (deadline == datetime.min)


# expire_at_deadline


def expiring(wall_start: datetime, seconds: float, task_id: str = "x", **fields: Any) -> Any:
    deadline = wall_start + timedelta(seconds=seconds)
    return {**task(task_id), "deadline": deadline, "expire_at_deadline": True, **fields}


def assert_expired(result: GraphResult, task_id: str, attempts: int) -> None:
    one = result.results[task_id]
    assert one.state is TaskState.FAILED
    assert isinstance(one.exception, DeadlineExpiredError)
    assert repr(task_id) in one.error
    assert one.deadline_missed
    assert one.attempts == attempts


async def test_it_expires_in_flight(autojump_clock: MockClock, wall_start: datetime) -> None:
    result = await run_graph(graph_of(expiring(wall_start, 3)), {"work": sleeps(10)})
    assert_expired(result, "x", attempts=1)
    assert result.elapsed_ms == 3000
    assert result.results["x"].execution_time_ms == 3000


async def test_it_expires_while_it_waits_for_a_slot(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = graph_of("busy", expiring(wall_start, 3, priority=-1), task("after", "x"))
    async with open_run(graph, {"work": sleeps(10)}, max_parallel=1) as run:
        await trio.sleep(2.5)
        assert run.statistics()["states"]["failed"] == 0
        await trio.sleep(1)
        assert run.statistics()["states"]["failed"] == 1
        assert run.statistics()["states"]["aborted"] == 1
    assert_expired(await run.wait(), "x", attempts=0)


async def test_it_expires_while_it_waits_for_a_dependency(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = graph_of("slow", expiring(wall_start, 3, dependencies=["slow"]))
    result = await run_graph(graph, {"work": sleeps(10)})
    assert_expired(result, "x", attempts=0)
    assert result.elapsed_ms == 10_000


async def test_it_expires_while_a_cap_holds_it(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = graph_of("busy", expiring(wall_start, 3, priority=-1))
    result = await run_graph(graph, {"work": sleeps(10)}, per_action_caps={"work": 1})
    assert_expired(result, "x", attempts=0)


async def test_it_expires_while_a_limiter_of_the_caller_holds_it(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    limiter = trio.CapacityLimiter(1)
    limiter.acquire_on_behalf_of_nowait("somebody else")
    result = await run_graph(graph_of(expiring(wall_start, 3)), {"work": nap}, max_parallel=limiter)
    assert_expired(result, "x", attempts=0)
    assert result.elapsed_ms == 3000
    assert limiter.statistics().tasks_waiting == 0


async def test_dependents_of_an_expired_task_go_by_their_policies(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = graph_of(
        "busy",
        expiring(wall_start, 3, priority=-1),
        task("abort", "x"),
        task("fallback", "x", on_dep_fail="on_failure", action_name="quick"),
    )
    actions = {"work": sleeps(10), "quick": returns(1)}
    result = await run_graph(graph, actions, max_parallel=2, per_action_caps={"work": 1})
    assert states(result) == {
        "busy": "succeeded",
        "x": "failed",
        "abort": "aborted",
        "fallback": "succeeded",
    }
    assert result.results["fallback"].finished_at == wall_start + timedelta(seconds=3)


async def test_a_deadline_that_has_passed_at_the_start_keeps_the_task_from_starting(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = graph_of(expiring(wall_start, 0, "now"), expiring(wall_start, -1, "past"), "other")
    result = await run_graph(graph, {"work": returns(1)})
    assert_expired(result, "now", attempts=0)
    assert_expired(result, "past", attempts=0)
    assert result.results["other"].success


async def test_a_deadline_that_passes_while_the_loop_is_blocked_keeps_the_task_from_starting(
    mock_clock: MockClock, wall_start: datetime
) -> None:
    async def block(args: dict[str, Any]) -> None:
        mock_clock.jump(10)

    graph = graph_of(
        task("blocker", action_name="block"), expiring(wall_start, 5, dependencies=["blocker"])
    )
    result = await run_graph(graph, {"block": block, "work": returns("ran too late")})
    assert_expired(result, "x", attempts=0)


async def test_the_graph_can_ask_for_it_and_a_task_can_refuse(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    deadline = wall_start + timedelta(seconds=3)
    graph = graph_of(
        task("asked", deadline=deadline),
        task("refused", deadline=deadline, expire_at_deadline=False),
        task("none"),
        expire_at_deadline=True,
    )
    result = await run_graph(graph, {"work": sleeps(10)})
    assert states(result) == {"asked": "failed", "refused": "succeeded", "none": "succeeded"}
    assert result.results["refused"].deadline_missed


async def test_a_task_that_was_done_by_its_deadline_stays_done(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = graph_of(expiring(wall_start, 3), "long")
    actions = {"work": nap}
    async with open_run(graph, actions) as run:
        pass
    assert set(states(await run.wait()).values()) == {"succeeded"}

    graph = graph_of(expiring(wall_start, 3), task("long", normalized_args={"seconds": 10}))
    result = await run_graph(graph, actions)
    assert result.results["x"].success
    assert not result.results["x"].deadline_missed
