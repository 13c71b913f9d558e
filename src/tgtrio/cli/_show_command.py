"""`tgtrio show`: the story of a run, out of its store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import attrs

from .._errors import StoreError, shorten
from .._results import GraphResult, TaskResult
from .._states import TaskState
from .._store_explain import find_roots
from .._store_journal import FINISHED, RUNNING
from .._store_records import StoredRun, TaskExecution
from ._errors import ExitCode
from ._going_on import going_on
from ._output import console, print_json
from ._stores import find_run, graph_of, opened_store, statistics_of
from ._summary import print_summary
from ._text import cut, instant


def show(path: str, name: str, *, json: bool) -> ExitCode:
    """Print what a store knows of a run, and return the exit code."""
    with opened_store(path) as store:
        run = find_run(store, name)
        executions = store.list_task_executions(run.run_id)
    if json:
        print_json({**run, "executions": [dict(one) for one in executions]})
    else:
        past = story(run, executions, datetime.now(UTC))
        print_summary(console(), past, origin=origin(run), more=resume(run, path))
    return ExitCode.OK


@attrs.frozen
class Story:
    """A run out of a store, told like one that has just ended."""

    result: GraphResult
    end: str
    reason: str = ""


def story(run: StoredRun, executions: Sequence[TaskExecution], now: datetime) -> Story:
    """What is told of a run, and of the last end of each task in it."""
    statistics = statistics_of(run)
    ended = run.finished_at or max([one.finished_at for one in executions], default=run.started_at)
    if run.state == RUNNING:
        ended = now
    states = statistics["states"]
    roots = _roots_of(executions)
    result = GraphResult(
        graph_id=graph_of(run),
        run_id=run.run_id,
        total_tasks=sum(states.values()),
        results={one.task_id: _result_of(one, roots) for one in executions},
        statistics=statistics,
        elapsed_ms=(ended - run.started_at).total_seconds() * 1000,
        completed_at=ended.isoformat(),
        ok=states["succeeded"] + states["skipped"] == sum(states.values()),
    )
    return Story(result, "" if run.state == "finished" else run.state.replace("_", " "))


def _roots_of(executions: Sequence[TaskExecution]) -> dict[str, str]:
    """The task at the root of the last end of each that another kept from success."""
    last = {one.task_id: one for one in executions}
    blamed = {name: one.blamed for name, one in last.items() if one.state != "succeeded"}
    found = find_roots(blamed)
    return {name: found[name] for name, whom in blamed.items() if whom and name in found}


def _result_of(one: TaskExecution, roots: Mapping[str, str]) -> TaskResult:
    try:
        state = TaskState(one.state)
    except ValueError:
        raise StoreError(
            f"run {shorten(one.run_id)}, task {shorten(one.task_id)}: state is "
            f"{shorten(one.state)}; somebody has changed the store"
        ) from None
    return TaskResult(
        task_id=one.task_id,
        state=state,
        error=one.error if state is TaskState.FAILED else _cause_in(one.error),
        attempts=one.attempts,
        late=one.late,
        execution_time_ms=one.execution_time_ms,
        caused_by=roots.get(one.task_id) if state is not TaskState.SUCCEEDED else None,
    )


def _cause_in(error: str) -> str:
    """Why a task never ran, without the way there, so that those of one cause are alike.

    Stores of format 1 do not say whom a task blames; but the error ends with `because task 'x'
    failed: ...`, or of a task that depends on that one, begins with `dependency 'x' failed: ...`.
    """
    error = error.partition("\n")[0]
    _, far, cause = error.partition(", because task ")
    if not far:
        _, near, cause = error.partition("dependency ")
        if not near or not error.startswith("dependency "):
            return error
    return f"task {cause}"


def origin(run: StoredRun) -> str:
    """`run 5b0e8a, started 2026-01-02 12:34:56, resumed 2x`."""
    text = f"run {cut(run.run_id)}, started {instant(run.started_at)}"
    return f"{text}, resumed {run.resumptions:,}x" if run.resumptions else text


def resume(run: StoredRun, path: str) -> list[str]:
    """How to go on with a run that is not over, if it can be typed."""
    return [] if run.state in (FINISHED, RUNNING) else going_on("To go on:", run, path)
