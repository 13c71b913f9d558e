"""`Run`: the live handle of a run, to watch it and to steer it while it goes on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Concatenate, ParamSpec, TypeVar

import trio

from ._engine import Engine
from ._errors import RunFinishedError, UnknownTaskError, shorten
from ._events import Events
from ._explanation import Explanation
from ._graph import TaskGraph
from ._node import TaskNode
from ._problems import suggest
from ._results import GraphResult, TaskResult
from ._steering import Steering

T = TypeVar("T")
P = ParamSpec("P")


def _takes_what(
    model: Callable[Concatenate[Any, P], object],
) -> Callable[[Callable[..., T]], Callable[Concatenate[Any, P], T]]:
    """Give a method the parameters of another one, for type checkers and for `help`."""

    def dress(method: Callable[..., T]) -> Callable[Concatenate[Any, P], T]:
        parameters = inspect.signature(model)
        method.__signature__ = parameters  # type: ignore[attr-defined]
        return method

    return dress


class Run:
    """The live handle of a run, from `open_run`.

    Its methods may be called from any Trio task of the program, from actions and from the hooks
    of instruments; from other threads through `from_thread`. What is not async returns at once
    and takes effect before anything else starts. Orders to a run that is over raise
    `RunFinishedError`, except `cancel`, which then has nothing to do.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._steering = Steering(engine)

    def __repr__(self) -> str:
        state = "over" if self._engine.finished.is_set() else "running"
        return f"<tgtrio run {self.run_id} of graph {self.graph.graph_id!r}, {state}>"

    @property
    def run_id(self) -> str:
        """The name of this run."""
        return self._engine.run_id

    @property
    def graph(self) -> TaskGraph:
        """The graph that runs."""
        return self._engine.graph

    # -- to see --------------------------------------------------------------------------

    def statistics(self) -> dict[str, Any]:
        """The figures of the run, now; the same as `TaskGraph.get_stats`."""
        return self._engine.statistics()

    def holds(self) -> dict[tuple[str, str], int]:
        """How many READY tasks do not start now, by what holds them back; for a display.

        A task that several things hold counts for one of them; `explain` tells all. Costs
        O(tasks / 64).

        Returns:
            The count by kind of cause (one of `CAUSES`) and its subject: ("cap", "fetch").
        """
        return self._steering.holds()

    def running(self, limit: int = 10) -> list[tuple[str, int, float]]:
        """The tasks in flight, those first that have been so for longest. O(tasks in flight).

        Args:
            limit: How many at most.

        Returns:
            Of each its id, the number of its attempt (from 0), and how long that has been going
            on, in seconds.
        """
        return self._steering.running(limit)

    def explain(self, task_id: str) -> Explanation:
        """Why a task does not run, or why it ended as it did. Costs O(its dependencies).

        Of a task that has not ended it tells every cause, with figures; there is at least one.
        Of one that has ended it tells how, and the chain to the root of that.

        Raises:
            UnknownTaskError: The run has no such task.
        """
        return self._steering.explain(self._rank(task_id))

    def result(self, task_id: str) -> TaskResult | None:
        """The result of a task that has ended; None as long as it has not.

        Raises:
            UnknownTaskError: The run has no such task.
        """
        return self._engine.result_at(self._rank(task_id))

    async def wait_for(self, task_id: str) -> TaskResult:
        """Wait for the end of a task, whatever it is.

        Cancellation: leaves the task and the run as they are.

        Raises:
            UnknownTaskError: The run has no such task.
        """
        rank = self._rank(task_id)
        await trio.lowlevel.checkpoint()
        if (ended := self._steering.end_of(rank)) is not None:
            await ended.wait()
        result = self._engine.result_at(rank)
        assert result is not None
        return result

    def events(self) -> Events:
        """What happens in the run from now on: iterate with `async for`, until the run is over.

        The iterator keeps 10,000 events; what a slow reader loses beyond that is counted in an
        event. Waiting for the next event counts as waiting for the end: the run ends with its
        last task.
        """
        return self._steering.events()

    # -- to steer ------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Has the run been paused by `pause`?"""
        return self._steering.paused

    def pause(self) -> None:
        """Let nothing start until `resume`. In flight goes on, retries and deadlines too.

        Raises:
            RunFinishedError: The run is over.
        """
        self._steering.pause()

    def resume(self) -> None:
        """Undo `pause`. Does nothing if the run is not paused.

        Raises:
            RunFinishedError: The run is over.
        """
        self._steering.resume()

    def set_max_parallel(self, limit: int) -> None:
        """Change how many tasks may be in flight. What is in flight beyond that goes on.

        Args:
            limit: At least 1.

        Raises:
            InvalidTypeError, InvalidValueError: It is none, or the run shares a
                `trio.CapacityLimiter` with the rest of the program: set its `total_tokens`.
            RunFinishedError: The run is over.
        """
        self._steering.set_max_parallel(limit)

    def set_cap(self, action: str, limit: int | None) -> None:
        """Change how many tasks of an action may be in flight; those that are go on.

        Args:
            action: Its name. An action of which no task has been added yet gets the cap for later.
            limit: At least 1; None for no cap.

        Raises:
            UnknownActionError: Nothing provides this action.
            InvalidTypeError, InvalidValueError, RunFinishedError: As of `set_max_parallel`.
        """
        self._steering.set_cap(action, limit)

    def isolate(self, action: str, *, reason: str = "") -> None:
        """Open the circuit breaker of an action until `close_breaker`; in flight goes on.

        Args:
            action: Its name.
            reason: Goes into messages.

        Raises:
            UnknownActionError: No task of the run has this action.
            InvalidValueError: It has no breaker.
            RunFinishedError: The run is over.
        """
        self._steering.isolate(action, reason)

    def close_breaker(self, action: str, *, reason: str = "") -> None:
        """Close the circuit breaker of an action, whatever opened it.

        Args, Raises: As of `isolate`.
        """
        self._steering.close_breaker(action, reason)

    def cancel(self, task_id: str | None = None, *, reason: str = "", branch: bool = False) -> None:
        """Cancel the run, one task of it, or a branch. Nothing waits for the end.

        A task in flight gets `trio.Cancelled`, one that has not started never will; both end
        CANCELLED, and a task's dependents go by their policies. What has ended already stays
        as it is, so cancelling it, or a run that is over, does nothing.

        Args:
            task_id: The task; None for the whole run.
            reason: Goes into the results.
            branch: Cancel all that depends on the task too, directly or not, whatever its policy.

        Raises:
            UnknownTaskError: The run has no such task.
        """
        if task_id is None:
            self._steering.cancel_all(reason)
        else:
            self._steering.cancel(self._rank(task_id), reason, branch=branch)

    @_takes_what(TaskGraph.add_task)
    def add_task(self, *fields: Any, **named_fields: Any) -> TaskNode:
        """Add a task to the run, and to its graph. It may start at once. O(dependencies + log n).

        Its dependencies may have ended already; its policy decides then. It may share an
        idempotency key with any task of the run.

        Args: those of `TaskGraph.add_task`.

        Raises:
            RunFinishedError: The run is over, or being ended.
            GraphRunningError: The run is not one of `open_run`.
            UnknownActionError: Nothing provides its action.
            UnknownDependencyError: A dependency is not part of the run.
            TgtrioError: The other refusals of `TaskGraph.add_task`. Nothing has changed then.
        """
        return self._steering.add_task(TaskNode(*fields, **named_fields))

    def staying_open(self) -> AbstractContextManager[None]:
        """A block in which the run does not end with its last task, whoever waits for it.

        For a Trio task that adds tasks while another is in `wait`, `drain` or `events`.
        """
        return self._engine.openness.staying_open()

    def from_thread(self, function: Callable[..., T], *args: object) -> T:
        """Call a function in the Trio thread, and return or raise what it does; for other threads.

        The door through which threads use this handle: `run.from_thread(run.cancel, "fetch")`.
        It waits until Trio has made the call, which is a millisecond, or as long as the program
        keeps its event loop busy.

        Args:
            function: A plain function: mostly a method of this handle.
            args: What it is called with; for keywords use `functools.partial`.

        Raises:
            RunFinishedError: The program's Trio run is over.
            RuntimeError: This is the Trio thread; call the function itself.
        """
        try:
            return trio.from_thread.run_sync(function, *args, trio_token=self._engine.token)
        except trio.RunFinishedError:
            raise RunFinishedError(f"{self!r} is over, and so is Trio") from None

    # -- to end --------------------------------------------------------------------------

    async def drain(self, *, reason: str = "") -> GraphResult:
        """End the run gently: nothing starts any more, what is in flight runs to its end.

        Returns once it has. What had not started, was held or backed off is CANCELLED, and what
        fails now is not tried again. `cancel` cuts a drain short.

        Cancellation: leaves the drain as it is.

        Args:
            reason: Goes into the results.
        """
        self._steering.drain(reason)
        return await self.wait()

    async def wait(self) -> GraphResult:
        """Wait for the end of the run: until its last task has ended.

        Cancellation: leaves the run as it is.

        Returns:
            The result, complete, however the run ended.
        """
        with self._engine.openness.waiting():
            await self._engine.finished.wait()
        assert self._engine.result is not None
        return self._engine.result

    # -- inside --------------------------------------------------------------------------

    def _rank(self, task_id: str) -> int:
        try:
            return self._engine.plan.rank(task_id)
        except (KeyError, TypeError):
            raise UnknownTaskError(
                f"graph {shorten(self.graph.graph_id)} has no task {shorten(task_id)}"
                f"{suggest(task_id, self.graph.nodes)}"
            ) from None
