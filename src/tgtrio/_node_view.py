"""`NodeView`: what `TaskGraph.nodes` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ._errors import UnknownTaskError, shorten
from ._node import TaskNode

if TYPE_CHECKING:
    from ._graph import TaskGraph


class NodeView(Mapping[str, TaskNode]):
    """The tasks of a graph by id: a view, nothing is copied."""

    __slots__ = ("_graph",)

    def __init__(self, graph: TaskGraph) -> None:
        self._graph = graph

    def __getitem__(self, task_id: str) -> TaskNode:
        place = self._graph._index.get(task_id)
        if place is None:
            raise UnknownTaskError(f"{self._graph!r} has no task {shorten(task_id)}")
        return self._graph._settled()[place]

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._graph._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._graph._index)

    def __len__(self) -> int:
        return len(self._graph._nodes)

    def __repr__(self) -> str:
        return f"<nodes of {self._graph!r}>"
