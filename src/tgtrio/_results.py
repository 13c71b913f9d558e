"""What a caller gets: `TaskResult` and `GraphResult`.

Both have attributes and behave as read-only mappings.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from ._records import Record
from ._states import TaskState


def _succeeded(result: TaskResult) -> bool:
    return result.state is TaskState.SUCCEEDED


@attrs.frozen(kw_only=True)
class TaskResult(Record):
    """How one task ended.

    Attributes:
        task_id: The task.
        state: Its terminal state.
        success: True exactly when `state` is SUCCEEDED.
        response: What the action returned; None unless it succeeded.
        error: Empty when it succeeded, else the reason in words.
        exception: What the action raised, or the error this library failed it with; its
            traceback frames are dropped, `traceback` keeps the text.
        traceback: The formatted traceback of `exception`, or "".
        attempts: How many times the action was called.
        cached: True if the response was served and the action not called.
        late: True if the value came after the attempt was timed out or cancelled.
        deadline_missed: True if the task ended after its deadline, or ended without a
            success and its deadline has passed.
        started_at: When the last attempt began (aware, UTC); None if there was none.
        finished_at: When the task ended (aware, UTC).
        execution_time_ms: How long the last attempt took; None if there was none.
        caused_by: For a task that never ran, the id of the task at the root of it; for one that
            shared the failure of equal work, the id of the task that did it.
        idempotency_key: The key of the task, or None if it has none.
    """

    task_id: str
    state: TaskState
    success: bool = attrs.field(init=False, default=attrs.Factory(_succeeded, takes_self=True))
    response: Any = None
    error: str = ""
    exception: BaseException | None = attrs.field(default=None, repr=False)
    traceback: str = attrs.field(default="", repr=False)
    attempts: int = 0
    cached: bool = False
    late: bool = False
    deadline_missed: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    execution_time_ms: float | None = None
    caused_by: str | None = None
    idempotency_key: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data: no exception object, states and instants as text."""
        plain = {key: self[key] for key in self if key != "exception"}
        plain["state"] = self.state.value
        for key in ("started_at", "finished_at"):
            plain[key] = plain[key] and plain[key].isoformat()
        return plain


@attrs.frozen(kw_only=True, repr=False)
class GraphResult(Record):
    """How a run ended: one `TaskResult` for every task of the graph, and the figures.

    Attributes:
        graph_id: The graph.
        run_id: This run of it.
        total_tasks: How many tasks it has.
        results: Task id to `TaskResult`, in the order in which the tasks were added. A
            result is made when it is asked for.
        statistics: The same figures as `TaskGraph.get_stats`, at the end of the run.
        elapsed_ms: How long the run took, by the Trio clock.
        completed_at: When it ended, ISO 8601, UTC.
        timed_out: True if the graph's timeout ended it.
        aborted_reason: Why a safety rule ended it, or None.
        ok: True if every task succeeded or was skipped, and the run was not cut short.
    """

    graph_id: str
    run_id: str
    total_tasks: int
    results: Mapping[str, TaskResult] = attrs.field(repr=False)
    statistics: Mapping[str, Any]
    elapsed_ms: float
    completed_at: str
    timed_out: bool = False
    aborted_reason: str | None = None
    ok: bool = True

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {state}" for state, n in self.statistics["states"].items() if n)
        how = "timed out; " if self.timed_out else "aborted; " if self.aborted_reason else ""
        return f"<GraphResult {self.graph_id!r}: {how}{counts or 'no tasks'}>"

    def raise_for_failures(self) -> None:
        """Raise the root failures of the run, if there are any.

        Only tasks that failed by themselves count: not those that a failed dependency kept
        from running, and not those that were cancelled, as by the timeout of the graph. `ok`
        is False for all of these.

        Raises:
            ExceptionGroup: One exception for each FAILED task; a note on each names the task and
                has the traceback.
        """
        if self.ok:
            return  # without making a result for each of a million tasks
        failures = []
        for result in self.results.values():
            root = result.state is TaskState.FAILED and result.caused_by is None
            if root and isinstance(result.exception, Exception):
                _name_task(result.exception, result.task_id, result.traceback)
                failures.append(result.exception)
        if failures:
            count = f"{len(failures)} task{'s' * (len(failures) > 1)}"
            raise ExceptionGroup(f"{count} of graph {self.graph_id!r} failed", failures)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data, its task results included."""
        plain = dict(self)
        plain["statistics"] = dict(self.statistics)
        plain["results"] = {task_id: result.to_dict() for task_id, result in self.results.items()}
        return plain


def _name_task(exception: BaseException, task_id: str, traceback: str) -> None:
    """Note whose exception it is, and where it was raised; its frames have been let go."""
    note = f"task {task_id!r}:\n{traceback.rstrip()}" if traceback else f"task {task_id!r}"
    if note not in getattr(exception, "__notes__", ()):
        with contextlib.suppress(Exception):  # a frozen exception takes no notes
            exception.add_note(note)
