"""What is asked of a store, and its log of events."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from ._errors import shorten
from ._identity import shared_key
from ._run_lock import RunLocks
from ._states import TaskState
from ._store_bulk import insert_rows
from ._store_journal import CRASHED, RUNNING
from ._store_records import Cached, Reader, StoredEvent, StoredRun, TaskExecution, owner_of
from ._store_schema import KEY_INDEX, NOW
from ._store_writer import Outbox

_KEYS = 500  # in one query

_FILTERS = {
    "run_id": "run.run_id = ?",
    "graph_id": "run.graph_id = ?",
    "task_id": "execution.task_id = ?",
    "state": "execution.state = ?",
    "kind": "kind = ?",
    "id": "execution.id = ?",
}
# The executions of an incarnation are those whose ids begin with its number. CROSS JOIN keeps
# SQLite from choosing another order.
EXECUTIONS = """
    FROM runs AS run
    CROSS JOIN incarnations AS incarnation ON incarnation.run = run.number
    CROSS JOIN executions AS execution ON execution.id
        BETWEEN incarnation.number << 32 AND (incarnation.number << 32) + 0xffffffff
"""
_LIST_RUNS = """
    SELECT run.number, run.run_id, run.graph_id, last.state, last.total_tasks, (
        SELECT started_at FROM incarnations WHERE run = run.number ORDER BY number LIMIT 1
    ), last.finished_at, CAST(last.statistics AS BLOB), count(*), max(last.number)
    FROM runs AS run JOIN incarnations AS last ON last.run = run.number
    {where} GROUP BY run.number ORDER BY run.number DESC LIMIT ?
"""  # beside max() the columns of `last` are those of the row that has the maximum
_LIST_EXECUTIONS = f"""
    SELECT run.run_id, run.graph_id, execution.task_id, execution.action_name,
        execution.idempotency_key, execution.state, execution.attempts, execution.cached,
        execution.late, execution.started_at, execution.finished_at, execution.execution_ms,
        CAST(execution.response AS BLOB), execution.error, execution.traceback,
        execution.blamed
    {EXECUTIONS} {{where}} ORDER BY execution.id DESC LIMIT ?
"""
_COUNT_STATES = f"""
    SELECT state, count(*) FROM (
        SELECT execution.state AS state, max(execution.id)
        {EXECUTIONS} WHERE run.number = ? GROUP BY execution.task_id
    ) GROUP BY state
"""
_LIST_EVENTS = "SELECT at, kind, CAST(data AS BLOB) FROM events {where} ORDER BY id DESC LIMIT ?"
_LOOK_UP = """
    SELECT found.idempotency_key, CAST(found.response AS BLOB), run.run_id, found.task_id,
        found.finished_at
    FROM (
        SELECT id, idempotency_key, response, task_id, max(finished_at) AS finished_at
        FROM executions
        WHERE idempotency_key IN ({marks}) AND state = 'succeeded' AND NOT cached
            AND finished_at >= ?
        GROUP BY idempotency_key
    ) AS found
    JOIN incarnations AS incarnation ON incarnation.number = found.id >> 32
    JOIN runs AS run ON run.number = incarnation.run
"""


def _where(filters: Mapping[str, Any]) -> str:
    return f"WHERE {' AND '.join(_FILTERS[name] for name in filters)}" if filters else ""


def read_runs(
    connection: sqlite3.Connection,
    reader: Reader,
    locks: RunLocks,
    filters: Mapping[str, str],
    limit: int,
) -> list[StoredRun]:
    """The runs, the newest first; at most `limit` of them, or all if that is negative."""
    query = _LIST_RUNS.format(where=_where(filters))
    rows = connection.execute(query, (*filters.values(), limit)).fetchall()
    return [_run(connection, reader, locks, row) for row in rows]


def _run(
    connection: sqlite3.Connection, reader: Reader, locks: RunLocks, row: tuple[Any, ...]
) -> StoredRun:
    number, run_id, graph_id, state, total_tasks, started_at, finished_at, raw, count, _ = row
    owner = owner_of(run_id)
    if state == RUNNING and not locks.held(number):
        state = CRASHED
    statistics = None if raw is None else reader.json_object(raw, owner, "statistics")
    counts = (statistics or {}).get("states")
    if not isinstance(counts, dict):
        counts = dict(connection.execute(_COUNT_STATES, (number,)).fetchall())
    return StoredRun(
        run_id=run_id,
        graph_id=graph_id,
        state=state,
        total_tasks=total_tasks,
        started_at=reader.instant(started_at, owner, "started_at"),
        finished_at=reader.instant_or_none(finished_at, owner, "finished_at"),
        states={state.value: counts.get(state.value, 0) for state in TaskState},
        statistics=statistics,
        resumptions=count - 1,
    )


def read_executions(
    connection: sqlite3.Connection, reader: Reader, filters: Mapping[str, Any], limit: int
) -> list[TaskExecution]:
    """The ends of tasks, the oldest first; the last `limit` of them, or all if it is negative."""
    query = _LIST_EXECUTIONS.format(where=_where(filters))
    rows = connection.execute(query, (*filters.values(), limit))
    found = [_execution(reader, row) for row in rows][::-1]
    # What is written together is written action by action.
    return sorted(found, key=lambda execution: execution.finished_at)


def _execution(reader: Reader, row: tuple[Any, ...]) -> TaskExecution:
    run_id, graph_id, task_id, action_name, key, state, attempts, cached, late, *rest = row
    started_at, finished_at, execution_ms, response, error, traceback, blamed = rest
    owner = owner_of(run_id, task_id)
    return TaskExecution(
        run_id=run_id,
        graph_id=graph_id,
        task_id=task_id,
        action_name=action_name,
        idempotency_key=shared_key(key),
        state=state,
        attempts=attempts,
        cached=bool(cached),
        late=bool(late),
        started_at=reader.instant_or_none(started_at, owner, "started_at"),
        finished_at=reader.instant(finished_at, owner, "finished_at"),
        execution_time_ms=execution_ms,
        response=reader.json(response, owner, "response"),
        error=error or "",
        traceback=traceback or "",
        blamed=blamed,
    )


def look_up(
    connection: sqlite3.Connection,
    reader: Reader,
    keys: Iterable[str],
    since: float,
) -> dict[str, Cached]:
    """The latest success under each key that has one, of those not served from a cache.

    `since` is in Unix time.
    """
    connection.execute(KEY_INDEX)
    found: dict[str, Cached] = {}
    rest = iter(keys)
    while some := tuple(islice(rest, _KEYS)):
        query = _LOOK_UP.format(marks=", ".join("?" * len(some)))
        for key, response, run_id, task_id, at in connection.execute(query, (*some, since)):
            owner = owner_of(run_id, task_id)
            if response is None:
                raise reader.damaged(owner, "response", "it is missing")
            instant = reader.instant(at, owner, "finished_at")
            found[key] = Cached(response, run_id, task_id, instant)
    return found


class EventLog(Outbox):
    """The events of a store on their way to the disk; an entry is `(kind, data as JSON text)`."""

    def write(self, connection: sqlite3.Connection, entries: Sequence[Any]) -> None:
        into, select = "INTO events (at, kind, data)", f"{NOW}, column2, column3"
        insert_rows(connection, into, select, 2, entries)


def read_events(
    connection: sqlite3.Connection, reader: Reader, filters: Mapping[str, str], limit: int
) -> list[StoredEvent]:
    """The events, the oldest first; the last `limit` of them, or all if it is negative."""
    query = _LIST_EVENTS.format(where=_where(filters))
    rows = connection.execute(query, (*filters.values(), limit))
    return [_event(reader, row) for row in rows][::-1]


def _event(reader: Reader, row: tuple[Any, ...]) -> StoredEvent:
    at, kind, data = row
    owner = f"event {shorten(kind)}"
    return StoredEvent(
        at=reader.instant(at, owner, "at"),
        kind=kind,
        data=reader.json_object(data, owner, "data"),
    )
