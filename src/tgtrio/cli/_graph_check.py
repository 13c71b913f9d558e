"""A graph file, read to its end however much is wrong with it.

`TaskGraph.from_file` refuses a file for the first thing that is wrong with the graph itself, and
for one thing of each task. Here what is wrong is noted and left out, so that the rest can be
looked at too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from .._batch import Batch, check_fields
from .._errors import GraphFileError, InvalidGraphError, TgtrioError, shorten
from .._graph import TaskGraph
from .._graph_dict import OPTIONS, task_from_dict
from .._graph_file import load_document
from .._node import FIELDS, REQUIRED, TaskNode

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


@attrs.define
class Checked:
    """What was found in a graph file.

    Attributes:
        nodes: The tasks, without what is wrong with them.
        problems: What is wrong.
    """

    nodes: list[TaskNode] = attrs.field(factory=list)
    problems: list[TgtrioError] = attrs.field(factory=list)

    def note(self, problem: TgtrioError) -> None:
        """Note a problem, or each of several, once."""
        several = problem.problems if isinstance(problem, InvalidGraphError) else (problem,)
        known = {str(one) for one in self.problems[-len(FIELDS) :]}
        self.problems += [one for one in several if str(one) not in known]


def check_graph_file(path: str) -> Checked:
    """Read a graph file and find everything that is wrong with it."""
    checked = Checked()
    try:
        data = load_document(path)
    except TgtrioError as exc:
        checked.note(exc)
        return checked
    if not isinstance(data, Mapping):
        _try(checked, data)
        return checked
    for name in data:
        if name not in (*OPTIONS, "graph_id", "tasks"):
            _try(checked, {"graph_id": data.get("graph_id", "?"), name: None})
    _try(checked, {name: data[name] for name in ("graph_id",) if name in data})
    for name in OPTIONS:
        if name in data:
            _try(checked, {"graph_id": _name_of(data), name: data[name]})
    tasks = data.get("tasks", ())
    if isinstance(tasks, list | tuple):
        _check_tasks(checked, _name_of(data), tasks)
    else:
        _try(checked, {"graph_id": _name_of(data), "tasks": tasks})
    return checked


def _name_of(data: Mapping[str, Any]) -> str:
    name = data.get("graph_id")
    return name if isinstance(name, str) and name else "?"


def _try(checked: Checked, data: Any) -> None:
    """Note what is wrong with a part of a graph."""
    try:
        TaskGraph.from_dict(data)
    except TgtrioError as exc:
        checked.note(exc)


def _check_tasks(checked: Checked, graph_id: str, tasks: list[Any] | tuple[Any, ...]) -> None:
    def make(place: int, item: Any) -> TaskNode:
        try:
            return task_from_dict(place, item)
        except TgtrioError as exc:
            problems = list(_task_problems(place, item)) or [exc]
        node = _repaired(place, item)
        if node is None:
            raise InvalidGraphError("", tuple(problems))
        for problem in problems:
            checked.note(problem)
        return node

    batch = Batch(graph_id, {})
    batch.read(tasks, make)
    checked.nodes = batch.nodes
    try:
        batch.check()
    except InvalidGraphError as exc:
        for problem in exc.problems:
            checked.note(problem)
    except TgtrioError as exc:
        checked.note(exc)


def _task_problems(place: int, item: Any) -> Iterator[TgtrioError]:
    """What is wrong with each of the fields of a task."""
    if not isinstance(item, Mapping):
        return
    for field in REQUIRED:
        if field not in item:
            shown = {name: item[name] for name in item if name in REQUIRED}
            owner = f"task {shorten(item['task_id'])}" if "task_id" in item else f"tasks[{place}]"
            yield GraphFileError(f"{owner}: {field} is missing in {shorten(shown or dict(item))}")
    for name in item:
        if (problem := _field_problem(place, item, name)) is not None:
            yield problem


def _field_problem(place: int, item: Mapping[str, Any], name: str) -> TgtrioError | None:
    """What is wrong with one field, the others put aside."""
    alone = {"task_id": f"tasks[{place}]", "action_name": "?"}
    if isinstance(item.get("task_id"), str) and item["task_id"]:
        alone["task_id"] = item["task_id"]
    try:
        check_fields(place, {**alone, name: item[name]}, GraphFileError)
        task_from_dict(place, {**alone, **_company(item, name), name: item[name]})
    except TgtrioError as exc:
        return exc
    return None


def _company(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A deadline, where a field is right only with one and the task has one."""
    together = name == "expire_at_deadline" and item.get("deadline") is not None
    return {"deadline": _ANY_TIME} if together else {}


def _repaired(place: int, item: Any) -> TaskNode | None:
    """The task without the fields that are wrong, if it has a name and an action."""
    if not isinstance(item, Mapping):
        return None
    good = {name: item[name] for name in item if _field_problem(place, item, name) is None}
    try:
        return task_from_dict(place, good)
    except TgtrioError:
        return None
