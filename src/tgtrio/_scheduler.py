"""`TaskScheduler`: graphs and stored tasks, with the actions and the policies they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from . import _run
from ._actions import Action, Actions, resolve_actions
from ._breaker_policy import DEFAULT_BREAKER, BreakerPolicy
from ._definitions import DefinitionStore, TaskDefinition
from ._errors import InvalidTypeError, shorten
from ._executor import TaskExecutor
from ._graph import TaskGraph
from ._limits import Limit
from ._results import GraphResult, TaskResult
from ._retry import DEFAULT_RETRY, RetryPolicy
from ._settings import MoreOptions, check_store
from ._store import RawStore
from ._watch import Monitor, check_monitor


class TaskScheduler:
    """Executes graphs and stored tasks. `create_task_scheduler` makes one.

    Its circuit breakers live as long as its executor: what graphs and stored tasks find out
    about an action, all of them know.

    Args:
        definitions: Where stored tasks are.
        executor: Executes stored tasks; its policies and its breakers are those of graphs too.
        actions: Looked up before what a call passes as `persona_service`.
        raw_store: Where graphs are kept; None for the executor's store.
        abort_monitor: Safety rules of graphs; None for those of the executor.
    """

    def __init__(
        self,
        definitions: DefinitionStore,
        executor: TaskExecutor,
        actions: Mapping[str, object] | None = None,
        raw_store: RawStore | None = None,
        abort_monitor: Monitor | None = None,
    ) -> None:
        self._definitions = definitions
        self._executor = executor
        self._actions = actions
        self._raw_store = raw_store or executor.raw_store
        self._abort_monitor = abort_monitor or executor.abort_monitor

    def __repr__(self) -> str:
        return f"<TaskScheduler: {self._definitions}>"

    async def execute_graph(
        self,
        graph: TaskGraph,
        persona_service: object = None,
        max_parallel: Limit | None = None,
        per_action_caps: Mapping[str, Limit] | None = None,
        **options: Unpack[MoreOptions],
    ) -> GraphResult:
        """Run a graph and return when its last task has ended.

        Cancellation: as `run_graph`.

        Args:
            graph: The graph.
            persona_service: What does the work, for actions that the scheduler does not have:
                a mapping of names to callables, an object with methods of those names, or one
                with `generate_response`.
            max_parallel: Overrides the graph's, for this run.
            per_action_caps: How many tasks of an action may be in flight, by action name.
            options: The other options of `run_graph`. Left out, `retry`, `store` and
                `abort_monitor` are the scheduler's, and so are the breakers; a `breaker` gives
                this run breakers of its own, or none.

        Raises:
            InvalidTypeError: `graph` is no `TaskGraph`; and whatever `run_graph` raises.

        Returns:
            The result; it holds every task of the graph.
        """
        defaults = {
            "retry": self._executor.retry,
            "store": self._raw_store,
            "abort_monitor": self._abort_monitor,
        }
        own = {"max_parallel": max_parallel, "per_action_caps": per_action_caps}
        shared = _run.Shared(
            actions=self._actions,
            breakers=None if "breaker" in options else self._executor.breakers,
            cache=self._executor.cache,
        )
        engine = _run.prepare(graph, persona_service, {**defaults, **own, **options}, shared)
        await engine.begin()
        return await engine.execute()

    async def execute_task_with_retry(
        self,
        task_id: str,
        persona_service: object = None,
        max_retries: int | None = None,
        timeout_ms: float | None = None,
    ) -> TaskResult:
        """Execute a stored task; each call executes it anew.

        Cancellation: as `TaskExecutor.execute`.

        Args:
            task_id: The stored task.
            persona_service: As of `execute_graph`.
            max_retries: Overrides the definition's.
            timeout_ms: Bounds each attempt, in milliseconds, instead of the definition's.

        Raises:
            UnknownTaskError: No task of that id is stored.
            UnknownActionError: Nothing provides its action.
            InvalidTypeError, InvalidValueError: An argument is of a type, or has a value, that
                it cannot have.

        Returns:
            The result; what the action raised is in it.
        """
        node = self._definitions.get(task_id).to_node(max_retries)
        (action,) = resolve_actions(
            [node.action_name], lambda _name: [node], persona_service, self._actions
        )
        return await self._executor.execute_anew(node, action, timeout_ms)

    def add_task(self, definition: TaskDefinition, *, replace: bool = False) -> None:
        """Store a task. It is on disk when this returns.

        Raises:
            DuplicateTaskError: One of that id is stored already, and `replace` is false.
            InvalidTypeError: `definition` is no `TaskDefinition`.
        """
        self._definitions.add(definition, replace=replace)

    def get_task(self, task_id: str) -> TaskDefinition:
        """A stored task.

        Raises:
            UnknownTaskError: None of that id is stored.
            GraphFileError: Its file is damaged.
        """
        return self._definitions.get(task_id)

    def list_tasks(self) -> list[TaskDefinition]:
        """All stored tasks, sorted by id.

        Raises:
            GraphFileError: A file is damaged.
        """
        return self._definitions.all()

    def delete_task(self, task_id: str) -> None:
        """Forget a stored task.

        Raises:
            UnknownTaskError: None of that id is stored.
        """
        self._definitions.delete(task_id)


def create_task_scheduler(
    persona_space_path: str | os.PathLike[str] = "persona_space",
    raw_store: RawStore | None = None,
    abort_monitor: Monitor | None = None,
    task_executor: TaskExecutor | None = None,
    actions: Mapping[str, Callable[..., Any] | Action] | None = None,
    retry: RetryPolicy | None = DEFAULT_RETRY,
    breaker: BreakerPolicy | None = DEFAULT_BREAKER,
) -> TaskScheduler:
    """A scheduler with an executor of its own.

    Args:
        persona_space_path: The folder of stored tasks, made when the first one is added.
        raw_store: Where graphs and single executions are kept.
        abort_monitor: Safety rules, asked before every attempt.
        task_executor: Executes stored tasks in place of an own executor; its policies go
            before `retry` and `breaker`.
        actions: `Actions`, or a mapping of action names to callables.
        retry: How failed attempts are repeated; None for not at all.
        breaker: When the circuit breaker of an action opens; None for no breakers.

    Raises:
        InvalidTypeError, InvalidValueError: An argument is of a type, or has a value, that it
            cannot have.
    """
    if actions is not None and not isinstance(actions, Mapping):
        raise InvalidTypeError(
            f"actions is {shorten(actions)}, of type {type(actions).__name__}; "
            "it must be a mapping of action names to callables"
        )
    if actions is not None and not isinstance(actions, Actions):
        actions = Actions(actions)  # refuses now what could not be called later
    if task_executor is not None and not isinstance(task_executor, TaskExecutor):
        raise InvalidTypeError(f"task_executor is {shorten(task_executor)}; it must be one")
    own = TaskExecutor(
        retry=retry, breaker=breaker, abort_monitor=abort_monitor, raw_store=raw_store
    )
    return TaskScheduler(
        DefinitionStore(persona_space_path),
        own if task_executor is None else task_executor,
        actions,
        check_store(raw_store, "raw_store"),
        check_monitor(abort_monitor),
    )
