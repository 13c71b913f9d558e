"""Stores for tests: rows, journals that remember what they were told, child processes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

import tgtrio
from tgtrio._errors import StoreError
from tgtrio._store import RawStore
from tgtrio._store_journal import Journal, Row

NOON = 1_900_000_000.0


def row(task_id: str, state: str = "succeeded", **changes: Any) -> Row:
    """A row for `Journal.put`; `response` is given as a value."""
    facts: dict[str, Any] = {
        "attempts": 1,
        "cached": False,
        "late": False,
        "started_at": NOON,
        "finished_at": NOON + 1,
        "execution_ms": 1_000.0,
        "action_name": "act",
        "idempotency_key": None,
        "response": None,
        "error": "" if state == "succeeded" else "it broke",
        "traceback": "",
        "blamed": None,
        **changes,
    }
    facts["response"] = msgspec.json.encode(facts["response"]) if state == "succeeded" else None
    return (task_id, state, *facts.values())


class Told:
    """What the writer told the owner of a journal."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.errors: list[StoreError] = []
        self._changed = threading.Condition()

    def on_written(self, number: int) -> None:
        with self._changed:
            self.written.append(number)
            self._changed.notify_all()

    def on_error(self, error: StoreError) -> None:
        with self._changed:
            self.errors.append(error)
            self._changed.notify_all()

    def wait_written(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.written[-1:] >= [number], timeout=30)

    def wait_error(self) -> StoreError:
        with self._changed:
            assert self._changed.wait_for(lambda: self.errors, timeout=30)
            return self.errors[0]


def open_journal(
    store: RawStore,
    graph_id: str | None = "g",
    run_id: str | None = None,
    told: Told | None = None,
    total_tasks: int = 3,
) -> Journal:
    told = told or Told()
    return store.open_journal(
        graph_id,
        run_id,
        total_tasks=total_tasks,
        on_written=told.on_written,
        on_error=told.on_error,
    )


def run_once(
    store: RawStore,
    *rows: Row,
    graph_id: str = "g",
    run_id: str | None = None,
    state: str | None = "finished",
    starts: tuple[str, ...] = (),
) -> str:
    """One incarnation from its beginning to its end; with `state=None` it crashes."""
    journal = open_journal(store, graph_id, run_id)
    for task_id in starts:
        journal.put_start(task_id)
    for one in rows:
        journal.put(one)
    if state is not None:
        journal.finish(state, {"states": {}})
    journal.close()
    return journal.run_id


def execute(path: Path, statement: str, *values: Any) -> list[Any]:
    """Somebody edits the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def is_whole(path: Path) -> bool:
    return execute(path, "PRAGMA integrity_check") == [("ok",)]


@contextmanager
def child(script: str, *args: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own that runs a script; killed at the end of the block."""
    source = str(Path(tgtrio.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source}
    command = [sys.executable, "-c", script, *map(str, args)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


async def until(true: Callable[[], bool]) -> None:
    """Look again and again: what is waited for happens in another thread."""
    with trio.fail_after(30):
        while not true():  # noqa: ASYNC110  # nobody else could tell
            await trio.sleep(0.001)


def read_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()
