"""`tgtrio run`: a graph file from its first task to its summary."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from .._errors import GraphRunningError, InvalidGraphError, InvalidValueError, StoreError
from .._graph import TaskGraph
from .._instrument import Instrument
from .._store import RawStore
from ..report import Report
from ._errors import ExitCode, Outcome, UsageError
from ._execute import execute
from ._going_on import after_run
from ._instruments import check_files, logged, make_instruments
from ._load import find_actions, importable_here, load_graph
from ._options import RunOptions, check_limits, read_options
from ._output import console, forgiving_output, print_json, reserved_stdout, say
from ._summary import print_summary


def run(path: str, options: RunOptions) -> ExitCode:
    """Run a graph file, print what became of it, and return the exit code."""
    with importable_here(), reserved_stdout() if options.json else contextlib.nullcontext():
        outcome, origin = _run(path, options)
    with forgiving_output(hung_up=outcome.code is ExitCode.HUNG_UP):
        if options.json:
            if outcome.store_error:
                say(outcome.store_error)
            print_json(outcome.result.to_dict())
        else:
            more = after_run(outcome, options)
            print_summary(console(), outcome, quiet=options.quiet, origin=origin, more=more)
    return outcome.code


def _run(path: str, options: RunOptions) -> tuple[Outcome, str]:
    """How the run ended, and which one it was."""
    with _told_for_a_command(path, options):
        return _execute(path, options)


@contextlib.contextmanager
def _told_for_a_command(path: str, options: RunOptions) -> Iterator[None]:
    """What refuses a run names the command's means, where the library names a program's."""
    try:
        yield
    except InvalidGraphError as exc:
        actions = [] if options.actions is None else ["--actions", options.actions]
        command = shlex.join(["tgtrio", "validate", path, *actions])
        text = str(exc).replace(", see .problems", "")
        raise UsageError(f"{text}\n{command} tells all that is wrong") from exc
    except (GraphRunningError, InvalidValueError) as exc:
        exc.args = (str(exc).replace("give another run_id", "give another --run-id"),)
        raise


def _execute(path: str, options: RunOptions) -> tuple[Outcome, str]:
    settings = read_options(options)
    check_files(path, options)
    graph = load_graph(path, options.timeout)
    actions = find_actions(graph, options.actions, options.max_retries)
    check_limits(graph, settings)
    with _opened(options) as store, logged(options.verbose):
        instruments = make_instruments(options)
        outcome = execute(
            graph,
            actions,
            quiet=options.quiet,
            grace=options.grace,
            store=store,
            instruments=instruments,
            **settings,
        )
        _tell_of_reports(instruments, quiet=options.quiet)
        return outcome, _origin(outcome, graph, store, options)


def _tell_of_reports(instruments: Iterable[Instrument], *, quiet: bool) -> None:
    for report in instruments:
        if not isinstance(report, Report):
            continue
        if not report.written:
            say(f"the report could not be written to {report.path}")
        elif not quiet:
            say(f"the report is in {report.path}")


@contextlib.contextmanager
def _opened(options: RunOptions) -> Iterator[RawStore | None]:
    """The store that is asked for, until the run is over; all that came is on disk then."""
    if options.store is None:
        yield None
        return
    store = RawStore(options.store, durability=options.durability or "batch")
    try:
        yield store
    except BaseException:
        with contextlib.suppress(StoreError):  # what is on its way says more
            store.close()
        raise
    try:
        store.close()
    except StoreError as exc:  # the tasks are on disk, but not an event that happened beside them
        say(str(exc))


def _origin(outcome: Outcome, graph: TaskGraph, store: RawStore | None, options: RunOptions) -> str:
    """`run 5b0e8a resumed, in jobs.db`, or nothing where no run is kept."""
    if store is None:
        return ""
    run_id = outcome.result.run_id
    resumed = _resumed(store, graph.graph_id, run_id, 1 if options.run_id is None else None)
    return f"run {run_id}{', resumed' if resumed else ''}, in {options.store}"


def _resumed(store: RawStore, graph_id: str, run_id: str, limit: int | None) -> bool:
    try:
        runs: list[Any] = store.list_runs(graph_id, limit=limit)
    except StoreError:  # it has failed during the run, which is told elsewhere
        return False
    return any(run.run_id == run_id and run.resumptions for run in runs)
