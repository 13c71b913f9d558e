"""When what was put is on disk, who is told, and what happens if it cannot be written."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tgtrio import _store, _store_writer
from tgtrio._errors import StoreError
from tgtrio._store import RawStore
from tgtrio._store_schema import connect

from .stores import Told, execute, is_whole, open_journal, row

FOREVER = 1e6  # seconds: as long as nobody asks, the writer waits for more


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def lazy(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RawStore]:
    """A store whose writer waits until it is asked to write."""
    monkeypatch.setitem(_store._DURABILITIES, "batch", FOREVER)
    with RawStore(path) as store:
        yield store


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else writes."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def full_disk(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """The writer finds the disk full, until the next call."""

    def connect_full(*args: Any) -> sqlite3.Connection:
        connection = connect(*args)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(_store_writer, "connect", connect_full)


# When


def test_numbers_count_what_was_put(lazy: RawStore) -> None:
    told = Told()
    journal = open_journal(lazy, told=told)
    assert journal.put_start("a") == 1
    assert journal.put(row("a")) == 2
    assert journal.put(row("b")) == 3
    assert journal.backlog == 3
    assert told.written == []
    journal.flush()
    told.wait_written(3)
    assert journal.backlog == 0
    assert journal.finish("finished", {}) == 4
    journal.close()
    assert told.written == [3, 4]


def test_what_was_told_is_on_disk(path: Path) -> None:
    with RawStore(path) as store:
        seen: list[tuple[int, int]] = []

        def on_written(number: int) -> None:
            ((count,),) = execute(path, "SELECT count(*) FROM executions")
            seen.append((number, count))

        journal = store.open_journal("g", total_tasks=1, on_written=on_written, on_error=print)
        for n in range(500):
            journal.put(row(f"t{n}"))
            if n % 100 == 0:
                journal.flush()
        journal.close()
    assert all(number <= count for number, count in seen)
    assert seen[-1] == (500, 500)


def test_the_first_row_of_a_batch_sets_the_time(path: Path) -> None:
    with RawStore(path) as store:
        told = Told()
        journal = open_journal(store, told=told)
        journal.put(row("a"))
        told.wait_written(1)  # nobody asked for it
        journal.put(row("b"))
        told.wait_written(2)
        journal.close()


def test_a_full_batch_does_not_wait(lazy: RawStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store_writer, "FULL", 10)
    told = Told()
    journal = open_journal(lazy, told=told)
    for n in range(10):
        journal.put(row(f"t{n}"))
    told.wait_written(10)
    for n in range(25):
        journal.put(row(f"u{n}"))
    journal.close()
    assert told.written[-1] == 35
    assert max(b - a for a, b in zip([0, *told.written], told.written, strict=False)) <= 10


def test_task_durability_waits_for_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_store._DURABILITIES, "batch", FOREVER)
    with RawStore(path, durability="task") as store:
        told = Told()
        journal = open_journal(store, told=told)
        for n in range(1, 50):
            journal.put(row(f"t{n}"))
            told.wait_written(n)
        journal.close()


def put_once_while_writing(monkeypatch: pytest.MonkeyPatch, put: Callable[[], object]) -> None:
    """Something is put after the writer has counted what is there, and before it is written."""

    def connect_and_put(*args: Any) -> sqlite3.Connection:
        put()
        return connect(*args)

    monkeypatch.setattr(_store_writer, "connect", connect_and_put)


def test_what_is_put_while_the_writer_writes_is_not_forgotten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawStore(path) as store:
        told = Told()
        journal = open_journal(store, told=told)
        put_once_while_writing(monkeypatch, lambda: journal.put(row("b")))
        journal.put(row("a"))
        told.wait_written(2)
        assert told.written == [1, 2]
        journal.close()


def test_a_batch_that_fills_while_the_writer_writes_does_not_wait(
    lazy: RawStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_store_writer, "FULL", 10)
    told = Told()
    journal = open_journal(lazy, told=told)

    def put_ten() -> None:
        for n in range(10):
            journal.put(row(f"t{n}"))

    put_once_while_writing(monkeypatch, put_ten)
    put_ten()
    told.wait_written(20)
    journal.close()


@pytest.mark.parametrize(("durability", "patience"), [("batch", [0.05]), ("task", [])])
def test_only_a_batch_waits_for_more(
    path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, patience: list[float]
) -> None:
    waits: list[float | None] = []

    class Hurry(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return True

    with RawStore(path, durability=durability) as store:
        monkeypatch.setattr(store._writer, "_hurry", Hurry())
        told = Told()
        journal = open_journal(store, told=told)
        journal.put(row("a"))
        told.wait_written(1)
        assert waits == patience
        journal.close()


def test_closing_a_journal_writes_what_is_there(lazy: RawStore) -> None:
    journal = open_journal(lazy)
    journal.put(row("a"))
    journal.close()
    journal.close()
    assert journal.backlog == 0
    assert len(lazy.list_task_executions()) == 1


def test_closing_the_store_writes_what_is_there(path: Path, lazy: RawStore) -> None:
    open_journal(lazy).put(row("a"))
    lazy.close()
    assert execute(path, "SELECT task_id FROM executions") == [("a",)]


def test_events_are_listed_though_the_writer_waits(lazy: RawStore) -> None:
    lazy.record_event("trip", {})
    assert len(lazy.list_events()) == 1


def test_commits_are_synchronous(path: Path) -> None:
    RawStore(path).close()
    with closing(connect(str(path), 1.0)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_callback_that_raises_does_not_stop_the_writer(path: Path) -> None:
    def gone(number: int) -> None:
        raise RuntimeError("the event loop has gone")

    with RawStore(path) as store:
        journal = store.open_journal("g", total_tasks=1, on_written=gone, on_error=print)
        journal.put(row("a"))
        journal.close()
        journal = open_journal(store)
        journal.put(row("b"))
        journal.close()
        assert len(store.list_task_executions()) == 2


def test_putting_beside_a_busy_writer_loses_and_repeats_nothing(path: Path) -> None:
    with RawStore(path, durability="task") as store:
        told = Told()
        journal = open_journal(store, told=told)
        for n in range(30_000):
            journal.put(row(f"t{n}"))
        journal.close()
        found = [one for (one,) in execute(path, "SELECT task_id FROM executions ORDER BY id")]
    assert found == [f"t{n}" for n in range(30_000)]
    assert told.written == sorted(set(told.written))


# When it fails


def assert_ended(journal: Any, told: Told, match: str) -> None:
    error = told.wait_error()
    journal.put(row("later"))
    assert journal.backlog >= 2
    with pytest.raises(StoreError, match=match) as caught:
        journal.close()
    assert caught.value is error
    assert told.errors == [error]
    journal.close()


def test_a_full_disk_ends_the_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_disk(monkeypatch, 20)
    with RawStore(path) as store:
        told = Told()
        journal = open_journal(store, told=told)
        journal.put(row("small"))
        journal.flush()
        told.wait_written(1)
        journal.put(row("large", response="x" * 500_000))
        assert_ended(journal, told, r"s\.db.*written.*full; free some space")
        assert [one.task_id for one in store.list_task_executions()] == ["small"]
    assert is_whole(path)


def test_a_locked_file_ends_the_journal_and_spares_the_next(path: Path) -> None:
    with RawStore(path, busy_timeout=0) as store:
        told = Told()
        journal = open_journal(store, told=told)
        with locked(path):
            journal.put(row("a"))
            assert_ended(journal, told, "locked.*busy_timeout")
        again = open_journal(store)
        assert (again.resumed, again.run_id) == (True, journal.run_id)
        again.put(row("a"))
        again.close()
        assert len(store.list_task_executions()) == 1


def test_a_lock_that_passes_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about_to_write = threading.Event()

    def connect_and_tell(*args: Any) -> sqlite3.Connection:
        about_to_write.set()
        return connect(*args)

    monkeypatch.setattr(_store_writer, "connect", connect_and_tell)
    with RawStore(path, busy_timeout=30) as store:
        journal = open_journal(store)
        with locked(path):
            journal.put(row("a"))
            assert about_to_write.wait(30)
        journal.close()
        assert len(store.list_task_executions()) == 1


def test_one_journal_fails_alone(path: Path) -> None:
    with RawStore(path) as store:
        told = Told()
        bad, good = open_journal(store, "bad", told=told), open_journal(store, "good")
        bad.put(row("t", attempts=object()))
        good.put(row("t"))
        good.close()
        assert_ended(bad, told, "cannot be written")
        assert [one.graph_id for one in store.list_task_executions()] == ["good"]


@pytest.mark.parametrize(
    "entry",
    [
        row("t", attempts=2**64),
        row("t", error="\ud800"),
        row(None),  # type: ignore[arg-type]
        ("t", "succeeded"),
        (*row("t"), None),
        ["t"],
        7,
        None,
    ],
    ids=["huge", "surrogate", "no id", "short", "wide", "list", "int", "None"],
)
def test_an_entry_that_is_none_ends_the_journal(path: Path, entry: Any) -> None:
    with RawStore(path) as store:
        told = Told()
        journal = open_journal(store, told=told)
        journal.put(entry)
        assert_ended(journal, told, "cannot be written")
        assert store.list_task_executions() == []
        assert execute(path, "SELECT * FROM starts") == []


def test_a_row_of_another_width_does_not_shift_the_others(path: Path, lazy: RawStore) -> None:
    told = Told()
    journal = open_journal(lazy, told=told)
    for entry in (row("a"), row("b")[:-1], row("c")):
        journal.put(entry)
    journal.flush()
    assert_ended(journal, told, r"a row has not \d+ values")
    assert execute(path, "SELECT * FROM executions") == []


def test_no_part_of_a_batch_is_written_if_another_is_not(path: Path) -> None:
    with RawStore(path) as store:
        told = Told()
        journal = open_journal(store, told=told)
        for n in range(3_000):
            journal.put(row(f"t{n}", attempts=2**64 if n == 2_999 else 1))
        told.wait_error()
        ((count,),) = execute(path, "SELECT count(*) FROM executions")
        assert count == (told.written[-1] if told.written else 0)
        with pytest.raises(StoreError):
            journal.close()


def test_an_event_that_cannot_be_written_is_no_secret(path: Path) -> None:
    with RawStore(path, busy_timeout=0) as store:
        with locked(path):
            store.record_event("trip", {})
            with pytest.raises(StoreError, match="locked"):
                store.list_events()
        with pytest.raises(StoreError, match="locked"):
            store.record_event("trip", {})
        store.record_event("later", {})
        assert [event.kind for event in store.list_events()] == ["later"]


def test_a_store_that_closes_without_its_events_says_so(path: Path) -> None:
    store = RawStore(path, busy_timeout=0)
    with locked(path):
        store.record_event("trip", {})
        with pytest.raises(StoreError, match="locked"):
            store.close()
    store.close()
