"""Luigi with its local scheduler and one worker, its outputs in memory."""

from __future__ import annotations

from typing import Any

import luigi

from .peer import Action, Graph, Peer

_current: dict[str, Any] = {}  # Luigi makes its tasks itself, from their parameters


class Work(luigi.Task):
    """One task of the graph that runs now."""

    name = luigi.Parameter()

    def requires(self) -> list[Any]:
        return [Work(name=parent) for parent in _current["graph"][self.name]]

    def run(self) -> None:
        _current["results"][self.name] = _current["action"](self.name)

    def complete(self) -> bool:
        return self.name in _current["results"]


class Whole(luigi.WrapperTask):
    """All of them."""

    def requires(self) -> list[Any]:
        return [Work(name=task) for task in _current["graph"]]


def run(work: tuple[Graph, Action]) -> dict[str, Any]:
    graph, action = work
    _current.update(graph=graph, action=action, results={})
    luigi.build([Whole()], local_scheduler=True, workers=1, log_level="CRITICAL")
    results: dict[str, Any] = _current["results"]
    return results


PEERS = {"luigi": Peer(title="Luigi", run=run, most=300)}
