"""What the lives of the tasks of a run add up to."""

from __future__ import annotations

from array import array

import attrs

from .. import _explanation as why
from ._signals import Cause
from .history import History

BINS = 240  # points of a curve over the time of the run


class Curve:
    """How many there were in the course of time: the mean over each of `BINS` equal spans.

    Args:
        start, end: Of the run.

    Attributes:
        total: The seconds of all intervals together.
        most: The greatest mean.
    """

    def __init__(self, start: float, end: float) -> None:
        self._start, self._width = start, max(end - start, 1e-9) / BINS
        self._parts, self._steps = array("d", [0]) * (BINS + 1), array("i", [0]) * (BINS + 2)
        self.total = 0.0

    def add(self, begin: float, end: float) -> None:
        """One more from `begin` to `end`. O(1)."""
        self.total += end - begin
        first, last = (begin - self._start) / self._width, (end - self._start) / self._width
        i, j = max(min(int(first), BINS), 0), max(min(int(last), BINS), 0)
        if i == j:
            self._parts[i] += last - first
            return
        self._parts[i] += i + 1 - first
        self._parts[j] += last - j
        self._steps[i + 1] += 1
        self._steps[j] -= 1

    def means(self) -> list[float]:
        """The curve."""
        means, whole = [], 0
        for part, step in zip(self._parts[:BINS], self._steps, strict=False):
            whole += step
            means.append(whole + part)
        return means


@attrs.define
class Waiting:
    """What all tasks together waited for one cause.

    Attributes:
        seconds: How long.
        tasks: How many did.
        longest: Who did longest at one stretch, and how long.
    """

    seconds: float = 0.0
    tasks: int = 0
    longest: tuple[float, int] = (0.0, -1)


class Totals:
    """What the tasks of a run add up to. O(tasks + parts of their lives).

    Attributes:
        in_flight: The curve of what was in flight.
        by_kind: The curves of what waited, by kind of cause.
        by_limit: The curves of what was in flight behind each limit.
        waiting: What was waited for each cause.
        waited, worked: Seconds by task: how long it waited, how long it ran.
        peak: The most that were in flight at once.
    """

    def __init__(self, history: History) -> None:
        self._history, record = history, history.record
        self._span = history.started, history.ended
        self.in_flight = Curve(*self._span)
        self.by_kind: dict[str, Curve] = {}
        self.by_limit: dict[Cause, Curve] = {}
        self.waiting: dict[Cause, Waiting] = {}
        self.waited = array("d", [0]) * len(record)
        self.worked = array("d", [0]) * len(record)
        for task in range(len(record)):
            self._add_life(task)
        self._add_limits()
        self.peak = max(history.running()[1], default=0)

    def _add_life(self, task: int) -> None:
        causes = set()
        for at, until, cause, attempt in self._history.life(task):
            if attempt >= 0:
                self.in_flight.add(at, until)
                self.worked[task] += until - at
            else:
                self.waited[task] += until - at
                causes.add(self._add_wait(task, at, until, cause))
        for cause in causes:
            self.waiting[cause].tasks += 1

    def _add_wait(self, task: int, at: float, until: float, cause: Cause) -> Cause:
        """Returns what it is counted for: equal work counts as one cause, whose ever it is."""
        if (curve := self.by_kind.get(cause[0])) is None:
            curve = self.by_kind[cause[0]] = Curve(*self._span)
        curve.add(at, until)
        key = (cause[0], "") if cause[0] == why.LEADER else cause
        if (waiting := self.waiting.get(key)) is None:
            waiting = self.waiting[key] = Waiting()
        waiting.seconds += until - at
        waiting.longest = max(waiting.longest, (until - at, task))
        return key

    def _add_limits(self) -> None:
        record, signals = self._history.record, self._history.signals
        for n, task in enumerate(record.task):
            for limit in signals.limits_of(record.nodes[task]):
                if (curve := self.by_limit.get(limit.cause)) is None:
                    curve = self.by_limit[limit.cause] = Curve(*self._span)
                curve.add(record.begin[n], record.end[n])
