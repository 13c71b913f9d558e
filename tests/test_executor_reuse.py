"""Runs that reuse what an executor knows: `reuse="executor"`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    RetryPolicy,
    TaskExecutor,
    create_task_scheduler,
    output_of,
)
from tgtrio._retry import NonRetryable

from .runs import Args, graph_of, returns, task
from .test_executor_sharing import node, walls
from .test_run_sharing import Calls, cached, same

__all__ = ["walls"]  # the fixture

# A run that reuses what the executor knows


@pytest.fixture
def executor() -> TaskExecutor:
    return TaskExecutor()


@pytest.fixture
def run(executor: TaskExecutor, tmp_path: Path) -> Any:
    scheduler = create_task_scheduler(tmp_path, task_executor=executor)

    async def run(action: object, *tasks: Any, **options: Any) -> Any:
        options = {"reuse": "executor", **options}
        graph = graph_of(*(tasks or same("a", "b")))
        return await scheduler.execute_graph(graph, {"work": action}, **options)

    return run


async def test_runs_reuse_each_others_work_if_asked_to(
    run: Any, executor: TaskExecutor, autojump_clock: MockClock
) -> None:
    calls = Calls()
    first, second = [await run(calls) for _ in range(2)]
    assert calls.tasks == ["a"]
    assert [cached(one) for one in (first, second)] == [{"b"}, {"a", "b"}]
    assert second.elapsed_ms == 0
    assert second.statistics["cached_tasks"] == 2
    assert (await executor.execute(node("c"), calls)).cached
    third = await run(calls, reuse="run")
    assert cached(third) == {"b"}


async def test_a_run_that_does_not_ask_leaves_the_executor_as_it_was(
    run: Any, executor: TaskExecutor, autojump_clock: MockClock
) -> None:
    await run(Calls(), reuse="run")
    assert len(executor.cache) == 0


async def test_a_run_reuses_what_was_executed_alone(
    run: Any, executor: TaskExecutor, autojump_clock: MockClock
) -> None:
    await executor.execute(node(), returns("alone"))
    calls = Calls()
    result = await run(
        calls, *same("a"), *same("x", idempotent=False), *same("y", version="2"), task("z", "a")
    )
    assert result.results["a"].response == "alone"
    assert sorted(calls.tasks) == ["x", "y", "z"]
    assert cached(result) == {"a"}


@pytest.mark.parametrize(("ttl", "served"), [(None, True), (10, True), (9.5, False)])
async def test_what_is_too_old_is_done_again(
    run: Any, ttl: float | None, served: bool, autojump_clock: MockClock, walls: None
) -> None:
    calls = Calls()
    await run(calls)
    await trio.sleep(10)
    assert (cached(await run(calls, reuse_ttl=ttl)) == {"a", "b"}) is served
    assert len(calls.tasks) == 2 - served


async def test_what_was_served_does_not_get_younger(
    run: Any, autojump_clock: MockClock, walls: None
) -> None:
    calls = Calls()
    for _ in range(3):
        await run(calls, reuse_ttl=10)
        await trio.sleep(6)
    assert calls.at == [0, 13]


async def test_failures_of_runs_are_never_cached(run: Any, autojump_clock: MockClock) -> None:
    calls = Calls(NonRetryable("no"))
    assert not (await run(calls)).ok
    assert (await run(calls)).ok
    assert len(calls.tasks) == 2


async def test_what_has_begun_in_a_run_is_ended_there(
    run: Any, executor: TaskExecutor, autojump_clock: MockClock
) -> None:
    async def work(args: Args, context: Any) -> str:
        if context.attempt == 0:
            await executor.execute(node(version="2"), returns("alone"))
            raise OSError
        return "in the run"

    result = await run(work, *same("a", version="2", max_retries=1), retry=RetryPolicy(base=1))
    assert (result.results["a"].response, result.results["a"].cached) == ("in the run", False)


async def test_a_run_that_opts_out_neither_reads_nor_writes_the_cache(
    run: Any, executor: TaskExecutor, autojump_clock: MockClock
) -> None:
    await executor.execute(node(), returns("alone"))
    calls = Calls()
    result = await run(calls, *same("a", "b"), *same("c", version="2"), idempotent=False)
    assert (len(calls.tasks), cached(result)) == (3, set())
    assert len(executor.cache) == 1


async def test_reuse_serves_inputs_as_well(
    run: Any, executor: TaskExecutor, autojump_clock: MockClock
) -> None:
    tasks = [*same("a"), *same("b", normalized_args={"x": output_of("a")})]
    calls = Calls()
    results = [await run(calls, *tasks) for _ in range(2)]
    assert calls.tasks == ["a", "b"]
    assert cached(results[1]) == {"a", "b"}
    assert results[0].results["b"].response == results[1].results["b"].response


async def test_a_small_cache_of_an_executor_bounds_runs_too(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    executor, calls = TaskExecutor(cache_size=3), Calls()
    scheduler = create_task_scheduler(tmp_path, task_executor=executor)
    graph = graph_of(*(same(f"t{n}", version=f"{n}")[0] for n in range(10)), max_parallel=1)
    for _ in range(2):
        await scheduler.execute_graph(graph, {"work": calls}, reuse="executor")
        assert len(executor.cache) == 3
    assert len(calls.tasks) == 20


async def test_no_warning_of_distinct_work_that_is_reused(
    run: Any, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    tasks = [same(f"t{n}", normalized_args={}, version=f"{n}")[0] for n in range(30)]
    for _ in range(2):
        result = await run(Calls(), *tasks)
    assert result.statistics["cached_tasks"] == 30
    assert caplog.records == []
