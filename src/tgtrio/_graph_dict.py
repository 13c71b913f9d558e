"""Graphs as plain dicts, the form of graph files.

    {"graph_id": "g", "max_parallel": 5, "max_retry_tokens": 100, "graph_timeout_ms": 60000,
     "expire_at_deadline": false, "tasks": [{"task_id": "a", "action_name": "fetch"}]}

Only `graph_id` and, of a task, `task_id` and `action_name` are required. A task has the names
of `add_task`. A deadline is ISO 8601 with its offset (or an aware datetime, as YAML and TOML
give), a policy its value, an `output_of` as in `_arguments`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from ._arguments import from_plain, to_plain
from ._batch import check_fields, make_node
from ._checks import describe
from ._errors import GraphFileError, nearest, shorten
from ._node import DEFAULTS, TaskNode

if TYPE_CHECKING:
    from ._graph import TaskGraph

GraphT = TypeVar("GraphT", bound="TaskGraph")

OPTIONS: dict[str, Any] = {
    "max_parallel": 100,
    "max_retry_tokens": 100,
    "graph_timeout_ms": None,
    "expire_at_deadline": False,
}
_GRAPH_FIELDS = ("graph_id", *OPTIONS, "tasks")


def graph_to_dict(graph: TaskGraph) -> dict[str, Any]:
    if not isinstance(graph.max_parallel, int):
        raise GraphFileError(
            f"{describe(('graph', graph.graph_id))}: max_parallel is "
            f"{shorten(graph.max_parallel)}, and a limiter cannot be written; give the graph a "
            "number and the limiter to each run"
        )
    plain: dict[str, Any] = {"graph_id": graph.graph_id}
    for name, default in OPTIONS.items():
        value = getattr(graph, name)
        if value != default:
            plain[name] = _number(value) if isinstance(value, float) else value
    plain["tasks"] = [task_to_dict(node) for node in graph._settled()]
    return plain


def task_to_dict(node: TaskNode) -> dict[str, Any]:
    """One task as JSON data, with what differs from the defaults."""
    plain: dict[str, Any] = {"task_id": node.task_id, "action_name": node.action_name}
    if node.normalized_args:
        plain["normalized_args"] = to_plain(node.normalized_args)
    if node.resource_ids:
        plain["resource_ids"] = list(node.resource_ids)
    if node.version != "1":
        plain["version"] = node.version
    if declared := _declared(node):
        plain["dependencies"] = list(declared)
    if node.on_dep_fail is not DEFAULTS["on_dep_fail"]:
        plain["on_dep_fail"] = node.on_dep_fail.value
    if node.priority:
        plain["priority"] = _number(node.priority)
    if node.deadline is not None:
        plain["deadline"] = node.deadline.isoformat()
    for name in ("task_timeout_ms", "estimate_ms"):
        value = getattr(node, name)
        if value is not None:
            plain[name] = _number(value)
    for name in ("max_retries", "idempotent", "expire_at_deadline"):
        value = getattr(node, name)
        if value is not None:
            plain[name] = value
    return plain


def _declared(node: TaskNode) -> tuple[str, ...]:
    """The dependencies without those that `output_of` brings back in the same order."""
    if not node.inputs:
        return node.dependencies
    inputs = set(node.inputs)
    declared = tuple(task_id for task_id in node.dependencies if task_id not in inputs)
    return declared if declared + node.inputs == node.dependencies else node.dependencies


def _number(value: float) -> float:
    """An integer where that is the same number: people write 500, not 500.0."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def graph_from_dict(cls: type[GraphT], data: Mapping[str, Any]) -> GraphT:
    if not isinstance(data, Mapping):
        raise GraphFileError(
            f"a graph is a mapping with graph_id and tasks, not {shorten(data)}, "
            f"of type {type(data).__name__}"
        )
    owner = f"graph {shorten(data['graph_id'])}" if "graph_id" in data else "the graph"
    for name in data:
        if name not in _GRAPH_FIELDS:
            hint = nearest(name, _GRAPH_FIELDS)
            raise GraphFileError(f"{owner}: unknown field {shorten(name)}{hint}")
    if "graph_id" not in data:
        raise GraphFileError("the graph has no graph_id")
    tasks = data.get("tasks", ())
    if not isinstance(tasks, list | tuple):
        raise GraphFileError(
            f"{owner}: tasks is {shorten(tasks)}, of type {type(tasks).__name__}; "
            "it must be a list of tasks"
        )
    options = {name: data[name] for name in OPTIONS if name in data}
    graph = cls(data["graph_id"], **options)
    graph._add_batch(tasks, task_from_dict)
    return graph


def task_from_dict(place: int, item: Any) -> TaskNode:
    """Make a node of what `task_to_dict` wrote, or a person in the same form.

    Raises:
        GraphFileError: It is no mapping, a name is unknown or missing, or the deadline is no
            date.
        TgtrioError: The refusals of `TaskNode`.
    """
    if type(item) is dict and not ("deadline" in item or "normalized_args" in item):
        return make_node(place, item, GraphFileError)
    check_fields(place, item, GraphFileError)
    changed = {}
    if item.get("normalized_args"):
        changed["normalized_args"] = from_plain(item["task_id"], item["normalized_args"])
    if isinstance(item.get("deadline"), str):
        changed["deadline"] = _read_deadline(item["task_id"], item["deadline"])
    return TaskNode(**{**item, **changed})


def _read_deadline(task_id: object, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        raise GraphFileError(
            f"{describe(('task', task_id))}: deadline is {shorten(text)}; it must be an ISO 8601 "
            "instant with its offset, as 2030-01-31T12:00:00+00:00"
        ) from exc
