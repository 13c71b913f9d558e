"""For programs of asyncio: graphs that run on its loop, and actions that await its things."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import trio

from ._actions import make_action
from ._context import TaskContext
from ._errors import AsyncioCancelledError, EventLoopError, InvalidTypeError, shorten
from ._graph import TaskGraph
from ._guest import raised_by_loop, run_as_guest
from ._results import GraphResult
from ._run import run_graph
from ._settings import RunOptions

if TYPE_CHECKING:
    import asyncio

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


async def run_in_asyncio(
    graph: TaskGraph, actions: object, **options: Unpack[RunOptions]
) -> GraphResult:
    """Run a graph from an asyncio program, on its loop and in its thread.

    Returns when the last task of the graph has ended. The actions are those of Trio, or come
    from `asyncio_action`. Runs of one loop share one Trio run, and so may share limiters,
    breakers and stores; one that raises what is no `Exception` ends the others too.

    Cancellation: of the asyncio task cancels what is in flight, waits until nothing of the run
    is left and what there is for the store is on disk, and passes on `asyncio.CancelledError`.
    Ctrl-C under `asyncio.run` comes as that; a second one breaks off, as it does with asyncio.

    Args:
        graph, actions, options: As of `run_graph`.

    Raises:
        EventLoopError: No asyncio loop runs here, or the caller is a Trio task, or the thread
            has a Trio run of somebody else.
        UnknownActionError, InvalidTypeError, InvalidValueError, GraphRunningError, StoreError,
        KeyboardInterrupt, SystemExit: As of `run_graph`; after a KeyboardInterrupt or SystemExit
            nothing is left of any run of this loop.

    Returns:
        The result; it holds every task of the graph.
    """
    if trio.lowlevel.in_trio_task():
        raise EventLoopError("this is a Trio task: await tgtrio.run_graph, not run_in_asyncio")
    if _running_loop() is None:
        raise EventLoopError(
            "no asyncio loop runs in this thread; begin with asyncio.run, or use tgtrio.run_graph "
            "under trio.run"
        )
    result: GraphResult = await run_as_guest(
        functools.partial(run_graph, graph, actions, **options)
    )
    return result


def asyncio_action(function: F) -> F:
    """Make an action of a coroutine function that awaits asyncio's things.

    It runs as an asyncio task of the loop that hosts the run, with the context variables of the
    action, and takes `(args)` or `(args, context)` like any other. When its task is cancelled or
    times out, the asyncio task is cancelled, once, and waited for. An asyncio task that somebody
    else cancels has failed, with `AsyncioCancelledError`.

        >>> import asyncio
        >>> @asyncio_action
        ... async def ask(args):
        ...     await asyncio.sleep(0)
        ...     return args["question"].upper()

    Args:
        function: An `async def`, or a callable object whose `__call__` is one.

    Raises:
        InvalidTypeError: It is none, or cannot be called as `action(args)` or
            `action(args, context)`.

    Returns:
        The action. Called outside of `run_in_asyncio` it raises `EventLoopError`.
    """
    name = getattr(function, "__name__", type(function).__name__)
    inner = make_action(name, function)
    if not inner.is_async:
        raise InvalidTypeError(
            f"asyncio_action: {shorten(function)} is no coroutine function; a plain function is "
            "an action as it is"
        )
    body = inner.function

    async def with_context(args: dict[str, Any], context: TaskContext) -> object:
        return await _on_the_loop(name, body, args, context)

    async def without_context(args: dict[str, Any]) -> object:
        return await _on_the_loop(name, body, args)

    action: Any = with_context if inner.wants_context else without_context
    functools.update_wrapper(action, function)
    del action.__wrapped__  # its signature is its own
    made: F = action
    return made


async def _on_the_loop(name: str, body: Callable[..., Any], *args: object) -> object:
    """Run an asyncio task from a Trio task, and end as it ends."""
    import asyncio

    loop = _running_loop()
    if loop is None:
        raise EventLoopError(
            f"action {shorten(name)} awaits asyncio, and no asyncio loop runs here; run its graph "
            "by tgtrio.run_in_asyncio"
        )
    # Not by `loop.create_task`: an eager first step would run as if it were Trio's.
    task = asyncio.Task(body(*args), loop=loop, context=contextvars.copy_context())
    cancelled = await _ended(task)
    if not task.cancelled():
        raised_by_loop(loop, task.exception())
    try:
        return task.result()
    except asyncio.CancelledError as error:
        for raise_cancelled in cancelled:
            raise_cancelled()
        raise AsyncioCancelledError(
            f"action {shorten(name)}: its asyncio task was cancelled, and not by the run"
        ) from error
    finally:
        del task


async def _ended(task: asyncio.Task[object]) -> list[Callable[[], object]]:
    """Wait for an asyncio task to end; one that this Trio task is cancelled in is cancelled.

    Returns:
        What raises `trio.Cancelled`, if it is due.
    """
    trio_task = trio.lowlevel.current_task()
    cancelled: list[Callable[[], object]] = []

    def abort(raise_cancelled: Callable[[], object]) -> trio.lowlevel.Abort:
        cancelled.append(raise_cancelled)
        task.cancel()
        return trio.lowlevel.Abort.FAILED

    task.add_done_callback(lambda _task: trio.lowlevel.reschedule(trio_task))
    await trio.lowlevel.wait_task_rescheduled(abort)
    return cancelled


def _running_loop() -> asyncio.AbstractEventLoop | None:
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
