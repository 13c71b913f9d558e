"""What the tests with an asyncio loop share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import trio.lowlevel

from tgtrio import GraphResult, TaskGraph, run_in_asyncio


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run in a loop, and see that neither a Trio run nor an asyncio task is left."""

    async def checked() -> Any:
        result = await main()
        assert not trio.lowlevel.in_trio_run()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(checked())


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something is so."""
    while not condition():  # noqa: ASYNC110  # what it asks has no event
        await asyncio.sleep(0)


async def started(graph: TaskGraph, **actions: object) -> asyncio.Task[GraphResult]:
    """An asyncio task that runs the graph, once a task of that is in flight."""
    call = asyncio.ensure_future(run_in_asyncio(graph, actions))
    await until(lambda: graph.get_stats()["running_tasks"])
    return call
