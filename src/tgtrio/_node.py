"""`TaskNode`: one task of a graph, checked when it is made and never changed after."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from datetime import datetime
from math import isfinite
from operator import attrgetter
from typing import Any, cast, final

import attrs

from ._arguments import check_arguments
from ._checks import (
    Owner,
    check_bool,
    check_count,
    check_milliseconds,
    check_name,
    check_names,
    check_number,
    describe,
)
from ._errors import CycleError, InvalidTypeError, InvalidValueError, nearest, shorten
from ._states import DependencyPolicy

_NONE: tuple[str, ...] = ()  # one object in all of CPython, so "is" finds the default
_ABORT = DependencyPolicy.ABORT
_POLICY_OF = {policy.value: policy for policy in DependencyPolicy}


@final
@attrs.frozen(init=False, weakref_slot=False)
class TaskNode:
    """One task: what to call, with what, after which others, and under which rules.

    Args:
        task_id: Unique in its graph. Any non-empty str.
        action_name: Which callable does the work.
        normalized_args: JSON data for the action, and `output_of`; copied.
        resource_ids: What the task uses; caps on resources go by these, and so does the
            idempotency key.
        version: The version of the action; another version is other work.
        dependencies: Ids of the tasks that come before. Those named by `output_of` are added.
        on_dep_fail: A `DependencyPolicy` or its value.
        priority: Higher starts earlier.
        deadline: An aware datetime. It orders; it ends nothing unless `expire_at_deadline`.
        task_timeout_ms: Bounds each attempt, in milliseconds; None for no bound.
        max_retries: Overrides the retry policy of the run.
        idempotent: False keeps the task from being served from, and to, others.
        expire_at_deadline: True fails the task at its deadline. None leaves it to the graph.
        estimate_ms: How long an attempt is expected to take, for ranks and simulations.

    Attributes:
        inputs: The ids named by `output_of` in `normalized_args`, in order of appearance.

    Raises:
        InvalidTypeError, InvalidValueError: A field is of a type, or has a value, that it
            cannot have.
        InvalidArgumentError: `normalized_args` is not JSON data.
        CycleError: The task depends on itself.
    """

    task_id: str
    action_name: str
    normalized_args: dict[str, Any] = attrs.field(hash=False)
    resource_ids: tuple[str, ...]
    version: str
    dependencies: tuple[str, ...]
    on_dep_fail: DependencyPolicy
    priority: float
    deadline: datetime | None
    task_timeout_ms: float | None
    max_retries: int | None
    idempotent: bool | None
    expire_at_deadline: bool | None
    estimate_ms: float | None
    inputs: tuple[str, ...] = attrs.field(init=False)

    def __init__(
        self,
        task_id: str,
        action_name: str,
        normalized_args: Mapping[str, Any] | None = None,
        resource_ids: Iterable[str] = _NONE,
        version: str = "1",
        dependencies: Iterable[str] = _NONE,
        on_dep_fail: DependencyPolicy | str = _ABORT,
        priority: float = 0.0,
        deadline: datetime | None = None,
        task_timeout_ms: float | None = None,
        max_retries: int | None = None,
        idempotent: bool | None = None,
        expire_at_deadline: bool | None = None,
        estimate_ms: float | None = None,
    ) -> None:
        # A million tasks come through here: what is plainly right costs a comparison, and only
        # the rest goes to a check.
        if type(task_id) is not str or not task_id or not task_id.isascii():
            task_id = check_name(("task", task_id), "task_id", task_id)
        owner: Owner = ("task", task_id)
        if type(action_name) is not str or not action_name or not action_name.isascii():
            action_name = check_name(owner, "action_name", action_name)
        args: dict[str, Any] = {}
        inputs = _NONE
        if normalized_args is not None:
            args, inputs = check_arguments(task_id, normalized_args)
        if type(version) is not str or not version or not version.isascii():
            version = check_name(owner, "version", version)
        before = _NONE
        if dependencies is not _NONE:
            before = check_names(owner, "dependencies", dependencies)
        if inputs:
            before = tuple(dict.fromkeys(before + inputs))
        if task_id in before:
            raise CycleError(f"{describe(owner)} depends on itself", (task_id, task_id))
        resources = _NONE
        if resource_ids is not _NONE:
            resources = check_names(owner, "resource_ids", resource_ids)
        if type(on_dep_fail) is not DependencyPolicy:
            on_dep_fail = _policy(owner, on_dep_fail)
        if type(priority) is not float or not isfinite(priority):
            priority = check_number(owner, "priority", priority)
        if deadline is not None:
            _check_deadline(owner, deadline)
        if task_timeout_ms is not None:
            task_timeout_ms = check_milliseconds(owner, "task_timeout_ms", task_timeout_ms)
        if max_retries is not None:
            max_retries = check_count(owner, "max_retries", max_retries)
        if idempotent is not None:
            check_bool(owner, "idempotent", idempotent, "True, False or None")
        if expire_at_deadline is not None:
            _check_expiry(owner, expire_at_deadline, deadline)
        if estimate_ms is not None:
            estimate_ms = check_milliseconds(owner, "estimate_ms", estimate_ms, zero=True)
        draft: Any = self
        object.__setattr__(self, "__class__", _Draft)
        draft.task_id = task_id
        draft.action_name = action_name
        draft.normalized_args = args
        draft.resource_ids = resources
        draft.version = version
        draft.dependencies = before
        draft.on_dep_fail = on_dep_fail
        draft.priority = priority
        draft.deadline = deadline
        draft.task_timeout_ms = task_timeout_ms
        draft.max_retries = max_retries
        draft.idempotent = idempotent
        draft.expire_at_deadline = expire_at_deadline
        draft.estimate_ms = estimate_ms
        draft.inputs = inputs
        draft.__class__ = TaskNode

    def with_dependencies(self, dependencies: tuple[str, ...]) -> TaskNode:
        """The same task with other dependencies, which the caller has checked."""
        node: Any = _Draft(*_values_of(self))
        node.dependencies = dependencies
        node.__class__ = TaskNode
        return cast(TaskNode, node)


# The same slots, not frozen. A frozen class of attrs writes each field by a call, which for a
# million tasks of fifteen fields is more than all checks together; so a node is one of these
# until its fields are written.
_Draft: Any = attrs.make_class(
    "_Draft",
    {field.name: attrs.field() for field in attrs.fields(TaskNode)},
    slots=True,
    weakref_slot=False,
)
_values_of = attrgetter(*(field.name for field in attrs.fields(TaskNode)))

FIELDS = tuple(field.name for field in attrs.fields(TaskNode) if field.init)
DEFAULTS: dict[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(TaskNode).parameters.items()
    if parameter.default is not parameter.empty
}
REQUIRED = tuple(name for name in FIELDS if name not in DEFAULTS)


def _policy(owner: Owner, value: object) -> DependencyPolicy:
    policy = _POLICY_OF.get(value) if isinstance(value, str) else None
    if policy is None:
        error = InvalidValueError if isinstance(value, str) else InvalidTypeError
        raise error(
            f"{describe(owner)}: on_dep_fail is {shorten(value)}; it must be a DependencyPolicy "
            f"or one of {', '.join(map(repr, _POLICY_OF))}{nearest(value, _POLICY_OF)}"
        )
    return policy


def _check_deadline(owner: Owner, value: object) -> None:
    if not isinstance(value, datetime):
        raise InvalidTypeError(
            f"{describe(owner)}: deadline is {shorten(value)}, of type {type(value).__name__}; "
            "it must be a datetime with a time zone"
        )
    if value.utcoffset() is None:
        raise InvalidValueError(
            f"{describe(owner)}: deadline is {shorten(value)}, without a time zone; "
            "say which, as in datetime(..., tzinfo=timezone.utc)"
        )


def _check_expiry(owner: Owner, value: object, deadline: datetime | None) -> None:
    if check_bool(owner, "expire_at_deadline", value, "True, False or None") and deadline is None:
        raise InvalidValueError(
            f"{describe(owner)}: expire_at_deadline is True, but the task has no deadline"
        )
