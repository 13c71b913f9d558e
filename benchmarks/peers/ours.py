"""tgtrio, with fewer and with more of its features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

import tgtrio

from .by_hand_trio import ACTIONS, LIMIT
from .peer import Action, Graph, Peer

BARE: Mapping[str, Any] = {"retry": None, "breaker": None, "idempotent": False}
AMPLE = 1_000_000  # a limit that nothing reaches
MINUTE_MS = 60_000


@attrs.frozen
class Described:
    """A graph of tgtrio's, the actions that do its work, and the options of its run."""

    graph: tgtrio.TaskGraph
    actions: Mapping[str, Action]
    options: Mapping[str, Any] = BARE


def task_graph(graph: Graph, *, limit: int = 100) -> tgtrio.TaskGraph:
    """The plainest description: no arguments, and one action for all."""
    described = tgtrio.TaskGraph("benchmark", max_parallel=limit)
    described.add_tasks(
        {"task_id": name, "action_name": "work", "dependencies": parents}
        for name, parents in graph.items()
    )
    return described


def describe(graph: Graph, action: Action) -> Described:
    return Described(task_graph(graph), {"work": action})


def describe_unlimited(graph: Graph, action: Action) -> Described:
    return Described(task_graph(graph, limit=AMPLE), {"work": action})


def describe_with_caps(graph: Graph, action: Action) -> Described:
    """The tasks are dealt to eight actions, each with a cap of its own."""
    names = [f"work-{number}" for number in range(ACTIONS)]
    described = tgtrio.TaskGraph("benchmark")
    described.add_tasks(
        {"task_id": name, "action_name": names[number % ACTIONS], "dependencies": parents}
        for number, (name, parents) in enumerate(graph.items())
    )
    caps = dict.fromkeys(names, LIMIT)
    return Described(described, dict.fromkeys(names, action), {**BARE, "per_action_caps": caps})


def describe_in_full(graph: Graph, action: Action) -> Described:
    """A timeout on every task; arguments that differ, else all would be one piece of work."""
    described = tgtrio.TaskGraph("benchmark")
    described.add_tasks(
        {
            "task_id": name,
            "action_name": "work",
            "normalized_args": {"number": number},
            "dependencies": parents,
            "task_timeout_ms": MINUTE_MS,
        }
        for number, (name, parents) in enumerate(graph.items())
    )
    return Described(described, {"work": action}, {})


def freeze(described: Described) -> Described:
    described.graph.freeze()
    return described


async def run(described: Described) -> Mapping[str, tgtrio.TaskResult]:
    result = await tgtrio.run_graph(described.graph, described.actions, **described.options)
    result.raise_for_failures()
    return result.results


def _peer(title: str, describe: Any = describe, *, threads: bool = False) -> Peer:
    return Peer(
        title=title, run=run, describe=describe, freeze=freeze, loop="trio", threads=threads
    )


PEERS = {
    "tgtrio": _peer("tgtrio"),
    "tgtrio-caps": _peer("tgtrio, a cap an action", describe_with_caps),
    "tgtrio-defaults": _peer("tgtrio, all defaults and a timeout a task", describe_in_full),
    "tgtrio-unlimited": _peer("tgtrio, unlimited", describe_unlimited),
    "tgtrio-threads": _peer("tgtrio, in worker threads", threads=True),
}
