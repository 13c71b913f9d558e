"""What has happened to the tasks of a run: as it comes, and then in columns, ordered by time."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence

from .._instrument import RunInfo
from .._node import TaskNode
from .._states import FIRST_TERMINAL, PENDING
from ._signals import Signals

# What an entry of the log is; an attempt that begins is its number, an end is -(the state's code).
READIED, RETRIED = -1, -2

Aside = tuple[float, Callable[[], object]]  # when, and what it does to the signals


class Log:
    """What the hooks are told of tasks, in three columns."""

    def __init__(self) -> None:
        self.task_ids: list[str] = []
        self.kinds = array("i")
        self.instants = array("d")
        self.delays: dict[int, float] = {}  # of the retries, by entry

    def order(self) -> Sequence[int]:
        """The entries by time; threads report a little late."""
        at = self.instants
        if all(map(float.__le__, at, at[1:])):
            return range(len(at))
        return sorted(range(len(at)), key=at.__getitem__)


class Record:
    """The columns of a run that is over: by task, in the order of the graph, and by attempt.

    Instants are seconds of the Trio clock, NaN for none. Attempts are numbered through the run
    in the order in which they began.

    Args:
        info: What the run is.
        log: What happened to its tasks.
        signals: Of the run; they are told how many are in flight.
        asides: What happened besides, by time.

    Attributes:
        nodes: The tasks.
        index: Where each is.
        ready: When it had what it depends on.
        ended, states: When it ended, and the code of how.
        last: The last attempt of each task; -1 for none.
        task: The task of each attempt.
        previous: The one before it of the same task; -1 for none.
        number: Its number within its task.
        begin, end: Of each attempt.
        delay: The back-off after it; NaN where it is the last.
        begin_place, end_place: Where in the order of all that happened.
    """

    def __init__(
        self, info: RunInfo, log: Log, signals: Signals, asides: Sequence[Aside] = ()
    ) -> None:
        self.nodes: list[TaskNode] = list(info.graph.nodes.values())
        self.index = {node.task_id: place for place, node in enumerate(self.nodes)}
        size, nan = len(self.nodes), array("d", [math.nan])
        self.ready, self.ended = nan * size, nan * size
        self.states = bytearray([PENDING]) * size
        self.last = array("i", [-1]) * size
        self.task, self.previous, self.number = array("i"), array("i"), array("i")
        self.begin, self.end, self.delay = array("d"), array("d"), array("d")
        self.begin_place, self.end_place = array("i"), array("i")
        self._signals = signals
        self._read(log, [*asides, (math.inf, lambda: None)])

    def __len__(self) -> int:
        return len(self.nodes)

    def _read(self, log: Log, asides: Sequence[Aside]) -> None:
        index, task_ids, rest = self.index, log.task_ids, iter(asides)
        until, act = next(rest)
        for place, entry in enumerate(log.order()):
            task, kind, at = index[task_ids[entry]], log.kinds[entry], log.instants[entry]
            while until <= at:
                act()
                until, act = next(rest)
            if kind >= 0:
                self._begin(task, kind, at, place)
            elif kind == READIED:
                self.ready[task] = at
            elif kind == RETRIED:
                self._end(task, at, place)
                self.delay[self.last[task]] = log.delays[entry]
            else:
                self._end(task, at, place)
                self.ended[task], self.states[task] = at, -kind
        act()
        for _, act in rest:
            act()

    def _begin(self, task: int, number: int, at: float, place: int) -> None:
        self.task.append(task)
        self.previous.append(self.last[task])
        self.last[task] = len(self.begin)
        self.number.append(number)
        self.begin.append(at)
        self.begin_place.append(place)
        self.end.append(math.nan)
        self.end_place.append(-1)
        self.delay.append(math.nan)
        for limit in self._signals.limits_of(self.nodes[task]):
            limit.count(1, at)

    def _end(self, task: int, at: float, place: int) -> None:
        """The end of an attempt, unless there is none: it never began, or backs off."""
        attempt = self.last[task]
        if attempt < 0 or self.end_place[attempt] >= 0:
            return
        self.end[attempt], self.end_place[attempt] = at, place
        for limit in self._signals.limits_of(self.nodes[task]):
            limit.count(-1, at)

    def attempts(self, task: int) -> list[int]:
        """The attempts of a task, in order."""
        found, attempt = [], self.last[task]
        while attempt >= 0:
            found.append(attempt)
            attempt = self.previous[attempt]
        return found[::-1]

    def served(self, task: int) -> bool:
        """Was it ready, and has ended without an attempt? Of a run's own end more is needed."""
        return (
            self.last[task] < 0
            and not math.isnan(self.ready[task])
            and self.states[task] >= FIRST_TERMINAL
        )
