"""`run_graph` and `open_run`: a graph, what does its work, and the limits of this run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from ._actions import resolve_actions
from ._checks import check_name
from ._ends import Cause, raise_together
from ._engine import Engine
from ._errors import InvalidTypeError, UnknownTaskError, shorten
from ._graph import TaskGraph
from ._hygiene import without_cancelled
from ._limits import Limit, check_limit, check_limits, lay_gates, warn_of_typos
from ._problems import suggest
from ._results import GraphResult


class Run:
    """The live handle of a run, from `open_run`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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

    def statistics(self) -> dict[str, Any]:
        """The figures of the run, now; the same as `TaskGraph.get_stats`."""
        return self._engine.statistics()

    def cancel(self, task_id: str | None = None, *, reason: str = "") -> None:
        """Cancel the run, or one task of it. Returns at once; nothing waits for the end.

        A task in flight gets `trio.Cancelled`, one that has not started never will; both end
        CANCELLED, and a task's dependents go by their policies. What has ended already stays
        as it is, so cancelling it, or a run that is over, does nothing.

        Args:
            task_id: The task; None for the whole run.
            reason: Goes into the results.

        Raises:
            UnknownTaskError: The graph has no such task.
        """
        because = f": {reason}" if reason else ""
        if task_id is None:
            self._engine.cut_short(Cause.CANCELLED, f"the run was cancelled{because}")
            return
        try:
            rank = self._engine.plan.rank(task_id)
        except (KeyError, TypeError):
            raise UnknownTaskError(
                f"graph {shorten(self.graph.graph_id)} has no task {shorten(task_id)}"
                f"{suggest(task_id, self.graph.nodes)}"
            ) from None
        self._engine.cancel_task(rank, f"the task was cancelled{because}")

    async def wait(self) -> GraphResult:
        """Wait for the end of the run.

        Cancellation: leaves the run as it is.

        Returns:
            The result, complete, however the run ended.
        """
        await self._engine.finished.wait()
        assert self._engine.result is not None
        return self._engine.result


def prepare(
    graph: TaskGraph,
    source: object,
    registry: Mapping[str, object] | None = None,
    *,
    max_parallel: Limit | None = None,
    per_action_caps: Mapping[str, Limit] | None = None,
    resource_caps: Mapping[str, Limit] | None = None,
    run_id: str | None = None,
) -> Engine:
    """Check all that can be checked before a run, and make its engine."""
    if not isinstance(graph, TaskGraph):
        raise InvalidTypeError(f"{shorten(graph)} is no TaskGraph but a {type(graph).__name__}")
    given = graph.max_parallel if max_parallel is None else max_parallel
    limit = check_limit("max_parallel", given)
    action_caps = check_limits("per_action_caps", per_action_caps)
    caps_of_resources = check_limits("resource_caps", resource_caps)
    if run_id is not None:
        run_id = check_name(("run of graph", graph.graph_id), "run_id", run_id)
    plan = graph.freeze()
    warn_of_typos("per_action_caps", action_caps, plan.actions)
    gates = lay_gates(plan, limit, action_caps, caps_of_resources)
    actions = resolve_actions(plan.actions, plan.nodes_of, source, registry)
    return Engine(graph, plan, actions, gates, limit, run_id)


async def run_graph(
    graph: TaskGraph,
    actions: object,
    *,
    max_parallel: Limit | None = None,
    per_action_caps: Mapping[str, Limit] | None = None,
    resource_caps: Mapping[str, Limit] | None = None,
    run_id: str | None = None,
) -> GraphResult:
    """Run a graph and return when its last task has ended.

    An action's exception is in the result and never leaves this call.

    Cancellation: cancels what is in flight, waits until nothing of the run is left, and
    passes on `trio.Cancelled`.

    Args:
        graph: It may run once at a time. A run freezes it; it may be changed in between.
        actions: What does the work: a mapping of action names to callables, `Actions`, or an
            object with methods of those names.
        max_parallel: How many tasks may be in flight; None for the graph's own limit. An int
            of at least 1, or a `trio.CapacityLimiter` shared with the rest of the program.
        per_action_caps: How many tasks of an action may be in flight, by action name.
        resource_caps: How many tasks that name a resource may be in flight, by resource.
        run_id: The name of this run; a random one by default.

    Raises:
        UnknownActionError: A task names an action that nothing provides.
        InvalidTypeError, InvalidValueError: A limit is none.
        GraphRunningError: The graph is running already.
        KeyboardInterrupt, SystemExit: And whatever else is no `Exception`, after everything
            of the run has been cancelled; bare when it is alone.

    Returns:
        The result; it holds every task of the graph.
    """
    engine = prepare(
        graph,
        actions,
        max_parallel=max_parallel,
        per_action_caps=per_action_caps,
        resource_caps=resource_caps,
        run_id=run_id,
    )
    engine.claim()
    return await engine.execute()


@asynccontextmanager
async def open_run(
    graph: TaskGraph,
    actions: object,
    *,
    max_parallel: Limit | None = None,
    per_action_caps: Mapping[str, Limit] | None = None,
    resource_caps: Mapping[str, Limit] | None = None,
    run_id: str | None = None,
) -> AsyncIterator[Run]:
    """Run a graph beside the block, with a live handle.

    The end of the block waits for the end of the run. An exception in the block cancels the
    run, and is raised when nothing of the run is left.

    Args, Raises: as `run_graph`.
    """
    engine = prepare(
        graph,
        actions,
        max_parallel=max_parallel,
        per_action_caps=per_action_caps,
        resource_caps=resource_caps,
        run_id=run_id,
    )
    engine.claim()
    errors: list[BaseException] = []
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_execute, engine, nursery.cancel_scope, errors)
            try:
                yield Run(engine)
            except BaseException as raised:
                error = without_cancelled(raised)
                if error is None:
                    raise
                errors.append(error)
                engine.cut_short(
                    Cause.CANCELLED, f"the block of open_run raised {type(error).__name__}"
                )
    except BaseException as cancelled:  # from outside; the block's and the run's errors go along
        errors.append(cancelled)
    raise_together(errors)


async def _execute(engine: Engine, block: trio.CancelScope, errors: list[BaseException]) -> None:
    """Run beside the block; what must not be swallowed cancels it."""
    try:
        await engine.execute()
    except trio.Cancelled:
        raise
    except BaseException as error:
        errors.append(error)
        block.cancel()
