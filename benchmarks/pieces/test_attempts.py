"""One attempt after the other, through a whole run of 10,000 tasks, and through an executor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import pytest
import trio

import tgtrio

from ..actions import no_op, plain_no_op, suspends_in_trio
from ..peers.ours import BARE
from .conftest import SIZE

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

OPTIONS: dict[str, dict[str, Any]] = {
    "bare": dict(BARE),
    "caps": {**BARE, "per_action_caps": {"work": 50}},
    "retries": {**BARE, "retry": tgtrio.RetryPolicy()},
    "breaker": {**BARE, "breaker": tgtrio.BreakerPolicy()},
}


def run(graph: tgtrio.TaskGraph, action: Callable[..., Any], **options: Any) -> tgtrio.GraphResult:
    return trio.run(lambda: tgtrio.run_graph(graph, {"work": action}, **options))


def repeatedly(call: Callable[[], Coroutine[Any, Any, Any]], times: int) -> None:
    async def main() -> None:
        for _ in range(times):
            await call()

    trio.run(main)


@pytest.mark.parametrize("name", OPTIONS)
def test_run(benchmark: BenchmarkFixture, graph: tgtrio.TaskGraph, name: str) -> None:
    assert benchmark(run, graph, no_op, **OPTIONS[name]).ok


def test_run_of_tasks_that_suspend(benchmark: BenchmarkFixture, graph: tgtrio.TaskGraph) -> None:
    assert benchmark(run, graph, suspends_in_trio, **BARE).ok


def test_run_in_threads(benchmark: BenchmarkFixture, graph: tgtrio.TaskGraph) -> None:
    result = benchmark.pedantic(run, (graph, plain_no_op), dict(BARE), rounds=3)
    assert result.ok


def test_results_as_objects(benchmark: BenchmarkFixture, graph: tgtrio.TaskGraph) -> None:
    results = run(graph, no_op, **BARE).results
    assert len(benchmark(lambda: list(results.values()))) == SIZE


def test_hundred_runs_of_one_task(benchmark: BenchmarkFixture) -> None:
    graph = tgtrio.TaskGraph("benchmark")
    graph.add_task("only", "work")
    benchmark(repeatedly, lambda: tgtrio.run_graph(graph, {"work": no_op}), 100)


def test_hundred_tasks_of_an_executor(benchmark: BenchmarkFixture) -> None:
    executor = tgtrio.TaskExecutor()
    node = tgtrio.TaskNode(task_id="only", action_name="work", idempotent=False)
    benchmark(repeatedly, lambda: executor.execute(node, no_op), 100)
