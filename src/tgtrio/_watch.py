"""The safety monitor of a run: told of every attempt, asked before each, heard when it trips."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import trio

from ._errors import InvalidTypeError, shorten
from ._safety import AbortConditionMonitor
from ._safety_statistics import Observation
from ._timekeeper import Timekeeper, Timer


@runtime_checkable
class Monitor(Protocol):
    """What every monitor has; the `AbortConditionMonitor` has more."""

    def should_abort(self) -> bool: ...
    def get_abort_reason(self) -> str | None: ...


def check_monitor(value: object) -> Monitor | None:
    """The option `abort_monitor`. Raises InvalidTypeError."""
    if value is None or (isinstance(value, Monitor) and not isinstance(value, type)):
        return value
    raise InvalidTypeError(
        f"abort_monitor is {shorten(value)}; it must be an AbortConditionMonitor, or an object "
        "with should_abort() and get_abort_reason()"
    )


class Watch:
    """One run under a monitor.

    Args:
        monitor: The monitor.
        abort: Ends the run; called with the reason, on the Trio thread.
        timers: For rules that want to be asked although nothing happens.
    """

    def __init__(
        self, monitor: Monitor, abort: Callable[[str], object], timers: Timekeeper
    ) -> None:
        self._asked = monitor
        self._told = monitor if isinstance(monitor, AbortConditionMonitor) else None
        self._abort, self._timers = abort, timers
        self._alarm: Timer | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._in_flight = 0

    def begin(self) -> None:
        """Follow the monitor until `end`. The run is aborted at once if it has tripped already."""
        if self._told is not None:
            token = trio.lowlevel.current_trio_token()
            self._unsubscribe = self._told.subscribe(lambda reason: self._hear(token, reason))
            self._told.begin(trio.current_time(), trio.lowlevel.current_clock())
        self.check()

    def end(self) -> None:
        """The run is over."""
        self._unsubscribe()
        for _ in range(self._in_flight):  # an interrupt can leave some
            self.stopped()

    def _hear(self, token: trio.lowlevel.TrioToken, reason: str) -> None:
        """The monitor has tripped, in whatever thread, or in a signal handler.

        There nothing else is safe, and nothing else wakes an event loop that sleeps.
        """
        with contextlib.suppress(trio.RunFinishedError):  # and so is this run
            token.run_sync_soon(self._abort, reason)

    def check(self) -> bool:
        """Ask the rules; True if the run is to stop. It is aborted by then."""
        reason = self._told_reason() if self._told is not None else self._asked_reason()
        if reason is not None:
            self._abort(reason)
        return reason is not None

    def _told_reason(self) -> str | None:
        assert self._told is not None
        stop, reason = self._told.check_abort_conditions(trio.current_time())
        when = self._told.next_check
        if self._alarm is None or self._alarm.act is None or self._alarm.when != when:
            if self._alarm is not None:
                self._timers.cancel(self._alarm)
            self._alarm = None if when is None else self._timers.at(when, self.check)
        return (reason or "a safety rule said so") if stop else None

    def _asked_reason(self) -> str | None:
        try:
            if not self._asked.should_abort():
                return None
            return str(self._asked.get_abort_reason() or "the abort monitor said so")
        except Exception as error:  # a monitor that is out of order protects nobody
            return f"the abort monitor raised {shorten(error)}"

    # -- what happens to the attempts ---------------------------------------------------

    def started(self) -> None:
        self._in_flight += 1
        self._observe(Observation.STARTED)

    def succeeded(self) -> None:
        self._in_flight -= 1
        self._observe(Observation.SUCCEEDED)
        # An action that trips the monitor and returns may be the last one of the run.
        if self._told is not None and (reason := self._told.get_abort_reason()) is not None:
            self._abort(reason)

    def stopped(self) -> None:
        self._in_flight -= 1
        self._observe(Observation.CANCELLED)

    def failed(self, *, counts: bool, retried: bool) -> None:
        """An attempt failed, or asked to be made later (`counts` is false); the rules are asked."""
        self._in_flight -= 1
        self._observe(Observation.FAILED if counts else Observation.POSTPONED)
        if retried:
            self._observe(Observation.RETRIED)
        self.check()

    def _observe(self, what: Observation) -> None:
        if self._told is not None:
            self._told.observe(what, trio.current_time())
