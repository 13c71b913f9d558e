"""What is drawn: boxes and arrows, both numbered, in dispatch order."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

import attrs

from .._checks import check_count, describe
from .._errors import InvalidValueError, shorten
from .._graph import TaskGraph
from .._node import TaskNode
from .._plan import Plan
from .._results import GraphResult, TaskResult
from .._states import TaskState

LIMIT = 200  # boxes
ARROWS_A_BOX = 2.5


@attrs.frozen
class Box:
    """One task, or several that are drawn as one.

    Attributes:
        node: The task, or the first of them.
        size: How many they are.
        actions: How many different actions they have.
        first_level, last_level: The levels that they are on.
        waits_for: Of a task alone, how many dependencies it has.
        states: How many ended in which state; empty without a result.
        error: Of a task alone, why it did not succeed.
    """

    node: TaskNode
    size: int
    actions: int
    first_level: int
    last_level: int
    waits_for: int
    states: Mapping[TaskState, int]
    error: str = ""


@attrs.frozen
class Arrows:
    """The ends of the arrows at each box, as CSR arrays."""

    offsets: array[int]
    ends: array[int]

    def of(self, box: int) -> array[int]:
        return self.ends[self.offsets[box] : self.offsets[box + 1]]


@attrs.frozen
class Picture:
    """A graph, ready to be drawn.

    Attributes:
        graph_id: Its name.
        tasks, dependencies: How many it has.
        boxes: The boxes.
        after, before: The dependents and the dependencies of each box.
        weights: How many dependencies an arrow stands for, where it is more than one.
        inside: How many dependencies lead from a box to itself.
        strangers: How many results are of tasks that the graph does not have.
    """

    graph_id: str
    tasks: int
    dependencies: int
    boxes: Sequence[Box]
    after: Arrows
    before: Arrows
    weights: Mapping[tuple[int, int], int]
    inside: int
    strangers: int

    @property
    def folded(self) -> bool:
        return len(self.boxes) < self.tasks


@attrs.frozen
class Shape:
    """A frozen graph in its order of dependencies.

    Attributes:
        plan: The graph.
        order: The ranks, each behind those of its dependencies.
        level: The level of each task: 0 without dependencies, else one more than the highest
            of them.
    """

    plan: Plan
    order: list[int]
    level: array[int]

    @property
    def depth(self) -> int:
        """How many levels there are."""
        return max(self.level, default=-1) + 1


def shape_of(graph: TaskGraph) -> Shape:
    """Find the levels. O(tasks + edges) (A. B. Kahn, "Topological sorting of large networks",
    CACM 5, 1962).
    """
    plan = graph.freeze()
    level = array("i", bytes(4 * len(plan)))
    left = array("i", plan.indegrees)
    order = [rank for rank, dependencies in enumerate(left) if not dependencies]
    offsets, dependents = plan.dependent_offsets, plan.dependents
    for rank in order:  # it grows meanwhile
        below = level[rank] + 1
        for dependent in dependents[offsets[rank] : offsets[rank + 1]]:
            if level[dependent] < below:
                level[dependent] = below
            left[dependent] -= 1
            if not left[dependent]:
                order.append(dependent)
    return Shape(plan, order, level)


def check_result(graph: TaskGraph, result: GraphResult | None) -> None:
    """Refuse the result of another graph."""
    if result is not None and result.graph_id != graph.graph_id:
        raise InvalidValueError(
            f"{describe(('graph', graph.graph_id))}: the result is one of graph "
            f"{shorten(result.graph_id)}; give the result of this graph, or none"
        )


def fits(tasks: int, dependencies: int, limit: int | None, *, few_arrows: bool) -> bool:
    """Is everything drawn as it is, or is the graph folded?"""
    if limit is None:
        return True
    return tasks <= limit and not (few_arrows and dependencies > limit * ARROWS_A_BOX)


def check_boxes(graph: TaskGraph, limit: int | None) -> None:
    """Refuse a limit that is none."""
    owner = ("graph", graph.graph_id)
    if limit is not None and not check_count(owner, "limit", limit):
        raise InvalidValueError(f"{describe(owner)}: limit is 0; it must be at least 1, or None")


def one_box_a_task(graph: TaskGraph, shape: Shape, result: GraphResult | None) -> Picture:
    """The picture of the graph as it is."""
    plan = shape.plan
    results = {} if result is None else result.results
    boxes = [
        Box(node, 1, 1, level, level, waits_for, *_ending(results.get(node.task_id)))
        for node, level, waits_for in zip(plan.nodes, shape.level, plan.indegrees, strict=True)
    ]
    known = sum(len(box.states) for box in boxes)
    return Picture(
        graph_id=graph.graph_id,
        tasks=len(boxes),
        dependencies=len(plan.dependencies),
        boxes=boxes,
        after=Arrows(plan.dependent_offsets, plan.dependents),
        before=Arrows(plan.dependency_offsets, plan.dependencies),
        weights={},
        inside=0,
        strangers=len(results) - known,
    )


_NO_STATES: Mapping[TaskState, int] = {}
_ONE = {state: {state: 1} for state in TaskState}


def _ending(result: TaskResult | None) -> tuple[Mapping[TaskState, int], str]:
    return (_NO_STATES, "") if result is None else (_ONE[result.state], result.error)
