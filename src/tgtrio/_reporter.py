"""Tells the instruments of one run what happens in it.

The queue keeps a log of starts and ends; what is rarer is kept here, with a note in the log for
its place. All of it is read at the end of each batch of Trio tasks: nothing is in the midst of a
step then, so that a hook may do to the run whatever it likes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import trio
from trio.lowlevel import enable_ki_protection

from ._backend import Dispatch, Notifier, ReadyQueue
from ._breaker_policy import BreakerState
from ._columns import TaskResults
from ._dispatch import SliceClock
from ._events import EventSource
from ._hygiene import without_cancelled
from ._instrument import HookIndex, Instrument, RunInfo, Watched
from ._results import GraphResult
from ._states import STATES


class Run(Protocol):
    """The run, as its reporter sees it."""

    def interrupted(self, error: BaseException) -> None:
        """Something that nobody may swallow: end the run, and raise it from there."""

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Start a Trio task of the run."""


class Reporter:
    """The hooks of the instruments of one run.

    Args:
        run: The run.
        hooks: The hooks.
        info: What they are told of the run.
        queue: Of the run; it keeps a log once the run begins.
        results: The results as they come.
    """

    def __init__(
        self, run: Run, hooks: HookIndex, info: RunInfo, queue: ReadyQueue, results: TaskResults
    ) -> None:
        self._run, self._hooks, self._info = run, hooks, info
        self._queue, self._results = queue, results
        self._notes: deque[tuple[str, tuple[object, ...]]] = deque()
        self._notifier = Notifier(
            queue,
            results.plan.nodes,
            results.columns.finished,
            info.started,
            self._end_of,
            self._call_noted,
            self._failed,
        )
        self._begun = False

    def _listen(self) -> None:
        if not self._begun:
            return
        notifier, of = self._notifier, self._hooks.of
        notifier.on_ready, notifier.on_start = of("task_ready"), of("task_started")
        notifier.on_end = of("task_ended")
        self._queue.keep_log(
            bool(notifier.on_ready), bool(notifier.on_start), bool(notifier.on_end)
        )

    def add(self, instrument: Instrument) -> None:
        """Tell one more of what comes; of the start of the run, unless that has been told."""
        if isinstance(instrument, EventSource):
            instrument.listen_to(self._info)
        self._hooks.add(instrument)
        self._listen()

    def ready(self, rank: int) -> None:
        """A task that has been added has nothing to wait for. Before the start: it is told then."""
        if not self._begun:
            return
        self._note("task_ready", self._results.plan.nodes[rank].task_id, trio.current_time())

    def grown(self) -> None:
        """The graph has one more task, and the columns may have moved."""
        self._notifier.bind(self._results.plan.nodes, self._results.columns.finished)

    def slices(self, dispatch: Dispatch) -> SliceClock:
        """The clock of the time slices; it also has the log read."""
        return _ReadingClock(dispatch, self)

    # -- what happens ------------------------------------------------------------------

    @enable_ki_protection
    def begin(self, handle: Watched) -> None:
        """The run starts.

        Args:
            handle: For what runs beside it.
        """
        self._call("run_started", self._info)
        self._begun = True
        self._listen()
        self._queue.log_past()
        for hook in self._hooks.of("beside"):
            self._run.spawn(partial(self._beside, hook, handle))

    async def _beside(self, hook: Callable[..., Any], handle: Watched) -> None:
        try:
            await hook(handle)
        except BaseException as raised:
            error = without_cancelled(raised)
            if error is None:
                raise
            self._failed(hook, error)

    def retried(self, rank: int, error: str, delay: float) -> None:
        """The last attempt of a task failed; the next begins `delay` seconds after its end."""
        task_id, columns = self._results.plan.nodes[rank].task_id, self._results.columns
        attempt, at = columns.attempts[rank] - 1, columns.finished[rank]
        self._note("task_retried", task_id, attempt, error, delay, at)

    def cooling(self, action: int, until: float, at: float) -> None:
        """All tasks of an action are held until then."""
        self._note("action_cooling", self._results.plan.actions[action], until, at)

    def breaker_moved(self, action: int, before: BreakerState, after: BreakerState) -> None:
        """The breaker of an action has another state."""
        name = self._results.plan.actions[action]
        self._note("breaker_moved", name, before, after, trio.current_time())

    def steered(self, command: str, subject: str = "", value: object = None) -> None:
        """Somebody has used the handle of the run."""
        self._note("run_steered", command, subject, value, trio.current_time())

    def _note(self, name: str, *about: object) -> None:
        if self._hooks.of(name):
            self._notes.append((name, about))
            self._queue.log_note()

    @enable_ki_protection
    def end(self, result: GraphResult) -> None:
        """The run is over; all has been told. Nothing can be told after it."""
        self._call("run_ended", result)
        del self._notifier  # which knows this: a run that is over goes at once

    # -- and is told ---------------------------------------------------------------------

    @enable_ki_protection
    def tell(self) -> bool:
        """Call the hooks for what has happened since the last time. False: nothing has."""
        return self._notifier.notify()

    def tell_rest(self) -> None:
        """The same, until nothing is left; hooks may make things happen."""
        while self.tell():
            pass

    def _end_of(self, rank: int) -> float:
        columns = self._results.columns
        if columns.attempts[rank] or columns.marks[rank]:
            return self._results.ended(rank, STATES[self._queue.state(rank)])
        return trio.current_time()

    def _call_noted(self) -> None:
        name, about = self._notes.popleft()
        self._call(name, *about)

    def _call(self, name: str, *about: object) -> None:
        for error in self._hooks.call(name, *about):
            self._run.interrupted(error)
        self._listen()

    def _failed(self, hook: Callable[..., object], error: BaseException) -> None:
        fatal = self._hooks.failed(hook, error)
        self._listen()
        if fatal is not None:
            self._run.interrupted(fatal)


class _ReadingClock(SliceClock):
    def __init__(self, dispatch: Dispatch, reporter: Reporter) -> None:
        super().__init__(dispatch)
        self._reporter = reporter
        self._token = trio.lowlevel.current_trio_token()

    def before_io_wait(self, timeout: float) -> None:
        if self._reporter.tell() and timeout > 0:
            # A hook may have made a Trio task ready after Trio had settled how long to wait.
            self._token.run_sync_soon(_nothing, idempotent=True)


def _nothing() -> None:
    """Trio wakes up for it."""
