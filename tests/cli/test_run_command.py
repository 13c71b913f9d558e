"""`tgtrio run`, from the command line to the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tgtrio.cli._errors import SIGNALS

from .conftest import Command, Write, call_python

WORK = """
    import signal
    import subprocess
    import sys

    import trio

    async def double(args):
        return args["n"] * 2

    def loud(args):
        print("this goes to standard error")
        return {1}

    async def interrupt(args):
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    async def terminate(args):
        signal.raise_signal(signal.SIGTERM)
        await trio.sleep_forever()

    async def interrupt_twice(args):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    async def terminate_and_interrupt(args):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    async def interrupt_and_finish(args):
        signal.raise_signal(signal.SIGINT)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        return "finished"

    async def give_up(args):
        sys.exit(7)

    async def forever(args):
        await trio.sleep_forever()

    def shell(args):
        return "my own shell"

    class Service:
        def __init__(self, factor):
            self.factor = factor

        async def times(self, args):
            return args["n"] * self.factor

    service = Service(3)
    table = {"double": double, "python": loud}
    odd = {"cycle": lambda args: CYCLE, "broken": lambda args: Broken()}

    CYCLE = []
    CYCLE.append(CYCLE)

    class Broken:
        def __repr__(self):
            raise ValueError("no repr")
"""


@pytest.fixture(autouse=True)
def work(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's module of actions, in the current directory."""
    (here / "work.py").write_text(textwrap.dedent(WORK))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def one(action: str, **args: Any) -> dict[str, Any]:
    return {"task_id": "a", "action_name": action, "normalized_args": args}


def test_success_is_told_and_exits_with_0(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(
        call_python("root", "math:sqrt", 16),
        call_python("text", "builtins:str", {"$output_of": "root"}),
        graph_id="numbers",
    )
    ended = tgtrio("run", path)
    assert ended.code == 0
    assert ended.out.startswith("numbers: done in ")
    assert "  succeeded  2  " in ended.out
    assert ended.err == ""


def test_a_failure_is_told_and_exits_with_1(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(
        call_python("root", "math:sqrt", -1), call_python("next", "math:sqrt", 1, after=["root"])
    )
    ended = tgtrio("run", path)
    assert ended.code == 1
    assert "  root\n      ValueError: " in ended.out
    assert "  1  because of root (aborted)\n" in ended.out


def test_a_run_that_times_out_exits_with_3(tgtrio: Command, graph_file: Write) -> None:
    ended = tgtrio("run", graph_file(one("forever")), "--actions", "work", "--timeout", "0.01")
    assert ended.code == 3
    assert ended.out.startswith("g: timed out after ")
    assert "  1  the graph timed out after 10 ms (cancelled, 1 of them in flight)\n" in ended.out


def test_ctrl_c_ends_the_run_and_still_tells_of_it(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(
        {**one("double", n=1), "task_id": "before"},
        {**one("interrupt"), "dependencies": ["before"]},
    )
    ended = tgtrio("run", path, "--actions", "work", "--grace", "0")
    assert ended.code == 130
    assert ended.out.startswith("g: interrupted after ")
    assert "  succeeded  1  " in ended.out
    assert "  cancelled  1  " in ended.out
    ended = tgtrio("run", path, "--actions", "work", "--grace", "0", "--json")
    assert ended.code == 130
    assert ended.document["results"]["a"]["state"] == "cancelled"


def test_what_is_in_flight_at_ctrl_c_may_end_and_nothing_starts(
    tgtrio: Command, graph_file: Write
) -> None:
    path = graph_file(
        one("interrupt_and_finish"),
        {**one("double", n=1), "task_id": "next", "dependencies": ["a"]},
    )
    ended = tgtrio("run", path, "--actions", "work", "--json", "--grace", "1000")
    assert ended.code == 130
    assert ended.document["results"]["a"]["response"] == "finished"
    assert ended.document["results"]["next"]["state"] == "cancelled"
    assert ended.document["results"]["next"]["error"] == "the run was drained: Ctrl-C"
    assert ended.err == "g: draining: 1 in flight, at most 1,000 s; once more to cancel\n"


def test_ctrl_c_twice_cancels_at_once(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(one("interrupt_twice"))
    ended = tgtrio("run", path, "--actions", "work", "--grace", "1000")
    assert ended.code == 130
    assert "  1  the run was cancelled: Ctrl-C (cancelled, 1 of them in flight)\n" in ended.out


def test_sigterm_has_an_exit_code_of_its_own(tgtrio: Command, graph_file: Write) -> None:
    ended = tgtrio("run", graph_file(one("terminate")), "--actions", "work", "--grace", "0")
    assert ended.code == 143
    assert ended.out.startswith("g: terminated after ")


def test_the_third_signal_breaks_off_without_a_summary(tgtrio: Command, graph_file: Write) -> None:
    handlers = [signal.getsignal(number) for number in SIGNALS]
    path = graph_file(one("terminate_and_interrupt"))
    ended = tgtrio("run", path, "--actions", "work", "--grace", "1000")
    assert (ended.code, ended.out) == (143, "")
    assert ended.err.endswith("tgtrio: interrupted\n")
    assert [signal.getsignal(number) for number in SIGNALS] == handlers


def test_an_action_that_exits_ends_the_run(tgtrio: Command, graph_file: Write) -> None:
    ended = tgtrio("run", graph_file(one("give_up")), "--actions", "work")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "tgtrio: an action called sys.exit(7), which ended the run\n"


def test_the_users_own_shell_is_not_checked(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(one("shell", anything=1))
    assert tgtrio("run", path, "--actions", "work").code == 0


@pytest.mark.parametrize(
    ("path", "action", "response"),
    [
        ("work", "double", 14),
        ("work:table", "double", 14),
        ("work:service", "times", 21),
        ("work:service.times.__self__", "times", 21),
    ],
)
def test_actions_come_from_what_is_named(
    tgtrio: Command, graph_file: Write, path: str, action: str, response: int
) -> None:
    ended = tgtrio("run", graph_file(one(action, n=7)), "--actions", path, "--json")
    assert ended.code == 0, ended.err
    assert ended.document["results"]["a"]["response"] == response


@pytest.mark.parametrize("path", ["work", "work:table", "work:service"])
def test_built_in_actions_are_there_beside_the_users(
    tgtrio: Command, graph_file: Write, path: str
) -> None:
    program = [sys.executable, "-c", "print('hello')"]
    ended = tgtrio("run", graph_file(one("shell", argv=program)), "--actions", path, "--json")
    response = ended.document["results"]["a"]["response"]
    assert response == "my own shell" if path == "work" else response["stdout"].strip() == "hello"


def test_a_task_without_action_is_refused(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(one("shel"))
    ended = tgtrio("run", path)
    assert (ended.code, ended.out) == (2, "")
    assert "task 'a': nothing provides the action 'shel'; did you mean 'shell'?" in ended.err
    assert "(built in are shell, python; --actions adds others)" in ended.err
    ended = tgtrio("run", path, "--actions", "work:service")
    assert ended.code == 2
    assert "built in" not in ended.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cap", "pyhton=2"], "no task of the graph uses the action 'pyhton'; did you mean"),
        (["--cap", "python"], "--cap python: write NAME=NUMBER"),
        (["--cap", "=2"], "--cap =2: write NAME=NUMBER"),
        (["--cap", "python=0"], "--cap python=0: '0' is no whole number of at least 1"),
        (["--cap", "python=²"], "is no whole number of at least 1"),
        (["--cap", "python=1", "--cap", "python=2"], "'python' was given a limit already"),
        (["--resource-cap", "db=1"], "no task of the graph uses the resource 'db'"),
        (["--max-parallel", "2.5"], "--max-parallel: '2.5' is no whole number of at least 1"),
        (["--timeout", "0"], "--timeout: 0.0 is no number of seconds above 0"),
        (["--timeout", "nan"], "--timeout: nan is no number of seconds above 0"),
        (["--timeout", "soon"], '"soon"'),
        (["--grace", "-1"], "--grace: -1.0 is no number of seconds"),
        (["--grace", "inf"], "--grace: inf is no number of seconds"),
        (["--max-retries", "-1"], "--max-retries: '-1' is no whole number of at least 0"),
        (["--max-retries", "1.5"], "--max-retries: '1.5' is no whole number of at least 0"),
        (["--durability", "task"], "--durability task: there is no store; add --store FILE"),
        (["--durability", "full", "--store", "s.db"], '"full"'),
        (["--run-id", "tue"], "--run-id tue: there is no store; add --store FILE"),
        (["--run-id", "run"], "--run-id run: there is no store; add --store FILE"),
        (["--reuse", "store"], "--reuse store: there is no store; add --store FILE"),
        (["--reuse", "executor", "--store", "s.db"], '"executor"'),
        (["--run-id", "", "--store", "t.db"], "it must be a non-empty str"),
        (["--store", ""], "it must be the name of a file"),
        (["--store", "."], "it is a folder"),
        (["--store", "none/s.db"], "there is no folder"),
        (["--store", "bad.py"], "it is no SQLite file"),
        (["--actions", "wrok"], "there is no module 'wrok', neither in the current directory"),
        (["--actions", "work:tabel"], "there is no 'tabel' in work; did you mean 'table'?"),
        (["--actions", "work:Service"], "that is a class"),
        (["--actions", "work:double"], "that is a function"),
        (["--actions", ":double"], "write MODULE:OBJECT"),
        (["--actions", "bad"], "importing it raised ZeroDivisionError"),
        (["--jsno"], "--jsno"),
        (["more"], "more"),
    ],
)
def test_wrong_use_is_explained_and_exits_with_2(
    here: Path, tgtrio: Command, graph_file: Write, options: list[str], message: str
) -> None:
    (here / "bad.py").write_text("1 / 0")
    ended = tgtrio("run", graph_file(call_python("a", "math:sqrt", 1)), *options)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("tgtrio: ")
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert not (here / "s.db").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.json", None, "'none.json': cannot be read: No such file"),
        ("g.json", "[1,", "'g.json': "),
        ("g.json", "[]", "a graph is a mapping"),
        ("g.yaml", "graph_id: [", "'g.yaml': line 1, column "),
        ("g.toml", "graph_id = ", "'g.toml': "),
        ("g.txt", "", "the name must end in .json"),
        ("g.json", '{"graph_id": "g", "taks": []}', "unknown field 'taks'; did you mean 'tasks'?"),
        (
            "g.yaml",
            "{graph_id: g, tasks: [{task_id: a, action_name: x, dependencies: [b]},"
            " {task_id: b, action_name: x, dependencies: [a]}]}",
            "a -> b -> a",
        ),
    ],
)
def test_a_bad_graph_file_is_explained_and_exits_with_2(
    here: Path, tgtrio: Command, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (here / name).write_text(content)
    ended = tgtrio("run", name)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "g.yaml",
            "graph_id: g\ntasks:\n- {task_id: a, action_name: double, normalized_args: {n: 1}}",
        ),
        (
            "g.toml",
            'graph_id = "g"\n[[tasks]]\ntask_id = "a"\naction_name = "double"\n'
            "normalized_args = {n = 1}",
        ),
    ],
)
def test_graph_files_may_be_yaml_and_toml(
    here: Path, tgtrio: Command, name: str, content: str
) -> None:
    (here / name).write_text(content)
    assert tgtrio("run", name, "--actions", "work").code == 0


def test_limits_are_taken_as_given(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file({**call_python("a", "math:sqrt", 4), "resource_ids": ["db=1"]})
    limits = ["--cap", "python=2", "--resource-cap", "db=1=1", "--max-parallel", "3"]
    assert tgtrio("run", path, *limits, "--timeout", "60").code == 0


def test_the_longest_way_goes_first_if_asked_for(tgtrio: Command, graph_file: Write) -> None:
    short = {**call_python("short", "time:monotonic"), "estimate_ms": 1}
    long = {**call_python("long", "time:monotonic"), "estimate_ms": 2}
    first = {}
    for order in ("priority", "critical_path"):
        options = ["--order", order, "--max-parallel", "1", "--json"]
        results = tgtrio("run", graph_file(short, long), *options).document["results"]
        first[order] = min(results, key=lambda name: results[name]["response"])
    assert first == {"priority": "short", "critical_path": "long"}


def test_quiet_success_says_nothing(tgtrio: Command, graph_file: Write) -> None:
    ended = tgtrio("run", graph_file(call_python("a", "math:sqrt", 4)), "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_json_is_one_document_whatever_actions_print(tgtrio: Command, graph_file: Write) -> None:
    ended = tgtrio("run", graph_file(one("loud")), "--actions", "work", "--json")
    assert ended.document["ok"] is True
    assert ended.document["results"]["a"]["response"] in ([1], "{1}")
    assert ended.err == "this goes to standard error\n"


@pytest.mark.parametrize("action", ["cycle", "broken"])
def test_json_survives_odd_responses(tgtrio: Command, graph_file: Write, action: str) -> None:
    ended = tgtrio("run", graph_file(one(action)), "--actions", "work:odd", "--json")
    assert ended.code == 0
    assert isinstance(ended.document["results"]["a"]["response"], str)


def test_in_a_process_of_its_own_children_do_not_spoil_the_document(
    here: Path, graph_file: Write
) -> None:
    child = [sys.executable, "-c", "print('a child')"]
    path = graph_file(call_python("a", "subprocess:call", child))
    done = subprocess.run(
        [sys.executable, "-m", "tgtrio.cli", "run", path, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["results"]["a"]["response"] == 0
    assert done.stderr.strip() == "a child"


def test_the_path_for_imports_is_left_as_it_was(tgtrio: Command, graph_file: Write) -> None:
    before = list(sys.path)
    tgtrio("run", graph_file(one("double", n=1)), "--actions", "work")
    assert sys.path == before


def test_a_report_of_the_run(tgtrio: Command, graph_file: Write, here: Path) -> None:
    pytest.importorskip("jinja2", reason="jinja2 is not installed: no reports")
    path = graph_file(call_python("a", "math:sqrt", -1), call_python("b", "math:sqrt", 4))
    ended = tgtrio("run", path, "--report", "run.html")
    assert ended.code == 1
    assert "the report is in run.html" in ended.err
    page = (here / "run.html").read_text(encoding="utf-8")
    assert "1 task failed; 1 of 2 succeeded" in page
    assert "run.html" not in tgtrio("run", path, "--report", "run.html", "--quiet").err


def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(
    tgtrio: Command, graph_file: Write, here: Path
) -> None:
    pytest.importorskip("jinja2", reason="jinja2 is not installed: no reports")
    path = graph_file(call_python("a", "os:mkdir", "made"))
    ended = tgtrio("run", path, "--report", "none/run.html")
    assert ended.code == 2
    assert "--report 'none/run.html' cannot be written" in ended.err
    assert "there is no directory" in ended.err
    assert not (here / "made").exists()


def test_several_problems_are_told_with_the_command_that_tells_all(
    tgtrio: Command, graph_file: Write
) -> None:
    path = graph_file(*(call_python(f"t{n}", "math:sqrt", n, after=["no"]) for n in range(30)))
    ended = tgtrio("run", path, "--actions", "work")
    assert (ended.code, ended.out) == (2, "")
    assert ".problems" not in ended.err
    assert ended.err.endswith(
        "  ... and 10 more\ntgtrio validate graph.json --actions work tells all that is wrong\n"
    )
