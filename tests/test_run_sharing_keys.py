"""Which tasks of a run are one piece of work: the keys, also by what goes in."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    Actions,
    output_of,
    run_graph,
)
from tgtrio._identity import idempotency_key

from .runs import Args, graph_of, raises, returns, task
from .test_run_sharing import Calls, cached, same

# What is equal


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"normalized_args": {"a": 1, "b": [2]}}, {"normalized_args": {"b": (2,), "a": 1}}),
        ({"resource_ids": ["x", "y"]}, {"resource_ids": ["y", "x"]}),
        ({"resource_ids": ["x", "y"]}, {"resource_ids": ("y", "x", "y")}),
        ({"priority": 1}, {"priority": 2}),
        ({"max_retries": 1}, {"max_retries": 2}),
        ({"task_timeout_ms": 5_000}, {"task_timeout_ms": None}),
        ({"normalized_args": {}}, {"normalized_args": None}),
    ],
)
async def test_this_is_the_same_work(
    one: dict[str, Any], other: dict[str, Any], autojump_clock: MockClock
) -> None:
    calls = Calls()
    result = await run_graph(graph_of(*same("a", **one), *same("b", **other)), {"work": calls})
    assert len(calls.tasks) == 1
    assert result.results["a"].idempotency_key == result.results["b"].idempotency_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"normalized_args": {"a": True}}, {"normalized_args": {"a": 1}}),
        ({"normalized_args": {"a": 1.0}}, {"normalized_args": {"a": 1}}),
        ({"normalized_args": {"a": 0.0}}, {"normalized_args": {"a": -0.0}}),
        ({"normalized_args": {"a": None}}, {"normalized_args": {}}),
        ({"normalized_args": {"a": "1"}}, {"normalized_args": {"a": 1}}),
        ({"normalized_args": {"a": "\u00e9"}}, {"normalized_args": {"a": "e\u0301"}}),
        ({"normalized_args": {"a": [1, 2]}}, {"normalized_args": {"a": [2, 1]}}),
        ({"version": "1"}, {"version": "1.0"}),
        ({"resource_ids": ["x"]}, {"resource_ids": []}),
        ({"action_name": "work"}, {"action_name": "Work"}),
    ],
)
async def test_this_is_different_work(
    one: dict[str, Any], other: dict[str, Any], autojump_clock: MockClock
) -> None:
    calls = Calls()
    graph = graph_of(*same("a", **one), *same("b", **other))
    result = await run_graph(graph, {"work": calls, "Work": calls})
    assert sorted(calls.tasks) == ["a", "b"]
    assert len({one.idempotency_key for one in result.results.values()} - {None}) == 2
    assert result.statistics["cached_tasks"] == 0


# Keys by what goes in


async def test_inputs_make_the_key(autojump_clock: MockClock) -> None:
    calls = Calls()
    graph = graph_of(
        task("one", normalized_args={"v": 1}, action_name="v"),
        task("uno", normalized_args={"v": 1}, action_name="v"),
        task("two", normalized_args={"v": 2}, action_name="v"),
        *same("a", normalized_args={"x": [output_of("one")]}),
        *same("b", normalized_args={"x": [output_of("uno")]}),
        *same("c", normalized_args={"x": [output_of("two")]}),
        *same("d", normalized_args={"x": [1]}),
    )

    async def v(args: Args) -> object:
        await trio.sleep(0.5)
        return args["v"]

    result = await run_graph(graph, {"work": calls, "v": v})
    assert sorted(calls.tasks) == ["c", "d"]
    assert cached(result) == {"a", "b"}
    key = idempotency_key("work", {"x": [1]}, [], "1")
    assert [result.results[name].idempotency_key for name in "abd"] == [key] * 3
    assert set(calls.keys) == {key, result.results["c"].idempotency_key}


@pytest.mark.parametrize(
    "value", [{1, 2}, b"bytes", float("nan"), 2**64, "\ud800", {1: 2}, object()], ids=repr
)
async def test_an_input_that_is_no_json_makes_no_key(
    value: object, autojump_clock: MockClock
) -> None:
    calls = Calls()
    graph = graph_of(
        task("source", action_name="source"),
        *same("a", "b", normalized_args={"x": output_of("source")}),
    )
    result = await run_graph(graph, {"work": calls, "source": returns(value)})
    assert calls.tasks == ["a", "b"]
    assert calls.keys == [None, None]
    assert [result.results[name].idempotency_key for name in "ab"] == [None, None]
    assert result.ok


async def test_an_unavailable_input_makes_no_key(autojump_clock: MockClock) -> None:
    calls = Calls()
    fields = {"normalized_args": {"x": output_of("broken")}, "on_dep_fail": "always"}
    graph = graph_of(task("broken", action_name="fail"), *same("a", "b", **fields))
    result = await run_graph(graph, {"work": calls, "fail": raises()})
    assert calls.tasks == ["a", "b"]
    assert [result.results[name].idempotency_key for name in "ab"] == [None, None]


async def test_a_task_without_a_key_is_retried_with_its_inputs(autojump_clock: MockClock) -> None:
    calls = Calls(OSError())
    graph = graph_of(
        task("source", action_name="source"),
        *same("a", normalized_args={"x": output_of("source")}, max_retries=1),
    )
    result = await run_graph(graph, {"work": calls, "source": returns({1, 2})})
    assert result.results["a"].response["x"] == {1, 2}
    assert result.results["a"].attempts == 2


async def test_a_run_or_an_action_that_opts_out_has_no_keys() -> None:
    result = await run_graph(graph_of(*same("a", "b")), {"work": returns(1)}, idempotent=False)
    assert result.results["a"].idempotency_key is None
    actions = Actions()
    actions.register("work", returns(1), idempotent=False)
    result = await run_graph(graph_of(*same("a", "b")), actions)
    assert result.results["a"].idempotency_key is None
