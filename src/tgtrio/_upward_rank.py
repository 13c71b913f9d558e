"""Upward ranks: how long the longest way is from the start of a task to the end of the graph.

The upward rank of a task is its own time plus the largest upward rank of its dependents (H.
Topcuoglu, S. Hariri, M.-Y. Wu, "Performance-effective and low-complexity task scheduling for
heterogeneous computing", IEEE TPDS 13(3), 2002). To start the task of the largest upward rank
first keeps the critical path moving.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ._node import TaskNode
from ._plan import Plan, dispatch_key


def upward_ranks(times: Sequence[float], plan: Plan) -> array[float]:
    """The upward rank of each task by rank, in the unit of the times. O(n + edges).

    Args:
        times: How long each task takes, by rank.
        plan: The graph.
    """
    longest = array("d", bytes(8 * len(times)))  # the largest upward rank of its dependents
    upward = array("d", times)
    offsets, dependencies = plan.dependency_offsets, plan.dependencies
    dependents = plan.dependent_offsets
    left = [dependents[task + 1] - dependents[task] for task in range(len(times))]
    ready = [task for task, count in enumerate(left) if not count]
    while ready:
        task = ready.pop()
        upward[task] = reach = times[task] + longest[task]
        for dependency in dependencies[offsets[task] : offsets[task + 1]]:
            if reach > longest[dependency]:
                longest[dependency] = reach
            left[dependency] -= 1
            if not left[dependency]:
                ready.append(dependency)
    return upward


def estimated_times(nodes: Sequence[TaskNode]) -> list[float]:
    """How long each task takes, in ms, where not all say so.

    A task without `estimate_ms` counts as the mean of those of its action that have one, or else
    of all that have one; if none has, all count as 1 ms.
    """
    given: dict[str, list[float]] = {}
    for node in nodes:
        if node.estimate_ms is not None:
            given.setdefault(node.action_name, []).append(node.estimate_ms)
    means = {action: sum(times) / len(times) for action, times in given.items()}
    count = sum(map(len, given.values()))
    mean = sum(map(sum, given.values())) / count if count else 1.0
    return [
        means.get(node.action_name, mean) if node.estimate_ms is None else node.estimate_ms
        for node in nodes
    ]


def critical_path_order(plan: Plan) -> array[int]:
    """The places of the tasks (in order of insertion) in the dispatch order that puts, of equal
    priorities and deadlines, the larger upward rank first, and then the smaller place. O(n log n).
    """
    upward = upward_ranks(estimated_times(plan.nodes), plan)
    ranks = list(plan.in_insertion_order())
    order = list(range(len(ranks)))
    order.sort(key=lambda place: upward[ranks[place]], reverse=True)  # `sort` is stable
    order.sort(key=lambda place: dispatch_key(plan.nodes[ranks[place]]))
    return array("i", order)
