"""One task through its attempts, alone: what a run's queue holds, this sleeps for.

What follows from an attempt is decided by the same functions as in a run.
"""

from __future__ import annotations

import math
import random

import attrs
import trio

from ._actions import Action, start
from ._breaker import CircuitBreaker, Permit
from ._breaker_policy import is_failure
from ._columns import ClockMap
from ._context import TaskContext, context_of
from ._errors import CircuitOpenError, shorten
from ._identity import key_of
from ._node import TaskNode
from ._outcome import (
    FINAL_STATE,
    Ending,
    Failure,
    after_setback,
    decide,
    describe_failure,
    expiry_error,
    timeout_error,
)
from ._results import TaskResult
from ._retry import RetryPolicy
from ._states import TaskState
from ._watch import Watch

FROM_OUTSIDE = "the surrounding scope was cancelled"


@attrs.define(eq=False, kw_only=True)
class Execution:
    """The way of one task through its attempts.

    Instants are those of the Trio clock; the wall clock is read once, when this is made.

    Attributes:
        breaker: Asked before each attempt; None for none.
        idempotent: Has the task a key?
        outside: What is being handled around the call.
        abort: Cancelled when a safety rule stops everything, for `abort_reason`.
        expired: Its own deadline has ended it, which says nothing of equal work.
    """

    node: TaskNode
    action: Action
    timeout_ms: float
    policy: RetryPolicy | None
    rng: random.Random
    breaker: CircuitBreaker | None
    idempotent: bool
    outside: BaseException | None
    abort: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)
    abort_reason: str | None = attrs.field(init=False, default=None)
    watch: Watch | None = attrs.field(init=False, default=None)
    clock: ClockMap = attrs.field(
        init=False, factory=lambda: ClockMap.starting_at(trio.current_time())
    )
    expired: bool = attrs.field(init=False, default=False)
    attempts: int = attrs.field(init=False, default=0)
    started: float = attrs.field(init=False, default=0.0)
    ended: float = attrs.field(init=False, default=0.0)
    response: object = attrs.field(init=False, default=None)
    late: bool = attrs.field(init=False, default=False)
    failure: Failure | None = attrs.field(init=False, default=None)

    @property
    def deadline(self) -> float:
        """When the task is late, or inf."""
        return math.inf if self.node.deadline is None else self.clock.trio(self.node.deadline)

    @property
    def expires(self) -> float:
        """When the task fails whatever it is doing, or inf."""
        return self.deadline if self.node.expire_at_deadline else math.inf

    def stop(self, reason: str) -> None:
        """A safety rule stops it."""
        if self.abort_reason is None:
            self.abort_reason = reason
            self.abort.cancel()

    async def run(self) -> TaskResult:
        """Make attempts until one succeeds or none may follow."""
        result = None
        with self.abort:
            if self.watch is not None:
                self.watch.begin()
            result = await self._make_attempts()
        if result is None:  # stopped between two attempts
            self.failure = self._stopped(self.abort_reason or "")
            result = self._result(TaskState.ABORTED, trio.current_time())
        return result

    async def _make_attempts(self) -> TaskResult:
        if trio.current_time() >= self.expires:
            return self._expire()
        while True:
            if self.watch is not None and self.watch.check():
                await trio.lowlevel.checkpoint()  # raises
            try:
                permit = await self._permit()
            except CircuitOpenError as error:
                self.failure = after_setback(
                    describe_failure(error, outside=self.outside), self.failure
                )
                return self._result(TaskState.FAILED, trio.current_time())
            if permit is None and trio.current_time() >= self.expires:
                return self._expire()
            try:
                ending, raised = await self._attempt()
            except BaseException:  # Cancelled mostly; it says nothing about the action
                self._tell(permit, Ending.CANCELLED, None, retried=False)
                raise
            decision = decide(ending, raised, self.policy, self.attempts - 1, self.rng)
            self._tell(permit, ending, raised, retried=decision.retry_after is not None)
            if ending is not Ending.VALUE:
                self.failure = self._describe(ending, raised)
            if decision.retry_after is None:
                self.expired = ending is Ending.EXPIRED
                return self._result(decision.state, self.ended)
            next_start = self.ended + decision.retry_after
            await trio.sleep_until(min(next_start, self.expires))
            if next_start >= self.expires:
                return self._expire()

    async def _permit(self) -> Permit | None:
        """Leave for an attempt; None without a breaker, or if the deadline came first.

        Raises:
            CircuitOpenError: The breaker gave up while this waited.
        """
        if self.breaker is None:
            return None
        give_ups = self.breaker.give_ups
        while (permit := self.breaker.try_acquire()) is None:
            if self.breaker.give_ups != give_ups:
                self.breaker.acquire()  # raises, and says it all
            moved = trio.Event()
            unsubscribe = self.breaker.subscribe(lambda _breaker, moved=moved: moved.set())  # type: ignore[misc]
            change = self.breaker.next_change
            try:
                with trio.move_on_at(min(math.inf if change is None else change, self.expires)):
                    await moved.wait()
            finally:
                unsubscribe()
            if trio.current_time() >= self.expires:
                return None
        return permit

    def _tell(
        self, permit: Permit | None, ending: Ending, raised: Exception | None, *, retried: bool
    ) -> None:
        """Tell the breaker and the safety rules how an attempt ended."""
        failed = ending is Ending.TIMEOUT or (
            ending is Ending.ERROR and raised is not None and is_failure(raised)
        )
        if permit is not None:
            if ending is Ending.VALUE:
                permit.succeeded()
            elif failed:
                permit.failed()
            else:
                permit.released()
        if self.watch is None:
            return
        if ending is Ending.VALUE:
            self.watch.succeeded()
        elif ending in (Ending.ERROR, Ending.TIMEOUT):
            self.watch.failed(counts=failed, retried=retried)
        else:
            self.watch.stopped()

    async def _attempt(self) -> tuple[Ending, Exception | None]:
        """Call the action once: how it ended, and what it raised."""
        self.attempts += 1
        self.started = trio.current_time()
        if self.watch is not None:
            self.watch.started()
        returned, late, value, raised = False, False, None, None
        scope = trio.CancelScope(deadline=min(self._timeout, self.expires))
        try:
            with scope:
                value = await start(self.action, self.node.normalized_args, self._context())
                returned, late = True, scope.cancel_called
        except Exception as exc:  # whatever it is, it is this task's and nobody else's
            raised = exc
        finally:
            self.ended = trio.current_time()
        cancelled = trio.current_effective_deadline() <= self.ended  # from outside
        if returned and raised is None:
            self.response, self.late = value, late or cancelled
            return Ending.VALUE, None
        if cancelled:
            return (Ending.ABORTED if self.abort_reason else Ending.CANCELLED), raised
        if not scope.cancel_called:
            return Ending.ERROR, raised
        return (Ending.EXPIRED if self.expires <= self._timeout else Ending.TIMEOUT), raised

    @property
    def _timeout(self) -> float:
        """When the present attempt runs out of time."""
        return self.started + self.timeout_ms / 1000

    def _context(self) -> TaskContext:
        return context_of(self.node, None, None, self.attempts - 1, self._key)

    def _key(self) -> str | None:
        return key_of(self.node) if self.idempotent else None

    def _stopped(self, reason: str) -> Failure:
        """What is kept of an end between two attempts."""
        return after_setback(Failure(reason), self.failure)

    def _describe(self, ending: Ending, raised: Exception | None) -> Failure:
        """What is kept of an attempt that failed; what stopped it is said first."""
        cause: Exception | None = None
        reason = ""
        if ending is Ending.CANCELLED:
            reason = f"task {shorten(self.node.task_id)}: {FROM_OUTSIDE}"
        elif ending is Ending.ABORTED:
            reason = self.abort_reason or ""
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
        self.expired = True
        return self._result(FINAL_STATE[Ending.EXPIRED], trio.current_time())

    # -- without attempts of its own ---------------------------------------------------

    def served(self, response: object) -> TaskResult:
        """The result if somebody else has done this work."""
        self.response = response
        return attrs.evolve(self._result(TaskState.SUCCEEDED, trio.current_time()), cached=True)

    def failed_with(self, leader: TaskResult) -> TaskResult:
        """The result if somebody else has failed to do this work."""
        assert leader.exception is None or isinstance(leader.exception, Exception)
        self.failure = Failure(leader.error, leader.exception, leader.traceback)
        result = self._result(leader.state, trio.current_time())
        return attrs.evolve(result, caused_by=leader.task_id)

    def cancelled(self, reason: str) -> TaskResult:
        """The result if it was cancelled, or interrupted."""
        self.failure = self._stopped(f"task {shorten(self.node.task_id)}: {reason}")
        return self._result(TaskState.CANCELLED, trio.current_time())

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
            idempotency_key=self._key(),
        )
