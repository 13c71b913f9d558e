"""Limits, checked and laid out as gates and lanes."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tgtrio import InvalidTypeError, InvalidValueError
from tgtrio._layout import Gates, lay_gates
from tgtrio._limits import UNBOUNDED, Limit, check_limit, check_limits

from .runs import graph_of, task


def gates_for(
    *tasks: dict[str, Any],
    max_parallel: Limit = 100,
    actions: dict[str, Limit] | None = None,
    resources: dict[str, Limit] | None = None,
) -> Gates:
    plan = graph_of(*tasks).freeze()
    return lay_gates(plan, max_parallel, actions or {}, resources or {})


def capacities_of(gates: Gates, rank: int) -> list[int]:
    """What bounds the task of a rank."""
    assert gates.lanes is not None
    return sorted(gates.capacities[gate] for gate in gates.lane_gates[gates.lanes[rank]])


async def test_an_int_and_a_limiter_are_limits() -> None:
    limiter = trio.CapacityLimiter(3)
    assert check_limit("cap", 1) == 1
    assert check_limit("cap", limiter) is limiter
    assert check_limit("cap", 10**30) == UNBOUNDED


@pytest.mark.parametrize("limit", [0, -5, -(10**30)])
def test_ints_below_one_are_refused(limit: int) -> None:
    with pytest.raises(InvalidValueError, match="cap is"):
        check_limit("cap", limit)


@pytest.mark.parametrize("limit", [True, 1.0, "1", None, [], float("nan")])
def test_what_is_no_int_is_refused(limit: object) -> None:
    with pytest.raises(InvalidTypeError, match="cap is"):
        check_limit("cap", limit)


def test_no_limits_and_limits_by_name() -> None:
    assert check_limits("caps", None) == {}
    assert check_limits("caps", {}) == {}
    assert check_limits("caps", {"a": 2}) == {"a": 2}
    with pytest.raises(InvalidTypeError, match=r"caps\['a'\]"):
        check_limits("caps", {"a": "2"})


def test_limits_are_read_once() -> None:
    given = {"a": 2}
    checked = check_limits("caps", given)
    given["a"] = 0
    assert checked == {"a": 2}


def test_without_caps_there_is_nothing() -> None:
    gates = gates_for(task("a", resource_ids=["r"]), task("b"))
    assert gates.lanes is None
    assert (gates.capacities, gates.lane_gates) == ([], [()])


def test_caps_on_nothing_in_the_graph_are_left_out() -> None:
    gates = gates_for(task("a"), actions={"other": 1}, resources={"r": 1})
    assert gates.capacities == []


def test_lane_zero_is_for_tasks_without_gates() -> None:
    gates = gates_for(task("a", action_name="capped"), task("b"), actions={"capped": 2})
    assert gates.lanes is not None
    assert list(gates.lanes) == [1, 0]
    assert gates.lane_gates[0] == ()


def test_tasks_of_the_same_gates_share_a_lane() -> None:
    gates = gates_for(
        *(task(f"r{n}", resource_ids=["r", "s"][:: n % 2 * 2 - 1]) for n in range(4)),
        *(task(f"a{n}", action_name="a") for n in range(3)),
        *(task(f"b{n}", action_name="a", resource_ids=["r"]) for n in range(3)),
        task("free", action_name="free", resource_ids=["unbounded"]),
        actions={"a": 2},
        resources={"r": 3, "s": 4},
    )
    assert gates.lanes is not None
    lanes = list(gates.lanes)
    assert len(set(lanes)) == 4
    assert len(set(lanes[:4])) == len(set(lanes[4:7])) == len(set(lanes[7:10])) == 1
    assert capacities_of(gates, 0) == [3, 4]
    assert capacities_of(gates, 4) == [2]
    assert capacities_of(gates, 7) == [2, 3]
    assert lanes[10] == 0


async def test_a_limiter_is_a_gate_that_the_queue_does_not_count() -> None:
    limiter = trio.CapacityLimiter(1)
    gates = gates_for(task("a"), task("b", action_name="x"), actions={"work": limiter})
    assert gates.capacities == [UNBOUNDED]
    assert list(gates.limiters.values()) == [limiter]
    assert gates.foreign_lanes() == [False, True]


async def test_a_limiter_for_the_whole_run_bounds_every_task() -> None:
    limiter = trio.CapacityLimiter(1)
    gates = gates_for(task("a"), task("b", action_name="x"), max_parallel=limiter)
    assert gates.lanes is not None
    assert all(gates.foreign_lanes()[lane] for lane in gates.lanes)


def test_each_gate_says_what_it_is() -> None:
    gates = gates_for(task("a", resource_ids=["r"]), actions={"work": 1}, resources={"r": 1})
    assert gates.owners[0] == (("action", "work"),)
    assert gates.owners[1] == (("resource", "r"),)
