"""A third, naive model of the ready queue.

`NaiveQueue` remembers as little as it can and finds everything else by looking at
all tasks again. Its policies are the sentences of the documentation, not the
tables of `_states` that the two real classes share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
)

from .queues import TERMINAL, Dependencies


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
