"""Ready-made safety rules.

A rule is a callable that gets the live `SafetyStatistics` and returns the reason to stop
everything, or None. Here each argument names what is still allowed: a rule trips when there
is more. Only a budget of time trips when it is reached.

A rule that wants to be asked although nothing happens has a method `ask_at(statistics)`,
which returns the `elapsed_s` of that moment, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs

from ._checks import check_count, check_number
from ._errors import InvalidValueError, shorten
from ._safety_statistics import SafetyStatistics, check_window

Rule: TypeAlias = Callable[[SafetyStatistics], str | bool | None]


def _seconds() -> float:
    return attrs.field(default=60.0, validator=_check_window)


def _check_window(rule: object, field: attrs.Attribute[float], value: object) -> None:
    check_window(("rule", type(rule).__name__), field.name, value)


def _check_least(least: int) -> Callable[[object, attrs.Attribute[int], object], None]:
    def check(rule: object, field: attrs.Attribute[int], value: object) -> None:
        check_count(("rule", type(rule).__name__), field.name, value, least)

    return check


def _check_amount(rule: object, field: attrs.Attribute[float], value: object) -> None:
    name = type(rule).__name__
    if check_number(("rule", name), field.name, value) < 0:
        raise InvalidValueError(
            f"rule {name!r}: {field.name} is {shorten(value)}; it must be at least 0"
        )


@attrs.frozen
class MaxFailureRate:
    """Trips when more than a share of the attempts in a sliding window failed.

    Args:
        share: The share that may fail, from 0 to below 1.
        window_s: The length of the window in seconds, at most 3600.
        at_least: With fewer attempts in the window there is no judgement.

    Raises:
        InvalidTypeError, InvalidValueError: An argument is of a type, or has a value, that it
            cannot have.
    """

    share: float = attrs.field(default=0.5)
    window_s: float = _seconds()
    at_least: int = attrs.field(default=20, validator=_check_least(1))

    @share.validator
    def _check_share(self, _field: object, value: object) -> None:
        share = check_number(("rule", "MaxFailureRate"), "share", value)
        if not 0 <= share < 1:
            raise InvalidValueError(
                f"rule 'MaxFailureRate': share is {shorten(value)}; "
                "it must be at least 0 and below 1"
            )

    def __call__(self, statistics: SafetyStatistics) -> str | None:
        # Asked before every attempt: the totals spare most looks at the window.
        if statistics.failures <= self.share * self.at_least:
            return None
        failed = statistics.failures_in(self.window_s)
        if failed <= self.share * self.at_least:
            return None
        ended = statistics.attempts_in(self.window_s)
        if ended < self.at_least or failed <= self.share * ended:
            return None
        return (
            f"{failed} of the last {ended} attempts in {self.window_s:g} s failed "
            f"({100 * failed / ended:.3g} %), more than {100 * self.share:.3g} %"
        )


@attrs.frozen
class MaxConsecutiveFailures:
    """Trips when more attempts in a row failed, whichever tasks they were of.

    Attempts that run side by side also fail side by side: allow more than run at once.

    Args:
        failures: How many in a row may fail.

    Raises:
        InvalidTypeError, InvalidValueError: It is no int of at least 0.
    """

    failures: int = attrs.field(validator=_check_least(0))

    def __call__(self, statistics: SafetyStatistics) -> str | None:
        row = statistics.consecutive_failures
        if row <= self.failures:
            return None
        return f"{row} attempts in a row failed, more than {self.failures}"


@attrs.frozen
class RetryStorm:
    """Trips when retries pile up and little succeeds.

    A large run that is well has many retries too, but many more successes.

    Args:
        retries: How many retries there may be in the window, whatever else happens.
        window_s: The length of the window in seconds, at most 3600.
        per_success: More retries than that are no storm while there are at most so many for
            each attempt that succeeded in the window. 0: the successes make no difference.

    Raises:
        InvalidTypeError, InvalidValueError: An argument is of a type, or has a value, that it
            cannot have.
    """

    retries: int = attrs.field(default=100, validator=_check_least(0))
    window_s: float = _seconds()
    per_success: float = attrs.field(default=1.0, validator=_check_amount)

    def __call__(self, statistics: SafetyStatistics) -> str | None:
        if statistics.retries <= self.retries:
            return None
        retried = statistics.retries_in(self.window_s)
        if retried <= self.retries:
            return None
        window_s = self.window_s
        succeeded = statistics.attempts_in(window_s) - statistics.failures_in(window_s)
        if retried <= self.per_success * succeeded:
            return None
        return (
            f"{retried} retries and {succeeded} successes in {window_s:g} s, "
            f"more than {self.retries} retries"
            + (f" and {self.per_success:g} for each success" if self.per_success else "")
        )


@attrs.frozen
class TimeBudget:
    """Trips once so much time has passed since the first run began.

    Args:
        seconds: From the first run of the monitor, or the first after its reset.

    Raises:
        InvalidTypeError, InvalidValueError: It is no finite number above 0.
    """

    seconds: float = attrs.field()

    @seconds.validator
    def _check_seconds(self, _field: object, value: object) -> None:
        if check_number(("rule", "TimeBudget"), "seconds", value) <= 0:
            raise InvalidValueError(
                f"rule 'TimeBudget': seconds is {shorten(value)}; it must be above 0"
            )

    def __call__(self, statistics: SafetyStatistics) -> str | None:
        if statistics.elapsed_s < self.seconds:
            return None
        return f"{statistics.elapsed_s:.6g} s have passed; the budget is {self.seconds:.6g} s"

    def ask_at(self, _statistics: SafetyStatistics) -> float:
        """The `elapsed_s` at which this rule wants to be asked."""
        return self.seconds


@attrs.frozen
class SpendBudget:
    """Trips when more has been spent, as told to `AbortConditionMonitor.spend`.

    Args:
        amount: What may be spent, in the units of `spend`.

    Raises:
        InvalidTypeError, InvalidValueError: It is no finite number of at least 0.
    """

    amount: float = attrs.field(validator=_check_amount)

    def __call__(self, statistics: SafetyStatistics) -> str | None:
        # Three times 0.1 is no overspending of 0.3.
        if statistics.spent <= self.amount * (1 + 1e-9):
            return None
        return f"{statistics.spent:.6g} was spent, more than the budget of {self.amount:.6g}"


DEFAULT_RULES: tuple[Rule, ...] = (MaxFailureRate(), MaxConsecutiveFailures(100), RetryStorm())
"""What a monitor judges by unless it is told.

More than half of at least 20 attempts in 60 s failed; more than 100 attempts in a row failed
(as many run at once by default, and may all fail by one hiccup); more than 100 retries in
60 s, and more retries than successes. Budgets of time and money only the caller can name.
"""
