"""The retries of one run: which policy a task has, and the budget that all of them share."""

from __future__ import annotations

import random
from collections.abc import Callable

from ._actions import Action
from ._outcome import Decision, Ending, decide
from ._plan import Plan
from ._policies import settled
from ._retry import RetryPolicy, policy_for


class Retries:
    """Decides whether a task is tried again.

    Args:
        plan, actions: The graph, and its actions by number.
        policy: The policy of the run; None switches retries off, but for actions with their own.
        budget: How many retries there may be in the run.
        rng: Draws the back-offs.
        ran_out: Called once, when a retry is refused because the budget is used up.
    """

    def __init__(
        self,
        plan: Plan,
        actions: list[Action],
        policy: RetryPolicy | None,
        budget: int,
        rng: random.Random,
        ran_out: Callable[[], object],
    ) -> None:
        self._plan, self._policy = plan, policy
        self._of_action = [settled(action.policies.retry, policy) for action in actions]
        self._rng = rng
        self._ran_out: Callable[[], object] | None = ran_out
        self.budget = budget
        self.used = 0

    def add(self, action: Action) -> None:
        """One more action, the next by number."""
        self._of_action.append(settled(action.policies.retry, self._policy))

    @property
    def active(self) -> bool:
        """May any task be retried?"""
        return any(policy is not None for policy in self._of_action)

    def policy(self, rank: int) -> RetryPolicy | None:
        """The policy of a task: its own number of retries, its action's or the run's policy."""
        node = self._plan.nodes[rank]
        return policy_for(self._of_action[self._plan.action[rank]], node.max_retries)

    def after(
        self,
        rank: int,
        ending: Ending,
        exception: Exception | None,
        retries_used: int,
        allowed: bool,
    ) -> tuple[Decision, str]:
        """Decide what follows from an attempt; a retry takes its token here.

        Args:
            rank: The task.
            ending, exception, retries_used: As of `decide`.
            allowed: False: nothing is tried again any more.

        Returns:
            The decision, and why a retry that the policy allows was refused, or "".
        """
        policy = self.policy(rank) if allowed else None
        decision = decide(ending, exception, policy, retries_used, self._rng)
        if decision.retry_after is None:
            return decision, ""
        if self.used < self.budget:
            self.used += 1
            return decision, ""
        ran_out, self._ran_out = self._ran_out, None
        if ran_out is not None:
            ran_out()
        return Decision(decision.state), (
            f"not retried: the retry budget of the graph is used up (max_retry_tokens is "
            f"{self.budget})"
        )
