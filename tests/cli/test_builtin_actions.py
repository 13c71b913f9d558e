"""`shell` runs real programs, `python` calls real functions."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tgtrio._errors import CommandFailedError, InvalidTypeError
from tgtrio.cli import _builtin_actions
from tgtrio.cli._builtin_actions import find_function, python, shell

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


async def test_shell_returns_what_a_program_wrote() -> None:
    program = script("import sys; print('out ä'); print('err', file=sys.stderr)")
    assert await shell({"argv": program, "env": {"PYTHONUTF8": "1"}}) == {
        "returncode": 0,
        "stdout": f"out ä{os.linesep}",
        "stderr": f"err{os.linesep}",
    }


async def test_shell_passes_input_environment_and_directory(tmp_path: Path) -> None:
    program = script("import os, sys; print(sys.stdin.read(), os.environ['X'], os.getcwd())")
    done = await shell({"argv": program, "stdin": "in", "env": {"X": "y"}, "cwd": str(tmp_path)})
    assert done["stdout"].split()[:2] == ["in", "y"]
    assert done["stdout"].rstrip().endswith(tmp_path.name)


async def test_a_program_reads_nothing_unless_given_something() -> None:
    done = await shell({"argv": script("import sys; print(repr(sys.stdin.read()))")})
    assert done["stdout"].strip() == "''"


async def test_a_program_that_fails_fails_the_task_and_shows_its_last_words() -> None:
    program = script("import sys; sys.stderr.write('x' * 9000 + ' the end'); sys.exit(3)")
    with pytest.raises(CommandFailedError, match=r"^exit code 3\n") as caught:
        await shell({"argv": program})
    assert str(caught.value).endswith("xxx the end")
    assert len(str(caught.value)) < 2_100


async def test_of_a_silent_error_stream_the_output_is_shown() -> None:
    with pytest.raises(CommandFailedError, match=r"^exit code 1\nall I said$"):
        await shell({"argv": script("print('all I said'); raise SystemExit(1)")})


async def test_check_false_makes_a_failure_a_response() -> None:
    assert (await shell({"argv": script("exit(3)"), "check": False}))["returncode"] == 3


async def test_argv_is_not_for_a_shell(tmp_path: Path) -> None:
    program = script("import sys; print(sys.argv[1])")
    assert (await shell({"argv": [*program, "$HOME; exit 1"]}))["stdout"].strip() == "$HOME; exit 1"


@posix
async def test_a_command_is_for_a_shell_where_that_is_asked_for() -> None:
    assert (await shell({"command": "echo a | tr a b", "shell": True}))["stdout"] == "b\n"


@posix
async def test_a_program_killed_from_elsewhere_fails_the_task() -> None:
    with pytest.raises(CommandFailedError, match=r"^killed by SIGKILL$"):
        await shell({"command": "kill -9 $$", "shell": True})


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "argv is None"),
        ({"argv": []}, r"argv is \[\]"),
        ({"argv": "ls -l"}, "argv is 'ls -l'; it must be a list"),
        ({"argv": ["ls", 1]}, "it must be a list of str"),
        ({"command": "ls"}, "'command' needs 'shell': true"),
        ({"command": "ls", "argv": ["ls"], "shell": True}, "no 'argv'"),
        ({"argv": ["ls"], "cmd": "x"}, "unknown argument 'cmd'; did you mean 'cwd'"),
        ({"argv": ["ls"], "env": {"A": 1}}, "env.'A'. is 1; it must be a str"),
    ],
)
async def test_shell_says_what_is_wrong_with_its_arguments(
    args: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidTypeError, match=message):
        await shell(args)


async def test_a_program_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        await shell({"argv": ["there-is-no-such-program"]})


@posix
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")
async def test_cancellation_ends_a_program_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_builtin_actions, "GRACE", 0)
    pids = tmp_path / "pids"
    command = f"trap '' TERM; sleep 1000 & echo $$ $! > {pids}.part; mv {pids}.part {pids}; wait"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shell, {"command": command, "shell": True})
        await until(pids.exists)
        nursery.cancel_scope.cancel()
    await until(lambda: not any(map(alive, pids.read_text().split())))


async def until(condition: Callable[[], bool]) -> None:
    """Processes tell nobody here when they begin and end."""
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.01)


def alive(pid: str) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def in_main_thread(*, number: int = 0) -> tuple[bool, int]:
    return threading.current_thread() is threading.main_thread(), number


async def add(a: int, b: int) -> int:
    await trio.lowlevel.checkpoint()
    return a + b


def leave(code: object) -> None:
    raise SystemExit(code)


async def test_python_calls_a_plain_function_in_a_thread() -> None:
    called = {"function": f"{__name__}:in_main_thread", "kwargs": {"number": 7}}
    assert await python(called) == (False, 7)


async def test_python_awaits_an_async_function() -> None:
    assert await python({"function": f"{__name__}:add", "args": [1, 2]}) == 3


async def test_python_finds_what_is_inside_a_class() -> None:
    assert await python({"function": "builtins:str.upper", "args": ["a"]}) == "A"


async def test_a_function_may_end_like_a_command() -> None:
    assert await python({"function": f"{__name__}:leave", "args": [0]}) is None
    with pytest.raises(CommandFailedError, match=":leave exited with 'no luck'"):
        await python({"function": f"{__name__}:leave", "args": ["no luck"]})


async def test_what_a_function_raises_passes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        await python({"function": "operator:truediv", "args": [1, 0]})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("json", "write 'package.module:function'"),
        (":dumps", "write 'package.module:function'"),
        ("json:dump_s", "there is no 'dump_s' in json; did you mean 'dumps'"),
        ("json:__name__", "cannot be called"),
    ],
)
def test_python_says_what_is_wrong_with_a_path(path: str, message: str) -> None:
    with pytest.raises(InvalidTypeError, match=message):
        find_function(path)


async def test_python_needs_a_function() -> None:
    with pytest.raises(InvalidTypeError, match="argument 'function' is missing"):
        await python({"args": []})
