"""Graphs as dicts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import trio

from tgtrio._arguments import output_of
from tgtrio._errors import (
    CycleError,
    GraphFileError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    InvalidValueError,
    TgtrioError,
    UnknownDependencyError,
)
from tgtrio._graph import TaskGraph
from tgtrio._states import DependencyPolicy

WHEN = datetime(2030, 1, 31, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=5, minutes=30)))
A: dict[str, Any] = {"task_id": "a", "action_name": "act"}


def full_graph() -> TaskGraph:
    graph = TaskGraph(
        "g", max_parallel=5, max_retry_tokens=0, graph_timeout_ms=1.5, expire_at_deadline=True
    )
    graph.add_task("a", "act")
    graph.add_task(
        "b",
        "act",
        {"x": [output_of("a"), {"$output_of": "a"}], "y": None},
        ["r"],
        "1.0",
        ["a"],
        DependencyPolicy.ALWAYS,
        5,
        WHEN,
        250,
        0,
        False,
        True,
        0.25,
    )
    return graph


FULL: dict[str, Any] = {
    "graph_id": "g",
    "max_parallel": 5,
    "max_retry_tokens": 0,
    "graph_timeout_ms": 1.5,
    "expire_at_deadline": True,
    "tasks": [
        A,
        {
            "task_id": "b",
            "action_name": "act",
            "normalized_args": {
                "x": [{"$output_of": "a"}, {"$$output_of": "a"}],
                "y": None,
            },
            "resource_ids": ["r"],
            "version": "1.0",
            "on_dep_fail": "always",
            "priority": 5,
            "deadline": "2030-01-31T12:00:00.000005+05:30",
            "task_timeout_ms": 250,
            "estimate_ms": 0.25,
            "max_retries": 0,
            "idempotent": False,
            "expire_at_deadline": True,
        },
    ],
}


def test_the_dict_holds_what_differs_from_the_defaults() -> None:
    graph = TaskGraph("g")
    assert graph.to_dict() == {"graph_id": "g", "tasks": []}
    graph.add_task("a", "act")
    assert graph.to_dict() == {"graph_id": "g", "tasks": [A]}


def test_the_dict_of_a_graph_with_everything() -> None:
    plain = full_graph().to_dict()
    assert plain == FULL
    assert json.loads(json.dumps(plain)) == FULL
    assert "500.0" not in json.dumps(plain)  # whole numbers are written as people write them


def test_a_graph_comes_back_from_its_dict() -> None:
    again = TaskGraph.from_dict(FULL)
    assert dict(again.nodes) == dict(full_graph().nodes)
    assert again.to_dict() == FULL


@pytest.mark.parametrize(
    ("args", "declared", "written"),
    [
        ({"x": output_of("a")}, ["b"], ["b"]),
        ({"x": output_of("a")}, ["a", "b"], ["a", "b"]),
        ({"x": output_of("a")}, ["b", "a"], ["b"]),
        ({"x": [output_of("b"), output_of("a")]}, ["a"], ["a", "b"]),
        ({}, ["b", "a"], ["b", "a"]),
    ],
)
def test_dependencies_that_output_of_brings_back_are_not_written(
    args: dict[str, Any], declared: list[str], written: list[str]
) -> None:
    graph = TaskGraph("g")
    graph.add_tasks([A, {**A, "task_id": "b"}])
    node = graph.add_task("c", "act", args, dependencies=declared)
    plain = graph.to_dict()
    assert plain["tasks"][2]["dependencies"] == written
    assert TaskGraph.from_dict(plain).nodes["c"] == node


def test_a_limiter_cannot_be_written() -> None:
    graph = TaskGraph("g", max_parallel=trio.CapacityLimiter(3))
    with pytest.raises(GraphFileError, match=r"graph 'g': max_parallel is .*CapacityLimiter"):
        graph.to_dict()


def test_tasks_may_stand_in_any_order() -> None:
    graph = TaskGraph.from_dict(
        {"graph_id": "g", "tasks": [{**A, "task_id": "b", "dependencies": ["a"]}, A]}
    )
    assert list(graph.nodes) == ["b", "a"]


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (None, GraphFileError, "None"),
        ([A], GraphFileError, "list"),
        ({}, GraphFileError, "no graph_id"),
        ({"graph_id": ""}, InvalidValueError, "graph_id is ''"),
        ({"graph_id": 5}, InvalidTypeError, "graph_id is 5"),
        ({"graph_id": "g", "task": []}, GraphFileError, "'task'; did you mean 'tasks'?"),
        ({"graph_id": "g", 5: []}, GraphFileError, "unknown field 5"),
        ({"graph_id": "g", "tasks": {"a": A}}, GraphFileError, "list of tasks"),
        ({"graph_id": "g", "tasks": None}, GraphFileError, "tasks is None"),
        ({"graph_id": "g", "tasks": ["a"]}, GraphFileError, "tasks[0] is 'a'"),
        ({"graph_id": "g", "tasks": [{}]}, GraphFileError, "tasks[0]: task_id is missing"),
        ({"graph_id": "g", "tasks": [{"task_id": "a"}]}, GraphFileError, "'a': action_name is"),
        (
            {"graph_id": "g", "tasks": [{**A, "deps": []}]},
            GraphFileError,
            "task 'a': unknown field 'deps'",
        ),
        (
            {"graph_id": "g", "tasks": [{**A, "priorty": 1, "deadline": None}]},
            GraphFileError,
            "task 'a': unknown field 'priorty'; did you mean 'priority'?",
        ),
        ({"graph_id": "g", "max_parallel": 0}, InvalidValueError, "max_parallel is 0"),
        ({"graph_id": "g", "max_parallel": "many"}, InvalidTypeError, "'many'"),
        (
            {"graph_id": "g", "tasks": [{**A, "deadline": "tomorrow"}]},
            GraphFileError,
            "task 'a': deadline is 'tomorrow'",
        ),
        (
            {"graph_id": "g", "tasks": [{**A, "deadline": "2030-01-01T00:00:00"}]},
            InvalidValueError,
            "without a time zone",
        ),
        (
            {"graph_id": "g", "tasks": [{**A, "version": 1.0}]},
            InvalidTypeError,
            "put it in quotes",
        ),
        (
            {"graph_id": "g", "tasks": [{**A, "normalized_args": {"x": {"$output_of": 3}}}]},
            InvalidArgumentError,
            "task 'a'",
        ),
        (
            {"graph_id": "g", "tasks": [{**A, "normalized_args": {"x": {"$output_of": "a"}}}]},
            CycleError,
            "task 'a' depends on itself",
        ),
        (
            {"graph_id": "g", "tasks": [{**A, "dependencies": ["b"]}]},
            UnknownDependencyError,
            "'b' is unknown",
        ),
        ({"graph_id": "g", "tasks": [A, A, 5]}, InvalidGraphError, "2 problems"),
    ],
)
def test_a_dict_that_is_no_graph_is_refused(
    data: Any, error: type[TgtrioError], words: str
) -> None:
    with pytest.raises(error) as caught:
        TaskGraph.from_dict(data)
    assert type(caught.value) is error
    assert words in str(caught.value)
