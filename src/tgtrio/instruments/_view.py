"""What a display tells of a run at one instant: the figures, and what is held back by what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from .. import _explanation as why
from .._instrument import Watched
from .._states import TaskState
from .._wording import clock, count
from ._causes import in_words, shown

TERMINAL = [state.value for state in TaskState if state.terminal]
OPEN = [state.value for state in TaskState if not state.terminal]
MOST_RUNNING = 5
MOST_HOLDS = 4
LONG = 1.0  # seconds; what has been running for less is not worth its line


@attrs.define(kw_only=True)
class View:
    """A run at one instant.

    Attributes:
        title: Its graph.
        elapsed: For how long it has been watched, in seconds.
        states: How many tasks are in each state.
        cached: How many of those that succeeded were served.
        retries, budget: How many retries have been used, of how many.
        running: The tasks in flight for longest: id, attempt (from 0), seconds.
        holds: How many ready tasks are held, and by what, in words; the most first.
        breakers: The breakers that are not closed, in words.
        notice: What else is to be told; or "".
    """

    title: str
    elapsed: float
    states: dict[str, int]
    cached: int
    retries: int
    budget: int
    running: list[tuple[str, int, float]]
    holds: list[str]
    breakers: list[str]
    notice: str = ""

    @classmethod
    def of(cls, run: Watched, elapsed: float) -> View:
        """Ask a run for all of that."""
        figures = run.statistics()
        running = run.running(MOST_RUNNING)
        return cls(
            title=shown(run.graph.graph_id),
            elapsed=elapsed,
            states=figures["states"],
            cached=figures["cached_tasks"],
            retries=figures["retry_tokens_used"],
            budget=run.graph.max_retry_tokens,
            running=[one for one in running if one[2] >= LONG],
            holds=_holds_in_words(run.holds()),
            breakers=_breakers_in_words(figures["breaker_states"]),
        )

    @property
    def total(self) -> int:
        return sum(self.states.values())

    @property
    def done(self) -> int:
        """How many tasks have ended."""
        return sum(self.states[name] for name in TERMINAL)

    @property
    def left(self) -> str:
        """How long it will take, if the rest goes like what is done; "" where nothing tells."""
        worked = self.done - self.cached  # what was served took no time
        if self.elapsed < 1 or worked <= 0 or self.done == self.total:
            return ""
        return f"  left {clock(self.elapsed * (self.total - self.done) / worked)}"

    @property
    def retries_used(self) -> str:
        return f"{count(self.retries)} of {count(self.budget)} retries" if self.retries else ""


def _holds_in_words(holds: dict[tuple[str, str], int]) -> list[str]:
    held = {cause: number for cause, number in holds.items() if cause[0] != why.TURN}
    most = sorted(held, key=lambda cause: (-held[cause], cause))
    words = [f"{count(held[cause])} {in_words(*cause)}" for cause in most[:MOST_HOLDS]]
    rest = sum(held[cause] for cause in most[MOST_HOLDS:])
    return [*words, f"{count(rest)} by {count(len(most) - MOST_HOLDS)} others"] if rest else words


def _breakers_in_words(breakers: dict[str, dict[str, Any]]) -> list[str]:
    words = []
    for action, breaker in breakers.items():
        if breaker["state"] == "HALF_OPEN":
            words.append(f"{shown(action)} half-open")
        elif breaker["state"] == "OPEN":
            until = breaker["half_open_at"]
            when = f" until {_time_of_day(until)}" if until else ""
            words.append(f"{shown(action)} open{when}")
    return words


def _time_of_day(instant: str) -> str:
    return f"{datetime.fromisoformat(instant).astimezone():%H:%M:%S}"
