"""The critical path of a run as it went: the chain of waits and executions that made its length."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right

import attrs

from .. import _explanation as why
from ._signals import Cause
from .history import History, Part


@attrs.frozen
class Step:
    """A part of the critical path.

    Attributes:
        task_id: The task.
        begin, end: In seconds of the Trio clock.
        kind: "in_flight" for an execution, else what the task waited for, as in `Wait`.
        subject: As in `Wait`.
        attempt: Its number, where it is an execution; else -1.
        room: The kind and the subject of the limit in which the step before made room, where it
            began because of that; else None.
    """

    task_id: str
    begin: float
    end: float
    kind: str
    subject: str = ""
    attempt: int = -1
    room: Cause | None = None


def critical_path(history: History) -> tuple[Step, ...]:
    """The steps that made a run as long as it was, by time; O(tasks + steps x log n).

    From the task that ended last it goes back to what let that start: the dependency of it that
    ended last; where it waited for a limit, the task whose end made room; where it waited for
    anything else, that wait. The steps follow each other without gaps.
    """
    return tuple(_Walk(history).back())


class _Walk:
    def __init__(self, history: History) -> None:
        self._history, self._record = history, history.record
        self._ends: dict[Cause, tuple[array[int], array[int], array[float]]] = {}
        self._passed: set[int] = set()  # attempts
        self._steps: list[Step] = []
        self._at = 0.0  # how far back it has come

    def back(self) -> list[Step]:
        task, record = self._last(), self._record
        if task >= 0:
            self._at = record.ended[task]
        attempt = -1
        while task >= 0:
            task, attempt = self._before(task, attempt)
        return self._steps[::-1]

    def _last(self) -> int:
        """The task that ended last; of several one that ran."""
        record = self._record
        places = range(len(record))
        return max(places, key=lambda t: (record.ended[t], record.last[t]), default=-1)

    def _before(self, task: int, attempt: int) -> tuple[int, int]:
        """Pass a task, from one of its attempts or its end; returns what made it start, alike."""
        place = 2**31 - 1  # what made it start comes before that in the order of all things
        for begin, end, cause, one in reversed(self._life(task, attempt)):
            if one >= 0:
                self._step(task, end, (why.TURN, ""))
                self._step(task, begin, cause, self._record.number[one])
                self._passed.add(one)
                place = self._record.begin_place[one]
                continue
            found = self._maker(cause, begin, end, place)
            if found is not None:
                self._step(task, self._end_of(*found), cause)
                if self._steps and cause[0] != why.LEADER:
                    self._steps[-1] = attrs.evolve(self._steps[-1], room=cause)
                return found
            self._step(task, begin, cause)
        return self._last_dependency(task), -1

    def _life(self, task: int, attempt: int) -> list[Part]:
        """The waits and attempts of a task, up to one of these or all, by time."""
        parts = list(self._history.life(task))
        if attempt >= 0:
            while parts[-1][3] != attempt:
                parts.pop()
        return parts

    def _maker(self, cause: Cause, begin: float, end: float, place: int) -> tuple[int, int] | None:
        """Whose end ended a wait; None if nobody's did."""
        record = self._record
        if cause[0] == why.LEADER and cause[1]:
            return record.index[cause[1]], -1
        if cause not in self._history.signals.limits:
            return None
        attempts, places, instants = self._ends_at(cause)
        found = min(bisect_left(places, place), bisect_right(instants, end)) - 1
        if found < 0 or instants[found] < begin or attempts[found] in self._passed:
            return None
        return record.task[attempts[found]], attempts[found]

    def _ends_at(self, cause: Cause) -> tuple[array[int], array[int], array[float]]:
        """The attempts that counted for a limit in the order of their ends, and these."""
        if cause not in self._ends:
            record, signals = self._record, self._history.signals
            limit = signals.limits[cause]
            attempts = array(
                "i",
                sorted(
                    (
                        n
                        for n, task in enumerate(record.task)
                        if record.end_place[n] >= 0
                        and limit in signals.limits_of(record.nodes[task])
                    ),
                    key=record.end_place.__getitem__,
                ),
            )
            places = array("i", map(record.end_place.__getitem__, attempts))
            self._ends[cause] = attempts, places, array("d", map(record.end.__getitem__, attempts))
        return self._ends[cause]

    def _end_of(self, task: int, attempt: int) -> float:
        return self._record.ended[task] if attempt < 0 else self._record.end[attempt]

    def _last_dependency(self, task: int) -> int:
        """The dependency that ended last, and before this task was ready; -1: there is none."""
        record = self._record
        ready = record.ready[task]
        until = self._at if math.isnan(ready) else ready
        places = [record.index[name] for name in record.nodes[task].dependencies]
        ended = [place for place in places if record.ended[place] <= until]
        last = max(ended, key=lambda p: (record.ended[p], record.last[p]), default=-1)
        since = record.ended[last] if last >= 0 else self._history.started
        self._step(task, since, (why.TURN, ""))
        return last

    def _step(self, task: int, begin: float, cause: Cause, attempt: int = -1) -> None:
        begin = max(begin, self._history.started)
        if begin < self._at:
            name = self._record.nodes[task].task_id
            self._steps.append(Step(name, begin, self._at, *cause, attempt))
            self._at = begin
