"""Takes more tasks into a run that goes on: the plan, the columns, the queue and all who know them.

A task that has been added is like any other: by its action's cap, breaker and retries, by its
place in the order, and by what it shares with equal work, before it or after.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ._actions import Action
from ._backend import FOREIGN, PREPARED, REPORTED
from ._breakers import Breakers
from ._crew import Crew
from ._growing_plan import GrowingPlan
from ._layout import Gates
from ._node import TaskNode
from ._parts import Parts
from ._plan import EXPIRES, dispatch_key, freeze_one
from ._states import READY, RUNNING, SUCCEEDED

_SHARES: int = PREPARED | REPORTED  # the pump asks before each attempt, and tells of each success


class Growth:
    """Adds tasks to one run.

    Args:
        plan, gates, parts, crew: Of the run.
        actions: What does the work, by action number.
        breakers: Makes those of new actions.
        expires: Do the tasks of the graph fail at their deadlines, unless they say otherwise?
        expire: Called with a task at its deadline.
    """

    def __init__(
        self,
        plan: GrowingPlan,
        gates: Gates,
        parts: Parts,
        crew: Crew,
        actions: list[Action],
        breakers: Breakers,
        expires: bool,
        expire: Callable[[int], object],
    ) -> None:
        self._plan, self._gates, self._parts, self._crew = plan, gates, parts, crew
        self._actions, self._breakers = actions, breakers
        self._expires, self._expire = expires, expire
        self._open_actions: set[int] = set()  # all tasks of which equal ones may follow

    def add(self, node: TaskNode, action: Action) -> int:
        """Take in a task whose dependencies the plan has; returns its rank.

        O(dependencies + log n), amortised; O(n) for the first one of each action.

        Args:
            node: The task.
            action: What does its work, in case no other task of the run has the action.
        """
        plan, parts = self._plan, self._parts
        policy, flags, timeout = freeze_one(node, self._expires)
        moved = plan.add(node, timeout)
        rank, number = len(plan) - 1, plan.number_of(node.action_name)
        if number == len(self._actions):
            self._add_action(number, action)
            moved = True
        lane = self._lane(number, node)
        flags |= FOREIGN * self._is_foreign(lane)
        if parts.add_task(flags) or moved or rank == plan.frozen:
            self._bind()
        self._share(rank, number)
        self._add_to_queue(rank, node, policy, lane)  # from now on a thread lane may take it
        if parts.crash_loops is not None:
            parts.crash_loops.give_up([rank])
        if flags & EXPIRES:
            assert node.deadline is not None
            parts.timers.at(parts.clock.trio(node.deadline), partial(self._expire, rank))
        return rank

    # -- its action ------------------------------------------------------------------------

    def _add_action(self, number: int, action: Action) -> None:
        name = self._plan.actions[number]
        self._actions.append(action)
        self._gates.add_action(name, hold=True)
        self._parts.add_action(number, action, self._breakers.of(name, action.policies.breaker))
        self._crew.lanes = self._parts.lanes

    def _lane(self, number: int, node: TaskNode) -> int:
        """Its lane; the queue gets what gates and lanes are new."""
        lane = self._gates.lane(number, sorted(node.resource_ids))
        self._gates.tell(self._parts.queue)
        return lane

    def _is_foreign(self, lane: int) -> bool:
        return any(gate in self._gates.limiters for gate in self._gates.lane_gates[lane])

    # -- the task ----------------------------------------------------------------------------

    def _bind(self) -> None:
        """Arrays have moved."""
        parts = self._parts
        functions = [action.function for action in self._actions]
        parts.dispatch.bind(self._plan, functions, parts.bits.kinds, parts.flags, parts.columns)
        if parts.reporter is not None:
            parts.reporter.grown()

    def _add_to_queue(self, rank: int, node: TaskNode, policy: int, lane: int) -> None:
        queue, (priority, deadline) = self._parts.queue, dispatch_key(node)
        number = queue.add(
            self._plan.dependencies_of(rank),
            policy,
            lane,
            self._plan.position(node),
            -priority,
            deadline,
        )
        assert number == rank
        if self._parts.reporter is not None and queue.state(rank) == READY:
            self._parts.reporter.ready(rank)

    # -- equal work --------------------------------------------------------------------------

    def _share(self, rank: int, number: int) -> None:
        """It may follow equal work, and equal work may follow it."""
        parts = self._parts
        shares = parts.sharing.shares(rank)
        parts.admission.keyed.append(shares or parts.sharing.asks_caches)
        if not shares:
            return
        parts.flags[rank] |= _SHARES
        if number in self._open_actions:
            return
        self._open_actions.add(number)
        for other, action in enumerate(self._plan.action[:rank]):
            if action == number and parts.sharing.shares(other):
                self._open(other)

    def _open(self, rank: int) -> None:
        """Equal tasks may follow one of which nobody had to know its key so far."""
        parts = self._parts
        if parts.admission.keyed[rank]:
            return
        parts.admission.keyed[rank] = 1
        parts.flags[rank] |= _SHARES
        state, attempts = parts.queue.state(rank), parts.columns.attempts[rank]
        if state in (RUNNING, SUCCEEDED) or (state == READY and attempts):
            parts.sharing.adopt(rank, parts.admission.arguments(rank))
