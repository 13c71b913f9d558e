"""`tgtrio validate`: everything that is wrong, at once."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Command, Write
from .histories import HOSTILE


def shell(task_id: str, *argv: str, **fields: Any) -> dict[str, Any]:
    return {"task_id": task_id, "action_name": "shell", "normalized_args": {"argv": argv}, **fields}


def python(task_id: str, function: str, *args: Any, **fields: Any) -> dict[str, Any]:
    call = {"function": function, "args": args}
    return {"task_id": task_id, "action_name": "python", "normalized_args": call, **fields}


OK = python("ok", "os.path:basename", "x")


def problems(tgtrio: Command, path: str, *more: str) -> list[str]:
    """The lines about problems; they are counted in the last one."""
    ended = tgtrio("validate", path, *more)
    *lines, last = ended.out.splitlines()
    number = len(lines)
    assert last == f"{path}: {number} problem{'s' * (number != 1)}"
    assert (ended.code, ended.err) == (2, "")
    return lines


def test_a_valid_graph_is_said_to_be_valid(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(OK, shell("b", sys.executable, "-V", dependencies=["ok"]))
    ended = tgtrio("validate", path)
    assert (ended.code, ended.out, ended.err) == (
        0,
        "graph.json: 2 tasks, 1 dependency: valid\n",
        "",
    )
    assert tgtrio("validate", path, "--json").document == {
        "valid": True,
        "tasks": 2,
        "dependencies": 1,
        "problems": [],
    }


def test_every_problem_is_told_at_once(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(
        {**OK, "task_id": "a", "priority": "high", "deadline": "soon", "on_dep_fail": "skp"},
        {**OK, "task_id": "b", "dependancies": ["a"], "dependencies": ["aa"]},
        {"task_id": "c"},
        5,
        {**OK, "task_id": "a"},
        {**OK, "task_id": "x", "dependencies": ["y"]},
        {**OK, "task_id": "y", "dependencies": ["x"]},
        {**OK, "task_id": "z", "dependencies": ["c"]},  # which is wrong, but there
        max_paralel=3,
        max_parallel=0,
        graph_timeout_ms="long",
    )
    lines = problems(tgtrio, path)
    for words in (
        "graph 'g': unknown field 'max_paralel'; did you mean 'max_parallel'?",
        "graph 'g': max_parallel is 0;",
        "graph 'g': graph_timeout_ms is 'long'",
        "task 'a': priority is 'high'",
        "task 'a': deadline is 'soon'",
        "task 'a': on_dep_fail is 'skp'",
        "task 'b': unknown field 'dependancies'; did you mean 'dependencies'?",
        "task 'b': dependency 'aa' is unknown; did you mean 'a'?",
        "task 'c': action_name is missing in {'task_id': 'c'}",
        "tasks[3] is 5,",
        "task 'a': the graph has a task of that id already",
        "task 'x': its dependencies form a cycle: x -> y -> x",
    ):
        (line,) = (line for line in lines if words in line)
        lines.remove(line)
    assert lines == []


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (5, ["a graph is a mapping with graph_id and tasks, not 5"]),
        ({}, ["the graph has no graph_id"]),
        ({"graph_id": 5, "tasks": {}}, ["graph_id is 5", "tasks is {}"]),
        ({"graph_id": "g", "tasks": [{}]}, ["tasks[0]: task_id is", "tasks[0]: action_name is"]),
        (
            {"graph_id": "g", "tasks": [{"task_id": 7, "action_name": "python", "priority": "x"}]},
            ["task_id is 7", "task 'tasks[0]': priority is 'x'"],
        ),
        (
            {
                "graph_id": "g",
                "tasks": [{**OK, "expire_at_deadline": True}, {**OK, "dependencies": ["ok"]}],
            },
            ["the task has no deadline", "depends on itself", "id already"],
        ),
    ],
)
def test_what_is_no_graph_at_all(
    tgtrio: Command, here: Path, document: object, words: list[str]
) -> None:
    (here / "g.json").write_text(json.dumps(document))
    lines = problems(tgtrio, "g.json")
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert word in line


def test_a_field_that_needs_another_is_not_blamed_for_that(
    tgtrio: Command, graph_file: Write
) -> None:
    path = graph_file({**OK, "deadline": "soon", "expire_at_deadline": True})
    (line,) = problems(tgtrio, path)
    assert "deadline is 'soon'" in line


def test_a_file_that_cannot_be_read(tgtrio: Command, here: Path) -> None:
    (here / "g.yaml").write_text("tasks: [")
    assert "line 1" in problems(tgtrio, "g.yaml")[0]
    assert "No such file" in problems(tgtrio, "none.json")[0]
    assert "must end in .json" in problems(tgtrio, "g.txt")[0]


def test_actions_that_nothing_provides(tgtrio: Command, graph_file: Write, here: Path) -> None:
    tasks = [{"task_id": name, "action_name": "fecth"} for name in "abc"]
    path = graph_file(*tasks, OK)
    (line,) = problems(tgtrio, path)
    assert line.startswith("task 'a': nothing provides the action 'fecth' (built in are shell, ")
    assert line.endswith("; 2 more tasks name it")
    (here / "own_actions.py").write_text("def fetch(args): ...\n")
    (line,) = problems(tgtrio, path, "--actions", "own_actions")
    assert "; did you mean 'fetch'?" in line
    (here / "graph.json").write_text((here / "graph.json").read_text().replace("fecth", "fetch"))
    assert tgtrio("validate", path, "--actions", "own_actions").code == 0


def test_actions_that_cannot_be_loaded_are_one_problem(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file({"task_id": "a", "action_name": "own"}, shell("b", "no such program"))
    lines = problems(tgtrio, path, "--actions", "no_such_module")
    assert lines[0].startswith("--actions no_such_module: there is no module")
    assert lines[1:] == ["task 'b': shell: the program 'no such program' is not on the PATH"]


def test_arguments_of_built_in_actions(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(
        {"task_id": "a", "action_name": "shell", "normalized_args": {"argv": "ls"}},
        {"task_id": "b", "action_name": "python"},
        shell("c", "ls", priority="x"),
    )
    assert problems(tgtrio, path) == [
        "task 'c': priority is 'x', of type str; it must be a number",
        "task 'a': shell: argv is 'ls'; it must be a list",
        "task 'b': python: the argument 'function' is missing",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="programs are files with a mode")
def test_programs_are_looked_for(tgtrio: Command, graph_file: Write, here: Path) -> None:
    (here / "bin").mkdir()
    (here / "bin" / "tool").touch(mode=0o755)
    (here / "bin" / "text").touch(mode=0o644)

    def with_args(task_id: str, *argv: str, after: tuple[str, ...] = (), **args: Any) -> Any:
        task = shell(task_id, *argv, dependencies=after)
        return {**task, "normalized_args": {**task["normalized_args"], **args}}

    lines = problems(
        tgtrio,
        graph_file(
            OK,
            shell("missing", "no-such-program"),
            shell("path", "bin/tool"),
            shell("bad path", "bin/text"),
            with_args("cwd", "./tool", cwd="bin"),
            with_args("bad cwd", "ls", cwd="none"),
            with_args("own PATH", "tool", env={"PATH": os.fspath(here / "bin")}),
            with_args("bad PATH", "ls", env={"PATH": os.fspath(here / "bin")}),
            shell("made meanwhile", "./built", dependencies=["ok"]),
            with_args("folder made meanwhile", "./built", after=("ok",), cwd="made"),
            {
                "task_id": "unknown",
                "action_name": "shell",
                "normalized_args": {"argv": {"$output_of": "ok"}},
            },
            {
                "task_id": "of a shell",
                "action_name": "shell",
                "normalized_args": {"command": "no-such-program | wc", "shell": True},
            },
        ),
    )
    assert lines == [
        "task 'missing': shell: the program 'no-such-program' is not on the PATH",
        "task 'bad path': shell: there is no program 'bin/text'",
        "task 'bad cwd': shell: cwd is 'none', which is no directory",
        "task 'bad PATH': shell: the program 'ls' is not on the PATH",
    ]


def test_functions_are_imported_and_their_signatures_tried(
    tgtrio: Command, graph_file: Write, here: Path
) -> None:
    (here / "site_tools.py").write_text(
        "print('imported')\ndef one(a): ...\nvalue = 3\ndef any_of(*a, **k): ...\n"
    )
    (here / "broken_tools.py").write_text("import sys\nsys.exit('no licence')\n")
    path = graph_file(
        python("ok", "site_tools:one", 1),
        python("odd", "site_tools:onee"),
        python("value", "site_tools:value"),
        python("few", "site_tools:one"),
        python("many", "site_tools:one", 1, 2),
        python("any", "site_tools:any_of", 1, 2),
        python("none", "no_such_module:f"),
        python("broken", "broken_tools:f"),
        python("broken too", "broken_tools:f"),
        python("builtin", "builtins:max", 1),
    )
    ended = tgtrio("validate", path)
    *lines, last = ended.out.splitlines()
    assert ended.err == "imported\n"  # never among the problems
    assert last == "graph.json: 7 problems"
    assert lines == [
        "task 'odd': python: function is 'site_tools:onee', but there is no 'onee' in site_tools; "
        "did you mean 'one'?",
        "task 'value': python: function is 'site_tools:value', which cannot be called",
        "task 'few': python: 'site_tools:one' cannot be called so: missing a required argument: "
        "'a'",
        "task 'many': python: 'site_tools:one' cannot be called so: too many positional arguments",
        "task 'none': python: importing 'no_such_module:f' raised ModuleNotFoundError: No module "
        "named 'no_such_module'",
        "task 'broken': python: importing 'broken_tools:f' raised SystemExit: no licence "
        "(broken_tools.py, line 2)",
        "task 'broken too': python: importing 'broken_tools:f' raised SystemExit: no licence "
        "(broken_tools.py, line 2)",
    ]


def test_the_json_of_problems(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(
        {**OK, "task_id": "x", "dependencies": ["y"]}, {**OK, "task_id": "y", "dependencies": ["x"]}
    )
    ended = tgtrio("validate", path, "--json")
    assert (ended.code, ended.document["valid"]) == (2, False)
    (problem,) = ended.document["problems"]
    assert (problem["kind"], problem["path"]) == ("CycleError", ["x", "y", "x"])
    assert problem["message"].startswith("task 'x': its dependencies form a cycle")


def test_hostile_names_change_nothing_but_themselves(tgtrio: Command, graph_file: Write) -> None:
    lines = problems(
        tgtrio,
        graph_file(
            {**OK, "task_id": HOSTILE, "dependencies": ["x"]}, shell(f"b{HOSTILE}", HOSTILE)
        ),
    )
    assert len(lines) == 2
    assert all(line.isprintable() and len(line) < 600 for line in lines)
