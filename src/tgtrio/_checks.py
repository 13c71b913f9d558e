"""Checks of single values, shared by tasks, graphs and arguments.

Each takes the owner of the value for the message, as `("task", "t1")`, and returns
the value in the one form that the rest of the library sees: a real `str`, a `float`,
a tuple without duplicates.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

from ._errors import InvalidTypeError, InvalidValueError, shorten

Owner: TypeAlias = tuple[str, object]


class Limiter(Protocol):
    """What this library needs of a `trio.CapacityLimiter`; the low floors do not import trio."""

    def acquire_on_behalf_of_nowait(self, borrower: Any) -> None: ...


def describe(owner: Owner) -> str:
    kind, name = owner
    return f"{kind} {shorten(name)}"


def well_formed(text: str) -> bool:
    """False if the text has lone surrogates, which no UTF-8 can hold."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def check_name(owner: Owner, field: str, value: object) -> str:
    """A non-empty string, whatever is in it, as long as UTF-8 can hold it."""
    if not isinstance(value, str):
        hint = "; put it in quotes" if isinstance(value, int | float) else ""
        raise InvalidTypeError(
            f"{describe(owner)}: {field} is {shorten(value)}, of type {type(value).__name__}; "
            f"it must be a non-empty str{hint}"
        )
    if not value:
        raise InvalidValueError(f"{describe(owner)}: {field} is ''; it must be a non-empty str")
    if not well_formed(value):
        raise InvalidValueError(
            f"{describe(owner)}: {field} is {shorten(value)}; it holds a lone surrogate, "
            "which cannot be written as UTF-8"
        )
    return str.__str__(value)  # of a StrEnum member or another subclass, the plain str


def check_names(owner: Owner, field: str, value: object) -> tuple[str, ...]:
    """Several names; duplicates are folded, and a set is sorted so that two runs are alike."""
    if type(value) is tuple or type(value) is list:
        for name in value:
            if type(name) is not str or not name or not name.isascii():
                break
        else:
            return tuple(value) if len(value) < 2 else tuple(dict.fromkeys(value))
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        hint = f"; write [{shorten(value)}]" if isinstance(value, str) else ""
        raise InvalidTypeError(
            f"{describe(owner)}: {field} is {shorten(value)}, of type {type(value).__name__}; "
            f"it must be a list of str{hint}"
        )
    names = [check_name(owner, f"{field}[{at}]", name) for at, name in enumerate(value)]
    if isinstance(value, set | frozenset):
        names.sort()
    return tuple(dict.fromkeys(names))


def check_number(owner: Owner, field: str, value: object) -> float:
    """A finite real number; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | numbers.Real):
        raise InvalidTypeError(
            f"{describe(owner)}: {field} is {shorten(value)}, of type {type(value).__name__}; "
            "it must be a number"
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidValueError(
            f"{describe(owner)}: {field} is {shorten(value)}; it must be a finite number"
        )
    return number


def check_milliseconds(owner: Owner, field: str, value: object, *, zero: bool = False) -> float:
    """A finite duration above zero, or with `zero=True` not below it."""
    number = check_number(owner, field, value)
    if number < 0 or (number == 0 and not zero):
        limit = "at least 0" if zero else "above 0"
        raise InvalidValueError(
            f"{describe(owner)}: {field} is {shorten(value)}; it must be {limit} milliseconds"
        )
    return number


def check_count(owner: Owner, field: str, value: object, least: int = 0) -> int:
    """A whole number of at least `least`; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidTypeError(
            f"{describe(owner)}: {field} is {shorten(value)}, of type {type(value).__name__}; "
            f"it must be an int of at least {least}"
        )
    if value < least:
        raise InvalidValueError(
            f"{describe(owner)}: {field} is {shorten(value)}; it must be at least {least}"
        )
    return int(value)


def check_bool(owner: Owner, field: str, value: object, wanted: str = "True or False") -> bool:
    if not isinstance(value, bool):
        raise InvalidTypeError(
            f"{describe(owner)}: {field} is {shorten(value)}, of type {type(value).__name__}; "
            f"it must be {wanted}"
        )
    return value


def check_limit(owner: Owner, field: str, value: object) -> int | Limiter:
    """How many at once: an int of at least 1, or a limiter."""
    if hasattr(value, "acquire_on_behalf_of_nowait"):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidTypeError(
            f"{describe(owner)}: {field} is {shorten(value)}, of type {type(value).__name__}; "
            "it must be an int of at least 1 or a trio.CapacityLimiter"
        )
    return check_count(owner, field, value, least=1)
