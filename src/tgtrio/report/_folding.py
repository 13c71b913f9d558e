"""The graph as it is drawn: task by task, or folded by action and level."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from .._node import TaskNode

MOST_NODES = 80  # that are drawn
MOST_EDGES = 160
MOST_BANDS = 12
REST = "other actions"


@attrs.frozen
class Fold:
    """How the tasks of a graph are gathered into the nodes of a drawing.

    Attributes:
        folded: False if each task is a node of its own.
        node_of: The node of each task, by the place of the task.
        labels: The action of each node, or its task.
        levels: The first and the last level of each node.
        edges: From node, to node, how many dependencies.
        left_out: How many edges are not drawn: they follow from others, or lead from one action
            to another within several levels that are drawn as one.
    """

    folded: bool
    node_of: array[int]
    labels: list[str]
    levels: list[tuple[int, int]]
    edges: list[tuple[int, int, int]]
    left_out: int


def places_of(nodes: Sequence[TaskNode], index: dict[str, int]) -> list[list[int]]:
    """The dependencies of each task, as places."""
    return [[index[name] for name in node.dependencies] for node in nodes]


def levels_of(dependencies: Sequence[Sequence[int]]) -> array[int]:
    """How many tasks come one after the other before each: its level. O(tasks + edges)."""
    levels = array("i", [0]) * len(dependencies)
    missing = array("i", map(len, dependencies))
    dependents: list[list[int]] = [[] for _ in dependencies]
    for task, befores in enumerate(dependencies):
        for before in befores:
            dependents[before].append(task)
    free = [task for task, count in enumerate(missing) if not count]
    while free:
        before = free.pop()
        for task in dependents[before]:
            levels[task] = max(levels[task], levels[before] + 1)
            missing[task] -= 1
            if not missing[task]:
                free.append(task)
    return levels


def fold(
    nodes: Sequence[TaskNode], dependencies: Sequence[Sequence[int]], levels: Sequence[int]
) -> Fold:
    """Gather the tasks of a graph into at most `MOST_NODES` nodes. O(tasks x log depth + edges).

    Tasks of one action and one level become one; where that leaves too many, so do several
    levels, and the rarest actions.
    """
    if len(nodes) <= MOST_NODES:
        node_of = array("i", range(len(nodes)))
        labels = [node.task_id for node in nodes]
        spans = [(level, level) for level in levels]
        return _with_edges(False, node_of, labels, spans, dependencies)
    actions = _names([node.action_name for node in nodes])
    depth, bands = max(levels) + 1, min(max(levels) + 1, MOST_BANDS)
    band_of = _band_of(depth, bands)
    while bands > 1 and len(_groups(actions, levels, band_of)) > MOST_NODES:
        bands = bands - 1 if bands < 6 else bands * 3 // 4
        band_of = _band_of(depth, bands)
    groups = _groups(actions, levels, band_of)
    places = {group: place for place, group in enumerate(sorted(groups, key=groups.__getitem__))}
    node_of = array(
        "i", (places[band_of(level), name] for name, level in zip(actions, levels, strict=True))
    )
    spans = [_levels_of_band(band, depth, bands) for band, _ in places]
    return _with_edges(True, node_of, [name for _, name in places], spans, dependencies)


def _levels_of_band(band: int, depth: int, bands: int) -> tuple[int, int]:
    return -(-band * depth // bands), -(-(band + 1) * depth // bands) - 1


def _band_of(depth: int, bands: int) -> Callable[[int], int]:
    return lambda level: level * bands // depth


def _groups(
    actions: Sequence[str], levels: Sequence[int], band_of: Callable[[int], int]
) -> dict[tuple[int, str], int]:
    """The groups that there would be, with the place of the first task of each."""
    groups: dict[tuple[int, str], int] = {}
    for place, (name, level) in enumerate(zip(actions, levels, strict=True)):
        groups.setdefault((band_of(level), name), place)
    return groups


def _names(actions: list[str]) -> list[str]:
    """The actions, the rarest ones together if there are too many."""
    counts = Counter(actions)
    if len(counts) <= MOST_NODES // 2:
        return actions
    kept = {name for name, _ in counts.most_common(MOST_NODES // 4)}
    return [name if name in kept else REST for name in actions]


def _with_edges(
    folded: bool,
    node_of: array[int],
    labels: list[str],
    levels: list[tuple[int, int]],
    dependencies: Sequence[Sequence[int]],
) -> Fold:
    counts: Counter[tuple[int, int]] = Counter()
    for task, befores in enumerate(dependencies):
        counts.update((node_of[before], node_of[task]) for before in befores)
    edges = {pair: count for pair, count in counts.items() if pair[0] != pair[1]}
    drawn = [(a, b) for a, b in edges if levels[a][1] < levels[b][0]]
    if len(drawn) > MOST_EDGES or (folded and len(drawn) > MOST_NODES):
        drawn = _reduced(drawn, levels)
    chosen = [(a, b, edges[a, b]) for a, b in sorted(drawn)]
    return Fold(folded, node_of, labels, levels, chosen, len(edges) - len(drawn))


def _reduced(edges: list[tuple[int, int]], levels: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The edges without those that follow from others (transitive reduction), by bit sets."""
    order = levels.__getitem__
    after: dict[int, list[int]] = {}
    for a, b in edges:
        after.setdefault(a, []).append(b)
    reach: dict[int, int] = {}
    kept = []
    for node in sorted(range(len(levels)), key=order, reverse=True):
        reached = 0
        for b in sorted(after.get(node, ()), key=order):
            if not reached >> b & 1:
                kept.append((node, b))
                reached |= reach[b] | 1 << b
        reach[node] = reached
    return kept
