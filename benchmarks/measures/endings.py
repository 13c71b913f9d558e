"""How long a run takes to end once it was cancelled."""

from __future__ import annotations

import statistics
import time
from typing import Any

import trio

import tgtrio

from .. import graphs
from ..actions import no_op
from ..cases import Case, Sample
from ..peers.ours import AMPLE, BARE

ROUNDS = 5
A_WHILE = 0.01  # seconds that tasks run flat out before the end
FLAT_OUT = 200_000  # tasks: more than run in that time


def cancelling(case: Case) -> Sample:
    """Milliseconds from `cancel()` to the result, with so many actions asleep.

    With the work "flat out" others that never block run at the same time.
    """
    busy = FLAT_OUT if case.work == "flat out" else 0
    graph = _graph(case.size, busy)
    times = [trio.run(_cancel, graph, case.size, busy) for _ in range(ROUNDS)]
    title = "and others that never block" if busy else "asleep, nothing else"
    return Sample(
        figures={"ms": statistics.median(times) * 1e3},
        title=f"{case.size:,} actions {title}",
        size=case.size,
    )


def _graph(asleep: int, busy: int) -> tgtrio.TaskGraph:
    graph = tgtrio.TaskGraph("benchmark", max_parallel=AMPLE)
    graph.add_tasks(
        {"task_id": f"asleep-{number}", "action_name": "sleep", "priority": 1}
        for number in range(asleep)
    )
    graph.add_tasks(
        {"task_id": name, "action_name": "work", "dependencies": parents}
        for name, parents in graphs.layered(busy).items()
    )
    graph.freeze()
    return graph


async def _cancel(graph: tgtrio.TaskGraph, asleep: int, busy: int) -> float:
    started = 0
    all_asleep = trio.Event()

    async def sleeps(args: Any) -> None:
        nonlocal started
        started += 1
        if started == asleep:
            all_asleep.set()
        await trio.sleep_forever()

    async with tgtrio.open_run(graph, {"sleep": sleeps, "work": no_op}, **BARE) as run:
        await all_asleep.wait()
        await trio.sleep(A_WHILE)
        if busy and run.statistics()["states"]["succeeded"] == busy:
            raise RuntimeError("the tasks that never block were done too early")
        start = time.perf_counter()
        run.cancel()
        await run.wait()
        return time.perf_counter() - start
