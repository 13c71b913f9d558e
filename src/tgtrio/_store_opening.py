"""Which run is taken up, and what is found of it.

The choice, the lock and the row of the new incarnation are one write transaction: two processes
that open a run of one graph at the same instant do not both get it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any
from uuid import uuid4

from ._errors import GraphRunningError, InvalidValueError, shorten
from ._run_lock import RunLocks
from ._store_journal import FINISHED, RUNNING, Opening
from ._store_records import Committed, Reader, owner_of
from ._store_schema import INCARNATION_BITS, NOW, transaction

_LATEST = """
    SELECT run.number, run.run_id, (
        SELECT state FROM incarnations WHERE run = run.number ORDER BY number DESC LIMIT 1
    ) FROM runs AS run WHERE run.graph_id = ? ORDER BY run.number DESC LIMIT 1
"""
_COMMITTED = """
    SELECT task_id, idempotency_key, CAST(response AS BLOB), attempts, late, started_at,
        finished_at, execution_ms
    FROM executions WHERE id BETWEEN ? AND ? AND state = 'succeeded' ORDER BY id
"""
_PROGRESS = """
    SELECT EXISTS (SELECT 1 FROM executions WHERE id BETWEEN ? AND ? AND state = 'succeeded')
"""
_IN_FLIGHT = """
    SELECT task_id FROM starts WHERE incarnation = ?
    EXCEPT SELECT task_id FROM executions WHERE id BETWEEN ? AND ?
"""


def ids_of(incarnation: int) -> tuple[int, int]:
    """The first and the last `id` that an execution of an incarnation may have."""
    first = incarnation << INCARNATION_BITS
    return first, first + (1 << INCARNATION_BITS) - 1


def open_run(
    connection: sqlite3.Connection,
    reader: Reader,
    locks: RunLocks,
    graph_id: str | None,
    run_id: str | None,
    total_tasks: int,
) -> Opening:
    """Take up the run that is named, or the latest of the graph if that is not over, or a new one.

    The lock of the run is held afterwards, unless this raises.

    Raises:
        GraphRunningError: Somebody executes that run.
        InvalidValueError: The run that is named is one of another graph.
        StoreError: What is on record of the run cannot be read.
        sqlite3.Error, OSError: The store cannot be read or written.
    """
    taken: list[int] = []
    try:
        with transaction(connection):
            number, chosen_id = _choose(connection, graph_id, run_id)
            resumed = number is not None
            if number is None:
                number = _next(connection, "runs")
            if not locks.acquire(number):
                raise GraphRunningError(
                    f"{_name(graph_id)}: its run {shorten(chosen_id)} is being executed, in this "
                    "process or in another; wait for its end, or give another run_id"
                )
            taken.append(number)
            if not resumed:
                connection.execute(
                    "INSERT INTO runs VALUES (?, ?, ?)", (number, chosen_id, graph_id)
                )
            incarnation = _next(connection, "incarnations")
            connection.execute(
                "INSERT INTO incarnations (number, run, total_tasks, started_at)"
                f" VALUES (?, ?, ?, {NOW})",
                (incarnation, number, total_tasks),
            )
        # Nobody else writes to the run now, so the rest needs no transaction.
        earlier = _earlier(connection, number, incarnation)
        committed = _committed(connection, reader, chosen_id, [n for n, _ in earlier])
        crashes = _crashes(connection, earlier)
        return Opening(number, incarnation, chosen_id, resumed, committed, crashes)
    except BaseException:
        for run in taken:
            locks.release(run)
        raise


def _name(graph_id: str | None) -> str:
    return "a task executed alone" if graph_id is None else f"graph {shorten(graph_id)}"


def _next(connection: sqlite3.Connection, table: str) -> int:
    query = f"SELECT coalesce(max(number), 0) + 1 FROM {table}"
    number: int = connection.execute(query).fetchone()[0]
    return number


def _choose(
    connection: sqlite3.Connection, graph_id: str | None, run_id: str | None
) -> tuple[int | None, str]:
    """The number of the run to take up, or None for a new one, and its id."""
    if run_id is None:
        latest = connection.execute(_LATEST, (graph_id,)).fetchone()
        if latest is None or latest[2] == FINISHED:
            return None, uuid4().hex
        return latest[0], latest[1]
    query = "SELECT number, graph_id FROM runs WHERE run_id = ?"
    found = connection.execute(query, (run_id,)).fetchone()
    if found is None:
        return None, run_id
    if found[1] != graph_id:
        raise InvalidValueError(
            f"run {shorten(run_id)}: is a run of {_name(found[1])}, not of {_name(graph_id)}; "
            "give another run_id"
        )
    return found[0], run_id


def _earlier(connection: sqlite3.Connection, run: int, incarnation: int) -> list[tuple[int, str]]:
    query = "SELECT number, state FROM incarnations WHERE run = ? AND number < ? ORDER BY number"
    return connection.execute(query, (run, incarnation)).fetchall()


def _committed(
    connection: sqlite3.Connection, reader: Reader, run_id: str, incarnations: list[int]
) -> dict[str, Committed]:
    """The latest success of each task."""
    found: dict[str, Committed] = {}
    for incarnation in incarnations:
        for row in connection.execute(_COMMITTED, ids_of(incarnation)):
            found[row[0]] = _one(reader, run_id, row)
    return found


def _one(reader: Reader, run_id: str, row: tuple[Any, ...]) -> Committed:
    task_id, key, response, attempts, late, *times = row
    if response is None:
        raise reader.damaged(owner_of(run_id, task_id), "response", "it is missing")
    return Committed(key, response, attempts, bool(late), *times)


def _crashes(connection: sqlite3.Connection, earlier: list[tuple[int, str]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for incarnation, state in reversed(earlier):
        ids = ids_of(incarnation)
        if state != RUNNING or connection.execute(_PROGRESS, ids).fetchone()[0]:
            break
        counts.update(task for (task,) in connection.execute(_IN_FLIGHT, (incarnation, *ids)))
    return dict(counts)
