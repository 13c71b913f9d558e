"""What may hold tasks back in the course of a run: signals that are on or off."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from itertools import pairwise

from .. import _explanation as why
from .._breaker_policy import BreakerState
from .._instrument import RunInfo
from .._node import TaskNode

Cause = tuple[str, str]  # one of the words of `_explanation`, and its subject
Lane = tuple[str, tuple[str, ...]]  # an action, and the resources: such tasks are held alike

# A limit with room for shorter than this counts as reached all the while: a slot that one task
# leaves is not taken by the next in the same instant, and that is not what anybody waits for.
BLINK = 0.001  # seconds


class Signal:
    """Something that is on or off in the course of time.

    Args:
        cause: What it is.
        blink: How long it may be off, in seconds, without that being seen.

    Attributes:
        switches: When it went on, off, on, ...
    """

    def __init__(self, cause: Cause, blink: float = 0.0) -> None:
        self.cause, self._blink = cause, blink
        self.switches = array("d")

    def is_on(self, at: float) -> bool:
        """Is it on, from this instant on?"""
        return bool(bisect_right(self.switches, at) & 1)

    def set(self, on: bool, at: float) -> None:
        """It is on or off from now on; instants only grow."""
        switches = self.switches
        if on == bool(len(switches) & 1):
            return
        if switches and at - switches[-1] <= (self._blink if on else 0):
            switches.pop()
        else:
            switches.append(at)

    def seconds_on(self, end: float) -> float:
        """How long it was on, all in all, up to an instant."""
        switches = [*self.switches, end][: (len(self.switches) + 1) // 2 * 2]
        return sum(off - on for on, off in zip(switches[::2], switches[1::2], strict=True))

    def between(self, begin: float, end: float) -> array[float]:
        """When it switches inside an interval."""
        switches = self.switches
        return switches[bisect_right(switches, begin) : bisect_left(switches, end)]


class Limited(Signal):
    """On while a limit is reached.

    Args:
        limit: How many may be in flight; None for any number.

    Attributes:
        taken, peak: How many are, and the most that were.
        course: The limit from each instant on.
    """

    def __init__(self, cause: Cause, limit: int | None, started: float) -> None:
        super().__init__(cause, BLINK)
        self.taken = self.peak = 0
        self._limit = limit
        self.course: list[tuple[float, int | None]] = [(started, limit)]

    def count(self, change: int, at: float) -> None:
        """So many more are in flight."""
        self.taken += change
        self.peak = max(self.peak, self.taken)
        self.set(self._limit is not None and self.taken >= self._limit, at)

    def set_limit(self, limit: int | None, at: float) -> None:
        """The limit is another one from now on."""
        self._limit = limit
        self.course.append((at, limit))
        self.count(0, at)


class Signals:
    """All signals of one run. Feed it what happens, in order of time.

    Args:
        info: What the run is.

    Attributes:
        limits: The limits, by cause.
    """

    def __init__(self, info: RunInfo) -> None:
        self._started = info.started
        self._foreign = {
            (why.CAP, name) for name, cap in info.per_action_caps.items() if cap is None
        } | {(why.RESOURCE, name) for name, cap in info.resource_caps.items() if cap is None}
        self._shared_run = info.max_parallel is None
        self.limits: dict[Cause, Limited] = {}
        self._add_limit((why.MAX_PARALLEL, ""), info.max_parallel)
        for kind, caps in ((why.CAP, info.per_action_caps), (why.RESOURCE, info.resource_caps)):
            self._add_limits(kind, caps)
        self.paused = Signal((why.PAUSED, ""))
        self._held: dict[Cause, Signal] = {}
        self._limits_of: dict[Lane, tuple[Limited, ...]] = {}
        self._in_order: dict[Lane, tuple[Signal, ...]] = {}

    def _add_limits(self, kind: str, caps: Mapping[str, int | None]) -> None:
        for name, cap in caps.items():
            if cap is not None:
                self._add_limit((kind, name), cap)

    def _add_limit(self, cause: Cause, limit: int | None) -> Limited:
        self.limits[cause] = Limited(cause, limit, self._started)
        return self.limits[cause]

    # -- what happens ------------------------------------------------------------------------

    def limits_of(self, node: TaskNode) -> tuple[Limited, ...]:
        """The limits that a task in flight counts for."""
        key = (node.action_name, node.resource_ids)
        if (found := self._limits_of.get(key)) is None:
            causes = (*_caps_on(node), (why.MAX_PARALLEL, ""))
            found = tuple(self.limits[cause] for cause in causes if cause in self.limits)
            self._limits_of[key] = found
        return found

    def breaker_moved(self, action: str, after: BreakerState, at: float) -> None:
        """A breaker has another state."""
        self._hold((why.BREAKER, action)).set(after is not BreakerState.CLOSED, at)

    def cooling(self, action: str, until: float, at: float) -> None:
        """An action is held until then; what is held already is held no shorter."""
        signal = self._hold((why.COOLING, action))
        off = signal.switches.pop() if signal.switches else until
        if off < at:
            signal.switches.append(off)
        signal.set(True, at)
        signal.set(False, max(until, off))

    def _hold(self, cause: Cause) -> Signal:
        return self._held.setdefault(cause, Signal(cause))

    def steered(self, command: str, subject: str, value: object, at: float) -> None:
        """The handle of the run was used."""
        if command in ("pause", "resume"):
            self.paused.set(command == "pause", at)
        elif command == "set_max_parallel" and isinstance(value, int):
            self.limits[why.MAX_PARALLEL, ""].set_limit(value, at)
        elif command == "set_cap" and (limit := self.limits.get((why.CAP, subject))) is not None:
            limit.set_limit(value if isinstance(value, int) else None, at)

    def expect(self, actions: Iterable[str]) -> None:
        """Count these actions although nothing limits them yet: somebody sets a cap later."""
        for action in actions:
            if (why.CAP, action) not in self.limits:
                self._add_limit((why.CAP, action), None)

    # -- what held a task back --------------------------------------------------------------

    def in_order(self, node: TaskNode) -> tuple[Signal, ...]:
        """What can hold a task back, the first cause first."""
        key = (node.action_name, node.resource_ids)
        if (found := self._in_order.get(key)) is None:
            held = (self._held.get((kind, key[0])) for kind in (why.BREAKER, why.COOLING))
            signals = (*held, self.paused, *self.limits_of(node))
            found = tuple(one for one in signals if one is not None and one.switches)
            self._in_order[key] = found
        return found

    def otherwise(self, node: TaskNode) -> Cause:
        """What holds a task back where no signal does: a limiter of the caller's, or nothing."""
        if not self._foreign:
            return (why.LIMITER, "") if self._shared_run else (why.TURN, "")
        for cause in _caps_on(node):
            if cause in self._foreign:
                return (why.LIMITER, cause[1])
        return (why.LIMITER, "") if self._shared_run else (why.TURN, "")

    def causes(self, node: TaskNode, begin: float, end: float) -> list[tuple[float, float, Cause]]:
        """What held a task back in an interval: parts of it. O(k log n) for k parts."""
        signals, otherwise = self.in_order(node), self.otherwise(node)
        if end - begin < BLINK or not signals:
            cause = next((signal.cause for signal in signals if signal.is_on(begin)), otherwise)
            return [(begin, end, cause)]
        instants = {begin}.union(*(signal.between(begin, end) for signal in signals))
        times = [*sorted(instants), end]
        found: list[tuple[float, float, Cause]] = []
        for at, until in pairwise(times):
            cause = next((signal.cause for signal in signals if signal.is_on(at)), otherwise)
            if found and (cause == found[-1][2] or (cause == otherwise and until - at < BLINK)):
                found[-1] = (found[-1][0], until, found[-1][2])
            elif found and found[-1][2] == otherwise and at - begin < BLINK:
                found[-1] = (begin, until, cause)
            else:
                found.append((at, until, cause))
        return found


def _caps_on(node: TaskNode) -> list[Cause]:
    return [(why.CAP, node.action_name), *((why.RESOURCE, name) for name in node.resource_ids)]
