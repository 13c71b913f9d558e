"""What the user names on the command line: the graph file and the actions."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from .._actions import Action, Actions, resolve_actions
from .._errors import InvalidTypeError, UnknownActionError, nearest, shorten
from .._graph import TaskGraph
from .._graph_file import read_graph_file
from .._node import TaskNode
from .._problems import raise_problems
from ._builtin_actions import CHECKS, builtin_actions
from ._errors import UsageError


def load_graph(path: str, timeout: float | None) -> TaskGraph:
    """Read a graph file; `timeout` in seconds replaces the file's own."""

    def make(data: Any) -> TaskGraph:
        if timeout is not None and isinstance(data, Mapping):
            data = {**data, "graph_timeout_ms": timeout * 1000}
        return TaskGraph.from_dict(data)

    return read_graph_file(path, make)


@contextlib.contextmanager
def importable_here() -> Iterator[None]:
    """The current directory comes first where modules are looked for."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove("")


def find_actions(
    graph: TaskGraph, path: str | None, max_retries: int | None = None
) -> dict[str, Action]:
    """The action of every task: the user's own, and the built-in ones where there is none.

    Raises:
        TgtrioError: An action cannot be found, or the arguments of tasks of a built-in one are
            none that it takes.
    """
    own = None if path is None else load_object(path)
    builtin = builtin_beside(own, max_retries)
    plan = graph.freeze()
    found = resolve(plan.actions, plan.nodes_of, own, builtin)
    raise_problems(graph.graph_id, list(argument_problems(graph.nodes.values(), builtin)))
    return dict(zip(plan.actions, found, strict=True))


def builtin_beside(own: object, max_retries: int | None = None) -> dict[str, Action]:
    """The built-in actions that the user's own do not replace."""
    return {
        name: action
        for name, action in builtin_actions(max_retries or 0).items()
        if not _provides(own, name)
    }


def resolve(
    names: Sequence[str],
    nodes_of: Callable[[str], Iterable[TaskNode]],
    own: object,
    builtin: Mapping[str, Action],
) -> list[Action]:
    """The actions of these names; errors as in `resolve_actions`."""
    try:
        return resolve_actions(names, nodes_of, own, builtin)
    except UnknownActionError as exc:
        if own is None:
            exc.args = (f"{exc} (built in are {', '.join(builtin)}; --actions adds others)",)
        raise


def argument_problems(
    nodes: Iterable[TaskNode], builtin: Iterable[str]
) -> Iterator[InvalidTypeError]:
    """What is wrong with the arguments of built-in actions, as far as they are known by now."""
    checks = {name: CHECKS[name] for name in builtin}
    for node in nodes:
        if (check := checks.get(node.action_name)) is not None:
            try:
                check(node.normalized_args)
            except InvalidTypeError as exc:
                yield InvalidTypeError(f"task {shorten(node.task_id)}: {exc}")


def _provides(own: object, name: str) -> bool:
    if isinstance(own, Mapping):
        return name in own
    return callable(getattr(own, name, None))


def load_object(path: str) -> object:
    """The object that `module:object` names; of `module` its one tgtrio.Actions, or else itself.

    Raises:
        UsageError: There is none, it cannot be one that does the work, or the module has several.
    """
    module_name, _, name = path.partition(":")
    if not module_name:
        raise UsageError(f"--actions {path}: write MODULE:OBJECT")
    module = _import(path, module_name, name)
    found: object = module if name else _registry_in(module, path)
    for part in filter(None, name.split(".")):
        if not hasattr(found, part):
            raise UsageError(
                f"--actions {path}: there is no {shorten(part)} in "
                f"{module_name}{nearest(part, dir(found))}"
            )
        found = getattr(found, part)
    if isinstance(found, type | FunctionType):
        kind = "class" if isinstance(found, type) else "function"
        raise UsageError(
            f"--actions {path}: that is a {kind}; name a mapping, a module, an object with "
            "methods, or tgtrio.Actions"
        )
    return found


def _registry_in(module: ModuleType, path: str) -> object:
    """The registry in a module: beside it the bare functions would lack their policies."""
    names = list(_registries(module).values())
    if len(names) > 1:
        some = ", ".join(f"{module.__name__}:{name}" for name in names)
        raise UsageError(f"--actions {path}: it holds several tgtrio.Actions; name one: {some}")
    return getattr(module, names[0]) if names else module


def _registries(module: ModuleType | None) -> dict[int, str]:
    """The first name of each tgtrio.Actions in a module."""
    found: dict[int, str] = {}
    for name, value in () if module is None else vars(module).items():
        if isinstance(value, Actions):
            found.setdefault(id(value), name)
    return found


def _import(path: str, module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as exc:  # whatever the user's module does when imported
        missing = exc.name if isinstance(exc, ModuleNotFoundError) else None
        if module_name.startswith("."):  # what Python says of it is not for people
            missing = module_name
        if missing is not None and _is_part(missing, module_name):
            raise UsageError(
                f"--actions {path}: there is no module {shorten(missing)}, neither in the "
                f"current directory nor installed{_instead(module_name, name)}"
            ) from exc
        raise UsageError(f"--actions {path}: importing it raised {where(exc)}") from exc


def _instead(module_name: str, name: str) -> str:
    """What was meant by a file name, or by a dot in place of the colon."""
    if module_name.endswith(".py"):
        given = module_name.removesuffix(".py")
        parts = os.path.basename(given) if os.path.isabs(given) else given
        meant = ".".join(part for part in re.split(r"[/\\]", parts) if part.strip("."))
        names = list(_registries(sys.modules.get(meant)).values())
        chosen = name or (names[0] if len(names) == 1 else "")
        return f"; write {meant}:{chosen}" if chosen else f"; write {meant}, or {meant}:OBJECT"
    parent, _, last = module_name.rpartition(".")
    if not name and parent and hasattr(sys.modules.get(parent), last):
        return f"; did you mean {parent}:{last}?"
    return ""


def _is_part(name: str, module_name: str) -> bool:
    return f"{module_name}.".startswith(f"{name}.")


def where(exc: BaseException) -> str:
    """`ValueError: text (actions.py, line 3)`"""
    text = "".join(traceback.format_exception_only(exc)).strip().splitlines()[-1]
    if isinstance(exc, SyntaxError):
        return f"{text} ({os.path.basename(exc.filename or '?')}, line {exc.lineno})"
    frames = [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if not frame.filename.startswith("<") and "importlib" not in frame.filename
    ]
    last = frames[-1]
    if os.path.dirname(last.filename) == os.path.dirname(__file__):  # that is, ours
        return text
    return f"{text} ({os.path.basename(last.filename)}, line {last.lineno})"
