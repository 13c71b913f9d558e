"""The attempts of a run: what the pump asks its host about a single task.

How an attempt is made when it takes more than the plain call, how a timeout, an
expiry or a cancellation reaches it, and what is written down when it ends.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attrs
import trio
from trio.lowlevel import enable_ki_protection

from ._actions import Action, TaskContext, start
from ._arguments import Unavailable, substitute
from ._backend import FOREIGN, Pump, ReadyQueue
from ._borrowing import Borrowing
from ._columns import TaskResults
from ._ends import End
from ._errors import LeakedScopeError, shorten
from ._hygiene import what_is_left
from ._outcome import (
    FINAL_STATE,
    Ending,
    Failure,
    describe_failure,
    expiry_error,
    timeout_error,
)
from ._plan import EXPIRES, TIMED
from ._states import STATES, SUCCEEDED
from ._timekeeper import Timekeeper

STATE_CODE = {state: code for code, state in enumerate(STATES)}


@attrs.frozen
class Doom:
    """Why the task in flight was cancelled while the run goes on."""

    ending: Ending
    error: Exception | None  # what the task fails with; None where it is merely cancelled
    reason: str


@attrs.define(eq=False)
class Attempts:
    """The host of the pumps of one run.

    Attributes:
        results: The results as they come; holds the plan, the columns and the clock.
        end_of_run: The end of the run once it is cut short. Asked by whoever finds itself
            cancelled, so it also notices a cancellation from outside.
        wake: Wakes another worker.
        outside: What the caller of the run is handling, if the run is part of an `except`.
    """

    graph_id: str
    run_id: str
    actions: list[Action]
    results: TaskResults
    queue: ReadyQueue
    timers: Timekeeper
    borrowing: Borrowing | None
    threads: trio.CapacityLimiter
    end_of_run: Callable[[], End]
    is_over: Callable[[], bool]
    wake: Callable[[], None]
    outside: BaseException | None
    _dooms: dict[int, Doom] = attrs.field(init=False, factory=dict)
    _watched: dict[int, Pump] = attrs.field(init=False, factory=dict)

    # -- making an attempt ------------------------------------------------------

    @enable_ki_protection
    def prepare(self, pump: Pump, rank: int) -> Any:
        if pump.kind & EXPIRES and self._overdue(rank):
            self.queue.give_back(rank)
            self.expire(rank)
            return None
        if pump.kind & FOREIGN:
            assert self.borrowing is not None
            if not self.borrowing.borrow(rank):
                self.queue.give_back(rank)
                return None
        return self._attempt(rank)

    def _overdue(self, rank: int) -> bool:
        """Its timer is late: something kept the event loop busy."""
        deadline = self.results.plan.nodes[rank].deadline
        return deadline is not None and self.results.clock.trio(deadline) <= trio.current_time()

    async def _attempt(self, rank: int) -> Any:
        plan = self.results.plan
        node = plan.nodes[rank]
        action = self.actions[plan.action[rank]]
        args = node.normalized_args
        if node.inputs:
            args = substitute(args, self._input)
        context = TaskContext(
            task_id=node.task_id,
            action_name=node.action_name,
            graph_id=self.graph_id,
            run_id=self.run_id,
            attempt=self.results.columns.attempts[rank] - 1,
            deadline=node.deadline,
            node=node,
        )
        return await start(action, args, context, self.threads)

    def _input(self, task_id: str) -> object:
        rank = self.results.plan.rank(task_id)
        if self.queue.state(rank) == SUCCEEDED:
            return self.results.columns.responses[rank]
        result = self.results.at(rank)
        return Unavailable(task_id, result.state, result.error)

    # -- ending one from outside -------------------------------------------------

    @enable_ki_protection
    def watch(self, pump: Pump) -> None:
        self._watched[pump.task] = pump
        if pump.kind & TIMED:
            timeouts = self.results.plan.timeouts
            assert timeouts is not None
            when = self.results.columns.started[pump.task] + timeouts[pump.task]
            pump.timer = self.timers.at(when, functools.partial(self._time_out, pump))

    @enable_ki_protection
    def leave(self, pump: Pump) -> None:
        self._watched.pop(pump.task, None)
        if pump.timer is not None:
            self.timers.cancel(pump.timer)
            pump.timer = None
        if pump.kind & FOREIGN and self.borrowing is not None:
            self.borrowing.give_back(pump.task)

    def _time_out(self, pump: Pump) -> None:
        node = self.results.plan.nodes[pump.task]
        assert node.task_timeout_ms is not None
        attempt = self.results.columns.attempts[pump.task]
        error = timeout_error(node, attempt, node.task_timeout_ms)
        self.doom(pump, Doom(Ending.TIMEOUT, error, str(error)))

    def expire(self, rank: int) -> None:
        """The deadline of a task that expires has come."""
        error = expiry_error(self.results.plan.nodes[rank])
        if (pump := self._watched.get(rank)) is not None:
            self.doom(pump, Doom(Ending.EXPIRED, error, str(error)))
        else:
            self.end_unstarted(rank, Ending.EXPIRED, self._describe(error))

    def doom(self, pump: Pump, doom: Doom) -> None:
        """Cancel the task in flight; the first cause holds, the end of the run among them."""
        if not pump.doom and not self.is_over():
            self._dooms[pump.task] = doom
            pump.doom = 1
            pump.scope.cancel()

    def end_unstarted(self, rank: int, ending: Ending, failure: Failure) -> None:
        """End a task that is not in flight; nothing happens if it has ended already."""
        if self.queue.end(rank, STATE_CODE[FINAL_STATE[ending]]):
            self.results.columns.failures[rank] = failure

    @enable_ki_protection
    def cancelled(self, pump: Pump) -> None:
        # Trio resumes Trio tasks in any order: this worker may be the first to learn that the
        # run is cancelled from outside, and what the action makes of it must count as late.
        if not pump.doom:
            self.end_of_run()

    # -- writing down its end ------------------------------------------------------

    @enable_ki_protection
    def fail(self, pump: Pump, error: Exception) -> None:
        if pump.doom or self.is_over():
            self._end_cancelled(pump.task, error)
        else:
            self._end(pump.task, Ending.ERROR, self._describe(error))

    @enable_ki_protection
    def settle(self, pump: Pump, error: Exception | None, cancelled: bool) -> None:
        self.results.columns.finished[pump.task] = trio.current_time()
        if pump.doom or cancelled or self.is_over():
            self._end_cancelled(pump.forget(), error)
            return
        if error is None:
            error = LeakedScopeError(
                f"{self._task(pump.task)} raised trio.Cancelled although nothing had cancelled it; "
                "a Cancelled must not be kept and raised elsewhere"
            )
        self._end(pump.forget(), Ending.ERROR, self._describe(error))

    def _end_cancelled(self, rank: int, raised: Exception | None) -> None:
        """The state follows the cause; what the action raised meanwhile is kept."""
        doom = self._dooms.pop(rank, None)
        if doom is None:
            end = self.end_of_run()
            doom = Doom(Ending.CANCELLED, None, end.reason)
        if raised is not None:
            failure = self._describe(raised, doom.reason)
        elif doom.error is not None:
            failure = self._describe(doom.error)
        else:
            failure = Failure(doom.reason)
        self._end(rank, doom.ending, failure)

    def _describe(self, error: Exception, reason: str = "") -> Failure:
        return describe_failure(error, reason=reason, outside=self.outside)

    def _end(self, rank: int, ending: Ending, failure: Failure) -> None:
        self.results.columns.failures[rank] = failure
        self.queue.complete(rank, STATE_CODE[FINAL_STATE[ending]])

    @enable_ki_protection
    def leaked(self, pump: Pump) -> Exception | None:
        left = what_is_left(trio.lowlevel.current_task(), pump.home)
        if not left:
            return None
        return LeakedScopeError(
            f"{self._task(pump.task)} ended and left behind, entered or held: {left}; "
            "use them by 'with' or 'async with'"
        )

    def _task(self, rank: int) -> str:
        node = self.results.plan.nodes[rank]
        return f"task {shorten(node.task_id)}: action {shorten(node.action_name)}"
