"""What one run writes into a store while it runs, and what it finds there when it begins.

An *incarnation* is one time that a process takes a run up. Its row says "running" until its end
is written. If it says so and nobody holds the lock of the run, that process has crashed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import msgspec

from ._errors import StoreError, shorten
from ._store_bulk import insert_rows, portions
from ._store_records import Committed, decode_response
from ._store_schema import INCARNATION_BITS, NOW, ROW
from ._store_writer import Outbox, Writer

RUNNING = "running"
CRASHED = "crashed"
FINISHED = "finished"  # the one state of a run that is not resumed unless it is named

Row: TypeAlias = tuple[
    str,  # task_id
    str,  # state
    int,  # attempts
    bool,  # cached
    bool,  # late
    float | None,  # started_at: Unix time in seconds
    float,  # finished_at: the same
    float | None,  # execution_ms
    str,  # action_name
    str | None,  # idempotency_key
    bytes | None,  # response: JSON
    str,  # error
    str,  # traceback
    str | None,  # blamed: a task
]

PlainRow: TypeAlias = tuple[
    str,  # task_id
    float,  # started_at: Unix time in seconds
    float,  # finished_at: the same
    str | None,  # idempotency_key
    bytes,  # response: JSON
]
Lazy: TypeAlias = tuple[int, bytes]  # the number of a task that has succeeded, its response
RowsOf: TypeAlias = Callable[[list[Lazy]], tuple[dict[str, list[PlainRow]], list[Row]]]

_RESPONSE = ROW.index("response")
_INTO_EXECUTIONS = f"INTO executions (id, {', '.join(ROW)})"
_EXECUTIONS = "? + column1, " + ", ".join(
    f"CAST(column{n} AS TEXT)" if name == "response" else f"column{n}"
    for n, name in enumerate(ROW, 2)
)
# Successes at the first attempt: most are that, and fewer values are bound much faster. The columns
# that say what went wrong are the last, and NULL.
_PLAIN_WIDTH = 5
_INTO_PLAIN = f"INTO executions (id, {', '.join(ROW[: _RESPONSE + 1])})"
_PLAIN = (
    "? + column1, column2, 'succeeded', 1, 0, 0, column3, column4, (column4 - column3) * 1000.0, ?,"
    " column5, CAST(column6 AS TEXT)"
)
_INTO_STARTS = "INTO starts (incarnation, task_id)"
_STOP = "DELETE FROM starts WHERE incarnation = ? AND task_id = ?"
_FINISH = f"UPDATE incarnations SET state = ?, statistics = ?, finished_at = {NOW} WHERE number = ?"


@attrs.frozen
class _Stop:
    task_id: str


@attrs.frozen
class _End:
    state: str
    statistics: str


@attrs.frozen
class Opening:
    """What was found when a run was taken up.

    Attributes:
        run: The number of the run.
        incarnation: The number of this incarnation.
        run_id: The id of the run.
        resumed: True if the run has earlier incarnations.
        committed: Task id to its success in an earlier incarnation.
        crashes: Task id to the number of crashes, of those in a row that made no progress, in
            which it was in flight.
    """

    run: int
    incarnation: int
    run_id: str
    resumed: bool
    committed: dict[str, Committed]
    crashes: dict[str, int]


class Journal(Outbox):
    """One incarnation of one run: what it found, and what it writes.

    `put`, `put_start` and `finish` are called from one thread, never block, and return a number
    that grows by one: `on_written` is called in the writer's thread with the number up to which
    everything is on disk. After `on_error` nothing is written any more and `close` raises.

    Attributes:
        run_id: The run.
        resumed: True if the run has earlier incarnations.
        committed: Task id to its success in an earlier incarnation.
        crashes: Task id to the number of crashes, of those in a row that made no progress, in
            which it was in flight.
        rows_of: Makes the rows of `Lazy` entries: by action those of successes at the first
            attempt, and the others.
    """

    def __init__(
        self,
        writer: Writer,
        opening: Opening,
        release: Callable[[int], None],
        on_written: Callable[[int], object],
        on_error: Callable[[StoreError], object],
    ) -> None:
        super().__init__(writer, on_written, on_error)
        self.run_id, self.resumed = opening.run_id, opening.resumed
        self.committed, self.crashes = opening.committed, opening.crashes
        self._run, self._incarnation = opening.run, opening.incarnation
        self._path, self._release = writer.path, release
        self._next_id = opening.incarnation << INCARNATION_BITS
        self._started: set[str] = set()
        self._closed = False
        self.rows_of: RowsOf | None = None

    def committed_response(self, task_id: str) -> Any:
        """What a task of `committed` has returned.

        Raises:
            StoreError: It is damaged.
        """
        response = self.committed[task_id].response
        return decode_response(self._path, response, self.run_id, task_id)

    # `put(row)` takes a task that has ended, as a `Row`. It is the one of `Outbox`: it is on the
    # path of every task. It also takes `Lazy` entries, whose rows are made by `rows_of` in the
    # thread of the writer, many at a time.

    def put_start(self, task_id: str) -> int:
        """Write down that a task is about to be in flight.

        It is needed until the first success of the incarnation is on disk: only crashes of
        incarnations without one are counted.
        """
        return self.put(task_id)

    def put_stop(self, task_id: str) -> int:
        """Write down that a task is not in flight any more, although it has not ended."""
        return self.put(_Stop(task_id))

    def finish(self, state: str, statistics: Mapping[str, Any]) -> int:
        """Write down that the incarnation has ended, as the last it writes.

        Args:
            state: How. What is not `FINISHED` is resumed the next time.
            statistics: The figures at the end, JSON data; `states` counts the tasks by state.
        """
        number = self.put(_End(state, msgspec.json.encode(statistics).decode()))
        self.flush()
        return number

    def close(self) -> None:
        """Block until all is on disk, then let go of the run. Twice is fine.

        Raises:
            StoreError: Something is not on disk and never will be.
        """
        if self._closed:
            return
        try:
            self.wait()
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Release the lock of the run and leave the writer, whatever is on disk."""
        self._closed = True
        self._writer.remove(self)
        self._release(self._run)

    def write(self, connection: sqlite3.Connection, entries: Sequence[Any]) -> None:
        rows, lazy, others = _sort(entries)
        if others:
            self._write_others(connection, others)
        if lazy:
            assert self.rows_of is not None
            plain, more = self.rows_of(lazy)
            rows += more
            for action, successes in plain.items():
                self._insert(connection, _INTO_PLAIN, _PLAIN, _PLAIN_WIDTH, successes, (action,))
        if rows:
            self._insert(connection, _INTO_EXECUTIONS, _EXECUTIONS, len(ROW), rows)

    def _insert(
        self,
        connection: sqlite3.Connection,
        into: str,
        select: str,
        width: int,
        rows: Sequence[Any],
        constants: Sequence[Any] = (),
    ) -> None:
        response = _RESPONSE if width == len(ROW) else width - 1
        for some in portions(rows, response):
            insert_rows(connection, into, select, width, some, self._next_id, constants)
            self._next_id += len(some)  # after a failure it does not matter any more

    def _write_others(self, connection: sqlite3.Connection, entries: Sequence[Any]) -> None:
        started = set(self._started)  # if the transaction fails, so it stays
        for entry in entries:
            if type(entry) is str:
                started.add(entry)
            elif type(entry) is _Stop:
                started.discard(entry.task_id)
            elif type(entry) is _End:
                connection.execute(_FINISH, (entry.state, entry.statistics, self._incarnation))
                started.clear()
            else:
                raise TypeError(f"{shorten(entry)} is no row")
        gone = [(self._incarnation, task_id) for task_id in self._started - started]
        connection.executemany(_STOP, gone)
        if rows := [(self._incarnation, task_id) for task_id in started - self._started]:
            insert_rows(connection, _INTO_STARTS, "column2, column3", 2, rows)
        self._started = started


def _sort(entries: Sequence[Any]) -> tuple[list[Row], list[Lazy], list[Any]]:
    """Rows, entries that are to become rows, and what is no row."""
    lazy: list[Lazy] = [entry for entry in entries if type(entry) is tuple and len(entry) == 2]
    if len(lazy) == len(entries):  # as most often
        return [], lazy, []
    rows: list[Row] = [entry for entry in entries if type(entry) is tuple and len(entry) != 2]
    return rows, lazy, [entry for entry in entries if type(entry) is not tuple]
