"""What was in flight when the program crashed: how it is counted, and given up in the end."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from tgtrio import (
    CrashLoopError,
    Instrument,
    RawStore,
    Run,
    RunInfo,
    TaskGraph,
    TaskState,
    open_run,
    run_graph,
)
from tgtrio._store_journal import Journal

from .runs import graph_of, run_script, states
from .stores import open_journal, row, run_once, until
from .test_run_resume import Calls, calls, named, path, store

__all__ = ["calls", "path", "store"]  # fixtures


def crash_often(store: RawStore, count: int, *starts: str) -> None:
    for _ in range(count):
        run_once(store, state=None, starts=starts)


def crashers() -> TaskGraph:
    return graph_of(
        named("bad"),
        named("next", "bad"),
        named("cleanup", "bad", on_dep_fail="always"),
        named("other"),
    )


async def test_a_task_that_was_in_flight_at_ten_crashes_is_not_tried_again(
    store: RawStore, calls: Calls
) -> None:
    crash_often(store, 10, "bad")
    result = await run_graph(crashers(), {"work": calls}, store=store)
    assert calls == {"other": 1, "cleanup": 1}
    assert states(result) == {
        "bad": "failed",
        "next": "aborted",
        "cleanup": "succeeded",
        "other": "succeeded",
    }
    bad = result.results["bad"]
    assert isinstance(bad.exception, CrashLoopError)
    assert "'bad'" in bad.error
    assert "10 crashes" in bad.error
    assert bad.attempts == 0
    assert result.results["next"].caused_by == "bad"
    written = {row.task_id: row.state for row in store.list_task_executions(result.run_id)}
    assert written == states(result)
    (run,) = store.list_runs()
    assert run.state == "finished"
    again = await run_graph(crashers(), {"work": calls}, store=store)  # another run
    assert again.ok


async def test_nor_is_what_is_the_same_work(store: RawStore, calls: Calls) -> None:
    crash_often(store, 10, "bad")
    graph = graph_of(
        named("bad", idempotent=True),
        named("twin", args={"id": "bad"}, idempotent=True),
        named("alone", args={"id": "bad"}, idempotent=False),
    )
    result = await run_graph(graph, {"work": calls}, store=store)
    assert states(result) == {"bad": "failed", "twin": "failed", "alone": "succeeded"}
    assert "task 'bad', which is the same work, was in flight" in result.results["twin"].error


async def test_nor_is_it_when_it_is_added_to_the_run(store: RawStore, calls: Calls) -> None:
    crash_often(store, 10, "bad")
    async with open_run(TaskGraph("g"), {"work": calls}, store=store) as run:
        run.add_task(**named("early"), action_name="work")
        await trio.testing.wait_all_tasks_blocked(0.01)
        for one in named("bad", idempotent=True), named("next", "bad"):
            run.add_task(**one, action_name="work")
        run.add_task(**named("twin", args={"id": "bad"}), action_name="work")
        run.add_task(**named("alone", args={"id": "bad"}, idempotent=False), action_name="work")
    assert states(await run.wait()) == {
        "early": "succeeded",
        "bad": "failed",
        "next": "aborted",
        "twin": "failed",
        "alone": "succeeded",
    }


async def test_nor_before_the_run_has_begun(store: RawStore, calls: Calls) -> None:
    """Whatever wants a worker in this moment, as an order through the handle does."""

    class Orders(Instrument):
        def run_started(self, info: RunInfo) -> None:
            runs[-1].set_max_parallel(5)

    runs: list[Run] = []
    for _ in range(10):  # Trio resumes its tasks in any order
        crash_often(store, 10, "bad")
        orders = open_run(
            graph_of(named("bad")), {"work": calls}, store=store, instruments=[Orders()]
        )
        async with orders as run:
            runs.append(run)
    assert calls == {}


async def test_nine_crashes_are_not_enough(store: RawStore, calls: Calls) -> None:
    crash_often(store, 9, "bad")
    assert (await run_graph(crashers(), {"work": calls}, store=store)).ok


@pytest.mark.parametrize("state", ["cancelled", "interrupted", None])
async def test_an_end_that_was_no_crash_and_a_success_begin_the_count_anew(
    state: str | None, store: RawStore, calls: Calls
) -> None:
    crash_often(store, 5, "bad")
    successes = () if state else (row("progress"),)
    run_once(store, *successes, state=state, starts=("bad",))
    crash_often(store, 9, "bad")
    assert (await run_graph(crashers(), {"work": calls}, store=store)).ok


COUNTED = """
import os, sys
import trio
from tgtrio import RawStore, TaskGraph, run_graph

path, progress, cap = sys.argv[1], sys.argv[2] == "True", int(sys.argv[3])

async def good(args):
    return None

async def work(args):
    await trio.sleep(0.1)
    os._exit(9)

graph = TaskGraph("g", max_parallel=20)
if progress:
    graph.add_task("good", "good", dict(n=os.getpid()), max_retries=0)
after = ["good"] if progress else []
for n in range(10):
    graph.add_task(f"bad{n}", "work", dict(n=n), dependencies=after, max_retries=0)
with RawStore(path, durability="task") as store:
    trio.run(lambda: run_graph(graph, dict(good=good, work=work), store=store,
                               per_action_caps=dict(work=cap)))
"""


def crash_counts(path: Path, progress: bool, cap: int) -> dict[str, int]:
    """What is counted of two real crashes."""
    for _ in range(2):
        done = run_script(
            f"import sys; sys.argv = ['', {str(path)!r}, '{progress}', '{cap}']\n" + COUNTED
        )
        assert done.returncode == 9, done.stderr
    with RawStore(path) as store:
        journal = open_journal(store)
        journal.close()
    return journal.crashes


@pytest.mark.parametrize("cap", [1, 3, 10])
def test_only_what_was_in_flight_is_counted(path: Path, cap: int) -> None:
    assert crash_counts(path, progress=False, cap=cap) == {f"bad{n}": 2 for n in range(cap)}


BACKING_OFF = """
import os, sys
import trio
from tgtrio import RawStore, TaskGraph, run_graph

async def fails(args):
    raise ValueError("again later")

async def crashes(args):
    await trio.sleep(0.1)
    os._exit(9)

graph = TaskGraph("g")
graph.add_task("innocent", "fails", priority=1)
graph.add_task("bad", "crashes")
with RawStore({path!r}) as store:
    trio.run(lambda: run_graph(graph, dict(fails=fails, crashes=crashes), store=store, seed=2))
"""


def test_what_backs_off_is_not_in_flight(path: Path) -> None:
    assert run_script(BACKING_OFF.format(path=str(path))).returncode == 9
    with RawStore(path) as store:
        journal = open_journal(store)
        journal.close()
    assert journal.crashes == {"bad": 1}


async def test_the_timeout_of_an_attempt_does_not_count_the_wait_for_the_disk(
    store: RawStore, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Journal.write

    def slowly(self: Journal, connection: Any, entries: Any) -> None:
        time.sleep(0.3)
        write(self, connection, entries)

    monkeypatch.setattr(Journal, "write", slowly)
    graph = graph_of(named("a", task_timeout_ms=100, max_retries=0))
    result = await run_graph(graph, {"work": calls}, store=store)
    assert result.ok
    assert result.results["a"].attempts == 1


async def test_cancelled_while_its_start_is_written_a_task_has_not_been_attempted(
    store: RawStore, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()
    write = Journal.write

    def slowly(self: Journal, connection: Any, entries: Any) -> None:
        slow.wait()
        write(self, connection, entries)

    monkeypatch.setattr(Journal, "write", slowly)
    async with open_run(graph_of(named("a"), "b"), {"work": calls}, store=store) as run:
        await until(lambda: run.statistics()["running_tasks"] == 2)
        run.cancel("a", reason="not wanted")
        await until(lambda: run.statistics()["running_tasks"] == 1)
        slow.set()
        run.cancel()
    one = (await run.wait()).results["a"]
    assert (one.state, one.attempts, one.started_at) == (TaskState.CANCELLED, 0, None)
    assert not calls


def test_a_crash_after_a_success_is_not_counted(path: Path) -> None:
    assert crash_counts(path, progress=True, cap=10) == {}
