"""Cancelling a run or a task of it: from the handle, from outside, from the block."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    GraphResult,
    Run,
    TaskContext,
    TaskGraph,
    TaskState,
    UnknownTaskError,
    open_run,
    run_graph,
)

from .runs import graph_of, nap, returns, states, task


def three_stages() -> TaskGraph:
    return graph_of("done", task("busy", "done"), task("never", "busy", on_dep_fail="always"))


THREE_ENDS = {"done": "succeeded", "busy": "cancelled", "never": "cancelled"}


async def test_the_surrounding_scope_cancels_and_cancelled_passes_through(
    autojump_clock: MockClock,
) -> None:
    graph, returned = three_stages(), False
    with trio.move_on_after(1.5) as scope:
        await run_graph(graph, {"work": nap})
        returned = True
    assert scope.cancelled_caught
    assert not returned
    assert graph.get_stats()["states"]["cancelled"] == 2
    assert graph.get_stats()["running_tasks"] == 0
    assert (await run_graph(graph, {"work": nap})).ok


async def test_the_surrounding_scope_of_an_open_run(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1.5) as scope:
        async with open_run(three_stages(), {"work": nap}) as run:
            await trio.sleep(1)
    assert scope.cancelled_caught
    result = await run.wait()
    assert states(result) == THREE_ENDS
    assert "outside" in result.results["busy"].error
    assert not result.timed_out


async def test_a_scope_that_is_cancelled_beforehand(autojump_clock: MockClock) -> None:
    ran = []

    async def note(args: dict[str, Any]) -> None:
        ran.append(args)
        await trio.sleep(1)

    graph = graph_of("a")
    with trio.CancelScope() as scope:
        scope.cancel()
        await run_graph(graph, {"work": note})
    assert scope.cancelled_caught
    assert graph.get_stats()["states"]["cancelled"] == 1
    assert (await run_graph(graph, {"work": note})).ok


async def test_the_handle_cancels_the_run(autojump_clock: MockClock) -> None:
    async with open_run(three_stages(), {"work": nap}) as run:
        await trio.sleep(1.5)
        run.cancel(reason="enough")
        run.cancel(reason="a second time")
    result = await run.wait()
    assert states(result) == THREE_ENDS
    assert result.elapsed_ms == 1500
    assert not result.ok
    assert not result.timed_out
    for name in ("busy", "never"):
        assert "enough" in result.results[name].error
        assert result.results[name].caused_by is None


async def test_cancelling_before_anything_has_started(autojump_clock: MockClock) -> None:
    async with open_run(three_stages(), {"work": nap}) as run:
        run.cancel()
    assert set(states(await run.wait()).values()) == {"cancelled"}


async def test_an_action_may_cancel_its_run_or_itself(autojump_clock: MockClock) -> None:
    handle: list[Run] = []

    async def stop_run(args: dict[str, Any]) -> None:
        handle[0].cancel()
        await trio.sleep(1)

    async def stop_me(args: dict[str, Any]) -> None:
        handle[0].cancel("me")
        await trio.sleep(1)

    async def stop_me_late(args: dict[str, Any]) -> str:
        handle[0].cancel("late")
        return "value"

    graph = graph_of(
        task("me", action_name="me"),
        task("late", action_name="late"),
        task("run", "me", on_dep_fail="always", action_name="run"),
        "other",
    )
    actions = {"me": stop_me, "late": stop_me_late, "run": stop_run, "work": nap}
    async with open_run(graph, actions) as run:
        handle.append(run)
    result = await run.wait()
    assert states(result) == {
        "me": "cancelled",
        "late": "succeeded",
        "run": "cancelled",
        "other": "cancelled",
    }
    assert result.results["late"].late


# one task


async def cancelling(when: float, name: str, **options: Any) -> GraphResult:
    graph = graph_of(
        "a", "b", task("after a", "a"), task("cleanup", "a", on_dep_fail="always"), **options
    )
    async with open_run(graph, {"work": nap}) as run:
        await trio.sleep(when)
        run.cancel(name, reason="changed my mind")
    return await run.wait()


async def test_cancel_a_running_task(autojump_clock: MockClock) -> None:
    result = await cancelling(0.5, "a")
    assert states(result) == {
        "a": "cancelled",
        "b": "succeeded",
        "after a": "aborted",
        "cleanup": "succeeded",
    }
    assert "changed my mind" in result.results["a"].error
    assert result.results["a"].attempts == 1
    assert result.results["a"].execution_time_ms == 500
    assert result.results["after a"].caused_by == "a"
    assert result.elapsed_ms == 1500


async def test_cancel_a_task_before_the_run_has_begun(autojump_clock: MockClock) -> None:
    graph = graph_of("a", task("after a", "a"))
    async with open_run(graph, {"work": nap}) as run:
        run.cancel("a")
        assert run.statistics()["states"]["cancelled"] == 1
    assert states(await run.wait()) == {"a": "cancelled", "after a": "aborted"}


async def test_cancel_a_pending_task(autojump_clock: MockClock) -> None:
    result = await cancelling(0.5, "after a")
    assert states(result)["after a"] == "cancelled"
    assert result.results["after a"].attempts == 0
    assert sum(one.success for one in result.results.values()) == 3


async def test_cancel_a_ready_task(autojump_clock: MockClock) -> None:
    result = await cancelling(0.5, "b", max_parallel=1)
    assert states(result)["b"] == "cancelled"
    assert result.results["b"].attempts == 0
    assert result.elapsed_ms == 3000


async def test_cancelling_what_has_ended_does_nothing(autojump_clock: MockClock) -> None:
    result = await cancelling(1.5, "a")
    assert result.ok


async def test_cancelling_when_the_run_is_over_does_nothing(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": nap}) as run:
        pass
    run.cancel("a")
    run.cancel()
    assert (await run.wait()).ok
    assert "over" in repr(run)


@pytest.mark.parametrize("name", ["aa", "", 3, ["a"]])
async def test_cancelling_an_unknown_task_is_refused(name: Any, autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": nap}) as run:
        with pytest.raises(UnknownTaskError, match="has no task") as refusal:
            run.cancel(name)
        assert ("did you mean 'a'?" in str(refusal.value)) is (name == "aa")
    assert (await run.wait()).ok


async def test_a_cancelled_task_frees_its_slot_for_the_next(autojump_clock: MockClock) -> None:
    graph = graph_of(task("hog", normalized_args={"seconds": 1000}), "next", max_parallel=1)
    async with open_run(graph, {"work": nap}) as run:
        await trio.sleep(3)
        run.cancel("hog")
    assert (await run.wait()).elapsed_ms == 4000


async def test_a_task_that_swallows_its_cancellation_has_succeeded_late(
    autojump_clock: MockClock,
) -> None:
    async def stubborn(args: dict[str, Any]) -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        return "kept"

    graph = graph_of("a", task("after", "a", action_name="quick"))
    async with open_run(graph, {"work": stubborn, "quick": returns()}) as run:
        await trio.sleep(1)
        run.cancel("a")
    result = await run.wait()
    assert states(result) == {"a": "succeeded", "after": "succeeded"}
    assert (result.results["a"].response, result.results["a"].late) == ("kept", True)


async def untidy(args: dict[str, Any]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise ValueError("could not clean up")


async def untidy_nursery(args: dict[str, Any]) -> None:
    """Cancelled, it raises a group of Cancelled and ValueError."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(untidy, args)
        await trio.sleep_forever()


@pytest.mark.parametrize("action", [untidy, untidy_nursery])
@pytest.mark.parametrize("scope", ["task", "run", "outside"])
async def test_what_an_action_raises_while_being_cancelled_is_kept_but_changes_no_state(
    action: Callable[[dict[str, Any]], Awaitable[None]], scope: str, autojump_clock: MockClock
) -> None:
    graph = graph_of("a", task("b", "a", on_dep_fail="always", action_name="next"), max_parallel=1)
    with trio.move_on_after(1 if scope == "outside" else 100):
        async with open_run(graph, {"work": action, "next": returns()}) as run:
            await trio.sleep(1)
            run.cancel("a" if scope == "task" else None)
    result = await run.wait()
    one = result.results["a"]
    assert one.state is TaskState.CANCELLED
    assert isinstance(one.exception, ValueError | ExceptionGroup)
    assert "cancelled" in one.error
    assert "could not clean up" in one.traceback
    assert result.results["b"].success is (scope == "task")


@pytest.mark.parametrize("end", ["raises", "returns"])
async def test_nothing_starts_after_the_surrounding_scope_was_cancelled(
    end: str, autojump_clock: MockClock
) -> None:
    """Trio resumes cancelled Trio tasks in random order: whoever comes first must notice."""
    started: list[str] = []

    async def busy(args: dict[str, Any]) -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            if end == "raises":
                raise ValueError("could not clean up") from None
            return "kept"

    async def note(args: dict[str, Any], context: TaskContext) -> None:
        started.append(context.task_id)

    async def one_run() -> None:
        dependents = [
            task(f"{policy} {n}", str(n), on_dep_fail=policy, action_name="note")
            for policy in ("always", "on_failure", "abort")
            for n in range(3)
        ]
        graph = graph_of("0", "1", "2", *dependents)
        with trio.move_on_after(1):
            async with open_run(graph, {"work": busy, "note": note}) as run:
                pass
        result = await run.wait()
        for n in "012":
            assert result.results[n].state.value == {"raises": "cancelled"}.get(end, "succeeded")
            assert result.results[n].late is (end == "returns")
        assert result.statistics["states"]["cancelled"] == (12 if end == "raises" else 9)

    for _ in range(20):
        await one_run()
    assert started == []


async def test_shields_within_shields_are_waited_for(autojump_clock: MockClock) -> None:
    steps: list[float] = []

    async def careful(args: dict[str, Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
                with trio.move_on_after(1, shield=True):
                    await trio.sleep(10)
                steps.append(trio.current_time() - began)

    began = trio.current_time()
    async with open_run(graph_of("a", "b"), {"work": careful}) as run:
        await trio.sleep(1)
        run.cancel()
    assert steps == [3, 3]
    assert (await run.wait()).elapsed_ms == 3000


# the block of open_run


async def test_an_exception_in_the_block_cancels_the_run_and_leaves_bare(
    autojump_clock: MockClock,
) -> None:
    error = RuntimeError("in the block")
    with pytest.raises(RuntimeError) as raised:
        async with open_run(three_stages(), {"work": nap}) as run:
            await trio.sleep(1.5)
            raise error
    assert raised.value is error
    result = await run.wait()
    assert states(result) == THREE_ENDS
    assert "RuntimeError" in result.results["busy"].error


async def test_an_exception_in_the_block_before_anything_has_started() -> None:
    with pytest.raises(RuntimeError, match="at once"):
        async with open_run(graph_of("a"), {"work": nap}) as run:
            raise RuntimeError("at once")
    assert (await run.wait()).results["a"].state is TaskState.CANCELLED


async def test_an_exception_in_the_block_after_the_end_changes_nothing(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(RuntimeError):
        async with open_run(graph_of("a"), {"work": returns(1)}) as run:
            await run.wait()
            raise RuntimeError
    assert (await run.wait()).ok


async def test_the_end_of_the_block_waits_and_so_does_wait(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    async with open_run(graph_of("a"), {"work": nap}) as run:
        assert not (await run.wait()).statistics["running_tasks"]
        assert trio.current_time() - began == 1
    async with open_run(graph_of("a"), {"work": nap}) as run:
        pass
    assert trio.current_time() - began == 2


async def test_who_waits_may_be_cancelled_alone(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": nap}) as run:
        with trio.move_on_after(0.5):
            await run.wait()
        assert run.statistics()["running_tasks"] == 1
    assert (await run.wait()).ok


async def test_a_refusal_leaves_open_run_bare_before_the_block(autojump_clock: MockClock) -> None:
    entered = False
    with pytest.raises(ValueError, match="max_parallel"):
        async with open_run(graph_of("a"), {"work": nap}, max_parallel=0):
            entered = True
    assert not entered
