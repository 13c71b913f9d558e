"""Runs that are kept in a store: what is written, when, and what happens if it cannot be."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from tgtrio import (
    AbortConditionMonitor,
    BreakerPolicy,
    GraphResult,
    RawStore,
    RetryPolicy,
    StoreError,
    TaskContext,
    create_task_scheduler,
    open_run,
    run_graph,
)
from tgtrio import _recorder as recorder
from tgtrio._durable import Durable
from tgtrio._store_journal import Journal

from .runs import Args, graph_of, nap, raises, returns, sleeps, states, task
from .stores import execute, until

DURABILITIES = pytest.mark.parametrize("durability", ["task", "batch"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def store(path: Path) -> Iterator[RawStore]:
    with RawStore(path) as store:
        yield store


def rows(path: Path) -> dict[str, str]:
    """The last state on disk of each task, as somebody else reads it."""
    return dict(execute(path, "SELECT task_id, state FROM executions ORDER BY id"))


def run_states(store: RawStore) -> list[str]:
    return [run.state for run in store.list_runs()]


# What is written


@DURABILITIES
async def test_every_end_of_a_task_is_on_record(path: Path, durability: str) -> None:
    graph = graph_of(
        "good",
        task("bad", action_name="bad", max_retries=1),
        task("aborted", "bad"),
        task("skipped", "bad", on_dep_fail="skip"),
        task("passed over", "skipped"),
        task("leader", action_name="nap", idempotent=True, normalized_args={"seconds": 0}),
        task("follower", action_name="nap", idempotent=True, normalized_args={"seconds": 0}),
        task("held", "good", action_name="stuck"),
    )
    with RawStore(path, durability=durability) as store:
        actions = {
            "work": returns({"x": [1, None]}),
            "bad": raises(),
            "nap": nap,
            "stuck": sleeps(600),
        }
        async with open_run(graph, actions, store=store, retry=RetryPolicy(base=0)) as run:
            await until(lambda: run.statistics()["states"]["pending"] == 0)
            await until(lambda: run.statistics()["running_tasks"] == 1)
            run.cancel("held", reason="enough")
        result = await run.wait()
        assert states(result) == {
            "good": "succeeded",
            "bad": "failed",
            "aborted": "aborted",
            "skipped": "skipped",
            "passed over": "skipped",
            "leader": "succeeded",
            "follower": "succeeded",
            "held": "cancelled",
        }
        assert rows(path) == states(result)
        written = {row.task_id: row for row in store.list_task_executions(result.run_id)}
        assert len(written) == len(store.list_task_executions())
        for task_id, one in result.results.items():
            row = written[task_id]
            assert (row.attempts, row.cached, row.late) == (one.attempts, one.cached, one.late)
            assert (row.error, row.traceback) == (one.error, one.traceback)
            assert row.response == one.response
        assert [written[t].cached for t in ("leader", "follower")] == [False, True]
        assert written["bad"].attempts == 2
        assert {t: row.blamed for t, row in written.items() if row.blamed} == {
            "aborted": "bad",
            "skipped": "bad",
            "passed over": "skipped",
        }
        (stored,) = store.list_runs()
        assert (stored.run_id, stored.state) == (result.run_id, "finished")
        assert stored.states == result.statistics["states"]


async def test_the_times_on_record_are_those_of_the_result(store: RawStore) -> None:
    result = await run_graph(graph_of("a"), {"work": sleeps(0.001)}, store=store)
    (row,), one = store.list_task_executions(), result.results["a"]
    assert row.execution_time_ms == pytest.approx(one.execution_time_ms, abs=0.01)
    assert row.started_at is not None
    assert one.started_at is not None
    assert one.finished_at is not None
    assert abs((row.started_at - one.started_at).total_seconds()) < 1e-5
    assert abs((row.finished_at - one.finished_at).total_seconds()) < 1e-5


async def test_a_follower_that_failed_with_its_leader_blames_it(store: RawStore) -> None:
    graph = graph_of(task("leader", idempotent=True), task("follower", idempotent=True))
    await run_graph(graph, {"work": raises()}, store=store)
    assert {one.task_id: one.blamed for one in store.list_task_executions()} == {
        "leader": None,
        "follower": "leader",
    }


async def test_a_graph_without_tasks_is_a_run_too(store: RawStore) -> None:
    result = await run_graph(graph_of(), {}, store=store)
    assert result.ok
    assert run_states(store) == ["finished"]


# Before the dependents


@pytest.mark.parametrize("shape", ["chain", "join", "cleanup", "served"])
async def test_no_dependent_starts_before_its_dependency_is_on_disk(path: Path, shape: str) -> None:
    served = {"idempotent": True, "normalized_args": {"needs": []}}
    graph = {
        "chain": graph_of(*(task(str(n), *[str(n - 1)] * (n > 0)) for n in range(30))),
        "join": graph_of(*"abcdef", task("join", *"abcdef"), max_parallel=3),
        "cleanup": graph_of("a", task("b", "a", on_dep_fail="always")),
        "served": graph_of(task("a", **served), task("b", **served), task("c", "a", "b")),
    }[shape]
    early: list[str] = []

    async def work(args: Args, context: TaskContext) -> str:
        on_disk = rows(path)
        needed = graph.nodes[context.task_id].dependencies
        early.extend(one for one in needed if on_disk.get(one) != "succeeded")
        return context.task_id

    with RawStore(path, durability="task") as store:
        assert (await run_graph(graph, {"work": work}, store=store)).ok
    assert not early


async def test_a_sync_action_may_look_into_the_store_too(path: Path) -> None:
    def work(args: Args) -> int:
        return len(rows(path))

    with RawStore(path, durability="task") as store:
        graph = graph_of("a", task("b", "a"), task("c", "b"))
        result = await run_graph(graph, {"work": work}, store=store)
    assert [one.response for one in result.results.values()] == [0, 1, 2]


async def test_what_waits_for_the_disk_runs_without_a_slot(path: Path) -> None:
    with (
        RawStore(path, durability="task", busy_timeout=60) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        running = []

        async def work(args: Args, context: TaskContext) -> None:
            if context.task_id == "first":
                return
            if context.task_id == "lock":
                other.execute("BEGIN IMMEDIATE")
            running.append(graph.get_stats()["running_tasks"])
            if context.task_id == "unlock":
                other.execute("ROLLBACK")

        graph = graph_of(
            "first",
            *(task(name, "first") for name in ("lock", "x", "y", "unlock")),
            max_parallel=1,
        )
        result = await run_graph(graph, {"work": work}, store=store)
    assert result.ok
    assert running == [1, 2, 3, 4]


@pytest.mark.parametrize("how", ["cancelled", "run cancelled", "aborted", "expired", "drained"])
async def test_what_waits_for_the_disk_has_succeeded_whatever_comes(path: Path, how: str) -> None:
    """The value is there, and its row under way: no other end may follow."""
    monitor = AbortConditionMonitor()
    expiry = {"deadline": datetime.now(UTC) + timedelta(seconds=0.5), "expire_at_deadline": True}
    graph = graph_of(
        "first", task("a", "first", **(expiry if how == "expired" else {})), task("b", "a")
    )
    with (
        RawStore(path, durability="task", busy_timeout=60) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):

        async def work(args: Args, context: TaskContext) -> str:
            if context.task_id == "a":
                other.execute("BEGIN IMMEDIATE")
            return context.task_id

        async with open_run(graph, {"work": work}, store=store, abort_monitor=monitor) as run:
            await until(lambda: other.in_transaction)
            if how == "cancelled":
                run.cancel("a")
            elif how == "run cancelled":
                run.cancel()
            elif how == "aborted":
                monitor.trip("stop")
            elif how == "drained":
                run._engine.drain("enough")
            await trio.sleep(0.6 if how == "expired" else 0.01)
            other.execute("ROLLBACK")
        result = await run.wait()
    assert states(result)["a"] == "succeeded"
    ends = {"cancelled": "succeeded", "expired": "succeeded", "aborted": "aborted"}
    assert states(result)["b"] == ends.get(how, "cancelled")
    assert rows(path) == states(result)


async def test_by_batches_an_end_is_on_disk_while_the_run_goes_on(path: Path) -> None:
    async def look(args: Args) -> None:
        await until(lambda: rows(path) == {"a": "succeeded"})

    with RawStore(path) as store:
        graph = graph_of("a", task("b", "a", action_name="look"))
        assert (await run_graph(graph, {"work": returns(), "look": look}, store=store)).ok


# Responses that are no JSON

LOOP: list[Any] = []
LOOP.append(LOOP)
DEEP: list[Any] = []
for _ in range(10_000):
    DEEP = [DEEP]


@DURABILITIES
@pytest.mark.parametrize(
    "response",
    [object(), {1: "x"}, {"x": {2}}, b"bytes", float("nan"), 2**70, "\ud800", LOOP, DEEP],
    ids=["object", "int key", "set", "bytes", "nan", "huge", "surrogate", "loop", "deep"],
)
async def test_a_response_that_cannot_be_kept_fails_its_task(
    path: Path, durability: str, response: object
) -> None:
    graph = graph_of(task("a", max_retries=3), task("b", "a"), task("c", "a", on_dep_fail="always"))
    breaker = BreakerPolicy(window=1, threshold=1.0)

    async def work(args: Args, context: TaskContext) -> object:
        return response if context.task_id == "a" else None

    with RawStore(path, durability=durability) as store:
        result = await run_graph(
            graph, {"work": work}, store=store, breaker=breaker, when_open="fail"
        )
    assert states(result) == {"a": "failed", "b": "aborted", "c": "succeeded"}
    assert result.statistics["breaker_states"]["work"]["state"] == "CLOSED"
    assert result.statistics["retry_tokens_used"] == 0
    one = result.results["a"]
    assert (one.attempts, one.response) == (1, None)
    assert "response" in one.error
    assert "'a'" in one.error
    assert rows(path) == states(result)


async def test_without_a_store_any_response_will_do() -> None:
    response = object()
    result = await run_graph(graph_of("a"), {"work": returns(response)})
    assert result.results["a"].response is response


# A store that fails


class Breakage:
    """Makes a real store refuse rows, by a trigger in its file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self) -> None:
        execute(
            self._path,
            "CREATE TRIGGER full BEFORE INSERT ON executions BEGIN"
            " SELECT RAISE(ABORT, 'disk full'); END",
        )

    def end(self) -> None:
        execute(self._path, "DROP TRIGGER full")


def failing_graph() -> Any:
    return graph_of(
        "a",
        task("break", "a", action_name="break"),
        task("busy", "a", action_name="busy"),
        task("next", "break"),
        task("cleanup", "break", "busy", on_dep_fail="always"),
    )


@DURABILITIES
async def test_a_store_that_fails_ends_the_run_with_what_is_known(
    path: Path, durability: str
) -> None:
    breakage, ends, began = Breakage(path), [], trio.Event()

    async def busy(args: Args) -> None:
        began.set()
        try:
            await trio.sleep(600)
        finally:
            ends.append("busy")

    async def break_it(args: Args) -> None:
        await began.wait()
        breakage.begin()

    actions = {"work": sleeps(0), "break": break_it, "busy": busy}
    living = trio.lowlevel.current_statistics().tasks_living
    with RawStore(path, durability=durability) as store:
        graph = failing_graph()
        graph.add_task("later", "later", dependencies=["break"], idempotent=False)
        with pytest.raises(StoreError, match="disk full") as caught:
            await run_graph(graph, {**actions, "later": sleeps(600)}, store=store)
        result = caught.value.result
        assert isinstance(result, GraphResult)
        ended = states(result)
        assert ended.pop("break") == ("cancelled" if durability == "task" else "succeeded")
        assert ended.pop("next") == ("cancelled" if durability == "task" else "succeeded")
        assert ended == {
            "a": "succeeded",
            "busy": "cancelled",
            "later": "cancelled",
            "cleanup": "cancelled",
        }
        assert not result.ok
        assert "disk full" in result.results["busy"].error
        assert ends == ["busy"]
        assert trio.lowlevel.current_statistics().tasks_living == living
        assert graph.get_stats()["running_tasks"] == 0

        breakage.end()  # and it goes on where it was
        again = await run_graph(
            graph,
            {**dict.fromkeys(["break", "busy", "later"], nap_shortly), "work": raises()},
            store=store,
        )
        assert again.run_id == result.run_id
        assert again.results["a"].cached
        assert states(again)["busy"] == "succeeded"


async def test_a_store_that_fails_at_the_very_end_is_told(path: Path) -> None:
    breakage = Breakage(path)

    async def work(args: Args) -> str:
        breakage.begin()
        return "done"

    with RawStore(path) as store:
        with pytest.raises(StoreError, match="disk full") as caught:
            await run_graph(graph_of("a"), {"work": work}, store=store)
        assert caught.value.result.results["a"].response == "done"
        assert not caught.value.result.ok
        assert run_states(store) == ["crashed"]  # it is taken up again


async def test_the_end_of_a_run_that_cannot_be_written_is_told(store: RawStore, path: Path) -> None:
    execute(
        path,
        "CREATE TRIGGER full BEFORE UPDATE ON incarnations BEGIN"
        " SELECT RAISE(ABORT, 'disk full'); END",
    )
    with pytest.raises(StoreError, match="disk full") as caught:
        await run_graph(graph_of("a"), {"work": returns()}, store=store)
    assert states(caught.value.result) == {"a": "succeeded"}


@DURABILITIES
async def test_a_store_that_is_closed_meanwhile_ends_the_run(path: Path, durability: str) -> None:
    store = RawStore(path, durability=durability)
    before = set(threading.enumerate())

    async def close(args: Args) -> None:
        store.close()

    graph = failing_graph()
    with pytest.raises(StoreError, match="closed"):
        await run_graph(
            graph, {"work": returns(), "break": close, "busy": sleeps(600)}, store=store
        )
    assert graph.get_stats()["running_tasks"] == 0
    assert graph.get_stats()["states"]["pending"] == graph.get_stats()["states"]["ready"] == 0
    assert not [thread for thread in set(threading.enumerate()) - before if "store" in thread.name]


async def test_a_store_that_is_closed_before_it_refuses_the_run(store: RawStore) -> None:
    store.close()
    calls = []

    async def work(args: Args) -> None:
        calls.append(args)

    graph = graph_of("a")
    with pytest.raises(StoreError, match="is closed"):
        await run_graph(graph, {"work": work}, store=store)
    assert not calls
    assert (await run_graph(graph, {"work": work})).ok


async def test_a_store_that_cannot_be_written_refuses_the_run(path: Path) -> None:
    with (
        RawStore(path, busy_timeout=0) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        calls = []

        async def work(args: Args) -> None:
            calls.append(args)

        with pytest.raises(StoreError, match="locked"):
            await run_graph(graph_of("a"), {"work": work}, store=store)
        assert not calls


# Other ends


@DURABILITIES
async def test_cancelled_from_outside_everything_is_on_disk(path: Path, durability: str) -> None:
    graph = graph_of("a", task("b", "a", action_name="stuck"), task("c", "b"))

    async def stuck(args: Args) -> None:
        scope.cancel()
        await trio.sleep(600)

    with RawStore(path, durability=durability) as store:
        with trio.CancelScope() as scope:
            await run_graph(graph, {"work": returns(), "stuck": stuck}, store=store)
        assert scope.cancelled_caught
        assert rows(path) == {"a": "succeeded", "b": "cancelled", "c": "cancelled"}
        assert run_states(store) == ["cancelled"]


@DURABILITIES
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_after_an_interrupt_everything_is_on_disk(
    path: Path, durability: str, error: type[BaseException]
) -> None:
    graph = graph_of("a", task("b", "a", action_name="stop"), task("c", "b"))
    with RawStore(path, durability=durability) as store:
        with pytest.raises(error):
            await run_graph(graph, {"work": returns(), "stop": raises(error)}, store=store)
        assert rows(path) == {"a": "succeeded", "b": "cancelled", "c": "cancelled"}
        assert run_states(store) == ["interrupted"]


@pytest.mark.parametrize("moment", ["flush", "close"])
async def test_a_second_interrupt_leaves_nothing_locked_or_running(
    path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(self: Durable, *args: object) -> None:
        raise KeyboardInterrupt("again")

    graph = graph_of("a", task("b", "a", action_name="stop"), task("c", "b"))
    actions = {"work": returns(), "stop": raises(KeyboardInterrupt)}
    with RawStore(path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(Durable, moment, interrupted)
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await run_graph(graph, actions, store=store)
        ended = graph.get_stats()["states"]
        assert ended["succeeded"] + ended["cancelled"] == 3
        assert run_states(store) == ["crashed"]
        assert (await run_graph(graph, {"work": nap, "stop": nap}, store=store)).ok


async def test_a_run_ends_although_all_threads_of_trio_are_taken(store: RawStore) -> None:
    limiter = trio.to_thread.current_default_thread_limiter()
    tokens = [object() for _ in range(int(limiter.available_tokens))]
    for token in tokens:
        limiter.acquire_on_behalf_of_nowait(token)
    try:
        with trio.fail_after(30):
            assert (await run_graph(graph_of("a"), {"work": nap_shortly}, store=store)).ok
    finally:
        for token in tokens:
            limiter.release_on_behalf_of(token)


async def nap_shortly(args: Args) -> None:
    await trio.lowlevel.checkpoint()


# Too much to write


class Backlog:
    """Makes the store slow, and remembers how much waited for it at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = self.bytes = 0
        write, put, backlog = Journal.write, Journal.put, self

        def slow_write(self: Journal, connection: Any, entries: Any) -> None:
            time.sleep(0.005)
            write(self, connection, entries)

        def watched_put(self: Journal, entry: Any) -> int:
            number = put(self, entry)
            waiting = list(self._entries)
            backlog.rows = max(backlog.rows, self.backlog)
            size = sum(len(one[1]) for one in waiting if type(one) is tuple and len(one) == 2)
            backlog.bytes = max(backlog.bytes, size)
            return number

        monkeypatch.setattr(Journal, "write", slow_write)
        monkeypatch.setattr(Journal, "put", watched_put)


@DURABILITIES
async def test_while_many_rows_wait_nothing_starts(
    path: Path, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MOST_ROWS", 40)
    backlog = Backlog(monkeypatch)
    graph = graph_of(*(str(n) for n in range(1_000)), max_parallel=10)
    with RawStore(path, durability=durability) as store:
        assert (await run_graph(graph, {"work": nap_shortly}, store=store)).ok
    assert set(rows(path).values()) == {"succeeded"}
    assert 30 < backlog.rows <= 40 + 10 + 1


async def test_while_many_bytes_wait_nothing_starts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MOST_BYTES", 100_000)
    monkeypatch.setattr(recorder, "BYTES_A_MARK", 10_000)
    backlog = Backlog(monkeypatch)
    graph = graph_of(*(str(n) for n in range(500)), max_parallel=10)
    with RawStore(path) as store:
        result = await run_graph(graph, {"work": returns("x" * 4_998)}, store=store)
    assert result.ok
    assert 60_000 < backlog.bytes <= 100_000 + 10_000 + 10 * 5_000


async def test_a_run_that_waits_for_its_store_can_be_cancelled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MOST_ROWS", 5)
    Backlog(monkeypatch)
    graph = graph_of(*(str(n) for n in range(500)), max_parallel=10)
    with RawStore(path) as store:
        async with open_run(graph, {"work": nap_shortly}, store=store) as run:
            await until(lambda: run.statistics()["states"]["succeeded"] >= 20)
            run.cancel()
        result = await run.wait()
        assert rows(path) == states(result)
        assert run_states(store) == ["cancelled"]


# Threads


async def test_a_run_leaves_no_thread_but_that_of_the_store(path: Path) -> None:
    def stores() -> list[str]:
        return [thread.name for thread in threading.enumerate() if "tgtrio" in thread.name]

    with RawStore(path) as store:
        assert stores() == []
        await run_graph(graph_of("a"), {"work": returns()}, store=store)
        assert len(stores()) == 1
        await run_graph(graph_of("a"), {"work": returns()}, store=store)
        assert len(stores()) == 1
    assert stores() == []


# What others made


async def test_a_response_that_is_changed_later_is_kept_as_it_was(path: Path) -> None:
    shared: list[Any] = [1]

    async def work(args: Args, context: TaskContext) -> list[Any]:
        if context.task_id != "a":
            shared.append(context.task_id)
        return shared

    with RawStore(path) as store:
        await run_graph(graph_of("a", task("b", "a")), {"work": work}, store=store)
        written = {row.task_id: row.response for row in store.list_task_executions()}
    assert written == {"a": [1], "b": [1, "b"]}


@DURABILITIES
async def test_a_cached_response_that_cannot_be_kept_fails_its_task(
    path: Path, durability: str
) -> None:
    scheduler = create_task_scheduler(path.parent / "space")
    graph = graph_of(task("a", idempotent=True), task("b", "a", on_dep_fail="always"))
    actions = {"work": returns(object())}
    first = await scheduler.execute_graph(graph, actions, reuse="executor")
    assert first.ok
    with RawStore(path, durability=durability) as store:
        result = await scheduler.execute_graph(graph, actions, reuse="executor", store=store)
        assert states(result)["a"] == "failed"
        assert "response" in result.results["a"].error
        assert run_states(store) == ["finished"]


@DURABILITIES
async def test_a_follower_is_served_what_its_leader_returned_however_that_is_changed(
    path: Path, durability: str
) -> None:
    """A response that is no JSON any more must not bring the program down."""
    shared: list[Any] = [1]

    async def leader(args: Args) -> list[Any]:
        return shared

    async def spoil(args: Args) -> None:
        shared.append(object())

    same = {"action_name": "leader", "idempotent": True}
    graph = graph_of(
        task("first", action_name="first"),
        task("a", "first", **same),
        task("b", "first", **same),
        task("spoil", "first"),
        max_parallel=1,
    )
    with RawStore(path, durability=durability) as store:
        result = await run_graph(
            graph, {"leader": leader, "work": spoil, "first": returns()}, store=store
        )
    ended = states(result)
    assert ended.pop("b") in ("succeeded", "failed")
    assert set(ended.values()) == {"succeeded"}
    assert rows(path)["a"] == "succeeded"


@DURABILITIES
async def test_a_file_that_is_removed_during_the_run_ends_it(path: Path, durability: str) -> None:
    async def remove(args: Args) -> None:
        os.unlink(path)
        await trio.sleep(0.1)

    with RawStore(path, durability=durability) as store:
        graph = graph_of("a", task("b", "a", action_name="remove"), task("c", "b"))
        with pytest.raises(StoreError, match="removed or replaced") as caught:
            await run_graph(graph, {"work": nap, "remove": remove}, store=store)
    assert caught.value.result is not None
    assert not caught.value.result.ok
