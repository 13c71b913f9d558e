"""What a store gives back.

A file may have been edited by anybody. What is read from it is checked, and nothing in it is
ever executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import msgspec

from ._arguments import check_json
from ._errors import InvalidArgumentError, StoreError, shorten
from ._records import Record
from ._states import TaskState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen(kw_only=True)
class StoredRun(Record):
    """What a store knows of a run.

    Attributes:
        run_id: The run.
        graph_id: The graph that it executes; None for a task that was executed alone.
        state: "running" if somebody executes it now, "crashed" if nobody does and its end was
            not written; otherwise how it ended: "finished", "aborted", "cancelled",
            "timed_out", "drained" or "interrupted".
        total_tasks: How many tasks its graph had when it was last taken up.
        started_at: When it began (aware, UTC).
        finished_at: When its end was written; None if it was not.
        states: How many tasks are in each state, zeros included: at its end, or if that was not
            written, of those that have ended.
        statistics: The figures at its end; None if it was not written.
        resumptions: How many times it was taken up again.
    """

    run_id: str
    graph_id: str | None
    state: str
    total_tasks: int
    started_at: datetime
    finished_at: datetime | None
    states: Mapping[str, int]
    statistics: Mapping[str, Any] | None = attrs.field(repr=False)
    resumptions: int


@attrs.frozen(kw_only=True)
class TaskExecution(Record):
    """One end of a task on record. A resumed run may have several of a task.

    Attributes:
        run_id: The run.
        graph_id: Its graph; None if the task was executed alone.
        task_id: The task.
        action_name: What did its work.
        idempotency_key: Its key, or None.
        state: The state that it ended in, as "succeeded".
        attempts: How many times the action was called.
        cached: True if the response was served and the action not called.
        late: True if the value came after the attempt was timed out or cancelled.
        started_at: When the last attempt began (aware, UTC); None if there was none.
        finished_at: When the task ended (aware, UTC).
        execution_time_ms: How long the last attempt took; None if there was none.
        response: What the action returned; None unless it succeeded.
        error: Empty if it succeeded, else the reason in words.
        traceback: The formatted traceback, or "".
        blamed: The task that kept it from success: a dependency, or one that was equal work and
            failed. None if it ended by itself.
    """

    run_id: str
    graph_id: str | None
    task_id: str
    action_name: str
    idempotency_key: str | None
    state: str
    attempts: int
    cached: bool
    late: bool
    started_at: datetime | None
    finished_at: datetime
    execution_time_ms: float | None
    response: Any
    error: str
    traceback: str = attrs.field(repr=False)
    blamed: str | None = None


@attrs.frozen(kw_only=True)
class RootFailure(Record):
    """A task without success that no other kept from it, and what it took along.

    Attributes:
        task_id: The task.
        state: The state that it ended in.
        attempts: How many times its action was called.
        error: The reason in words, of a very long one the beginning.
        took_along: How many others did not succeed because of it.
        tasks: The first of them, at most 10.
        earlier: True if that was before the run was resumed, and it has not ended since.
    """

    task_id: str
    state: TaskState
    attempts: int
    error: str
    took_along: int
    tasks: tuple[str, ...]
    earlier: bool


@attrs.frozen(kw_only=True)
class StoredEvent(Record):
    """Something on record that is no end of a task.

    Attributes:
        at: When it was recorded (aware, UTC).
        kind: What happened.
        data: The particulars.
    """

    at: datetime
    kind: str
    data: Mapping[str, Any]


@attrs.frozen
class Committed:
    """A success of an earlier incarnation of a run.

    Attributes:
        key: The idempotency key that the task had, or None.
        response: What the action returned, as JSON; `decode_response` reads it.
        attempts: How many times the action was called.
        late: True if the value came after the attempt was timed out or cancelled.
        started_at: When the last attempt began, Unix time in seconds; None if there was none.
        finished_at: When the task ended, Unix time in seconds.
        execution_ms: How long the last attempt took; None if there was none.
    """

    key: str | None
    response: bytes
    attempts: int
    late: bool
    started_at: float | None
    finished_at: float
    execution_ms: float | None


@attrs.frozen
class Cached:
    """The latest success under a key, of any run.

    Attributes:
        response: What the action returned, as JSON; `decode_response` reads it.
        run_id: The run.
        task_id: The task.
        at: When the task ended (aware, UTC).
    """

    response: bytes
    run_id: str
    task_id: str
    at: datetime


class Reader:
    """Reads the values of one store, and names it and their owner where they are wrong."""

    def __init__(self, path: str) -> None:
        self._path = path

    def instant(self, seconds: float, owner: str, column: str) -> datetime:
        try:
            return _EPOCH + timedelta(seconds=seconds)
        except (OverflowError, ValueError) as exc:
            raise self.damaged(owner, column, f"{seconds!r} is no instant") from exc

    def instant_or_none(self, seconds: float | None, owner: str, column: str) -> datetime | None:
        return None if seconds is None else self.instant(seconds, owner, column)

    def json(self, raw: bytes | None, owner: str, column: str) -> Any:
        """JSON data, exactly as strict as what is taken in; None of NULL."""
        if raw is None:
            return None
        try:
            return check_json(("column", column), column, msgspec.json.decode(raw))
        except (InvalidArgumentError, RecursionError, ValueError) as exc:
            reason = "it is nested too deep" if isinstance(exc, RecursionError) else str(exc)
            raise self.damaged(owner, column, f"{shorten(raw)} is not JSON data: {reason}") from exc

    def json_object(self, raw: bytes | None, owner: str, column: str) -> dict[str, Any]:
        value = self.json(raw, owner, column)
        if not isinstance(value, dict):
            raise self.damaged(owner, column, f"{shorten(value)} is no JSON object")
        return value

    def state(self, value: str, owner: str) -> TaskState:
        try:
            return TaskState(value)
        except ValueError as exc:
            raise self.damaged(owner, "state", f"{shorten(value)} is no state of a task") from exc

    def damaged(self, owner: str, column: str, reason: str) -> StoreError:
        return StoreError(
            f"store {shorten(self._path)}: {owner}: {column} cannot be read: {reason}; somebody "
            "has changed the file: restore it from a copy, or begin a new run"
        )


def owner_of(run_id: str, task_id: str | None = None) -> str:
    """Whose value it is, for a message."""
    task = "" if task_id is None else f", task {shorten(task_id)}"
    return f"run {shorten(run_id)}{task}"


def decode_response(path: str, response: bytes, run_id: str, task_id: str) -> Any:
    """The value that a `Committed` or `Cached` response stands for.

    Args:
        path: The store it comes from.
        response: The JSON.
        run_id: The run it comes from.
        task_id: The task it comes from.

    Raises:
        StoreError: It is no JSON data. The message names run and task.
    """
    return Reader(path).json(response, owner_of(run_id, task_id), "response")
