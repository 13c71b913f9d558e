"""One run with its display, and what Ctrl-C does to it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import trio

from .._graph import TaskGraph
from .._results import GraphResult
from .._run import open_run
from ._errors import ActionExitedError
from ._progress import Progress


@attrs.frozen
class Outcome:
    """How a run ended, and whether the user ended it."""

    result: GraphResult
    interrupted: bool


def execute(
    graph: TaskGraph,
    actions: Mapping[str, Any],
    progress: Progress,
    **options: Any,
) -> Outcome:
    """Run a graph and show its progress.

    The first Ctrl-C cancels the run, so that there is a result to show. Another one is a
    KeyboardInterrupt.

    Args:
        options: Those of `open_run`.

    Raises:
        TgtrioError: The run was refused; nothing ran.
        KeyboardInterrupt: Ctrl-C came twice.
        ActionExitedError: An action raised SystemExit.
    """
    try:
        return trio.run(_execute, graph, actions, progress, options)
    except BaseExceptionGroup as group:
        error = _cause_in(group)
    if isinstance(error, SystemExit):
        raise ActionExitedError(
            f"an action called sys.exit({error.code!r}), which ended the run"
        ) from error
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
    graph: TaskGraph, actions: Mapping[str, Any], progress: Progress, options: dict[str, Any]
) -> Outcome:
    interrupted = trio.Event()
    async with trio.open_nursery() as nursery:
        async with open_run(graph, actions, **options) as run:

            def interrupt() -> None:
                interrupted.set()
                run.cancel(reason="interrupted by Ctrl-C")

            nursery.start_soon(progress.follow, run)
            with first_interrupt(interrupt):
                result = await run.wait()
        nursery.cancel_scope.cancel()
    return Outcome(result, interrupted.is_set())


@contextlib.contextmanager
def first_interrupt(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` on the Trio thread at the first Ctrl-C; the second does what it did before."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and gets Ctrl-C
        return
    token = trio.lowlevel.current_trio_token()
    before = signal.getsignal(signal.SIGINT)

    def handle(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        token.run_sync_soon(act)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, before)
