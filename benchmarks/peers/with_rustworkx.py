"""rustworkx knows the order of a graph and runs nothing."""

from __future__ import annotations

from typing import Any

import rustworkx

from .peer import Action, Graph, Peer


def describe(graph: Graph, action: Action) -> Any:
    described = rustworkx.PyDiGraph(multigraph=False)
    nodes = dict(zip(graph, described.add_nodes_from(list(graph)), strict=True))
    described.add_edges_from_no_data(
        [(nodes[parent], nodes[task]) for task in graph for parent in graph[task]]
    )
    return described


def run(described: Any) -> list[int]:
    sorter = rustworkx.TopologicalSorter(described, check_cycle=False)
    order: list[int] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        order += ready
        sorter.done(ready)
    return order


PEERS = {"rustworkx-order": Peer(title="rustworkx, the order alone", run=run, describe=describe)}
