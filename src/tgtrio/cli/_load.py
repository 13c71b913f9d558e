"""What the user names on the command line: the graph file and the actions."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from .._actions import Action, resolve_actions
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
    """The object that `module:object` names, or the module that `module` names."""
    module_name, _, name = path.partition(":")
    if not module_name:
        raise UsageError(f"--actions {path}: write MODULE:OBJECT")
    found: object = _import(path, module_name)
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


def _import(path: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as exc:  # whatever the user's module does when imported
        if isinstance(exc, ModuleNotFoundError) and _is_part(exc.name, module_name):
            raise UsageError(
                f"--actions {path}: there is no module {shorten(exc.name)}, neither in the "
                "current directory nor installed"
            ) from exc
        raise UsageError(f"--actions {path}: importing it raised {where(exc)}") from exc


def _is_part(name: str | None, module_name: str) -> bool:
    return name is not None and f"{module_name}.".startswith(f"{name}.")


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
