"""Operations of the ready queue, each over 10,000 tasks."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest

import tgtrio
from tgtrio._backend import ReadyQueue
from tgtrio._states import SUCCEEDED

from .conftest import SIZE

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

AMPLE = 1_000_000
ROUNDS = 50


def queue(graph: tgtrio.TaskGraph, capacity: int | None = None) -> ReadyQueue:
    """A new queue; with a capacity, eight lanes of one gate each."""
    plan = graph.freeze()
    edges = plan.dependent_offsets, plan.dependents, plan.indegrees, plan.policies
    if capacity is None:
        return ReadyQueue(*edges, AMPLE)
    lanes = array("i", (1 + rank % 8 for rank in range(len(plan))))
    return ReadyQueue(*edges, AMPLE, lanes, [(), *((gate,) for gate in range(8))], [capacity] * 8)


def next_and_complete(ready: ReadyQueue) -> None:
    while (task := ready.next()) >= 0:
        ready.complete(task, SUCCEEDED)


def complete_and_next(ready: ReadyQueue) -> None:
    task = ready.next()
    while task >= 0:
        task = ready.complete_and_next(task, SUCCEEDED)


def start_all_then_complete(ready: ReadyQueue) -> None:
    while running := list(iter(ready.next, -1)):
        for task in running:
            ready.complete(task, SUCCEEDED)


def hold_and_let_go(ready: ReadyQueue) -> None:
    while (task := ready.next()) >= 0:
        ready.hold(task)
        ready.let_go(task)
        ready.complete(ready.next(), SUCCEEDED)


def test_build(benchmark: BenchmarkFixture, graph: tgtrio.TaskGraph) -> None:
    ready = benchmark(queue, graph)
    assert ready.total == SIZE


@pytest.mark.parametrize(
    "drive", [next_and_complete, complete_and_next, hold_and_let_go], ids=lambda way: way.__name__
)
def test_drive(benchmark: BenchmarkFixture, graph: tgtrio.TaskGraph, drive: object) -> None:
    benchmark.pedantic(drive, setup=lambda: ((queue(graph),), {}), rounds=ROUNDS)


@pytest.mark.parametrize("capacity", [4, 1])
def test_drive_with_caps(
    benchmark: BenchmarkFixture, graph: tgtrio.TaskGraph, capacity: int
) -> None:
    benchmark.pedantic(
        start_all_then_complete, setup=lambda: ((queue(graph, capacity),), {}), rounds=ROUNDS
    )


def test_end_rest(benchmark: BenchmarkFixture, graph: tgtrio.TaskGraph) -> None:
    benchmark.pedantic(
        lambda ready: ready.end_rest(SUCCEEDED),
        setup=lambda: ((queue(graph),), {}),
        rounds=ROUNDS,
    )
