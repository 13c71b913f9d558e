"""The limits of a run laid out as the gates and lanes of its queue.

A gate bounds how many tasks are in flight behind it, and a lane is a set of gates: all tasks of
one action that name the same resources are in one lane. Limits that are ints the queue counts
itself. A `trio.CapacityLimiter` is a gate without a bound of its own, which `_borrowing` closes
while no token is free.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

import trio

from ._backend import ReadyQueue
from ._limits import UNBOUNDED, Limit
from ._plan import Plan

Owner = tuple[str, str]


class Gates:
    """The gates and lanes of one run.

    Args:
        max_parallel, per_action_caps, resource_caps: The limits.

    Attributes:
        owners: What each gate bounds: ("action", its name), ("resource", its name), or
            ("run", ""); several where they share a limiter.
        capacities: How many tasks each gate lets through at once.
        limiters: The caller's limiter behind a gate, for those that have one.
        lane_gates: The gates of each lane; lane 0 has none.
        lanes: The lane of each task of the plan, int32; None where all are in lane 0.
        of_action: The gate that bounds an action and can hold it back, by action number; -1: none.
    """

    def __init__(
        self,
        max_parallel: Limit,
        per_action_caps: Mapping[str, Limit],
        resource_caps: Mapping[str, Limit],
    ) -> None:
        self._action_caps, self._resource_caps = per_action_caps, resource_caps
        self.owners: list[tuple[Owner, ...]] = []
        self.capacities: list[int] = []
        self.limiters: dict[int, trio.CapacityLimiter] = {}
        self.lane_gates: list[tuple[int, ...]] = [()]
        self.lanes: array[int] | None = None
        self.of_action: list[int] = []
        self._lane_of: dict[tuple[int, ...], int] = {(): 0}  # by its gates
        shared = isinstance(max_parallel, trio.CapacityLimiter)
        self._everyone = self._add_gate(("run", ""), max_parallel) if shared else ()
        self._actions: list[tuple[int, ...]] = []  # the gates of each action, by its number
        self._told_gates = self._told_lanes = 0  # how many the queue knows
        self._resources: dict[str, tuple[int, ...]] = {}

    def foreign_lanes(self) -> list[bool]:
        """For each lane, whether one of its gates is a limiter of the caller's."""
        return [any(gate in self.limiters for gate in gates) for gates in self.lane_gates]

    def set_cap(self, name: str, limit: Limit) -> None:
        """The cap of an action that is still to be added."""
        self._action_caps = {**self._action_caps, name: limit}

    def add_action(self, name: str, *, hold: bool) -> None:
        """The next action.

        Args:
            hold: Can it be held back as a whole? Then it has a gate even without a cap.
        """
        own = self._add_gate(("action", name), self._action_caps.get(name))
        if hold and (not own or own[0] in self.limiters):
            own += self._add_gate(("action", name), UNBOUNDED)
        self.of_action.append(own[-1] if own and own[-1] not in self.limiters else -1)
        self._actions.append(self._everyone + own)

    def tell(self, queue: ReadyQueue) -> None:
        """Give a queue the gates and lanes that it does not know yet."""
        for capacity in self.capacities[self._told_gates :]:
            queue.add_gate(capacity)
        for gates in self.lane_gates[self._told_lanes :]:
            queue.add_lane(gates)
        self.told()

    def told(self) -> None:
        """The queue has all gates and lanes that there are now."""
        self._told_gates, self._told_lanes = len(self.capacities), len(self.lane_gates)

    def add_hold(self, action: int, name: str) -> int:
        """Give an action a gate by which it can be held back, and return that."""
        (gate,) = self._add_gate(("action", name), UNBOUNDED)
        self._actions[action] += (gate,)
        self.of_action[action] = gate
        return gate

    def lane(self, action: int, resources: Sequence[str]) -> int:
        """The lane of the tasks of an action that name these resources; a new one if need be."""
        gates = self._actions[action]
        for name in resources:
            gates += self._of_resource(name)
        gates = tuple(dict.fromkeys(gates))
        if gates not in self._lane_of:
            self._lane_of[gates] = len(self.lane_gates)
            self.lane_gates.append(gates)
        return self._lane_of[gates]

    def _of_resource(self, name: str) -> tuple[int, ...]:
        if name not in self._resources:
            limit = self._resource_caps.get(name)
            self._resources[name] = self._add_gate(("resource", name), limit)
        return self._resources[name]

    def _add_gate(self, owner: Owner, limit: Limit | None) -> tuple[int, ...]:
        """The gate as a tuple of one, or () for no limit."""
        if limit is None:
            return ()
        for gate, limiter in self.limiters.items():
            if limiter is limit:  # named twice: a task needs one token of it
                self.owners[gate] += (owner,)
                return (gate,)
        gate = len(self.owners)
        self.owners.append((owner,))
        if isinstance(limit, trio.CapacityLimiter):
            self.limiters[gate] = limit
            self.capacities.append(UNBOUNDED)
        else:
            self.capacities.append(limit)
        return (gate,)


def lay_gates(
    plan: Plan,
    max_parallel: Limit,
    per_action_caps: Mapping[str, Limit],
    resource_caps: Mapping[str, Limit],
    *,
    hold_actions: bool = False,
) -> Gates:
    """Number the gates that the plan's tasks need, and the lanes: the sets of them.

    Args:
        hold_actions: Every action gets a gate by which it can be held back.
    """
    gates = Gates(max_parallel, per_action_caps, resource_caps)
    for name in plan.actions:
        gates.add_action(name, hold=hold_actions)
    lanes = lanes_of(plan, gates)
    if gates.capacities:
        gates.lanes = lanes
    gates.told()
    return gates


def lay_anew(plan: Plan, gates: Gates) -> array[int]:
    """The lane of each task, once the gates of an action are others. O(n)."""
    lanes = [gates.lane(plan.action[rank], plan.resources_of(rank)) for rank in range(len(plan))]
    return array("i", lanes)


def lanes_of(plan: Plan, gates: Gates) -> array[int] | None:
    """The lane of each task; None where no gate bounds anything."""
    size, sets = len(plan), plan.resource_set
    actions = plan.action[:size]
    if sets is None:
        by_action = [gates.lane(action, ()) for action in range(len(plan.actions))]
        if not gates.capacities:
            return None
        return array("i", [by_action[action] for action in actions])
    pairs = list(zip(actions, sets[:size], strict=True))
    by_pair = {
        pair: gates.lane(pair[0], plan.resource_sets[pair[1]]) for pair in dict.fromkeys(pairs)
    }
    return array("i", [by_pair[pair] for pair in pairs]) if gates.capacities else None
