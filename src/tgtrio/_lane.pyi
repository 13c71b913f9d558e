"""Thread lanes: threads that take plain functions from the queue themselves.

A lane takes a task, calls its function, tells the queue, and takes the next, without a trip to
the event loop. It takes what needs no more than the call (`Dispatch.kinds` say THREADED, and
nothing of SLOW); for what the host must hear of it leaves a report, and goes on. A lane that
finds nothing parks. There are no lanes beside the pure Python twins: there the host prepares
plain functions, and each is a thread call of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ._pump import Dispatch

# How an attempt in a lane ended.
RETURNED: int  # a value, which is written down
RAISED: int
AWAITABLE: int  # the function returned one: it is still to be awaited

class LaneGroup:
    """What the lanes of one run share. All its methods may be called in any thread.

    Args:
        dispatch: What they share with the pumps.
        notify: Has Trio look at the reports, at `wanted`, at `next_check` and at the run. Called
            in any thread; not again until `take_reports`.
    """

    def __init__(self, dispatch: Dispatch, notify: Callable[[], object]) -> None: ...

    closed: bool
    wanted: bool
    """Another lane should be started, if there may be one."""
    coming: bool
    """For the host: set it when a lane is started. It is taken back once the lane runs."""
    log_watched: bool
    """Trio will read the log of the queue soon. While False, a lane that logs notifies."""
    next_check: float
    """When the attempts in flight must be looked at for their timeouts, by the Trio clock."""

    def take_reports(self) -> list[tuple[int, int, int, int, object]]:
        """Of attempts that are over: task, generation, doom, how, and the value or the error.

        Once something was raised, all that ends later is reported too, until nothing is left to
        be taken: so reports come in the order of the ends.
        """

    def call(self) -> None:
        """Work for a lane is ready: see to it that one comes for it."""

    def close(self) -> None:
        """Let all lanes return, as soon as nothing is in flight in them."""

class Lane:
    """One thread, or several one after the other.

    Args:
        group: What the lanes of the run share.
    """

    def __init__(self, group: LaneGroup) -> None: ...

    task: int
    """The task in flight, or -1."""
    scope: trio.CancelScope
    """For the host: the scope of the thread call in which it runs."""

    def run(self) -> bool:
        """Run tasks in this thread. True: the one in flight was condemned; call it again.

        Returns False once the group is closed. Each function is called in a copy of the context
        of this call. What functions raise is reported, whatever it is.
        """

    def condemn(self, task: int) -> bool:
        """Have `run` return when the attempt of this task is over; False if it is not in flight."""
