"""The circuit breakers of a scheduler, an executor or a run: one for each action."""

from __future__ import annotations

import trio

from ._breaker import CircuitBreaker
from ._breaker_policy import BreakerPolicy, Move
from ._chronicle import Chronicle
from ._policies import Inherited, settled


class Breakers:
    """Breakers by action name, made when they are asked for. They live as long as this object.

    Args:
        policy: The policy of those whose action has none of its own; None for no breaker.
        chronicle: Their moves are written there.
    """

    def __init__(self, policy: BreakerPolicy | None, chronicle: Chronicle) -> None:
        self.policy = policy
        self._chronicle = chronicle
        self._breakers: dict[str, CircuitBreaker] = {}

    def of(self, name: str, own: BreakerPolicy | Inherited | None) -> CircuitBreaker | None:
        """The breaker of an action that may have a policy of its own; None if it has none."""
        policy = settled(own, self.policy)
        if policy is None:
            return None
        breaker = self._breakers.get(name)
        if breaker is None or breaker.policy != policy:
            breaker = CircuitBreaker(
                name, policy, clock=trio.current_time, on_move=self._write_down
            )
            self._breakers[name] = breaker
        return breaker

    def _write_down(self, breaker: CircuitBreaker, move: Move) -> None:
        self._chronicle.note(
            "breaker",
            action=breaker.name,
            before=move.before.value,
            after=move.after.value,
            reason=move.reason,
            gave_up=move.gave_up,
        )
