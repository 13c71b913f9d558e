"""What a circuit breaker is told and tells: its policy, its states, its moves."""

from __future__ import annotations

import enum
import math

import attrs

from ._checks import check_count, check_number, describe
from ._errors import CircuitOpenError, InvalidValueError, shorten
from ._retry import RetryLater, leaves

LARGEST_WINDOW = 1_000_000


class BreakerState(enum.Enum):
    """What a breaker does with calls: lets them pass, holds them back, or tries one."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@attrs.frozen
class BreakerPolicy:
    """When a breaker opens, for how long, and when those who wait for it are let down.

    Args:
        window: How many of the last recorded attempts count; at most 1,000,000.
        threshold: Which part of the window must be failures, above 0 and at most 1. The part
            is of the whole window, also while fewer attempts are recorded.
        open_for: Seconds from opening to the first probe, from a failed probe to the next, and
            until a probe that does not come back lets one more through.
        give_up_after: After how many failed probes in a row those who wait are let down.

    Raises:
        InvalidTypeError, InvalidValueError: An argument is of a type, or has a value, that it
            cannot have.
    """

    window: int = 10
    threshold: float = 0.5
    open_for: float = 30.0
    give_up_after: int = 5

    def __attrs_post_init__(self) -> None:
        owner = ("option", "breaker")
        window = check_count(owner, "window", self.window, least=1)
        threshold = check_number(owner, "threshold", self.threshold)
        open_for = check_number(owner, "open_for", self.open_for)
        check_count(owner, "give_up_after", self.give_up_after, least=1)
        for field, value, fits, limit in (
            ("window", self.window, window <= LARGEST_WINDOW, f"at most {LARGEST_WINDOW}"),
            ("threshold", self.threshold, 0 < threshold <= 1, "above 0 and at most 1"),
            ("open_for", self.open_for, open_for > 0, "above 0 seconds"),
        ):
            if not fits:
                raise InvalidValueError(
                    f"{describe(owner)}: {field} is {shorten(value)}; it must be {limit}"
                )

    @property
    def failures_to_open(self) -> int:
        """How many failures among the last `window` attempts open a breaker; at least 1."""
        # Rounded first: 0.07 * 100 is 7.000000000000001, which would ask for 8.
        return max(1, math.ceil(round(float(self.threshold) * self.window, 9)))


DEFAULT_BREAKER = BreakerPolicy()


@attrs.frozen
class Move:
    """A change of state.

    Attributes:
        before, after: The states; both are OPEN where an open breaker was isolated.
        reason: Why, in words.
        at: When, by the clock of the breaker.
        gave_up: True if the last of `give_up_after` probes in a row has failed.
    """

    before: BreakerState
    after: BreakerState
    reason: str
    at: float
    gave_up: bool = False


def is_failure(exception: BaseException) -> bool:
    """True if a call that ended with this exception has failed.

    It has not if it was cancelled or interrupted, which says nothing of what was called; nor
    if it only asks for time (`RetryLater`) or met an open breaker. Of a group, each leaf must.
    """
    return isinstance(exception, Exception) and not all(
        isinstance(leaf, RetryLater | CircuitOpenError) for leaf in leaves(exception)
    )
