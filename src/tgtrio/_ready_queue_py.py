"""The ready queue in plain Python: the twin of the compiled class, written to be obviously right.

Tests drive the two side by side. It also does the work where no compiler was at
hand, so nothing in it is quadratic in the tasks. A call of `next` costs O(log n)
and one look at each lane that has ready tasks; what a call promises stands in
`_ready_queue.pyi`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from operator import index
from typing import TYPE_CHECKING

from ._states import (
    BAD,
    EARLY,
    FINAL,
    FIRST_TERMINAL,
    PASSED_OVER,
    PENDING,
    READY,
    RUNNING,
    STANDING,
    STATES,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

NOBODY = -1
ENDED, NOTED, READIED = -1, -2, -3


class ReadyQueue:
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
        self._waiting = _numbers("indegrees", indegrees, "i")
        self.total = self.unfinished = len(self._waiting)
        self.running = 0
        self.stopped = False
        self._paused = False
        self._limit = _at_least_one("the limit", limit)
        self._offsets = _numbers("dependent_offsets", dependent_offsets, "i", self.total + 1)
        self._dependents = _numbers("dependents", dependents, "i", self._offsets[-1])
        self._policies = _numbers("policies", policies, "B", self.total)
        self._lanes = [0] * self.total
        if lanes is not None:
            self._lanes = _numbers("lanes", lanes, "i", self.total)
        self._gates = [tuple(gates) for gates in lane_gates]  # of each lane
        self._capacities = [_at_least_one("the capacity", capacity) for capacity in capacities]
        self._taken = [0] * len(self._capacities)
        self._closed: set[int] = set()
        self._log: list[tuple[int, int, float]] = []
        self._logs_readies = self._logs_starts = self._logs_ends = False

        self._states = bytearray([PENDING]) * self.total
        self._seen = bytearray(self.total)  # masks of standings, as FINAL takes them
        self._parents = [NOBODY] * self.total
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
        _refuse_outside("dependent", self._dependents, self.total)
        _refuse_outside("lane", self._lanes, len(self._gates))
        for gates in self._gates:
            _refuse_outside("gate", gates, len(self._capacities))
            if len(set(gates)) < len(gates):
                raise ValueError(f"a lane needs a gate once, not {gates}")

    def _settle_sources(self) -> None:
        for task in [t for t, dependencies in enumerate(self._waiting) if not dependencies]:
            state = FINAL[self._policies[task]][0]
            if state == READY:
                self._make_ready(task)
            else:
                self._finish(task, state)

    # Starting and ending

    def next(self) -> int:
        task = self._first()
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

    def _head(self, lane: int) -> int:
        """The first ready task of a lane. Forgets those before it, which ended while ready."""
        heap = self._ready[lane]
        while heap and self._states[heap[0]] != READY:
            self._pop(lane)
        return heap[0] if heap else NOBODY

    def _pop(self, lane: int) -> None:
        heappop(self._ready[lane])
        if not self._ready[lane]:
            self._busy.discard(lane)

    def _make_ready(self, task: int) -> None:
        lane = self._lanes[task]
        self._states[task] = READY
        heappush(self._ready[lane], task)
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
            for dependent in self._dependents[self._offsets[task] : self._offsets[task + 1]]:
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

    # Holds

    def close_gate(self, gate: int) -> None:
        self._check_gate(gate)
        self._closed.add(gate)

    def open_gate(self, gate: int) -> None:
        self._check_gate(gate)
        self._closed.discard(gate)

    def set_capacity(self, gate: int, capacity: int) -> None:
        self._check_gate(gate)
        self._capacities[gate] = _at_least_one("the capacity", capacity)

    def set_limit(self, limit: int) -> None:
        self._limit = _at_least_one("the limit", limit)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def _blocks(self, gate: int) -> bool:
        return gate in self._closed or self._taken[gate] >= self._capacities[gate]

    # Questions

    def startable(self) -> bool:
        return self._first() != NOBODY

    def state(self, task: int) -> int:
        self._check_task(task)
        return self._states[task]

    def counts(self) -> list[int]:
        return [self._states.count(code) for code in range(len(STATES))]

    def states(self) -> bytes:
        return bytes(self._states)

    def parents(self) -> dict[int, int]:
        return {task: parent for task, parent in enumerate(self._parents) if parent != NOBODY}

    def waiting_for(self, task: int) -> int:
        self._check_task(task)
        return self._waiting[task]

    def parent(self, task: int) -> int:
        self._check_task(task)
        return self._parents[task]

    def lane(self, task: int) -> int:
        self._check_task(task)
        return self._lanes[task]

    def taken(self, gate: int) -> int:
        self._check_gate(gate)
        return self._taken[gate]

    def wanted(self, gate: int) -> bool:
        self._check_gate(gate)
        return any(
            gate in self._gates[lane] and self._head(lane) != NOBODY for lane in tuple(self._busy)
        )

    def ready_in_lanes(self) -> list[int]:
        ready = [0] * len(self._gates)
        for task, state in enumerate(self._states):
            if state == READY and task not in self._held:
                ready[self._lanes[task]] += 1
        return ready

    def is_held(self, task: int) -> bool:
        self._check_task(task)
        return task in self._held

    def queued_at(self, gate: int) -> list[int]:
        self._check_gate(gate)
        return [
            task
            for task, state in enumerate(self._states)
            if state == READY and task not in self._held and gate in self._gates[self._lanes[task]]
        ]

    def blocking_gates(self, task: int) -> list[int]:
        return [gate for gate in self._gates[self.lane(task)] if self._blocks(gate)]

    # Checks

    def _check_task(self, task: int) -> None:
        if not 0 <= task < self.total:
            raise IndexError(f"no task {task} among {self.total}")

    def _check_gate(self, gate: int) -> None:
        if not 0 <= gate < len(self._capacities):
            raise IndexError(f"no gate {gate} among {len(self._capacities)}")

    def _check_running(self, task: int) -> None:
        if self.state(task) != RUNNING:
            raise ValueError(f"task {task} is {STATES[self._states[task]].value}, not running")

    def _check_owning(self, task: int) -> None:
        self._check_running(task)
        if task in self._detached:
            raise ValueError(f"task {task} is detached")

    def validate(self) -> None:
        for problem in (*self._wrong_totals(), *self._wrong_lanes(), *self._wrong_tasks()):
            raise AssertionError(problem)

    def _wrong_totals(self) -> Iterator[str]:
        owning = self._states.count(RUNNING) - len(self._detached)
        if self.running != owning:
            yield f"{owning} tasks own a slot, counted {self.running}"
        for task in (*self._held, *self._detached):
            if self._states[task] != (READY if task in self._held else RUNNING):
                yield f"task {task} in state {self._states[task]} is set aside"
        unfinished = sum(state < FIRST_TERMINAL for state in self._states)
        if self.unfinished != unfinished:
            yield f"{unfinished} tasks are unfinished, counted {self.unfinished}"
        running = [t for t, state in enumerate(self._states) if state == RUNNING]
        lanes = (self._lanes[task] for task in running if task not in self._detached)
        inside = Counter(gate for lane in lanes for gate in self._gates[lane])
        for gate, taken in enumerate(self._taken):
            if taken != inside[gate]:
                yield f"gate {gate} holds {inside[gate]} tasks, counted {taken}"

    def _wrong_lanes(self) -> Iterator[str]:
        queued = Counter(task for heap in self._ready for task in heap)
        for task, state in enumerate(self._states):
            ready = state == READY and task not in self._held
            if (ready and queued[task] != 1) or (state <= READY and not ready and queued[task]):
                yield f"task {task} in state {state} is queued {queued[task]} times"
        for lane, heap in enumerate(self._ready):
            if any(self._lanes[task] != lane for task in heap):
                yield f"lane {lane} queues a task of another lane"
            if any(heap[(i - 1) // 2] > heap[i] for i in range(1, len(heap))):
                yield f"the tasks of lane {lane} are out of order"
            if bool(heap) != (lane in self._busy):
                yield f"lane {lane} is wrongly marked"

    def _wrong_tasks(self) -> Iterator[str]:
        """Recount what each task has heard. After `stop` it may have heard less than happened."""
        waiting, seen = [0] * self.total, [0] * self.total
        for task, state in enumerate(self._states):
            for dependent in self._dependents[self._offsets[task] : self._offsets[task + 1]]:
                waiting[dependent] += state < FIRST_TERMINAL
                seen[dependent] |= 1 << STANDING[state] if state in STANDING else 0
        for task, state in enumerate(self._states):
            if self._waiting[task] < waiting[task] or (
                self._waiting[task] > waiting[task] and not self.stopped
            ):
                yield f"task {task} waits for {waiting[task]}, counted {self._waiting[task]}"
            if state < FIRST_TERMINAL and self._seen[task] != seen[task] and not self.stopped:
                yield f"task {task} has seen {seen[task]:03b}, noted {self._seen[task]:03b}"
            if (state == PENDING) == (not self._waiting[task]) and state < FIRST_TERMINAL:
                yield f"task {task} in state {state} waits for {self._waiting[task]}"


def _numbers(name: str, buffer: Buffer, code: str, length: int | None = None) -> list[int]:
    """The items of a buffer of int32 ("i") or uint8 ("B")."""
    view = memoryview(buffer)
    if view.format != code or view.ndim != 1:
        raise ValueError(f"{name}: expected a flat buffer of {code!r}, got {view.format!r}")
    if length is not None and len(view) != length:
        raise ValueError(f"{name}: expected {length} items, got {len(view)}")
    return view.tolist()


def _at_least_one(name: str, value: int) -> int:
    if index(value) < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return value


def _refuse_outside(name: str, numbers: Iterable[int], end: int) -> None:
    for number in numbers:
        if not 0 <= number < end:
            raise ValueError(f"no {name} {number} among {end}")


def _check_terminal(state: int) -> None:
    if state not in STANDING:
        raise ValueError(f"{state} is not the code of a terminal state")
