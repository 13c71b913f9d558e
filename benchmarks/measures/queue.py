"""The ready queue alone, driven from Python: who may start next, told when each ended."""

from __future__ import annotations

import random
import statistics
import time
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import tgtrio
from tgtrio._backend import ReadyQueue
from tgtrio._plan import Plan
from tgtrio._states import SUCCEEDED

from .. import graphs
from ..actions import plain_no_op
from ..cases import Case, Sample
from ..peers import Graph, find
from ..peers.by_hand_trio import ACTIONS, LIMIT
from ..peers.ours import AMPLE, task_graph
from .timing import Took, drive, median_seconds

PRIORITIES = 10
ROUNDS = 3


def queue(case: Case) -> Sample:
    """Nanoseconds a task; of a peer that only knows an order, the time it takes for that."""
    graph = graphs.make(case.shape, case.size)
    if case.peer != "tgtrio":
        return _of_peer(case, graph)
    title, drive_through, lanes = _WAYS[case.work]
    plan = task_graph(graph).freeze() if case.work == "in-order" else _plan(graph)
    times = [_time(_queue(plan, lanes), drive_through, len(graph)) for _ in range(ROUNDS)]
    return Sample(
        figures={"ns": statistics.median(times) / len(graph) * 1e9}, title=title, size=len(graph)
    )


def _of_peer(case: Case, graph: Graph) -> Sample:
    peer = find(case.peer)
    frozen = peer.freeze(peer.describe(graph, plain_no_op))

    async def main() -> Took:
        return await median_seconds(
            lambda: peer.run(frozen), lambda _: None, peer.loop, case.seconds
        )

    figures = {"ns": drive(main, peer.loop).processor / len(graph) * 1e9}
    return Sample(figures=figures, title=peer.title, size=len(graph))


def _plan(graph: Graph) -> Plan:
    """With random priorities and deadlines: neighbours in the graph are far apart in memory."""
    rng, start = random.Random(1), datetime(2100, 1, 1, tzinfo=UTC)
    described = tgtrio.TaskGraph("queue")
    described.add_tasks(
        {
            "task_id": name,
            "action_name": "work",
            "dependencies": parents,
            "priority": rng.randrange(PRIORITIES),
            "deadline": start + timedelta(seconds=rng.randrange(100_000)),
        }
        for name, parents in graph.items()
    )
    return described.freeze()


def _queue(plan: Plan, cap: int | None) -> ReadyQueue:
    edges = plan.dependent_offsets, plan.dependents, plan.indegrees, plan.policies
    if cap is None:
        return ReadyQueue(*edges, AMPLE)
    lanes = array("i", (1 + rank % ACTIONS for rank in range(len(plan))))
    lane_gates: Sequence[Sequence[int]] = ((), *((gate,) for gate in range(ACTIONS)))
    return ReadyQueue(*edges, AMPLE, lanes, lane_gates, (cap,) * ACTIONS)


def _time(ready: ReadyQueue, drive_through: Callable[[ReadyQueue], None], size: int) -> float:
    start = time.process_time()
    drive_through(ready)
    took = time.process_time() - start
    if ready.counts()[SUCCEEDED] != size:
        raise RuntimeError("the queue stopped before its end")
    return took


def _next_and_complete(ready: ReadyQueue) -> None:
    start_next, complete = ready.next, ready.complete
    while (task := start_next()) >= 0:
        complete(task, SUCCEEDED)


def _fused(ready: ReadyQueue) -> None:
    complete_and_next = ready.complete_and_next
    task = ready.next()
    while task >= 0:
        task = complete_and_next(task, SUCCEEDED)


def _as_many_as_may(ready: ReadyQueue) -> None:
    """Start all that may start, then end them, so that the caps really hold tasks back."""
    start_next, complete = ready.next, ready.complete
    running: list[int] = []
    while True:
        while (task := start_next()) >= 0:
            running.append(task)
        if not running:
            return
        for task in running:
            complete(task, SUCCEEDED)
        running.clear()


_WAYS: dict[str, tuple[str, Callable[[Any], None], int | None]] = {
    "in-order": ("tgtrio, neither priorities nor deadlines", _next_and_complete, None),
    "next-complete": ("tgtrio, next + complete", _next_and_complete, None),
    "fused": ("tgtrio, complete_and_next", _fused, None),
    "eight-caps": (f"tgtrio, {ACTIONS} actions with a cap of {LIMIT}", _as_many_as_may, LIMIT),
    "caps-of-one": (f"tgtrio, {ACTIONS} actions with a cap of 1", _as_many_as_may, 1),
}
