"""What describing a graph costs in time, and a whole run in memory."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import trio
import trio.testing

import tgtrio
from tgtrio._backend import ReadyQueue
from tgtrio._identity import keys_of
from tgtrio._plan import Plan
from tgtrio._states import SUCCEEDED

from .. import graphs
from ..actions import no_op
from ..cases import Case, Sample
from ..peers import Graph
from ..peers.ours import AMPLE, BARE, task_graph
from .memory_use import forget_peak, peak, resident

ROUNDS = 3
SUSPENDED = 10_000
RUNS = 10


def describing(case: Case) -> Sample:
    """Microseconds a task of each step before a run."""
    tasks: list[dict[str, Any]] = [
        {"task_id": name, "action_name": "work", "dependencies": parents}
        for name, parents in graphs.make(case.shape, case.size).items()
    ]
    rounds = [_describe(tasks) for _ in range(ROUNDS)]
    return Sample(
        figures={
            name: statistics.median(times[name] for times in rounds) / len(tasks) * 1e6
            for name in rounds[0]
        },
        title="tgtrio",
        size=len(tasks),
    )


def _describe(tasks: list[dict[str, Any]]) -> dict[str, float]:
    times = {}

    def timed(name: str, call: Callable[[], Any]) -> None:
        start = time.process_time()
        call()
        times[name] = time.process_time() - start

    def one_by_one() -> None:
        add = tgtrio.TaskGraph("benchmark").add_task
        for task in tasks:
            add(task["task_id"], task["action_name"], None, (), "1", task["dependencies"])

    graph = tgtrio.TaskGraph("benchmark")
    timed("add_task us", one_by_one)
    timed("add_tasks us", lambda: graph.add_tasks(tasks))
    timed("freeze us", graph.freeze)
    timed("keys us", lambda: keys_of(graph.nodes.values()))
    return times


def memory(case: Case) -> Sample:
    """Bytes a task."""
    shape = graphs.make(case.shape, case.size)
    small = graphs.make(case.shape, min(case.size, 100_000))
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "suspended": _suspended,
        "run": lambda: _run(small),
        "queue and plan": lambda: _queue_and_plan(small),
        "whole": lambda: _whole(shape),
    }
    return Sample(figures=parts[case.work](), title=f"tgtrio, {case.work}", size=len(shape))


def _queue_and_plan(shape: Graph) -> dict[str, float]:
    graph = task_graph(shape)
    size, edges = len(shape), sum(map(len, shape.values()))
    tracemalloc.start()
    plan = graph.freeze()
    planned = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    queues = [_driven(plan)]
    before = resident()
    queues += [_driven(plan) for _ in range(10)]
    per_queue = (resident() - before) / 10
    assert len(queues) == 11
    held = (planned + per_queue) / size
    return {"bytes": held, "bytes less 10 an edge": held - 10 * edges / size}


def _driven(plan: Plan) -> ReadyQueue:
    """A queue of which every page has been touched."""
    queue = ReadyQueue(
        plan.dependent_offsets, plan.dependents, plan.indegrees, plan.policies, AMPLE
    )
    while (task := queue.next()) >= 0:
        queue.complete(task, SUCCEEDED)
    return queue


def _run(shape: Graph) -> dict[str, float]:
    """What results keep, their list of responses and their queue not counted; and a leak test."""
    graph = task_graph(shape)
    plan = graph.freeze()
    size = len(shape)
    results: list[Any] = []

    async def main() -> tuple[float, float]:
        results.append(await tgtrio.run_graph(graph, {"work": no_op}, **BARE))
        before = resident()
        for _ in range(RUNS):
            results.append(await tgtrio.run_graph(graph, {"work": no_op}, **BARE))
        kept = (resident() - before) / RUNS
        results.clear()
        await tgtrio.run_graph(graph, {"work": no_op}, **BARE)
        after_one = resident()
        for _ in range(RUNS):
            await tgtrio.run_graph(graph, {"work": no_op}, **BARE)
        return kept, resident() - after_one

    kept, grown = trio.run(main)
    before = resident()
    queues = [_driven(plan) for _ in range(RUNS)]
    of_queue = (resident() - before) / len(queues)
    return {
        "bytes": kept / size,
        "bytes less queue and responses": (kept - of_queue) / size - 8,
        f"growth over {RUNS} more runs": grown / (RUNS * size),
    }


def _whole(shape: Graph) -> dict[str, float]:
    """Description, plan, queue and run at their peak; the names of the tasks were there before."""
    before = resident()
    forget_peak()
    graph = task_graph(shape)
    result = trio.run(lambda: tgtrio.run_graph(graph, {"work": no_op}, **BARE))
    assert result.ok
    return {"bytes": (peak() - before) / len(shape)}


def _suspended() -> dict[str, float]:
    graph = task_graph(graphs.wide(SUSPENDED), limit=AMPLE)
    graph.freeze()

    async def waits(args: Any) -> None:
        await trio.sleep_forever()

    async def main() -> float:
        before = resident()
        async with tgtrio.open_run(graph, {"work": waits}, **BARE) as run:
            await trio.testing.wait_all_tasks_blocked()
            assert run.statistics()["running_tasks"] == SUSPENDED
            grown = resident() - before
            run.cancel()
        return grown

    return {"bytes": trio.run(main) / SUSPENDED}
