"""`TaskExecutor`: one task through its attempts, alone, without a graph.

The run holds a task that waits for its next attempt; the executor sleeps. What follows from
an attempt is decided by the same function (`_outcome.decide`).
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from typing import Any

import attrs
import trio

from ._actions import Action, TaskContext, make_action, start
from ._checks import check_milliseconds
from ._columns import ClockMap
from ._errors import (
    InvalidArgumentError,
    InvalidTypeError,
    shorten,
)
from ._identity import key_of
from ._node import TaskNode
from ._outcome import (
    FINAL_STATE,
    Ending,
    Failure,
    decide,
    describe_failure,
    expiry_error,
    timeout_error,
)
from ._results import TaskResult
from ._retry import DEFAULT_RETRY, RetryPolicy, policy_for
from ._states import TaskState


class TaskExecutor:
    """Executes single tasks: timeout, retries, back-off, and a result instead of an exception.

    Any number of tasks may be executed at the same time.

    Args:
        retry: How failed attempts are repeated; a task's own `max_retries` goes before the
            policy's. None switches retries off, also for tasks that ask for some.
        seed: Makes the back-offs the same every time.

    Raises:
        InvalidTypeError: An argument is of a type that it cannot have.
    """

    def __init__(
        self, *, retry: RetryPolicy | None = DEFAULT_RETRY, seed: int | None = None
    ) -> None:
        self._retry = check_retry(retry)
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise InvalidTypeError(f"seed is {shorten(seed)}; it must be an int or None")
        self._rng = random.Random(seed)

    async def execute(
        self,
        node: TaskNode,
        task_callable: Callable[..., Any] | Action,
        timeout_ms: float | None = None,
    ) -> TaskResult:
        """Execute one task, and return when it has succeeded or failed for good.

        What the callable raises is in the result and not raised. Always a checkpoint.

        Cancellation: cancels the attempt or the back-off and passes on. A value that the
        callable returns all the same is kept (`late=True`), and so is an `Exception` that it
        raises instead (the state is CANCELLED); the caller gets `trio.Cancelled` at its next
        checkpoint. A plain function in a thread is waited for.

        Args:
            node: The task. Its dependencies and its priority do not matter here. With
                `expire_at_deadline` it fails at its deadline, whatever it is doing.
            task_callable: `async def action(args)` or `(args, context)`; a plain function is
                called in a worker thread. An `Action` is called as it says.
            timeout_ms: Bounds each attempt, in milliseconds, instead of the task's own timeout.

        Raises:
            InvalidArgumentError: The arguments hold `output_of`; there is no other task here.
            InvalidTypeError, InvalidValueError: An argument is of a type, or has a value, that
                it cannot have.
            KeyboardInterrupt, SystemExit: And whatever else is no `Exception`.

        Returns:
            The result; `attempts` says how often the callable was called.
        """
        if not isinstance(node, TaskNode):
            raise InvalidTypeError(f"{shorten(node)} is no TaskNode but a {type(node).__name__}")
        if node.inputs:
            raise InvalidArgumentError(
                f"task {shorten(node.task_id)} takes the output of task {shorten(node.inputs[0])}, "
                "but is executed alone; put it into a graph, or the value into its arguments",
                "normalized_args",
            )
        if timeout_ms is None:
            timeout_ms = node.task_timeout_ms
        else:
            timeout_ms = check_milliseconds(("task", node.task_id), "timeout_ms", timeout_ms)
        execution = _Execution(
            node=node,
            action=make_action(node.action_name, task_callable),
            timeout_ms=math.inf if timeout_ms is None else timeout_ms,
            policy=policy_for(self._retry, node.max_retries),
            rng=self._rng,
            outside=sys.exception(),
        )
        await trio.lowlevel.checkpoint()
        return await execution.run()


def check_retry(value: object) -> RetryPolicy | None:
    """The option `retry`."""
    if value is None or isinstance(value, RetryPolicy):
        return value
    raise InvalidTypeError(f"retry is {shorten(value)}; it must be a RetryPolicy or None")


@attrs.define(eq=False, kw_only=True)
class _Execution:
    """The way of one task through its attempts.

    Instants are those of the Trio clock; the wall clock is read once, at the start.
    """

    node: TaskNode
    action: Action
    timeout_ms: float
    policy: RetryPolicy | None
    rng: random.Random
    outside: BaseException | None  # what is being handled around the call
    clock: ClockMap = attrs.field(init=False)
    deadline: float = attrs.field(init=False, default=math.inf)
    attempts: int = attrs.field(init=False, default=0)
    started: float = attrs.field(init=False, default=0.0)
    ended: float = attrs.field(init=False, default=0.0)
    response: object = attrs.field(init=False, default=None)
    late: bool = attrs.field(init=False, default=False)
    failure: Failure | None = attrs.field(init=False, default=None)

    @property
    def expires(self) -> float:
        """When the task fails whatever it is doing, or inf."""
        return self.deadline if self.node.expire_at_deadline else math.inf

    async def run(self) -> TaskResult:
        now = trio.current_time()
        self.clock = ClockMap.starting_at(now)
        if self.node.deadline is not None:
            self.deadline = self.clock.trio(self.node.deadline)
        if now >= self.expires:
            return self._expire()
        while True:
            ending, raised = await self._attempt()
            decision = decide(ending, raised, self.policy, self.attempts - 1, self.rng)
            if ending is not Ending.VALUE:
                self.failure = self._describe(ending, raised)
            if decision.retry_after is None:
                return self._result(decision.state, self.ended)
            next_start = self.ended + decision.retry_after
            await trio.sleep_until(min(next_start, self.expires))
            if next_start >= self.expires:
                return self._expire()

    async def _attempt(self) -> tuple[Ending, Exception | None]:
        """Call the action once: how it ended, and what it raised."""
        self.attempts += 1
        self.started = trio.current_time()
        returned, late, value, raised = False, False, None, None
        scope = trio.CancelScope(deadline=min(self._timeout, self.expires))
        try:
            with scope:
                value = await start(self.action, self.node.normalized_args, self._context())
                returned, late = True, scope.cancel_called
        except Exception as exc:  # whatever it is, it is this task's and nobody else's
            raised = exc
        self.ended = trio.current_time()
        cancelled = trio.current_effective_deadline() <= self.ended  # from outside
        if returned and raised is None:
            self.response, self.late = value, late or cancelled
            return Ending.VALUE, None
        if cancelled:
            return Ending.CANCELLED, raised
        if not scope.cancel_called:
            return Ending.ERROR, raised
        return (Ending.EXPIRED if self.expires <= self._timeout else Ending.TIMEOUT), raised

    @property
    def _timeout(self) -> float:
        """When the present attempt runs out of time."""
        return self.started + self.timeout_ms / 1000

    def _context(self) -> TaskContext:
        return TaskContext(
            task_id=self.node.task_id,
            action_name=self.node.action_name,
            graph_id=None,
            run_id=None,
            attempt=self.attempts - 1,
            deadline=self.node.deadline,
            node=self.node,
        )

    def _describe(self, ending: Ending, raised: Exception | None) -> Failure:
        """What is kept of an attempt that failed; what stopped it is said first."""
        cause: Exception | None = None
        reason = ""
        if ending is Ending.CANCELLED:
            reason = f"task {shorten(self.node.task_id)}: the surrounding scope was cancelled"
        elif ending is Ending.TIMEOUT:
            cause = timeout_error(self.node, self.attempts, self.timeout_ms)
        elif ending is Ending.EXPIRED:
            cause = expiry_error(self.node)
        if raised is not None:
            return describe_failure(raised, reason=reason or str(cause or ""), outside=self.outside)
        return Failure(reason) if cause is None else describe_failure(cause)

    def _expire(self) -> TaskResult:
        """The deadline came before the next attempt."""
        error = expiry_error(self.node)
        if self.failure is not None:
            error.__cause__ = self.failure.exception
        self.failure = describe_failure(error, outside=self.outside)
        return self._result(FINAL_STATE[Ending.EXPIRED], trio.current_time())

    def _result(self, state: TaskState, finished: float) -> TaskResult:
        success = state is TaskState.SUCCEEDED
        failure = Failure("") if success or self.failure is None else self.failure
        ran = self.attempts > 0
        return TaskResult(
            task_id=self.node.task_id,
            state=state,
            response=self.response,
            error=failure.error,
            exception=failure.exception,
            traceback=failure.traceback,
            attempts=self.attempts,
            late=self.late,
            deadline_missed=finished > self.deadline or (finished == self.deadline and not success),
            started_at=self.clock.wall(self.started) if ran else None,
            finished_at=self.clock.wall(finished),
            execution_time_ms=(self.ended - self.started) * 1000 if ran else None,
            idempotency_key=key_of(self.node),
        )
