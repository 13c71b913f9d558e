"""What a Trio user writes without a library, in its best form, keeping the results."""

from __future__ import annotations

import graphlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio

Action = Callable[[Any], Awaitable[Any]]


async def nursery(graph: Mapping[str, Sequence[str]], action: Action) -> dict[str, Any]:
    """`graphlib` says what is ready; each task is a Trio task of its own."""
    sorter = graphlib.TopologicalSorter(graph)
    sorter.prepare()
    results: dict[str, Any] = {}

    async def run(task: str) -> None:
        results[task] = await action({})
        sorter.done(task)
        for ready in sorter.get_ready():
            spawn(run, ready)

    async with trio.open_nursery() as tasks:
        spawn = tasks.start_soon
        for ready in sorter.get_ready():
            spawn(run, ready)
    return results


async def nursery_with_limit(
    graph: Mapping[str, Sequence[str]], action: Action, limit: int
) -> dict[str, Any]:
    """The same, with at most `limit` actions at once."""
    limiter = trio.CapacityLimiter(limit)

    async def limited(args: Any) -> Any:
        async with limiter:
            return await action(args)

    return await nursery(graph, limited)


async def bare_loop(graph: Mapping[str, Sequence[str]], action: Action) -> dict[str, Any]:
    """No graph at all: await one after the other and keep the value."""
    return {task: await action({}) for task in graph}
