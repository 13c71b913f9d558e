"""Do held tasks slow down the others? The same tasks are timed with few and with many held."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import attrs
import trio

import tgtrio

from .. import graphs
from ..cases import Case, Sample
from ..peers import Graph
from ..peers.ours import BARE

FEW = 10
HELD = 10_000
ROUNDS = 7
HOURS = 10_000.0


@attrs.frozen
class Hold:
    """What holds tasks back, and why it does."""

    title: str
    options: Mapping[str, Any]
    fails: bool = False


HOLDS = {
    "cap": Hold("behind a full cap", {**BARE, "per_action_caps": {"held": 1}}),
    "breaker": Hold(
        "behind an open breaker",
        {**BARE, "breaker": tgtrio.BreakerPolicy(open_for=HOURS)},
        fails=True,
    ),
}


def held(case: Case) -> Sample:
    hold = HOLDS[case.work]
    shape = graphs.make(case.shape, case.size)
    few, many = _graph(shape, FEW), _graph(shape, HELD)
    rounds = [(_run(few, hold, case.size), _run(many, hold, case.size)) for _ in range(ROUNDS)]
    return Sample(
        figures={
            f"us beside {FEW} held": median([few for few, _ in rounds]) / case.size * 1e6,
            f"us beside {HELD:,} held": median([many for _, many in rounds]) / case.size * 1e6,
            "ratio": median([many / few for few, many in rounds]),
        },
        title=hold.title,
        size=case.size,
    )


def _graph(shape: Graph, held: int) -> tgtrio.TaskGraph:
    """The held tasks come first in the order of the queue."""
    graph = tgtrio.TaskGraph("benchmark")
    graph.add_tasks(
        {"task_id": f"held-{number}", "action_name": "held", "priority": 1}
        for number in range(held)
    )
    graph.add_tasks(
        {"task_id": name, "action_name": "work", "dependencies": parents}
        for name, parents in shape.items()
    )
    graph.freeze()
    return graph


def _run(graph: tgtrio.TaskGraph, hold: Hold, size: int) -> float:
    """Seconds from the first of the other tasks to the last."""
    done = trio.Event()
    times: list[float] = []
    count = 0

    async def stuck(args: Any) -> None:
        if hold.fails:
            raise ConnectionError("as long as the benchmark lasts")
        await trio.sleep_forever()

    async def work(args: Any) -> None:
        nonlocal count
        count += 1
        if count == 1 or count == size:
            times.append(time.process_time())
        if count == size:
            done.set()

    async def main() -> None:
        async with tgtrio.open_run(graph, {"held": stuck, "work": work}, **hold.options) as run:
            await done.wait()
            run.cancel()

    gc.collect()
    trio.run(main)
    return times[1] - times[0]
