"""A breaker with a clock that tests set, and what they see of it."""

from __future__ import annotations

from typing import Any

from tgtrio._breaker import CircuitBreaker, Permit
from tgtrio._breaker_policy import BreakerPolicy, BreakerState, Move

CLOSED, OPEN, HALF_OPEN = BreakerState


class Clock:
    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Scene:
    """A breaker, its clock, and what it said."""

    def __init__(self, now: float = 1_000.0, **policy: Any) -> None:
        self.clock = Clock(now)
        self.moves: list[Move] = []
        self.told = 0
        self.breaker = CircuitBreaker(
            "api", BreakerPolicy(**policy), clock=self.clock, on_move=self._on_move
        )
        self.breaker.subscribe(self._listen)

    def _on_move(self, breaker: CircuitBreaker, move: Move) -> None:
        assert breaker is self.breaker
        self.moves.append(move)

    def _listen(self, breaker: CircuitBreaker) -> None:
        assert breaker is self.breaker
        self.told += 1

    def record(self, outcomes: str) -> None:
        """One call after the other: "." succeeds, "x" fails."""
        for outcome in outcomes:
            self.breaker.record(self.breaker.generation, outcome == ".")

    def open(self) -> CircuitBreaker:
        self.record("x" * self.breaker.policy.failures_to_open)
        assert self.breaker.state is OPEN
        return self.breaker

    def half_open(self) -> CircuitBreaker:
        self.open()
        self.clock.now += self.breaker.policy.open_for
        assert self.breaker.state is HALF_OPEN
        return self.breaker

    def probe(self) -> Permit:
        permit = self.breaker.try_acquire()
        assert permit is not None
        assert permit.is_probe
        return permit


def seen(breaker: CircuitBreaker) -> tuple[Any, ...]:
    return (breaker.state, breaker.quiet, breaker.admits(), breaker.next_change)
