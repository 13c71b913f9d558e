"""`TaskScheduler`: graphs and stored tasks, with the actions and the policies they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from . import _run
from ._actions import Action, Actions, resolve_actions
from ._definitions import DefinitionStore, TaskDefinition
from ._errors import InvalidTypeError, shorten
from ._executor import TaskExecutor, check_retry
from ._graph import TaskGraph
from ._limits import Limit
from ._results import GraphResult, TaskResult
from ._retry import DEFAULT_RETRY, RetryPolicy


class TaskScheduler:
    """Executes graphs and stored tasks. `create_task_scheduler` makes one.

    Args:
        definitions: Where stored tasks are.
        executor: Executes stored tasks.
        actions: Looked up before what a call passes as `persona_service`.
    """

    def __init__(
        self,
        definitions: DefinitionStore,
        executor: TaskExecutor,
        actions: Mapping[str, object] | None = None,
    ) -> None:
        self._definitions = definitions
        self._executor = executor
        self._actions = actions

    def __repr__(self) -> str:
        return f"<TaskScheduler: {self._definitions}>"

    async def execute_graph(
        self,
        graph: TaskGraph,
        persona_service: object = None,
        max_parallel: Limit | None = None,
        per_action_caps: Mapping[str, Limit] | None = None,
        *,
        resource_caps: Mapping[str, Limit] | None = None,
        run_id: str | None = None,
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
            resource_caps: How many tasks that name a resource may be in flight, by resource.
            run_id: The name of this run; a random one by default.

        Raises:
            InvalidTypeError: `graph` is no `TaskGraph`; and whatever `run_graph` raises.

        Returns:
            The result; it holds every task of the graph.
        """
        engine = _run.prepare(
            graph,
            persona_service,
            self._actions,
            max_parallel=max_parallel,
            per_action_caps=per_action_caps,
            resource_caps=resource_caps,
            run_id=run_id,
        )
        engine.claim()
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
        return await self._executor.execute(node, action, timeout_ms)

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
    *,
    task_executor: TaskExecutor | None = None,
    actions: Mapping[str, Callable[..., Any] | Action] | None = None,
    retry: RetryPolicy | None = DEFAULT_RETRY,
) -> TaskScheduler:
    """A scheduler with an executor of its own.

    Args:
        persona_space_path: The folder of stored tasks, made when the first one is added.
        task_executor: Executes stored tasks in place of an own executor.
        actions: `Actions`, or a mapping of action names to callables.
        retry: How failed attempts are repeated; None for not at all.

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
    retry = check_retry(retry)
    executor = TaskExecutor(retry=retry) if task_executor is None else task_executor
    return TaskScheduler(DefinitionStore(persona_space_path), executor, actions)
