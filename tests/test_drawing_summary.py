"""Graphs in figures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from hypothesis import given

from tgtrio import InvalidValueError, TaskGraph, TaskState, output_of
from tgtrio.drawing import measure, summarize

from .drawings import ended, graph_of, graphs, layers

WHEN = datetime(2030, 5, 4, 3, 2, 1, tzinfo=UTC)


def full_graph() -> TaskGraph:
    graph = TaskGraph("nightly", max_parallel=5, graph_timeout_ms=90_000, expire_at_deadline=True)
    graph.add_task("fetch", "shell", resource_ids=["net"], estimate_ms=1_000, priority=-1)
    graph.add_task("build", "shell", dependencies=["fetch"], estimate_ms=4_000, deadline=WHEN)
    graph.add_task("lint", "shell", dependencies=["fetch"], max_retries=2, task_timeout_ms=500)
    graph.add_task(
        "ship", "python", {"built": output_of("build")}, on_dep_fail="always", idempotent=False
    )
    return graph


def test_a_summary_tells_what_there_is() -> None:
    assert summarize(full_graph()).splitlines() == [
        "nightly: 4 tasks, 3 dependencies",
        "",
        "  actions        shell 3, python 1",
        "  resources      net 1",
        "  policies       abort 2, always 1",
        "  starts with    fetch",
        "  ends with      lint, ship",
        "  levels         3, at most 2 tasks wide",
        "              1  ████████████████████ 1",
        "              2  ████████████████████████████████████████ 2",
        "              3  ████████████████████ 1",
        "  critical path  5.00 s, 2 tasks",
        "                 fetch → build",
        "  parallelism    1.0 (5.00 s of work / 5.00 s of path)",
        "  priority       1 task: -1",
        "  deadline       1 task: 2030-05-04 03:02:01+00:00",
        "  timeout        1 task: 500 ms",
        "  max retries    1 task: 2",
        "  estimate       2 tasks: 1.00 s to 4.00 s",
        "  expiring       1 task",
        "  not idempotent 1 task",
        "  output_of      1 task",
        "  limits         max_parallel 5, max_retry_tokens 100, graph_timeout 1 min 30 s, "
        "expire_at_deadline",
    ]


def test_of_what_there_is_not_nothing_is_said() -> None:
    assert summarize(graph_of({})).splitlines() == [
        "g: 0 tasks, 0 dependencies",
        "",
        "  limits         max_parallel 100, max_retry_tokens 100",
    ]


def test_the_figures_are_json_data() -> None:
    figures = json.loads(json.dumps(measure(full_graph()).to_dict()))
    assert figures["widths"] == [1, 2, 1]
    assert (figures["depth"], figures["width"]) == (3, 2)
    assert figures["settings"]["deadline"] == {
        "tasks": 1,
        "lowest": WHEN.isoformat(),
        "highest": WHEN.isoformat(),
    }
    assert figures["critical_path"] == {
        "unit": "ms",
        "length": 5_000.0,
        "work": 5_000.0,
        "task_ids": ["fetch", "build"],
        "parallelism": 1.0,
    }
    assert figures["limits"]["graph_timeout_ms"] == 90_000
    assert figures["states"] is None


def test_without_estimates_the_critical_path_counts_tasks() -> None:
    graph = graph_of({"a": [], "b": ["a"], "c": ["b"], "d": ["a"], "e": [], "f": []})
    path = measure(graph).critical_path
    assert (path.unit, path.length, path.work) == ("tasks", 3, 6)
    assert (path.task_ids, path.parallelism) == (("a", "b", "c"), 2.0)


def test_estimates_weigh_more_than_hops() -> None:
    graph = graph_of({"a": [], "b": ["a"], "c": ["b"]})
    graph.add_task("long", "act", estimate_ms=10)
    assert measure(graph).critical_path.task_ids == ("long",)


def test_a_graph_whose_estimates_are_zero_counts_tasks() -> None:
    graph = graph_of({"a": [], "b": ["a"]}, estimate_ms=0)
    assert measure(graph).critical_path.unit == "tasks"


def test_a_result_adds_the_states() -> None:
    graph = graph_of({"a": [], "b": []})
    assert "  states         succeeded 1, failed 1\n" in summarize(
        graph, ended(graph, {"b": TaskState.FAILED})
    )
    with pytest.raises(InvalidValueError, match="is one of graph 'h'"):
        summarize(graph, ended(graph_of({}, "h")))


def test_many_levels_share_a_bar() -> None:
    lines = summarize(layers([1, 2] * 30), ascii_only=True).splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("  levels"))
    assert lines[start + 1] == f"{'1-4':>15}  {'#' * 40} 2"
    assert lines[start + 15] == f"{'57-60':>15}  {'#' * 40} 2"
    assert " -> ... 56 more ... -> " in lines[start + 17]


def test_of_many_names_some_are_shown() -> None:
    text = summarize(graph_of({f"task {n}": [] for n in range(30)}))
    assert "starts with    task 0, task 1, task 2, task 3, task 4 and 25 more\n" in text


def test_a_shared_limiter_is_told() -> None:
    graph = TaskGraph("g", max_parallel=trio.CapacityLimiter(3))
    assert "max_parallel <trio.CapacityLimiter" in summarize(graph)


@given(graph=graphs())
def test_the_figures_add_up(graph: Any) -> None:
    figures = measure(graph)
    assert sum(figures.widths) == figures.tasks == sum(figures.actions.values()) == len(graph)
    path = figures.critical_path
    assert len(path.task_ids) == path.length == figures.depth
    for before, after in zip(path.task_ids, path.task_ids[1:], strict=False):
        assert before in graph.nodes[after].dependencies
    text = summarize(graph)
    assert all(char.isprintable() or char == "\n" for char in text)
