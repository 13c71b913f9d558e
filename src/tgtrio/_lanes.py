"""The thread lanes of one run: how many there are, and what becomes of what they report.

Each lane is one long thread call of a Trio task, so `trio.from_thread` works in the functions
that it calls. A timeout or a cancellation cancels that call: the function can ask for it
(`trio.from_thread.check_cancelled`), and is waited for if it does not. Then the lane gets a new
call.
"""

from __future__ import annotations

import contextvars
import functools
import math
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs
import trio
from trio.lowlevel import enable_ki_protection

from ._attempts import Attempts, Doom
from ._backend import AWAITABLE, RETURNED, Dispatch, Lane, LaneGroup
from ._hygiene import without_cancelled
from ._states import SUCCEEDED

LOG_SECONDS = 0.01  # between two looks at what the lanes have logged


class Run(Protocol):
    """The run, as its lanes see it."""

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Start a Trio task of the run."""

    def changed(self) -> None:
        """Something changed from outside a pump: see to it that it takes effect."""

    def resting(self) -> None:
        """Nobody may start now, and nothing is in flight."""

    def interrupted(self, error: BaseException) -> None:
        """Something that no action may swallow: end the run, and raise it from there."""


@attrs.define(eq=False)
class Report:
    """An attempt of a lane that is over; for `Attempts` it is like a pump."""

    task: int
    generation: int
    doom: int

    def forget(self) -> int:
        """The task. A lane is done with it before it reports."""
        return self.task


class Lanes:
    """The lanes of one run.

    Args:
        run: The run.
        dispatch: What they share with the pumps.
        attempts: Where their attempts end.
        limit: How many lanes there may be.
    """

    def __init__(self, run: Run, dispatch: Dispatch, attempts: Attempts, limit: int) -> None:
        self._run, self._attempts = run, attempts
        self._context = contextvars.copy_context()  # what the functions get copies of
        self._limit = limit
        # Weak: a run that is over goes at once, not when the collector comes.
        hear = functools.partial(_call, weakref.WeakMethod(self._hear))
        token = trio.lowlevel.current_trio_token()
        self._group = LaneGroup(dispatch, functools.partial(token.run_sync_soon, hear))
        self._lanes: list[Lane] = []
        self._home: Any = None
        self._check_at = math.inf
        self._log_timed = False
        # Not the limiter of the single thread calls: lanes keep their threads.
        self._threads = trio.CapacityLimiter(math.inf)

    def set_limit(self, limit: int) -> None:
        """Change how many lanes there may be; those that are there stay."""
        self._limit = limit

    @enable_ki_protection
    def call(self) -> None:
        """Work for a lane is ready."""
        self._group.call()

    def close(self) -> None:
        """Let all lanes end once nothing is in flight in them."""
        self._group.close()

    def in_flight(self) -> list[int]:
        """The tasks that the lanes have now."""
        return [lane.task for lane in self._lanes if lane.task >= 0]

    @enable_ki_protection
    def cancel(self, rank: int, doom: Doom) -> bool:
        """Cancel a task in flight; False if no lane has it."""
        self.collect()  # what has been reported is in flight no more
        return any(self._attempts.doom_lane(lane, rank, doom) for lane in self._lanes)

    # -- the lanes ----------------------------------------------------------------------

    async def _keep(self, lane: Lane) -> None:
        """Give a lane its thread, until all lanes end."""
        # Private to Trio: the only way to see here that the run is cancelled from outside.
        self._home = getattr(trio.lowlevel.current_task(), "_cancel_status", None)
        again = True
        while again:
            with trio.CancelScope() as lane.scope:
                again = await trio.to_thread.run_sync(
                    lane.run, limiter=self._threads, thread_name="tgtrio lane"
                )
            if not again or self._group.closed:
                break
            self._run.changed()  # the slot of what was cancelled is free

    def _start(self) -> None:
        self._group.wanted = False
        if self._group.closed or len(self._lanes) >= self._limit:
            return
        self._group.coming = True
        lane = Lane(self._group)
        self._lanes.append(lane)
        self._context.copy().run(self._run.spawn, functools.partial(self._keep, lane))

    # -- what they report ------------------------------------------------------------------

    def _hear(self) -> None:
        self.collect()
        try:
            if not self._group.closed:
                if self._group.wanted:
                    self._start()
                self._set_check()
                self._watch_log()
                self._run.resting()
            self._run.changed()
        except BaseException as error:  # Trio must not see it: it would bring the program down
            self._run.interrupted(error)

    def _watch_log(self) -> None:
        """Read the log of the queue again soon, as long as the lanes write in it.

        To wake Trio for each entry would hand the GIL over each time.
        """
        if self._group.log_watched and not self._log_timed:
            self._log_timed = True
            self._attempts.timers.at(trio.current_time() + LOG_SECONDS, self._read_log)

    def _read_log(self) -> None:
        self._log_timed = self._group.log_watched = False
        if self._attempts.queue.logged():  # it is read at the end of this batch
            self._group.log_watched = True
            self._watch_log()
        else:
            self._run.resting()  # this was a timer that others may have counted on

    def collect(self) -> None:
        """Settle what the lanes have reported."""
        try:
            while reports := self._group.take_reports():
                if self._home is not None and self._home.effectively_cancelled:
                    self._attempts.end_of_run()  # its main Trio task may hear of it later
                for task, generation, doom, how, value in reports:
                    self._settle(Report(task, generation, doom), how, value)
        except BaseException as error:  # a defect; whoever cancels a task must not see it
            self._run.interrupted(error)

    def _settle(self, report: Report, how: int, value: object) -> None:
        attempts = self._attempts
        if how == RETURNED:
            if attempts.succeeded(report):
                attempts.queue.complete(report.task, SUCCEEDED)
        elif how == AWAITABLE:
            attempts.go_on_awaiting(report, value)
        elif isinstance(value, Exception):
            attempts.fail(report, value)
        else:
            assert isinstance(value, BaseException)
            error = without_cancelled(value)
            if error is not None and not isinstance(error, Exception):
                self._run.interrupted(error)
                error = None
            attempts.settle(report, error, cancelled=False)

    # -- timeouts ---------------------------------------------------------------------------

    def _set_check(self) -> None:
        when = self._group.next_check
        if when < self._check_at:
            self._check_at = when
            self._attempts.timers.at(when, self._check)

    def _check(self) -> None:
        """Cancel the attempts whose timeouts are over."""
        self._check_at = self._group.next_check = math.inf
        now, soonest = trio.current_time(), math.inf
        for lane in self._lanes:
            soonest = min(soonest, self._attempts.check_timeout(lane, now))
        if soonest < self._group.next_check:
            self._group.next_check = soonest
        self._set_check()


def _call(method: weakref.WeakMethod[Callable[[], object]]) -> None:
    if (bound := method()) is not None:
        bound()
