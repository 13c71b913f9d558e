"""networkx knows the order of a graph and runs nothing."""

from __future__ import annotations

from typing import Any

import networkx

from .peer import Action, Graph, Peer


def describe(graph: Graph, action: Action) -> Any:
    described = networkx.DiGraph()
    described.add_nodes_from(graph)
    described.add_edges_from((parent, task) for task in graph for parent in graph[task])
    return described


def run(described: Any) -> list[str]:
    return list(networkx.topological_sort(described))


PEERS = {"networkx-order": Peer(title="networkx, the order alone", run=run, describe=describe)}
