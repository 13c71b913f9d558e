"""`tgtrio explain`: why a task of a stored run ended as it did, or what went wrong in all."""

from __future__ import annotations

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from .._explanation import ENDED, MOST_SHOWN, Explanation
from .._states import TaskState
from .._store import RawStore
from .._store_journal import FINISHED, RUNNING
from .._store_records import StoredRun
from ..instruments._picture import STYLES
from ._digest import MOST_FAILURES
from ._errors import ExitCode, UsageError
from ._explain_page import fold, overview
from ._going_on import going_on, lines_to_copy
from ._load import load_graph
from ._output import console, print_json
from ._show_command import origin
from ._stores import LATEST, find_run, graph_of, opened_store, states_of
from ._summary import show
from ._text import cut, ends_of, plain, visible

LONGEST_LINE = 1_000  # characters: two ids at their longest, and what is said of them
ERROR_LINES = 12
TRACEBACK_LINES = 60


def explain(
    path: str,
    task_id: str | None,
    run_name: str | None,
    graph_file: str | None,
    *,
    traceback: bool,
    json: bool,
) -> ExitCode:
    """Explain a task of a run, or all that failed in it, and return the exit code."""
    if graph_file is not None and task_id is None:
        raise UsageError("--graph tells what one task waits for; name the task")
    graph = None if graph_file is None else load_graph(graph_file, None)
    with opened_store(path) as store:
        run = find_run(store, run_name or LATEST)
        if task_id is None:
            return _explain_all(store, run, path, traceback=traceback, json=json)
        told = store.explain(run.run_id, task_id, graph)
        frames = _traceback(store, run, _root(told)) if traceback else ""
    if json:
        more = {"traceback": frames} if traceback else {}
        print_json({**_about(run), **told, **more})
    else:
        succeeded = told.state is TaskState.SUCCEEDED
        how = None if succeeded else next_step(run, path, graph_file or "GRAPH")
        show(console(), [_head(told, run), _causes(told), _frames(told, frames, traceback), how])
    return ExitCode.OK


def _about(run: StoredRun) -> dict[str, object]:
    return {"run_id": run.run_id, "graph_id": run.graph_id, "run_state": run.state}


def _root(told: Explanation) -> str:
    """The task at the root of how it ended; "" if it has not."""
    return next((one.subject for one in reversed(told.causes) if one.kind == ENDED), "")


def _traceback(store: RawStore, run: StoredRun, task_id: str) -> str:
    """The last that is on record of a task, or ""."""
    if not task_id:
        return ""
    ends = store.list_task_executions(run.run_id, task_id=task_id)
    return next((end.traceback for end in reversed(ends) if end.traceback), "")


# One task


def _head(told: Explanation, run: StoredRun) -> Text:
    text = plain(told.task_id, "bold").append(f" {told.says}", STYLES.get(told.state.value, ""))
    return text.append(f"\n{visible(f'{cut(graph_of(run))}, {origin(run)}')}", "not bold dim")


def _causes(told: Explanation) -> Padding:
    text = Text(overflow="fold")
    at_root = [place for place, one in enumerate(told.causes) if one.kind == ENDED][-1:]
    style = "" if told.state is TaskState.SUCCEEDED else STYLES["failed"]
    for place, cause in enumerate(told.causes[:MOST_SHOWN]):
        text.append("\n" if place else "")
        text.append("\n".join(_lines(cause.text)), style if place in at_root else "")
    if (left := len(told.causes) - MOST_SHOWN) > 0:
        text.append(f"\nand {left:,} more; --json tells all", "dim")
    return Padding(text, (0, 0, 0, 2))


def _lines(text: str) -> list[str]:
    """The first line, and those of a longer error below it."""
    first, _, rest = text.partition("\n")
    return [
        visible(cut(first, LONGEST_LINE)),
        *(f"    {line}" for line in ends_of(rest, ERROR_LINES)),
    ]


def _frames(told: Explanation, frames: str, wanted: bool) -> RenderableType | None:
    """The traceback of the root, whole lines and never wrapped, to be copied."""
    if not wanted:
        return None
    if not frames:
        return Text("There is no traceback on record.", "dim")
    return traceback_of(_root(told), frames)


def traceback_of(task_id: str, frames: str) -> Text:
    """A traceback below its title."""
    lines = "\n".join(f"  {line}" for line in ends_of(frames, TRACEBACK_LINES))
    text = Text("Traceback of ", "bold").append_text(plain(task_id, "bold"))
    text.append(f"\n{lines}", "not bold")
    text.no_wrap = True
    return text


# All of them


def _explain_all(
    store: RawStore, run: StoredRun, path: str, *, traceback: bool, json: bool
) -> ExitCode:
    roots = store.root_failures(run.run_id)
    frames = _tracebacks(store, run) if traceback else {}
    if json:
        more = [{"traceback": frames.get(one.task_id, "")} if traceback else {} for one in roots]
        failures = [{**one, **frame} for one, frame in zip(roots, more, strict=True)]
        print_json({**_about(run), "not_ended": states_of(run)["not ended"], "failures": failures})
        return ExitCode.OK
    folds = fold(roots)
    firsts = [one.roots[0].task_id for one in folds[:MOST_FAILURES]]
    parts: list[RenderableType | None] = [*overview(run, folds, origin(run))]
    parts += [traceback_of(one, frames[one]) for one in firsts if frames.get(one)]
    show(console(), [*parts, next_step(run, path, "GRAPH")])
    return ExitCode.OK


def _tracebacks(store: RawStore, run: StoredRun) -> dict[str, str]:
    """Of each task that failed the last that is on record."""
    ends = store.list_task_executions(run.run_id, state=TaskState.FAILED)
    return {end.task_id: end.traceback for end in ends}


def next_step(run: StoredRun, path: str, graph: str) -> Text | None:
    """How to go on with a run of which something is left to do; never wrapped."""
    states = states_of(run)
    done = states["succeeded"] + states["skipped"] == sum(states.values())
    if done or run.state == RUNNING or run.graph_id is None:
        return None
    when = ", once it is mended" if run.state == FINISHED else ""
    title = f"To go on{when} (what has succeeded is not done again):"
    return lines_to_copy(going_on(title, run, path, graph))
