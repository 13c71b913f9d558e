"""Real task graphs, run whole with actions that do nothing, and a few in their own virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import GraphResult, TaskContext, TaskGraph, run_graph
from tgtrio._backend import COMPILED

from . import real_graphs
from .runs import Meter

LARGEST_ON_TWINS = 1_500  # tasks of a graph, where the pure Python twins run


def described(record: dict[str, Any], **options: Any) -> TaskGraph:
    graph = TaskGraph(record["name"], **options)
    extra = {"max_retries": 0, "idempotent": False}
    graph.add_tasks({**fields, **extra} for fields in real_graphs.graph_of(record))
    return graph


def records(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.jsonl.gz"
    chosen = list(real_graphs.load(path))
    if COMPILED:
        return chosen
    return [one for one in chosen if len(one["tasks"]) <= LARGEST_ON_TWINS][:10]


async def run_noop(record: dict[str, Any], max_parallel: int) -> tuple[GraphResult, list[str]]:
    started: list[str] = []

    async def noop(args: dict[str, Any], context: TaskContext) -> None:
        started.append(context.task_id)

    graph = described(record)
    result = await run_graph(
        graph,
        dict.fromkeys({fields["action"] for fields in record["tasks"]}, noop),
        max_parallel=max_parallel,
        per_action_caps=record.get("caps"),
    )
    return result, started


@pytest.mark.parametrize("name", real_graphs.FILES)
async def test_every_task_runs_once_and_after_its_dependencies(
    name: str, shared_data: Path
) -> None:
    for record in records(shared_data, name):
        result, started = await run_noop(record, max_parallel=16)
        assert result.ok, record["name"]
        assert result.total_tasks == len(record["tasks"]) == len(started)
        place = {task_id: number for number, task_id in enumerate(started)}
        assert len(place) == len(started)
        for fields in record["tasks"]:
            for dependency in fields["dependencies"]:
                assert place[dependency] < place[fields["id"]]


async def run_for_real(record: dict[str, Any], max_parallel: int) -> tuple[GraphResult, Meter]:
    """Each task takes its runtime, in virtual time."""
    meter = Meter()
    runtimes = {fields["id"]: fields["runtime_s"] for fields in record["tasks"]}

    async def work(args: dict[str, Any], context: TaskContext) -> None:
        with meter.count("all", context.action_name):
            await trio.sleep(runtimes[context.task_id])

    result = await run_graph(
        described(record),
        dict.fromkeys({fields["action"] for fields in record["tasks"]}, work),
        max_parallel=max_parallel,
        per_action_caps=record.get("caps"),
    )
    return result, meter


def lower_bounds(record: dict[str, Any], max_parallel: int) -> float:
    """No schedule is shorter than the longest path, nor than all work shared out evenly."""
    finish: dict[str, float] = {}
    runtimes: dict[str, float] = {fields["id"]: fields["runtime_s"] for fields in record["tasks"]}
    dependencies = {fields["id"]: fields["dependencies"] for fields in record["tasks"]}
    todo = list(reversed(dependencies))
    while todo:
        task_id = todo[-1]
        missing = [name for name in dependencies[task_id] if name not in finish]
        if missing:
            todo += missing
            continue
        todo.pop()
        start = max((finish[name] for name in dependencies[task_id]), default=0.0)
        finish[task_id] = start + runtimes[task_id]
    return max(max(finish.values()), sum(runtimes.values()) / max_parallel)


@pytest.mark.parametrize("name", ["jobshop", "stg50", "build-webrtc", "taskbench"])
async def test_in_virtual_time_caps_hold_and_no_slot_is_wasted(
    name: str, shared_data: Path, autojump_clock: MockClock
) -> None:
    for record in records(shared_data, name)[:12]:
        result, meter = await run_for_real(record, max_parallel=8)
        assert result.ok
        for action, cap in record.get("caps", {}).items():
            assert meter.peak[action] <= cap
        assert meter.peak["all"] <= 8
        least = lower_bounds(record, 8)
        assert result.elapsed_ms / 1000 >= least * (1 - 1e-9)
        if not record.get("caps"):  # Graham: a greedy schedule is less than twice the best
            assert result.elapsed_ms / 1000 <= 2 * least * (1 + 1e-9)
