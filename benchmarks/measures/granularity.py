"""METG(50 %): how small tasks may be for half of the time to be useful work.

The minimum effective task granularity of Task Bench (Slaughter et al., SC 2020): the work of a
task is made smaller and smaller; efficiency is the work done in a second over what the machine
does without any tasks; the figure is wall-clock time times cores over tasks where efficiency
falls to 50 %. Here the work is turns of an empty loop, and everything runs in one process, on
one core as far as the interpreter goes; of the clock only the processor's time is taken, for
which it does not matter what else the machine does.
"""

from __future__ import annotations

import math
import statistics
import time

from .. import actions, graphs
from ..cases import Case, Sample
from ..peers import Graph, Peer, find
from .phases import complete
from .timing import Took, drive, median_seconds

HALF = 0.5
LARGEST = 2**20  # turns


def granularity(case: Case) -> Sample:
    peer = find(case.peer)
    graph = graphs.make(case.shape, min(case.size, peer.most))
    return Sample(
        figures={"METG us": metg(peer, graph, case.seconds) * 1e6},
        title=peer.title,
        size=len(graph),
    )


def metg(peer: Peer, graph: Graph, enough: float = 1.0) -> float:
    """Seconds a task where efficiency is 50 %: between the two measured points next to it.

    Each point is measured for about `enough` seconds. What the machine does at its peak is
    measured right after it, because that changes with what else the machine does.
    """
    turns, before = 1, (0.0, 0.0)
    while turns <= LARGEST:
        took = seconds_a_task(peer, graph, turns, enough)
        efficiency = turns * seconds_a_turn() / took
        if efficiency >= HALF:
            return _between(before, (efficiency, took))
        before, turns = (efficiency, took), turns * 2
    raise RuntimeError(f"tasks of {LARGEST} turns are not large enough")


def seconds_a_turn(turns: int = 200_000, rounds: int = 15) -> float:
    """The peak: what a turn takes where nothing else happens."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        actions.spin(turns)
        times.append(time.process_time() - start)
    return statistics.median(times) / turns


def seconds_a_task(peer: Peer, graph: Graph, turns: int, enough: float) -> float:
    action = actions.spins(None if peer.threads else peer.loop, turns)
    frozen = peer.freeze(peer.describe(graph, action))

    async def main() -> Took:
        return await median_seconds(
            lambda: peer.run(frozen), complete(len(graph)), peer.loop, enough
        )

    took: Took = drive(main, peer.loop)
    return took.processor / len(graph)


def _between(low: tuple[float, float], high: tuple[float, float]) -> float:
    """The time at 50 %, on the line through two points (efficiency, time)."""
    if low[0] == 0:
        return high[1]
    share = (HALF - low[0]) / (high[0] - low[0])
    return math.exp((1 - share) * math.log(low[1]) + share * math.log(high[1]))
