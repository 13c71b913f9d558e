"""Equal work where a store must keep it, and when a run is resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    RawStore,
    StoreError,
    TaskExecutor,
    TaskNode,
    create_task_scheduler,
    open_run,
    run_graph,
)
from tgtrio._arguments import output_of
from tgtrio._durable import Durable
from tgtrio._retry import NonRetryable

from .runs import Args, graph_of, returns, sleeps, states, task
from .stores import execute
from .test_run_sharing import Calls, cached, same


@pytest.fixture(params=["batch", "task"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RawStore]:
    with RawStore(tmp_path / "s.db", durability=request.param) as store:
        yield store


def rows(store: RawStore) -> set[tuple[str, str, bool]]:
    return {(one.task_id, one.state, one.cached) for one in store.list_task_executions()}


async def test_who_was_served_has_a_row_too(store: RawStore, patient_clock: MockClock) -> None:
    calls = Calls()
    graph = graph_of(*same("a", "b"), *same("c", dependencies=["b"]), task("d", "c"))
    result = await run_graph(graph, {"work": calls}, store=store)
    assert result.ok
    assert calls.tasks == ["a", "d"]
    assert rows(store) == {
        ("a", "succeeded", False),
        ("b", "succeeded", True),
        ("c", "succeeded", True),
        ("d", "succeeded", False),
    }


async def test_who_failed_with_its_leader_has_a_row_too(
    store: RawStore, patient_clock: MockClock
) -> None:
    graph = graph_of(*same("a", "b"))
    await run_graph(graph, {"work": Calls(NonRetryable("no"))}, store=store)
    assert rows(store) == {("a", "failed", False), ("b", "failed", False)}


async def test_a_leader_whose_value_is_no_json_fails_its_followers(store: RawStore) -> None:
    result = await run_graph(graph_of(*same("a", "b")), {"work": returns({1, 2})}, store=store)
    assert states(result) == {"a": "failed", "b": "failed"}
    assert result.results["b"].caused_by == "a"
    assert {one.response for one in result.results.values()} == {None}


async def test_a_follower_that_is_cancelled_before_it_is_on_disk_was_not_served(
    tmp_path: Path,
) -> None:
    """Its leader has succeeded, and what the follower was served is about to be written."""
    graph = graph_of(*same("a", "b"))
    with RawStore(tmp_path / "s.db", durability="task") as store:
        async with open_run(graph, {"work": returns(5)}, store=store) as run:
            while not run.statistics()["cached_tasks"]:
                await trio.lowlevel.checkpoint()
            assert run.statistics()["states"]["succeeded"] == 1
            run.cancel("b")
    result = await run.wait()
    assert states(result) == {"a": "succeeded", "b": "cancelled"}
    b = result.results["b"]
    assert (b.response, b.cached, b.finished_at) == (None, False, None)
    assert result.statistics["cached_tasks"] == 0


async def test_a_resumed_run_serves_what_it_had_done_before(
    store: RawStore, patient_clock: MockClock
) -> None:
    """What follows comes only after the crash."""
    graph = graph_of(*same("a"), task("p", action_name="nap"), *same("b", "c", dependencies=["p"]))
    calls = Calls()
    async with open_run(graph, {"work": calls, "nap": sleeps(60)}, store=store) as run:
        await trio.sleep(30)
        run.cancel()
    result = await run_graph(graph, {"work": calls, "nap": sleeps(1)}, store=store)
    assert result.run_id == run.run_id
    assert calls.tasks == ["a"]
    assert cached(result) == {"a", "b", "c"}
    assert {result.results[name].response["by"] for name in "abc"} == {"a"}


async def test_a_resumed_leader_that_had_failed_is_tried_again(
    store: RawStore, patient_clock: MockClock
) -> None:
    graph = graph_of(*same("a", "b"), task("p", action_name="nap"))
    calls = Calls(NonRetryable("no"))
    async with open_run(graph, {"work": calls, "nap": sleeps(60)}, store=store) as run:
        await trio.sleep(30)
        run.cancel()
    result = await run_graph(graph, {"work": calls, "nap": sleeps(1)}, store=store)
    assert calls.tasks == ["a", "a"]
    assert cached(result) == {"b"}


@pytest.mark.parametrize("reuse", ["run", "store"])
async def test_runs_of_one_store_reuse_if_asked_to(
    reuse: Any, store: RawStore, patient_clock: MockClock
) -> None:
    calls = Calls()
    graph = graph_of(
        task("source", action_name="source"),
        *same("a", "b"),
        *same("c", "d", normalized_args={"x": output_of("source")}),
        *same("x", idempotent=False),
    )
    actions = {"work": calls, "source": returns(3)}
    results = [await run_graph(graph, actions, store=store, reuse=reuse) for _ in range(2)]
    assert cached(results[0]) == {"b", "d"}
    assert cached(results[1]) == ({"a", "b", "c", "d"} if reuse == "store" else {"b", "d"})
    assert sorted(calls.tasks) == sorted("acx" + ("x" if reuse == "store" else "acx"))


@pytest.fixture
def slow_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store takes ten seconds to find something."""
    look_up = Durable.look_up

    async def slowly(*args: Any) -> dict[str, object]:
        await trio.sleep(10)
        return await look_up(*args)

    monkeypatch.setattr(Durable, "look_up", slowly)


async def test_nothing_starts_before_the_store_has_answered(
    store: RawStore, patient_clock: MockClock, slow_look_ups: None
) -> None:
    calls = Calls()
    graph = graph_of(*same("a", "b"), *same("other", idempotent=False))
    results = [
        await run_graph(graph, {"work": calls}, store=store, reuse="store") for _ in range(2)
    ]
    assert cached(results[1]) == {"a", "b"}
    assert sorted(calls.tasks) == ["a", "other", "other"]
    assert results[1].elapsed_ms < 12_000


async def test_who_leads_next_waits_for_the_answer_too(
    store: RawStore, patient_clock: MockClock, slow_look_ups: None
) -> None:
    calls = Calls()
    await run_graph(graph_of(*same("a", normalized_args={"x": 3})), {"work": calls}, store=store)
    graph = graph_of(
        task("source", action_name="source"),
        *same("b", "c", normalized_args={"x": output_of("source")}),
    )
    actions = {"work": calls, "source": returns(3)}
    async with open_run(graph, actions, store=store, reuse="store", breaker=None) as run:
        await trio.sleep(15)  # the first look-up is that of what is known before the run
        run.cancel("b")
    assert calls.tasks == ["a"]
    assert states(await run.wait()) == {"source": "succeeded", "b": "cancelled", "c": "succeeded"}


async def test_what_an_executor_knows_but_no_store_can_keep_is_done_anew(
    store: RawStore, tmp_path: Path
) -> None:
    executor = TaskExecutor()
    await executor.execute(TaskNode("t", "work", {"work": 1}), returns({1, 2}))
    scheduler = create_task_scheduler(tmp_path, task_executor=executor)

    async def work(args: Args) -> list[int]:
        return [1, 2]

    result = await scheduler.execute_graph(
        graph_of(*same("a", "b")), {"work": work}, store=store, reuse="executor"
    )
    assert [one.response for one in result.results.values()] == [[1, 2], [1, 2]]
    assert cached(result) == {"b"}
    assert result.statistics["cached_tasks"] == 1


async def test_a_resumed_run_serves_whoever_comes_first(
    store: RawStore, patient_clock: MockClock
) -> None:
    graph = graph_of(*same("a"), task("p", action_name="nap"), *same("b", dependencies=["p"]))
    async with open_run(graph, {"work": Calls(), "nap": sleeps(60)}, store=store) as run:
        await trio.sleep(30)
        run.cancel()
    graph = graph_of(
        *same("a", dependencies=["q"]),
        task("q", action_name="nap2"),
        task("p", action_name="nap"),
        *same("b", dependencies=["p"]),
    )
    calls = Calls()
    result = await run_graph(
        graph, {"work": calls, "nap": sleeps(1), "nap2": sleeps(30)}, store=store
    )
    assert calls.tasks == []
    assert result.results["b"].cached


async def test_a_damaged_response_is_told_whoever_comes_first(
    tmp_path: Path, store: RawStore, patient_clock: MockClock
) -> None:
    graph = graph_of(*same("a"), task("p", action_name="nap"))
    async with open_run(graph, {"work": Calls(), "nap": sleeps(60)}, store=store) as run:
        await trio.sleep(30)
        run.cancel()
    execute(tmp_path / "s.db", "UPDATE executions SET response = '{' WHERE task_id = 'a'")
    graph = graph_of(*same("a", dependencies=["p"]), task("p", action_name="nap"), *same("b"))
    with pytest.raises(StoreError, match="task 'a': response cannot be read"):
        await run_graph(graph, {"work": Calls(), "nap": sleeps(1)}, store=store)
