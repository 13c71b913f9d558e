"""What the handle of a run changes while it goes on: pauses, limits, caps, breakers, cancels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio
from trio.lowlevel import enable_ki_protection

from ._attempts import Doom
from ._breaker import CircuitBreaker
from ._crew import Crew
from ._errors import InvalidTypeError, InvalidValueError, UnknownActionError, nearest, shorten
from ._holds import USER
from ._layout import Gates, lay_anew
from ._limits import UNBOUNDED, Limit, check_limit
from ._outcome import Ending, Failure
from ._parts import Parts
from ._plan import Plan
from ._states import FIRST_TERMINAL, RUNNING


class Steering:
    """The controls of one run.

    Args:
        plan, gates, parts, crew: Of the run.
        limit: The `max_parallel` that it was given.
        changed: Called when somebody may start.
    """

    def __init__(
        self,
        plan: Plan,
        gates: Gates,
        parts: Parts,
        crew: Crew,
        limit: Limit,
        changed: Callable[[], object],
    ) -> None:
        self._plan, self._gates, self._parts, self._crew = plan, gates, parts, crew
        self._limit, self._changed = limit, changed

    def _told(self, command: str, subject: str = "", value: object = None) -> None:
        if self._parts.reporter is not None:
            self._parts.reporter.steered(command, subject, value)

    # -- how much runs at once ---------------------------------------------------------

    @property
    def limit(self) -> int:
        """How many tasks may be in flight."""
        return self._limit if isinstance(self._limit, int) else UNBOUNDED

    @property
    def paused(self) -> bool:
        """Has `pause` been called?"""
        return USER in self._parts.pauses.who

    def pause(self) -> None:
        """Let nothing start; in flight goes on."""
        if not self.paused:
            self._parts.pauses.pause(USER)
            self._told("pause")

    def resume(self) -> None:
        """Undo `pause`."""
        if self.paused:
            self._parts.pauses.resume(USER)
            self._told("resume")
            self._changed()

    @enable_ki_protection
    def set_max_parallel(self, limit: object) -> None:
        """Change how many tasks may be in flight."""
        limit = _check_int("max_parallel", limit)
        if isinstance(self._limit, trio.CapacityLimiter):
            raise _is_shared("max_parallel")
        self._limit = limit
        self._parts.queue.set_limit(limit)
        self._parts.attempts.threads.total_tokens = limit
        self._crew.set_limit(limit)
        self._told("set_max_parallel", value=limit)
        self._changed()

    @enable_ki_protection
    def set_cap(self, action: str, limit: object) -> None:
        """Change how many tasks of an action may be in flight; None for no bound."""
        number = self.action(action)
        capacity = UNBOUNDED if limit is None else _check_int(f"the cap of {action!r}", limit)
        if any(("action", action) in self._gates.owners[gate] for gate in self._gates.limiters):
            raise _is_shared(f"the cap of action {shorten(action)}")
        gate = self._gates.of_action[number]
        if gate < 0:
            gate = self._add_gate(number, action)
        self._parts.queue.set_capacity(gate, capacity)
        self._gates.capacities[gate] = capacity
        self._told("set_cap", action, limit)
        self._changed()

    def _add_gate(self, number: int, action: str) -> int:
        """Give an action a gate that nothing has bounded or held back so far. O(n)."""
        gate = self._gates.add_hold(number, action)
        lanes = lay_anew(self._plan, self._gates)
        self._gates.tell(self._parts.queue)
        self._parts.queue.relane(lanes)
        return gate

    # -- breakers ------------------------------------------------------------------------

    def isolate(self, action: str, reason: str) -> None:
        """Open the breaker of an action until `close_breaker`."""
        self._breaker(action).isolate(reason)
        self._told("isolate", action, reason)

    def close_breaker(self, action: str, reason: str) -> None:
        """Close the breaker of an action."""
        self._breaker(action).close(reason)
        self._told("close_breaker", action, reason)

    def _breaker(self, action: str) -> CircuitBreaker:
        breaker = self._parts.guards.breaker(self.action(action))
        if breaker is None:
            raise InvalidValueError(
                f"action {shorten(action)} has no circuit breaker; the run, or the action, was "
                "given breaker=None"
            )
        return breaker

    def action(self, name: str) -> int:
        """The number of an action. Raises UnknownActionError."""
        try:
            return self._plan.actions.index(name)
        except ValueError:
            raise UnknownActionError(
                f"no task of the run has the action {shorten(name)}"
                f"{nearest(name, self._plan.actions) if isinstance(name, str) else ''}"
            ) from None

    # -- cancelling ----------------------------------------------------------------------

    def cancel(self, rank: int, reason: str, *, branch: bool) -> None:
        """Cancel a task, or it and all that depend on it."""
        self._told("cancel", self._plan.nodes[rank].task_id, reason)
        # Who depends on a task ends before it: its own policy must not get there first.
        for one in list(self._branch(rank)) if branch else [rank]:
            self._cancel(one, reason)
        self._changed()

    def _cancel(self, rank: int, reason: str) -> None:
        parts = self._parts
        if parts.queue.state(rank) >= FIRST_TERMINAL:
            return
        doom = Doom(Ending.CANCELLED, None, reason)
        if self._doomed(rank, doom) or (parts.lanes is not None and parts.lanes.cancel(rank, doom)):
            return
        parts.endings.unstarted(rank, Ending.CANCELLED, Failure(reason))
        if parts.lanes is not None and parts.queue.state(rank) == RUNNING:
            parts.lanes.cancel(rank, doom)  # a lane has taken it meanwhile

    def _doomed(self, rank: int, doom: Doom) -> bool:
        for pump in self._crew.pumps:
            if pump.task == rank:
                self._parts.attempts.doom(pump, doom)
                return True
        return False

    def _branch(self, rank: int) -> Iterator[int]:
        """A task and all that depend on it, each after those that depend on it. O(edges)."""
        seen, stack = {rank}, [(rank, iter(self._plan.dependents_of(rank)))]
        while stack:
            task, dependents = stack[-1]
            for dependent in dependents:
                if dependent not in seen:
                    seen.add(dependent)
                    stack.append((dependent, iter(self._plan.dependents_of(dependent))))
                    break
            else:
                stack.pop()
                yield task


def _check_int(name: str, limit: object) -> int:
    if isinstance(limit, trio.CapacityLimiter):
        raise InvalidTypeError(
            f"{name} is {shorten(limit)}; a run that goes on takes an int of at least 1"
        )
    checked = check_limit(name, limit)
    assert isinstance(checked, int)
    return checked


def _is_shared(name: str) -> InvalidValueError:
    return InvalidValueError(
        f"{name} is a trio.CapacityLimiter that the run was given; set its total_tokens"
    )
