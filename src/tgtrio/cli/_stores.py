"""The stores that `runs` and `show` look into: told by content, never made."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from .._errors import shorten
from .._problems import suggest
from .._states import TaskState
from .._store import RawStore
from .._store_records import StoredRun
from .._store_schema import APPLICATION_ID, connect, store_error
from ._errors import UsageError

LATEST = "latest"
MOST_NAMED = 5


def is_store(path: str) -> bool:
    """Is it the file of a store, whatever its name?

    Only SQLite can tell: it may have written to a file beside it so far.

    Raises:
        StoreError: It cannot be read.
    """
    if not os.path.isfile(path):
        return False
    path = os.path.abspath(path)
    try:
        with contextlib.closing(connect(path, busy_timeout=5.0)) as connection:
            found = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.Error as exc:
        if getattr(exc, "sqlite_errorname", "") == "SQLITE_NOTADB":
            return False
        raise store_error(path, "opened", exc) from exc
    return bool(found == (APPLICATION_ID,))


@contextlib.contextmanager
def opened_store(path: str) -> Iterator[RawStore]:
    """A store that is there already.

    Raises:
        UsageError: There is no such file, or it is none of a store.
        StoreError: It cannot be read.
    """
    if not is_store(path):
        problem = "is no store of runs" if os.path.lexists(path) else "does not exist"
        raise UsageError(f"{path} {problem}; `tgtrio run GRAPH --store FILE` makes one")
    with RawStore(path) as store:
        yield store


def find_run(store: RawStore, name: str) -> StoredRun:
    """The run of this id, or else the latest, or the only one whose id begins so.

    Raises:
        UsageError: There is none, or there are several.
        StoreError: The store cannot be read.
    """
    runs = {run.run_id: run for run in store.list_runs(limit=1 if name == LATEST else None)}
    if name in runs:
        return runs[name]
    if not runs:
        raise UsageError(f"{store.path} holds no runs yet")
    if name == LATEST:
        return next(iter(runs.values()))
    found = [run_id for run_id in runs if name and run_id.startswith(name)]
    if len(found) == 1:
        return runs[found[0]]
    if not found:
        raise UsageError(f"{store.path} holds no run {shorten(name)}{suggest(name, runs)}")
    some = ", ".join(map(shorten, found[:MOST_NAMED]))
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    raise UsageError(f"{shorten(name)} is the beginning of several runs: {some}{more}")


def graph_of(run: StoredRun) -> str:
    """The name under which people see the graph of a run."""
    return "(a task alone)" if run.graph_id is None else run.graph_id


# Statistics are JSON that anybody may have edited.


def whole(value: object) -> int:
    """The number, or 0 if it is no number of anything."""
    return value if type(value) is int and value > 0 else 0


def states_of(run: StoredRun) -> dict[str, int]:
    """How many tasks ended in each state, and how many have not."""
    numbers = {state.value: whole(run.states[state.value]) for state in TaskState if state.terminal}
    return {**numbers, "not ended": max(whole(run.total_tasks) - sum(numbers.values()), 0)}


def statistics_of(run: StoredRun) -> dict[str, Any]:
    """The statistics of its end, as far as a summary tells of them."""
    stored: Mapping[str, Any] = run.statistics or {}
    breakers = stored.get("breaker_states")
    return {
        "states": states_of(run),
        "retry_tokens_used": whole(stored.get("retry_tokens_used")),
        "cached_tasks": whole(stored.get("cached_tasks")),
        "breaker_states": {
            name: {"state": str(one.get("state", "CLOSED"))}
            for name, one in (breakers.items() if isinstance(breakers, dict) else ())
            if isinstance(one, dict)
        },
    }
