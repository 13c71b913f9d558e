"""OpenStack TaskFlow, its serial engine, which was the faster one, kept in memory."""

from __future__ import annotations

from typing import Any

from taskflow import engines, task
from taskflow.patterns import graph_flow

from .peer import Action, Graph, Peer


class Work(task.Task):
    """One task; what it requires are the results of its dependencies."""

    def __init__(self, name: str, parents: list[str], action: Action) -> None:
        super().__init__(name, provides=f"of {name}", requires=[f"of {p}" for p in parents])
        self.action = action

    def execute(self, **results: Any) -> Any:
        return self.action(self.name)


def describe(graph: Graph, action: Action) -> Any:
    flow = graph_flow.Flow("benchmark")
    flow.add(*(Work(name, list(parents), action) for name, parents in graph.items()))
    return flow


def run(flow: Any) -> list[Any]:
    engine = engines.load(flow, engine="serial")
    engine.compile()
    engine.prepare()
    engine.run()
    return list(engine.storage.fetch_all().values())


PEERS = {"taskflow": Peer(title="OpenStack TaskFlow", run=run, describe=describe, most=300)}
