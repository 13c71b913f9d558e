"""Which run is taken up again, what is found of it, and how crashes are counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tgtrio._errors import GraphRunningError, InvalidTypeError, InvalidValueError, StoreError
from tgtrio._store import RawStore
from tgtrio._store_records import Committed

from .stores import NOON, child, execute, is_whole, open_journal, read_line, row, run_once

CRASH = """
import sys, threading
from tgtrio._store import RawStore
path, *starts = sys.argv[1:]
done = threading.Event()
journal = RawStore(path).open_journal(
    "g", total_tasks=3, on_written=lambda n: n == len(starts) and done.set(), on_error=print
)
for task in starts:
    last = journal.put_start(task)
journal.flush()
done.wait(30)
print("in flight", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def store(path: Path) -> Iterator[RawStore]:
    with RawStore(path) as store:
        yield store


# Which run


def test_after_a_run_that_is_over_a_new_one_begins(store: RawStore) -> None:
    first = run_once(store, row("a"), state="finished")
    journal = open_journal(store)
    assert journal.run_id != first
    assert (journal.resumed, journal.committed, journal.crashes) == (False, {}, {})
    journal.close()
    assert [run.run_id for run in store.list_runs()] == [journal.run_id, first]


@pytest.mark.parametrize(
    "state", ["cancelled", "timed_out", "drained", "aborted", "interrupted", "?", None]
)
def test_a_run_that_is_not_over_is_resumed(store: RawStore, state: str | None) -> None:
    first = run_once(store, row("a"), state=state)
    journal = open_journal(store)
    assert (journal.run_id, journal.resumed) == (first, True)
    journal.close()
    (run,) = store.list_runs()
    assert run.resumptions == 1


def test_the_latest_run_decides(store: RawStore) -> None:
    run_once(store, state="cancelled", run_id="old")
    run_once(store, state="finished", run_id="new")
    assert run_once(store) not in ("old", "new")


def test_a_run_is_over_once_a_resumption_ended_it(store: RawStore) -> None:
    first = run_once(store, state="cancelled")
    assert run_once(store, state="finished") == first
    assert run_once(store) != first


def test_graphs_do_not_resume_each_other(store: RawStore) -> None:
    first = run_once(store, graph_id="one", state="cancelled")
    assert run_once(store, graph_id="two") != first
    assert run_once(store, graph_id="one") == first


def test_a_named_run_is_begun_and_then_resumed_whatever_its_state(store: RawStore) -> None:
    assert run_once(store, row("a"), run_id="r") == "r"
    journal = open_journal(store, run_id="r")
    assert journal.resumed
    assert list(journal.committed) == ["a"]
    journal.close()


def test_a_run_of_another_graph_is_refused(store: RawStore) -> None:
    run_once(store, graph_id="one", run_id="r")
    with pytest.raises(InvalidValueError, match=r"'r'.*'one'.*'two'"):
        open_journal(store, "two", "r")
    assert not open_journal(store, "two").resumed


@pytest.mark.parametrize(
    ("run_id", "error"), [("", InvalidValueError), (7, InvalidTypeError), ("\ud800", ValueError)]
)
def test_a_run_id_is_a_name(store: RawStore, run_id: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="graph 'g': run_id is"):
        open_journal(store, run_id=run_id)
    assert store.list_runs() == []


# Once at a time


def test_a_run_that_is_executed_is_refused(store: RawStore) -> None:
    journal = open_journal(store)
    for run_id in (None, journal.run_id):
        with pytest.raises(GraphRunningError, match=f"graph 'g': its run '{journal.run_id}'"):
            open_journal(store, run_id=run_id)
    assert store.list_runs()[0].resumptions == 0
    open_journal(store, run_id="another").close()
    open_journal(store, "other graph").close()
    journal.close()


def test_a_run_is_free_once_its_journal_is_closed(store: RawStore) -> None:
    journal = open_journal(store)
    journal.close()
    assert store.list_runs()[0].state == "crashed"
    again = open_journal(store)
    assert store.list_runs()[0].state == "running"
    journal.close()  # the second time it lets go of nothing
    assert store.list_runs()[0].state == "running"
    again.close()


def test_a_run_that_cannot_be_read_is_let_go(store: RawStore, path: Path) -> None:
    run_once(store, row("a"), state=None)
    execute(path, "UPDATE executions SET response = NULL")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"run '.*', task 'a': response cannot be read"):
            open_journal(store)


def test_a_process_that_was_killed_holds_nothing(store: RawStore, path: Path) -> None:
    with child(CRASH, path, "a") as process:
        assert read_line(process) == "in flight"
        assert store.list_runs()[0].state == "running"
        with pytest.raises(GraphRunningError):
            open_journal(store)
        process.kill()
        process.wait()
    assert store.list_runs()[0].state == "crashed"
    assert is_whole(path)
    journal = open_journal(store)
    assert journal.resumed
    assert journal.crashes == {"a": 1}
    journal.close()


# What is found


def test_successes_of_earlier_incarnations_are_found(store: RawStore) -> None:
    run_once(
        store,
        row("a", idempotency_key="k", response=[1], attempts=3, late=True),
        row("b", "failed"),
        row("c", "cancelled"),
        state="cancelled",
    )
    run_once(store, row("c", response=None, started_at=None, execution_ms=None), state=None)
    journal = open_journal(store)
    assert journal.committed == {
        "a": Committed("k", b"[1]", 3, True, NOON, NOON + 1, 1_000.0),
        "c": Committed(None, b"null", 1, False, None, NOON + 1, None),
    }
    journal.close()


def test_the_latest_success_of_a_task_counts(store: RawStore) -> None:
    run_once(store, row("a", response="old"), run_id="r")
    run_once(store, row("a", response="new"), run_id="r")
    run_once(store, row("a", "failed"), run_id="r")
    journal = open_journal(store, run_id="r")
    assert journal.committed["a"].response == b'"new"'
    journal.close()


def test_what_other_runs_did_is_not_found(store: RawStore) -> None:
    run_once(store, row("a"), run_id="r")
    run_once(store, row("b"), run_id="s")
    journal = open_journal(store, run_id="r")
    assert list(journal.committed) == ["a"]
    journal.close()


# Crashes


def crashes(store: RawStore) -> dict[str, int]:
    journal = open_journal(store)
    journal.finish("drained", {})  # or it would be a crash itself
    journal.close()
    return journal.crashes


def test_crashes_in_a_row_are_counted(store: RawStore) -> None:
    for _ in range(10):
        run_once(store, state=None, starts=("a", "b", "a"))
    run_once(store, state=None, starts=("a",))
    assert crashes(store) == {"a": 11, "b": 10}


def test_a_task_may_start_again_and_again(store: RawStore) -> None:
    journal = open_journal(store)
    for _ in range(3):  # its retries
        journal.put_start("a")
        journal.wait()
    journal.close()
    assert crashes(store) == {"a": 1}


def test_a_task_that_ended_did_not_crash(store: RawStore) -> None:
    run_once(store, row("a", "failed"), state=None, starts=("a", "b"))
    assert crashes(store) == {"b": 1}


def test_a_success_ends_the_row(store: RawStore) -> None:
    run_once(store, state=None, starts=("a",))
    run_once(store, row("b"), state=None, starts=("a", "b"))
    assert crashes(store) == {}
    run_once(store, state=None, starts=("a",))
    assert crashes(store) == {"a": 1}


@pytest.mark.parametrize("state", ["cancelled", "timed_out", "drained", "interrupted"])
def test_a_clean_end_ends_the_row(store: RawStore, state: str) -> None:
    run_once(store, state=None, starts=("a",))
    run_once(store, state=state, starts=("a",))
    run_once(store, state=None, starts=("a",))
    assert crashes(store) == {"a": 1}


def test_a_crash_before_anything_was_in_flight_does_not_end_the_row(store: RawStore) -> None:
    run_once(store, state=None, starts=("a",))
    run_once(store, state=None)
    assert crashes(store) == {"a": 1}


def test_starts_go_with_a_clean_end(store: RawStore, path: Path) -> None:
    run_once(store, row("a"), starts=("a", "b"))
    assert execute(path, "SELECT * FROM starts") == []


def test_thousands_of_starts_are_counted(store: RawStore) -> None:
    names = tuple(f"t{n}" for n in range(5_000))
    run_once(store, state=None, starts=names)
    assert crashes(store) == dict.fromkeys(names, 1)
