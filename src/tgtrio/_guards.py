"""The circuit breakers of one run, and the holds that they put on its actions.

A breaker that is CLOSED and has seen no failure lately is not asked at all: the pump calls
its action as if there were none. Otherwise the bits of the action tell the pump to ask
before each attempt (PREPARED), and to report each success (REPORTED).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from ._backend import PREPARED, REPORTED, Dispatch
from ._breaker import CircuitBreaker, Permit
from ._breaker_policy import BreakerState
from ._columns import ClockMap
from ._errors import CircuitOpenError, shorten
from ._holds import BREAKER, ActionBits, ActionHolds
from ._reporter import Reporter
from ._timekeeper import Timekeeper, Timer


class Guards:
    """Keeps the gates of the actions as their breakers say.

    Args:
        breakers: The breaker of each action of the plan; None for none.
        holds: The gates of the actions.
        timers: For what a breaker does by time alone.
        bits: What the pump must know of each action.
        fail_at_once: An open breaker fails its tasks and does not hold them.
        give_up: Called with an action and an error: the tasks that its breaker holds now fail.
        changed: Called when somebody may start.
        reporter: Hears of each move; None if nobody watches.
    """

    def __init__(
        self,
        breakers: Sequence[CircuitBreaker | None],
        holds: ActionHolds,
        timers: Timekeeper,
        bits: ActionBits,
        fail_at_once: bool,
        give_up: Callable[[int, CircuitOpenError], object],
        changed: Callable[[], object],
        reporter: Reporter | None,
    ) -> None:
        self._breakers = {a: breaker for a, breaker in enumerate(breakers) if breaker is not None}
        self._holds, self._timers = holds, timers
        self._bits = bits
        self.fail_at_once, self._give_up, self._changed = fail_at_once, give_up, changed
        self._reporter = reporter
        self._states: dict[int, BreakerState] = {}  # as they were last, by action
        self._seen = {a: breaker.generation for a, breaker in self._breakers.items()}
        self._give_ups: dict[int, int] = {}  # by action
        self._moved = dict.fromkeys(self._breakers, 0)  # `Dispatch.generation` at its last move
        self._permits: dict[int, Permit] = {}  # of probes, by rank
        self._alarms: dict[int, Timer] = {}  # by action
        self._unsubscribe: list[Callable[[], None]] = []
        self._dispatch: Dispatch | None = None

    def __bool__(self) -> bool:
        return bool(self._breakers)

    def attach(self, dispatch: Dispatch) -> None:
        """Follow the breakers from now on, until `detach`."""
        self._dispatch = dispatch
        for action, breaker in self._breakers.items():
            self._follow_from_now(action, breaker)

    def _follow_from_now(self, action: int, breaker: CircuitBreaker) -> None:
        self._give_ups[action] = breaker.give_ups  # it has held nobody of this run so far
        self._unsubscribe.append(breaker.subscribe(functools.partial(self._follow, action)))
        self._follow(action, breaker)

    def detach(self) -> None:
        """The run is over: give back what is still out."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        for permit in self._permits.values():
            permit.released()
        self._permits.clear()
        self._dispatch = None

    def add(self, action: int, breaker: CircuitBreaker | None) -> None:
        """One more action, while the run goes on."""
        if breaker is None:
            return
        self._breakers[action] = breaker
        self._seen[action], self._moved[action] = breaker.generation, 0
        if self._dispatch is not None:
            self._follow_from_now(action, breaker)

    def breaker(self, action: int) -> CircuitBreaker | None:
        """The breaker of an action; None if it has none."""
        return self._breakers.get(action)

    def refuses(self, action: int) -> bool:
        """Does its breaker let nobody through now?"""
        breaker = self._breakers.get(action)
        return breaker is not None and not breaker.admits()

    @property
    def isolated(self) -> bool:
        """Is a breaker open until somebody closes it by hand?"""
        return any(breaker.isolated for breaker in self._breakers.values())

    def statistics(self, clock: ClockMap) -> dict[str, dict[str, object]]:
        """The `breaker_states` of the figures of a run, with instants as ISO 8601.

        May be called in any thread. The alarms see to it that the figures are those of now.
        """
        states = {}
        for breaker in self._breakers.values():
            figures = breaker.peek()
            states[breaker.name] = {"state": figures["state"]} | {
                name: None if figures[name] is None else clock.wall(figures[name]).isoformat()
                for name in ("opens_at", "half_open_at")
            }
        return states

    def _follow(self, action: int, breaker: CircuitBreaker) -> None:
        """Make the gate, the bits and the alarm of an action what its breaker says."""
        assert self._dispatch is not None
        state = breaker.state
        before = self._states.get(action, state)
        self._states[action] = state
        if state is not before and self._reporter is not None:
            self._reporter.breaker_moved(action, before, state)
        if breaker.generation != self._seen[action]:
            self._seen[action] = breaker.generation
            self._dispatch.generation += 1
            self._moved[action] = self._dispatch.generation
        asked = PREPARED * (state is not BreakerState.CLOSED)
        told = REPORTED * (not breaker.quiet)
        self._bits.set(action, BREAKER, asked | told)
        self._set_alarm(action, breaker.next_change)
        if breaker.give_ups != self._give_ups[action]:
            self._give_ups[action] = breaker.give_ups
            probes = f"{breaker.policy.give_up_after} probes in a row have failed"
            self._give_up(action, CircuitOpenError(f"{self.refusal(action)}; {probes}"))
        if breaker.admits() or self.fail_at_once:
            self._holds.open(action, BREAKER)
            self._changed()
        else:
            self._holds.close(action, BREAKER)

    def _set_alarm(self, action: int, when: float | None) -> None:
        alarm = self._alarms.get(action)
        if alarm is not None and alarm.act is not None and alarm.when == when:
            return
        if alarm is not None:
            self._timers.cancel(self._alarms.pop(action))
        if when is not None:
            self._alarms[action] = self._timers.at(when, self._breakers[action].wake)

    # -- attempts -----------------------------------------------------------------------

    def admit(self, rank: int, action: int) -> bool:
        """May the task start an attempt now? False: its breaker lets nobody through."""
        breaker = self._breakers.get(action)
        if breaker is None or breaker.state is BreakerState.CLOSED:
            return True
        permit = breaker.try_acquire()
        if permit is None:
            return False
        self._permits[rank] = permit
        return True

    def refusal(self, action: int) -> CircuitOpenError:
        """What a task fails with that its breaker does not let through."""
        breaker = self._breakers[action]
        return CircuitOpenError(
            f"action {shorten(breaker.name)}: its circuit breaker is {breaker.state.value}"
            f"{f' ({breaker.reason})' if breaker.reason else ''}"
        )

    def settle(self, rank: int, action: int, generation: int, success: bool | None) -> None:
        """An attempt is over.

        Args:
            rank: The task.
            action: Its action.
            generation: `Dispatch.generation` when the attempt began.
            success: None if its end says nothing about the action.
        """
        breaker = self._breakers.get(action)
        if breaker is None:
            return
        if (permit := self._permits.pop(rank, None)) is not None:
            if success is None:
                permit.released()
            elif success:
                permit.succeeded()
            else:
                permit.failed()
        elif success is not None and generation >= self._moved[action]:
            breaker.record(breaker.generation, success)
