"""`Plan`: a graph frozen into arrays, its tasks numbered in dispatch order.

The order of a graph is known before it runs (priority, then deadline, then
insertion), so every task gets its *rank* once, and everything below this floor
and in the hot path speaks of ranks alone. Arrays are int32 (`array("i")`).
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import Protocol, TypeVar

import attrs

from ._identity import canonical_json
from ._node import TaskNode
from ._states import POLICIES, effective_policy

_T = TypeVar("_T")

# Bits of `Plan.flags`: what a task needs beyond the plain call of its action.
INPUTS = 1  # its args hold `output_of`
TIMED = 2  # an attempt has a timeout
EXPIRES = 4  # it fails at its deadline

# Found by a search: a loop over all flags would take a tenth of the time of a whole run.
_WITH_EXPIRES = re.compile(b"[%s]" % re.escape(bytes(flag for flag in range(8) if flag & EXPIRES)))


class Description(Protocol):
    """What a plan is made of; a `TaskGraph` is one."""

    @property
    def expire_at_deadline(self) -> bool: ...

    _nodes: list[TaskNode]
    _index: dict[str, int]


@attrs.frozen(eq=False, kw_only=True)
class Plan:
    """The frozen form of a graph. Nothing in it changes, runs share it.

    Attributes:
        nodes: The tasks by rank.
        args: Their arguments by rank.
        ranks: Insertion index to rank, or None where both orders are one.
        dependency_offsets, dependencies: CSR; the dependencies of rank r are
            `dependencies[dependency_offsets[r]:dependency_offsets[r + 1]]`.
        dependent_offsets, dependents: The same edges from the other end.
        indegrees: How many dependencies each task has.
        policies: Effective policy codes, a byte each.
        flags: INPUTS, TIMED, EXPIRES, a byte each.
        timeouts: The timeout of an attempt in seconds, inf for none; None if no task has one.
        actions: The action names, in order of first appearance by rank.
        action: The number of each task's action.
        resource_sets: The distinct sets of resources, each sorted; the first is empty.
        resource_set: The number of each task's set, or None if no task names a resource.
    """

    nodes: list[TaskNode]
    args: list[dict[str, object]]
    ranks: array[int] | None
    dependency_offsets: array[int]
    dependencies: array[int]
    dependent_offsets: array[int]
    dependents: array[int]
    indegrees: array[int]
    policies: bytes
    flags: bytes
    timeouts: array[float] | None
    actions: list[str]
    action: array[int]
    resource_sets: list[tuple[str, ...]]
    resource_set: array[int] | None
    _index: dict[str, int]
    _shared: list[bytes] = attrs.field(init=False, factory=list)  # what `shared_work` has found

    def __len__(self) -> int:
        return len(self.nodes)

    def rank(self, task_id: str) -> int:
        """The rank of a task. Raises KeyError for a task that the plan does not know."""
        position = self._index[task_id]
        if position >= len(self.nodes):  # added after the freeze
            raise KeyError(task_id)
        return position if self.ranks is None else self.ranks[position]

    def expiring(self) -> Iterator[int]:
        """The tasks that fail at their deadlines, by rank."""
        return (match.start() for match in _WITH_EXPIRES.finditer(self.flags))

    def in_insertion_order(self) -> Iterator[int]:
        """The ranks of the tasks in the order in which they were added."""
        return iter(range(len(self.nodes)) if self.ranks is None else self.ranks)

    def nodes_of(self, action: str) -> Iterator[TaskNode]:
        """The tasks of an action, by rank."""
        number = self.actions.index(action)
        return (node for node, a in zip(self.nodes, self.action, strict=True) if a == number)

    def shared_work(self) -> bytes:
        """A byte for each task: 1 if its work may be that of another one too.

        That is so if another task has the same action, args, resources and version, or if its
        action has tasks whose args are known only when they are ready. Tasks that opted out are
        alone. Found once, O(n).
        """
        if not self._shared:
            self._shared.append(_shared_work(self))
        return self._shared[0]


def freeze(graph: Description) -> Plan:
    """Make the plan of a graph. O(n log n + edges)."""
    order = _dispatch_order(graph._nodes)
    nodes = graph._nodes if order is None else [graph._nodes[i] for i in order]
    ranks = None if order is None else _inverse(order)
    offsets = array("i", accumulate((len(node.dependencies) for node in nodes), initial=0))
    dependencies = _dependencies(nodes, graph._index, ranks)
    dependent_offsets, dependents = _transpose(offsets, dependencies)
    indegrees = array("i", [len(node.dependencies) for node in nodes])
    actions, action = _number([node.action_name for node in nodes])
    resource_sets, resource_set = _resource_sets(nodes)
    return Plan(
        nodes=list(nodes),
        args=[node.normalized_args for node in nodes],
        ranks=ranks,
        dependency_offsets=offsets,
        dependencies=dependencies,
        dependent_offsets=dependent_offsets,
        dependents=dependents,
        indegrees=indegrees,
        policies=_policies(nodes),
        flags=_flags(nodes, graph.expire_at_deadline),
        timeouts=_timeouts(nodes),
        actions=actions,
        action=action,
        resource_sets=resource_sets,
        resource_set=resource_set,
        index=graph._index,
    )


def _dispatch_order(nodes: list[TaskNode]) -> list[int] | None:
    """Insertion indices by rank, or None where that is the identity.

    Sorts by the last key first: `list.sort` is stable, and compares plain floats fast.
    """
    urgency = [-node.priority for node in nodes]
    deadlines = [math.inf if node.deadline is None else node.deadline.timestamp() for node in nodes]
    keys = [key for key in (deadlines, urgency) if key and key.count(key[0]) != len(key)]
    if not keys:
        return None
    order = list(range(len(nodes)))
    for key in keys:
        order.sort(key=key.__getitem__)
    return order


def _inverse(order: list[int]) -> array[int]:
    ranks = array("i", bytes(4 * len(order)))
    for rank, position in enumerate(order):
        ranks[position] = rank
    return ranks


def _dependencies(
    nodes: list[TaskNode], index: dict[str, int], ranks: array[int] | None
) -> array[int]:
    positions = array("i", [index[name] for node in nodes for name in node.dependencies])
    return positions if ranks is None else array("i", [ranks[p] for p in positions])


def _transpose(offsets: array[int], targets: array[int]) -> tuple[array[int], array[int]]:
    """The CSR form of the reversed edges: a counting sort by target."""
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


def _number(values: list[_T]) -> tuple[list[_T], array[int]]:
    """Distinct values in order of first appearance, and the number of each item's value."""
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return list(numbers), array("i", [numbers[value] for value in values])


def _policies(nodes: list[TaskNode]) -> bytes:
    code = {policy: number for number, policy in enumerate(POLICIES)}
    return bytes(effective_policy(code[node.on_dep_fail], len(node.dependencies)) for node in nodes)


def _flags(nodes: list[TaskNode], expire_at_deadline: bool) -> bytes:
    def flag(node: TaskNode) -> int:
        expires = expire_at_deadline if node.expire_at_deadline is None else node.expire_at_deadline
        return (
            INPUTS * bool(node.inputs)
            | TIMED * (node.task_timeout_ms is not None)
            | EXPIRES * (expires and node.deadline is not None)
        )

    return bytes(map(flag, nodes))


def _timeouts(nodes: list[TaskNode]) -> array[float] | None:
    limits = [node.task_timeout_ms for node in nodes]
    if limits.count(None) == len(limits):
        return None
    return array("d", [math.inf if limit is None else limit / 1000 for limit in limits])


def _resource_sets(nodes: list[TaskNode]) -> tuple[list[tuple[str, ...]], array[int] | None]:
    if not any(node.resource_ids for node in nodes):
        return [()], None
    sets: list[tuple[str, ...]] = [tuple(sorted(node.resource_ids)) for node in nodes]
    distinct, numbers = _number([(), *sets])
    return distinct, numbers[1:]


def _shared_work(plan: Plan) -> bytes:
    shared = bytearray(len(plan))
    takes_inputs = {plan.action[rank] for rank, flags in enumerate(plan.flags) if flags & INPUTS}
    first: dict[tuple[int, int, str, bytes], int] = {}
    sets = plan.resource_set or array("i", bytes(4 * len(plan)))
    for rank, (node, action) in enumerate(zip(plan.nodes, plan.action, strict=True)):
        if node.idempotent is False:
            continue
        if action in takes_inputs:
            shared[rank] = 1
            continue
        args = canonical_json(node.normalized_args) if node.normalized_args else b"{}"
        other = first.setdefault((action, sets[rank], node.version, args), rank)
        if other != rank:
            shared[other] = shared[rank] = 1
    return bytes(shared)
