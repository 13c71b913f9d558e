"""The policies that a run has and an action may have of its own, checked."""

from __future__ import annotations

import enum
from typing import Final, Literal, TypeAlias, TypeVar

import attrs

from ._breaker_policy import BreakerPolicy
from ._errors import InvalidTypeError, shorten
from ._retry import RetryPolicy


class Inherit(enum.Enum):
    """The one value that says: as the run, or the scheduler, has it."""

    INHERIT = "inherit"

    def __repr__(self) -> str:
        return self.name


INHERIT: Final = Inherit.INHERIT

Inherited: TypeAlias = Literal[Inherit.INHERIT]
_P = TypeVar("_P")


@attrs.frozen(kw_only=True)
class ActionPolicies:
    """What an action has of its own.

    Attributes:
        retry: Its retry policy; None for no retries.
        breaker: Its breaker policy; None for no breaker.
        idempotent: False: equal tasks of it are not served from each other.
    """

    retry: RetryPolicy | Inherited | None = INHERIT
    breaker: BreakerPolicy | Inherited | None = INHERIT
    idempotent: bool = True


def check_retry(value: object) -> RetryPolicy | None:
    """The option `retry`. Raises InvalidTypeError."""
    if value is None or isinstance(value, RetryPolicy):
        return value
    raise InvalidTypeError(f"retry is {shorten(value)}; it must be a RetryPolicy or None")


def check_breaker(value: object) -> BreakerPolicy | None:
    """The option `breaker`. Raises InvalidTypeError."""
    if value is None or isinstance(value, BreakerPolicy):
        return value
    raise InvalidTypeError(f"breaker is {shorten(value)}; it must be a BreakerPolicy or None")


def settled(own: _P | Inherited, inherited: _P) -> _P:
    """The policy that holds: one's own, or the one that is inherited."""
    return inherited if isinstance(own, Inherit) else own
