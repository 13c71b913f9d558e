"""Limits that a caller gives, checked.

A limit is an int of at least 1, or a `trio.CapacityLimiter` that the caller shares with the rest
of the program.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import trio

from ._errors import InvalidTypeError, InvalidValueError, nearest, shorten

Limit: TypeAlias = int | trio.CapacityLimiter

UNBOUNDED = 2**31 - 1

_log = logging.getLogger("tgtrio")


def check_limit(name: str, limit: object) -> Limit:
    """The limit, if it is one.

    Raises:
        InvalidTypeError: It is neither an int nor a `trio.CapacityLimiter`.
        InvalidValueError: It is an int below 1.
    """
    if isinstance(limit, trio.CapacityLimiter):
        return limit
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise InvalidTypeError(
            f"{name} is {shorten(limit)}, of type {type(limit).__name__}; "
            "it must be an int of at least 1 or a trio.CapacityLimiter"
        )
    if limit < 1:
        raise InvalidValueError(
            f"{name} is {shorten(limit)}; it must be at least 1, or a trio.CapacityLimiter"
        )
    return min(limit, UNBOUNDED)


def check_limits(name: str, limits: object) -> dict[str, Limit]:
    """The limits by name; None is none. Raises as `check_limit`, naming the entry."""
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise InvalidTypeError(
            f"{name} is {shorten(limits)}, of type {type(limits).__name__}; "
            "it must be a mapping of names to limits"
        )
    for key in limits:
        if not isinstance(key, str):
            raise InvalidTypeError(f"{name} has the key {shorten(key)}; its keys must be str")
    return {key: check_limit(f"{name}[{shorten(key)}]", limit) for key, limit in limits.items()}


def warn_of_typos(name: str, limits: Mapping[str, Limit], known: Iterable[str]) -> None:
    """Log a warning for a limit on nothing whose name is close to something without a limit.

    A limit on a name that the graph does not have is no error: one set of limits often
    serves many graphs.
    """
    names = dict.fromkeys(known)
    unlimited = [name for name in names if name not in limits]
    for key in limits:
        if key not in names and (hint := nearest(key, unlimited)):
            _log.warning("%s[%s] limits nothing in this graph%s", name, shorten(key), hint)
