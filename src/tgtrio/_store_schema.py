"""The file of a store: its tables, its format version, how it is opened and refused.

    runs          one row for each run: its number, its id, its graph (NULL for a task that was
                  executed alone)
    incarnations  one for each time that a process took a run up; the first is its beginning
    executions    one for each task that ended. `id` is incarnation * 2**32 + n, so the rows of an
                  incarnation lie together and need no index. `blamed` is the task that kept it
                  from success: a dependency, or for a FAILED one the leader of equal work
    starts        tasks about to be in flight, as long as an incarnation has no success
    events        what else happened: breakers that moved, safety rules that tripped

Format 1 had no column `blamed`. A file of it becomes one of format 2 when it is opened; the blame
of its rows is NULL, as of a task that ended by itself.

Instants are Unix time in seconds. What the file itself dates, it dates by the clock of SQLite.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from ._errors import StoreError, shorten

APPLICATION_ID = 0x54475452  # "TGTR"
FORMAT = 2
INCARNATION_BITS = 32
_PAUSE = 0.01  # seconds between tries to enter WAL mode
CHECKPOINT_PAGES = 4_000  # of 4 KiB; rarer than SQLite's default, for each costs two syncs
NOW = "((julianday('now') - 2440587.5) * 86400.0)"

# The columns of `executions` after `id`, which is also the order of the row that a journal takes.
ROW = (
    "task_id",
    "state",
    "attempts",
    "cached",
    "late",
    "started_at",
    "finished_at",
    "execution_ms",
    "action_name",
    "idempotency_key",
    "response",
    "error",
    "traceback",
    "blamed",
)

_TABLES = {
    "runs": """CREATE TABLE runs (
        number INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL UNIQUE,
        graph_id TEXT
    ) STRICT""",
    "incarnations": """CREATE TABLE incarnations (
        number INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs,
        state TEXT NOT NULL DEFAULT 'running',
        total_tasks INTEGER NOT NULL,
        started_at REAL NOT NULL,
        finished_at REAL,
        statistics TEXT
    ) STRICT""",
    "executions": """CREATE TABLE executions (
        id INTEGER PRIMARY KEY,
        task_id TEXT NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        late INTEGER NOT NULL,
        started_at REAL,
        finished_at REAL NOT NULL,
        execution_ms REAL,
        action_name TEXT NOT NULL,
        idempotency_key TEXT,
        response TEXT,
        error TEXT,
        traceback TEXT,
        blamed TEXT
    ) STRICT""",
    "starts": """CREATE TABLE starts (
        incarnation INTEGER NOT NULL REFERENCES incarnations,
        task_id TEXT NOT NULL,
        PRIMARY KEY (incarnation, task_id)
    ) STRICT, WITHOUT ROWID""",
    "events": """CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        data TEXT NOT NULL
    ) STRICT""",
}
_INDEXES = (
    "CREATE INDEX runs_by_graph ON runs (graph_id, number)",
    "CREATE INDEX incarnations_by_run ON incarnations (run, number)",
)
# To each format from the one before it.
_UPGRADES = {2: ("ALTER TABLE executions ADD COLUMN blamed TEXT",)}
# Made by the first look-up over all runs: stores that are never asked do not pay for it.
KEY_INDEX = (
    "CREATE INDEX IF NOT EXISTS executions_by_key ON executions (idempotency_key)"
    " WHERE idempotency_key IS NOT NULL AND state = 'succeeded' AND NOT cached"
)

_HINTS = {
    "SQLITE_BUSY": "somebody else keeps it locked for longer than busy_timeout; wait for that,"
    " or raise busy_timeout",
    "SQLITE_FULL": "free some space",
    "SQLITE_IOERR": "see whether the disk is full or failing",
    "SQLITE_READONLY": "make the file and its folder writable, or use another path",
    "SQLITE_CANTOPEN": "see that the file and its folder are there, readable and writable",
    "SQLITE_NOTADB": "it is no SQLite file; use another path",
    "SQLITE_CORRUPT": "it is damaged or cut off; restore it from a copy, or use another path",
}


def store_error(path: str, doing: str, exc: BaseException) -> StoreError:
    """The refusal that an error of SQLite or of the file system becomes."""
    reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
    name: str = getattr(exc, "sqlite_errorname", None) or ""
    hint = _HINTS.get("_".join(name.split("_")[:2]), "")
    return StoreError(
        f"store {shorten(path)}: cannot be {doing}: {reason or type(exc).__name__}"
        + (f"; {hint}" if hint else "")
    )


@contextlib.contextmanager
def translated(path: str, doing: str) -> Iterator[None]:
    """Turn the errors of SQLite and of the file system into `StoreError`s."""
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise store_error(path, doing, exc) from exc


def connect(path: str, busy_timeout: float, *, create: bool = False) -> sqlite3.Connection:
    """A connection to the file of a store; a file that has gone is not made anew by default."""
    uri = f"{Path(path).as_uri()}?mode={'rwc' if create else 'rw'}"
    # The few texts of many rows are long: keep only those that come again and again.
    connection = sqlite3.connect(
        uri, uri=True, timeout=busy_timeout, isolation_level=None, cached_statements=16
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def connected(path: str, busy_timeout: float, doing: str) -> Iterator[sqlite3.Connection]:
    """A connection for a block, with the errors of the block translated."""
    with translated(path, doing), contextlib.closing(connect(path, busy_timeout)) as connection:
        yield connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction around a block: all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def prepare(path: str, busy_timeout: float) -> None:
    """Check that a file is a store that can be written, or make it one if it is new or empty.

    A store of an older format becomes one of this format.

    Raises:
        StoreError: It is not, and cannot be made one. A file of something else is left as it is.
    """
    _check_place(path)
    with (
        translated(path, "opened"),
        contextlib.closing(connect(path, busy_timeout, create=True)) as connection,
    ):
        connection.execute("BEGIN")  # or half of what is read is older than what another makes
        _format_of(connection, path)
        connection.execute("ROLLBACK")
        if _enter_wal_mode(connection, busy_timeout) != "wal":
            raise StoreError(
                f"store {shorten(path)}: cannot be opened: its file system cannot share memory, "
                "which SQLite's WAL mode needs; put it on a local disk"
            )
        with transaction(connection):  # also of two processes that make it, one is first
            if found := _format_of(connection, path):
                _upgrade(connection, found)
            else:
                _create(connection)
            # To begin does not tell that SQLite could open the file for reading only.
            connection.execute("DELETE FROM runs WHERE FALSE")


def _check_place(path: str) -> None:
    folder = os.path.dirname(path)
    reason = ""
    if os.path.isdir(path):
        reason = "it is a folder; name a file in it"
    elif not os.path.isdir(folder):
        reason = f"there is no folder {shorten(folder)}; create it first"
    elif os.path.exists(path) and not os.path.isfile(path):
        reason = "it is no regular file; use another path"
    if reason:
        raise StoreError(f"store {shorten(path)}: cannot be opened: {reason}")


def _enter_wal_mode(connection: sqlite3.Connection, busy_timeout: float) -> str:
    """The mode that the file is in afterwards.

    A process that does the same at the same time is not waited for by SQLite, but here.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    tries = 1 + int(busy_timeout / _PAUSE)
    try:
        while True:
            tries -= 1
            try:
                mode: str = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                return mode
            except sqlite3.OperationalError as exc:
                if not tries or exc.sqlite_errorname.split("_")[:2] != ["SQLITE", "BUSY"]:
                    raise
            time.sleep(_PAUSE)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(busy_timeout * 1_000)}")


def _format_of(connection: sqlite3.Connection, path: str) -> int:
    """The format of the store; 0 if nothing is in the file."""
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables and not version and application in (0, APPLICATION_ID):
        return 0
    reason = ""
    if application != APPLICATION_ID:
        reason = "it is an SQLite file of something else; use another path"
    elif not 1 <= version <= FORMAT:
        reason = (
            f"it has format version {version}, and this tgtrio knows 1 to {FORMAT}; use "
            "the tgtrio that wrote it, or another path"
        )
    elif missing := sorted(_TABLES.keys() - tables):
        reason = f"it has no table {', '.join(missing)}; restore it from a copy"
    if reason:
        raise StoreError(f"store {shorten(path)}: cannot be opened: {reason}")
    return version


def _create(connection: sqlite3.Connection) -> None:
    for statement in (*_TABLES.values(), *_INDEXES):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Bring a store of an older format to this one."""
    for newer in range(version + 1, FORMAT + 1):
        for statement in _UPGRADES[newer]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {newer}")
