"""Puts together what the pumps of a run share, and keeps their time slice."""

from __future__ import annotations

import contextvars
import threading
import time
from array import array
from typing import TYPE_CHECKING

import trio

from ._actions import Action
from ._backend import COMPILED, CONTEXT, FOREIGN, INLINE, PREPARED, THREADED, Dispatch, ReadyQueue
from ._columns import Columns
from ._hygiene import LOCKS
from ._layout import Gates
from ._plan import Plan

if TYPE_CHECKING:
    from ._pump import Host


# While work is always ready Trio looks for I/O every millisecond without waiting, and lets go of
# the GIL for a moment each time. That starves other threads: each release wakes them too late to
# get it, and resets the 5 ms after which they could insist. So now and then it is left to them.
BUSY_SECONDS = 0.005
PAUSE_SECONDS = 0.0001


class SliceClock(trio.abc.Instrument):
    """Tells the pumps when Trio begins a new batch, and so a new time slice.

    It also lets other threads have the GIL where the run would not leave it to them.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        self._began = dispatch.batch_began
        self._busy_since = time.perf_counter()

    def after_io_wait(self, timeout: float) -> None:
        self._began()
        now = time.perf_counter()
        if timeout > 0:  # Trio has waited, without the GIL
            self._busy_since = now
        elif now - self._busy_since > BUSY_SECONDS:
            if threading.active_count() > 1:
                time.sleep(PAUSE_SECONDS)
            self._busy_since = time.perf_counter()


def make_dispatch(
    host: Host,
    queue: ReadyQueue,
    plan: Plan,
    actions: list[Action],
    columns: Columns,
    kinds: array[int],
    flags: bytearray,
) -> Dispatch:
    """What the pumps share. Called by the Trio task whose context the actions get copies of."""
    clock = trio.lowlevel.current_clock()
    system = type(clock).__module__ == "trio._core._run"
    return Dispatch(
        host=host,
        queue=queue,
        plan=plan,
        functions=[action.function for action in actions],
        kinds=kinds,
        flags=flags,
        columns=columns,
        context=contextvars.copy_context(),
        clock=clock.current_time,
        system_offset=getattr(clock, "offset", None) if system else None,
        locks=LOCKS,
    )


def kinds_of(actions: list[Action]) -> array[int]:
    """What the pump must know of each action."""
    return array("H", map(_kind, actions))


def _kind(action: Action) -> int:
    context = CONTEXT * action.wants_context
    if action.is_async or action.inline:
        return context | INLINE * action.inline
    return context | (THREADED if COMPILED else PREPARED)


def flags_of(plan: Plan, gates: Gates) -> bytearray:
    """The flags of the plan, and which tasks need a token of somebody else's limiter."""
    foreign = gates.foreign_lanes()
    if gates.lanes is None or not any(foreign):
        return bytearray(plan.flags)
    return bytearray(
        flags | FOREIGN * foreign[lane] for flags, lane in zip(plan.flags, gates.lanes, strict=True)
    )
