"""When a run is over, however it ended, nothing of it is left."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from tgtrio import open_run, run_graph

from .runs import graph_of, raises, returns, sleeps, task


@pytest.mark.parametrize("how", ["handle", "outside", "each", "timeout"])
async def test_a_thousand_sleepers_leave_nothing_behind(
    how: str, autojump_clock: MockClock
) -> None:
    before = trio.lowlevel.current_statistics().tasks_living, threading.active_count()
    names = [str(n) for n in range(1000)]
    graph = graph_of(*names, max_parallel=1000, graph_timeout_ms=5000 if how == "timeout" else None)
    with trio.move_on_after(5 if how == "outside" else 100):
        async with open_run(graph, {"work": sleeps(1000)}) as run:
            await trio.sleep(1)
            assert run.statistics()["running_tasks"] == 1000
            if how == "handle":
                run.cancel()
            for name in names if how == "each" else ():
                run.cancel(name)
    trio_tasks, threads = before
    assert trio.lowlevel.current_statistics().tasks_living == trio_tasks
    assert threading.active_count() <= threads  # Trio's own may go meanwhile
    assert graph.get_stats()["states"]["cancelled"] == 1000
    assert graph.get_stats()["running_tasks"] == 0
    assert (await run_graph(graph, {"work": returns()})).ok


async def test_failing_runs_leave_no_trio_task_behind(autojump_clock: MockClock) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    graph = graph_of(*map(str, range(100)), task("end", "0"))
    await run_graph(graph, {"work": raises()})
    assert trio.lowlevel.current_statistics().tasks_living == before


def test_a_run_that_is_over_goes_at_once_and_not_when_the_collector_comes() -> None:
    engines: list[weakref.ref[object]] = []

    async def work(args: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()

    async def main() -> None:
        async with open_run(graph_of("a", "b", task("c", "a")), {"work": work}) as run:
            engines.append(weakref.ref(run._engine))

    gc.disable()
    try:
        trio.run(main)
        assert engines[0]() is None
    finally:
        gc.enable()
