"""`tgtrio run`: a graph file from its first task to its summary."""

from __future__ import annotations

import contextlib

from ._errors import ExitCode, exit_code
from ._execute import Outcome, execute
from ._load import find_actions, importable_here, load_graph
from ._options import RunOptions, check_limits, read_options
from ._output import console, print_json, reserved_stdout
from ._progress import choose_progress
from ._summary import print_summary


def run(path: str, options: RunOptions) -> ExitCode:
    """Run a graph file, print what became of it, and return the exit code."""
    with importable_here(), reserved_stdout() if options.json else contextlib.nullcontext():
        outcome = _run(path, options)
    if options.json:
        print_json(outcome.result)
    else:
        print_summary(
            console(), outcome.result, interrupted=outcome.interrupted, quiet=options.quiet
        )
    return exit_code(outcome.result, interrupted=outcome.interrupted)


def _run(path: str, options: RunOptions) -> Outcome:
    limits = read_options(options)
    graph = load_graph(path, options.timeout)
    actions = find_actions(graph, options.actions)
    check_limits(graph, limits)
    progress = choose_progress(graph.graph_id, console(stderr=True), quiet=options.quiet)
    return execute(graph, actions, progress, **limits)
