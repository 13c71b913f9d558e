"""`run_graph` and `open_run`: a graph, what does its work, and the limits of this run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Unpack

import attrs
import trio

from ._actions import Action, resolve_actions, resolve_one
from ._breaker_policy import DEFAULT_BREAKER, BreakerPolicy
from ._breakers import Breakers
from ._cache import ResponseCache
from ._chronicle import Chronicle
from ._ends import Cause, raise_together
from ._engine import Engine
from ._errors import InvalidTypeError, InvalidValueError, shorten
from ._graph import TaskGraph
from ._growing_plan import GrowingPlan
from ._handle import Run
from ._hygiene import without_cancelled
from ._instrument import Instrument
from ._layout import lay_gates
from ._limits import Limit, check_limit, warn_of_typos
from ._plan import Order
from ._policies import settled
from ._results import GraphResult
from ._retry import DEFAULT_RETRY, RetryPolicy
from ._settings import Reuse, RunOptions, Settings, WhenOpen, read_settings
from ._store import RawStore
from ._watch import Monitor


@attrs.frozen(kw_only=True)
class Shared:
    """What a scheduler has for all its runs.

    Attributes:
        actions: Looked up before what a call passes.
        breakers: Its breakers; None: each run makes its own.
        cache: The cache of its executor.
    """

    actions: Mapping[str, object] | None = None
    breakers: Breakers | None = None
    cache: ResponseCache | None = None


def prepare(
    graph: TaskGraph,
    source: object,
    options: Mapping[str, Any],
    shared: Shared | None = None,
    *,
    live: bool = False,
) -> Engine:
    """Check all that can be checked before a run, and make its engine.

    Args:
        live: Does somebody get a handle of the run?
    """
    if not isinstance(graph, TaskGraph):
        raise InvalidTypeError(f"{shorten(graph)} is no TaskGraph but a {type(graph).__name__}")
    settings, shared = read_settings(options), shared or Shared()
    if settings.reuse == "executor" and shared.cache is None:
        raise InvalidValueError(
            "reuse is 'executor', but run_graph has none; use a scheduler's execute_graph"
        )
    given = graph.max_parallel if settings.max_parallel is None else settings.max_parallel
    limit = check_limit("max_parallel", given)
    plan = graph.freeze(settings.order)
    if live:
        plan = GrowingPlan.of(plan)
    warn_of_typos("per_action_caps", settings.per_action_caps, plan.actions)
    resources = {name for names in plan.resource_sets for name in names}
    warn_of_typos("resource_caps", settings.resource_caps, resources)
    actions = resolve_actions(plan.actions, plan.nodes_of, source, shared.actions)
    chronicle = Chronicle(getattr(settings.abort_monitor, "ledger", None), settings.store)
    breakers = shared.breakers or Breakers(settings.breaker, chronicle)
    gates = lay_gates(
        plan,
        limit,
        settings.per_action_caps,
        settings.resource_caps,
        hold_actions=_may_hold(settings, breakers, actions),
    )
    return Engine(
        graph,
        plan,
        actions,
        gates,
        limit,
        settings,
        breakers,
        shared.cache,
        chronicle,
        handle=Run,
        resolve=lambda node: resolve_one(node, source, shared.actions),
        live=live,
    )


def _may_hold(settings: Settings, breakers: Breakers, actions: list[Action]) -> bool:
    """May an action be held back as a whole, by its breaker or by a RetryLater?"""
    return any(
        settled(action.policies.retry, settings.retry) is not None
        or settled(action.policies.breaker, breakers.policy) is not None
        for action in actions
    )


async def run_graph(
    graph: TaskGraph,
    actions: object,
    *,
    max_parallel: Limit | None = None,
    per_action_caps: Mapping[str, Limit] | None = None,
    resource_caps: Mapping[str, Limit] | None = None,
    order: Order = "priority",
    retry: RetryPolicy | None = DEFAULT_RETRY,
    breaker: BreakerPolicy | None = DEFAULT_BREAKER,
    when_open: WhenOpen = "hold",
    idempotent: bool = True,
    abort_monitor: Monitor | None = None,
    store: RawStore | None = None,
    run_id: str | None = None,
    reuse: Reuse = "run",
    reuse_ttl: float | None = None,
    instruments: Sequence[Instrument] = (),
    seed: int | None = None,
) -> GraphResult:
    """Run a graph and return when its last task has ended.

    An action's exception is in the result and never leaves this call.

    Cancellation: cancels what is in flight, waits until nothing of the run is left and what
    there is for the store is on disk, and passes on `trio.Cancelled`.

    Args:
        graph: It may run once at a time. A run freezes it; it may be changed in between.
        actions: What does the work: a mapping of action names to callables, `Actions`, or an
            object with methods of those names.
        max_parallel: How many tasks may be in flight; None for the graph's own limit. An int
            of at least 1, or a `trio.CapacityLimiter` shared with the rest of the program.
        per_action_caps: How many tasks of an action may be in flight, by action name.
        resource_caps: How many tasks that name a resource may be in flight, by resource.
        order: Which of the ready tasks of one priority and deadline comes first: "priority" the
            one that was added first, "critical_path" the one with the longest way to the end of
            the graph, by its tasks' `estimate_ms`.
        retry: How failed attempts are repeated, unless an action has a policy of its own; a
            task's `max_retries` goes before both. None: not at all.
        breaker: When the circuit breaker of an action opens, unless the action has a policy of
            its own. None: no breakers.
        when_open: What becomes of the tasks of an action whose breaker is open: "hold" keeps
            them until it lets somebody through, "fail" fails them at once.
        idempotent: False: equal tasks are all executed, and not served from each other.
        abort_monitor: The safety rules, asked before every attempt.
        store: Where the run is kept. The latest run of a graph of this id, if it did not end by
            itself, is resumed: what has succeeded in it is not done again.
        run_id: Which run to begin or to resume; a new one by default, or the one to resume.
        reuse: Whose responses are served for equal work: "run" those of this run alone, "store"
            those of any run in the store, "executor" those of a scheduler's executor.
        reuse_ttl: How old a response of another run may be, in seconds; None for any age.
        instruments: What watches the run.
        seed: Makes the back-offs the same every time.

    Raises:
        UnknownActionError: A task names an action that nothing provides.
        InvalidTypeError, InvalidValueError: An option is none.
        GraphRunningError: The graph is running already, or its run by another process.
        StoreError: The store cannot be read or written. If it failed during the run, nothing
            of that is left, and `result` tells what is known.
        KeyboardInterrupt, SystemExit: And whatever else is no `Exception`, after everything
            of the run has been cancelled; bare when it is alone.

    Returns:
        The result; it holds every task of the graph.
    """
    engine = prepare(
        graph,
        actions,
        {
            "max_parallel": max_parallel,
            "per_action_caps": per_action_caps,
            "resource_caps": resource_caps,
            "order": order,
            "retry": retry,
            "breaker": breaker,
            "when_open": when_open,
            "idempotent": idempotent,
            "abort_monitor": abort_monitor,
            "store": store,
            "run_id": run_id,
            "reuse": reuse,
            "reuse_ttl": reuse_ttl,
            "instruments": instruments,
            "seed": seed,
        },
    )
    await engine.begin()
    return await engine.execute()


@asynccontextmanager
async def open_run(
    graph: TaskGraph, actions: object, **options: Unpack[RunOptions]
) -> AsyncIterator[Run]:
    """Run a graph beside the block, with a live handle.

    The end of the block waits for the end of the run. An exception in the block cancels the
    run, and is raised when nothing of the run is left. While the block is open tasks may be
    added to the run, so that it does not end with its last task, unless somebody waits for that:
    in `wait`, `drain` or at an `events` iterator.

    Args:
        graph, actions, options: As of `run_graph`.

    Raises: as `run_graph`.
    """
    engine = prepare(graph, actions, options, live=True)
    handle = engine.handle
    assert isinstance(handle, Run)
    await engine.begin()
    errors: list[BaseException] = []
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_execute, engine, nursery.cancel_scope, errors)
            try:
                yield handle
                engine.openness.end_block()
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
