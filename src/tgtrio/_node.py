"""`TaskNode`: one task of a graph, checked when it is made and never changed after."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, final

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
from ._compiled import COMPILED
from ._errors import CycleError, InvalidTypeError, InvalidValueError, nearest, shorten
from ._states import DependencyPolicy

if TYPE_CHECKING or COMPILED:
    from ._describing import NodeWriter
else:
    from ._describing_py import NodeWriter

# Bits: what a task needs beyond the plain call of its action.
INPUTS = 1  # its args hold `output_of`
TIMED = 2  # an attempt has a timeout
EXPIRES = 4  # it fails at its deadline

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
        resource_ids: Iterable[str] = (),
        version: str = "1",
        dependencies: Iterable[str] = (),
        on_dep_fail: DependencyPolicy | str = DependencyPolicy.ABORT,
        priority: float = 0.0,
        deadline: datetime | None = None,
        task_timeout_ms: float | None = None,
        max_retries: int | None = None,
        idempotent: bool | None = None,
        expire_at_deadline: bool | None = None,
        estimate_ms: float | None = None,
    ) -> None:
        given = (
            task_id,
            action_name,
            normalized_args,
            resource_ids,
            version,
            dependencies,
            on_dep_fail,
            priority,
            deadline,
            task_timeout_ms,
            max_retries,
            idempotent,
            expire_at_deadline,
            estimate_ms,
        )
        # A million tasks come through here: what is plainly right is written by one compiled
        # call, and only the rest goes through the checks.
        if not _write_plain(self, given):
            _write(self, _checked(*given))

    def with_dependencies(self, dependencies: tuple[str, ...]) -> TaskNode:
        """The same task with other dependencies, which the caller has checked."""
        values = {name: getattr(self, name) for name in _NAMES} | {"dependencies": dependencies}
        node = object.__new__(TaskNode)
        _write(node, tuple(values.values()))
        return node


_NAMES = tuple(field.name for field in attrs.fields(TaskNode))
FIELDS = tuple(field.name for field in attrs.fields(TaskNode) if field.init)
DEFAULTS: dict[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(TaskNode).parameters.items()
    if parameter.default is not parameter.empty
}
REQUIRED = tuple(name for name in FIELDS if name not in DEFAULTS)

_writer = NodeWriter(TaskNode, _NAMES, DEFAULTS)
_write, _write_plain = _writer.write, _writer.write_plain
find_places, plain_node = _writer.find_places, _writer.plain_node


def _checked(
    task_id: str,
    action_name: str,
    normalized_args: Mapping[str, Any] | None,
    resource_ids: Iterable[str],
    version: str,
    dependencies: Iterable[str],
    on_dep_fail: DependencyPolicy | str,
    *settings: Any,
) -> tuple[Any, ...]:
    """The values of all fields, in order, in the form in which they are kept."""
    task_id = check_name(("task", task_id), "task_id", task_id)
    owner: Owner = ("task", task_id)
    action_name = check_name(owner, "action_name", action_name)
    args: dict[str, Any] = {}
    inputs: tuple[str, ...] = ()
    if normalized_args is not None:
        args, inputs = check_arguments(task_id, normalized_args)
    version = check_name(owner, "version", version)
    before = check_names(owner, "dependencies", dependencies)
    before = tuple(dict.fromkeys(before + inputs))
    if task_id in before:
        raise CycleError(f"{describe(owner)} depends on itself", (task_id, task_id))
    resources = check_names(owner, "resource_ids", resource_ids)
    policy = _policy(owner, on_dep_fail)
    work = (task_id, action_name, args, resources, version, before, policy)
    return (*work, *_checked_settings(owner, *settings), inputs)


def _checked_settings(
    owner: Owner,
    priority: float,
    deadline: datetime | None,
    task_timeout_ms: float | None,
    max_retries: int | None,
    idempotent: bool | None,
    expire_at_deadline: bool | None,
    estimate_ms: float | None,
) -> tuple[Any, ...]:
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
    limits = (priority, deadline, task_timeout_ms, max_retries)
    return (*limits, idempotent, expire_at_deadline, estimate_ms)


def _policy(owner: Owner, value: object) -> DependencyPolicy:
    if isinstance(value, DependencyPolicy):
        return value
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
