"""The attempts of a run: what the pump asks its host about a single task.

How an attempt is made when it takes more than the plain call, how a timeout, an
expiry or a cancellation reaches it, and what is written down when it ends.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Protocol

import attrs
import trio
from trio.lowlevel import enable_ki_protection

from ._actions import Action, start
from ._admission import Admission
from ._backend import FOREIGN, PREPARED, Lane, Pump, ReadyQueue
from ._borrowing import Borrowing
from ._columns import TaskResults
from ._context import TaskContext, context_of
from ._endings import Endings
from ._ends import End
from ._errors import LeakedScopeError, shorten
from ._hygiene import what_is_left
from ._outcome import Ending, Failure, expiry_error, timeout_error
from ._plan import EXPIRES, TIMED
from ._recorder import Recorder
from ._timekeeper import Timekeeper


@attrs.frozen
class Doom:
    """Why the task in flight was cancelled while the run goes on."""

    ending: Ending
    error: Exception | None  # what the task fails with; None where it is merely cancelled
    reason: str


class Ended(Protocol):
    """An attempt that is over: of a pump, or as a thread lane has reported it."""

    @property
    def task(self) -> int: ...
    @property
    def generation(self) -> int: ...
    @property
    def doom(self) -> int: ...
    def forget(self) -> int:
        """The task; nobody has it in flight any more."""


@attrs.define(eq=False, kw_only=True)
class Attempts:
    """The host of the pumps of one run.

    Attributes:
        results: The results as they come; holds the plan, the columns and the clock.
        admission: Who may keep a task from starting although its turn has come.
        endings: What becomes of a task when an attempt has ended.
        recorder: The store; None if there is none.
        end_of_run: The end of the run once it is cut short. Asked by whoever finds itself
            cancelled, so it also notices a cancellation from outside.
        is_over: Has the run been cut short so that what is in flight is cancelled?
        wake: Wakes another worker.
        call_lane: Has a thread lane come for a task.
        flags: Of the tasks; shared with the pumps.
    """

    graph_id: str
    run_id: str
    actions: list[Action]
    results: TaskResults
    queue: ReadyQueue
    timers: Timekeeper
    borrowing: Borrowing | None
    threads: trio.CapacityLimiter
    admission: Admission
    endings: Endings
    recorder: Recorder | None
    end_of_run: Callable[[], End]
    is_over: Callable[[], bool]
    wake: Callable[[], None]
    call_lane: Callable[[], None]
    flags: bytearray
    _dooms: dict[int, Doom] = attrs.field(init=False, factory=dict)
    _watched: dict[int, Pump] = attrs.field(init=False, factory=dict)
    # What a plain function has returned and is still to be awaited, by rank.
    _begun: dict[int, Any] = attrs.field(init=False, factory=dict)
    # About which safety rules or `retry_on` are being asked: they may cancel the very task.
    _asked: int = attrs.field(init=False, default=-1)
    _not_begun: set[int] = attrs.field(init=False, factory=set)  # their starts are being written

    def not_begun(self, rank: int) -> bool:
        """Does the task wait until its start is on disk?"""
        return rank in self._not_begun

    # -- making an attempt ------------------------------------------------------

    @enable_ki_protection
    def prepare(self, pump: Pump) -> Any:
        rank = pump.task
        if rank in self._begun:
            if rank in self._dooms:  # cancelled while its function was called
                pump.doom = 1
                pump.scope.cancel()
            return self._go_on(rank, self.results.columns.started[rank], self._begun.pop(rank))
        try:
            if pump.kind & EXPIRES and self._overdue(rank):
                self.queue.give_back(rank)
                self.expire(rank)
                return None
            if self.admission.watch is not None and self._is_stopped(rank):
                return None
            admitted, args = self.admission.admit(rank, pump.kind)
        except BaseException:
            pump.task = -1  # a defect, and not this task's
            raise
        if admitted < 0:
            return None
        pump.task, pump.args = admitted, args
        action = self.actions[self.results.plan.action[admitted]]
        on_disk = None if self.recorder is None else self.recorder.started(admitted)
        if on_disk is None and (action.is_async or action.inline):
            return True
        return self._attempt(pump, action, admitted, args, on_disk)

    def _is_stopped(self, rank: int) -> bool:
        """Ask the safety rules. True: the task has been given back, or ended."""
        self._asked = rank
        try:
            stopped = self.admission.is_stopped()
        finally:
            self._asked = -1
        if stopped or rank in self._dooms:
            self.queue.give_back(rank)
            self._end_doomed(rank)
            return True
        return False

    def _end_doomed(self, rank: int) -> None:
        """End a task that was cancelled in a moment in which nothing of it was in flight."""
        doom = self._dooms.pop(rank, None)
        if doom is not None:
            self.endings.unstarted(rank, doom.ending, Failure(doom.reason))

    def _overdue(self, rank: int) -> bool:
        """Its timer is late: something kept the event loop busy."""
        deadline = self.results.plan.nodes[rank].deadline
        return deadline is not None and self.results.clock.trio(deadline) <= trio.current_time()

    @enable_ki_protection
    def arguments(self, rank: int) -> dict[str, Any]:
        return self.admission.arguments(rank)

    @enable_ki_protection
    def context(self, rank: int, args: dict[str, Any]) -> TaskContext:
        key = functools.partial(self.admission.key, rank, args)
        attempt = self.results.columns.attempts[rank] - 1
        node = self.results.plan.nodes[rank]
        return context_of(node, self.graph_id, self.run_id, attempt, key)

    async def _attempt(
        self,
        pump: Pump,
        action: Action,
        rank: int,
        args: dict[str, Any],
        on_disk: trio.Event | None,
    ) -> Any:
        if on_disk is not None:
            await self._until_on_disk(pump, on_disk)
        columns = self.results.columns
        self.queue.log_start(rank, columns.attempts[rank] - 1, columns.started[rank])
        return await start(action, args, self.context(rank, args), self.threads)

    async def _until_on_disk(self, pump: Pump, on_disk: trio.Event) -> None:
        """The attempt has begun once its action is called; its timeout counts from then."""
        rank, columns = pump.task, self.results.columns
        columns.attempts[rank] -= 1
        self._not_begun.add(rank)
        try:
            await on_disk.wait()
        finally:
            self._not_begun.discard(rank)
        columns.attempts[rank] += 1
        columns.started[rank] = trio.current_time()
        if rank in self._watched:
            self._set_timer(pump)

    # -- ending one from outside -------------------------------------------------

    @enable_ki_protection
    def watch(self, pump: Pump) -> None:
        self._watched[pump.task] = pump
        if pump.task not in self._not_begun:
            self._set_timer(pump)

    def _set_timer(self, pump: Pump) -> None:
        if pump.kind & TIMED:
            when = self._time_is_over(pump.task)
            pump.timer = self.timers.at(when, functools.partial(self._time_out, pump))

    def _time_is_over(self, rank: int) -> float:
        """When the attempt in flight runs out of time."""
        timeouts = self.results.plan.timeouts
        if timeouts is None:
            return math.inf
        return self.results.columns.started[rank] + timeouts[rank]

    @enable_ki_protection
    def leave(self, pump: Pump) -> None:
        self._watched.pop(pump.task, None)
        if pump.timer is not None:
            self.timers.cancel(pump.timer)
            pump.timer = None
        if pump.kind & FOREIGN and self.borrowing is not None:
            self.borrowing.give_back(pump.task)

    def _time_out(self, pump: Pump) -> None:
        self.doom(pump, self._timed_out(pump.task))

    def _timed_out(self, rank: int) -> Doom:
        node = self.results.plan.nodes[rank]
        assert node.task_timeout_ms is not None
        error = timeout_error(node, self.results.columns.attempts[rank], node.task_timeout_ms)
        return Doom(Ending.TIMEOUT, error, str(error))

    def expire(self, rank: int) -> None:
        """The deadline of a task that expires has come."""
        error = expiry_error(self.results.plan.nodes[rank])
        if (pump := self._watched.get(rank)) is not None:
            self.doom(pump, Doom(Ending.EXPIRED, error, str(error)))
        else:
            self.endings.unstarted(rank, Ending.EXPIRED, self.endings.describe(error))

    def doom(self, pump: Pump, doom: Doom) -> None:
        """Cancel the task in flight; the first cause holds, the end of the run among them."""
        if not pump.doom and not self.is_over():
            self._dooms[pump.task] = doom
            if pump.task != self._asked:
                pump.doom = 1
                pump.scope.cancel()

    def doom_lane(self, lane: Lane, rank: int, doom: Doom) -> bool:
        """Cancel the task in flight in a thread lane; False if it is not this one."""
        if self.is_over() or not lane.condemn(rank):
            return False
        self._dooms[rank] = doom
        lane.scope.cancel()
        return True

    def check_timeout(self, lane: Lane, now: float) -> float:
        """Cancel what a lane has in flight if its time is over; else, when it will be."""
        rank = lane.task
        if rank < 0:
            return math.inf
        when = self._time_is_over(rank)
        if when > now:
            return when
        self.doom_lane(lane, rank, self._timed_out(rank))
        return math.inf

    @enable_ki_protection
    def cancelled(self, pump: Pump) -> None:
        # Trio resumes Trio tasks in any order: this worker may be the first to learn that the
        # run is cancelled from outside, and what the action makes of it must count as late.
        if not pump.doom:
            self.end_of_run()

    # -- its end ------------------------------------------------------------------

    @enable_ki_protection
    def succeeded(self, pump: Ended) -> bool:
        if pump.doom:
            self._dooms.pop(pump.task, None)
        return self.endings.succeeded(pump.task, pump.generation)

    @enable_ki_protection
    def fail(self, pump: Ended, error: Exception) -> None:
        if pump.doom or self.is_over():
            self._end_cancelled(pump.task, pump.generation, error)
        else:
            rank = self._asked = pump.task
            try:
                self.endings.failed(rank, pump.generation, Ending.ERROR, error)
            finally:
                self._asked = -1
            self._end_doomed(rank)

    @enable_ki_protection
    def settle(self, pump: Ended, error: Exception | None, cancelled: bool) -> None:
        self.results.columns.finished[pump.task] = trio.current_time()
        generation = pump.generation
        if pump.doom or cancelled or self.is_over():
            self._end_cancelled(pump.forget(), generation, error)
            return
        if error is None:
            error = LeakedScopeError(
                f"{self._task(pump.task)} raised trio.Cancelled although nothing had cancelled it; "
                "a Cancelled must not be kept and raised elsewhere"
            )
        self.endings.failed(pump.forget(), generation, Ending.ERROR, error)

    def go_on_awaiting(self, report: Ended, awaitable: Any) -> None:
        """A plain function has returned an awaitable: a pump is to see the attempt through."""
        rank = report.task
        if self.queue.stopped:  # nothing starts any more
            _close(awaitable)
            if not self.is_over():
                drained = Doom(Ending.CANCELLED, None, self.results.end_reason)
                self._dooms.setdefault(rank, drained)
            self._end_cancelled(rank, report.generation, None)
            return
        self._begun[rank] = awaitable
        self.flags[rank] |= PREPARED
        self.queue.give_back(rank)

    async def _go_on(self, rank: int, began: float, awaitable: Any) -> Any:
        """The attempt, and its timeout, began when the function was called."""
        self.results.columns.attempts[rank] -= 1
        self.results.columns.started[rank] = began
        return await awaitable

    def abandon(self) -> None:
        """The run is over: what was not awaited never will be."""
        for awaitable in self._begun.values():
            _close(awaitable)

    def _end_cancelled(self, rank: int, generation: int, raised: Exception | None) -> None:
        """The state follows the cause; what the action raised meanwhile is kept."""
        doom = self._dooms.pop(rank, None)
        if doom is None:
            end = self.end_of_run()
            doom = Doom(end.ending, None, end.reason)
        if doom.ending is Ending.TIMEOUT:
            assert doom.error is not None
            self.endings.failed(rank, generation, doom.ending, raised, timeout=doom.error)
            return
        if raised is not None:
            failure = self.endings.describe(raised, doom.reason)
        elif doom.error is not None:
            failure = self.endings.describe(doom.error)
        else:
            failure = Failure(doom.reason)
        self.endings.stopped(rank, generation, doom.ending, failure)

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


def _close(awaitable: Any) -> None:
    if hasattr(awaitable, "close"):
        awaitable.close()
