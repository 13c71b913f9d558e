"""The usage guide, line by line, through the public names alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    DependencyPolicy,
    RetryPolicy,
    TaskDefinition,
    TaskExecutor,
    TaskGraph,
    TaskNode,
    TaskScheduler,
    TaskState,
    create_task_scheduler,
)

from .runs import Meter, raises, sleeps
from .test_guide_services import AsyncPair

Args = dict[str, Any]


@pytest.fixture
def scheduler(tmp_path: Path) -> TaskScheduler:
    return create_task_scheduler(persona_space_path=tmp_path / "persona_space")


async def collect(args: Args) -> dict[str, Any]:
    await trio.sleep(0.25)
    return {"rows": 3, "source": args["source"]}


async def process(args: Args) -> str:
    await trio.sleep(0.5)
    return "processed"


SERVICE = {"data_collection": collect, "data_processing": process}


def workflow(**options: Any) -> TaskGraph:
    """The guide's first graph."""
    graph = TaskGraph(graph_id="my_workflow", max_parallel=5, max_retry_tokens=100, **options)
    graph.add_task(
        task_id="gather",
        action_name="data_collection",
        normalized_args={"source": "database"},
        resource_ids=["db_connection"],
        version="1.0",
        priority=10,
    )
    graph.add_task(
        task_id="process",
        action_name="data_processing",
        normalized_args={},
        resource_ids=[],
        version="1.0",
        dependencies=["gather"],
        on_dep_fail=DependencyPolicy.ABORT,
        priority=5,
        deadline=datetime.now(UTC) + timedelta(hours=1),
    )
    return graph


# The quick start


async def test_the_scheduler_runs_the_graph(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    result = await scheduler.execute_graph(
        graph=workflow(),
        persona_service=SERVICE,
        max_parallel=10,
        per_action_caps={"data_processing": 2},
    )
    assert result["graph_id"] == "my_workflow"
    assert result["total_tasks"] == 2
    assert result["elapsed_ms"] == 750.0
    assert datetime.fromisoformat(result["completed_at"]).tzinfo is not None
    assert result["statistics"]["states"]["succeeded"] == 2
    assert result["results"]["gather"]["success"] is True
    assert result["results"]["gather"].get("execution_time_ms") == 250.0
    assert not result["results"]["gather"].get("error")
    assert result["results"]["gather"]["response"] == {"rows": 3, "source": "database"}
    assert result["results"]["process"]["response"] == "processed"


async def test_a_result_has_attributes_and_items(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    result = await scheduler.execute_graph(workflow(), SERVICE)
    assert result.results["gather"].success is result["results"]["gather"]["success"] is True
    for name in result:
        assert result[name] is getattr(result, name)
    one = result.results["gather"]
    for name in one:
        assert one[name] is getattr(one, name)
    assert result.get("no such key", "default") == one.get("no such key", "default") == "default"
    with pytest.raises(TypeError):
        result["ok"] = False  # type: ignore[index]


async def test_every_state_is_counted_zeros_included(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    result = await scheduler.execute_graph(workflow(), SERVICE)
    counted = result["statistics"]["states"]
    assert set(counted) == {state.value for state in TaskState}
    for name in ("failed", "aborted", "skipped", "cancelled"):
        assert counted[name] == 0


async def test_a_failed_task_says_why_and_the_tasks_behind_it_say_who(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    async def break_down(args: Args) -> None:
        raise ConnectionError("no database")

    graph = TaskGraph(graph_id="g")
    graph.add_task("gather", "data_collection", max_retries=0)
    graph.add_task("process", "data_processing", dependencies=["gather"])
    result = await scheduler.execute_graph(
        graph=graph,
        persona_service={"data_collection": break_down, "data_processing": process},
    )
    assert result["results"]["gather"]["success"] is False
    assert "no database" in result["results"]["gather"].get("error")
    assert result["results"]["gather"]["response"] is None
    never_ran = result["results"]["process"]
    assert never_ran["state"] is TaskState.ABORTED
    assert never_ran["caused_by"] == "gather"
    assert never_ran.get("error")
    assert never_ran.get("execution_time_ms") is None


# Watching it


async def test_the_graph_tells_its_figures_while_it_runs(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    graph = workflow()
    seen: list[dict[str, Any]] = []

    async def watch() -> None:
        await trio.sleep(0.125)
        seen.append(graph.get_stats())
        await trio.sleep(0.25)
        seen.append(graph.get_stats())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        result = await scheduler.execute_graph(graph, SERVICE)
    for stats in seen:
        assert stats["total_tasks"] == 2
        assert stats["running_tasks"] == 1
        assert stats["retry_tokens_used"] == 0
        assert set(stats["states"]) == {state.value for state in TaskState}
    assert [stats["states"]["succeeded"] for stats in seen] == [0, 1]
    assert graph.get_stats() == result["statistics"]


def test_before_its_first_run_every_task_of_a_graph_is_pending() -> None:
    stats = workflow().get_stats()
    assert (stats["total_tasks"], stats["running_tasks"]) == (2, 0)
    assert stats["states"]["pending"] == 2


# How many at once


@pytest.mark.parametrize(
    ("of_the_graph", "of_the_call", "expected"),
    [(5, 10, 10), (5, 2, 2), (5, None, 5), (None, None, 100), (None, 3, 3)],
)
async def test_max_parallel_of_the_call_goes_before_that_of_the_graph(
    scheduler: TaskScheduler,
    autojump_clock: MockClock,
    of_the_graph: int | None,
    of_the_call: int | None,
    expected: int,
) -> None:
    options: dict[str, Any] = {} if of_the_graph is None else {"max_parallel": of_the_graph}
    graph = TaskGraph(graph_id="g", **options)
    graph.add_tasks(
        {"task_id": f"t{n}", "action_name": "nap", "normalized_args": {"n": n}} for n in range(120)
    )
    meter = Meter()
    call: dict[str, Any] = {} if of_the_call is None else {"max_parallel": of_the_call}
    result = await scheduler.execute_graph(
        graph=graph, persona_service={"nap": meter.naps()}, **call
    )
    assert result.ok
    assert meter.peak["all"] == expected
    assert graph.max_parallel == (of_the_graph or 100)  # the call holds for the run alone


async def test_the_graphs_limit_is_back_in_the_next_run(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    graph = TaskGraph(graph_id="g", max_parallel=2)
    graph.add_tasks(
        {"task_id": f"t{n}", "action_name": "nap", "normalized_args": {"n": n}} for n in range(6)
    )
    peaks = []
    for limit in (4, None):
        meter = Meter()
        await scheduler.execute_graph(graph, {"nap": meter.naps()}, max_parallel=limit)
        peaks.append(meter.peak["all"])
    assert peaks == [4, 2]


async def test_a_cap_bounds_one_action_and_leaves_the_others_alone(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    graph = TaskGraph(graph_id="g")
    for n in range(6):
        graph.add_task(f"slow{n}", "slow", {"n": n})
        graph.add_task(f"fast{n}", "fast", {"n": n})
    meter = Meter()
    await scheduler.execute_graph(
        graph=graph,
        persona_service={"slow": meter.naps("slow"), "fast": meter.naps("fast")},
        per_action_caps={"slow": 2},
    )
    assert meter.peak == {"slow": 2, "fast": 6}


async def test_a_limiter_is_shared_with_the_rest_of_the_program(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    limiter = trio.CapacityLimiter(2)
    graph = TaskGraph(graph_id="g")
    graph.add_task("a", "nap", {"n": 1})
    graph.add_task("b", "nap", {"n": 2})
    async with limiter:
        await scheduler.execute_graph(graph, {"nap": Meter().naps()}, max_parallel=limiter)
        assert trio.current_time() == 2.0  # one token was taken: one after the other
    assert limiter.borrowed_tokens == 0


# Single tasks


async def test_a_stored_task_is_executed_with_retries(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    calls: list[Args] = []

    async def flaky(args: Args) -> str:
        calls.append(args)
        if len(calls) < 5:
            raise ConnectionError("not yet")
        return "at last"

    scheduler.add_task(TaskDefinition("my_task", "flaky", {"n": 1}))
    one = await scheduler.execute_task_with_retry(
        task_id="my_task", persona_service={"flaky": flaky}, max_retries=5, timeout_ms=60000
    )
    assert (one.success, one.response, one.error) == (True, "at last", "")
    assert calls == [{"n": 1}] * 5
    assert one.attempts == 5


async def test_its_timeout_bounds_each_attempt(
    scheduler: TaskScheduler, autojump_clock: MockClock
) -> None:
    scheduler.add_task(TaskDefinition("my_task", "slow"))
    one = await scheduler.execute_task_with_retry(
        task_id="my_task", persona_service={"slow": sleeps(10)}, max_retries=0, timeout_ms=2000
    )
    assert not one.success
    assert one.response is None
    assert "2" in one.error
    assert trio.current_time() == 2.0


async def test_a_prompt_is_stored_with_its_task(scheduler: TaskScheduler) -> None:
    scheduler.add_task(TaskDefinition("greet", "llm_call", prompt="hello", name="Greeting"))
    one = await scheduler.execute_task_with_retry(task_id="greet", persona_service=AsyncPair())
    assert one.response == "re: hello"


def test_stored_tasks_outlive_the_scheduler(tmp_path: Path) -> None:
    definition = TaskDefinition("my_task", "act", {"n": [1, None]}, resource_ids=["db"])
    create_task_scheduler(persona_space_path=tmp_path).add_task(definition)
    scheduler = create_task_scheduler(persona_space_path=str(tmp_path))
    assert scheduler.get_task("my_task") == definition
    assert scheduler.list_tasks() == [definition]
    scheduler.delete_task("my_task")
    assert scheduler.list_tasks() == []


async def test_the_executor_executes_one_node() -> None:
    async def fn(args: Args) -> int:
        return int(args["n"]) + 1

    executor = TaskExecutor()
    node = TaskNode(
        task_id="t1",
        action_name="a",
        normalized_args={"n": 1},
        resource_ids=["r"],
        version="1.0",
    )
    r1 = await executor.execute(node=node, task_callable=fn)
    assert r1.success
    assert r1.response == 2
    assert r1["task_id"] == "t1"


async def test_the_scheduler_takes_an_executor_instead_of_its_own(tmp_path: Path) -> None:
    executor = TaskExecutor(retry=RetryPolicy(max_retries=0))
    scheduler = create_task_scheduler(tmp_path, task_executor=executor)
    scheduler.add_task(TaskDefinition("my_task", "fail"))
    one = await scheduler.execute_task_with_retry("my_task", {"fail": raises()})
    assert one.attempts == 1
