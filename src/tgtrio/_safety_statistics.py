"""The live figures that safety rules judge.

Sliding windows of any length come from one list of marks: the running totals as they were
at some instant, at most one mark for each `GRAIN`. What happened in the last 60 s is the
totals now less the totals at the mark 60 s ago, found by bisection. So a window costs nothing
while events come in, and the list has a bounded length however many they are.
"""

from __future__ import annotations

import enum
import sys
import threading
from bisect import bisect_right
from typing import Any

from ._checks import Owner, check_number, describe
from ._errors import InvalidValueError, nearest, shorten

GRAIN = 0.125  # seconds; a window may count events that are older by less than this
HORIZON = 3600.0  # seconds; the longest window


class Observation(enum.Enum):
    """What the runs tell the monitor.

    An attempt starts once and ends once. A retry is observed when it is decided, besides
    the end of the attempt that it follows.
    """

    STARTED = "started"
    SUCCEEDED = "succeeded"  # ended with a value
    FAILED = "failed"  # ended with an exception or a timeout
    POSTPONED = "postponed"  # ended with `RetryLater`: neither a success nor a failure
    CANCELLED = "cancelled"  # cancelled or aborted: counts for nothing
    RETRIED = "retried"


_STARTED, _SUCCEEDED, _FAILED = Observation.STARTED, Observation.SUCCEEDED, Observation.FAILED
_RETRIED = Observation.RETRIED


class Timeline:
    """The instants of several clocks on one line that starts at 0 and never goes back.

    Every `trio.run` has a clock of its own, and there is one `trio.run` in a thread at a time.
    A clock that is new, or was set back, goes on from the last instant that anybody has seen.
    """

    def __init__(self) -> None:
        self.last = 0.0
        self._shifts: dict[int, float] = {}  # by thread: instant = the clock's reading + shift
        self._clocks: dict[int, object] = {}

    def begin(self, now: float, clock: object) -> None:
        thread = threading.get_ident()
        if self._clocks.get(thread) is not clock:
            self._clocks[thread] = clock
            self._shifts.pop(thread, None)
        self.see(now)

    def see(self, now: float) -> None:
        thread = threading.get_ident()
        shift = self._shifts.get(thread)
        if shift is None or now + shift < self.last:
            shift = self._shifts[thread] = self.last - now
        self.last = max(self.last, now + shift)

    def reading_at(self, instant: float) -> float | None:
        """What this thread's clock shows at an instant or just after it; None if it has none."""
        shift = self._shifts.get(threading.get_ident())
        if shift is None:
            return None
        reading = instant - shift
        # Asked at a reading that rounding put before the instant, a rule would say "not yet",
        # and a timer would be set for the same reading again.
        step = max(1.0, abs(reading)) * sys.float_info.epsilon
        while reading + shift < instant:
            reading, step = reading + step, step * 2
        return reading


def check_window(owner: Owner, field: str, value: object) -> float:
    """A duration that a window can have."""
    seconds = check_number(owner, field, value)
    if not 0 < seconds <= HORIZON:
        raise InvalidValueError(
            f"{describe(owner)}: {field} is {shorten(value)}; "
            f"it must be above 0 and at most {HORIZON:g} seconds"
        )
    return seconds


class SafetyStatistics:
    """What has happened in the runs that share a monitor, since it was made or reset.

    Live: it always shows the latest figures. Read it; only its monitor changes it. Time is
    what the clocks of the runs say, as of the last thing that was observed.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._in_flight = 0
        self._clear()

    def _clear(self) -> None:
        """Start over. Attempts in flight stay so: they are going to end."""
        self._timeline = Timeline()
        self._attempts = self._failures = self._retries = self._consecutive_failures = 0
        self._spent = 0.0
        self._marks: list[float] = []
        # The attempts, failures and retries before each mark.
        self._totals: tuple[list[int], list[int], list[int]] = ([], [], [])

    # -- what has happened ------------------------------------------------------------

    @property
    def attempts(self) -> int:
        """Attempts that ended with a value or a failure."""
        return self._attempts

    @property
    def successes(self) -> int:
        """Attempts that ended with a value."""
        return self._attempts - self._failures

    @property
    def failures(self) -> int:
        """Attempts that ended with an exception or a timeout; `RetryLater` is none."""
        return self._failures

    @property
    def consecutive_failures(self) -> int:
        """Failures since the last success, whichever tasks they are of."""
        return self._consecutive_failures

    @property
    def retries(self) -> int:
        """Retries that were decided, those that `RetryLater` asked for included."""
        return self._retries

    @property
    def in_flight(self) -> int:
        """Attempts that have started and not ended."""
        return self._in_flight

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first run began."""
        return self._timeline.last

    @property
    def spent(self) -> float:
        """The sum of what `spend` was told, in the caller's units."""
        return self._spent

    def attempts_in(self, seconds: float) -> int:
        """The attempts that ended with a value or a failure in the last seconds.

        Args:
            seconds: How far back; above 0 and at most 3600. What is older by less than 0.125 s
                may be counted too.

        Raises:
            InvalidTypeError, InvalidValueError: `seconds` is no such number.
        """
        with self._lock:
            return self._attempts - self._before(self._totals[0], seconds, self._attempts)

    def failures_in(self, seconds: float) -> int:
        """The attempts that failed in the last seconds; arguments as of `attempts_in`."""
        with self._lock:
            return self._failures - self._before(self._totals[1], seconds, self._failures)

    def retries_in(self, seconds: float) -> int:
        """The retries that were decided in the last seconds; arguments as of `attempts_in`."""
        with self._lock:
            return self._retries - self._before(self._totals[2], seconds, self._retries)

    def to_dict(self) -> dict[str, Any]:
        """The figures as they are now, without windows."""
        return {name: getattr(self, name) for name in _FIGURES}

    def __repr__(self) -> str:
        figures = (f"{name}={value:.9g}" for name, value in self.to_dict().items())
        return f"SafetyStatistics({', '.join(figures)})"

    # -- what the monitor tells; under its lock ---------------------------------------

    def _observe(self, event: Observation | str, now: float) -> None:
        if type(event) is not Observation:
            event = _named(event)
        self._timeline.see(now)
        if event is _STARTED:
            self._in_flight += 1
            return
        if event is not _RETRIED and self._in_flight:
            self._in_flight -= 1
        if event is _SUCCEEDED:
            self._mark()
            self._attempts += 1
            self._consecutive_failures = 0
        elif event is _FAILED:
            self._mark()
            self._attempts += 1
            self._failures += 1
            self._consecutive_failures += 1
        elif event is _RETRIED:
            self._mark()
            self._retries += 1

    def _spend(self, amount: float) -> None:
        self._spent = min(self._spent + amount, sys.float_info.max)

    def _mark(self) -> None:
        """Write down the totals as they were before what happens now."""
        marks, totals, now = self._marks, self._totals, self._timeline.last
        if marks and now < marks[-1] + GRAIN:
            return
        half = len(marks) // 2
        if half and marks[half] + GRAIN <= now - HORIZON:
            del marks[:half]
            for column in totals:
                del column[:half]
        marks.append(now)
        for column, total in zip(
            totals, (self._attempts, self._failures, self._retries), strict=True
        ):
            column.append(total)

    def _before(self, column: list[int], seconds: float, now: int) -> int:
        """A total as it was so many seconds ago; `now` if nothing has happened since."""
        if type(seconds) is not float or not 0 < seconds <= HORIZON:
            seconds = check_window(("statistics", "window"), "seconds", seconds)
        # A mark stands for the events of the GRAIN that it begins.
        first = bisect_right(self._marks, self._timeline.last - seconds - GRAIN)
        return column[first] if first < len(column) else now


_FIGURES = (
    "attempts",
    "successes",
    "failures",
    "consecutive_failures",
    "retries",
    "in_flight",
    "elapsed_s",
    "spent",
)


def _named(event: object) -> Observation:
    try:
        return Observation(event)
    except ValueError:
        known = [member.value for member in Observation]
        raise InvalidValueError(
            f"monitor: the event is {shorten(event)}; "
            f"it must be one of {', '.join(known)}{nearest(event, known)}"
        ) from None
