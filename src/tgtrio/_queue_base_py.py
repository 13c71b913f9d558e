"""The base of the ready queue in plain Python: the twin of `_queue_base`."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop
from operator import index
from typing import TYPE_CHECKING

from ._states import READY, RUNNING, STATES

if TYPE_CHECKING:
    from typing_extensions import Buffer

NOBODY = -1


class Added(int):
    """The number of a task that was added. `<` and `>` go by its place in the dispatch order."""

    place: tuple[float, ...]

    def __new__(cls, number: int, position: int, priority: float, deadline: float) -> Added:
        self = super().__new__(cls, number)
        self.place = (position, 0, -priority, deadline, number)
        return self

    def __lt__(self, other: int) -> bool:
        return self.place < _place(other)

    def __gt__(self, other: int) -> bool:
        return self.place > _place(other)


def _place(task: int) -> tuple[float, ...]:
    return task.place if isinstance(task, Added) else (task, 1)


class QueueBase:
    """What can be asked of a ready queue, and its switches; see the module `_queue_base`."""

    total: int
    running: int
    unfinished: int
    stopped: bool

    _built: int
    _added: list[Added]
    _later: dict[int, list[int]]
    _offsets: list[int]
    _dependents: list[int]
    _waiting: list[int]
    _states: bytearray
    _parents: list[int]
    _lanes: list[int]
    _gates: list[tuple[int, ...]]
    _capacities: list[int]
    _taken: list[int]
    _closed: set[int]
    _ready: list[list[int]]
    _busy: set[int]
    _held: set[int]
    _detached: set[int]
    _limit: int
    _paused: bool

    # Tasks

    def _ranked(self, task: int) -> int:
        """The task as a number that compares by the dispatch order."""
        return task if task < self._built else self._added[task - self._built]

    def _dependents_of(self, task: int) -> list[int]:
        begin, end = self._offsets[task : task + 2] if task < self._built else (0, 0)
        return self._dependents[begin:end] + self._later.get(task, [])

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

    def ready_in_lanes(self) -> list[int]:
        return [sum(self._states[task] == READY for task in heap) for heap in self._ready]

    def taken(self, gate: int) -> int:
        self._check_gate(gate)
        return self._taken[gate]

    def wanted(self, gate: int) -> bool:
        self._check_gate(gate)
        return any(
            gate in self._gates[lane] and self._head(lane) != NOBODY for lane in tuple(self._busy)
        )

    def is_held(self, task: int) -> bool:
        self._check_task(task)
        return task in self._held

    def queued_at(self, gate: int) -> list[int]:
        self._check_gate(gate)
        queued = [
            self._ranked(task)
            for task, state in enumerate(self._states)
            if state == READY and task not in self._held and gate in self._gates[self._lanes[task]]
        ]
        return list(map(int, sorted(queued)))

    def blocking_gates(self, task: int) -> list[int]:
        return [gate for gate in self._gates[self.lane(task)] if self._blocks(gate)]

    # Switches

    def add_gate(self, capacity: int) -> int:
        self._capacities.append(at_least_one("the capacity", capacity))
        self._taken.append(0)
        return len(self._taken) - 1

    def add_lane(self, gates: Iterable[int]) -> int:
        self._gates.append(self._checked_gates(gates))
        self._ready.append([])
        return len(self._ready) - 1

    def _checked_gates(self, gates: Iterable[int]) -> tuple[int, ...]:
        gates = tuple(gates)
        refuse_outside("gate", gates, len(self._capacities))
        if len(set(gates)) < len(gates):
            raise ValueError(f"a lane needs a gate once, not {gates}")
        return gates

    def relane(self, lanes: Buffer) -> None:
        numbers = numbers_of("lanes", lanes, "i", self.total)
        refuse_outside("lane", numbers, len(self._gates))
        self._lanes = numbers
        self._taken = [0] * len(self._taken)
        self._ready = [[] for _ in self._gates]
        for task, state in enumerate(self._states):
            if state == RUNNING and task not in self._detached:
                for gate in self._gates[numbers[task]]:
                    self._taken[gate] += 1
            elif state == READY and task not in self._held:
                self._ready[numbers[task]].append(self._ranked(task))
        for heap in self._ready:
            heapify(heap)
        self._busy = {lane for lane, heap in enumerate(self._ready) if heap}

    def close_gate(self, gate: int) -> None:
        self._check_gate(gate)
        self._closed.add(gate)

    def open_gate(self, gate: int) -> None:
        self._check_gate(gate)
        self._closed.discard(gate)

    def set_capacity(self, gate: int, capacity: int) -> None:
        self._check_gate(gate)
        self._capacities[gate] = at_least_one("the capacity", capacity)

    def set_limit(self, limit: int) -> None:
        self._limit = at_least_one("the limit", limit)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def _blocks(self, gate: int) -> bool:
        return gate in self._closed or self._taken[gate] >= self._capacities[gate]

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

    def _check_task(self, task: int) -> None:
        if not 0 <= task < self.total:
            raise IndexError(f"no task {task} among {self.total}")

    def _check_gate(self, gate: int) -> None:
        if not 0 <= gate < len(self._capacities):
            raise IndexError(f"no gate {gate} among {len(self._capacities)}")


def numbers_of(name: str, buffer: Buffer, code: str, length: int | None = None) -> list[int]:
    """The items of a buffer of int32 ("i") or uint8 ("B")."""
    view = memoryview(buffer)
    if view.format != code or view.ndim != 1:
        raise ValueError(f"{name}: expected a flat buffer of {code!r}, got {view.format!r}")
    if length is not None and len(view) != length:
        raise ValueError(f"{name}: expected {length} items, got {len(view)}")
    return view.tolist()


def at_least_one(name: str, value: int) -> int:
    if index(value) < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return value


def refuse_outside(name: str, numbers: Iterable[int], end: int) -> None:
    for number in numbers:
        if not 0 <= number < end:
            raise ValueError(f"no {name} {number} among {end}")
