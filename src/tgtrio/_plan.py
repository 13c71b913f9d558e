"""`Plan`: a graph frozen into arrays, its tasks numbered in dispatch order.

The order of a graph is known before it runs (priority, then deadline, then
insertion), so every task gets its *rank* once, and everything below this floor
and in the hot path speaks of ranks alone. Arrays are int32 (`array("i")`).
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import attrs

from ._compiled import COMPILED
from ._identity import canonical_json
from ._node import EXPIRES as EXPIRES
from ._node import INPUTS as INPUTS
from ._node import TIMED as TIMED
from ._node import TaskNode

if TYPE_CHECKING or COMPILED:
    from . import _freezing as freezing
else:
    from . import _freezing_py as freezing

# Found by a search: a loop over all flags would take a tenth of the time of a whole run.
_WITH_EXPIRES = re.compile(b"[%s]" % re.escape(bytes(flag for flag in range(8) if flag & EXPIRES)))


Order = Literal["priority", "critical_path"]


class Description(Protocol):
    """What a plan is made of; a `TaskGraph` is one."""

    @property
    def expire_at_deadline(self) -> bool: ...

    _nodes: list[TaskNode]
    _index: dict[str, int]
    _edges: array[int] | None


@attrs.define(eq=False, kw_only=True)
class Plan:
    """The frozen form of a graph. Nothing in it changes, runs share it (but see `GrowingPlan`).

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

    def place(self, rank: int) -> tuple[float, ...]:
        """Where a task stands in the dispatch order; who is smaller comes first."""
        return (rank,)

    def dependencies_of(self, rank: int) -> Sequence[int]:
        """The dependencies of a task."""
        first, end = self.dependency_offsets[rank : rank + 2]
        return self.dependencies[first:end]

    def resources_of(self, rank: int) -> Sequence[str]:
        """The resources that a task names, sorted."""
        return () if self.resource_set is None else self.resource_sets[self.resource_set[rank]]

    def dependents_of(self, rank: int) -> Sequence[int]:
        """The dependents of a task."""
        first, end = self.dependent_offsets[rank : rank + 2]
        return self.dependents[first:end]

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


def dispatch_key(node: TaskNode) -> tuple[float, float]:
    """What tasks are started by, the smallest first; insertion decides between equal ones."""
    deadline = math.inf if node.deadline is None else node.deadline.timestamp()
    return (-node.priority, deadline)


def freeze(graph: Description, order: array[int] | None = None) -> Plan:
    """Make the plan of a graph. O(n log n + edges).

    Args:
        graph: The graph.
        order: The places of the tasks in dispatch order; None: by priority, deadline, insertion.
    """
    given = graph._nodes
    if order is None:
        order = freezing.dispatch_order(given)
    ranks = None if order is None else freezing.inverse(order)
    places = freezing.look_up(given, graph._index) if graph._edges is None else graph._edges
    offsets, dependencies, indegrees = freezing.edges(given, places, order, ranks)
    dependent_offsets, dependents = freezing.transpose(offsets, dependencies)
    nodes = list(given) if order is None else [given[place] for place in order]
    names, action = freezing.actions(nodes)
    sets, resource_set = freezing.resource_sets(nodes)
    return Plan(
        nodes=nodes,
        args=freezing.arguments(nodes),
        ranks=ranks,
        dependency_offsets=offsets,
        dependencies=dependencies,
        dependent_offsets=dependent_offsets,
        dependents=dependents,
        indegrees=indegrees,
        policies=freezing.policies(nodes),
        flags=freezing.flags(nodes, graph.expire_at_deadline),
        timeouts=freezing.timeouts(nodes),
        actions=names,
        action=action,
        resource_sets=sets,
        resource_set=resource_set,
        index=graph._index,
    )


def freeze_one(node: TaskNode, expire_at_deadline: bool) -> tuple[int, int, float | None]:
    """The policy, the flags and the timeout (seconds) of one task, as a plan has them."""
    timeouts = freezing.timeouts([node])
    return (
        freezing.policies([node])[0],
        freezing.flags([node], expire_at_deadline)[0],
        None if timeouts is None else timeouts[0],
    )


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
