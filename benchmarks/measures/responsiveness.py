"""Is the rest of the program served while tasks run, and are the slots of a run kept full?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
import trio.testing

import tgtrio

from .. import actions, graphs
from ..cases import Case, Sample
from ..peers import find
from ..peers.ours import task_graph

PERIOD = 0.001
LASTING = 1.5  # seconds that the ticker is watched
LIMIT = 1_000


def ticker(case: Case) -> Sample:
    """How late a ticker of 1 ms comes beside tasks that never block; `alone` beside nothing."""
    if case.work == "alone":
        late, title = trio.run(_watch, trio.sleep_forever), "nothing else in the program"
    else:
        peer = find(case.peer)
        graph = graphs.make(case.shape, case.size)
        frozen = peer.freeze(peer.describe(graph, actions.choose("no-op", peer)))

        async def flat_out() -> None:
            while True:
                await peer.run(frozen)
                await trio.lowlevel.checkpoint()

        late, title = trio.run(_watch, flat_out), peer.title
    late.sort()
    return Sample(
        figures={
            "p50 ms": late[len(late) // 2] * 1e3,
            "p99 ms": late[int(len(late) * 0.99)] * 1e3,
            "longest ms": late[-1] * 1e3,
        },
        title=title,
        size=case.size,
    )


async def _watch(others: Callable[[], Awaitable[Any]]) -> list[float]:
    """The lateness of each tick, in seconds. A tick that was missed is not made up for."""
    late: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        with trio.move_on_after(LASTING):
            due = trio.current_time()
            while True:
                due = max(due + PERIOD, trio.current_time())
                await trio.sleep_until(due)
                late.append(trio.current_time() - due)
        nursery.cancel_scope.cancel()
    return late


def naps(case: Case) -> Sample:
    """In virtual time: does a run of naps take as long as it must?"""
    in_flight = peak = 0

    async def counted(args: Any) -> None:
        nonlocal in_flight, peak
        in_flight += 1
        peak = max(peak, in_flight)
        await trio.sleep(actions.NAP)
        in_flight -= 1

    async def main() -> float:
        graph = task_graph(graphs.wide(case.size), limit=LIMIT)
        result = await tgtrio.run_graph(graph, {"work": counted}, idempotent=False)
        return result.elapsed_ms

    took = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    ideal = case.size / LIMIT * actions.NAP * 1e3
    return Sample(
        figures={"ideal ms": ideal, "took ms": took, "ratio": took / ideal, "peak": peak},
        title=f"tgtrio, at most {LIMIT:,} at once",
        size=case.size,
    )
