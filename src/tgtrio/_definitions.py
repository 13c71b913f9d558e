"""`TaskDefinition`s, and the folder that keeps them.

One JSON file for each definition. Its name is made of the task id: a readable part for
people and a hash that tells ids apart, so any id makes a plain, short, lower-case name. The
id itself stands in the file.

A file is written beside its place and moved there, so it is the old one or the new one
whatever happens meanwhile. What a crash leaves behind has another suffix and is not read.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import msgspec

from ._checks import describe, well_formed
from ._errors import (
    DuplicateTaskError,
    GraphFileError,
    InvalidArgumentError,
    InvalidTypeError,
    InvalidValueError,
    TgtrioError,
    UnknownTaskError,
    nearest,
    shorten,
)
from ._files import sync_folder, write_atomically
from ._graph_file import load_document
from ._node import TaskNode

FORMAT = "tgtrio task 1"
SUFFIX = ".task.json"


@attrs.frozen
class TaskDefinition:
    """A task to be stored, and executed by its id whenever it is wanted.

    Args:
        task_id: Unique in its store. Any non-empty str.
        action_name: Which callable does the work.
        normalized_args: JSON data for the action; copied. No `output_of`: a stored task is
            executed alone.
        name: For people.
        prompt: Goes into the arguments as `"prompt"`, in place of one that is there.
        resource_ids: What the task uses.
        version: The version of the action.
        max_retries: Overrides the retry policy.
        task_timeout_ms: Bounds each attempt, in milliseconds; None for no bound.

    Raises:
        InvalidTypeError, InvalidValueError, InvalidArgumentError: As of a `TaskNode`.
    """

    task_id: str
    action_name: str
    normalized_args: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    name: str = ""
    prompt: str | None = None
    resource_ids: Sequence[str] = ()
    version: str = "1"
    max_retries: int | None = None
    task_timeout_ms: float | None = None

    def __attrs_post_init__(self) -> None:
        node = TaskNode(**{field: getattr(self, field) for field in _OF_NODE})
        _check_text(node.task_id, "name", self.name, "a str")
        if self.prompt is not None:
            _check_text(node.task_id, "prompt", self.prompt, "a str or None")
        if node.inputs:
            raise InvalidArgumentError(
                f"task {shorten(node.task_id)} takes the output of task "
                f"{shorten(node.inputs[0])}; a stored task is executed alone",
                "normalized_args",
            )
        for field in _OF_NODE:
            object.__setattr__(self, field, getattr(node, field))

    def to_node(self, max_retries: int | None = None) -> TaskNode:
        """The task to execute; `max_retries` goes before the definition's own."""
        fields = {field: getattr(self, field) for field in _OF_NODE}
        if self.prompt is not None:
            fields["normalized_args"] = {**self.normalized_args, "prompt": self.prompt}
        if max_retries is not None:
            fields["max_retries"] = max_retries
        return TaskNode(**fields)


_FIELDS = tuple(field.name for field in attrs.fields(TaskDefinition))
_OF_NODE = tuple(field for field in _FIELDS if field not in ("name", "prompt"))


def _check_text(task_id: str, field: str, value: object, wanted: str) -> None:
    owner = describe(("task", task_id))
    if not isinstance(value, str):
        raise InvalidTypeError(f"{owner}: {field} is {shorten(value)}; it must be {wanted}")
    if not well_formed(value):
        raise InvalidValueError(f"{owner}: {field} is {shorten(value)}; it holds a lone surrogate")


class DefinitionStore:
    """The definitions in a folder. Nothing is kept in memory, the files are what there is.

    Args:
        path: The folder, made by the first `add`. Other files in it are left alone.

    Raises:
        InvalidTypeError, InvalidValueError: `path` cannot be one.

    A file that the system cannot read or write is a `GraphFileError` too, with the `OSError`
    as its `__cause__`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
            raise InvalidTypeError(
                f"path is {shorten(path)}, of type {type(path).__name__}; it must be a str or Path"
            )
        if not os.fspath(path) or "\0" in os.fspath(path):
            raise InvalidValueError(f"path is {shorten(path)}; no folder can have that name")
        self._folder = Path(path)

    def __repr__(self) -> str:
        return f"<DefinitionStore {shorten(str(self._folder))}>"

    def add(self, definition: TaskDefinition, *, replace: bool = False) -> None:
        """Keep a definition. It is on disk when this returns.

        Raises:
            DuplicateTaskError: The store has one of that id, and `replace` is false.
            InvalidTypeError: It is no `TaskDefinition`.
        """
        if not isinstance(definition, TaskDefinition):
            raise InvalidTypeError(
                f"{shorten(definition)} is no TaskDefinition but a {type(definition).__name__}"
            )
        path = self._path(definition.task_id)
        document = {"format": FORMAT, **{field: getattr(definition, field) for field in _FIELDS}}
        content = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
        with self._reporting("changed"):
            if not replace and path.exists():
                raise DuplicateTaskError(
                    f"task {shorten(definition.task_id)} is stored already, in {path}; "
                    "delete it first, or replace it"
                )
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
            sync_folder(self._folder)

    def get(self, task_id: str) -> TaskDefinition:
        """Read a definition.

        Raises:
            UnknownTaskError: The store has none of that id.
            GraphFileError: Its file cannot be read as one.
        """
        try:
            return _read(self._path(task_id))
        except GraphFileError as exc:
            if isinstance(exc.__cause__, FileNotFoundError):
                raise self._unknown(task_id) from None
            raise

    def all(self) -> list[TaskDefinition]:
        """Read all definitions, sorted by task id.

        Raises:
            GraphFileError: A file cannot be read as a definition.
        """
        return sorted(map(_read, self._files()), key=lambda definition: definition.task_id)

    def delete(self, task_id: str) -> None:
        """Forget a definition, also one whose file is damaged.

        Raises:
            UnknownTaskError: The store has none of that id.
        """
        path = self._path(task_id)
        with self._reporting("changed"):
            try:
                path.unlink()
            except FileNotFoundError:
                raise self._unknown(task_id) from None
            sync_folder(self._folder)

    @contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise GraphFileError(f"{self._folder}: cannot be {what}: {exc}") from exc

    def _path(self, task_id: object) -> Path:
        if not isinstance(task_id, str) or not task_id or not well_formed(task_id):
            raise self._unknown(task_id)
        return self._folder / file_name(task_id)

    def _files(self) -> list[Path]:
        with self._reporting("read"):
            try:
                names = os.listdir(self._folder)
            except FileNotFoundError:
                names = []
        return [self._folder / name for name in names if name.endswith(SUFFIX)]

    def _unknown(self, task_id: object) -> UnknownTaskError:
        known = []
        for path in self._files():
            try:
                known.append(_read(path).task_id)
            except GraphFileError:  # it is no help in guessing what was meant
                continue
        return UnknownTaskError(
            f"no task {shorten(task_id)} is stored in {self._folder}{nearest(task_id, known)}"
        )


def file_name(task_id: str) -> str:
    """The name of the file that keeps the definition of a task."""
    readable = re.sub(r"[^a-z0-9]+", "-", task_id[:200].lower()).strip("-")[:40].strip("-")
    digest = hashlib.sha256(task_id.encode()).hexdigest()[:32]
    return f"{readable or 'task'}-{digest}{SUFFIX}"


def _read(path: Path) -> TaskDefinition:
    """The definition in a file. Raises GraphFileError; its `__cause__` may be an OSError."""
    document = load_document(path)
    if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
        raise GraphFileError(f"{path}: is no stored task: it has no 'format' of {FORMAT!r}")
    if unknown := [key for key in document if key not in _FIELDS]:
        raise GraphFileError(
            f"{path}: has the unknown key {shorten(unknown[0])}{nearest(unknown[0], _FIELDS)}"
        )
    try:
        definition = TaskDefinition(**document)
    except (TgtrioError, TypeError) as exc:  # TypeError: a required key is missing
        raise GraphFileError(f"{path}: {exc}") from exc
    if path.name != (right := file_name(definition.task_id)):
        raise GraphFileError(
            f"{path}: holds task {shorten(definition.task_id)}, whose file is {right}; "
            "rename it, or delete it if it is a copy"
        )
    return definition
