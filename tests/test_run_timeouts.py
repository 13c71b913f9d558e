"""Timeouts of attempts and of runs, in virtual time."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    Actions,
    TaskContext,
    TaskState,
    TaskTimeoutError,
    open_run,
    run_graph,
)

from .runs import graph_of, nap, returns, sleeps, states, task


async def test_an_attempt_ends_exactly_at_its_timeout(autojump_clock: MockClock) -> None:
    result = await run_graph(graph_of(task("a", task_timeout_ms=2500)), {"work": sleeps(10)})
    one = result.results["a"]
    assert one.state is TaskState.FAILED
    assert isinstance(one.exception, TaskTimeoutError)
    assert isinstance(one.exception, TimeoutError)
    assert "'a'" in one.error
    assert "2500 ms" in one.error
    assert (one.execution_time_ms, result.elapsed_ms) == (2500, 2500)
    assert (one.attempts, one.late, one.response) == (1, False, None)
    assert not result.timed_out  # that is about the run


async def test_a_timeout_that_is_not_needed_changes_nothing(autojump_clock: MockClock) -> None:
    graph = graph_of(task("a", task_timeout_ms=2500), task("b", "a"))
    result = await run_graph(graph, {"work": sleeps(2)})
    assert set(states(result).values()) == {"succeeded"}
    assert result.elapsed_ms == 4000


async def test_each_task_has_its_own_timeout(autojump_clock: MockClock) -> None:
    graph = graph_of(*(task(str(n), task_timeout_ms=n * 1000) for n in range(1, 9)), "none")
    result = await run_graph(graph, {"work": sleeps(5.5)})
    failed = {name for name, one in result.results.items() if not one.success}
    assert failed == {"1", "2", "3", "4", "5"}
    for name in failed:
        assert result.results[name].execution_time_ms == int(name) * 1000


async def test_the_clock_of_an_attempt_starts_with_it_and_not_with_the_run(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of(*(task(str(n), task_timeout_ms=1500) for n in range(5)))
    result = await run_graph(graph, {"work": nap}, max_parallel=1)
    assert result.ok
    assert result.elapsed_ms == 5000


@pytest.mark.parametrize("timeout_ms", [0.001, 1, 0.5, 1e12])
async def test_timeouts_of_any_size(timeout_ms: float, autojump_clock: MockClock) -> None:
    result = await run_graph(
        graph_of(task("a", task_timeout_ms=timeout_ms)), {"work": sleeps(1000)}
    )
    assert result.results["a"].success is (timeout_ms > 1e6)


async def test_a_swallowed_timeout_keeps_the_value_and_calls_it_late(
    autojump_clock: MockClock,
) -> None:
    async def stubborn(args: dict[str, Any]) -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "all the same"

    graph = graph_of(task("a", task_timeout_ms=1000, action_name="stubborn"), task("b", "a"))
    result = await run_graph(graph, {"stubborn": stubborn, "work": nap}, max_parallel=1)
    one = result.results["a"]
    assert (one.state, one.response, one.late) == (TaskState.SUCCEEDED, "all the same", True)
    assert (one.error, one.exception) == ("", None)
    assert result.results["b"].success
    assert not result.results["b"].late


async def test_a_value_from_behind_a_shield_is_late(autojump_clock: MockClock) -> None:
    async def shielded(args: dict[str, Any]) -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        return "done"

    result = await run_graph(graph_of(task("a", task_timeout_ms=1000)), {"work": shielded})
    assert (result.results["a"].response, result.results["a"].late) == ("done", True)
    assert result.elapsed_ms == 5000


async def test_a_value_without_a_checkpoint_after_the_timeout_is_late(
    mock_clock: MockClock,
) -> None:
    async def busy(args: dict[str, Any]) -> str:
        mock_clock.jump(5)
        return "done"

    graph = graph_of(task("a", task_timeout_ms=1000), task("b", action_name="quick"))
    result = await run_graph(graph, {"work": busy, "quick": returns(1)})
    assert (result.results["a"].response, result.results["a"].late) == ("done", True)
    assert not result.results["b"].late


async def test_what_an_action_raises_while_being_cancelled_is_kept(
    autojump_clock: MockClock,
) -> None:
    async def untidy(args: dict[str, Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("could not clean up")

    result = await run_graph(graph_of(task("a", task_timeout_ms=1000)), {"work": untidy})
    one = result.results["a"]
    assert one.state is TaskState.FAILED
    assert "timed out after 1000 ms" in one.error
    assert "could not clean up" in one.error
    assert isinstance(one.exception, ValueError)
    assert "could not clean up" in one.traceback


async def test_a_timeout_of_the_actions_own_is_an_ordinary_failure(
    autojump_clock: MockClock,
) -> None:
    async def own(args: dict[str, Any]) -> None:
        with trio.fail_after(1):
            await trio.sleep_forever()

    result = await run_graph(graph_of(task("a", task_timeout_ms=5000)), {"work": own})
    assert isinstance(result.results["a"].exception, trio.TooSlowError)
    assert result.elapsed_ms == 1000


async def test_a_scope_of_the_actions_own_takes_nothing_from_the_timeout(
    autojump_clock: MockClock,
) -> None:
    async def nested(args: dict[str, Any]) -> None:
        with trio.move_on_after(100):
            await trio.sleep_forever()

    result = await run_graph(graph_of(task("a", task_timeout_ms=1000)), {"work": nested})
    assert result.results["a"].state is TaskState.FAILED
    assert result.elapsed_ms == 1000


@pytest.mark.parametrize("swallow", [False, True])
async def test_a_late_cancel_never_hits_the_next_task_of_the_worker(
    swallow: bool, autojump_clock: MockClock
) -> None:
    """One worker, and the timeout fires at the very instant at which the action ends."""
    ends: list[str] = []

    async def action(args: dict[str, Any], context: TaskContext) -> None:
        with trio.CancelScope(shield=swallow):
            await trio.sleep(1)
        ends.append(context.task_id)

    graph = graph_of(*(task(str(n), task_timeout_ms=1000 if n % 2 else None) for n in range(40)))
    # Chance decides which of them time out: enough to open a breaker.
    result = await run_graph(graph, {"work": action}, max_parallel=1, breaker=None)
    for n in range(0, 40, 2):
        assert result.results[str(n)].success
        assert not result.results[str(n)].late
    assert [n for n in ends if int(n) % 2 == 0] == [str(n) for n in range(0, 40, 2)]
    assert result.elapsed_ms == 40_000


async def test_a_thread_is_waited_for_and_its_value_is_late(patient_clock: MockClock) -> None:
    release = threading.Event()

    def work(args: dict[str, Any]) -> str:
        release.wait(30)
        return "from the thread"

    async def opener(args: dict[str, Any]) -> None:
        await trio.sleep(7)
        release.set()

    graph = graph_of(task("a", task_timeout_ms=1000), task("b", action_name="open"))
    result = await run_graph(graph, {"work": work, "open": opener})
    one = result.results["a"]
    assert (one.response, one.late) == ("from the thread", True)
    assert one.execution_time_ms is not None
    assert one.execution_time_ms >= 7000


async def test_a_thread_that_raises_after_its_timeout_fails_by_the_timeout(
    patient_clock: MockClock,
) -> None:
    release = threading.Event()

    def work(args: dict[str, Any]) -> str:
        release.wait(30)
        raise ValueError("from the thread")

    async def opener(args: dict[str, Any]) -> None:
        await trio.sleep(7)
        release.set()

    graph = graph_of(task("a", task_timeout_ms=1000), task("b", action_name="open"))
    one = (await run_graph(graph, {"work": work, "open": opener})).results["a"]
    assert one.state is TaskState.FAILED
    assert "timed out" in one.error
    assert "from the thread" in one.error


# the run's


async def test_a_graph_timeout_ends_the_run_on_time(autojump_clock: MockClock) -> None:
    graph = graph_of("done", task("busy", "done"), task("never", "busy"), graph_timeout_ms=1500)
    result = await run_graph(graph, {"work": nap})
    assert result.timed_out
    assert not result.ok
    assert result.elapsed_ms == 1500
    assert states(result) == {"done": "succeeded", "busy": "cancelled", "never": "cancelled"}
    for name in ("busy", "never"):
        assert "timed out after 1500 ms" in result.results[name].error
        assert result.results[name].caused_by is None


async def test_a_graph_timeout_that_is_not_needed_changes_nothing(
    autojump_clock: MockClock,
) -> None:
    result = await run_graph(graph_of("a", graph_timeout_ms=1500), {"work": nap})
    assert result.ok
    assert not result.timed_out
    assert result.elapsed_ms == 1000


async def test_after_the_graph_timeout_nothing_starts_not_even_cleanup(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of(
        "busy",
        task("always", "busy", on_dep_fail="always"),
        task("on failure", "busy", on_dep_fail="on_failure"),
        graph_timeout_ms=500,
    )
    result = await run_graph(graph, {"work": nap})
    assert set(states(result).values()) == {"cancelled"}
    assert [one.attempts for one in result.results.values()] == [1, 0, 0]


async def test_a_value_after_the_graph_timeout_is_kept_and_late(autojump_clock: MockClock) -> None:
    async def shielded(args: dict[str, Any]) -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return "kept"

    graph = graph_of("a", task("b", "a"), graph_timeout_ms=500)
    result = await run_graph(graph, {"work": shielded})
    assert states(result) == {"a": "succeeded", "b": "cancelled"}
    assert (result.results["a"].response, result.results["a"].late) == ("kept", True)
    assert result.timed_out
    assert result.elapsed_ms == 1000


async def test_a_graph_timeout_reaches_tasks_that_are_held(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(1)
    limiter.acquire_on_behalf_of_nowait("somebody else")
    graph = graph_of("a", "b", graph_timeout_ms=3000)
    result = await run_graph(graph, {"work": nap}, max_parallel=limiter)
    assert set(states(result).values()) == {"cancelled"}
    assert result.elapsed_ms == 3000
    assert limiter.statistics().tasks_waiting == 0


async def test_the_first_cause_wins_when_both_timeouts_are_overdue(mock_clock: MockClock) -> None:
    async def block(args: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        mock_clock.jump(10)

    graph = graph_of(
        task("a", task_timeout_ms=2000),
        task("b", action_name="block"),
        graph_timeout_ms=1000,
    )
    result = await run_graph(graph, {"work": sleeps(100), "block": block})
    assert result.timed_out
    assert result.results["a"].state is TaskState.CANCELLED


async def test_a_task_timeout_before_the_graph_timeout_keeps_its_cause(
    autojump_clock: MockClock,
) -> None:
    async def slow_cleanup(args: dict[str, Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)

    graph = graph_of(task("a", task_timeout_ms=1000), "b", graph_timeout_ms=2000)
    result = await run_graph(graph, {"work": slow_cleanup})
    assert states(result) == {"a": "failed", "b": "cancelled"}
    assert result.elapsed_ms == 7000


async def test_many_timers_fire_at_their_instants(autojump_clock: MockClock) -> None:
    graph = graph_of(
        *(task(str(n), task_timeout_ms=(n * 37) % 1000 + 1) for n in range(500)),
        max_parallel=500,
    )
    result = await run_graph(graph, {"work": sleeps(10)})
    for n in range(500):
        one = result.results[str(n)]
        assert one.execution_time_ms == pytest.approx((n * 37) % 1000 + 1)
        assert one.started_at is not None
        assert one.finished_at is not None
        assert one.finished_at - one.started_at < timedelta(seconds=1.1)


async def test_inline_actions_are_late_too(mock_clock: MockClock) -> None:
    actions = Actions()

    @actions.register("work", inline=True)
    def work(args: dict[str, Any]) -> str:
        mock_clock.jump(5)
        return "done"

    result = await run_graph(graph_of(task("a", task_timeout_ms=1000)), actions)
    assert (result.results["a"].response, result.results["a"].late) == ("done", True)


async def test_timeouts_leave_no_timer_behind_in_an_open_run(autojump_clock: MockClock) -> None:
    async with open_run(graph_of(task("a", task_timeout_ms=1000)), {"work": returns(1)}) as run:
        assert (await run.wait()).elapsed_ms == 0
        await trio.sleep(10)
