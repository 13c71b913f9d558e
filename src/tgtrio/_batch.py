"""`Batch`: tasks that are to join a graph together, all or none."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

from ._errors import (
    DuplicateTaskError,
    InvalidTypeError,
    TgtrioError,
    nearest,
    shorten,
)
from ._node import FIELDS, REQUIRED, TaskNode, find_places, plain_node
from ._problems import MOST_SHOWN, find_cycles, raise_problems, suggest, unknown_dependency


def duplicate_task(task_id: str) -> DuplicateTaskError:
    return DuplicateTaskError(f"task {shorten(task_id)}: the graph has a task of that id already")


class Batch:
    """Reads tasks and looks for what is wrong between them; the graph is only looked at.

    Args:
        graph_id: For the message.
        index: The place of each task of the graph.

    Attributes:
        nodes: The tasks, in order.
        places: The place that each is to have in the graph, behind all that are there.
        edges: The places of their dependencies, task by task; or None: they must be looked up.
        refers_forward: True if one depends on another that comes later.
    """

    def __init__(self, graph_id: str, index: dict[str, int]) -> None:
        self.nodes: list[TaskNode] = []
        self.places: dict[str, int] = {}
        self.edges: array[int] | None = array("i")
        self.refers_forward = False
        self._graph_id = graph_id
        self._index = index
        self._size = len(index)
        self._problems: list[TgtrioError] = []
        self._refused: set[object] = set()
        self._not_seen: list[tuple[str, str]] = []  # edges to what had not come yet

    def read(self, items: Iterable[Any], make: Callable[[int, Any], TaskNode]) -> None:
        """Take items; `make(place, item)` makes a node of one that is none yet."""
        index, nodes, places, edges = self._index, self.nodes, self.places, array("i")
        first = here = self._size
        for place, item in enumerate(items):
            try:
                node = item if isinstance(item, TaskNode) else make(place, item)
            except TgtrioError as exc:
                self._refuse(item, exc)
                continue
            task_id = node.task_id
            if task_id in places or task_id in index:
                self._problems.append(duplicate_task(task_id))
                continue
            before = node.dependencies
            if before and not find_places(before, places, nodes, first, edges):
                self._look_further(node, edges)
            places[task_id] = here
            here += 1
            nodes.append(node)
        self.edges = edges

    def check(self) -> None:
        """Raise what is wrong with the batch.

        Raises:
            TgtrioError: One problem as itself.
            InvalidGraphError: Several.
        """
        if len(self._index) != self._size:  # the caller's generator added to the graph itself
            self._problems += [duplicate_task(t) for t in self.places if t in self._index]
            self.places = dict(zip(self.places, count(len(self._index)), strict=False))
            self.edges = None
        for task_id, dependency in self._not_seen:
            if dependency in self.places:
                self.refers_forward = True
            elif dependency not in self._refused and dependency not in self._index:
                self._problems.append(self._unknown(task_id, dependency))
        if self.refers_forward:
            self.edges = None
            here = {node.task_id: place for place, node in enumerate(self.nodes)}
            self._problems += find_cycles(self.nodes, here)
        raise_problems(self._graph_id, self._problems)

    def _look_further(self, node: TaskNode, edges: array[int]) -> None:
        """Find the dependencies that are older than the batch; note those that have not come."""
        for dependency in node.dependencies:
            place = self.places.get(dependency, self._index.get(dependency))
            if place is None:
                self._not_seen.append((node.task_id, dependency))
            else:
                edges.append(place)

    def _refuse(self, item: object, problem: TgtrioError) -> None:
        """Note a problem; tasks that depend on the refused one are not called wrong as well."""
        self._problems.append(problem)
        if isinstance(item, Mapping) and isinstance(item.get("task_id"), str):
            self._refused.add(item["task_id"])

    def _unknown(self, task_id: str, dependency: str) -> TgtrioError:
        known = len(self._problems) < MOST_SHOWN
        hint = suggest(dependency, self.places, self._index) if known else ""
        return unknown_dependency(task_id, dependency, hint)


def make_node(place: int, item: Any, error: type[TgtrioError] = InvalidTypeError) -> TaskNode:
    """Make a node of a mapping with the argument names of `add_task`.

    Raises:
        TgtrioError: It is no mapping, or a name is unknown or missing (`error`), or the
            refusals of `TaskNode`.
    """
    node: TaskNode | None = plain_node(item)
    if node is not None:
        return node
    try:
        return TaskNode(**item)
    except TgtrioError:
        raise
    except TypeError:
        check_fields(place, item, error)
        raise


def check_fields(place: int, item: Any, error: type[TgtrioError]) -> None:
    """Refuse what is no mapping, and names that `add_task` does not have, or misses."""
    if not isinstance(item, Mapping):
        raise error(
            f"tasks[{place}] is {shorten(item)}, of type {type(item).__name__}; "
            "it must be a mapping with the names of add_task"
        )
    owner = f"task {shorten(item['task_id'])}" if "task_id" in item else f"tasks[{place}]"
    for name in item:
        if name not in FIELDS:
            raise error(f"{owner}: unknown field {shorten(name)}{nearest(name, FIELDS)}")
    for name in REQUIRED:
        if name not in item:
            raise error(f"{owner}: {name} is missing in {shorten(dict(item))}")
