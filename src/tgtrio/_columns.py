"""What a run writes down while it runs, in columns, and the results made from it.

A record object for every task would cost more than running a no-op task, and the
cyclic garbage collector would walk them all. So each fact has a column, indexed by
rank, and a `TaskResult` is made when somebody asks for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

import attrs

from ._errors import UnknownTaskError, shorten
from ._growing_plan import longer
from ._identity import key_of
from ._node import TaskNode
from ._outcome import Failure, after_setback
from ._plan import Plan
from ._problems import suggest
from ._results import TaskResult
from ._states import ABORTED, SKIPPED, STATES, TaskState

# Bits of `Columns.marks`.
LATE = 1  # the value came after a timeout or a cancellation
CACHED = 2  # the response was served, the action not called

ENDED_WITH_THE_RUN = (TaskState.CANCELLED, TaskState.ABORTED)


class Columns:
    """The facts about each task of one run, by rank."""

    def __init__(self, size: int) -> None:
        # The arrays may be longer than there are tasks: see `add`.
        self.started = array("d", bytes(8 * size))  # of the last attempt, by the Trio clock
        self.finished = array("d", bytes(8 * size))
        self.attempts = array("i", bytes(4 * size))
        self.marks = bytearray(size)
        self.responses: list[object] = [None] * size
        self.failures: dict[int, Failure] = {}  # also the reasons of what was cancelled alone
        self.setbacks: dict[int, Failure] = {}  # of the last attempt that was to be repeated
        self.ended: dict[int, float] = {}  # of what ended between two attempts
        self.leaders: dict[int, int] = {}  # of a follower that failed with its leader
        self.keys: dict[int, str | None] = {}  # of tasks whose args were not known before

    def add(self) -> bool:
        """One more task, amortised O(1). True: the arrays have been replaced by longer ones."""
        self.responses.append(None)
        size = len(self.responses)
        if size <= len(self.attempts):
            return False
        self.started, self.finished = longer(self.started, size), longer(self.finished, size)
        self.attempts = longer(self.attempts, size)
        self.marks = self.marks + bytes(len(self.attempts) - len(self.marks))
        return True


@attrs.frozen
class ClockMap:
    """Instants of the Trio clock to wall-clock instants and back, fixed when a run starts."""

    trio_start: float
    wall_start: datetime

    def wall(self, when: float) -> datetime:
        return self.wall_start + timedelta(seconds=when - self.trio_start)

    def trio(self, when: datetime) -> float:
        return self.trio_start + (when - self.wall_start).total_seconds()

    @property
    def unix(self) -> float:
        """What makes an instant of the Trio clock Unix time, in seconds."""
        return self.wall_start.timestamp() - self.trio_start

    @classmethod
    def starting_at(cls, trio_now: float) -> ClockMap:
        return cls(trio_now, datetime.now(UTC))


class Ends(Protocol):
    """What the results ask of the queue, and of what is left of it once the run is over."""

    def state(self, task: int) -> int: ...
    def parent(self, task: int) -> int: ...


@attrs.frozen
class PastEnds:
    """The ends of a run that is over; the queue itself can go, and this can be pickled."""

    states: bytes
    parents: dict[int, int]

    def state(self, task: int) -> int:
        return self.states[task]

    def parent(self, task: int) -> int:
        return self.parents.get(task, -1)


@attrs.define(eq=False, kw_only=True)
class TaskResults(Mapping[str, TaskResult]):
    """Task id to result, in insertion order; each result is made when asked for."""

    plan: Plan
    columns: Columns
    ends: Ends
    clock: ClockMap
    ended_at: float = 0.0  # by the Trio clock, once the run is over
    opted_out: list[bool] | None = None  # by action; None: as far as the tasks say
    end_reason: str = ""  # why the run cancelled what had not ended by then
    _roots: dict[int, int] = attrs.field(init=False, factory=dict)

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[str]:
        return (self.plan.nodes[rank].task_id for rank in self.plan.in_insertion_order())

    def __getitem__(self, task_id: str) -> TaskResult:
        try:
            rank = self.plan.rank(task_id)
        except (KeyError, TypeError):
            raise UnknownTaskError(
                f"no task {shorten(task_id)} was part of the run{suggest(task_id, self)}"
            ) from None
        return self.at(rank)

    def __repr__(self) -> str:
        return f"<results of {len(self)} tasks>"

    def at(self, rank: int) -> TaskResult:
        """The result of the task of this rank."""
        node, columns = self.plan.nodes[rank], self.columns
        state = STATES[self.ends.state(rank)]
        failure, ended = self._failure(rank, state), self.ended(rank, state)
        started, finished = columns.started[rank], columns.finished[rank]
        ran = columns.attempts[rank] > 0
        # What was served and did not get to the disk, where it had to be, does not hold.
        cached = state is TaskState.SUCCEEDED and bool(columns.marks[rank] & CACHED)
        root = self._root(rank)
        return TaskResult(
            task_id=node.task_id,
            state=state,
            response=columns.responses[rank] if state is TaskState.SUCCEEDED else None,
            error="" if state is TaskState.SUCCEEDED else self._error(rank, root, failure),
            exception=failure.exception if failure else None,
            traceback=failure.traceback if failure else "",
            attempts=columns.attempts[rank],
            cached=cached,
            late=bool(columns.marks[rank] & LATE),
            deadline_missed=self._missed(node, state, ended),
            started_at=self.clock.wall(started) if ran else None,
            finished_at=self.clock.wall(ended) if ran or cached else None,
            execution_time_ms=(finished - started) * 1000 if ran else None,
            caused_by=None if root == rank else self.plan.nodes[root].task_id,
            idempotency_key=self.key(rank),
        )

    def ended(self, rank: int, state: TaskState) -> float:
        """When a task ended, by the Trio clock."""
        columns = self.columns
        if (ended := columns.ended.get(rank)) is not None:
            return ended
        if columns.attempts[rank] or columns.marks[rank] & CACHED:
            cut_short = state in ENDED_WITH_THE_RUN and rank not in columns.failures
            return self.ended_at if cut_short else columns.finished[rank]
        return self.ended_at

    def _failure(self, rank: int, state: TaskState) -> Failure | None:
        """What is kept of the failure of a task; of its last attempt, if the run ended after it."""
        failure, setback = self.columns.failures.get(rank), self.columns.setbacks.get(rank)
        if failure is not None or setback is None or state not in ENDED_WITH_THE_RUN:
            return failure
        return after_setback(Failure(self.end_reason), setback)

    def key(self, rank: int) -> str | None:
        """The idempotency key of a task, or None if it has none."""
        if rank in self.columns.keys:
            return self.columns.keys[rank]
        if self.opted_out is not None and self.opted_out[self.plan.action[rank]]:
            return None
        return key_of(self.plan.nodes[rank])

    def _missed(self, node: TaskNode, state: TaskState, ended: float) -> bool:
        """A success at the very deadline is in time, a task that expires at it is not."""
        if node.deadline is None:
            return False
        deadline = self.clock.trio(node.deadline)
        return ended > deadline or (ended == deadline and state is not TaskState.SUCCEEDED)

    def _root(self, rank: int) -> int:
        """The task at the root of why this one did not run; itself if it ended by itself.

        The roots found are kept, so that asking for all of a long chain stays linear.
        """
        path = []
        while rank not in self._roots and (parent := self.blamed(rank)) >= 0:
            path.append(rank)
            rank = parent
        root = self._roots.get(rank, rank)
        for passed in path:
            self._roots[passed] = root
        return root

    def blamed(self, rank: int) -> int:
        """The dependency that kept a task from running, or -1."""
        if (leader := self.columns.leaders.get(rank)) is not None:
            return leader
        settled_by_policy = self.ends.state(rank) in (ABORTED, SKIPPED)
        if self.columns.attempts[rank] or not settled_by_policy:
            return -1
        return self.ends.parent(rank)

    def _error(self, rank: int, root: int, failure: Failure | None) -> str:
        if failure is not None:
            return failure.error
        parent = self.blamed(rank)
        if parent < 0:
            return "no dependency failed" if self.ends.state(rank) == SKIPPED else self.end_reason
        text = f"dependency {self._says(parent)}"
        if parent != root:
            text += f", because task {self._says(root)}"
        cause = self.columns.failures.get(root)
        return f"{text}: {cause.error}" if cause else text

    def _says(self, rank: int) -> str:
        state = STATES[self.ends.state(rank)]
        verb = state.value if state is TaskState.FAILED else f"was {state.value}"
        return f"{self.plan.nodes[rank].task_id!r} {verb}"
