"""The monitor that stops everything when a rule says so, or somebody.

Two states: armed and tripped.

| state   | `trip`                     | a check                            | `reset` |
|---------|----------------------------|------------------------------------|---------|
| armed   | tripped, listeners called  | asks the rules; a reason trips it  | armed   |
| tripped | nothing, the first holds   | no rule is asked                   | armed   |
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from ._checks import check_number
from ._chronicle import Chronicle, Ledger
from ._errors import InvalidTypeError, InvalidValueError, shorten
from ._safety_rules import DEFAULT_RULES, Rule
from ._safety_statistics import Observation, SafetyStatistics

Listener: TypeAlias = Callable[[str], object]

_log = logging.getLogger("tgtrio")


class AbortConditionMonitor:
    """Watches the runs that share it, and aborts them all.

    Every method may be called from every thread, and from a signal handler.

    Args:
        raw_store: Where trips and resets are recorded, if it has a `record_event(kind, data)`.
        ledger: Where they are appended: an `IdentityLedger`, or whatever has an
            `append(event)`. A store or ledger that fails is logged; the trip stands.
        rules: Callables that get the live `SafetyStatistics` and return the reason to abort,
            or None. False and "" mean None. True is a reason named after the rule; and so
            that no rule fails in silence, an exception and any other value are reasons too.

    Raises:
        InvalidTypeError: An argument cannot be what it is meant to be.
    """

    def __init__(
        self,
        *,
        raw_store: Any = None,
        ledger: Ledger | None = None,
        rules: Iterable[Rule] = DEFAULT_RULES,
    ) -> None:
        if ledger is not None and not callable(getattr(ledger, "append", None)):
            raise InvalidTypeError(
                f"option 'ledger': {shorten(ledger)} has no append(event); "
                "it must be an IdentityLedger or like one"
            )
        self._rules = _check_rules(rules)
        self._timed = [rule for rule in self._rules if hasattr(rule, "ask_at")]
        self.ledger = ledger  # the runs under this monitor write into it too
        records = callable(getattr(raw_store, "record_event", None))
        self._chronicle = Chronicle(ledger, raw_store if records else None)
        # Reentrant, because a signal handler may trip in the middle of an observation.
        self._lock = threading.RLock()
        self._reason: str | None = None
        self._listeners: dict[object, Listener] = {}
        self._statistics = SafetyStatistics(self._lock)

    def __repr__(self) -> str:
        state = "armed" if self._reason is None else f"tripped: {shorten(self._reason)}"
        return f"<AbortConditionMonitor {state}>"

    @property
    def statistics(self) -> SafetyStatistics:
        """The live figures that the rules judge."""
        return self._statistics

    # -- stop, and start again --------------------------------------------------------

    def trip(self, reason: str) -> None:
        """Abort everything that shares this monitor, now. The first reason holds.

        The listeners are called before this returns, then ledger and store are written.

        Args:
            reason: In words. Whatever else is given is put into words: an emergency brake
                that is pulled the wrong way brakes all the same.
        """
        text = _in_words(reason)
        with self._lock:
            if self._reason is not None:
                return
            self._reason = text
            listeners = list(self._listeners.values())
            figures = self._statistics.to_dict()
        with contextlib.ExitStack() as stack:  # last in, first out, also after an interrupt
            stack.callback(self._chronicle.note, "safety_trip", reason=text, statistics=figures)
            stack.callback(_log.warning, "safety: everything is aborted: %s", text)
            for listener in reversed(listeners):
                stack.callback(_tell, listener, text)

    def reset(self) -> None:
        """Arm the monitor again: forget the reason and all figures but what is in flight.

        Runs that were aborted stay so.
        """
        with self._lock:
            reason, self._reason = self._reason, None
            self._statistics._clear()
        self._chronicle.note("safety_reset", reason=reason)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have a callable called with the reason, once for each trip, in the thread of the trip.

        It is not called for a trip that has been: subscribe first, then look. One that raises
        is logged.

        Returns:
            A callable that ends the subscription. A trip under way may still call the listener.

        Raises:
            InvalidTypeError: It is not callable.
        """
        if not callable(listener):
            raise InvalidTypeError(f"listener is {shorten(listener)}; it must be callable")
        key = object()

        def unsubscribe() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        with self._lock:
            self._listeners[key] = listener
        return unsubscribe

    # -- ask --------------------------------------------------------------------------

    def should_abort(self, now: float | None = None) -> bool:
        """Ask the rules: True if everything is to stop."""
        return self.check_abort_conditions(now)[0]

    def get_abort_reason(self) -> str | None:
        """Why everything is to stop, or None. No rule is asked."""
        return self._reason

    def check_abort_conditions(self, now: float | None = None) -> tuple[bool, str | None]:
        """Ask the rules, in their order, until one has a reason; that trips the monitor.

        Args:
            now: What the clock of the run in this thread shows; None for the last instant
                that was observed.

        Returns:
            Whether everything is to stop, and why.
        """
        if self._reason is None:
            if now is not None:
                with self._lock:
                    self._statistics._timeline.see(now)
            for rule in self._rules:
                answer = self._ask(rule)
                if answer is not None:
                    self.trip(answer)
                    break
        reason = self._reason
        return reason is not None, reason

    def _ask(self, rule: Rule) -> str | None:
        try:
            answer: object = rule(self._statistics)
        except Exception as exc:  # a rule that is out of order protects nobody
            return _broken(rule, exc)
        if answer is None or answer is False:
            return None
        if isinstance(answer, str):
            return answer or None
        if answer is True:
            return f"rule {_name(rule)} says so"
        if inspect.iscoroutine(answer):
            answer.close()
        return f"rule {_name(rule)} returned {shorten(answer)}, which is neither str nor None"

    # -- what runs and actions tell ---------------------------------------------------

    def spend(self, amount: float) -> None:
        """Say what an action has cost, and ask the rules at once.

        Args:
            amount: In units of your choice; finite, at least 0.

        Raises:
            InvalidTypeError, InvalidValueError: It is no such number.
        """
        number = check_number(("monitor", "spend"), "amount", amount)
        if number < 0:
            raise InvalidValueError(
                f"monitor 'spend': amount is {shorten(amount)}; it must be at least 0"
            )
        with self._lock:
            self._statistics._spend(number)
        self.check_abort_conditions()

    def begin(self, now: float, clock: object = None) -> None:
        """A run begins in this thread.

        Args:
            now: What its clock shows, in seconds.
            clock: Stands for that clock. If it is another than that of the last run in this
                thread, time goes on from the last instant that was observed.
        """
        with self._lock:
            self._statistics._timeline.begin(now, clock)

    def observe(self, event: Observation | str, now: float) -> None:
        """Something happened to an attempt. The rules are not asked.

        Args:
            event: An `Observation` or its value.
            now: What the clock of the run in this thread shows, in seconds.

        Raises:
            InvalidValueError: There is no such event.
        """
        with self._lock:
            self._statistics._observe(event, now)

    @property
    def next_check(self) -> float | None:
        """When a rule wants to be asked though nothing happens, by this thread's clock.

        None if none wants to, if the monitor is tripped, or if no run has begun here. Look
        again after each check.
        """
        wanted = [instant for rule in self._timed if (instant := self._wanted(rule)) is not None]
        if not wanted or self._reason is not None:
            return None
        with self._lock:
            return self._statistics._timeline.reading_at(min(wanted))

    def _wanted(self, rule: Rule) -> float | None:
        """The instant at which a rule wants to be asked, if that is still to come."""
        try:
            instant = rule.ask_at(self._statistics)  # type: ignore[attr-defined]
            if instant is None:
                return None
            instant = check_number(("rule", _name(rule)), "ask_at", instant)
        except Exception as exc:  # as in _ask
            self.trip(_broken(rule, exc))
            return None
        return instant if instant > self._statistics.elapsed_s else None


def _check_rules(rules: object) -> tuple[Rule, ...]:
    if callable(rules) or isinstance(rules, str | bytes) or not isinstance(rules, Iterable):
        hint = f"; write [{shorten(rules)}]" if callable(rules) else "; () is none"
        raise InvalidTypeError(
            f"option 'rules' is {shorten(rules)}; it must be a list of callables{hint}"
        )
    checked = tuple(rules)
    for at, rule in enumerate(checked):
        hint = ""
        if isinstance(rule, type):
            hint = f"it is a class; write {rule.__name__}(...)"
        elif not callable(rule):
            hint = "it must be a callable that takes the statistics"
        elif inspect.iscoroutinefunction(rule):
            hint = "it is async; rules are asked by plain calls"
        if hint:
            raise InvalidTypeError(f"option 'rules'[{at}] is {shorten(rule)}; {hint}")
    return checked


def _tell(listener: Listener, reason: str) -> None:
    try:
        listener(reason)
    except Exception:  # the others must hear of it too
        _log.exception("safety: a listener failed: %s", shorten(listener))


def _broken(rule: Rule, exc: Exception) -> str:
    _log.error("safety: rule %s failed", _name(rule), exc_info=exc)
    return f"rule {_name(rule)} raised {shorten(exc)}"


def _name(rule: Rule) -> str:
    name = getattr(rule, "__name__", None)
    return name if isinstance(name, str) else shorten(rule)


def _in_words(reason: object) -> str:
    if isinstance(reason, str):
        text = reason.encode("utf-8", "backslashreplace").decode()
        return text if text.strip() else "no reason was given"
    return shorten(reason)
