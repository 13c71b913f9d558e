"""Upward ranks, and the order that follows the critical path."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio import InvalidValueError, TaskGraph, run_graph
from tgtrio._upward_rank import estimated_times, upward_ranks

from .runs import graph_of, nap, task


def ranks_of(graph: TaskGraph) -> dict[str, float]:
    plan = graph.freeze()
    upward = upward_ranks(estimated_times(plan.nodes), plan)
    return {node.task_id: upward[rank] for rank, node in enumerate(plan.nodes)}


def started_in(graph: TaskGraph) -> list[str]:
    return [node.task_id for node in graph.freeze("critical_path").nodes]


def test_an_upward_rank_is_the_longest_way_to_the_end() -> None:
    graph = graph_of(
        task("a", estimate_ms=1),
        task("b", "a", estimate_ms=5),
        task("c", "a", estimate_ms=2),
        task("d", "b", "c", estimate_ms=3),
        task("e", "c", estimate_ms=100),
    )
    assert ranks_of(graph) == {"a": 103, "b": 8, "c": 102, "d": 3, "e": 100}


def test_a_task_without_an_estimate_counts_as_the_mean_of_its_action() -> None:
    graph = graph_of(
        task("a", estimate_ms=2),
        task("b", estimate_ms=4),
        "c",
        task("d", action_name="other"),
        task("e", action_name="third", estimate_ms=9),
    )
    assert ranks_of(graph) == {"a": 2, "b": 4, "c": 3, "d": 5, "e": 9}


def test_without_estimates_the_longest_chain_goes_first() -> None:
    assert ranks_of(graph_of("a", task("b", "a"), "c")) == {"a": 2, "b": 1, "c": 1}


def test_priorities_and_deadlines_come_before_and_insertion_after() -> None:
    graph = graph_of(
        task("short", estimate_ms=1),
        task("long", estimate_ms=9),
        task("as long", estimate_ms=9),
        task("urgent", estimate_ms=0, priority=1),
    )
    assert started_in(graph) == ["urgent", "long", "as long", "short"]


def test_a_graph_keeps_one_plan_for_each_order_while_it_is_unchanged() -> None:
    graph = graph_of("a", task("b", "a"))
    first = graph.freeze("critical_path")
    assert graph.freeze("critical_path") is first
    assert graph.freeze() is graph.freeze("priority")
    graph.add_task("c", "work")
    assert len(graph.freeze("critical_path")) == 3


async def test_the_critical_path_shortens_a_run(autojump_clock: MockClock) -> None:
    times = {"x": 1, "y": 1, "long": 4}
    graph = graph_of(
        *(task(n, normalized_args={"seconds": s}, estimate_ms=s * 1000) for n, s in times.items()),
        max_parallel=2,
    )
    by_insertion = await run_graph(graph, {"work": nap})
    by_path = await run_graph(graph, {"work": nap}, order="critical_path")
    assert (by_insertion.elapsed_ms, by_path.elapsed_ms) == (5000, 4000)


async def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="did you mean 'critical_path'"):
        await run_graph(graph_of("a"), {"work": nap}, order="critical_pth")  # type: ignore[arg-type]


def test_a_long_chain_needs_no_recursion() -> None:
    names = [f"t{n}" for n in range(50_000)]
    graph = graph_of(*(task(name, *names[n - 1 : n] if n else ()) for n, name in enumerate(names)))
    assert ranks_of(graph)["t0"] == 50_000


@given(data=st.data())
def test_it_is_what_its_definition_says(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 10))
    tasks: list[dict[str, Any]] = []
    for n in range(size):
        before = st.lists(st.integers(0, max(n - 1, 0)), unique=True, max_size=min(n, 3))
        names = [f"t{d}" for d in data.draw(before)]
        tasks.append(task(f"t{n}", *names, estimate_ms=data.draw(st.integers(0, 5))))
    graph = graph_of(*tasks)

    @functools.cache
    def longest(name: str) -> float:
        rest = [longest(one["task_id"]) for one in tasks if name in one["dependencies"]]
        return (graph.nodes[name].estimate_ms or 0) + max(rest, default=0)

    assert ranks_of(graph) == {name: longest(name) for name in graph.nodes}
