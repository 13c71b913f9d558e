"""`TaskExecutor`: single tasks, executed alone, without a graph.

Equal work that is asked for at the same time is done once, and what has succeeded is served
from a cache.
"""

from __future__ import annotations

import contextlib
import math
import random
import sys
import uuid
from collections.abc import Callable
from typing import Any

import attrs
import trio

from ._actions import Action, make_action
from ._arguments import encode_json
from ._breaker_policy import DEFAULT_BREAKER, BreakerPolicy
from ._breakers import Breakers
from ._cache import ResponseCache
from ._checks import check_count, check_milliseconds
from ._chronicle import Chronicle
from ._durable import Durable
from ._ends import raise_together
from ._errors import InvalidArgumentError, InvalidTypeError, StoreError, shorten
from ._execution import FROM_OUTSIDE, Execution
from ._hygiene import without_cancelled
from ._identity import key_of
from ._node import TaskNode
from ._outcome import describe_failure
from ._policies import check_breaker, check_retry, settled
from ._recorder import row_of
from ._results import TaskResult
from ._retry import DEFAULT_RETRY, RetryPolicy, policy_for
from ._settings import check_seed, check_store
from ._states import TaskState
from ._store import RawStore
from ._timekeeper import Timekeeper
from ._watch import Monitor, Watch, check_monitor

_STORED_STATES = {TaskState.CANCELLED: "cancelled", TaskState.ABORTED: "aborted"}
_SHARED = (TaskState.SUCCEEDED, TaskState.FAILED)


class Flight:
    """One execution that others wait for."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.result: TaskResult | None = None  # None still at the end: others must try themselves


class TaskExecutor:
    """Executes single tasks: timeout, retries, back-off, and a result instead of an exception.

    Any number of tasks may be executed at the same time. Those with one idempotency key are
    executed once, and a success is served to later ones from a cache; failures never are.

    Args:
        retry: How failed attempts are repeated; an action's own policy goes before it, and a
            task's own `max_retries` before both. None switches retries off, also for tasks that
            ask for some.
        breaker: When the circuit breaker of an action opens; None for no breakers. They live as
            long as the executor.
        abort_monitor: Safety rules, asked before every attempt.
        raw_store: Every execution is kept there, as a run of its own.
        cache_size: How many responses are kept; those that were not used for longest go first.
            0 keeps none.
        seed: Makes the back-offs the same every time.

    Raises:
        InvalidTypeError, InvalidValueError: An argument is of a type, or has a value, that it
            cannot have.
    """

    def __init__(
        self,
        *,
        retry: RetryPolicy | None = DEFAULT_RETRY,
        breaker: BreakerPolicy | None = DEFAULT_BREAKER,
        abort_monitor: Monitor | None = None,
        raw_store: RawStore | None = None,
        cache_size: int = 10_000,
        seed: int | None = None,
    ) -> None:
        self.retry = check_retry(retry)
        self.abort_monitor = check_monitor(abort_monitor)
        self.raw_store = check_store(raw_store, "raw_store")
        self.cache = ResponseCache(check_count(("option", "cache_size"), "value", cache_size))
        self.chronicle = Chronicle(getattr(abort_monitor, "ledger", None), raw_store)
        self.breakers = Breakers(check_breaker(breaker), self.chronicle)
        self._rng = random.Random(check_seed(seed))
        self._flights: dict[str, Flight] = {}

    async def execute(
        self,
        node: TaskNode,
        task_callable: Callable[..., Any] | Action,
        timeout_ms: float | None = None,
    ) -> TaskResult:
        """Execute one task, and return when it has succeeded or failed for good.

        What the callable raises is in the result and not raised. A task with the key of one that
        is being executed waits for that one, and shares its response or its failure. Always a
        checkpoint.

        Cancellation: cancels the attempt or the back-off and passes on. A value that the
        callable returns all the same is kept (`late=True`), and so is an `Exception` that it
        raises instead (the state is CANCELLED); the caller gets `trio.Cancelled` at its next
        checkpoint. A plain function in a thread is waited for. If others wait for this very
        execution, one of them executes the task anew.

        Args:
            node: The task. Its dependencies and its priority do not matter here. With
                `expire_at_deadline` it fails at its deadline, whatever it is doing.
            task_callable: `async def action(args)` or `(args, context)`; a plain function is
                called in a worker thread. An `Action` is called as it says.
            timeout_ms: Bounds each attempt, in milliseconds, instead of the task's own timeout.

        Raises:
            InvalidArgumentError: The arguments hold `output_of`; there is no other task here.
            InvalidTypeError, InvalidValueError: An argument is of a type, or has a value, that
                it cannot have.
            StoreError: The store cannot be written; `result` is what the execution came to.
            KeyboardInterrupt, SystemExit: And whatever else is no `Exception`.

        Returns:
            The result; `attempts` says how often the callable was called.
        """
        return await self._execute(node, task_callable, timeout_ms, anew=False)

    async def execute_anew(
        self,
        node: TaskNode,
        task_callable: Callable[..., Any] | Action,
        timeout_ms: float | None = None,
    ) -> TaskResult:
        """Execute one task as `execute` does, but never be served from another execution.

        Cancellation: as of `execute`, and so are arguments, errors and result.
        """
        return await self._execute(node, task_callable, timeout_ms, anew=True)

    async def _execute(
        self, node: TaskNode, task_callable: object, timeout_ms: float | None, *, anew: bool
    ) -> TaskResult:
        _check_node(node)
        if timeout_ms is None:
            timeout_ms = node.task_timeout_ms
        else:
            timeout_ms = check_milliseconds(("task", node.task_id), "timeout_ms", timeout_ms)
        action = make_action(node.action_name, task_callable)
        execution = Execution(
            node=node,
            action=action,
            timeout_ms=math.inf if timeout_ms is None else timeout_ms,
            policy=policy_for(settled(action.policies.retry, self.retry), node.max_retries),
            rng=self._rng,
            breaker=self.breakers.of(node.action_name, action.policies.breaker),
            idempotent=action.policies.idempotent,
            outside=sys.exception(),
        )
        await trio.lowlevel.checkpoint()
        key = key_of(node) if action.policies.idempotent else None
        if key is None or anew:
            return await self._kept(execution)
        return await self._once(key, execution)

    # -- equal work -------------------------------------------------------------------

    async def _once(self, key: str, execution: Execution) -> TaskResult:
        """Be served, wait for the one that executes it now, or execute it."""
        while True:
            if trio.current_time() >= execution.expires:
                return await self._kept(execution)  # which makes no attempt
            cached = self.cache.get(key, 0.0)
            if cached is not None:
                return execution.served(cached[0])
            flight = self._flights.get(key)
            if flight is None:
                return await self._lead(key, execution)
            with trio.move_on_at(execution.expires):
                await flight.over.wait()
            result = flight.result
            if result is not None and result.success:
                return execution.served(result.response)
            if result is not None:
                return execution.failed_with(result)

    async def _lead(self, key: str, execution: Execution) -> TaskResult:
        flight = self._flights[key] = Flight()
        try:
            result = await self._kept(execution)
            if result.state in _SHARED and not execution.expired:
                flight.result = result
            if result.success and result.finished_at is not None:
                self.cache.put(key, result.response, result.finished_at.timestamp())
            return result
        finally:
            del self._flights[key]
            flight.over.set()

    # -- around the attempts --------------------------------------------------------------

    async def _kept(self, execution: Execution) -> TaskResult:
        """Execute it, and keep it in the store if there is one."""
        if self.raw_store is None:
            return await self._watched(execution)
        errors: list[StoreError] = []
        durable = Durable(self.raw_store, int, errors.append)
        node = execution.node
        journal = await durable.open(None, uuid.uuid4().hex, 1)
        try:
            result, response = _as_json(node, await self._watched(execution))
        except BaseException as error:
            cancelled = without_cancelled(error) is None
            reason = FROM_OUTSIDE if cancelled else f"interrupted by {type(error).__name__}"
            result = execution.cancelled(reason)
            journal.put(row_of(result, node, None))
            with contextlib.suppress(StoreError):  # what ended it is worse
                await _close(durable, result, "cancelled" if cancelled else "interrupted")
            raise
        journal.put(row_of(result, node, response))
        await _close(durable, result, _STORED_STATES.get(result.state, "finished"))
        return result

    async def _watched(self, execution: Execution) -> TaskResult:
        """Execute it under the safety rules, if there are any."""
        if self.abort_monitor is None:
            return await execution.run()
        result, errors = None, list[BaseException]()
        async with trio.open_nursery() as nursery:
            timers = Timekeeper(lambda timers: nursery.start_soon(_keep_time, timers))
            execution.watch = Watch(self.abort_monitor, execution.stop, timers)
            try:
                result = await execution.run()
            except BaseException as error:  # the nursery would put it into a group
                errors.append(error)
            finally:
                execution.watch.end()
            nursery.cancel_scope.cancel()
        raise_together(errors)
        assert result is not None
        return result


def _check_node(node: object) -> None:
    if not isinstance(node, TaskNode):
        raise InvalidTypeError(f"{shorten(node)} is no TaskNode but a {type(node).__name__}")
    if node.inputs:
        raise InvalidArgumentError(
            f"task {shorten(node.task_id)} takes the output of task {shorten(node.inputs[0])}, "
            "but is executed alone; put it into a graph, or the value into its arguments",
            "normalized_args",
        )


async def _keep_time(timers: Timekeeper) -> None:
    with contextlib.suppress(trio.Cancelled):  # the execution decides what becomes of it
        await timers.run()


async def _close(durable: Durable, result: TaskResult, state: str) -> None:
    """Have the result on disk, and let go of the run."""
    try:
        await durable.close(state, {"states": {result.state.value: 1}})
    except StoreError as error:
        durable.let_go()
        error.result = result
        raise


def _as_json(node: TaskNode, result: TaskResult) -> tuple[TaskResult, bytes | None]:
    """The result, and its response as JSON; a failure if it is none."""
    if not result.success:
        return result, None
    try:
        return result, encode_json(("task", node.task_id), "response", result.response)
    except InvalidArgumentError as error:
        failure = describe_failure(error)
        failed = attrs.evolve(
            result,
            state=TaskState.FAILED,
            response=None,
            error=failure.error,
            exception=error,
            traceback=failure.traceback,
        )
        return failed, None
