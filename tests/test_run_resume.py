"""Which run of a graph is taken up again, and what is not done twice in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tgtrio import (
    AbortConditionMonitor,
    GraphResult,
    GraphRunningError,
    InvalidValueError,
    RawStore,
    StoreError,
    TaskGraph,
    open_run,
    output_of,
    run_graph,
)

from .runs import Args, AsyncAction, graph_of, raises, returns, run_script, sleeps, states, task
from .stores import child, execute, read_line


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def store(path: Path) -> Iterator[RawStore]:
    with RawStore(path) as store:
        yield store


class Calls(Counter[str]):
    """Counts the calls of an action by the argument `id`; each call returns what `value` says."""

    def __init__(self) -> None:
        super().__init__()
        self.value: Callable[[Args], object] = lambda args: f"made {args['id']}"

    async def __call__(self, args: Args) -> object:
        await trio.lowlevel.checkpoint()
        self[args["id"]] += 1
        return self.value(args)


@pytest.fixture
def calls() -> Calls:
    return Calls()


def named(task_id: str, *dependencies: str, **fields: Any) -> dict[str, Any]:
    """A task whose arguments name it."""
    fields["normalized_args"] = {"id": task_id, **fields.pop("args", {})}
    return task(task_id, *dependencies, **fields)


def two_steps() -> TaskGraph:
    """The first task works, and the second one is what ends the run."""
    return graph_of(named("a"), named("b", "a", action_name="second"))


# -- ends of a run -----------------------------------------------------------------------


async def cancel(store: RawStore, work: AsyncAction) -> None:
    async def second(args: Args) -> None:
        run.cancel()
        await trio.sleep(600)

    async with open_run(two_steps(), {"work": work, "second": second}, store=store) as run:
        pass


async def cancel_outside(store: RawStore, work: AsyncAction) -> None:
    async def second(args: Args) -> None:
        scope.cancel()
        await trio.sleep(600)

    with trio.CancelScope() as scope:
        await run_graph(two_steps(), {"work": work, "second": second}, store=store)


async def time_out(store: RawStore, work: AsyncAction) -> None:
    graph = TaskGraph("g", graph_timeout_ms=300)
    graph.add_tasks(two_steps().nodes.values())
    result = await run_graph(graph, {"work": work, "second": sleeps(600)}, store=store)
    assert result.timed_out


async def drain(store: RawStore, work: AsyncAction) -> None:
    async def first(args: Args) -> object:
        nursery.start_soon(run.drain)
        await trio.sleep(0.01)
        return await work(args)

    async with trio.open_nursery() as nursery:
        actions = {"work": first, "second": returns()}
        async with open_run(two_steps(), actions, store=store) as run:
            pass


async def interrupt(store: RawStore, work: AsyncAction) -> None:
    with pytest.raises(KeyboardInterrupt):
        await run_graph(
            two_steps(), {"work": work, "second": raises(KeyboardInterrupt)}, store=store
        )


async def abort(store: RawStore, work: AsyncAction) -> None:
    monitor = AbortConditionMonitor()

    async def second(args: Args) -> None:
        monitor.trip("stop")
        await trio.sleep(600)

    result = await run_graph(
        two_steps(), {"work": work, "second": second}, store=store, abort_monitor=monitor
    )
    assert result.aborted_reason == "stop"


async def finish(store: RawStore, work: AsyncAction) -> None:
    assert (await run_graph(two_steps(), {"work": work, "second": returns()}, store=store)).ok


async def fail(store: RawStore, work: AsyncAction) -> None:
    result = await run_graph(two_steps(), {"work": work, "second": raises()}, store=store)
    assert states(result)["b"] == "failed"


CRASH = """
import os
import trio
from tgtrio import RawStore, TaskGraph, run_graph

async def work(args):
    return "made a"

async def second(args):
    os._exit(9)

graph = TaskGraph("g")
graph.add_task("a", "work", {{"id": "a"}}, max_retries=0, idempotent=False)
graph.add_task("b", "second", {{"id": "b"}}, dependencies=["a"], max_retries=0, idempotent=False)
with RawStore({path!r}, durability="task") as store:
    trio.run(lambda: run_graph(graph, {{"work": work, "second": second}}, store=store))
"""


async def crash(store: RawStore, work: AsyncAction) -> None:
    await work({"id": "a"})
    assert run_script(CRASH.format(path=store.path)).returncode == 9


End = Callable[[RawStore, AsyncAction], Awaitable[None]]


@pytest.mark.parametrize("end", [cancel, cancel_outside, time_out, drain, interrupt, abort, crash])
async def test_a_run_that_did_not_come_to_its_end_is_taken_up_again(
    end: End, store: RawStore, calls: Calls
) -> None:
    await end(store, calls)
    (before,) = store.list_runs()
    result = await run_graph(two_steps(), {"work": calls, "second": returns()}, store=store)
    assert result.ok
    assert result.run_id == before.run_id
    assert calls == {"a": 1}
    one = result.results["a"]
    assert (one.response, one.cached, one.attempts) == ("made a", True, 0)
    (after,) = store.list_runs()
    assert (after.state, after.resumptions) == ("finished", 1)
    assert after.states["succeeded"] == 2


@pytest.mark.parametrize("end", [finish, fail])
async def test_a_run_that_is_over_is_followed_by_another(
    end: End, store: RawStore, calls: Calls
) -> None:
    await end(store, calls)
    (before,) = store.list_runs()
    result = await run_graph(two_steps(), {"work": calls, "second": returns()}, store=store)
    assert result.run_id != before.run_id
    assert calls == {"a": 2}
    assert len(store.list_runs()) == 2


@pytest.mark.parametrize("end", [finish, fail, abort, cancel])
async def test_a_run_that_is_named_is_taken_up_again_whatever_its_end(
    end: End, store: RawStore, calls: Calls
) -> None:
    await end(store, calls)
    (before,) = store.list_runs()
    actions = {"work": calls, "second": returns()}
    result = await run_graph(two_steps(), actions, store=store, run_id=before.run_id)
    assert result.ok
    assert result.run_id == before.run_id
    assert calls == {"a": 1}


async def test_a_new_name_begins_a_run_although_the_latest_did_not_end(
    store: RawStore, calls: Calls
) -> None:
    await cancel(store, calls)
    actions = {"work": calls, "second": returns()}
    result = await run_graph(two_steps(), actions, store=store, run_id="mine")
    assert result.run_id == "mine"
    assert calls == {"a": 2}
    assert store.list_runs()[0].run_id == "mine"


async def test_the_run_of_another_graph_is_refused_before_anything_runs(
    store: RawStore, calls: Calls
) -> None:
    actions = {"work": calls, "second": calls}
    await run_graph(two_steps(), actions, store=store, run_id="mine")
    with pytest.raises(InvalidValueError, match="is a run of graph 'g', not of graph 'other'"):
        await run_graph(graph_of(named("x"), graph_id="other"), actions, store=store, run_id="mine")
    assert not calls["x"]


async def test_graphs_of_another_id_have_runs_of_their_own(store: RawStore, calls: Calls) -> None:
    await cancel(store, calls)
    await run_graph(graph_of(named("a"), graph_id="other"), {"work": calls}, store=store)
    assert calls == {"a": 2}
    assert {(run.graph_id, run.state) for run in store.list_runs()} == {
        ("g", "cancelled"),
        ("other", "finished"),
    }


# -- what is not repeated ----------------------------------------------------------------


async def twice(
    store: RawStore,
    calls: Calls,
    first: TaskGraph,
    second: TaskGraph | None = None,
    **options: Any,
) -> GraphResult:
    """Run a graph, all but the last task; then resume it, perhaps as another graph."""
    stop: dict[str, AsyncAction] = {"work": calls, "stop": raises(KeyboardInterrupt)}
    first.add_task("stop", "stop", dependencies=list(first.nodes), on_dep_fail="always")
    with pytest.raises(KeyboardInterrupt):
        await run_graph(first, stop, store=store)
    calls.clear()
    return await run_graph(
        second or first, {"work": calls, "stop": returns()}, store=store, **options
    )


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_committed_success_is_not_repeated(
    idempotent: bool, store: RawStore, calls: Calls
) -> None:
    graph = graph_of(*(named(t, idempotent=idempotent) for t in "abc"))
    result = await twice(store, calls, graph)
    assert result.ok
    assert not calls
    assert {one.response for one in result.results.values()} == {"made a", "made b", "made c", None}
    assert result.statistics["cached_tasks"] == 3


@pytest.mark.parametrize("before", [True, False])
async def test_nor_is_it_when_the_resumed_run_shares_less_or_more(
    before: bool, store: RawStore, calls: Calls
) -> None:
    first = graph_of(named("a", idempotent=before))
    second = graph_of(named("a", idempotent=not before))
    await twice(store, calls, first, second)
    assert not calls


async def test_nor_is_it_when_the_whole_run_is_not_idempotent_any_more(
    store: RawStore, calls: Calls
) -> None:
    await twice(store, calls, graph_of(named("a", idempotent=True)), idempotent=False)
    assert not calls


@pytest.mark.parametrize(
    "change",
    [
        {"args": {"more": 1}},
        {"version": "2"},
        {"resource_ids": ["db"]},
    ],
)
@pytest.mark.parametrize("idempotent", [True, False])
async def test_work_that_has_changed_is_done_again(
    change: dict[str, Any], idempotent: bool, store: RawStore, calls: Calls
) -> None:
    first = graph_of(named("a", idempotent=idempotent), named("b", idempotent=idempotent))
    second = graph_of(
        named("a", idempotent=idempotent, **change), named("b", idempotent=idempotent)
    )
    assert (await twice(store, calls, first, second)).ok
    assert calls == {"a": 1}


async def test_the_same_work_under_another_name_is_done_again(
    store: RawStore, calls: Calls
) -> None:
    second = graph_of(task("b", normalized_args={"id": "a"}))
    assert (await twice(store, calls, graph_of(named("a")), second)).ok
    assert calls == {"a": 1}


async def test_what_failed_or_was_cancelled_is_tried_again(store: RawStore, calls: Calls) -> None:
    def value(args: Args) -> str:
        if args["id"] == "bad":
            raise ValueError("broken")
        return "made"

    calls.value = value
    graph = graph_of(named("good"), named("bad"), named("next", "bad"))
    result = await twice(store, calls, graph)
    assert calls == {"bad": 1}
    assert states(result) == {
        "good": "succeeded",
        "bad": "failed",
        "next": "aborted",
        "stop": "succeeded",
    }


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize(("later", "repeated"), [("old", {"a": 1}), ("new", {"a": 1, "b": 1})])
async def test_work_with_inputs_is_repeated_if_they_have_changed(
    later: str, repeated: dict[str, int], idempotent: bool, store: RawStore, calls: Calls
) -> None:
    def graph(version: str) -> TaskGraph:
        return graph_of(
            named("a", version=version, idempotent=idempotent),
            named("b", args={"input": [output_of("a")]}, idempotent=idempotent),
        )

    def value(args: Args) -> object:
        return args.get("input", said)

    said = "old"
    calls.value = value
    result = await twice(store, calls, graph("1"))
    assert result.results["b"].response == ["old"]
    said = later
    result = await run_graph(graph("2"), {"work": calls}, store=store, run_id=result.run_id)
    assert calls == repeated
    assert result.results["b"].response == [later]


async def test_work_whose_input_was_unavailable_is_not_repeated(
    store: RawStore, calls: Calls
) -> None:
    async def bad(args: Args) -> None:
        raise ValueError("broken")

    async def work(args: Args) -> object:
        calls[args["id"]] += 1
        return str(args["input"])

    graph = graph_of(
        task("a", action_name="bad"),
        named("b", "a", args={"input": output_of("a")}, on_dep_fail="always"),
        task("stop", "b", action_name="stop"),
    )
    actions: dict[str, AsyncAction] = {"work": work, "bad": bad}
    with pytest.raises(KeyboardInterrupt):
        await run_graph(graph, {**actions, "stop": raises(KeyboardInterrupt)}, store=store)
    result = await run_graph(graph, {**actions, "stop": returns()}, store=store)
    assert calls == {"b": 1}
    assert result.results["b"].response.startswith("Unavailable")


async def test_dependents_of_what_is_not_repeated_get_its_response(
    store: RawStore, calls: Calls
) -> None:
    calls.value = lambda args: {"deep": [args["id"], None, 1.5]}
    await twice(store, calls, graph_of(named("a")))
    got = []

    async def look(args: Args) -> None:
        got.append(args["input"])

    graph = graph_of(
        named("a"), task("b", action_name="look", normalized_args={"input": output_of("a")})
    )
    (run,) = store.list_runs()
    await run_graph(graph, {"work": calls, "look": look}, store=store, run_id=run.run_id)
    assert got == [{"deep": ["a", None, 1.5]}]
    assert not calls


async def test_a_value_that_came_late_is_not_made_again(store: RawStore, calls: Calls) -> None:
    async def late(args: Args) -> object:
        run.cancel()
        return calls.value(args)

    async with open_run(graph_of(named("a"), named("b", "a")), {"work": late}, store=store) as run:
        pass
    assert states(await run.wait()) == {"a": "succeeded", "b": "cancelled"}
    result = await run_graph(graph_of(named("a"), named("b", "a")), {"work": calls}, store=store)
    assert calls == {"b": 1}
    assert result.run_id == run.run_id


async def test_a_run_can_be_taken_up_many_times(store: RawStore, calls: Calls) -> None:
    graph = graph_of(*(named(str(n), *[str(n - 1)] * (n > 0)) for n in range(6)))

    def value(args: Args) -> object:
        if calls[args["id"]] == 1:
            raise KeyboardInterrupt
        return None

    calls.value = value
    for _ in range(6):
        with pytest.raises(KeyboardInterrupt):
            await run_graph(graph, {"work": calls}, store=store)
    assert (await run_graph(graph, {"work": calls}, store=store)).ok
    assert calls == {str(n): 2 for n in range(6)}
    (run,) = store.list_runs()
    assert run.resumptions == 6


async def test_a_committed_response_that_is_damaged_is_told_by_name(
    path: Path, store: RawStore, calls: Calls
) -> None:
    await cancel(store, calls)
    (run,) = store.list_runs()
    execute(path, "UPDATE executions SET response = '{' WHERE state = 'succeeded'")
    with pytest.raises(StoreError, match="'a': response cannot be read") as caught:
        await run_graph(two_steps(), {"work": calls, "second": returns()}, store=store)
    assert run.run_id in str(caught.value)
    assert calls == {"a": 1}


# -- over all runs -----------------------------------------------------------------------


async def test_the_store_never_serves_failures(store: RawStore, calls: Calls) -> None:
    def fail(args: Args) -> None:
        raise ValueError("broken")

    calls.value = fail
    graph = graph_of(named("a", idempotent=True))
    for _ in range(2):
        result = await run_graph(graph, {"work": calls}, store=store, reuse="store")
        assert states(result) == {"a": "failed"}
    assert calls == {"a": 2}


async def test_the_store_serves_other_runs_and_graphs_where_it_is_asked_to(
    store: RawStore, calls: Calls
) -> None:
    def graph(graph_id: str) -> TaskGraph:
        return graph_of(
            named("a", idempotent=True),
            named("b", "a", args={"input": output_of("a")}, idempotent=True),
            named("own", idempotent=False),
            graph_id=graph_id,
        )

    calls.value = lambda args: args.get("input", "from a")
    await run_graph(graph("one"), {"work": calls}, store=store)
    assert calls == {"a": 1, "b": 1, "own": 1}
    await run_graph(graph("two"), {"work": calls}, store=store)
    assert calls == {"a": 2, "b": 2, "own": 2}
    result = await run_graph(graph("three"), {"work": calls}, store=store, reuse="store")
    assert calls == {"a": 2, "b": 2, "own": 3}
    assert result.results["b"].response == "from a"
    assert [one.cached for one in result.results.values()] == [True, True, False]
    again = await run_graph(graph("one"), {"work": calls}, store=store, reuse="store")
    assert again.run_id != result.run_id
    assert calls == {"a": 2, "b": 2, "own": 4}


async def test_what_is_older_than_its_ttl_is_made_anew(
    path: Path, store: RawStore, calls: Calls
) -> None:
    graph = graph_of(named("a", idempotent=True), named("b", idempotent=True))
    await run_graph(graph, {"work": calls}, store=store)
    execute(path, "UPDATE executions SET finished_at = finished_at - 3600 WHERE task_id = 'a'")
    await run_graph(graph, {"work": calls}, store=store, reuse="store", reuse_ttl=1800)
    assert calls == {"a": 2, "b": 1}
    await run_graph(graph, {"work": calls}, store=store, reuse="store", reuse_ttl=1800)
    assert calls == {"a": 2, "b": 1}


async def test_a_ttl_may_be_longer_than_time(store: RawStore, calls: Calls) -> None:
    graph = graph_of(named("a", idempotent=True))
    for _ in range(2):
        await run_graph(graph, {"work": calls}, store=store, reuse="store", reuse_ttl=1e300)
    assert calls == {"a": 1}


async def test_what_the_store_serves_keeps_its_age(
    path: Path, store: RawStore, calls: Calls
) -> None:
    """Served from an old response, a task must not make it young."""
    graph = graph_of(named("a", idempotent=True))
    await run_graph(graph, {"work": calls}, store=store)
    execute(path, "UPDATE executions SET finished_at = finished_at - 1000")
    await run_graph(graph, {"work": calls}, store=store, reuse="store", reuse_ttl=1800)
    assert calls == {"a": 1}
    execute(path, "UPDATE executions SET finished_at = finished_at - 1000")
    await run_graph(graph, {"work": calls}, store=store, reuse="store", reuse_ttl=1800)
    assert calls == {"a": 2}


async def test_a_response_of_another_run_that_is_damaged_is_told_by_name(
    path: Path, store: RawStore, calls: Calls
) -> None:
    graph = graph_of(named("a", idempotent=True))
    await run_graph(graph, {"work": calls}, store=store)
    execute(path, "UPDATE executions SET response = '{'")
    with pytest.raises(StoreError, match="'a': response cannot be read") as caught:
        await run_graph(graph, {"work": calls}, store=store, reuse="store")
    assert caught.value.result is not None
    assert calls == {"a": 1}


# -- at the same time --------------------------------------------------------------------


async def test_a_run_is_executed_once_at_a_time(store: RawStore, calls: Calls) -> None:
    inside = trio.Event()

    async def stuck(args: Args) -> None:
        inside.set()
        await trio.sleep(600)

    async with open_run(graph_of(named("a")), {"work": stuck}, store=store) as run:
        await inside.wait()
        twin = graph_of(named("a"))
        with pytest.raises(GraphRunningError, match=run.run_id):
            await run_graph(twin, {"work": calls}, store=store)
        with RawStore(store.path) as another, pytest.raises(GraphRunningError):
            await run_graph(twin, {"work": calls}, store=another)
        with pytest.raises(GraphRunningError):
            await run_graph(twin, {"work": calls}, store=store, run_id=run.run_id)
        assert not calls
        assert (await run_graph(twin, {"work": calls}, store=store, run_id="mine")).ok
        run.cancel()
    assert (await run_graph(twin, {"work": calls}, store=store)).ok


RUN = """
import sys
import trio
from tgtrio import RawStore, TaskGraph, run_graph

async def work(args):
    print("running", flush=True)
    await trio.to_thread.run_sync(sys.stdin.readline)

graph = TaskGraph("g")
graph.add_task("a", "work", {"id": "a"}, max_retries=0, idempotent=False)
with RawStore(sys.argv[1]) as store:
    trio.run(lambda: run_graph(graph, {"work": work}, store=store))
"""


async def test_another_process_that_executes_the_run_is_noticed_and_so_is_its_death(
    store: RawStore, calls: Calls
) -> None:
    with child(RUN, store.path) as process:
        assert read_line(process) == "running"
        (run,) = store.list_runs()
        assert run.state == "running"
        with pytest.raises(GraphRunningError):
            await run_graph(graph_of(named("a")), {"work": calls}, store=store)
        assert not calls
        process.kill()
        process.wait()
    result = await run_graph(graph_of(named("a")), {"work": calls}, store=store)
    assert result.ok
    assert result.run_id == run.run_id
