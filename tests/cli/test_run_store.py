"""`tgtrio run --store`: runs that are kept, resumed, and served from."""

from __future__ import annotations

import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tgtrio import RawStore, StoredRun
from tgtrio.cli import _run_command

from .conftest import Command, Write, call_python

WORK = """
    import pathlib
    import signal

    import trio

    CALLS = []

    async def call(args):
        CALLS.append(args["name"])
        return args["name"]

    async def flaky(args):
        CALLS.append("flaky")
        if CALLS.count("flaky") < 3:
            raise ConnectionError("not yet")

    async def unless_there(args):
        if not pathlib.Path("go").exists():
            signal.raise_signal(signal.SIGTERM)
            await trio.sleep_forever()

    async def no_json(args):
        return {1}
"""


@pytest.fixture(autouse=True)
def calls(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user's actions were called with."""
    (here / "work.py").write_text(textwrap.dedent(WORK))
    monkeypatch.delitem(sys.modules, "work", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(here)
    import work  # type: ignore[import-not-found]

    found: list[str] = work.CALLS
    return found


def stored(path: str = "s.db") -> list[StoredRun]:
    with closing(RawStore(path)) as store:
        return store.list_runs()


def call(name: str, *after: str, **fields: Any) -> dict[str, Any]:
    return {
        "task_id": name,
        "action_name": "call",
        "normalized_args": {"name": name},
        "dependencies": list(after),
        **fields,
    }


GATE = {"task_id": "gate", "action_name": "unless_there", "dependencies": ["a"]}
RUN = ("--actions", "work", "--store", "s.db", "--grace", "0")


def test_the_summary_names_the_run_and_where_it_is_kept(tgtrio: Command, graph_file: Write) -> None:
    ended = tgtrio("run", graph_file(call("a")), *RUN)
    (run,) = stored()
    assert ended.code == 0
    assert ended.out.splitlines()[1] == f"run {run.run_id}, in s.db"
    assert (run.state, run.states["succeeded"]) == ("finished", 1)


def test_a_run_that_was_ended_is_resumed(
    here: Path, tgtrio: Command, graph_file: Write, calls: list[str]
) -> None:
    path = graph_file(call("a"), GATE, call("b", "gate"))
    assert tgtrio("run", path, *RUN).code == 143
    assert stored()[0].state == "cancelled"
    (here / "go").touch()
    ended = tgtrio("run", path, *RUN)
    (run,) = stored()
    assert ended.code == 0
    assert ended.out.splitlines()[1] == f"run {run.run_id}, resumed, in s.db"
    assert ended.out.endswith(", 1 task served from cache\n")
    assert calls == ["a", "b"]
    assert tgtrio("run", path, *RUN).code == 0
    assert len(stored()) == 2  # what is over is not resumed


def test_built_in_actions_that_succeeded_are_not_repeated_when_resumed(
    here: Path, tgtrio: Command, graph_file: Write
) -> None:
    path = graph_file(call_python("a", "work:CALLS.append", "once"), GATE)
    assert tgtrio("run", path, *RUN).code == 143
    (here / "go").touch()
    ended = tgtrio("run", path, *RUN, "--json")
    assert ended.code == 0
    assert ended.document["results"]["a"]["cached"] is True


def test_a_run_can_be_named(tgtrio: Command, graph_file: Write, calls: list[str]) -> None:
    path = graph_file(call("a"))
    for _ in range(2):
        ended = tgtrio("run", path, *RUN, "--run-id", "monday", "--json")
        assert ended.document["run_id"] == "monday"
    assert calls == ["a"]
    assert [(run.run_id, run.resumptions) for run in stored()] == [("monday", 1)]
    ended = tgtrio("run", path, *RUN, "--run-id", "monday")
    assert ended.out.splitlines()[1] == "run monday, resumed, in s.db"
    assert tgtrio("run", path, *RUN, "--run-id", "tuesday").code == 0
    assert calls == ["a", "a"]
    ended = tgtrio("run", path, *RUN, "--run-id", "monday")  # which is not the latest now
    assert ended.out.splitlines()[1] == "run monday, resumed, in s.db"


def test_a_run_that_failed_says_what_to_do_next(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(call_python("a", "math:sqrt", -1))
    told = tgtrio("run", path).out
    assert told.endswith("\n\nTo be able to go on with what failed, add --store FILE.\n")
    told = tgtrio("run", path, "--store", "my store").out
    (run,) = stored("my store")
    assert told.splitlines()[-2:] == [
        "To see why:  tgtrio explain 'my store'",
        f"To go on, once it is mended:  the same command with --run-id {run.run_id}",
    ]
    told = tgtrio("run", path, "--store", "my store", "--run-id", "b").out
    assert told.splitlines()[-2:] == [
        "To see why:  tgtrio explain 'my store' --run b",
        "To go on, once it is mended:  the same command again",
    ]
    assert "To " not in tgtrio("run", path, "--store", "my store", "--quiet").out


def test_a_run_that_succeeded_says_nothing_more(tgtrio: Command, graph_file: Write) -> None:
    assert "To " not in tgtrio("run", graph_file(call("a")), *RUN).out


def test_a_run_of_another_graph_is_not_taken_up(tgtrio: Command, graph_file: Write) -> None:
    assert tgtrio("run", graph_file(call("a")), *RUN, "--run-id", "r").code == 0
    ended = tgtrio("run", graph_file(call("a"), graph_id="other"), *RUN, "--run-id", "r")
    assert (ended.code, ended.out) == (2, "")
    assert "run 'r': is a run of graph 'g', not of graph 'other'" in ended.err


def test_a_run_is_executed_by_one(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(call("a"))
    with closing(RawStore("s.db")) as store:
        journal = store.open_journal(
            "g", "r", total_tasks=1, on_written=lambda n: None, on_error=lambda e: None
        )
        ended = tgtrio("run", path, *RUN, "--run-id", "r")
        journal.close()
    assert (ended.code, ended.out) == (2, "")
    assert "is being executed" in ended.err
    assert ended.err.endswith("or give another --run-id\n")


def test_responses_of_other_runs_are_served_where_that_is_asked_for(
    tgtrio: Command, graph_file: Write, calls: list[str]
) -> None:
    path = graph_file(call("a"), call_python("b", "math:sqrt", 4))
    for _ in range(2):
        ended = tgtrio("run", path, *RUN, "--reuse", "store", "--json")
        assert ended.document["ok"]
    assert calls == ["a"]
    results = ended.document["results"]
    assert (results["a"]["cached"], results["a"]["response"]) == (True, "a")
    assert results["b"]["cached"] is False


@pytest.mark.parametrize("durability", ["batch", "task"])
def test_the_store_is_as_durable_as_asked_for(
    tgtrio: Command, graph_file: Write, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    opened: list[RawStore] = []

    def open_store(*args: Any, **options: Any) -> RawStore:
        opened.append(RawStore(*args, **options))
        return opened[-1]

    monkeypatch.setattr(_run_command, "RawStore", open_store)
    path = graph_file(call("a"), call("b", "a"))
    assert tgtrio("run", path, *RUN, "--durability", durability).code == 0
    assert opened[0].durability == durability
    assert repr(opened[0]).endswith(", closed)")


def test_the_store_is_closed_at_every_way_out(
    tgtrio: Command, graph_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[RawStore] = []

    def open_store(*args: Any, **options: Any) -> RawStore:
        opened.append(RawStore(*args, **options))
        return opened[-1]

    def fail(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_run_command, "RawStore", open_store)
    monkeypatch.setattr(_run_command, "execute", fail)
    assert tgtrio("run", graph_file(call("a")), *RUN).code == 130
    assert repr(opened[0]).endswith(", closed)")


def test_a_store_is_not_made_for_a_graph_that_is_refused(
    here: Path, tgtrio: Command, graph_file: Write
) -> None:
    bad = {"task_id": "a", "action_name": "shell", "normalized_args": {}}
    assert tgtrio("run", graph_file(bad), *RUN).code == 2
    assert not (here / "s.db").exists()


def test_a_response_that_a_store_cannot_keep_fails_its_task(
    tgtrio: Command, graph_file: Write
) -> None:
    ended = tgtrio("run", graph_file({"task_id": "a", "action_name": "no_json"}), *RUN)
    assert ended.code == 1
    assert "InvalidArgumentError" in ended.out


def test_a_store_that_fails_during_the_run_ends_it(
    here: Path, tgtrio: Command, graph_file: Write
) -> None:
    spoil = "import sqlite3; sqlite3.connect('s.db').execute('DROP TABLE executions')"
    path = graph_file(
        call_python("a", "builtins:exec", spoil),
        call_python("b", "builtins:str", after=["a"]),
    )
    options = ("--store", "s.db", "--durability", "task")
    ended = tgtrio("run", path, *options)
    assert ended.code == 3
    assert ended.out.startswith("g: ended by its store after ")
    (here / "s.db").unlink()
    ended = tgtrio("run", path, *options, "--json")
    assert ended.code == 3
    assert ended.document["ok"] is False
    assert "no such table" in ended.err


def test_retries_are_those_of_the_command_where_the_task_does_not_say(
    tgtrio: Command, graph_file: Write, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tgtrio import RetryPolicy

    monkeypatch.setattr(RetryPolicy, "delay", lambda self, k, rng: 0.0)
    flaky = {"task_id": "a", "action_name": "flaky"}
    path = graph_file(flaky)
    assert tgtrio("run", path, "--actions", "work", "--max-retries", "1").code == 1
    assert calls == ["flaky"] * 2
    calls.clear()
    assert tgtrio("run", path, "--actions", "work", "--max-retries", "2").code == 0
    calls.clear()
    path = graph_file({**flaky, "max_retries": 0})
    assert tgtrio("run", path, "--actions", "work", "--max-retries", "2").code == 1
    assert calls == ["flaky"]


def test_built_in_actions_are_retried_only_where_that_is_asked_for(
    tgtrio: Command, graph_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tgtrio import RetryPolicy

    monkeypatch.setattr(RetryPolicy, "delay", lambda self, k, rng: 0.0)
    bare = call_python("a", "math:sqrt", -1)
    del bare["max_retries"]
    graph = graph_file(bare, {**bare, "task_id": "b", "max_retries": 2})
    results = tgtrio("run", graph, "--json").document["results"]
    assert (results["a"]["attempts"], results["b"]["attempts"]) == (1, 3)
    results = tgtrio("run", graph, "--json", "--max-retries", "1").document["results"]
    assert (results["a"]["attempts"], results["b"]["attempts"]) == (2, 3)


def test_built_in_actions_have_no_breaker_and_share_no_work(
    tgtrio: Command, graph_file: Write
) -> None:
    broken = [call_python(f"bad{n}", "math:sqrt", -1) for n in range(20)]
    same = [call_python(f"same{n}", "builtins:str", 1, priority=-1) for n in range(3)]
    document = tgtrio("run", graph_file(*broken, *same), "--json").document
    assert document["statistics"]["states"]["failed"] == 20
    assert document["statistics"]["states"]["succeeded"] == 3
    assert document["statistics"]["cached_tasks"] == 0
    assert document["statistics"]["breaker_states"] == {}
