"""What a summary tells of a result, found in one pass over its tasks."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable

import attrs

from .._results import GraphResult, TaskResult
from .._states import TaskState
from .._wording import nameless

MOST_FAILURES = 20
MOST_SLOWEST = 5
MOST_NAMED = 3


@attrs.define
class Fold:
    """Tasks that ended without a success of their own, for one and the same reason.

    Attributes:
        states: How many ended in which state.
        in_flight: How many of them had begun.
        begun, others: The first of those that had begun, and of those that had not.
    """

    states: Counter[str] = attrs.field(factory=Counter)
    in_flight: int = 0
    begun: list[str] = attrs.field(factory=list)
    others: list[str] = attrs.field(factory=list)

    def add(self, task: TaskResult) -> None:
        self.states[task.state.value] += 1
        self.in_flight += task.attempts > 0
        names = self.begun if task.attempts else self.others
        if len(names) < MOST_NAMED:
            names.append(task.task_id)

    @property
    def named(self) -> list[str]:
        """The ids to show: what hung before what waited for it."""
        return [*self.begun, *self.others][:MOST_NAMED]

    @property
    def total(self) -> int:
        return self.states.total()


@attrs.define
class Failure:
    """Tasks that failed by themselves with one error, whatever it calls them.

    Attributes:
        error: The error; without the ids where it names several tasks.
        named: The first of them.
        count: How many there are.
        attempts: How often each was tried.
    """

    error: str
    named: list[str] = attrs.field(factory=list)
    count: int = 0
    attempts: set[int] = attrs.field(factory=set)

    def add(self, task: TaskResult, alike: str) -> None:
        self.count += 1
        self.attempts.add(task.attempts)
        if len(self.named) < MOST_NAMED:
            self.named.append(task.task_id)
        if task.error != self.error:
            self.error = alike


@attrs.define
class Digest:
    """The parts of a result that a summary shows.

    Attributes:
        failures: The tasks that failed by themselves, by the error without their ids.
        by_root: Tasks that never ran, by the task at the root of it.
        by_reason: Other tasks without success, by their error.
        slowest: The tasks whose last attempt took longest, the longest first.
        attempts: How often an action was called.
    """

    failures: dict[str, Failure] = attrs.field(factory=dict)
    by_root: dict[str, Fold] = attrs.field(factory=dict)
    by_reason: dict[str, Fold] = attrs.field(factory=dict)
    slowest: list[TaskResult] = attrs.field(factory=list)
    attempts: int = 0
    late: int = 0
    deadlines_missed: int = 0


def digest(result: GraphResult) -> Digest:
    """Look at every task once. O(tasks)."""
    found = Digest()
    longest: list[tuple[float, int, TaskResult]] = []
    for place, task in enumerate(result.results.values()):
        _count(found, task)
        took = task.execution_time_ms
        if took is None:
            continue
        if len(longest) < MOST_SLOWEST:
            heapq.heappush(longest, (took, -place, task))
        elif took > longest[0][0]:
            heapq.heapreplace(longest, (took, -place, task))
    found.slowest = [task for _, _, task in sorted(longest, reverse=True)]
    return found


def _count(found: Digest, task: TaskResult) -> None:
    found.attempts += task.attempts
    found.late += task.late
    found.deadlines_missed += task.deadline_missed
    if task.state is TaskState.FAILED:
        alike = nameless(task.error, task.task_id)
        found.failures.setdefault(alike, Failure(task.error)).add(task, alike)
    elif not task.success:
        folds, key = found.by_reason, task.error
        if task.caused_by is not None:
            folds, key = found.by_root, task.caused_by
        folds.setdefault(key, Fold()).add(task)


def largest(folds: dict[str, Fold], most: int) -> Iterable[tuple[str, Fold]]:
    return heapq.nlargest(most, folds.items(), key=lambda item: item[1].total)
