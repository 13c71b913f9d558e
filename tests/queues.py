"""What the tests of the ready queue share: builders, and ways to drive a queue."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tgtrio import _ready_queue_py
from tgtrio._states import (
    ABORT,
    ABORTED,
    CANCELLED,
    FAILED,
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


class Setup(NamedTuple):
    """The arguments of a queue, as `build` and `NaiveQueue` take them."""

    dependencies: dict[int, list[int]]
    policies: dict[int, int]
    limit: int
    lanes: list[int]
    lane_gates: list[tuple[int, ...]]
    capacities: list[int]


@dataclass
class Shape:
    """How much of what a queue has; it grows."""

    built: int
    total: int
    gates: int
    lanes: int

    @classmethod
    def of(cls, setup: Setup) -> Shape:
        total = len(setup.dependencies)
        return cls(total, total, len(setup.capacities), len(setup.lane_gates))
