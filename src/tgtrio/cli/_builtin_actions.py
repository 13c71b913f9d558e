"""The actions that every graph file may use: `shell` runs a program, `python` calls a function.

`shell` takes `{"argv": ["git", "status"]}`, or `{"command": "git status | wc -l", "shell": true}`
for the system's shell; and `cwd`, `env` (added to the environment), `stdin` (text), `check`
(false: a non-zero exit is no failure). Its response is `{"returncode", "stdout", "stderr"}`, the
output as text.

`python` takes `{"function": "package.module:function"}`, and `args` (a list), `kwargs` (a dict).

Nobody can know what they do. So they are called for every task, have no breaker in common, and
are tried again only where the task says so.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import trio

from .._actions import Action, make_action
from .._arguments import OutputOf
from .._errors import CommandFailedError, InvalidTypeError, nearest, shorten
from .._policies import ActionPolicies
from .._retry import RetryPolicy

TAIL = 2_000  # characters of a failed program's output that its error shows
GRACE = 5.0  # seconds between asking a program to end and killing it

_SHELL_TYPES: dict[str, tuple[type, ...]] = {
    "argv": (list,),
    "command": (str,),
    "shell": (bool,),
    "cwd": (str, type(None)),
    "env": (dict,),
    "stdin": (str,),
    "check": (bool,),
}
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "function": (str,),
    "args": (list,),
    "kwargs": (dict,),
}


async def shell(args: dict[str, Any]) -> dict[str, Any]:
    """Run a program to its end and return its exit code and what it wrote.

    Cancellation: asks the program and its children to end, waits up to 5 s, and kills what is
    left (on Windows the program alone, at once).

    Raises:
        CommandFailedError: The program failed, and `check` is not false.
        InvalidTypeError: The arguments are not those of a `shell` task.
        OSError: It could not be started.
    """
    check_shell(args)
    environment = {**os.environ, **args["env"]} if args.get("env") else None
    done = await _run(
        args["command"] if args.get("shell") else args["argv"],
        shell=bool(args.get("shell", False)),
        cwd=args.get("cwd"),
        env=environment,
        stdin=args.get("stdin", "").encode(),
    )
    stdout, stderr = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    if done.returncode and args.get("check", True):
        raise CommandFailedError(_failure(done.returncode, stderr.strip() or stdout.strip()))
    return {"returncode": done.returncode, "stdout": stdout, "stderr": stderr}


async def python(args: dict[str, Any]) -> object:
    """Import a function and call it: an async one here, a plain one in a worker thread.

    `SystemExit` is what a command's main function ends with: code 0 or None is a success, any
    other a failure.

    Cancellation: reaches an async function. A plain one cannot be stopped; its thread is left
    to itself and ends with the process at the latest.
    """
    check_python(args)
    function = find_function(args["function"])
    call = functools.partial(function, *args.get("args", ()), **args.get("kwargs", {}))
    try:
        if inspect.iscoroutinefunction(function):
            return await call()
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=_limiter())
    except SystemExit as exc:
        if not exc.code:
            return None
        raise CommandFailedError(f"{args['function']} exited with {shorten(exc.code)}") from exc


def builtin_actions(max_retries: int = 0) -> dict[str, Action]:
    """The actions by name.

    Args:
        max_retries: How often a task is tried again that does not say so itself.
    """
    policies = ActionPolicies(
        retry=RetryPolicy(max_retries=max_retries), breaker=None, idempotent=False
    )
    return {
        name: make_action(name, function, policies=policies)
        for name, function in {"shell": shell, "python": python}.items()
    }


def find_function(path: str) -> Callable[..., Any]:
    """The callable that `package.module:function` names.

    Raises:
        InvalidTypeError: It is no such path, or names no callable.
        ImportError: The module cannot be imported.
    """
    module_name, name = _split(path)
    found: Any = importlib.import_module(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise InvalidTypeError(
                f"function is {shorten(path)}, but there is no {shorten(part)} in "
                f"{module_name}{nearest(part, dir(found))}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise InvalidTypeError(f"function is {shorten(path)}, which cannot be called")
    return found  # type: ignore[no-any-return]


def _split(path: str) -> tuple[str, str]:
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise InvalidTypeError(f"function is {shorten(path)}; write 'package.module:function'")
    return module_name, name


def _limiter() -> trio.CapacityLimiter:
    """No limit of its own: max_parallel of the run bounds the threads."""
    return trio.CapacityLimiter(math.inf)


# Arguments are checked before the run, when an `OutputOf` stands for what is not known yet, and
# again when all is known.


def check_shell(args: Mapping[str, Any]) -> None:
    """Raise InvalidTypeError if these are no arguments of a `shell` task."""
    _check_types("shell", args, _SHELL_TYPES)
    env = args.get("env", {})
    for name, text in env.items() if isinstance(env, dict) else ():
        if not isinstance(text, str | OutputOf):
            raise InvalidTypeError(
                f"shell: env[{shorten(name)}] is {shorten(text)}; it must be a str"
            )
    in_shell = args.get("shell", False)
    if isinstance(in_shell, OutputOf):
        return
    if not in_shell:
        _check_argv(args)
    elif not args.get("command") or "argv" in args:
        raise InvalidTypeError("shell: with 'shell': true it takes 'command', and no 'argv'")


def _check_argv(args: Mapping[str, Any]) -> None:
    argv = args.get("argv")
    words = argv if isinstance(argv, list) else []
    if not argv or "command" in args or not all(isinstance(w, str | OutputOf) for w in words):
        raise InvalidTypeError(
            f"shell: argv is {shorten(argv)}; it must be a list of str, the program first "
            "('command' needs 'shell': true)"
        )


def check_python(args: Mapping[str, Any]) -> None:
    """Raise InvalidTypeError if these are no arguments of a `python` task."""
    _check_types("python", args, _PYTHON_TYPES, "function")
    if isinstance(path := args["function"], str):
        _split(path)


CHECKS: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "shell": check_shell,
    "python": check_python,
}


def _check_types(
    action: str, args: Mapping[str, Any], types: dict[str, tuple[type, ...]], *required: str
) -> None:
    for name, value in args.items():
        if name not in types:
            raise InvalidTypeError(
                f"{action}: unknown argument {shorten(name)}{nearest(name, types)}"
            )
        if not isinstance(value, (*types[name], OutputOf)):
            raise InvalidTypeError(
                f"{action}: {name} is {shorten(value)}; it must be a {types[name][0].__name__}"
            )
    for name in required:
        if name not in args:
            raise InvalidTypeError(f"{action}: the argument {name!r} is missing")


async def _run(
    command: list[str] | str, *, stdin: bytes, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    if sys.platform != "win32":  # a group of its own can be ended with all its children
        options |= {"start_new_session": True, "deliver_cancel": _end_group}
    return await trio.run_process(
        command, stdin=stdin, capture_stdout=True, capture_stderr=True, check=False, **options
    )


if sys.platform != "win32":

    async def _end_group(process: trio.Process) -> None:
        """Called shielded, and cancelled as soon as the program has ended."""
        try:
            _signal_group(process, signal.SIGTERM)
            await trio.sleep(GRACE)
        finally:
            _signal_group(process, signal.SIGKILL)

    def _signal_group(process: trio.Process, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _failure(returncode: int, output: str) -> str:
    if returncode < 0:
        try:
            how = f"killed by {signal.Signals(-returncode).name}"
        except ValueError:
            how = f"killed by signal {-returncode}"
    else:
        how = f"exit code {returncode}"
    if len(output) > TAIL:
        output = f"...{output[-TAIL:]}"
    return f"{how}\n{output}" if output else how
