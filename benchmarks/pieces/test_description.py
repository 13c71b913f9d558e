"""Describing, freezing and keying 10,000 tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import tgtrio
from tgtrio._identity import idempotency_key, keys_of
from tgtrio._plan import freeze

from ..peers import Graph
from .conftest import SIZE

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture


@pytest.fixture(scope="session")
def tasks(shape: Graph) -> list[dict[str, Any]]:
    return [
        {
            "task_id": name,
            "action_name": "work",
            "normalized_args": {"number": number, "name": name},
            "dependencies": parents,
            "priority": number % 7,
        }
        for number, (name, parents) in enumerate(shape.items())
    ]


def described(tasks: list[dict[str, Any]]) -> tgtrio.TaskGraph:
    graph = tgtrio.TaskGraph("benchmark")
    graph.add_tasks(tasks)
    return graph


def described_one_by_one(tasks: list[dict[str, Any]]) -> tgtrio.TaskGraph:
    graph = tgtrio.TaskGraph("benchmark")
    for task in tasks:
        graph.add_task(**task)
    return graph


def test_add_tasks(benchmark: BenchmarkFixture, tasks: list[dict[str, Any]]) -> None:
    assert len(benchmark(described, tasks)) == SIZE


def test_add_task(benchmark: BenchmarkFixture, tasks: list[dict[str, Any]]) -> None:
    assert len(benchmark(described_one_by_one, tasks)) == SIZE


def test_validate(benchmark: BenchmarkFixture, graph: tgtrio.TaskGraph) -> None:
    benchmark(graph.validate)


def test_freeze(benchmark: BenchmarkFixture, graph: tgtrio.TaskGraph) -> None:
    assert len(benchmark(freeze, graph)) == SIZE


def test_freeze_with_priorities(benchmark: BenchmarkFixture, tasks: list[dict[str, Any]]) -> None:
    assert len(benchmark(freeze, described(tasks))) == SIZE


def test_keys_of_many(benchmark: BenchmarkFixture, tasks: list[dict[str, Any]]) -> None:
    nodes = list(described(tasks).nodes.values())
    assert len(set(benchmark(keys_of, nodes))) == SIZE


def test_key_of_one(benchmark: BenchmarkFixture) -> None:
    args = {"city": "Genève", "page": 3, "filters": ["a", "b", "c"], "exact": True}
    assert len(benchmark(idempotency_key, "fetch", args, ["network"], "1.0")) == 64


def test_to_dict(benchmark: BenchmarkFixture, graph: tgtrio.TaskGraph) -> None:
    assert len(benchmark(graph.to_dict)["tasks"]) == SIZE
