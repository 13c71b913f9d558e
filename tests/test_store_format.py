"""The format of the file: one that an older version wrote is brought to this one when opened."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tgtrio import RawStore, StoreError, _store_schema
from tgtrio._store_schema import FORMAT

from .stores import NOON, execute, is_whole, open_journal, row, run_once

# As format 1 was: without `blamed`.
FORMAT_1 = """
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, graph_id TEXT
    ) STRICT;
    CREATE TABLE incarnations (
        number INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs,
        state TEXT NOT NULL DEFAULT 'running', total_tasks INTEGER NOT NULL,
        started_at REAL NOT NULL, finished_at REAL, statistics TEXT
    ) STRICT;
    CREATE TABLE executions (
        id INTEGER PRIMARY KEY, task_id TEXT NOT NULL, state TEXT NOT NULL,
        attempts INTEGER NOT NULL, cached INTEGER NOT NULL, late INTEGER NOT NULL, started_at REAL,
        finished_at REAL NOT NULL, execution_ms REAL, action_name TEXT NOT NULL,
        idempotency_key TEXT, response TEXT, error TEXT, traceback TEXT
    ) STRICT;
    CREATE TABLE starts (
        incarnation INTEGER NOT NULL REFERENCES incarnations, task_id TEXT NOT NULL,
        PRIMARY KEY (incarnation, task_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL
    ) STRICT;
    CREATE INDEX runs_by_graph ON runs (graph_id, number);
    CREATE INDEX incarnations_by_run ON incarnations (run, number);
    PRAGMA application_id = 0x54475452;
    PRAGMA user_version = 1;
    PRAGMA journal_mode = WAL;
"""
INTO = """
    INTO executions (id, task_id, state, attempts, cached, late, finished_at, action_name,
        idempotency_key, response, error)
"""


@pytest.fixture
def old(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A store of format 1, still open, with a run that crashed: `a` succeeded, `b` failed."""
    path = tmp_path / "s.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(FORMAT_1)
        connection.execute("INSERT INTO runs VALUES (1, 'r', 'g')")
        connection.execute(
            "INSERT INTO incarnations (number, run, total_tasks, started_at) VALUES (1, 1, 3, ?)",
            (NOON,),
        )
        put_old(connection, "a", "succeeded", "17")
        put_old(connection, "b", "failed", None, "ValueError: broken")
        put_old(connection, "c", "aborted", None, "dependency 'b' failed: ValueError: broken")
        yield connection


def put_old(
    connection: sqlite3.Connection, task_id: str, state: str, response: str | None, error: str = ""
) -> None:
    """A row as the version that wrote format 1 inserts it."""
    connection.execute(
        f"INSERT {INTO} VALUES ((1 << 32) + (SELECT count(*) FROM executions), ?, ?, 1, 0, 0, ?,"
        " 'act', ?, ?, ?)",
        (task_id, state, NOON, f"key of {task_id}", response, error),
    )


@pytest.fixture
def path(old: sqlite3.Connection, tmp_path: Path) -> Path:
    return tmp_path / "s.db"


def version(path: Path) -> int:
    number: int = execute(path, "PRAGMA user_version")[0][0]
    return number


def columns(path: Path) -> list[tuple[Any, ...]]:
    return [tuple(found[1:]) for found in execute(path, "PRAGMA table_info(executions)")]


def test_an_older_store_has_what_a_new_one_has(path: Path, tmp_path: Path) -> None:
    RawStore(path).close()
    RawStore(tmp_path / "new.db").close()
    assert version(path) == version(tmp_path / "new.db") == FORMAT
    assert columns(path) == columns(tmp_path / "new.db")
    assert is_whole(path)


def test_what_is_on_record_in_an_older_store_is_read(path: Path) -> None:
    with RawStore(path) as store:
        found = store.list_task_executions()
        assert [(one.task_id, one.state, one.blamed) for one in found] == [
            ("a", "succeeded", None),
            ("b", "failed", None),
            ("c", "aborted", None),
        ]
        assert found[2].error == "dependency 'b' failed: ValueError: broken"


def test_a_run_of_an_older_store_is_resumed(path: Path) -> None:
    with RawStore(path) as store:
        with contextlib.closing(open_journal(store)) as journal:
            assert (journal.run_id, list(journal.committed)) == ("r", ["a"])
            journal.put(row("b", "failed"))
            journal.put(row("c", "aborted", blamed="b"))
        assert store.list_task_executions(task_id="c")[-1].blamed == "b"


def test_a_process_of_the_older_version_goes_on_writing(
    path: Path, old: sqlite3.Connection
) -> None:
    RawStore(path).close()
    put_old(old, "d", "succeeded", "18")
    with RawStore(path) as store:
        assert store.list_task_executions(task_id="d")[0].blamed is None


def test_two_that_open_it_at_once_upgrade_it_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter = _store_schema._enter_wal_mode

    def and_somebody_is_faster(connection: sqlite3.Connection, busy_timeout: float) -> str:
        monkeypatch.undo()
        RawStore(path).close()
        return enter(connection, busy_timeout)

    monkeypatch.setattr(_store_schema, "_enter_wal_mode", and_somebody_is_faster)
    with RawStore(path) as store:
        run_once(store, row("t"), run_id="new")
    assert version(path) == FORMAT


def test_an_upgrade_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = columns(path)
    broken = {2: ("ALTER TABLE executions ADD COLUMN blamed TEXT", "no SQL")}
    monkeypatch.setattr("tgtrio._store_schema._UPGRADES", broken)
    with pytest.raises(StoreError, match=r"s\.db.*cannot be opened"):
        RawStore(path)
    assert (version(path), columns(path)) == (1, before)


def test_an_upgrade_waits_for_who_writes_and_gives_up_in_time(
    path: Path, old: sqlite3.Connection
) -> None:
    old.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        RawStore(path, busy_timeout=0.01)
    old.execute("ROLLBACK")
    assert version(path) == 1
    RawStore(path).close()
    assert version(path) == FORMAT
