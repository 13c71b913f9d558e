"""aiodag: calling a task with the tasks that it depends on describes it and starts it."""

from __future__ import annotations

import asyncio
from typing import Any

from aiodag import task as aiodag_task

from .peer import Action, Graph, Peer


async def run(work: tuple[Graph, Action]) -> list[Any]:
    """Describing and running are one step here."""
    graph, action = work
    started: dict[str, Any] = {}
    for task, parents in graph.items():
        started[task] = aiodag_task(action, *[started[name] for name in parents])(task)
    return await asyncio.gather(*started.values())


PEERS = {"aiodag": Peer(title="aiodag", run=run, loop="asyncio", most=10_000)}
