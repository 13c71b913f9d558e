"""One run with its display, and what signals do to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from .._errors import StoreError
from .._graph import TaskGraph
from .._results import GraphResult
from .._run import open_run
from ._errors import ActionExitedError, Outcome
from ._progress import RunProgress
from ._stopping import GRACE, Stopping, heeding_signals


def execute(
    graph: TaskGraph,
    actions: Mapping[str, Any],
    *,
    quiet: bool = False,
    grace: float = GRACE,
    **options: Any,
) -> Outcome:
    """Run a graph, show its progress, and end it where a signal asks for that.

    Args:
        quiet: Show no progress.
        grace: How long what is in flight may go on after the first signal, in seconds.
        options: Those of `open_run`.

    Raises:
        TgtrioError: The run was refused; nothing ran.
        KeyboardInterrupt: A signal came for the third time. It carries the first one.
        ActionExitedError: An action raised SystemExit.
    """
    stopping = Stopping(grace)
    progress = None if quiet else RunProgress(stopping)
    try:
        result = trio.run(_execute, graph, actions, progress, stopping, options)
        return Outcome(result, stopping.signal)
    except BaseExceptionGroup as group:
        error = _cause_in(group)
    if isinstance(error, KeyboardInterrupt):
        raise KeyboardInterrupt(stopping.signal) from error
    if isinstance(error, SystemExit):
        raise ActionExitedError(
            f"an action called sys.exit({error.code!r}), which ended the run"
        ) from error
    if isinstance(error, StoreError) and error.result is not None:
        return Outcome(error.result, stopping.signal, str(error))
    raise error


def _cause_in(group: BaseExceptionGroup) -> BaseException:
    """What the run ended with, out of the group that the nursery around it makes of that.

    Ctrl-C comes before all else; an exit, only where nothing worse happened.
    """
    if group.subgroup(KeyboardInterrupt) is not None:
        return KeyboardInterrupt()
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    only_exits = group.split(SystemExit)[1] is None
    return first if only_exits or len(group.exceptions) == 1 else group


async def _execute(
    graph: TaskGraph,
    actions: Mapping[str, Any],
    progress: RunProgress | None,
    stopping: Stopping,
    options: dict[str, Any],
) -> GraphResult:
    with heeding_signals(stopping.ask):  # until nothing is left, also of a run that is stuck
        async with trio.open_nursery() as nursery:
            async with open_run(graph, actions, **options) as run:
                if progress is not None:  # from here: it shows too how a run is being cancelled
                    nursery.start_soon(progress.beside, run)
                nursery.start_soon(stopping.carry_out, run)
                result = await run.wait()
            nursery.cancel_scope.cancel()
    return result
