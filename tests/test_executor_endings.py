"""What ends a task that is executed alone before it is done: timeout, deadline, or its caller."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import trio
import trio.testing

from tgtrio._errors import DeadlineExpiredError, TaskTimeoutError
from tgtrio._node import TaskNode
from tgtrio._retry import RetryPolicy
from tgtrio._states import TaskState

from .test_executor import NOON, Action, executor, noon, ok, seconds, slow_clock, task

__all__ = ["noon", "slow_clock"]  # the fixtures

# Timeouts


async def test_a_timeout_ends_the_attempt_and_is_retried(
    autojump_clock: trio.testing.MockClock,
) -> None:
    action = Action(60.0, 0.25)
    result = await executor().execute(task(task_timeout_ms=500), action)
    assert result.response == 0.25
    assert not result.late
    assert action.starts == [0, 0.5 + 1]


async def test_a_timeout_fails_the_task_in_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    result = await executor().execute(task(task_timeout_ms=500, max_retries=1), Action(60.0))
    assert (result.state, result.attempts) == (TaskState.FAILED, 2)
    assert isinstance(result.exception, TaskTimeoutError)
    assert result.error == "TaskTimeoutError: task 't': attempt 2 timed out after 500 ms"
    assert result.execution_time_ms == 500.0
    assert trio.current_time() == 0.5 + 1 + 0.5


@pytest.mark.parametrize(("own", "given"), [(50.0, 2_000.0), (None, 2_000.0)])
async def test_the_timeout_of_the_call_goes_before_the_tasks(
    autojump_clock: trio.testing.MockClock, own: float | None, given: float
) -> None:
    node = task(task_timeout_ms=own, max_retries=0)
    assert (await executor().execute(node, Action(1.0), timeout_ms=given)).success
    assert not (await executor().execute(node, Action(3.0), timeout_ms=given)).success
    assert trio.current_time() == 1 + 2


async def swallow(args: Any) -> str:
    with trio.CancelScope(shield=True):
        await trio.sleep(1)
    return "late"


async def catch(args: Any) -> str:
    try:
        await trio.sleep(60)
    except trio.Cancelled:
        return "late"
    return "in time"


@pytest.mark.parametrize("action", [swallow, catch])
async def test_a_value_that_comes_late_is_kept(
    autojump_clock: trio.testing.MockClock, action: Any
) -> None:
    result = await executor().execute(task(task_timeout_ms=100), action)
    assert (result.state, result.response, result.late) == (TaskState.SUCCEEDED, "late", True)
    assert (result.attempts, result.error) == (1, "")


async def test_a_body_in_a_thread_is_waited_for(slow_clock: trio.testing.MockClock) -> None:
    timed_out = threading.Event()

    def body(args: Any) -> str:
        assert timed_out.wait(10)
        return "late"

    async def watch() -> None:
        await trio.sleep(1)
        timed_out.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        result = await executor().execute(task(task_timeout_ms=500), body)
    assert (result.response, result.late) == ("late", True)
    assert result.execution_time_ms == 1000.0


async def spoil(args: Any) -> None:
    try:
        await trio.sleep(60)
    finally:
        raise ValueError("in the clean-up")


async def test_what_is_raised_because_of_a_timeout_is_kept_and_the_timeout_rules(
    autojump_clock: trio.testing.MockClock,
) -> None:
    result = await executor(retry=RetryPolicy(max_retries=1, retry_on=TimeoutError)).execute(
        task(task_timeout_ms=500), spoil
    )
    assert (result.state, result.attempts) == (TaskState.FAILED, 2)
    assert isinstance(result.exception, ValueError)
    assert result.error == (
        "task 't': attempt 2 timed out after 500 ms; "
        "while being stopped it raised ValueError: in the clean-up"
    )


async def test_an_action_times_itself_out_as_it_likes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def action(args: Any) -> str:
        with trio.move_on_after(1):
            await trio.sleep(60)
        return "moved on"

    result = await executor().execute(task(task_timeout_ms=2_000), action)
    assert (result.response, result.late) == ("moved on", False)


async def test_a_scope_that_an_action_leaves_open_is_its_error() -> None:
    async def action(args: Any) -> str:
        trio.CancelScope().__enter__()
        return "gone"

    result = await executor(retry=None).execute(task(), action)
    assert (result.state, result.response) == (TaskState.FAILED, None)
    assert "RuntimeError: Cancel scope stack corrupted" in result.error
    assert (await executor().execute(task(), ok)).success


# Deadlines


def expiring(after: float, **fields: Any) -> TaskNode:
    deadline = NOON + timedelta(seconds=after)
    return task(deadline=deadline, expire_at_deadline=True, **fields)


async def test_an_attempt_ends_at_the_deadline(
    autojump_clock: trio.testing.MockClock, noon: datetime
) -> None:
    result = await executor().execute(expiring(2.5, task_timeout_ms=60_000), Action(60.0))
    assert (result.state, result.attempts, result.deadline_missed) == (TaskState.FAILED, 1, True)
    assert isinstance(result.exception, DeadlineExpiredError)
    assert "not done by its deadline 2030-01-01 12:00:02.5" in result.error
    assert result.finished_at == noon + timedelta(seconds=2.5)
    assert trio.current_time() == 2.5


async def test_the_deadline_ends_a_back_off_on_time(
    autojump_clock: trio.testing.MockClock, noon: datetime
) -> None:
    action = Action(OSError("first"), OSError("second"), "never")
    result = await executor().execute(expiring(2.5), action)
    assert action.starts == [0, 1]
    assert trio.current_time() == 2.5
    assert isinstance(result.exception, DeadlineExpiredError)
    assert isinstance(result.exception.__cause__, OSError)
    assert "OSError: second" in result.traceback
    assert seconds(result.started_at, result.finished_at) == 1.5
    assert result.execution_time_ms == 0.0


@pytest.mark.parametrize("after", [0, -1, -1e9])
async def test_a_task_that_comes_too_late_is_not_started(
    autojump_clock: trio.testing.MockClock, noon: datetime, after: float
) -> None:
    action = Action("never")
    result = await executor().execute(expiring(after), action)
    assert (result.state, result.attempts, action.starts) == (TaskState.FAILED, 0, [])
    assert isinstance(result.exception, DeadlineExpiredError)
    assert (result.started_at, result.execution_time_ms) == (None, None)
    assert (result.finished_at, result.deadline_missed) == (noon, True)


async def test_the_nearer_of_timeout_and_deadline_rules(
    autojump_clock: trio.testing.MockClock, noon: datetime
) -> None:
    action = Action(60.0)
    result = await executor().execute(expiring(2.25, task_timeout_ms=1_000), action)
    assert action.starts == [0, 2]
    assert isinstance(result.exception, DeadlineExpiredError)
    assert trio.current_time() == 2.25


@pytest.mark.parametrize(("after", "missed"), [(1, False), (0.5, True), (-1, True)])
async def test_a_deadline_alone_ends_nothing(
    autojump_clock: trio.testing.MockClock, noon: datetime, after: float, missed: bool
) -> None:
    node = task(deadline=noon + timedelta(seconds=after))
    result = await executor().execute(node, Action(1.0))
    assert (result.success, result.deadline_missed) == (True, missed)


async def test_a_deadline_may_be_in_any_time_zone(
    autojump_clock: trio.testing.MockClock, noon: datetime
) -> None:
    here = timezone(timedelta(hours=-5))
    node = task(deadline=(noon + timedelta(seconds=1)).astimezone(here), expire_at_deadline=True)
    await executor().execute(node, Action(60.0))
    assert trio.current_time() == 1


# Cancellation from outside


async def cancelled_after(action: Any, **fields: Any) -> tuple[Any, trio.CancelScope]:
    result = None
    with trio.move_on_after(1) as scope:
        result = await executor().execute(task(**fields), action)
    return result, scope


async def test_cancellation_passes_through(autojump_clock: trio.testing.MockClock) -> None:
    result, scope = await cancelled_after(Action(60.0))
    assert result is None
    assert scope.cancelled_caught
    assert trio.current_time() == 1


async def test_a_back_off_is_cancelled_too(autojump_clock: trio.testing.MockClock) -> None:
    action = Action(OSError(), OSError())
    result, scope = await cancelled_after(action)
    assert (result, action.starts) == (None, [0])
    assert scope.cancelled_caught
    assert trio.current_time() == 1


async def test_a_value_that_comes_in_spite_of_it_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    result, scope = await cancelled_after(catch)
    assert (result.state, result.response, result.late) == (TaskState.SUCCEEDED, "late", True)
    assert scope.cancel_called


async def test_an_exception_that_comes_instead_is_kept_and_not_retried(
    autojump_clock: trio.testing.MockClock,
) -> None:
    result, _scope = await cancelled_after(spoil)
    assert (result.state, result.attempts) == (TaskState.CANCELLED, 1)
    assert isinstance(result.exception, ValueError)
    assert result.error == (
        "task 't': the surrounding scope was cancelled; "
        "while being stopped it raised ValueError: in the clean-up"
    )


# What is no Exception


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, BaseException])
async def test_what_is_no_exception_is_raised(kind: type[BaseException]) -> None:
    action = Action(kind("now"))
    raised = None
    try:
        await executor().execute(task(), action)
    except BaseException as exc:
        raised = exc
    assert type(raised) is kind
    assert len(action.starts) == 1
