"""What becomes of a task when an attempt of it has ended: the outcome table, carried out.

`_outcome.decide` says what follows. Here the queue is told, the breaker, the followers of the
task and the store, and a task that may be tried again is held until then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attrs
import trio

from ._backend import ReadyQueue
from ._breaker_policy import is_failure
from ._columns import TaskResults
from ._errors import CircuitOpenError, InvalidArgumentError
from ._guards import Guards
from ._holds import COOLING, ActionHolds
from ._outcome import FINAL_STATE, Ending, Failure, after_setback, describe_failure
from ._recorder import Recorder
from ._reporter import Reporter
from ._retries import Retries
from ._retry import requested_delay
from ._sharing import Sharing
from ._states import FAILED, FIRST_TERMINAL, READY, RUNNING, STATES, SUCCEEDED
from ._timekeeper import Timekeeper, Timer
from ._watch import Watch

STATE_CODE = {state: code for code, state in enumerate(STATES)}


@attrs.define(eq=False, kw_only=True)
class Endings:
    """The ends of the attempts of one run.

    Attributes:
        watch: The safety rules; told of each end. None if there are none.
        recorder: The store; None if there is none.
        reporter: The instruments; None if there are none.
        arguments: The arguments of a task, with every `output_of` replaced.
        may_retry: Is the run still to try again what failed?
        changed: Called when somebody may start who could not before.
        outside: What the caller of the run is handling, if the run is part of an `except`.
    """

    results: TaskResults
    queue: ReadyQueue
    timers: Timekeeper
    holds: ActionHolds
    retries: Retries
    guards: Guards
    sharing: Sharing
    watch: Watch | None
    recorder: Recorder | None
    reporter: Reporter | None
    arguments: Callable[[int], dict[str, Any]]
    may_retry: Callable[[], bool]
    changed: Callable[[], None]
    outside: BaseException | None
    _backing_off: dict[int, Timer] = attrs.field(init=False, factory=dict)  # by rank
    _cooling: dict[int, Timer] = attrs.field(init=False, factory=dict)  # by action

    # -- of an attempt ------------------------------------------------------------------

    def succeeded(self, rank: int, generation: int) -> bool:
        """It returned a value, which is written down. True: the caller tells the queue."""
        if self.guards:
            self._settle_breaker(rank, generation, success=True)
        if self.watch is not None:
            self.watch.succeeded()
        if self.recorder is not None and not self._record(rank, self.recorder):
            return False
        if not self.sharing.has_key(rank):
            return True
        self.completed(rank)
        return False

    def _record(self, rank: int, recorder: Recorder) -> bool:
        """Write down a success. False: it failed by that, or must wait until it is on disk."""
        try:
            durable = recorder.succeeded(rank)
        except InvalidArgumentError as error:  # the response is no JSON
            self.results.columns.responses[rank] = None
            self._end(rank, FAILED, self.describe(error))
            return False
        if not durable:
            self.queue.detach(rank)
        return durable

    def served(self, rank: int) -> None:
        """A response that somebody else made is written down for it.

        Raises:
            InvalidArgumentError: It is no JSON, and a store must keep it. Nothing has changed.
        """
        if self.recorder is None or self.recorder.succeeded(rank):
            self.completed(rank)
        elif self.queue.state(rank) == RUNNING:
            self.queue.detach(rank)

    def spoilt(self, rank: int, error: InvalidArgumentError) -> None:
        """What it was to be served has been changed since, and cannot be kept any more."""
        failure = self.describe(error)
        if self.queue.state(rank) == RUNNING:
            self._end(rank, FAILED, failure)
        else:
            self.unstarted(rank, Ending.ERROR, failure, for_good=True)

    def completed(self, rank: int) -> None:
        """Its success holds, and is on disk where it must be."""
        if self.queue.state(rank) == RUNNING:
            self.queue.complete(rank, SUCCEEDED)
        elif not self.queue.end(rank, SUCCEEDED):
            return  # cancelled meanwhile
        self.sharing.ended(rank)

    def failed(
        self,
        rank: int,
        generation: int,
        ending: Ending,
        exception: Exception | None,
        timeout: Exception | None = None,
    ) -> None:
        """It raised, or ran out of time (`timeout`, while it raised something or nothing)."""
        decision, refusal = self.retries.after(
            rank, ending, exception, self.results.columns.attempts[rank] - 1, self.may_retry()
        )
        requested = requested_delay(exception)
        counts = ending is Ending.TIMEOUT or (exception is not None and is_failure(exception))
        failure = self._failure(exception, timeout)
        if refusal:
            failure = attrs.evolve(failure, error=f"{failure.error}; {refusal}")
        now = self.results.columns.finished[rank]
        if requested is not None and self.retries.active:
            self._cool(self.results.plan.action[rank], now + requested)
        if decision.retry_after is None:
            self._end(rank, STATE_CODE[decision.state], failure)
        else:
            self.results.columns.setbacks[rank] = failure
            self.queue.hold(rank)
            back_off_over = functools.partial(self._back_off_over, rank)
            self._backing_off[rank] = self.timers.at(now + decision.retry_after, back_off_over)
            if self.recorder is not None:
                self.recorder.set_back(rank)
            if self.reporter is not None:
                self.reporter.retried(rank, failure.error, decision.retry_after)
        self._settle_breaker(rank, generation, success=False if counts else None)
        if self.watch is not None:
            self.watch.failed(counts=counts, retried=decision.retry_after is not None)

    def _failure(self, exception: Exception | None, timeout: Exception | None) -> Failure:
        if exception is not None:
            return self.describe(exception, str(timeout or ""))
        assert timeout is not None
        return self.describe(timeout)

    def stopped(self, rank: int, generation: int, ending: Ending, failure: Failure) -> None:
        """It was cancelled, by whatever; that says nothing about the action."""
        self._end(rank, STATE_CODE[FINAL_STATE[ending]], failure, for_good=False)
        self._settle_breaker(rank, generation, success=None)
        if self.watch is not None:
            self.watch.stopped()

    def _settle_breaker(self, rank: int, generation: int, success: bool | None) -> None:
        self.guards.settle(rank, self.results.plan.action[rank], generation, success)

    def _end(self, rank: int, state: int, failure: Failure, *, for_good: bool = True) -> None:
        self.results.columns.failures[rank] = failure
        self.queue.complete(rank, state)
        self.sharing.ended(rank, failure, for_good=for_good)
        if self.recorder is not None:
            self.recorder.ended(rank)

    def describe(self, error: Exception, reason: str = "") -> Failure:
        """What is kept of an exception."""
        return describe_failure(error, reason=reason, outside=self.outside)

    # -- of a task that is not in flight ---------------------------------------------------

    def unstarted(
        self, rank: int, ending: Ending, failure: Failure, *, for_good: bool = False
    ) -> None:
        """End a task that is not in flight; nothing happens if it has ended already."""
        if self.queue.state(rank) >= FIRST_TERMINAL:
            return
        failure = self._after_setback(rank, failure)
        if (back_off := self._backing_off.pop(rank, None)) is not None:
            self.timers.cancel(back_off)
        if self.queue.end(rank, STATE_CODE[FINAL_STATE[ending]]):
            self.results.columns.failures[rank] = failure
            if self.results.columns.attempts[rank]:
                self.results.columns.ended[rank] = trio.current_time()
            self.sharing.ended(rank, failure, for_good=for_good)
            if self.recorder is not None:
                self.recorder.ended(rank)

    def refused(self, rank: int, error: CircuitOpenError) -> None:
        """Its turn came, and its breaker fails what it does not let through."""
        self._end(rank, FAILED, self._after_setback(rank, self.describe(error)))

    def _after_setback(self, rank: int, failure: Failure) -> Failure:
        return after_setback(failure, self.results.columns.setbacks.get(rank))

    def give_up(self, action: int, error: CircuitOpenError) -> None:
        """Fail all the tasks that the breaker of an action holds now, and that need a call."""
        queued = self.queue.queued_at(self.holds.gate(action))
        # Leaders first: their failure is that of their followers, some of which may be queued too.
        for rank in sorted(queued, key=lambda rank: self.sharing.leader_of(rank) >= 0):
            if self.queue.state(rank) >= FIRST_TERMINAL:
                continue
            if self.sharing.serve_done(rank, self.arguments(rank)):
                continue  # it needs no call
            own = self.describe(CircuitOpenError(str(error)))
            self.unstarted(rank, Ending.ERROR, own, for_good=True)
        self.changed()

    # -- waits ------------------------------------------------------------------------------

    def released(self, rank: int) -> None:
        """What a task was held for is over."""
        if self.queue.let_go(rank):
            self.sharing.released(rank)
            self.changed()

    def backs_off_until(self, rank: int) -> float | None:
        """When a task is tried again, if it backs off."""
        timer = self._backing_off.get(rank)
        return None if timer is None else timer.when

    def cools_until(self, action: int) -> float | None:
        """When the tasks of an action may start again, if a `RetryLater` holds them."""
        timer = self._cooling.get(action)
        return None if timer is None else timer.when

    @property
    def backing_off(self) -> int:
        """How many tasks back off. A drain has ended those of which the timers are left."""
        return sum(self.queue.state(rank) == READY for rank in self._backing_off)

    def _back_off_over(self, rank: int) -> None:
        del self._backing_off[rank]
        self.released(rank)

    def _cool(self, action: int, until: float) -> None:
        """The server asked for peace: hold the whole action.

        Where nothing could hold an action when the run began it has no gate for that.
        """
        if self.holds.gate(action) < 0:
            return
        before = self._cooling.get(action)
        if before is not None:
            if before.when >= until:
                return
            self.timers.cancel(before)
        if self.reporter is not None:
            self.reporter.cooling(action, until, trio.current_time())
        self.holds.close(action, COOLING)
        self._cooling[action] = self.timers.at(until, functools.partial(self._warm, action))

    def _warm(self, action: int) -> None:
        del self._cooling[action]
        self.holds.open(action, COOLING)
        self.changed()
