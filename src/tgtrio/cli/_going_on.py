"""What to do next: how a run is explained, and how it goes on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.text import Text

from .._store_records import StoredRun
from ._errors import ExitCode, Outcome
from ._options import RunOptions
from ._text import cut, visible


def lines_to_copy(lines: Sequence[str]) -> Text | None:
    """Commands among other lines, never broken where the terminal ends."""
    return Text("\n".join(map(visible, lines)), no_wrap=True) if lines else None


def going_on(title: str, run: StoredRun, path: str, graph: str = "GRAPH") -> list[str]:
    """How to go on with a run in a store; nothing if its id is too long to be typed.

    A store tells neither the options of a command nor whether it was one.
    """
    if cut(run.run_id) != run.run_id:
        return []
    command = shlex.join(["tgtrio", "run", graph, "--store", path, "--run-id", run.run_id])
    return [
        title,
        f"  {command}",
        "with the other options of the first run; or, where a program ran it:",
        f"  run_graph(..., store=..., run_id={run.run_id!r})",
    ]


def after_run(outcome: Outcome, options: RunOptions) -> list[str]:
    """What to do after a run that did not succeed."""
    if outcome.code is ExitCode.OK or outcome.store_error:
        return []
    if options.store is None:
        return ["To be able to go on with what failed, add --store FILE."]
    run_id = outcome.result.run_id
    if cut(run_id) != run_id:
        return []
    which = [] if options.run_id is None else ["--run", run_id]
    how = "again" if options.run_id is not None else shlex.join(["with", "--run-id", run_id])
    when = "" if outcome.end else ", once it is mended"
    return [
        f"To see why:  {shlex.join(['tgtrio', 'explain', options.store, *which])}",
        f"To go on{when}:  the same command {how}",
    ]
