"""A surrounding scope that is cancelled without anybody waiting at a checkpoint."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import assert_checkpoints

from tgtrio import TaskGraph, open_run, run_graph

from .runs import graph_of, returns, task


@pytest.mark.parametrize("max_parallel", [1, 10])
async def test_an_action_that_cancels_the_surrounding_scope_is_the_last_to_start(
    max_parallel: int,
) -> None:
    started: list[str] = []

    async def first(args: dict[str, Any]) -> str:
        scope.cancel()
        return "kept"

    async def rest(args: dict[str, Any]) -> None:
        started.append("rest")

    graph = graph_of(
        task("first", action_name="first"),
        task("next", "first", action_name="rest"),
        task("always", "first", action_name="rest", on_dep_fail="always"),
        task("beside", action_name="rest", priority=-1),
        max_parallel=max_parallel,
    )
    with trio.CancelScope() as scope:
        async with open_run(graph, {"first": first, "rest": rest}) as run:
            pass
    assert scope.cancelled_caught
    assert started == []
    result = await run.wait()
    assert (result.results["first"].response, result.results["first"].late) == ("kept", True)
    assert result.statistics["states"]["cancelled"] == 3


@pytest.mark.parametrize("tasks", [0, 1, 3])
async def test_under_a_cancelled_scope_nothing_starts(tasks: int) -> None:
    started: list[int] = []

    async def work(args: dict[str, Any]) -> None:
        started.append(1)

    graph = graph_of(*map(str, range(tasks)))
    for _ in range(20):  # Trio resumes Trio tasks in random order
        with trio.CancelScope() as scope:
            scope.cancel()
            await run_graph(graph, {"work": work})
        assert scope.cancelled_caught
    assert started == []
    assert graph.get_stats()["states"]["cancelled"] == tasks


@pytest.mark.parametrize("graph", [TaskGraph("empty"), graph_of("a")])
async def test_a_run_is_a_checkpoint(graph: TaskGraph) -> None:
    with assert_checkpoints():
        await run_graph(graph, {"work": returns()})
