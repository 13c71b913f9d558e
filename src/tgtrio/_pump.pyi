"""The pump: sends actions their steps, one after the other, on behalf of one worker.

A worker awaits its pump. The pump takes a ready task from the queue, calls its
action, sends the coroutine its first step; while actions end without suspending
it takes the next, without a trip through the event loop. What an action yields
to Trio is handed on, and what Trio sends or throws goes to the action.

Each action runs in a context of its own, a copy of the caller's. The pump has
left that context whenever Trio runs something else.

What the pump does not decide it asks its host, the run (`Host`).
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import Context
from typing import Any, Protocol, Self

import trio
from typing_extensions import Buffer

from ._columns import Columns
from ._plan import Plan
from ._ready_queue import ReadyQueue

# More bits beside those of `Plan.flags`: of the run (FOREIGN) and of an action.
FOREIGN: int  # a limiter of the caller's bounds it
INLINE: int  # a plain function, called on the event loop
PREPARED: int  # it takes more than `await action(args)`
REPORTED: int  # the host wants to hear of its success
THREADED: int  # a plain function, called by a thread lane; compiled pumps only
CONTEXT: int  # the action takes a context as its second argument
SLOW: int  # the bits of what the host prepares, whatever else the task is

# Why a pump stopped (`Pump.why`).
IDLE: int  # no task may start now
SLICE: int  # the rest of the program deserves a turn
RENEW: int  # the worker's cancel scope is used up: cancelled, or left in disorder

class Host(Protocol):
    """The run, as the pump sees it."""

    def prepare(self, pump: Pump) -> Any:
        """May the attempt of `pump.task` begin, and how?

        Returns True for a plain call of the action, with `pump.args`, which the host has set; an
        awaitable that does all that the attempt takes; or None: the host has given the task back,
        held it or ended it. It may have let another task take over; `pump.task` names that one.
        """

    def arguments(self, task: int) -> dict[str, Any]:
        """The arguments of a task with INPUTS."""

    def context(self, task: int, args: dict[str, Any]) -> object:
        """The second argument of an action with CONTEXT, for the attempt that has just begun."""

    def watch(self, pump: Pump) -> None:
        """The action of a task with a timeout or a deadline has suspended."""

    def leave(self, pump: Pump) -> None:
        """An attempt that was watched, or that holds foreign tokens, is over."""

    def cancelled(self, pump: Pump) -> None:
        """The action in flight has ended while its worker was cancelled, alone or with the run."""

    def succeeded(self, pump: Pump) -> bool:
        """The attempt returned a value, which is written down. False: the host ends the task."""

    def fail(self, pump: Pump, error: Exception) -> None:
        """The attempt raised: record it and tell the queue."""

    def leaked(self, pump: Pump) -> Exception | None:
        """The action may have left a scope, a nursery or a lock behind: put it in order."""

    def call_lane(self) -> None:
        """A task may start that is for a thread lane; it was given back."""

    def wake(self) -> None:
        """Work is ready that this worker leaves waiting: wake another, or start one."""

class Dispatch:
    """What all pumps of one run share.

    Args:
        host: The run.
        queue: Its ready queue, of the same backend.
        plan: The frozen graph.
        functions: For each action of the plan, what to call.
        kinds: For each action, INLINE, THREADED, CONTEXT, PREPARED and REPORTED, two bytes each.
            The host may change them at any time.
        flags: Like `plan.flags`, with FOREIGN, PREPARED and REPORTED added.
        columns: Where start, end, attempts and responses are written.
        context: The caller's; every action runs in a copy.
        clock: Reads the Trio clock.
        system_offset: What Trio's system clock adds to `time.perf_counter`; None under
            any other clock, and then a slice is counted in tasks and not in time.
        locks: Trio's record of which Trio task holds which locks.
    """

    def __init__(
        self,
        host: Host,
        queue: ReadyQueue,
        plan: Plan,
        functions: Sequence[Callable[..., Any]],
        kinds: Buffer,
        flags: Buffer,
        columns: Columns,
        context: Context,
        clock: Callable[[], float],
        system_offset: float | None,
        locks: Mapping[trio.lowlevel.Task, object],
    ) -> None: ...
    def bind(
        self,
        plan: Plan,
        functions: Sequence[Callable[..., Any]],
        kinds: Buffer,
        flags: Buffer,
        columns: Columns,
    ) -> None:
        """Work on these arrays from now on: the graph has grown, and they have moved.

        Args: those of the class. They hold the same of all tasks that were there before.
        """

    ended: bool
    """Set when something has ended the run: values that still come are late."""

    looking: int
    """Not 0 while a worker is about to look for work: nobody need be woken then."""

    generation: int
    """Goes up whenever a circuit breaker moves; every attempt remembers it."""

    def batch_began(self) -> None:
        """Trio starts a new batch of Trio tasks: the time slice of this run starts anew."""

class Pump:
    """The pump of one worker: `await` it; it returns when it stops, `why` says why.

    Args:
        dispatch: What the pumps of the run share.
        trio_task: The Trio task of the worker.

    Raises (when awaited): Whatever an action raises that is no `Exception`, `trio.Cancelled`
        among them; `task` still names the task then.
    """

    def __init__(self, dispatch: Dispatch, trio_task: trio.lowlevel.Task) -> None: ...

    task: int
    """The task in flight, or -1."""
    args: Any
    """What its action is called with."""
    why: int
    kind: int
    """The bits of the task in flight."""
    generation: int
    """`Dispatch.generation` when the attempt in flight began."""
    doom: int
    """Not 0 once the worker's scope was cancelled on behalf of the task in flight: why."""
    scope: trio.CancelScope
    """The worker's own scope."""
    home: object
    """The cancel status of the worker's Trio task inside its own scope; Trio's, private."""
    timer: Any
    """For the host: what it set in `watch`."""

    def enter(self, scope: trio.CancelScope) -> None:
        """The worker has entered a fresh cancel scope of its own."""

    def forget(self) -> int:
        """Give up the task in flight, which `Cancelled` or the like has ended; returns it."""

    def __await__(self) -> Generator[Any, Any]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any) -> Any: ...
    def throw(self, error: Any, value: Any = None, traceback: Any = None) -> Any: ...
    def close(self) -> None: ...
    @property
    def cr_frame(self) -> Any: ...
    @property
    def cr_await(self) -> Any: ...
