"""What an action may know about the task it works for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs

from ._node import TaskNode


@attrs.frozen(weakref_slot=False)
class TaskContext:
    """What an action may know about the task it works for: its second argument.

    Attributes:
        task_id: The task.
        action_name: The name under which the action was found.
        graph_id: The graph of the task, or None if it is executed alone.
        run_id: The run, or None if it is executed alone.
        attempt: The number of this attempt, from 0.
        deadline: The deadline of the task, or None.
    """

    task_id: str
    action_name: str
    graph_id: str | None
    run_id: str | None
    attempt: int
    deadline: datetime | None
    _key: Callable[[], str | None] = attrs.field(repr=False, eq=False)

    @property
    def idempotency_key(self) -> str | None:
        """The same for equal work of whatever task, for services that fold repeated requests.

        None if the task is not idempotent, or if an input of it is unavailable or no JSON data.
        """
        return self._key()


# The same slots, not frozen: to write them one by one is much faster than a frozen class's way.
_Draft: Any = attrs.make_class(
    "_Draft",
    {field.name: attrs.field() for field in attrs.fields(TaskContext)},
    slots=True,
    weakref_slot=False,
)


def context_of(
    node: TaskNode,
    graph_id: str | None,
    run_id: str | None,
    attempt: int,
    key: Callable[[], str | None],
) -> TaskContext:
    """The context of an attempt.

    Args:
        node: The task.
        graph_id, run_id, attempt: As of `TaskContext`.
        key: Finds the idempotency key, when somebody asks for it.
    """
    draft: Any = _Draft(
        node.task_id, node.action_name, graph_id, run_id, attempt, node.deadline, key
    )
    draft.__class__ = TaskContext
    context: TaskContext = draft
    return context
