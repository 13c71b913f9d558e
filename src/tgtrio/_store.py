"""`RawStore`: what has happened, on disk, in one SQLite file.

Threads: the methods of `RawStore` block, each on a connection of its own that it closes again;
what a run writes goes through a `Journal` to the one writer thread and never blocks.

The id of anything is only ever a value in a row. It is never part of a path or of an SQL text.
"""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, TypeAlias

import msgspec

from ._arguments import check_json
from ._checks import check_count, check_name, check_number
from ._errors import InvalidTypeError, InvalidValueError, StoreError, shorten
from ._explanation import Explanation
from ._graph import TaskGraph
from ._run_lock import RunLocks
from ._states import TaskState
from ._store_explain import StoredRunExplainer
from ._store_journal import Journal
from ._store_opening import open_run
from ._store_queries import (
    EventLog,
    look_up,
    read_events,
    read_executions,
    read_runs,
)
from ._store_records import (
    Cached,
    Reader,
    RootFailure,
    StoredEvent,
    StoredRun,
    TaskExecution,
)
from ._store_schema import connected, prepare, translated
from ._store_writer import PATIENCE, Writer

AnyPath: TypeAlias = str | os.PathLike[str]
_DURABILITIES = {"batch": PATIENCE, "task": 0.0}  # how long to wait for more, in seconds
_LONGEST_TIMEOUT = 86_400


class RawStore:
    """A store of runs, of the tasks that ended in them, and of events, in one SQLite file.

    It survives being killed at any instant. Several runs, stores and processes may use one file
    at once; a run is executed by one of them. Thread-safe. Beside the file lie `-wal` and `-shm`,
    which are SQLite's, and `.lock`, which says which runs are being executed: the four belong
    together, and none may be removed while a run is on.

    Args:
        path: The file. It is made if it is not there; its folder is not.
        durability: "batch": what ended is on disk at most 50 ms later, and at the end of the run.
            "task": a success is on disk before the dependents of its task start.
        busy_timeout: How long to wait, in seconds, while another process writes.

    Raises:
        StoreError: The file cannot be opened, made, read or written, or is something else.
        InvalidTypeError, InvalidValueError: An argument is of a type, or has a value, that it
            cannot have.
    """

    def __init__(
        self, path: AnyPath, *, durability: str = "batch", busy_timeout: float = 5.0
    ) -> None:
        self.path = _check_path(path)
        self.durability = _check_durability(self.path, durability)
        self._busy_timeout = _check_busy_timeout(self.path, busy_timeout)
        prepare(self.path, self._busy_timeout)
        self._reader = Reader(self.path)
        with translated(self.path, "opened"):
            self._locks = RunLocks(f"{os.path.realpath(self.path)}.lock")
        self._writer = Writer(self.path, self._busy_timeout, _DURABILITIES[durability])
        self._events: EventLog | None = None
        self._mutex = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"RawStore({self.path!r}, durability={self.durability!r}{state})"

    def __enter__(self) -> RawStore:
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self.close()

    def list_runs(
        self, graph_id: str | None = None, *, limit: int | None = None
    ) -> list[StoredRun]:
        """The runs on record, the newest first.

        Args:
            graph_id: Only those of this graph.
            limit: At most so many.

        Raises:
            StoreError: The store is closed or cannot be read.
        """
        filters = self._filters(graph_id=graph_id)
        most = self._check_limit(limit)
        with self._connected("read") as connection:
            return read_runs(connection, self._reader, self._locks, filters, most)

    def list_task_executions(
        self,
        run_id: str | None = None,
        *,
        graph_id: str | None = None,
        task_id: str | None = None,
        state: TaskState | str | None = None,
        limit: int | None = None,
    ) -> list[TaskExecution]:
        """The ends of tasks on record, the oldest first. Without a run or graph it reads them all.

        Args:
            run_id: Only those of this run.
            graph_id: Only those of runs of this graph.
            task_id: Only those of this task.
            state: Only those that ended in this state.
            limit: At most so many, the latest.

        Raises:
            StoreError: The store is closed or cannot be read. Where a value in it is damaged, the
                message names run and task.
        """
        filters = self._filters(run_id=run_id, graph_id=graph_id, task_id=task_id)
        if state is not None:
            filters["state"] = _check_state(self.path, state)
        most = self._check_limit(limit)
        with self._connected("read") as connection:
            return read_executions(connection, self._reader, filters, most)

    def explain(self, run_id: str, task_id: str, graph: TaskGraph | None = None) -> Explanation:
        """Why a task of a run ended as it did, with the chain to the root, or has not ended.

        Of a run that was resumed its last end counts; earlier ones are mentioned.

        Args:
            run_id: The run.
            task_id: The task.
            graph: The graph of the run, which a store does not keep. With it a task without an
                end is told what it waits for.

        Raises:
            InvalidValueError: There is no such run, or the graph is another's.
            UnknownTaskError: The run has no such task.
            StoreError: The store is closed or cannot be read.
        """
        names = self._filters(run_id=run_id, task_id=task_id)
        with self._explainer(names["run_id"]) as explainer:
            return explainer.explain(task_id, graph)

    def root_failures(self, run_id: str) -> list[RootFailure]:
        """The tasks of a run without success that no other kept from it.

        Those that took most others along come first.

        Args:
            run_id: The run.

        Raises:
            InvalidValueError: There is no such run.
            StoreError: The store is closed or cannot be read.
        """
        with self._explainer(self._filters(run_id=run_id)["run_id"]) as explainer:
            return explainer.root_failures()

    def record_event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Record that something happened. Never blocks: it is on disk a moment later.

        Args:
            kind: What.
            data: The particulars, JSON data.

        Raises:
            InvalidArgumentError: `data` is not JSON data.
            StoreError: The store is closed, or an earlier event could not be written.
        """
        check_name(("store", self.path), "kind", kind)
        if not isinstance(data, Mapping):
            raise InvalidTypeError(
                f"store {shorten(self.path)}: data of event {shorten(kind)} is {shorten(data)}; "
                "it must be a mapping"
            )
        plain = check_json(("event", kind), "data", dict(data))
        text = msgspec.json.encode(plain).decode()
        with self._mutex:
            self._check_open()
            if self._events is None:
                events = EventLog(self._writer)
                self._writer.add(events)
                self._events = events
            if self._events.failure is not None:
                failure, self._events = self._events.failure, None
                raise failure
            self._events.put((kind, text))

    def list_events(
        self, kind: str | None = None, *, limit: int | None = None
    ) -> list[StoredEvent]:
        """The events on record, the oldest first, those included that were recorded just now.

        Args:
            kind: Only those of this kind.
            limit: At most so many, the latest.

        Raises:
            StoreError: The store is closed or cannot be read, or an event could not be written.
        """
        filters = self._filters(kind=kind)
        most = self._check_limit(limit)
        self._check_open()
        if (events := self._events) is not None:
            events.wait()
        with self._connected("read") as connection:
            return read_events(connection, self._reader, filters, most)

    def close(self) -> None:
        """Write what is there, and let go of the file. Twice is fine.

        A run that is still on is ended by it.

        Raises:
            StoreError: An event could not be written.
        """
        with self._mutex:
            if self._closed:
                return
            self._closed = True
        self._writer.close()
        self._locks.close()
        if self._events is not None:
            self._events.wait()

    # For the run

    def open_journal(
        self,
        graph_id: str | None,
        run_id: str | None = None,
        *,
        total_tasks: int,
        on_written: Callable[[int], object],
        on_error: Callable[[StoreError], object],
    ) -> Journal:
        """Take up a run of a graph. Blocks.

        Args:
            graph_id: The graph; None for a task that is executed alone.
            run_id: The run. None: the latest of the graph if that is not over, else a new one.
            total_tasks: How many tasks the graph has.
            on_written, on_error: See `Outbox`.

        Raises:
            GraphRunningError: Somebody executes that run.
            InvalidValueError: The run is one of another graph.
            StoreError: The store cannot be read or written.
        """
        if graph_id is not None:
            check_name(("store", self.path), "graph_id", graph_id)
        if run_id is not None:
            check_name(("graph", graph_id or ""), "run_id", run_id)
        with self._connected("written") as connection:
            opening = open_run(connection, self._reader, self._locks, graph_id, run_id, total_tasks)
        journal = Journal(self._writer, opening, self._locks.release, on_written, on_error)
        try:
            self._writer.add(journal)
        except BaseException:
            journal.let_go()
            raise
        return journal

    def lookup(self, keys: Iterable[str], *, since: float = -math.inf) -> dict[str, Cached]:
        """The latest success under each key over all runs, if there is one. Blocks.

        The first call for a file makes an index, which takes a while where there are millions of
        rows.

        Args:
            keys: The keys.
            since: Only successes from then on, in Unix time in seconds.

        Raises:
            StoreError: The store cannot be read or written.
        """
        with self._connected("read") as connection:
            return look_up(connection, self._reader, keys, since)

    def _connected(self, doing: str) -> AbstractContextManager[sqlite3.Connection]:
        self._check_open()
        return connected(self.path, self._busy_timeout, doing)

    @contextmanager
    def _explainer(self, run_id: str) -> Iterator[StoredRunExplainer]:
        with self._connected("read") as connection:
            connection.execute("BEGIN")  # all of it as it is at one instant
            yield StoredRunExplainer(connection, self._reader, self._locks, run_id)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"store {shorten(self.path)}: is closed; open it again")

    def _filters(self, **names: str | None) -> dict[str, str]:
        owner = ("store", self.path)
        return {
            field: check_name(owner, field, name)
            for field, name in names.items()
            if name is not None
        }

    def _check_limit(self, limit: object) -> int:
        """The limit as SQLite understands it."""
        return -1 if limit is None else check_count(("store", self.path), "limit", limit, least=1)


def _check_path(path: object) -> str:
    if not isinstance(path, str | os.PathLike) or not isinstance(name := os.fspath(path), str):
        raise InvalidTypeError(
            f"store: path is {shorten(path)}, of type {type(path).__name__}; it must be a str or "
            "a path"
        )
    if not name or "\0" in name:
        raise InvalidValueError(f"store: path is {shorten(name)}; it must be the name of a file")
    return os.path.abspath(name)


def _check_durability(path: str, durability: object) -> str:
    if isinstance(durability, str) and durability in _DURABILITIES:
        return durability
    raise InvalidValueError(
        f"store {shorten(path)}: durability is {shorten(durability)}; it must be "
        f"{' or '.join(map(repr, _DURABILITIES))}"
    )


def _check_busy_timeout(path: str, value: object) -> float:
    seconds = check_number(("store", path), "busy_timeout", value)
    if not 0 <= seconds <= _LONGEST_TIMEOUT:
        raise InvalidValueError(
            f"store {shorten(path)}: busy_timeout is {shorten(value)}; it must be from 0 to "
            f"{_LONGEST_TIMEOUT} seconds"
        )
    return seconds


def _check_state(path: str, state: object) -> str:
    value = state.value if isinstance(state, TaskState) else state
    known = [one.value for one in TaskState if one.terminal]
    if value in known:
        return str(value)
    raise InvalidValueError(
        f"store {shorten(path)}: state is {shorten(state)}; it must be one of {', '.join(known)}"
    )
