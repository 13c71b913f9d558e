"""The Trio tasks of one run: how many workers there are, who is woken, who parks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import trio
from trio.lowlevel import enable_ki_protection

from ._backend import Dispatch, Pump, ReadyQueue
from ._errors import StoreError
from ._lanes import Lanes
from ._worker import work

# Why a worker is about to look for work; bits of `Dispatch.looking`.
WAKING = 1  # it was woken or started and has not run since
GIVING_WAY = 2  # it is at a checkpoint


class Run(Protocol):
    """The run, as its crew sees it."""

    def resting(self) -> None:
        """A worker is about to park, for nothing may start."""

    def settle(self, pump: Pump, error: Exception | None, cancelled: bool) -> None:
        """End the task in flight, which `Cancelled` has ended."""

    def cancelled(self) -> None:
        """A worker is cancelled, and with it the run if that has not ended."""

    def interrupted(self, error: BaseException) -> None:
        """Something that no action may swallow: end the run, and raise it from there."""

    def store_failed(self, error: StoreError) -> None:
        """Nothing can be written any more."""


class Crew:
    """The workers of one run, and whatever other Trio tasks it has.

    A worker that leaves a task in flight wakes or starts another one if work is ready. So
    there are as many as suspended tasks at the most, and one more.

    Args:
        run: The run.
        queue: Of the run.
        lanes: The threads of the run; None as long as it needs none.
        limit: How many workers there may be.
    """

    def __init__(self, run: Run, queue: ReadyQueue, lanes: Lanes | None, limit: int) -> None:
        self._run, self._queue, self.lanes, self._limit = run, queue, lanes, limit
        self.pumps: list[Pump] = []
        self._idle = trio.lowlevel.ParkingLot()
        self._nursery: trio.Nursery | None = None
        self._early: list[Callable[[], Awaitable[None]]] = []  # Trio tasks to be started
        self._dispatch: Dispatch | None = None

    def set_limit(self, limit: int) -> None:
        """Change how many workers and lanes there may be; those that are there stay."""
        self._limit = limit
        if self.lanes is not None:
            self.lanes.set_limit(limit)

    def begin(self, nursery: trio.Nursery, dispatch: Dispatch) -> None:
        """From now on Trio tasks are started, but workers only once one has been."""
        self._nursery, self._dispatch = nursery, dispatch
        self._looks(WAKING)  # whoever has work for a worker waits until `start_worker`
        early, self._early = self._early, []
        for function in early:
            self.spawn(function)

    def end(self) -> None:
        """The nursery is closed."""
        self._nursery = None
        del self._early  # nothing can be started any more

    def disband(self) -> None:
        """The run is over: let go of it."""
        self.pumps.clear()
        del self._run, self._dispatch, self.lanes

    def cancel(self) -> None:
        """Cancel everything that is in flight."""
        if self.lanes is not None:
            self.lanes.close()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    @property
    def about_to_look(self) -> bool:
        """Will a worker look for work by itself?"""
        assert self._dispatch is not None
        return bool(self._dispatch.looking)

    def _looks(self, why: int) -> None:
        assert self._dispatch is not None
        self._dispatch.looking |= why

    def _has_looked(self, why: int) -> None:
        if self._dispatch is not None:
            self._dispatch.looking &= ~why

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Start a Trio task of the run; once it begins, if it has not begun yet."""
        if self._nursery is None:
            self._early.append(function)
        else:
            self._nursery.start_soon(self._guarded, function)

    async def _guarded(self, function: Callable[[], Awaitable[None]]) -> None:
        with self._guard():
            await function()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """A defect of the engine ends the run bare, not in a group of the nursery's."""
        try:
            yield
        except trio.Cancelled:
            raise
        except StoreError as error:
            self._run.store_failed(error)
        except BaseException as error:
            self._run.interrupted(error)

    @enable_ki_protection
    def wake(self) -> None:
        """Wake one worker, or start one; it wakes the next if work is still ready."""
        if self._nursery is None or self.about_to_look:
            return
        if self._idle:
            self._looks(WAKING)
            self._idle.unpark()
        elif len(self.pumps) < self._limit:
            self.start_worker()

    def start_worker(self) -> None:
        """Start a worker."""
        assert self._nursery is not None
        self._looks(WAKING)
        self._nursery.start_soon(self._work)

    async def _work(self) -> None:
        with self._guard():
            self._has_looked(WAKING)
            assert self._dispatch is not None
            trio_task = trio.lowlevel.current_task()
            pump = Pump(self._dispatch, trio_task)
            self.pumps.append(pump)
            await work(self, pump, trio_task)

    # -- what a worker asks for ------------------------------------------------------

    async def rest(self) -> None:
        """Nothing may start now: park until something may."""
        self._run.resting()
        await self._idle.park()
        self._has_looked(WAKING)

    async def give_way(self) -> None:
        """Let the rest of the program have a turn.

        One worker comes back for the work that is ready. The others, should there be any, park:
        all of them have one time slice together.
        """
        assert self._dispatch is not None
        if self._dispatch.looking & GIVING_WAY:
            await self.rest()
            return
        self._looks(GIVING_WAY)
        try:
            await trio.lowlevel.checkpoint()
        finally:
            self._has_looked(GIVING_WAY)

    def settle(self, pump: Pump, error: Exception | None, cancelled: bool) -> None:
        self._run.settle(pump, error, cancelled)

    def cancelled(self) -> None:
        self._run.cancelled()

    def interrupted(self, error: BaseException) -> None:
        self._run.interrupted(error)
