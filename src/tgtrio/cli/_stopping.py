"""What SIGINT, SIGTERM and SIGHUP do to a run.

| signal | what becomes of the run |
|---|---|
| the first | it is drained: nothing starts, what is in flight may end within the grace period |
| the second | what is in flight is cancelled at once, as it is at the end of the grace period |
| the third | KeyboardInterrupt |
| more | the process ends, as it would without this module |

Which signals they are does not matter; the first one decides the exit code.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Protocol

import trio

from ._errors import SIGNALS

GRACE = 10.0  # seconds that what is in flight has by default


class Stoppable(Protocol):
    """What is asked of a run."""

    async def drain(self, *, reason: str) -> object: ...
    def cancel(self, *, reason: str) -> None: ...


class Stopping:
    """The end of one run on request.

    Args:
        grace: How long what is in flight may go on after the first request, in seconds.

    Attributes:
        signal: The signal that asked first; None as long as none has.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self.grace = grace
        self.signal: int | None = None
        self._asked = trio.Event()
        self._changed = trio.Event()
        self._patience = trio.CancelScope()
        self._cancelling = False

    def ask(self, number: int) -> None:
        """Drain the run, or if that was asked for before, cancel it. On the Trio thread."""
        if self.signal is None:
            self.signal = number
            self._patience.deadline = trio.current_time() + self.grace
            self._asked.set()
            self._tell()
        else:
            self._patience.cancel()

    async def carry_out(self, run: Stoppable) -> None:
        """Do to the run what is asked for, until it has ended.

        Cancellation: leaves the run as it is.
        """
        await self._asked.wait()
        assert self.signal is not None
        reason = SIGNALS[self.signal].name
        with self._patience:
            await run.drain(reason=reason)
        if self._patience.cancelled_caught:
            self._cancelling = True
            run.cancel(reason=reason)
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def change(self) -> None:
        """Wait until `notice` says something else."""
        await self._changed.wait()

    def notice(self, states: Mapping[str, int]) -> str:
        """`draining: 3 in flight, at most 10 s; once more to cancel`, or nothing."""
        running = states["running"]
        if self.signal is None or not running:
            return ""
        if self._cancelling:
            return f"cancelling: {running:,} in flight; once more to break off"
        left = math.ceil(max(self._patience.deadline - trio.current_time(), 0))
        return f"draining: {running:,} in flight, at most {left:,} s; once more to cancel"


@contextlib.contextmanager
def heeding_signals(ask: Callable[[int], object]) -> Iterator[None]:
    """Call `ask` on the Trio thread at the first two signals; see the table above.

    A signal that is ignored, as `nohup` ignores SIGHUP, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and gets signals
        return
    token = trio.lowlevel.current_trio_token()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heeded = [number for number in before if before[number] not in (signal.SIG_IGN, None)]
    interrupt = before[signal.SIGINT]  # Trio's, which knows when it may raise
    came = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came += 1
        if came <= 2:
            token.run_sync_soon(ask, number)
            return
        for heeded_one in heeded:
            signal.signal(heeded_one, signal.SIG_DFL)
        if not callable(interrupt):
            raise KeyboardInterrupt
        interrupt(signal.SIGINT, frame)

    for number in heeded:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in heeded:
            if came > 2 or signal.getsignal(number) is handle:
                signal.signal(number, before[number])
