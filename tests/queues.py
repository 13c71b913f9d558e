"""What the tests of the ready queue share: a builder, and a third, naive model.

`NaiveQueue` remembers as little as it can and finds everything else by looking at
all tasks again. Its policies are the sentences of the documentation, not the
tables of `_states` that the two real classes share.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, cast

from tgtrio import _ready_queue_py
from tgtrio._states import (
    ABORT,
    ABORTED,
    ALWAYS,
    CANCELLED,
    CONTINUE_IF_ANY,
    FAILED,
    ON_FAILURE,
    PENDING,
    READY,
    RUNNING,
    SKIP,
    SKIPPED,
    SUCCEEDED,
    effective_policy,
)

if TYPE_CHECKING:
    from tgtrio._ready_queue import ReadyQueue

    QueueClass = type[ReadyQueue]

TERMINAL = (SUCCEEDED, FAILED, ABORTED, SKIPPED, CANCELLED)
Dependencies = Mapping[int, Iterable[int]]


def queue_classes() -> dict[str, QueueClass]:
    """The classes that are there, by name."""
    found = {"pure": cast("QueueClass", _ready_queue_py.ReadyQueue)}
    try:
        from tgtrio import _ready_queue
    except ImportError:
        return found
    return {"compiled": _ready_queue.ReadyQueue} | found


def edges(dependencies: Dependencies) -> tuple[array[int], array[int], array[int]]:
    """dependent_offsets, dependents and indegrees of a graph {task: its dependencies}."""
    total = len(dependencies)
    heard_by: list[list[int]] = [[] for _ in range(total)]
    for task in range(total):
        for dependency in dependencies[task]:
            heard_by[dependency].append(task)
    offsets = [0]
    for dependents in heard_by:
        offsets.append(offsets[-1] + len(dependents))
    return (
        array("i", offsets),
        array("i", [task for dependents in heard_by for task in dependents]),
        array("i", [len(list(dependencies[task])) for task in range(total)]),
    )


def build(
    queue_class: QueueClass,
    dependencies: Dependencies | int,
    *,
    policies: Mapping[int, int] | int = ABORT,
    limit: int = 1_000_000,
    **gates: Any,
) -> ReadyQueue:
    """A queue of a graph {task: its dependencies}, or of so many tasks without any.

    Args:
        policies: as users choose them, of each task that differs from ABORT, or of all.
        gates: `lanes` (a list, or the lane of all), `lane_gates`, `capacities`.
    """
    if isinstance(dependencies, int):
        dependencies = dict.fromkeys(range(dependencies), ())
    offsets, dependents, indegrees = edges(dependencies)
    chosen = [
        policies if isinstance(policies, int) else policies.get(task, ABORT)
        for task in range(len(dependencies))
    ]
    if "lanes" in gates:
        lanes = gates.pop("lanes")
        gates["lanes"] = array("i", [lanes] * len(chosen) if isinstance(lanes, int) else lanes)
    codes = bytes(map(effective_policy, chosen, indegrees))
    return queue_class(offsets, dependents, indegrees, codes, limit, **gates)


def add(
    queue: ReadyQueue, dependencies: Iterable[int] = (), position: int = 0, **others: float
) -> int:
    """Add a task, unless said otherwise before all that the queue was built with."""
    numbers = list(dependencies)
    order = others.get("priority", 0.0), others.get("deadline", inf)
    policy = effective_policy(int(others.get("policy", ABORT)), len(numbers))
    return queue.add(numbers, policy, int(others.get("lane", 0)), position, *order)


def start_all(queue: ReadyQueue) -> list[int]:
    """Start tasks until none may start."""
    return list(iter(queue.next, -1))


def run_all(queue: ReadyQueue) -> list[int]:
    """Run one task after another to success; the order in which they started."""
    order = [queue.next()]
    while order[-1] >= 0:
        order.append(queue.complete_and_next(order[-1], SUCCEEDED))
    return order[:-1]


def states(queue: ReadyQueue) -> list[int]:
    return [queue.state(task) for task in range(queue.total)]


def drive(queue: ReadyQueue, task: int, outcome: int) -> None:
    """End a task that may start, in the state wanted."""
    assert queue.next() == task
    queue.complete(task, outcome)


def gate_of_one(queue_class: QueueClass, tasks: int, capacity: int = 1) -> ReadyQueue:
    return build(queue_class, tasks, lanes=1, lane_gates=[(), (0,)], capacities=[capacity])


def verdict(policy: int, ended: Sequence[int], total: int) -> int:
    """The state of a task of which `ended` are the states of those dependencies that ended."""
    good = [state == SUCCEEDED for state in ended]
    bad = [state in (FAILED, ABORTED, CANCELLED) for state in ended]
    skipped = [state == SKIPPED for state in ended]
    if policy == ABORT and any(bad):
        return ABORTED
    if policy == SKIP and (any(bad) or any(skipped)):
        return SKIPPED
    if len(ended) < total:
        return PENDING
    if policy == ABORT:
        return SKIPPED if any(skipped) else READY
    if policy == CONTINUE_IF_ANY and total > 1 and not any(good):
        return SKIPPED if all(skipped) else ABORTED
    if policy == ON_FAILURE and not any(bad):
        return SKIPPED
    assert policy in (ABORT, SKIP, CONTINUE_IF_ANY, ALWAYS, ON_FAILURE)
    return READY


class NaiveQueue:
    """The rules, written down without a thought for speed."""

    def __init__(
        self,
        dependencies: Dependencies,
        policies: Mapping[int, int],
        limit: int,
        lanes: Sequence[int],
        lane_gates: Sequence[Sequence[int]],
        capacities: Sequence[int],
    ) -> None:
        self.dependencies = {task: set(dependencies[task]) for task in sorted(dependencies)}
        self.policies = dict(policies)
        self.limit = limit
        self.built = len(self.dependencies)
        self.places: dict[int, tuple[float, ...]] = {task: (task, 1) for task in self.dependencies}
        self.lane_of = dict(enumerate(lanes))
        self.lane_gates = list(map(tuple, lane_gates))
        self.capacities = list(capacities)
        self.closed: set[int] = set()
        self.paused = self.stopped = False
        self.held: set[int] = set()
        self.detached: set[int] = set()
        self.states = dict.fromkeys(self.dependencies, PENDING)
        self.told: list[int] = []  # the tasks whose dependents know of their end, in that order
        self.parents = dict.fromkeys(self.dependencies, -1)
        self.log: list[tuple[int, int, float]] = []
        for task in self.dependencies:
            if not self.dependencies[task]:
                self.put(task, verdict(policies[task], [], 0))

    # -- what follows from what

    def put(self, task: int, state: int) -> None:
        """Change a state; if the task ended, tell everybody, first come first served."""
        self.states[task] = state
        self.held.discard(task)
        self.detached.discard(task)
        to_tell = [task] if state in TERMINAL else []
        self.log += [(task, -1, 0)] * len(to_tell)
        while to_tell and not self.stopped:
            self.told.append(to_tell.pop(0))
            for other in self.tasks_in(PENDING):
                if self.told[-1] in self.dependencies[other]:
                    heard = [t for t in self.told if t in self.dependencies[other]]
                    self.parents[other] = self.culprit(heard)
                    states = [self.states[t] for t in heard]
                    total = len(self.dependencies[other])
                    self.states[other] = verdict(self.policies[other], states, total)
                    if self.states[other] in TERMINAL:
                        to_tell.append(other)
                        self.log.append((other, -1, 0))

    def culprit(self, heard: list[int]) -> int:
        failed = [t for t in heard if self.states[t] in (FAILED, ABORTED, CANCELLED)]
        skipped = [t for t in heard if self.states[t] == SKIPPED]
        return [*failed, *skipped, -1][0]

    def add(
        self,
        dependencies: Sequence[int],
        policy: int,
        lane: int,
        position: int,
        priority: float,
        deadline: float,
    ) -> int:
        task = len(self.states)
        self.dependencies[task] = set(dependencies)
        self.policies[task] = policy
        self.lane_of[task] = lane
        self.places[task] = (position, 0, -priority, deadline, task)
        self.states[task] = PENDING
        heard = [t for t in self.told if t in dependencies]
        for known in range(len(heard) + 1):
            states = [self.states[t] for t in heard[:known]]
            self.parents[task] = self.culprit(heard[:known])
            state = verdict(policy, states, len(dependencies))
            if state != PENDING:
                self.put(task, state)
                break
        return task

    def tasks_in(self, *states: int) -> list[int]:
        return [task for task, state in self.states.items() if state in states]

    # -- the interface of the queue, as far as it can be seen from outside

    @property
    def running(self) -> int:
        return len(self.owning())

    def owning(self) -> list[int]:
        return [task for task in self.tasks_in(RUNNING) if task not in self.detached]

    def queued(self) -> list[int]:
        ready = [task for task in self.tasks_in(READY) if task not in self.held]
        return sorted(ready, key=self.places.__getitem__)

    @property
    def unfinished(self) -> int:
        return len(self.tasks_in(PENDING, READY, RUNNING))

    def first(self) -> int:
        if self.stopped or self.paused or self.running >= self.limit:
            return -1
        return [*(task for task in self.queued() if not self.blocking_gates(task)), -1][0]

    def next(self) -> int:
        task = self.first()
        if task >= 0:
            self.states[task] = RUNNING
        return task

    def startable(self) -> bool:
        return self.first() >= 0

    def complete(self, task: int, state: int) -> None:
        self.put(task, state)

    def complete_and_next(self, task: int, state: int) -> int:
        self.put(task, state)
        return self.next()

    def end(self, task: int, state: int) -> bool:
        if self.states[task] not in (PENDING, READY):
            return False
        self.put(task, state)
        return True

    def stop(self) -> None:
        self.stopped = True

    def end_rest(self, state: int) -> None:
        self.stopped = True
        for task in self.tasks_in(PENDING, READY):
            self.put(task, state)

    def keep_log(self, readies: bool, starts: bool, ends: bool) -> None:
        assert (readies, starts, ends) == (False, True, True)

    def log_past(self) -> None:
        self.log = [(task, -1, 0) for task in self.tasks_in(*TERMINAL)]

    def log_start(self, task: int, attempt: int, at: float) -> None:
        self.log.append((task, attempt, at))

    def log_note(self) -> None:
        self.log.append((-1, -2, 0))

    def logged(self) -> int:
        return len(self.log)

    def take_log(self) -> list[tuple[int, int, float]]:
        log, self.log = self.log, []
        return log

    def give_back(self, task: int) -> None:
        self.states[task] = READY

    def hold(self, task: int) -> None:
        self.states[task] = READY
        self.held.add(task)

    def let_go(self, task: int) -> bool:
        held = task in self.held
        self.held.discard(task)
        return held

    def take_over(self, task: int, other: int) -> None:
        self.hold(task)
        self.states[other] = RUNNING

    def detach(self, task: int) -> None:
        self.detached.add(task)

    def close_gate(self, gate: int) -> None:
        self.closed.add(gate)

    def open_gate(self, gate: int) -> None:
        self.closed.discard(gate)

    def set_capacity(self, gate: int, capacity: int) -> None:
        self.capacities[gate] = capacity

    def add_gate(self, capacity: int) -> int:
        self.capacities.append(capacity)
        return len(self.capacities) - 1

    def add_lane(self, gates: Sequence[int]) -> int:
        self.lane_gates.append(tuple(gates))
        return len(self.lane_gates) - 1

    def relane(self, lanes: Sequence[int]) -> None:
        self.lane_of = dict(enumerate(lanes))

    def gates_of(self, task: int) -> tuple[int, ...]:
        return self.lane_gates[self.lane_of[task]]

    def set_limit(self, limit: int) -> None:
        self.limit = limit

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def state(self, task: int) -> int:
        return self.states[task]

    def counts(self) -> list[int]:
        return [len(self.tasks_in(state)) for state in range(8)]

    def waiting_for(self, task: int) -> int:
        return len(self.dependencies[task] - set(self.told))

    def parent(self, task: int) -> int:
        return self.parents[task]

    def lane(self, task: int) -> int:
        return self.lane_of[task]

    def ready_in_lanes(self) -> list[int]:
        lanes = [self.lane_of[task] for task in self.queued()]
        return [lanes.count(lane) for lane in range(len(self.lane_gates))]

    def taken(self, gate: int) -> int:
        return sum(gate in self.gates_of(task) for task in self.owning())

    def wanted(self, gate: int) -> bool:
        return bool(self.queued_at(gate))

    def is_held(self, task: int) -> bool:
        return task in self.held

    def queued_at(self, gate: int) -> list[int]:
        return [task for task in self.queued() if gate in self.gates_of(task)]

    def blocking_gates(self, task: int) -> list[int]:
        return [
            gate
            for gate in self.gates_of(task)
            if gate in self.closed or self.taken(gate) >= self.capacities[gate]
        ]
