"""The Trio run that lives on an asyncio loop, in its thread: one for all calls of that loop.

Trio allows one guest run in a thread. The first call begins it, later ones run in it, and the
last one to end waits until it is over: a loop that stopped before would leave Trio's state torn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import trio

from ._ends import raise_together
from ._errors import EventLoopError

if TYPE_CHECKING:
    import asyncio

    from outcome import Outcome


class Call:
    """One async function that runs in the guest run, and the asyncio task that waits for it.

    Args:
        function: What to run.
        told: Is set when `value` and `error` may be read; by then nothing is left of the call.
    """

    def __init__(self, function: Callable[[], Awaitable[Any]], told: asyncio.Event) -> None:
        self.function, self.told = function, told
        self.scope = trio.CancelScope()
        self.value: Any = None
        self.error: BaseException | None = None
        self.cancelled = True  # unless it comes to an end of its own

    async def run(self) -> None:
        """Run it, and keep what comes of it."""
        with self.scope:
            try:
                self.value = await self.function()
            except trio.Cancelled:
                raise
            except BaseException as error:
                self.error = error
            self.cancelled = False

    def interrupts(self) -> bool:
        """Did it raise what nothing may swallow?"""
        return not isinstance(self.error, Exception | None)


class Guest:
    """The guest run of a loop. All methods are called in the thread of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
        self.over = over
        self.ending = False
        self.raised_by_loop: list[BaseException] = []
        self._untold: list[Call] = []  # begun, and not told that they are over
        self._running = 0
        self._nursery: trio.Nursery | None = None
        self._loop = loop

    def begin(self, call: Call) -> None:
        """Start the guest run with its first call."""
        self._untold.append(call)
        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=self._loop.call_soon_threadsafe,
            run_sync_soon_not_threadsafe=self._loop.call_soon,
            done_callback=self._done,
            host_uses_signal_set_wakeup_fd=True,
        )

    def add(self, call: Call) -> None:
        """Run one more call in it."""
        self._untold.append(call)
        if self._nursery is not None:
            self._start(self._nursery, call)

    async def _main(self) -> None:
        """Run the calls until none is left. What Ctrl-C raises here cancels them all."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for call in self._untold:
                    self._start(nursery, call)
        finally:
            self.ending = True

    def _start(self, nursery: trio.Nursery, call: Call) -> None:
        self._running += 1
        nursery.start_soon(self._run, nursery, call, name="tgtrio.run_in_asyncio")

    async def _run(self, nursery: trio.Nursery, call: Call) -> None:
        try:
            await call.run()
        finally:
            self._running -= 1
            if call.interrupts():
                self.ending = True
                nursery.cancel_scope.cancel()
            elif self._running == 0:
                self.ending = True
            if not self.ending:
                self._tell(call)

    def _tell(self, call: Call) -> None:
        self._untold.remove(call)
        call.told.set()

    def _done(self, ended: Outcome[None]) -> None:
        """The guest run is over: tell the calls that are left."""
        if _guests.get(self._loop) is self:
            del _guests[self._loop]
        try:
            ended.unwrap()
        except BaseException as error:  # raised by the call that is blamed
            self._blame(error)
        for call in list(self._untold):
            self._tell(call)
        self._nursery = None
        self.over.set()

    def _blame(self, error: BaseException) -> None:
        """The guest run itself was interrupted: the first call that is left raises that."""
        if any(call.interrupts() for call in self._untold):
            return
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        self._untold[0].error = error


_guests: WeakKeyDictionary[asyncio.AbstractEventLoop, Guest] = WeakKeyDictionary()


async def run_as_guest(function: Callable[[], Awaitable[Any]]) -> Any:
    """Run an async Trio function from an asyncio task, in the guest run of its loop.

    Cancellation: cancels the function, and is raised when nothing is left of it. What it raises
    meanwhile goes first, as in an `asyncio.TaskGroup`.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    call = Call(function, asyncio.Event())
    while (guest := _guests.get(loop)) is not None and guest.ending:
        await guest.over.wait()
    if guest is not None:
        guest.add(call)
    elif trio.lowlevel.in_trio_run():
        raise EventLoopError(
            "this thread has a Trio run already, which somebody else has started, and there can "
            "be but one; await tgtrio.run_graph in a Trio task of it"
        )
    else:
        guest = _guests[loop] = Guest(loop, asyncio.Event())
        guest.begin(call)
    return await _wait_for(call, guest)


def raised_by_loop(loop: asyncio.AbstractEventLoop, error: BaseException | None) -> None:
    """An asyncio task of an action ended with this, and asyncio has raised it out of its loop."""
    if isinstance(error, KeyboardInterrupt | SystemExit) and (guest := _guests.get(loop)):
        guest.raised_by_loop.append(error)


async def _wait_for(call: Call, guest: Guest) -> Any:
    import asyncio

    cancelled: list[BaseException] = []
    while not call.told.is_set():
        try:
            await call.told.wait()
        except asyncio.CancelledError as error:
            cancelled = [error]
            call.scope.cancel()
    # What the loop has raised must not break off the cancelling that asyncio.run does thereafter.
    known = cancelled and any(call.error is error for error in guest.raised_by_loop)
    if call.error is not None and not known:
        raise call.error
    raise_together(cancelled)
    if call.cancelled:
        raise asyncio.CancelledError("another run of this loop was interrupted")
    return call.value
