"""The patterns of the usage guide, through the public names alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    DependencyPolicy,
    GraphResult,
    TaskGraph,
    TaskScheduler,
    create_task_scheduler,
    output_of,
)

from .runs import Meter, raises, returns, states

Args = dict[str, Any]


@pytest.fixture
def scheduler(tmp_path: Path) -> TaskScheduler:
    return create_task_scheduler(persona_space_path=tmp_path)


async def run_pattern(graph: TaskGraph, scheduler: TaskScheduler, **actions: Any) -> GraphResult:
    return await scheduler.execute_graph(graph, actions)


async def test_fan_out_and_in(scheduler: TaskScheduler, autojump_clock: MockClock) -> None:
    graph = TaskGraph(graph_id="fan", max_parallel=10)
    graph.add_task("start", "work", {"n": -1})
    workers = [f"worker_{n}" for n in range(10)]
    for n, worker in enumerate(workers):
        graph.add_task(worker, "work", {"n": n}, dependencies=["start"])
    graph.add_task("join", "join", {"parts": [output_of(worker) for worker in workers]})

    async def work(args: Args) -> int:
        await trio.sleep(1)
        return int(args["n"])

    async def join(args: Args) -> int:
        return sum(args["parts"])

    result = await run_pattern(graph, scheduler, work=work, join=join)
    assert result["results"]["join"]["response"] == 45
    assert result["elapsed_ms"] == 2000.0


async def test_a_pipeline_hands_each_output_on(scheduler: TaskScheduler) -> None:
    async def step(args: Args) -> str:
        return str(args["text"]) + str(args["then"])

    graph = TaskGraph(graph_id="pipeline")
    graph.add_task("extract", "step", {"text": "", "then": "e"})
    graph.add_task("transform", "step", {"text": output_of("extract"), "then": "t"})
    graph.add_task("load", "step", {"text": output_of("transform"), "then": "l"})
    result = await run_pattern(graph, scheduler, step=step)
    assert result["results"]["load"]["response"] == "etl"
    assert graph.nodes["load"].dependencies == ("transform",)


@pytest.mark.parametrize("primary", ["succeeded", "failed"])
async def test_a_fallback_that_continues_runs_whatever_became_of_the_primary(
    scheduler: TaskScheduler, autojump_clock: MockClock, primary: str
) -> None:
    graph = TaskGraph(graph_id="fallback")
    graph.add_task("primary", "primary", max_retries=0)
    graph.add_task(
        "fallback",
        "fallback",
        dependencies=["primary"],
        on_dep_fail=DependencyPolicy.CONTINUE_IF_ANY,
    )
    action = returns(1) if primary == "succeeded" else raises()
    result = await run_pattern(graph, scheduler, primary=action, fallback=returns("plan b"))
    assert states(result) == {"primary": primary, "fallback": "succeeded"}


@pytest.mark.parametrize(
    ("primary", "fallback"), [("succeeded", "skipped"), ("failed", "succeeded")]
)
async def test_a_fallback_on_failure_runs_only_then(
    scheduler: TaskScheduler, autojump_clock: MockClock, primary: str, fallback: str
) -> None:
    graph = TaskGraph(graph_id="fallback")
    graph.add_task("primary", "primary", max_retries=0)
    graph.add_task(
        "fallback", "fallback", dependencies=["primary"], on_dep_fail=DependencyPolicy.ON_FAILURE
    )
    action = returns(1) if primary == "succeeded" else raises()
    result = await run_pattern(graph, scheduler, primary=action, fallback=returns("plan b"))
    assert states(result) == {"primary": primary, "fallback": fallback}


@pytest.mark.parametrize("failing", [(), ("a",), ("a", "b")])
async def test_a_cleanup_always_runs(
    scheduler: TaskScheduler, autojump_clock: MockClock, failing: tuple[str, ...]
) -> None:
    graph = TaskGraph(graph_id="cleanup")
    for name in ("a", "b"):
        graph.add_task(name, "fail" if name in failing else "work", max_retries=0)
    for policy in (DependencyPolicy.ALWAYS, DependencyPolicy.CONTINUE_IF_ANY):
        graph.add_task(policy.value, "work", dependencies=["a", "b"], on_dep_fail=policy)
    result = await run_pattern(graph, scheduler, work=returns(1), fail=raises())
    assert states(result)["always"] == "succeeded"
    # The guide's own cleanup does not run when nothing succeeded.
    if_any = "aborted" if len(failing) == 2 else "succeeded"
    assert states(result)["continue_if_any"] == if_any


async def test_a_task_of_policy_skip_is_skipped_behind_a_failure(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    graph = TaskGraph(graph_id="optional")
    graph.add_task("base", "fail", max_retries=0)
    graph.add_task("extra", "work", dependencies=["base"], on_dep_fail=DependencyPolicy.SKIP)
    result = await run_pattern(graph, scheduler, work=returns(1), fail=raises())
    assert states(result) == {"base": "failed", "extra": "skipped"}


async def test_priorities_then_deadlines_then_insertion_order_what_is_ready(
    scheduler: TaskScheduler,
) -> None:
    started: list[str] = []

    async def act(args: Args, context: Any) -> None:
        started.append(context.task_id)

    soon = datetime.now(UTC) + timedelta(hours=1)
    graph = TaskGraph(graph_id="ordered", max_parallel=1)
    graph.add_task("plain", "act", {"n": 0})
    graph.add_task("later", "act", {"n": 1}, deadline=soon + timedelta(hours=1))
    graph.add_task("soon", "act", {"n": 2}, deadline=soon)
    graph.add_task("urgent", "act", {"n": 3}, priority=10)
    graph.add_task("last", "act", {"n": 4})
    await run_pattern(graph, scheduler, act=act)
    assert started == ["urgent", "soon", "later", "plain", "last"]


async def test_a_deadline_that_has_passed_orders_and_does_not_kill(
    scheduler: TaskScheduler,
) -> None:
    graph = TaskGraph(graph_id="late")
    graph.add_task("t", "act", deadline=datetime(2020, 1, 1, tzinfo=UTC))
    result = await run_pattern(graph, scheduler, act=returns(1))
    assert result["results"]["t"]["success"]
    assert result["results"]["t"]["deadline_missed"]


async def test_resources_bound_the_tasks_that_name_them(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    graph = TaskGraph(graph_id="shared")
    for n in range(4):
        graph.add_task(f"t{n}", "nap", {"n": n}, resource_ids=["db_connection"])
    meter = Meter()
    await scheduler.execute_graph(graph, {"nap": meter.naps()}, resource_caps={"db_connection": 1})
    assert meter.peak["all"] == 1
