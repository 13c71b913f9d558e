"""What one writes without Trio and without a library, each in its best form."""

from __future__ import annotations

import asyncio
import graphlib
import os
import queue
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from .peer import Action, Graph, Peer


def graphlib_loop(work: tuple[Graph, Action]) -> dict[str, Any]:
    """`graphlib` drives plain calls, one after the other; nothing runs at the same time."""
    graph, action = work
    sorter = graphlib.TopologicalSorter(graph)
    sorter.prepare()
    results: dict[str, Any] = {}
    while sorter.is_active():
        ready = sorter.get_ready()
        for task in ready:
            results[task] = action(task)
        sorter.done(*ready)
    return results


def graphlib_order(work: tuple[Graph, Action]) -> list[str]:
    """The bookkeeping of `graphlib` alone, no call of anything."""
    sorter = graphlib.TopologicalSorter(work[0])
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        order += ready
        sorter.done(*ready)
    return order


async def task_group(work: tuple[Graph, Action]) -> dict[str, Any]:
    """`graphlib` says what is ready; each task is an asyncio task of its own."""
    graph, action = work
    sorter = graphlib.TopologicalSorter(graph)
    sorter.prepare()
    done, get_ready = sorter.done, sorter.get_ready
    results: dict[str, Any] = {}

    async def run(task: str) -> None:
        results[task] = await action(task)
        done(task)
        for ready in get_ready():
            spawn(run(ready))

    async with asyncio.TaskGroup() as group:
        spawn = group.create_task
        for ready in get_ready():
            spawn(run(ready))
    return results


def thread_pool(work: tuple[Graph, Action]) -> dict[str, Any]:
    """A pool of threads calls plain functions; what ended comes back through a queue."""
    graph, action = work
    sorter = graphlib.TopologicalSorter(graph)
    sorter.prepare()
    results: dict[str, Any] = {}
    ended: queue.SimpleQueue[tuple[str, Future[Any]]] = queue.SimpleQueue()

    def note(task: str, future: Future[Any]) -> None:
        ended.put((task, future))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while sorter.is_active():
            for task in sorter.get_ready():
                pool.submit(action, task).add_done_callback(partial(note, task))
            task, future = ended.get()
            results[task] = future.result()
            sorter.done(task)
    return results


PEERS = {
    "graphlib-loop": Peer(title="graphlib, plain calls in a loop", run=graphlib_loop),
    "graphlib-order": Peer(title="graphlib, the order alone", run=graphlib_order),
    "asyncio-taskgroup": Peer(title="graphlib + asyncio.TaskGroup", run=task_group, loop="asyncio"),
    "thread-pool": Peer(title="graphlib + ThreadPoolExecutor", run=thread_pool, threads=True),
}
