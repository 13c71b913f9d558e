"""The columns of a plan, made in plain Python: the twin of the compiled functions.

What each promises stands in `_freezing.pyi`.
"""

from __future__ import annotations

import math
from array import array
from itertools import accumulate

from ._node import EXPIRES, INPUTS, TIMED, TaskNode
from ._states import POLICIES, effective_policy


def dispatch_order(nodes: list[TaskNode]) -> array[int] | None:
    urgency = [-node.priority for node in nodes]
    deadlines = [math.inf if node.deadline is None else node.deadline.timestamp() for node in nodes]
    order = list(range(len(nodes)))
    order.sort(key=deadlines.__getitem__)  # the last key first: `sort` is stable
    order.sort(key=urgency.__getitem__)
    return None if order == list(range(len(nodes))) else array("i", order)


def inverse(order: array[int]) -> array[int]:
    ranks = array("i", bytes(4 * len(order)))
    for rank, place in enumerate(order):
        ranks[place] = rank
    return ranks


def look_up(nodes: list[TaskNode], index: dict[str, int]) -> array[int]:
    return array("i", [index[name] for node in nodes for name in node.dependencies])


def edges(
    nodes: list[TaskNode],
    places: array[int],
    order: array[int] | None,
    ranks: array[int] | None,
) -> tuple[array[int], array[int], array[int]]:
    counts = array("i", [len(node.dependencies) for node in nodes])
    starts = array("i", accumulate(counts, initial=0))
    if starts[-1] != len(places):
        raise ValueError(f"{len(places)} places are not one for each dependency")
    if order is None or ranks is None:
        return starts, places[:], counts
    targets = array("i", [ranks[p] for o in order for p in places[starts[o] : starts[o + 1]]])
    indegrees = array("i", [counts[place] for place in order])
    return array("i", accumulate(indegrees, initial=0)), targets, indegrees


def transpose(offsets: array[int], targets: array[int]) -> tuple[array[int], array[int]]:
    size = len(offsets) - 1
    counts = [0] * (size + 1)
    for target in targets:
        counts[target + 1] += 1
    reversed_offsets = array("i", accumulate(counts))
    cursor = reversed_offsets.tolist()
    sources = array("i", bytes(4 * len(targets)))
    for source in range(size):
        for target in targets[offsets[source] : offsets[source + 1]]:
            sources[cursor[target]] = source
            cursor[target] += 1
    return reversed_offsets, sources


def arguments(nodes: list[TaskNode]) -> list[dict[str, object]]:
    return [node.normalized_args for node in nodes]


def actions(nodes: list[TaskNode]) -> tuple[list[str], array[int]]:
    numbers: dict[str, int] = {}
    action = array("i", [numbers.setdefault(node.action_name, len(numbers)) for node in nodes])
    return list(numbers), action


def policies(nodes: list[TaskNode]) -> bytes:
    code = {policy: number for number, policy in enumerate(POLICIES)}
    return bytes(effective_policy(code[node.on_dep_fail], len(node.dependencies)) for node in nodes)


def flags(nodes: list[TaskNode], expire_at_deadline: bool) -> bytes:
    def flag(node: TaskNode) -> int:
        expires = expire_at_deadline if node.expire_at_deadline is None else node.expire_at_deadline
        return (
            INPUTS * bool(node.inputs)
            | TIMED * (node.task_timeout_ms is not None)
            | EXPIRES * (expires and node.deadline is not None)
        )

    return bytes(map(flag, nodes))


def timeouts(nodes: list[TaskNode]) -> array[float] | None:
    limits = [node.task_timeout_ms for node in nodes]
    if limits.count(None) == len(limits):
        return None
    return array("d", [math.inf if limit is None else limit / 1000 for limit in limits])


def resource_sets(nodes: list[TaskNode]) -> tuple[list[tuple[str, ...]], array[int] | None]:
    if not any(node.resource_ids for node in nodes):
        return [()], None
    numbers: dict[tuple[str, ...], int] = {(): 0}
    sets = (tuple(sorted(node.resource_ids)) for node in nodes)
    number = array("i", [numbers.setdefault(one, len(numbers)) for one in sets])
    return list(numbers), number
