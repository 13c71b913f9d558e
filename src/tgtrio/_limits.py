"""Limits that a caller gives: checked, and laid out as the gates and lanes of a queue.

A limit is an int of at least 1, or a `trio.CapacityLimiter` that the caller shares
with the rest of the program. The queue counts the first kind itself. The second is a
gate without a bound of its own, which `_borrowing` closes while no token is free.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import attrs
import trio

from ._errors import InvalidTypeError, InvalidValueError, nearest, shorten
from ._plan import Plan

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
    """Log a warning for a limit on nothing whose name is close to something that there is.

    A limit on a name that the graph does not have is no error: one set of limits often
    serves many graphs.
    """
    names = list(known)
    for key in limits:
        if key not in names and (hint := nearest(key, names)):
            _log.warning("%s[%s] limits nothing in this graph%s", name, shorten(key), hint)


@attrs.frozen
class Gates:
    """The gates and lanes of one run.

    Attributes:
        names: What each gate stands for, for people.
        capacities: How many tasks each lets through at once.
        limiters: The caller's limiter behind a gate, for those that have one.
        lane_gates: The gates of each lane; lane 0 has none.
        lanes: The lane of each task, int32; None where all are in lane 0.
        of_action: The gate that holds back all tasks of an action, -1 for none, by action number.
    """

    names: list[str]
    capacities: list[int]
    limiters: dict[int, trio.CapacityLimiter]
    lane_gates: list[tuple[int, ...]]
    lanes: array[int] | None
    of_action: list[int] = attrs.field(factory=list)

    def foreign_lanes(self) -> list[bool]:
        """For each lane, whether one of its gates is a limiter of the caller's."""
        return [any(gate in self.limiters for gate in gates) for gates in self.lane_gates]


def lay_gates(
    plan: Plan,
    max_parallel: Limit,
    per_action_caps: Mapping[str, Limit],
    resource_caps: Mapping[str, Limit],
    *,
    hold_actions: bool = False,
) -> Gates:
    """Number the gates that the plan's tasks need, and the lanes: the sets of them.

    Args:
        hold_actions: Every action gets a gate by which it can be held back.
    """
    gates = Gates([], [], {}, [()], None)
    everyone = _add_gate(gates, "max_parallel", max_parallel) if _foreign(max_parallel) else ()
    of_action = []
    for name in plan.actions:
        own = _add_gate(gates, f"action {name!r}", per_action_caps.get(name))
        if hold_actions and (not own or own[0] in gates.limiters):
            own += _add_gate(gates, f"action {name!r}", UNBOUNDED)
        gates.of_action.append(own[-1] if hold_actions else -1)
        of_action.append(everyone + own)
    of_resource = {
        name: _add_gate(gates, f"resource {name!r}", limit)
        for name, limit in resource_caps.items()
        if any(name in names for names in plan.resource_sets)
    }
    of_set = [
        sum((of_resource.get(name, ()) for name in names), start=()) for names in plan.resource_sets
    ]
    if not gates.capacities:
        return gates
    return attrs.evolve(gates, lanes=_assign_lanes(plan, of_action, of_set, gates.lane_gates))


def _foreign(limit: Limit) -> bool:
    return isinstance(limit, trio.CapacityLimiter)


def _add_gate(gates: Gates, name: str, limit: Limit | None) -> tuple[int, ...]:
    """The gate as a tuple of one, or () for no limit."""
    if limit is None:
        return ()
    for gate, limiter in gates.limiters.items():
        if limiter is limit:  # named twice: a task needs one token of it
            gates.names[gate] += f", {name}"
            return (gate,)
    gate = len(gates.names)
    gates.names.append(name)
    if isinstance(limit, trio.CapacityLimiter):
        gates.limiters[gate] = limit
        gates.capacities.append(UNBOUNDED)
    else:
        gates.capacities.append(limit)
    return (gate,)


def _assign_lanes(
    plan: Plan,
    of_action: list[tuple[int, ...]],
    of_set: list[tuple[int, ...]],
    lane_gates: list[tuple[int, ...]],
) -> array[int]:
    """The lane of each task; new lanes are appended to `lane_gates`."""
    number: dict[tuple[int, ...], int] = {(): 0}

    def lane(gates: tuple[int, ...]) -> int:
        gates = tuple(dict.fromkeys(gates))
        if gates not in number:
            number[gates] = len(lane_gates)
            lane_gates.append(gates)
        return number[gates]

    if plan.resource_set is None:
        by_action = [lane(gates) for gates in of_action]
        return array("i", [by_action[action] for action in plan.action])
    pairs = list(zip(plan.action, plan.resource_set, strict=True))
    by_pair = {pair: lane(of_action[pair[0]] + of_set[pair[1]]) for pair in dict.fromkeys(pairs)}
    return array("i", [by_pair[pair] for pair in pairs])
