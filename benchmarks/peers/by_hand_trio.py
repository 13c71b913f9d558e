"""What a Trio user writes without a library, each in its best form, keeping the results."""

from __future__ import annotations

import graphlib
import math
from typing import Any

import trio

from .peer import Action, Graph, Peer

ACTIONS = 8  # how many actions share the tasks where each has a limit
LIMIT = 4  # tasks of each of them at once
WORKERS = 100


async def bare_loop(work: tuple[Graph, Action]) -> dict[str, Any]:
    """No scheduling at all: await one after the other and keep the value."""
    graph, action = work
    return {task: await action(task) for task in graph}


async def nursery(work: tuple[Graph, Action]) -> dict[str, Any]:
    """`graphlib` says what is ready; each task is a Trio task of its own."""
    graph, action = work
    sorter = graphlib.TopologicalSorter(graph)
    sorter.prepare()
    done, get_ready = sorter.done, sorter.get_ready
    results: dict[str, Any] = {}

    async def run(task: str) -> None:
        results[task] = await action(task)
        done(task)
        for ready in get_ready():
            spawn(run, ready)

    async with trio.open_nursery() as tasks:
        spawn = tasks.start_soon
        for ready in get_ready():
            spawn(run, ready)
    return results


def with_limiters(graph: Graph, action: Action) -> tuple[Graph, Action]:
    """The tasks are dealt to eight actions; each has a limiter, made when the loop runs."""
    actions = {task: number % ACTIONS for number, task in enumerate(graph)}
    limiters: list[trio.CapacityLimiter] = []

    async def limited(task: str) -> Any:
        if not limiters:
            limiters.extend(trio.CapacityLimiter(LIMIT) for _ in range(ACTIONS))
        async with limiters[actions[task]]:
            return await action(task)

    return graph, limited


async def channel_workers(work: tuple[Graph, Action]) -> dict[str, Any]:
    """A fixed crew of workers takes ready tasks from a memory channel."""
    graph, action = work
    sorter = graphlib.TopologicalSorter(graph)
    sorter.prepare()
    put, take = trio.open_memory_channel[str](math.inf)
    results: dict[str, Any] = {}

    async def worker() -> None:
        async for task in take:
            results[task] = await action(task)
            sorter.done(task)
            for ready in sorter.get_ready():
                put.send_nowait(ready)
            if not sorter.is_active():
                put.close()

    async with trio.open_nursery() as crew:
        for ready in sorter.get_ready():
            put.send_nowait(ready)
        if not graph:
            put.close()
        for _ in range(WORKERS):
            crew.start_soon(worker)
    return results


async def to_thread(work: tuple[Graph, Action]) -> dict[str, Any]:
    """The nursery, and a worker thread of Trio's for each call of a plain function."""
    graph, action = work

    async def in_thread(task: str) -> Any:
        return await trio.to_thread.run_sync(action, task)

    return await nursery((graph, in_thread))


PEERS = {
    "bare-loop": Peer(title="bare await loop, no graph", run=bare_loop, loop="trio"),
    "nursery": Peer(title="graphlib + Trio nursery", run=nursery, loop="trio"),
    "nursery-limiters": Peer(
        title="the same, a limiter an action", run=nursery, describe=with_limiters, loop="trio"
    ),
    "channel-workers": Peer(
        title=f"{WORKERS} workers on a memory channel", run=channel_workers, loop="trio"
    ),
    "to-thread": Peer(
        title="nursery, to_thread.run_sync each",
        run=to_thread,
        loop="trio",
        threads=True,
        most=5_000,
    ),
}
