"""Dask's distributed scheduler: one worker in this process, as many threads as cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from dask.task_spec import Task, TaskRef
from distributed import Client, LocalCluster, default_client

from .peer import Action, Graph, Peer

_runs = count()


@contextmanager
def cluster() -> Iterator[None]:
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=os.cpu_count(),
            processes=False,
            dashboard_address=None,
        ) as local,
        Client(local),
    ):
        yield


def describe(graph: Graph, action: Action) -> tuple[Graph, Any]:
    def call(task: str, *results: Any) -> Any:
        return action(task)

    return graph, call


def run(work: tuple[Graph, Any]) -> list[Any]:
    """Keys are new each time, else the cluster would serve them from its memory."""
    (graph, call), number = work, next(_runs)

    def key(task: str) -> str:
        return f"{number}-{task}"

    described = {
        key(task): Task(key(task), call, task, *(TaskRef(key(parent)) for parent in parents))
        for task, parents in graph.items()
    }
    return list(default_client().get(described, list(described)))


PEERS = {
    "dask-distributed": Peer(
        title="dask.distributed", run=run, describe=describe, most=2_000, set_up=cluster
    )
}
