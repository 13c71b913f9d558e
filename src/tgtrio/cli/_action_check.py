"""What can be known of actions before anything runs: are they there, and can they be called?"""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .._arguments import OutputOf
from .._errors import InvalidTypeError, TgtrioError, shorten
from .._node import TaskNode
from ._builtin_actions import CHECKS, find_function
from ._errors import UsageError
from ._load import argument_problems, builtin_beside, load_object, resolve, where


def action_problems(nodes: Iterable[TaskNode], path: str | None) -> Iterator[TgtrioError]:
    """What is wrong with the actions of tasks, and with the arguments of the built-in ones.

    The modules that hold the user's actions and the functions of `python` tasks are imported.

    Args:
        nodes: The tasks.
        path: MODULE:OBJECT, the user's own actions.
    """
    users: dict[str, list[TaskNode]] = {}
    for node in nodes:
        users.setdefault(node.action_name, []).append(node)
    try:
        own = None if path is None else load_object(path)
    except UsageError as exc:
        yield exc
        own, users = None, {name: users[name] for name in users if name in CHECKS}
    builtin = builtin_beside(own)
    for name, tasks in users.items():
        try:
            resolve([name], users.__getitem__, own, builtin)
        except TgtrioError as exc:
            more = f"; {len(tasks) - 1:,} more tasks name it" if len(tasks) > 1 else ""
            exc.args = (f"{exc}{more}",)
            yield exc
        else:
            if name in builtin:
                yield from _builtin_problems(name, tasks)


def _builtin_problems(name: str, tasks: Iterable[TaskNode]) -> Iterator[TgtrioError]:
    look = {"shell": _shell_problems, "python": _Functions().problems}[name]
    for node in tasks:
        problems = list(argument_problems([node], [name]))
        yield from problems
        for reason in () if problems else look(node):
            yield InvalidTypeError(f"task {shorten(node.task_id)}: {name}: {reason}")


def _shell_problems(node: TaskNode) -> Iterator[str]:
    """A program and a folder that are not there.

    What a path leads to may be made by an earlier task, so paths are looked up only for tasks
    that wait for none.
    """
    args = node.normalized_args
    cwd = args.get("cwd")
    if isinstance(cwd, str) and not node.dependencies and not os.path.isdir(cwd):
        yield f"cwd is {shorten(cwd)}, which is no directory"
        return
    program = _program(args)
    if program is None:
        return
    if os.path.dirname(program):
        unknown = node.dependencies or isinstance(cwd, OutputOf)
        if not unknown and shutil.which(os.path.join(cwd or "", program)) is None:
            yield f"there is no program {shorten(program)}"
    elif (path := _search_path(args)) is not None and shutil.which(program, path=path) is None:
        yield f"the program {shorten(program)} is not on the PATH"


def _program(args: dict[str, Any]) -> str | None:
    """The program that a task runs, if it is known."""
    if args.get("shell", False) is not False:
        return None
    argv = args["argv"]
    program = None if isinstance(argv, OutputOf) else argv[0]
    return program if isinstance(program, str) else None


def _search_path(args: dict[str, Any]) -> str | None:
    """Where programs are looked for, if that is known."""
    env = args.get("env", {})
    path = env.get("PATH", os.environ.get("PATH", os.defpath)) if isinstance(env, dict) else None
    return path if isinstance(path, str) else None


class _Functions:
    """Looks for functions, for each of them once."""

    def __init__(self) -> None:
        self._found: dict[str, Callable[..., Any] | str] = {}

    def problems(self, node: TaskNode) -> Iterator[str]:
        """A function that cannot be imported, or not be called with these arguments."""
        path = node.normalized_args["function"]
        if isinstance(path, OutputOf):
            return
        if path not in self._found:
            self._found[path] = _import(path)
        found = self._found[path]
        reason = found if isinstance(found, str) else _call_problem(found, node.normalized_args)
        if reason:
            yield reason


def _import(path: str) -> Callable[..., Any] | str:
    """The function, or why there is none."""
    try:
        return find_function(path)
    except InvalidTypeError as exc:
        return str(exc)
    except (Exception, SystemExit) as exc:  # whatever the user's module does when imported
        return f"importing {shorten(path)} raised {where(exc)}"


def _call_problem(function: Callable[..., Any], args: dict[str, Any]) -> str:
    """What is wrong with a call, as far as the signature tells."""
    given, named = args.get("args", []), args.get("kwargs", {})
    if isinstance(given, OutputOf) or isinstance(named, OutputOf):
        return ""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return ""
    try:
        signature.bind(*given, **named)
    except TypeError as exc:
        return f"{shorten(args['function'])} cannot be called so: {exc}"
    return ""
