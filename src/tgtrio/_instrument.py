"""`Instrument`: what watches a run from beside it, and the index of the hooks that it overrides."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import attrs

from ._breaker_policy import BreakerState
from ._columns import ClockMap
from ._errors import InvalidTypeError, InvalidValueError, shorten
from ._explanation import Explanation
from ._graph import TaskGraph
from ._results import GraphResult
from ._states import TaskState

_log = logging.getLogger("tgtrio")

ReadyHook = Callable[[str, float], object]
StartHook = Callable[[str, int, float], object]
EndHook = Callable[[str, TaskState, float], object]


@attrs.frozen(kw_only=True)
class RunInfo:
    """What an instrument is told of a run that starts.

    Attributes:
        graph_id: The graph.
        run_id: The run.
        total_tasks: How many tasks the graph has.
        started: When the run started, by the Trio clock.
        graph: The graph itself, of which nothing may be changed from here.
        max_parallel: How many tasks may be in flight; None if a `trio.CapacityLimiter` says that.
        per_action_caps: How many tasks of an action may be in flight; None as before.
        resource_caps: How many tasks that name a resource may be in flight; None as before.
    """

    graph_id: str
    run_id: str
    total_tasks: int
    started: float
    graph: TaskGraph = attrs.field(repr=False)
    max_parallel: int | None
    per_action_caps: Mapping[str, int | None]
    resource_caps: Mapping[str, int | None]
    _clock: ClockMap = attrs.field(repr=False)

    def wall(self, at: float) -> datetime:
        """The wall-clock instant of an instant of the Trio clock, as the results say it.

        Args:
            at: Seconds, as the hooks are given them.
        """
        return self._clock.wall(at)


class Watched(Protocol):
    """What an instrument may ask of the run that it is beside; the live handle is one."""

    @property
    def run_id(self) -> str: ...
    @property
    def graph(self) -> TaskGraph: ...
    def statistics(self) -> dict[str, Any]: ...
    def holds(self) -> dict[tuple[str, str], int]: ...
    def explain(self, task_id: str) -> Explanation: ...
    def running(self, limit: int = ...) -> list[tuple[str, int, float]]: ...


class Instrument:
    """Watches a run. Subclass it, override the hooks you need, pass it as `instruments=[...]`.

    A hook that is not overridden is never called, and costs nothing. All are called in the
    thread of Trio and in the order in which things happened, though a little after: once the
    Trio tasks that were ready have had their turn. While a hook runs nothing else in the program
    does, so it must be quick, and cannot wait; it may use the handle of the run, set events, or
    send on a memory channel without waiting. Instants are seconds of the Trio clock;
    `RunInfo.wall` makes them wall-clock ones.

    A hook that raises an `Exception` is logged, and its instrument is called no more; the run
    goes on. Whatever else it raises ends the run, as if an action had raised it.
    """

    def run_started(self, info: RunInfo) -> None:
        """A run starts; nothing of it has started or ended before."""

    async def beside(self, run: Watched) -> None:
        """Run in a Trio task of the run's own, from its start to its end, which cancels it.

        For what must go on while nothing happens, like a display. It may return early.

        Cancellation: comes at the end of the run, which waits until this has returned.

        Args:
            run: The live handle of the run, as `open_run` gives it.
        """

    def task_ready(self, task_id: str, at: float) -> None:
        """A task has what it depends on, and waits for its turn from now on.

        Told once of each task that gets so far; also of one that is then served, or held.

        Args:
            task_id: The task.
            at: When the last of its dependencies ended, or when the run started.
        """

    def task_started(self, task_id: str, attempt: int, at: float) -> None:
        """An attempt of a task begins.

        Args:
            task_id: The task.
            attempt: The number of the attempt, from 0.
            at: When it began.
        """

    def task_ended(self, task_id: str, state: TaskState, at: float) -> None:
        """A task has ended; called once for every task of the graph.

        That also goes for tasks that never started: skipped, aborted, served, cancelled.

        Args:
            task_id: The task.
            state: How it ended.
            at: When; of a task that never started, when that was noticed.
        """

    def task_retried(self, task_id: str, attempt: int, error: str, delay: float, at: float) -> None:
        """An attempt of a task has failed, and there will be another.

        Args:
            task_id: The task.
            attempt: The number of the attempt that failed, from 0.
            error: What it failed with, as the results say it.
            delay: How long the task is held, in seconds from the end of the attempt.
            at: When the attempt ended.
        """

    def action_cooling(self, action: str, until: float, at: float) -> None:
        """A `RetryLater` holds all tasks of an action that have not started.

        Args:
            action: The action.
            until: When that ends, unless another one prolongs it.
            at: When it was raised.
        """

    def breaker_moved(
        self, action: str, before: BreakerState, after: BreakerState, at: float
    ) -> None:
        """The circuit breaker of an action has changed its state, through whatever run.

        Args:
            action: The action.
            before: The state that it had.
            after: The state that it has now.
            at: When.
        """

    def run_steered(self, command: str, subject: str, value: object, at: float) -> None:
        """Somebody has used the handle of the run.

        Args:
            command: The name of its method: "pause", "resume", "drain", "cancel",
                "set_max_parallel", "set_cap", "add_task", "isolate", "close_breaker".
            subject: The task or action that it was about; "" for the whole run.
            value: The limit that was set, the reason that was given; None where there is none.
            at: When.
        """

    def run_ended(self, result: GraphResult) -> None:
        """The run is over, and every task has ended; whoever waits for the run waits still.

        Args:
            result: What the run returns; also where it raises in place of that.
        """


HOOKS = tuple(name for name in vars(Instrument) if not name.startswith("_"))


class HookIndex:
    """Which hooks the instruments of a run override.

    Args:
        instruments: In the order in which they are called.
    """

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._hooks = [entry for instrument in instruments for entry in _hooks_of(instrument)]

    def add(self, instrument: Instrument) -> None:
        """One more, which hears of what comes."""
        self._hooks += _hooks_of(instrument)

    def of(self, name: str) -> tuple[Callable[..., object], ...]:
        """The hooks of a name."""
        return tuple(hook for _, its_name, hook in self._hooks if its_name == name)

    def call(self, name: str, *about: object) -> list[BaseException]:
        """Call all hooks of a name; returns what must not be swallowed."""
        return [error for hook in self.of(name) if (error := self._call(hook, about)) is not None]

    def _call(self, hook: Callable[..., object], about: tuple[object, ...]) -> BaseException | None:
        try:
            hook(*about)
        except BaseException as error:  # whatever it is, the others must hear all the same
            return self.failed(hook, error)
        return None

    def failed(self, hook: Callable[..., object], error: BaseException) -> BaseException | None:
        """Drop the instrument of a hook that raised; returns what must not be swallowed."""
        found = [(instrument, name) for instrument, name, its in self._hooks if its is hook]
        if not found:
            return None  # dropped before
        instrument, name = found[0]  # the first, should one function be several hooks
        self._hooks = [entry for entry in self._hooks if entry[0] is not instrument]
        if not isinstance(error, Exception):
            return error
        _log.error(
            "instrument %s: %s failed; it is called no more",
            shorten(instrument),
            name,
            exc_info=error,
        )
        return None


def _hooks_of(instrument: Instrument) -> list[tuple[Instrument, str, Callable[..., object]]]:
    return [
        (instrument, name, hook)
        for name in HOOKS
        if (hook := _overridden(instrument, name)) is not None
    ]


def _overridden(instrument: Instrument, name: str) -> Callable[..., object] | None:
    hook = getattr(instrument, name)
    return None if getattr(hook, "__func__", hook) is getattr(Instrument, name) else hook


def check_instruments(value: Any) -> tuple[Instrument, ...]:
    """The option `instruments`. Raises InvalidTypeError, InvalidValueError."""
    if isinstance(value, Instrument) or not isinstance(value, Sequence):
        raise InvalidTypeError(
            f"instruments is {shorten(value)}; it must be a list or tuple of Instrument objects"
        )
    for place, one in enumerate(value):
        if not isinstance(one, Instrument):
            hint = "; it must be an object, not the class" if isinstance(one, type) else ""
            raise InvalidTypeError(
                f"instruments[{place}] is {shorten(one)}, which is no Instrument{hint}"
            )
        if any(one is other for other in value[:place]):
            raise InvalidValueError(f"instruments[{place}] is {shorten(one)}, which is there twice")
        for name in HOOKS:
            _check_hook(one, name)
    return tuple(value)


def _check_hook(instrument: Instrument, name: str) -> None:
    hook = _overridden(instrument, name)
    if hook is None:
        return
    if not callable(hook) or inspect.iscoroutinefunction(hook) != (name == "beside"):
        kind = "an async function" if name == "beside" else "a plain function"
        why = (
            "it has a Trio task of its own"
            if name == "beside"
            else "nobody would await an async one"
        )
        raise InvalidTypeError(f"instrument {shorten(instrument)}: {name} must be {kind}; {why}")
