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
from ._store_records import Committed
from ._store_schema import INCARNATION_BITS, NOW, ROW
from ._store_writer import Outbox, Writer

RUNNING = "running"
CRASHED = "crashed"
OVER = ("finished", "aborted")  # states of a run that is not resumed unless it is named

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
]

_RESPONSE = ROW.index("response")
_INTO_EXECUTIONS = f"INTO executions (id, {', '.join(ROW)})"
_EXECUTIONS = "? + column1, " + ", ".join(
    f"CAST(column{n} AS TEXT)" if name == "response" else f"column{n}"
    for n, name in enumerate(ROW, 2)
)
_INTO_STARTS = "INTO starts (incarnation, task_id)"
_FINISH = f"UPDATE incarnations SET state = ?, statistics = ?, finished_at = {NOW} WHERE number = ?"


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
        self._release = release
        self._next_id = opening.incarnation << INCARNATION_BITS
        self._started: set[str] = set()
        self._closed = False

    # `put(row)` takes a task that has ended, as a `Row`. It is the one of `Outbox`: it is on the
    # path of every task.

    def put_start(self, task_id: str) -> int:
        """Write down that a task is about to be in flight.

        It is needed until the first success of the incarnation is on disk: only crashes of
        incarnations without one are counted.
        """
        return self.put(task_id)

    def finish(self, state: str, statistics: Mapping[str, Any]) -> int:
        """Write down that the incarnation has ended, as the last it writes.

        Args:
            state: How. What is not in `OVER` is resumed the next time.
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
        rows = [entry for entry in entries if type(entry) is tuple]
        if len(rows) < len(entries):
            self._write_others(connection, [entry for entry in entries if type(entry) is not tuple])
        for some in portions(rows, _RESPONSE) if rows else ():
            insert_rows(connection, _INTO_EXECUTIONS, _EXECUTIONS, len(ROW), some, self._next_id)
            self._next_id += len(some)  # after a failure it does not matter any more

    def _write_others(self, connection: sqlite3.Connection, entries: Sequence[Any]) -> None:
        starts = {entry for entry in entries if type(entry) is str} - self._started
        ends = [entry for entry in entries if type(entry) is _End]
        if strange := [entry for entry in entries if type(entry) not in (str, _End)]:
            raise TypeError(f"{shorten(strange[0])} is no row")
        if starts:
            rows = [(self._incarnation, task_id) for task_id in starts]
            insert_rows(connection, _INTO_STARTS, "column2, column3", 2, rows)
            self._started |= starts
        for end in ends:
            connection.execute(_FINISH, (end.state, end.statistics, self._incarnation))
            connection.execute("DELETE FROM starts WHERE incarnation = ?", (self._incarnation,))
