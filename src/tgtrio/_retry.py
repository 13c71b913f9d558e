"""When a failed attempt is tried again, and after how long.

Pure: the clock is not read here, and the random numbers come from the caller.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import TypeAlias

import attrs

from ._checks import check_count, check_number
from ._errors import (
    CycleError,
    DeadlockError,
    DuplicateTaskError,
    EventLoopError,
    InvalidGraphError,
    InvalidTypeError,
    InvalidValueError,
    LeakedScopeError,
    UnknownActionError,
    UnknownTaskError,
    shorten,
)

LONGEST_REQUEST = 300.0  # seconds; a `RetryLater` that asks for more gets this

RetryOn: TypeAlias = (
    type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool] | None
)


def _check_seconds(kind: str, name: str, field: str, value: object) -> float:
    number = check_number((kind, name), field, value)
    if number < 0:
        raise InvalidValueError(
            f"{kind} {name!r}: {field} is {shorten(value)}; it must be at least 0 seconds"
        )
    return number


class NonRetryable(Exception):
    """Raised by an action: this task has failed for good, whatever the retry policy says."""


class RetryLater(Exception):
    """Raised by an action: try again, but not before some seconds have passed.

    It takes an attempt and a retry token like any retry, and `retry_on` is not asked.

    Args:
        seconds: How long to wait instead of the back-off; at most 300 s are honoured.
        message: Why, for the result if the task has no retries left.

    Raises:
        InvalidTypeError, InvalidValueError: `seconds` is no finite number of at least 0.
    """

    def __init__(self, seconds: float, message: str = "") -> None:
        super().__init__(seconds, message)
        self.seconds = _check_seconds("exception", "RetryLater", "seconds", seconds)
        self.message = message

    def __str__(self) -> str:
        return self.message or f"asked to be tried again in {self.seconds:g} s"


NEVER_RETRIED: tuple[type[Exception], ...] = (
    NonRetryable,
    # The program is wrong, and will be so the next time.
    TypeError,
    AttributeError,
    NameError,
    NotImplementedError,
    AssertionError,
    SyntaxError,
    ImportError,
    RecursionError,
    # An action uses this library wrongly.
    InvalidValueError,
    InvalidGraphError,
    CycleError,
    DuplicateTaskError,
    UnknownTaskError,
    UnknownActionError,
    LeakedScopeError,
    EventLoopError,
    DeadlockError,
)
"""What is not retried unless `retry_on` says so; `NonRetryable` never is.

`LookupError` and other `ValueError`s are not in it: a KeyError is as often a reply that
came back incomplete as it is a slip of the programmer, and a retry that was not needed costs
less than a task that is lost.
"""


@attrs.frozen
class RetryPolicy:
    """How often a failed attempt is repeated, after which waits, and after which exceptions.

    The wait after attempt k (from 0) is drawn evenly from 0 to `min(base * 2**k, cap)`
    seconds: "full jitter" of Marc Brooker, Exponential Backoff And Jitter, AWS Architecture
    Blog, 2015. Tasks that failed together spread out instead of coming back together.

    Args:
        max_retries: How many attempts may follow the first.
        base: The longest first wait, in seconds.
        cap: No wait is longer, in seconds.
        retry_on: None: everything but `NEVER_RETRIED`. An exception type or a tuple of them:
            these and nothing else, also if `NEVER_RETRIED` has them. A callable: what it
            returns true for. `NonRetryable` is never retried and `RetryLater` always. A
            timeout comes as a `TaskTimeoutError`, which is a `TimeoutError`. Of an
            exception group each leaf must pass.

    Raises:
        InvalidTypeError, InvalidValueError: An argument is of a type, or has a value, that it
            cannot have.
    """

    max_retries: int = attrs.field(default=3)
    base: float = attrs.field(default=1.0)
    cap: float = attrs.field(default=20.0)
    retry_on: RetryOn = attrs.field(default=None)

    @max_retries.validator
    def _check_max_retries(self, _field: object, value: object) -> None:
        check_count(("option", "retry"), "max_retries", value)

    @base.validator
    @cap.validator
    def _check_duration(self, field: attrs.Attribute[float], value: object) -> None:
        _check_seconds("option", "retry", field.name, value)

    @retry_on.validator
    def _check_retry_on(self, _field: object, value: object) -> None:
        types = value if isinstance(value, tuple) else (value,)
        if value is None or all(isinstance(t, type) and issubclass(t, Exception) for t in types):
            return
        if isinstance(value, type) or not callable(value):
            raise InvalidTypeError(
                f"option 'retry': retry_on is {shorten(value)}; it must be None, an Exception "
                "type, a tuple of them, or a callable that takes the exception"
            )

    def delay(self, k: int, rng: random.Random) -> float:
        """How many seconds to wait after attempt k (from 0), drawn anew at each call."""
        try:
            longest = min(math.ldexp(self.base, k), self.cap)
        except OverflowError:
            longest = self.cap
        return rng.uniform(0, longest)

    def retries(self, exception: Exception) -> bool:
        """May an attempt that raised this be repeated? One leaf of a group may forbid it.

        A `retry_on` that raises itself counts as a no, and a note on the exception says so.
        """
        return all(map(self._retries_leaf, leaves(exception)))

    def _retries_leaf(self, leaf: Exception) -> bool:
        if isinstance(leaf, NonRetryable):
            return False
        if isinstance(leaf, RetryLater):
            return True
        if self.retry_on is None:
            return not isinstance(leaf, NEVER_RETRIED)
        if isinstance(self.retry_on, type | tuple):
            return isinstance(leaf, self.retry_on)
        try:
            return bool(self.retry_on(leaf))
        except Exception as exc:  # the caller's code, asked while a task ends: it must end
            leaf.add_note(f"not retried: retry_on raised {type(exc).__name__}: {shorten(exc)}")
            return False


DEFAULT_RETRY = RetryPolicy()


def policy_for(policy: RetryPolicy | None, max_retries: int | None) -> RetryPolicy | None:
    """The policy of a task that may say its own number of retries; None switches retries off."""
    if policy is None or max_retries is None or max_retries == policy.max_retries:
        return policy
    return attrs.evolve(policy, max_retries=max_retries)


def requested_delay(exception: BaseException | None) -> float | None:
    """The longest wait that a `RetryLater` among the leaves asks for, at most 300 s; or None."""
    asked = [leaf.seconds for leaf in leaves(exception) if isinstance(leaf, RetryLater)]
    return min(max(asked), LONGEST_REQUEST) if asked else None


def leaves(exception: BaseException | None) -> Iterator[Exception]:
    """The exceptions in a group and in the groups inside, each once; of no group, itself."""
    stack: list[BaseException] = [] if exception is None else [exception]
    seen: set[int] = set()
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, BaseExceptionGroup):
            stack.extend(reversed(item.exceptions))
        elif isinstance(item, Exception):
            yield item
