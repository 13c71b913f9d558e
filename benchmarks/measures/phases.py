"""How long a peer takes to describe, freeze and run a graph, and how much memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from .. import actions, graphs
from ..cases import Case, Sample
from ..peers import Graph, Peer, find
from .memory_use import forget_peak, peak, resident
from .timing import PATIENCE, Took, drive, median_seconds, seconds

WARM_UP = 50  # tasks: imports, caches, and what the interpreter specialises


def phases(case: Case) -> Sample:
    peer = find(case.peer)
    graph = graphs.make(case.shape, min(case.size, peer.most))
    action = actions.choose(case.work, peer)
    with (peer.set_up or nullcontext)():
        run_once(peer, graphs.layered(min(WARM_UP, case.size)), action)
        figures = _measure(peer, graph, action, case.seconds)
    size = len(graph)
    memory = figures.pop("peak bytes") / size
    return Sample(
        figures={name: value / size * 1e6 for name, value in figures.items()}
        | {"peak bytes": memory},
        title=case.row or peer.title,
        size=size,
    )


def run_once(peer: Peer, graph: Graph, action: Any) -> Any:
    frozen = peer.freeze(peer.describe(graph, action))

    async def main() -> Any:
        result = peer.run(frozen)
        return await result if peer.loop is not None else result

    return drive(main, peer.loop)


def complete(size: int) -> Callable[[Any], None]:
    """A check that a peer kept a result for each task."""

    def check(result: Any) -> None:
        if len(result) != size:
            raise RuntimeError(f"{len(result)} results of {size} tasks")

    return check


def _measure(peer: Peer, graph: Graph, action: Any, enough: float) -> dict[str, float]:
    """Seconds of each phase; bytes at the peak of the first pass through all of them."""
    before = resident()
    forget_peak()
    gc.collect()
    start = time.process_time()
    described = peer.describe(graph, action)
    described_at = time.process_time()
    frozen = peer.freeze(described)
    frozen_at = time.process_time()
    check = complete(len(graph))

    async def main() -> tuple[int, Took]:
        first = await seconds(lambda: peer.run(frozen), check, peer.loop)
        most = peak()
        if first.wall > PATIENCE:
            return most, first
        return most, await median_seconds(lambda: peer.run(frozen), check, peer.loop, enough)

    most, took = drive(main, peer.loop)
    return {
        "describe us": described_at - start,
        "freeze us": frozen_at - described_at,
        "run us": took.wall,
        "processor us": took.processor,
        "peak bytes": max(most - before, 0),
    }
