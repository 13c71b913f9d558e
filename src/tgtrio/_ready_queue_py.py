"""The ready queue in plain Python: the twin of the compiled class, written to be obviously right.

Tests drive the two side by side. It also does the work where no compiler was at
hand, so nothing in it is quadratic in the tasks. A call of `next` costs O(log n)
and one look at each lane that has ready tasks; what a call promises stands in
`_ready_queue.pyi`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heapify, heappush
from itertools import pairwise
from math import isnan
from operator import index
from typing import TYPE_CHECKING

from ._queue_base_py import NOBODY, Added, QueueBase, at_least_one, numbers_of, refuse_outside
from ._queue_check_py import validate
from ._states import (
    BAD,
    EARLY,
    FINAL,
    FIRST_TERMINAL,
    GOOD,
    PASSED_OVER,
    PENDING,
    READY,
    RUNNING,
    STANDING,
    STATES,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

ENDED, NOTED, READIED = -1, -2, -3


class ReadyQueue(QueueBase):
    """Which task may start next; see the module `_ready_queue`."""

    def __init__(
        self,
        dependent_offsets: Buffer,
        dependents: Buffer,
        indegrees: Buffer,
        policies: Buffer,
        limit: int,
        lanes: Buffer | None = None,
        lane_gates: Sequence[Sequence[int]] = ((),),
        capacities: Sequence[int] = (),
    ) -> None:
        # How many dependencies of each task have not been heard of. Counts on after the task ended.
        self._waiting = numbers_of("indegrees", indegrees, "i")
        self.total = self.unfinished = self._built = len(self._waiting)
        self.running = 0
        self.stopped = False
        self._paused = False
        self._limit = at_least_one("the limit", limit)
        self._offsets = numbers_of("dependent_offsets", dependent_offsets, "i", self.total + 1)
        self._dependents = numbers_of("dependents", dependents, "i", self._offsets[-1])
        self._policies = numbers_of("policies", policies, "B", self.total)
        self._lanes = [0] * self.total
        if lanes is not None:
            self._lanes = numbers_of("lanes", lanes, "i", self.total)
        self._gates = [tuple(gates) for gates in lane_gates]  # of each lane
        self._capacities = [at_least_one("the capacity", capacity) for capacity in capacities]
        self._taken = [0] * len(self._capacities)
        self._closed: set[int] = set()
        self._added: list[Added] = []  # those that the queue was not built with
        self._later: dict[int, list[int]] = {}  # dependents that were added
        self._log: list[tuple[int, int, float]] = []
        self._logs_readies = self._logs_starts = self._logs_ends = False

        self._states = bytearray([PENDING]) * self.total
        self._seen = bytearray(self.total)  # masks of standings, as FINAL takes them
        self._parents = [NOBODY] * self.total
        self._turns: dict[int, int] = {}  # of the tasks that did not succeed: who was before whom
        # Heaps of the ready tasks of each lane. One that ended while ready stays until it comes up.
        self._ready: list[list[int]] = [[] for _ in self._gates]
        self._held: set[int] = set()  # READY, and in no lane
        self._detached: set[int] = set()  # RUNNING, without a slot and without gates
        self._busy: set[int] = set()  # the lanes whose heap is not empty
        self._refuse_misfits()
        self._settle_sources()

    def _refuse_misfits(self) -> None:
        offsets = self._offsets
        if offsets[0] != 0 or any(a > b for a, b in pairwise(offsets)):
            raise ValueError("dependent_offsets must begin with 0 and never fall")
        if not self._gates or self._gates[0]:
            raise ValueError("lane_gates must begin with lane 0, which has no gates")
        if self._policies and max(self._policies) >= len(FINAL):
            raise ValueError(f"unknown policy {max(self._policies)}")
        refuse_outside("dependent", self._dependents, self.total)
        refuse_outside("lane", self._lanes, len(self._gates))
        for gates in self._gates:
            self._checked_gates(gates)

    def _settle_sources(self) -> None:
        for task in [t for t, dependencies in enumerate(self._waiting) if not dependencies]:
            self._settle(task, FINAL[self._policies[task]][0])

    def _settle(self, task: int, state: int) -> None:
        """What follows for a PENDING task from what it knows."""
        if state == READY:
            self._make_ready(task)
        elif state != PENDING:
            self._finish(task, state)

    # Starting and ending

    def next(self) -> int:
        task = int(self._first())
        if task != NOBODY:
            self._pop(self._lanes[task])
            self._states[task] = RUNNING
            self.running += 1
            for gate in self._gates[self._lanes[task]]:
                self._taken[gate] += 1
        return task

    def complete(self, task: int, state: int) -> None:
        self._check_running(task)
        _check_terminal(state)
        if task in self._detached:
            self._detached.remove(task)
        else:
            self._leave(task)
        self._finish(task, state)

    def startable(self) -> bool:
        return self._first() != NOBODY

    def complete_and_next(self, task: int, state: int) -> int:
        self.complete(task, state)
        return self.next()

    def end(self, task: int, state: int) -> bool:
        self._check_task(task)
        _check_terminal(state)
        if self._states[task] not in (PENDING, READY):
            return False
        self._finish(task, state)
        return True

    def stop(self) -> None:
        self.stopped = True

    def end_rest(self, state: int) -> None:
        _check_terminal(state)
        self.stop()
        for task, now in enumerate(self._states):
            if now in (PENDING, READY):
                self._finish(task, state)

    def give_back(self, task: int) -> None:
        self._check_owning(task)
        self._leave(task)
        self._make_ready(task)

    def hold(self, task: int) -> None:
        self._check_owning(task)
        self._leave(task)
        self._states[task] = READY
        self._held.add(task)

    def let_go(self, task: int) -> bool:
        self._check_task(task)
        if task not in self._held:
            return False
        self._held.remove(task)
        self._make_ready(task)
        return True

    def take_over(self, task: int, other: int) -> None:
        self._check_owning(task)
        if self.state(other) != READY or other in self._held:
            raise ValueError(f"task {other} is not waiting to start")
        lane = self._lanes[other]
        if lane != self._lanes[task]:
            raise ValueError(f"tasks {task} and {other} need different gates")
        self._ready[lane].remove(other)
        heapify(self._ready[lane])
        if not self._ready[lane]:
            self._busy.discard(lane)
        self._states[other] = RUNNING
        self._states[task] = READY
        self._held.add(task)

    def detach(self, task: int) -> None:
        self._check_owning(task)
        self._leave(task)
        self._detached.add(task)

    def _first(self) -> int:
        """The task that `next` would start."""
        if self.stopped or self._paused or self.running >= self._limit:
            return NOBODY
        first = NOBODY
        for lane in tuple(self._busy):
            if not any(map(self._blocks, self._gates[lane])):
                head = self._head(lane)
                if first == NOBODY or NOBODY < head < first:
                    first = head
        return first

    def _make_ready(self, task: int) -> None:
        lane = self._lanes[task]
        self._states[task] = READY
        heappush(self._ready[lane], self._ranked(task))
        self._busy.add(lane)

    def _leave(self, task: int) -> None:
        """A task stops running: free its gates."""
        self.running -= 1
        for gate in self._gates[self._lanes[task]]:
            self._taken[gate] -= 1

    def _finish(self, task: int, state: int) -> None:
        """A task ends: tell its dependents, and theirs if they end; first come first."""
        self._put(task, state)
        ended = deque([task])
        while ended and not self.stopped:
            task = ended.popleft()
            standing = STANDING[self._states[task]]
            if standing != GOOD:
                self._turns[task] = len(self._turns)
            for dependent in self._dependents_of(task):
                self._waiting[dependent] -= 1
                if self._states[dependent] == PENDING:
                    state = self._hear(dependent, task, standing)
                    if state == READY:
                        if self._logs_readies:
                            self._log.append((dependent, READIED, float(task)))
                        self._make_ready(dependent)
                    elif state != PENDING:
                        self._put(dependent, state)
                        ended.append(dependent)

    def _hear(self, task: int, dependency: int, standing: int) -> int:
        """A dependency ended: the state that follows for a task that was PENDING."""
        first_bad = standing == BAD and not self._seen[task] & 1 << BAD
        if first_bad or (standing == PASSED_OVER and self._parents[task] == NOBODY):
            self._parents[task] = dependency
        self._seen[task] |= 1 << standing
        policy = self._policies[task]
        if self._waiting[task]:
            return EARLY[policy][standing]
        return FINAL[policy][self._seen[task]]

    def _put(self, task: int, terminal: int) -> None:
        self._states[task] = terminal
        self._held.discard(task)
        self.unfinished -= 1
        if self._logs_ends:
            self._log.append((task, ENDED, 0.0))

    # Additions

    def add(
        self,
        dependencies: Iterable[int],
        policy: int,
        lane: int,
        position: int,
        priority: float,
        deadline: float,
    ) -> int:
        numbers = list(map(index, dependencies))
        self._refuse_addition(numbers, policy, lane, position, priority, deadline)
        task = self.total
        self._added.append(Added(task, position, priority, deadline))
        self._states.append(PENDING)
        self._seen.append(0)
        self._policies.append(policy)
        self._lanes.append(lane)
        self._parents.append(NOBODY)
        self._waiting.append(len(numbers))
        self.total += 1
        self.unfinished += 1
        self._settle(task, self._hear_of(task, numbers))
        return task

    def _refuse_addition(
        self,
        dependencies: list[int],
        policy: int,
        lane: int,
        position: int,
        priority: float,
        deadline: float,
    ) -> None:
        if self.stopped:
            raise ValueError("a queue that is stopped takes no more tasks")
        for dependency in dependencies:
            self._check_task(dependency)
        if len(set(dependencies)) < len(dependencies):
            raise ValueError(f"a dependency is named twice: {dependencies}")
        refuse_outside("policy", [policy], len(FINAL))
        refuse_outside("lane", [lane], len(self._gates))
        refuse_outside("position", [position], self._built + 1)
        if isnan(priority) or isnan(deadline):
            raise ValueError("neither priority nor deadline may be NaN")

    def _hear_of(self, task: int, dependencies: list[int]) -> int:
        """The state of a new task, once it has heard of those dependencies that have ended."""
        state = PENDING if dependencies else FINAL[self._policies[task]][0]
        for dependency in dependencies:
            self._later.setdefault(dependency, []).append(task)
        ended = [task for task in dependencies if self._states[task] >= FIRST_TERMINAL]
        for dependency in sorted(ended, key=lambda task: self._turns.get(task, NOBODY)):
            self._waiting[task] -= 1
            if state == PENDING:
                state = self._hear(task, dependency, STANDING[self._states[dependency]])
        return state

    # The log

    def keep_log(self, readies: bool, starts: bool, ends: bool) -> None:
        self._logs_readies, self._logs_starts, self._logs_ends = readies, starts, ends

    def log_past(self) -> None:
        for task, state in enumerate(self._states):
            if state == READY and self._logs_readies:
                self._log.append((task, READIED, float(NOBODY)))
            elif state >= FIRST_TERMINAL and self._logs_ends:
                self._log.append((task, ENDED, 0.0))

    def log_start(self, task: int, attempt: int, at: float) -> None:
        if self._logs_starts:
            self._log.append((task, attempt, at))

    def log_note(self) -> None:
        self._log.append((NOBODY, NOTED, 0.0))

    def logged(self) -> int:
        return len(self._log)

    def take_log(self) -> list[tuple[int, int, float]]:
        log, self._log = self._log, []
        return log

    # Checks

    def _check_running(self, task: int) -> None:
        if self.state(task) != RUNNING:
            raise ValueError(f"task {task} is {STATES[self._states[task]].value}, not running")

    def _check_owning(self, task: int) -> None:
        self._check_running(task)
        if task in self._detached:
            raise ValueError(f"task {task} is detached")

    def validate(self) -> None:
        validate(self)


def _check_terminal(state: int) -> None:
    if state not in STANDING:
        raise ValueError(f"{state} is not the code of a terminal state")
