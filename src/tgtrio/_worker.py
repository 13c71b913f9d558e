"""A worker: one Trio task that runs many tasks, one after the other.

It awaits its pump. It holds one cancel scope of its own, through which a timeout
or `cancel(task_id)` reaches the task in flight, and keeps it as long as it was not
cancelled: `cancel` is for ever, and a late one would hit the next task.

This is plain Python on purpose. Trio protects the tasks it starts from compiled
coroutines against KeyboardInterrupt, and an action that spins could not be stopped.
"""

from __future__ import annotations

import math
from typing import Protocol

import trio

from ._backend import IDLE, RENEW, SLICE, Pump
from ._hygiene import put_in_order, without_cancelled


class Run(Protocol):
    """The run, as its workers see it."""

    async def rest(self) -> None:
        """Nothing may start now: park until something may."""

    async def give_way(self) -> None:
        """Let the rest of the program have a turn."""

    def settle(self, pump: Pump, error: Exception | None, cancelled: bool) -> None:
        """End the task in flight, which `Cancelled` has ended.

        Args:
            pump: The pump of the worker.
            error: What the action raised besides `Cancelled`.
            cancelled: True if the worker as a whole is cancelled.
        """

    def cancelled(self) -> None:
        """The worker is cancelled, and with it the run if that has not ended."""

    def interrupted(self, error: BaseException) -> None:
        """Something that no action may swallow: end the run, and raise it from there."""


async def work(run: Run, pump: Pump, trio_task: trio.lowlevel.Task) -> None:
    """Run tasks until cancelled.

    `Cancelled` of the whole run is not raised on: the run itself waits inside the same scope
    and is cancelled as well, and a nursery takes long over a thousand exceptions.
    """
    cancelled = False
    while not cancelled:
        error: BaseException | None = None
        try:
            await _one_scope(run, pump, trio_task)
        except BaseException as raised:  # Cancelled, of the run or a stray one, among them
            error = raised
        cancelled = trio.current_effective_deadline() == -math.inf
        if cancelled:
            run.cancelled()
        _account(run, pump, error, cancelled)
        error = None  # it holds this very frame in its traceback


def _account(run: Run, pump: Pump, error: BaseException | None, cancelled: bool) -> None:
    """Settle what came out of a scope, besides the `Cancelled` that the scope itself took."""
    error = without_cancelled(error)
    if error is not None and (pump.task < 0 or not isinstance(error, Exception)):
        run.interrupted(error)
        error = None
    if pump.task >= 0:
        assert error is None or isinstance(error, Exception)
        run.settle(pump, error, cancelled)


async def _one_scope(run: Run, pump: Pump, trio_task: trio.lowlevel.Task) -> None:
    """Run tasks until the scope is used up."""
    with trio.CancelScope() as scope:
        pump.enter(scope)
        try:
            while pump.why != RENEW:
                await pump
                if pump.why == SLICE:
                    await run.give_way()
                elif pump.why == IDLE:
                    await run.rest()
        finally:
            if pump.task >= 0 or pump.why == RENEW:  # an action ended here, in what way ever
                await put_in_order(trio_task, pump.home)
