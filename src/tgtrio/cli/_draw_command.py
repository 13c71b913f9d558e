"""`tgtrio show` of a graph file: the graph as text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Literal

import attrs
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from .._graph import TaskGraph
from .._graph_file import SUFFIXES
from ..drawing import draw_tree, measure, summarize, to_dot, to_mermaid
from ..drawing._picture import LIMIT, fits
from ..instruments._picture import unicode_of
from ._errors import ExitCode, UsageError
from ._load import load_graph
from ._options import Limit
from ._output import console, print_json, say

SQLITE = b"SQLite format 3\0"
MOST_LINES = 40  # of a tree below a summary


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class DrawOptions:
    """How a graph file is shown.

    Parameters
    ----------
    format
        Of a graph file: summary, tree, mermaid, or dot (for Graphviz). By default the summary,
        and the tree if it fits on a screen.
    start
        Where a tree begins. roots: with the tasks that depend on nothing; below each stands what
        depends on it. sinks: with the last ones; below each stands what it waits for. By default
        roots.
    limit
        Above so many tasks, those of one action and level are drawn as one. By default 200.
    all
        Draw every task, however many there are.
    """

    format: Literal["summary", "tree", "mermaid", "dot"] | None = None
    start: Literal["roots", "sinks"] | None = None
    limit: Limit = None
    all: bool = False

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        return [f"--{name}" for name, value in attrs.asdict(self).items() if value]


def is_graph_file(path: str) -> bool:
    """Is it a graph file rather than a store? Stores are told by content, graphs by suffix."""
    return os.path.splitext(path)[1].lower() in SUFFIXES and not _is_sqlite(path)


def _is_sqlite(path: str) -> bool:
    if not os.path.isfile(path):  # from a pipe nothing may be taken
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(SQLITE)) == SQLITE
    except OSError:  # told when it is read
        return False


def draw(path: str, options: DrawOptions, *, json: bool) -> ExitCode:
    """Print a graph file as text, and return the exit code."""
    _check(options, json=json)
    graph = load_graph(path, None)
    if json:
        print_json(measure(graph).to_dict())
    elif options.format in ("mermaid", "dot"):
        write = to_mermaid if options.format == "mermaid" else to_dot
        _say_if_folded(graph, options, few_arrows=True)
        sys.stdout.write(write(graph, limit=_limit(options)))
    elif options.format == "tree":
        _say_if_folded(graph, options, few_arrows=False)
        _print(console(), _tree(graph, options, _limit(options)))
    else:
        _print(console(), _summary(graph, options))
    return ExitCode.OK


def _check(options: DrawOptions, *, json: bool) -> None:
    """Refuse options that do not fit together.

    Raises:
        UsageError: They do not.
    """
    if json and (others := [name for name in options.given if options.format != "summary"]):
        raise UsageError(f"{others[0]} draws; --json is for the summary")
    drawn = options.format in ("tree", "mermaid", "dot")
    if options.limit is not None and options.all:
        raise UsageError("--all draws every task, whatever --limit says; give one of them")
    if (options.limit is not None or options.all) and not drawn:
        name = "--all" if options.all else "--limit"
        raise UsageError(f"{name} is for drawings; add --format tree, mermaid or dot")
    if options.start is not None and options.format != "tree":
        raise UsageError("--start is for trees; add --format tree")


def refuse_run(path: str, run: str | None) -> None:
    """Refuse the name of a run where there are no runs."""
    if run is not None:
        raise UsageError(f"{run}: {path} is a graph file; only a store has runs")


def refuse_drawing(path: str, options: DrawOptions) -> None:
    """Refuse what is for graph files only."""
    if options.given:
        suffixes = ", ".join(SUFFIXES)
        raise UsageError(
            f"{options.given[0]} is for graph files ({suffixes}), and {path} is none; "
            "stores keep no graphs"
        )


def refuse_nothing(path: str) -> None:
    """Refuse a path that leads nowhere: it may have been meant as either."""
    if not os.path.lexists(path):
        suffixes = ", ".join(SUFFIXES)
        raise UsageError(
            f"{path} does not exist; name a graph file ({suffixes}), or a store, "
            "which `tgtrio run GRAPH --store FILE` makes"
        )


def _limit(options: DrawOptions) -> int | None:
    return None if options.all else options.limit or LIMIT


def _say_if_folded(graph: TaskGraph, options: DrawOptions, *, few_arrows: bool) -> None:
    tasks, dependencies = len(graph), len(graph.freeze().dependencies)
    if not fits(tasks, dependencies, _limit(options), few_arrows=few_arrows):
        say("folded by action and level; --all draws every task, --limit N up to N of them")


def _tree(graph: TaskGraph, options: DrawOptions, limit: int | None) -> list[str]:
    ascii_only = not unicode_of(console())
    text = draw_tree(graph, start=options.start or "roots", limit=limit, ascii_only=ascii_only)
    return text.splitlines()


def _summary(graph: TaskGraph, options: DrawOptions) -> list[str]:
    """The summary, and the tree below it if it is asked for nothing else and fits."""
    lines = summarize(graph, ascii_only=not unicode_of(console())).splitlines()
    if options.format == "summary" or not len(graph):
        return lines
    tree = _tree(graph, options, None)[2:] if len(graph) <= MOST_LINES else []
    if 0 < len(tree) <= MOST_LINES:
        return [*lines, "", *tree]
    return [*lines, "", "--format tree, mermaid or dot draws it"]


def _print(to: Console, lines: Iterable[str]) -> None:
    """Print lines; on a terminal they are cut where it ends."""
    for line in lines:
        text = Text(line)
        if to.is_terminal:
            text.truncate(to.width, overflow="ellipsis" if unicode_of(to) else "crop")
        to.file.write(f"{text.plain}\n")
