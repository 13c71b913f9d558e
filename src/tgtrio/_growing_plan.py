"""`GrowingPlan`: the plan of one run to which tasks are added while it goes on.

Tasks keep their ranks, added ones get the next numbers. Where an added task stands in the
dispatch order is its *position*: the rank of the first task of the frozen plan that comes after
it. Until the first task is added it shares everything with the frozen plan.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TypeVar

import attrs

from ._node import TaskNode
from ._plan import Plan, dispatch_key

Number = TypeVar("Number", int, float)


@attrs.define(eq=False, kw_only=True)
class GrowingPlan(Plan):
    """A plan of one run's own.

    The arrays may be longer than the plan; whoever has borrowed their memory must borrow it anew
    after an `add` that returns True.

    Attributes:
        frozen: How many tasks the plan had at first.
    """

    frozen: int = attrs.field(init=False)
    _added: dict[str, int] = attrs.field(init=False, factory=dict)  # ids to ranks
    _added_dependents: dict[int, list[int]] = attrs.field(init=False, factory=dict)
    _numbers: dict[str, int] = attrs.field(init=False, factory=dict)  # of the actions
    _added_dependencies: list[list[int]] = attrs.field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.frozen = len(self.nodes)

    @classmethod
    def of(cls, plan: Plan) -> GrowingPlan:
        """The plan of a run of this one."""
        shared = {
            str(field.alias): getattr(plan, field.name)
            for field in attrs.fields(Plan)
            if field.init
        }
        return cls(**shared)

    def rank(self, task_id: str) -> int:
        rank = self._added.get(task_id)
        if rank is not None:
            return rank
        place = self._index[task_id]
        if place >= self.frozen:
            raise KeyError(task_id)
        return place if self.ranks is None else self.ranks[place]

    def in_insertion_order(self) -> Iterator[int]:
        yield from range(self.frozen) if self.ranks is None else self.ranks
        yield from range(self.frozen, len(self.nodes))

    def dependencies_of(self, rank: int) -> Sequence[int]:
        if rank >= self.frozen:
            return self._added_dependencies[rank - self.frozen]
        return super().dependencies_of(rank)

    def resources_of(self, rank: int) -> Sequence[str]:
        if rank >= self.frozen:
            return sorted(self.nodes[rank].resource_ids)
        return super().resources_of(rank)

    def dependents_of(self, rank: int) -> Sequence[int]:
        added = self._added_dependents.get(rank, ())
        if rank >= self.frozen:
            return added
        return [*super().dependents_of(rank), *added] if added else super().dependents_of(rank)

    def place(self, rank: int) -> tuple[float, ...]:
        if rank < self.frozen:
            return (rank,)
        node = self.nodes[rank]
        return (self.position(node) - 1, *dispatch_key(node), rank)

    def position(self, node: TaskNode) -> int:
        """The rank of the first task of the frozen plan that comes after a task. O(log n)."""
        return bisect_right(self.nodes, dispatch_key(node), hi=self.frozen, key=dispatch_key)

    def add(self, node: TaskNode, timeout: float | None) -> bool:
        """Append a task whose dependencies the plan has. O(dependencies), amortised.

        Args:
            node: The task.
            timeout: Of an attempt, in seconds.

        Returns:
            True if an array has been replaced by a longer one.
        """
        if not self._added_dependencies:
            self._part()
        rank = len(self.nodes)
        dependencies = [self.rank(name) for name in node.dependencies]
        action = self.number_of(node.action_name)
        moved = self._reserve(rank + 1, timed=timeout is not None)
        self.nodes.append(node)
        self.args.append(node.normalized_args)
        self.action[rank] = action
        if self.timeouts is not None:
            self.timeouts[rank] = math.inf if timeout is None else timeout
        self._added[node.task_id] = rank
        self._added_dependencies.append(dependencies)
        for dependency in dependencies:
            self._added_dependents.setdefault(dependency, []).append(rank)
        return moved

    def number_of(self, action: str) -> int:
        """The number of an action; a new one if the plan has no such action."""
        if action not in self._numbers:
            self._numbers[action] = len(self.actions)
            self.actions.append(action)
        return self._numbers[action]

    def _part(self) -> None:
        """Share nothing that changes with the frozen plan any more. O(n), once."""
        self.nodes, self.args = list(self.nodes), list(self.args)
        self.actions = list(self.actions)
        self._numbers = {name: number for number, name in enumerate(self.actions)}

    def _reserve(self, size: int, *, timed: bool) -> bool:
        moved = False
        if size > len(self.action):
            self.action = longer(self.action, size)
            moved = True
        if self.timeouts is None and timed:
            self.timeouts = array("d", [math.inf]) * len(self.action)
            moved = True
        elif self.timeouts is not None and size > len(self.timeouts):
            self.timeouts = longer(self.timeouts, size)
            moved = True
        return moved


def longer(numbers: array[Number], size: int) -> array[Number]:
    """A copy with room for at least so many, and for as many again as there are."""
    room = max(size, 2 * len(numbers), 64)
    copy = array(numbers.typecode, numbers)
    copy.frombytes(bytes(numbers.itemsize * (room - len(numbers))))
    return copy
