"""`tgtrio demo`: the census of a source tree, with its progress and its tables."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator

from .._graph import TaskGraph
from ._census import ACTIONS, TOTAL, census_graph, standard_library
from ._census_report import print_census
from ._errors import ExitCode, Outcome
from ._execute import execute
from ._output import console, forgiving_output, print_json, reserved_stdout

MAX_PARALLEL = 8


def demo(directory: str | None, max_parallel: int | None, *, json: bool) -> ExitCode:
    """Count a source tree, print what was found, and return the exit code.

    It is 0 if the total was made, whatever became of single files.
    """
    graph = census_graph(
        standard_library() if directory is None else directory, max_parallel or MAX_PARALLEL
    )
    with reserved_stdout() if json else contextlib.nullcontext():
        outcome = _count(graph)
    with forgiving_output(hung_up=outcome.code is ExitCode.HUNG_UP):
        if json:
            print_json(outcome.result.to_dict())
        else:
            print_census(console(), outcome)
    return ExitCode.OK if outcome.result.results[TOTAL].success else outcome.code


def _count(graph: TaskGraph) -> Outcome:
    with _no_warnings():
        return execute(
            graph,
            ACTIONS,
            per_action_caps={"count_file": processors()},
            retry=None,  # a file that is broken stays so
            breaker=None,
            idempotent=False,
        )


def processors() -> int:
    """How many processors this process may use; threads beyond them only wait for each other."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Parsing warns of odd literals in other people's files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
