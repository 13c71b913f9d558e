"""The circuit breaker: what fails all the time is not called at all for a while.

Pure: the clock is an argument, and nothing happens by itself. What time does is done when
somebody looks (`state`, `admits`, `try_acquire` and others) or calls `wake`.

    CLOSED     calls pass, and their outcomes are recorded; too many failures among the last
               ones open it
    OPEN       nobody passes for `open_for` seconds
    HALF_OPEN  one call passes, the probe, and its outcome decides: CLOSED or OPEN. A probe
               not back after `open_for` seconds is overdue and lets one more pass; should it
               come back, its outcome decides all the same
    isolated   OPEN by hand, until it is closed by hand

`_MOVES` is the whole table; what is not in it changes nothing. Each move starts a new
generation, and an outcome counts only in the generation in which its call began: what began
before a move never undoes it.

The idea is Michael Nygard's (Release It!, 2007); the window of the last calls is resilience4j's.
"""

from __future__ import annotations

import enum
import logging
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ._breaker_policy import DEFAULT_BREAKER, BreakerPolicy, BreakerState, Move, is_failure
from ._checks import describe
from ._errors import CircuitOpenError, InvalidTypeError, shorten

_log = logging.getLogger("tgtrio")

_ON_MOVE = "on_move"


class _Phase(enum.Enum):
    CLOSED = enum.auto()
    OPEN = enum.auto()
    HALF_OPEN = enum.auto()
    ISOLATED = enum.auto()


# As globals: `record` and `quiet` are hot, and looking a member up in its class is slow.
_CLOSED, _OPEN, _HALF_OPEN, _ISOLATED = _Phase

_MOVES: dict[_Phase, tuple[_Phase, ...]] = {
    # too many failed; by hand
    _CLOSED: (_OPEN, _ISOLATED),
    # its time is over; by hand; by hand
    _OPEN: (_HALF_OPEN, _ISOLATED, _CLOSED),
    # the probe succeeded, or by hand; it failed; by hand
    _HALF_OPEN: (_CLOSED, _OPEN, _ISOLATED),
    # by hand
    _ISOLATED: (_CLOSED,),
}
_SHOWN = {phase: BreakerState.__members__.get(phase.name, BreakerState.OPEN) for phase in _Phase}


class Permit:
    """Leave to make one call. It is settled once: what is said of it later does nothing.

    As a context manager it settles itself: a block that comes to its end has succeeded, one
    that raises has failed or, if that is no failure (`is_failure`), gives the permit back.

    Attributes:
        is_probe: True for the call that decides whether a half-open breaker closes.
    """

    __slots__ = ("_breaker", "_generation", "is_probe")

    def __init__(self, breaker: CircuitBreaker, is_probe: bool) -> None:
        self._breaker: CircuitBreaker | None = breaker
        self._generation = breaker.generation
        self.is_probe = is_probe

    def succeeded(self) -> None:
        """The call has succeeded."""
        self._settle(True)

    def failed(self) -> None:
        """The call has failed."""
        self._settle(False)

    def released(self) -> None:
        """The call was not made, or its end says nothing; the place of a probe is free again."""
        self._settle(None)

    def _settle(self, success: bool | None) -> None:
        breaker, self._breaker = self._breaker, None
        if breaker is None:
            return
        if self.is_probe:
            breaker._settle_probe(self, self._generation, success)
        elif success is not None:
            breaker.record(self._generation, success)

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self, kind: object, exception: BaseException | None, frames: TracebackType | None
    ) -> None:
        if exception is None:
            self._settle(True)
        else:
            self._settle(False if is_failure(exception) else None)


class CircuitBreaker:
    """A breaker for one thing that is called again and again.

    Use it as `with breaker.acquire(): ...`, or settle the permits yourself; who makes very
    many calls may do without permits while it is CLOSED, and `record` the outcomes.

    A callback (`on_move`, `subscribe`) may call the breaker; what that changes is told after
    it has returned. One that raises an `Exception` is logged and not called again. Everything
    but `peek` must be called from one thread.

    Args:
        name: What it is called in messages.
        policy: When it opens, and for how long.
        clock: Returns the time in seconds, from any origin. It may be set back or give way to
            another: a wait that seems to have begun in the future begins again.
        on_move: Called with the breaker and a `Move` after each change of state.

    Attributes:
        generation: Goes up by one at each change of state.
        isolated: True if it was opened by hand.
        reason: Why it changed its state last, in words; "" if it never did.
        probes_failed: How many probes in a row have failed; back to 0 at `give_up_after`.
        give_ups: How often `give_up_after` was reached. It never goes down.

    Raises:
        InvalidTypeError: An argument is of a type that it cannot be.
    """

    def __init__(
        self,
        name: str = "",
        policy: BreakerPolicy = DEFAULT_BREAKER,
        *,
        clock: Callable[[], float],
        on_move: Callable[[CircuitBreaker, Move], object] | None = None,
    ) -> None:
        self.name = name
        self._check("name", name, isinstance(name, str), "a str")
        self._check("policy", policy, isinstance(policy, BreakerPolicy), "a BreakerPolicy")
        self._check("clock", clock, callable(clock), "a callable that returns seconds")
        self._check("on_move", on_move, on_move is None or callable(on_move), "a callable or None")
        self.policy = policy
        self.generation = 0
        self.isolated = False
        self.probes_failed = 0
        self.give_ups = 0
        self._clock = clock
        self._phase = _CLOSED
        self.reason = ""
        self._limit = policy.failures_to_open
        self._open_for = float(policy.open_for)
        self._window: deque[bool] = deque(maxlen=policy.window)  # True: failed
        self._failures = 0  # in the window
        # While not CLOSED `_opened_at` <= `_since` <= now, unless the clock was set back; `_due`,
        # where time will let somebody through, is `_since` + `open_for`.
        self._opened_at = self._since = 0.0
        self._half_open_at: float | None = None
        self._due: float | None = None
        self._probe: Permit | None = None  # the one that is out and not overdue
        self._callbacks: dict[object, Callable[..., object]] = {}
        if on_move is not None:
            self._callbacks[_ON_MOVE] = on_move
        self._moves: deque[Move] = deque()  # not told yet
        self._untold = False
        self._telling = False

    def __repr__(self) -> str:
        return f"<CircuitBreaker {shorten(self.name)} {self._phase.name}>"

    # What others see

    @property
    def state(self) -> BreakerState:
        """The state as of now."""
        self.wake()
        return _SHOWN[self._phase]

    @property
    def quiet(self) -> bool:
        """Is it CLOSED with no failure in its window? Then a success need not be recorded."""
        return self._phase is _CLOSED and not self._failures

    @property
    def opened_at(self) -> float | None:
        """When it opened last, by its clock; None while CLOSED."""
        self.wake()
        return None if self._phase is _CLOSED else self._opened_at

    @property
    def half_open_at(self) -> float | None:
        """When it will half-open, or did; None while CLOSED or isolated."""
        self.wake()
        return self._half_open_at

    @property
    def next_change(self) -> float | None:
        """When time alone will let somebody through; None if somebody may pass now, or never."""
        self.wake()
        return self._due

    def admits(self) -> bool:
        """True if `try_acquire` would give a permit now."""
        self.wake()
        return self._has_room()

    def statistics(self) -> dict[str, Any]:
        """The state, the instants by its clock, and what is in the window, or was as it opened."""
        self.wake()
        return self.peek()

    def peek(self) -> dict[str, Any]:
        """The `statistics` as of the last look at the clock. The one call for other threads."""
        return {
            "state": _SHOWN[self._phase].value,
            "opens_at": None if self._phase is _CLOSED else self._opened_at,
            "half_open_at": self._half_open_at,
            "isolated": self.isolated,
            "failures": self._failures,
            "recorded": len(self._window),
        }

    def subscribe(self, listener: Callable[[CircuitBreaker], object]) -> Callable[[], None]:
        """Call `listener` whenever `state`, `quiet`, `admits` or `next_change` has changed.

        Returns:
            What ends the subscription when called.
        """
        self._check("listener", listener, callable(listener), "a callable")
        token = object()
        self._callbacks[token] = listener

        def unsubscribe() -> None:
            self._callbacks.pop(token, None)

        return unsubscribe

    def wake(self) -> None:
        """Look at the clock, and do what is due."""
        self._look()
        self._tell()

    # Calls and their outcomes

    def try_acquire(self) -> Permit | None:
        """Ask for leave to make one call; None if nobody may pass now."""
        self._look()
        if not self._has_room():
            self._tell()
            return None
        permit = Permit(self, is_probe=self._phase is _HALF_OPEN)
        if permit.is_probe:
            self._wait_from(self._clock())
            self._probe = permit
            self._tell()
        return permit

    def acquire(self) -> Permit:
        """Ask for leave to make one call.

        Raises:
            CircuitOpenError: Nobody may pass now.
        """
        permit = self.try_acquire()
        if permit is None:
            raise CircuitOpenError(f"{describe(('breaker', self.name))}: {self._obstacle()}")
        return permit

    def record(self, generation: int, success: bool) -> None:
        """Record the outcome of a call that was made without a permit. O(1).

        Args:
            generation: The `generation` in which it began, while CLOSED. Once that has passed
                the outcome counts nothing.
            success: True if it succeeded.
        """
        if generation != self.generation or self._phase is not _CLOSED:
            return
        window, failed, failures = self._window, not success, self._failures
        if len(window) == window.maxlen:
            failures -= window[0]
        failures += failed
        window.append(failed)
        if failures == self._failures:
            return
        if not failures or not self._failures:  # `quiet` has changed
            self._untold = True
        self._failures = failures
        if failures >= self._limit:
            reason = f"{failures} of the last {len(window)} attempts failed"
            self._move(_OPEN, reason)
        self._tell()

    def _settle_probe(self, probe: Permit, generation: int, success: bool | None) -> None:
        if generation != self.generation:
            return
        if success:
            self._move(_CLOSED, "the probe succeeded")
        elif success is not None:
            self._move(_OPEN, "the probe failed")
        elif probe is self._probe:
            self._free_place()
        self._tell()

    # By hand

    def isolate(self, reason: str = "") -> None:
        """Let nobody through until `close`; what is under way counts nothing any more."""
        self._check("reason", reason, isinstance(reason, str), "a str")
        self._move(_ISOLATED, reason or "isolated by hand")
        self._tell()

    def close(self, reason: str = "") -> None:
        """Be CLOSED from now on, with an empty window."""
        self._check("reason", reason, isinstance(reason, str), "a str")
        self._move(_CLOSED, reason or "closed by hand")
        self._empty_window()
        self._tell()

    # Inside. None of these tells anybody: each call from outside does so at its end, once.

    def _check(self, field: str, value: object, fits: bool, wanted: str) -> None:
        if not fits:
            raise InvalidTypeError(
                f"{describe(('breaker', self.name))}: {field} is {shorten(value)}, of type "
                f"{type(value).__name__}; it must be {wanted}"
            )

    def _has_room(self) -> bool:
        if self._phase is _HALF_OPEN:
            return self._probe is None
        return self._phase is _CLOSED

    def _look(self) -> None:
        if self._phase is _CLOSED:
            return
        now = self._clock()
        if now < self._since:
            self._start_again(now)
        elif self._due is None or now < self._due:
            return
        elif self._phase is _OPEN:
            self._move(_HALF_OPEN, f"{self._open_for:g} s have passed")
        else:
            self._free_place()

    def _start_again(self, now: float) -> None:
        """The clock was set back: nothing has begun later than now."""
        self._since = now
        self._opened_at = min(self._opened_at, now)
        if self._due is not None:
            self._wait_from(now)
        if self._phase is _OPEN:
            self._half_open_at = self._due
        elif self._half_open_at is not None:
            self._half_open_at = min(self._half_open_at, now)

    def _wait_from(self, now: float) -> None:
        self._since = now
        # Kept, and compared as it is: far from 0 the sum is rounded, and a timer that was set
        # to this instant must find that it has come.
        self._due = now + self._open_for
        self._untold = True

    def _free_place(self) -> None:
        self._probe = self._due = None
        self._untold = True

    def _empty_window(self) -> None:
        self._untold = self._untold or self._failures > 0
        self._window.clear()
        self._failures = 0

    def _move(self, after: _Phase, reason: str) -> None:
        before = self._phase
        if after not in _MOVES[before]:
            return
        now = self._clock()  # first: if it raises, nothing has changed
        gave_up = False
        if before is _HALF_OPEN and after is _OPEN:
            self.probes_failed = (self.probes_failed + 1) % self.policy.give_up_after
            gave_up = self.probes_failed == 0
            self.give_ups += gave_up
        self._phase = after
        self.reason = reason
        self.generation += 1
        self._enter(after, now)
        self._moves.append(Move(_SHOWN[before], _SHOWN[after], reason, now, gave_up))
        self._untold = True

    def _enter(self, phase: _Phase, now: float) -> None:
        self.isolated = phase is _ISOLATED
        self._since = now
        self._probe = self._due = None
        if phase is _HALF_OPEN:
            return  # when it opened and half-opened still holds
        self._opened_at = now
        if phase is _OPEN:
            self._wait_from(now)
        elif phase is _CLOSED:
            self._empty_window()
            self.probes_failed = 0
        self._half_open_at = self._due

    def _obstacle(self) -> str:
        """Why nobody may pass now, for a message."""
        opened = f"open since {self._opened_at:.10g} ({self.reason:.200})"
        if self._due is None:
            return f"isolated, {opened}; only close() ends that"
        due = f"at {self._due:.10g}, in {self._due - self._clock():.3g} s"
        if self._phase is _OPEN:
            return f"{opened}; half-opens {due}"
        return f"half-open, its probe under way since {self._since:.10g}; lets another pass {due}"

    def _tell(self) -> None:
        """Tell of the moves in order, and then the listeners that something has changed."""
        if self._telling or not self._untold:
            return  # a callback has called the breaker: the loop below goes round once more
        self._telling = True
        try:
            while self._untold:
                self._untold = False
                while self._moves:
                    self._call(_ON_MOVE, self._moves.popleft())
                for token in tuple(self._callbacks):
                    if token is not _ON_MOVE:
                        self._call(token)
        finally:
            self._telling = False

    def _call(self, token: object, *args: object) -> None:
        callback = self._callbacks.get(token)
        if callback is None:
            return
        try:
            callback(self, *args)
        except Exception:  # not the fault of whoever's call has changed the breaker
            self._callbacks.pop(token, None)
            _log.exception(
                "breaker %s: %s raised and is not called again",
                shorten(self.name),
                shorten(callback),
            )
