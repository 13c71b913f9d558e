"""What can be counted of a graph."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

import attrs

from .._graph import TaskGraph
from .._graph_dict import OPTIONS
from .._node import TaskNode
from .._records import Record
from .._results import GraphResult
from .._states import DependencyPolicy
from ._picture import Arrows, Shape, check_result, shape_of

_RANGES = ("priority", "deadline", "task_timeout_ms", "max_retries", "estimate_ms")


@attrs.frozen(kw_only=True)
class Range(Record):
    """A setting, as far as tasks have it.

    Attributes:
        tasks: How many have one.
        lowest, highest: Its values.
    """

    tasks: int
    lowest: float | datetime
    highest: float | datetime


@attrs.frozen(kw_only=True)
class CriticalPath(Record):
    """The longest way through a graph: no run can be shorter.

    Attributes:
        unit: "ms" where tasks have an `estimate_ms`, and one without counts 0; else "tasks".
        length: How long it is.
        work: The same of all tasks together.
        task_ids: The tasks on it, in order.
    """

    unit: Literal["ms", "tasks"]
    length: float
    work: float
    task_ids: tuple[str, ...]

    @property
    def parallelism(self) -> float:
        """How many tasks can be in flight, on average, in the shortest run."""
        return self.work / self.length if self.length else 0.0


@attrs.frozen(kw_only=True)
class Figures(Record):
    """A graph in figures.

    Attributes:
        graph_id: The graph.
        tasks, dependencies: How many it has.
        actions, resources, policies: How many tasks name each, the most first.
        widths: How many tasks each level has. A task is one level above the highest of its
            dependencies.
        roots, sinks: The tasks that depend on nothing, and those that nothing depends on.
        settings: Of the settings that tasks have, how many, and their range.
        expiring: How many tasks fail at their deadline.
        not_idempotent: How many are never served from others.
        with_inputs: How many take the response of another task.
        critical_path: The longest way through.
        limits: The graph's own settings, `max_parallel` and so on.
        states: How many tasks ended in which state, if a result was given; else None.
    """

    graph_id: str
    tasks: int
    dependencies: int
    actions: dict[str, int]
    resources: dict[str, int]
    policies: dict[str, int]
    widths: tuple[int, ...]
    roots: tuple[str, ...]
    sinks: tuple[str, ...]
    settings: dict[str, Range]
    expiring: int
    not_idempotent: int
    with_inputs: int
    critical_path: CriticalPath
    limits: dict[str, Any]
    states: dict[str, int] | None

    @property
    def depth(self) -> int:
        """How many levels there are."""
        return len(self.widths)

    @property
    def width(self) -> int:
        """How many tasks the widest level has."""
        return max(self.widths, default=0)

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON data; instants in ISO 8601."""
        path = self.critical_path
        return {
            **self,
            "depth": self.depth,
            "width": self.width,
            "settings": {name: _plain(one) for name, one in self.settings.items()},
            "critical_path": {**path, "parallelism": path.parallelism},
        }


def measure(graph: TaskGraph, result: GraphResult | None = None) -> Figures:
    """Count what can be counted of a graph. O(tasks + edges).

    Args:
        graph: What is counted.
        result: Adds the states that its tasks ended in.

    Raises:
        InvalidValueError: `result` is of another graph.
    """
    check_result(graph, result)
    shape = shape_of(graph)
    plan = shape.plan
    nodes = plan.nodes
    widths = Counter(shape.level)
    return Figures(
        graph_id=graph.graph_id,
        tasks=len(nodes),
        dependencies=len(plan.dependencies),
        actions=_counted(node.action_name for node in nodes),
        resources=_counted(name for node in nodes for name in node.resource_ids),
        policies=_policies(nodes),
        widths=tuple(widths[level] for level in range(shape.depth)),
        roots=_without(nodes, plan.dependency_offsets),
        sinks=_without(nodes, plan.dependent_offsets),
        settings=_ranges(nodes),
        expiring=sum(1 for _ in plan.expiring()),
        not_idempotent=sum(node.idempotent is False for node in nodes),
        with_inputs=sum(bool(node.inputs) for node in nodes),
        critical_path=_critical_path(shape),
        limits={name: _limit(getattr(graph, name)) for name in OPTIONS},
        states=None if result is None else dict(result.statistics["states"]),
    )


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _policies(nodes: list[TaskNode]) -> dict[str, int]:
    """Those of tasks that have dependencies: the others do not ask for one."""
    policies: Counter[DependencyPolicy] = Counter(n.on_dep_fail for n in nodes if n.dependencies)
    return {policy.value: number for policy, number in policies.most_common()}


def _without(nodes: list[TaskNode], offsets: array[int]) -> tuple[str, ...]:
    """The tasks that have no edges of this kind."""
    pairs = pairwise(offsets)
    return tuple(
        node.task_id for node, (start, end) in zip(nodes, pairs, strict=True) if start == end
    )


def _ranges(nodes: list[TaskNode]) -> dict[str, Range]:
    ranges = {}
    for name in _RANGES:
        values = [getattr(node, name) for node in nodes]
        unset = 0.0 if name == "priority" else None
        if given := [value for value in values if value != unset]:
            ranges[name] = Range(tasks=len(given), lowest=min(given), highest=max(given))
    return ranges


def _critical_path(shape: Shape) -> CriticalPath:
    nodes = shape.plan.nodes
    weights = [node.estimate_ms or 0.0 for node in nodes]
    estimated = any(weights)
    if not estimated:
        weights = [1.0] * len(nodes)
    path = _longest_path(shape, weights.__getitem__)
    return CriticalPath(
        unit="ms" if estimated else "tasks",
        length=sum(weights[rank] for rank in path),
        work=sum(weights),
        task_ids=tuple(nodes[rank].task_id for rank in path),
    )


def _longest_path(shape: Shape, weight: Callable[[int], float]) -> list[int]:
    """The ranks along the longest path, the first of several. O(tasks + edges)."""
    plan = shape.plan
    before = Arrows(plan.dependency_offsets, plan.dependencies)
    length = [0.0] * len(plan)
    for rank in shape.order:
        above = max([length[dependency] for dependency in before.of(rank)], default=0.0)
        length[rank] = above + weight(rank)
    if not length:
        return []
    path = [max(range(len(plan)), key=length.__getitem__)]
    while above_it := before.of(path[-1]):
        path.append(max(above_it, key=length.__getitem__))
    return path[::-1]


def _limit(value: Any) -> Any:
    """A number, or what a shared limiter says of itself."""
    return value if value is None or isinstance(value, int | float) else repr(value)


def _plain(one: Range) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in one.items()
    }
