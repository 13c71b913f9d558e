"""Dask's local schedulers, with the graph in its own task objects and every key asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.local
import dask.threaded
from dask.task_spec import Task, TaskRef

from .peer import Action, Graph, Peer


def describe(graph: Graph, action: Action) -> dict[str, Any]:
    """A task gets the results of its dependencies: that is how Dask knows them."""

    def call(task: str, *results: Any) -> Any:
        return action(task)

    return {task: Task(task, call, task, *map(TaskRef, graph[task])) for task in graph}


def _run(get: Callable[..., Any]) -> Callable[[dict[str, Any]], list[Any]]:
    return lambda described: list(get(described, list(described)))


PEERS = {
    "dask-threaded": Peer(title="dask.threaded", run=_run(dask.threaded.get), describe=describe),
    "dask-synchronous": Peer(
        title="dask, synchronous", run=_run(dask.local.get_sync), describe=describe
    ),
}
