"""The arguments of `shell` and `python` are checked before the run, as far as they are known."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Command, Write, call_python


def builtin(task_id: str, action: str, **args: Any) -> dict[str, Any]:
    return {"task_id": task_id, "action_name": action, "normalized_args": args}


@pytest.mark.parametrize(
    ("action", "args", "message"),
    [
        ("shell", {}, "shell: argv is None"),
        ("shell", {"argv": ["ls", 1]}, "must be a list of str"),
        ("shell", {"argv": ["ls"], "evn": {}}, "unknown argument 'evn'; did you mean 'env'?"),
        ("shell", {"argv": ["ls"], "command": {"$output_of": "root"}}, "needs 'shell': true"),
        ("shell", {"argv": ["ls"], "env": {"A": 1}}, "env['A'] is 1"),
        ("python", {}, "python: the argument 'function' is missing"),
        ("python", {"function": "math.sqrt"}, "write 'package.module:function'"),
        ("python", {"function": "math:sqrt", "args": 4}, "args is 4; it must be a list"),
    ],
)
def test_arguments_of_built_in_actions_are_checked_before_anything_runs(
    here: Path,
    tgtrio: Command,
    graph_file: Write,
    action: str,
    args: dict[str, Any],
    message: str,
) -> None:
    root = call_python("root", "os:mkdir", "began")
    ended = tgtrio("run", graph_file(root, builtin("bad", action, **args)))
    assert (ended.code, ended.out) == (2, "")
    assert not (here / "began").exists()
    assert ended.err.startswith("tgtrio: task 'bad': ")
    assert message in ended.err


def test_all_bad_arguments_are_told_at_once(tgtrio: Command, graph_file: Write) -> None:
    ended = tgtrio("run", graph_file(builtin("a", "shell"), builtin("b", "python")))
    assert ended.err.splitlines()[0] == "tgtrio: graph 'g': 2 problems"
    assert "task 'a'" in ended.err
    assert "task 'b'" in ended.err


@pytest.mark.parametrize(
    ("action", "args"),
    [
        ("shell", {"argv": [sys.executable, "-c", {"$output_of": "text"}]}),
        ("shell", {"argv": {"$output_of": "argv"}}),
        ("shell", {"argv": [sys.executable, "-c", ""], "env": {"A": {"$output_of": "text"}}}),
        ("shell", {"argv": [sys.executable, "-c", ""], "stdin": {"$output_of": "text"}}),
        ("shell", {"argv": [sys.executable, "-c", ""], "shell": {"$output_of": "no"}}),
        ("python", {"function": {"$output_of": "path"}, "args": {"$output_of": "argv"}}),
    ],
)
def test_arguments_that_come_from_other_tasks_are_checked_when_they_are_there(
    tgtrio: Command, graph_file: Write, action: str, args: dict[str, Any]
) -> None:
    path = graph_file(
        call_python("text", "builtins:str", "pass"),
        call_python("argv", "builtins:list", [sys.executable, "--version"]),
        call_python("no", "builtins:bool"),
        call_python("path", "builtins:str", "builtins:max"),
        builtin("a", action, **args),
    )
    assert tgtrio("run", path).code == 0


def test_what_comes_from_another_task_may_be_wrong(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(
        call_python("root", "builtins:int", 4), builtin("a", "shell", argv={"$output_of": "root"})
    )
    ended = tgtrio("run", path)
    assert ended.code == 1
    assert "InvalidTypeError: shell: argv is 4; it must be a list" in ended.out
