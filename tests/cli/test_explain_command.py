"""`tgtrio explain`: why a task of a stored run ended as it did, and what went wrong in all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.cells import cell_len

from tgtrio import RawStore
from tgtrio._store_journal import Row

from ..stores import execute, row
from .conftest import Command, Write, call_python
from .histories import HOSTILE, never_ran, open_run, put

pytestmark = pytest.mark.usefixtures("utc")

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 3, in f\nValueError: no'
ON = "To go on (what has succeeded is not done again):"
OR = (
    "with the other options of the first run; or, where a program ran it:",
    "  run_graph(..., store=..., run_id='r')",
)
MENDED = "To go on, once it is mended (what has succeeded is not done again):"


def blames(task_id: str, whom: str, state: str = "aborted") -> Row:
    return row(task_id, state, attempts=0, started_at=None, execution_ms=None, blamed=whom)


@pytest.fixture
def nightly(store: RawStore) -> RawStore:
    """A run that came to its end: `build` failed and took two along."""
    put(
        store,
        row("fetch"),
        row(
            "build", "failed", error="ValueError: no\nrule", attempts=4, execution_ms=10.0,
            traceback=TRACEBACK,
        ),
        blames("test", "build"),
        blames("ship", "test", "skipped"),
        graph_id="nightly",
        run_id="r",
    )  # fmt: skip
    return store


# One task


def test_the_chain_from_a_task_to_the_root(tgtrio: Command, nightly: RawStore) -> None:
    ended = tgtrio("explain", "jobs", "ship")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "ship was skipped"
    assert lines[1].startswith("nightly, run r, started 20")
    assert lines[2:] == [
        "",
        "  'ship' was skipped, because 'test' did not succeed",
        "  'test' was aborted, because 'build' did not succeed",
        "  'build' failed after 4 attempts, the last one took 10 ms: ValueError: no",
        "      rule",
        "",
        MENDED,
        "  tgtrio run GRAPH --store jobs --run-id r",
        *OR,
    ]


def test_a_task_that_succeeded_needs_nothing_more(tgtrio: Command, nightly: RawStore) -> None:
    out = tgtrio("explain", "jobs", "fetch").out
    assert out.startswith("fetch succeeded\n")
    assert "To go on" not in out


def test_the_traceback_of_the_root_is_below_it(tgtrio: Command, nightly: RawStore) -> None:
    out = tgtrio("explain", "jobs", "ship", "--traceback").out
    shown = "\n".join(f"  {line}" for line in TRACEBACK.splitlines())
    assert f"\n\nTraceback of build\n{shown}\n\n{MENDED}\n" in out
    assert "no traceback on record" in tgtrio("explain", "jobs", "fetch", "--traceback").out


def test_a_task_as_json(tgtrio: Command, nightly: RawStore) -> None:
    document = tgtrio("explain", "jobs", "ship", "--json", "--traceback").document
    assert document["traceback"] == TRACEBACK
    assert {name: document[name] for name in ("run_id", "graph_id", "run_state", "state")} == {
        "run_id": "r",
        "graph_id": "nightly",
        "run_state": "finished",
        "state": "skipped",
    }
    assert [cause["subject"] for cause in document["causes"]] == ["ship", "test", "build"]
    assert "traceback" not in tgtrio("explain", "jobs", "ship", "--json").document


def test_a_run_that_did_well_has_nothing_to_go_on_with(tgtrio: Command, store: RawStore) -> None:
    put(store, row("a"), row("b", "skipped"), run_id="r")
    for task in ([], ["a"], ["b"]):
        assert "To go on" not in tgtrio("explain", "jobs", *task).out


def test_the_run_is_the_latest_or_the_one_that_is_named(tgtrio: Command, store: RawStore) -> None:
    put(store, row("a", "failed"), run_id="monday")
    put(store, row("a"), run_id="tuesday")
    assert tgtrio("explain", "jobs", "a").out.startswith("a succeeded\n")
    assert tgtrio("explain", "jobs", "a", "--run", "mon").out.startswith("a failed\n")
    assert tgtrio("explain", "jobs", "--run", "monday").out.startswith("g: 1 task failed\n")


def test_earlier_lives_are_mentioned(tgtrio: Command, store: RawStore) -> None:
    put(store, row("a", "failed", error="ValueError: no"), run_id="r", state="drained")
    put(store, row("a"), run_id="r")
    out = tgtrio("explain", "jobs", "a").out
    assert out.splitlines()[1].endswith(", resumed 1x")
    assert "in an earlier life of this run 'a' failed after 1.0 s: ValueError: no" in out


# A task without an end


def test_with_the_graph_it_is_told_what_a_task_waits_for(
    tgtrio: Command, store: RawStore, graph_file: Write
) -> None:
    file = graph_file(
        call_python("a", "m:f"), call_python("b", "m:f"), call_python("c", "m:f", after=["a", "b"])
    )
    put(store, row("a"), run_id="r", state=None, total=3)
    out = tgtrio("explain", "jobs", "c", "--graph", file).out
    assert out.startswith("c has not ended\ng, run r, started 20")
    assert out.splitlines()[3:] == [
        "  the process that executed the run crashed, and no end of this task is on",
        "  record",
        "  dependency 'b' has not ended",
        "",
        ON,
        "  tgtrio run graph.json --store jobs --run-id r",
        *OR,
    ]


def test_of_many_dependencies_some_are_shown(
    tgtrio: Command, store: RawStore, graph_file: Write
) -> None:
    names = [f"t{n}" for n in range(40)]
    file = graph_file(*(call_python(n, "m:f") for n in names), call_python("z", "m:f", after=names))
    put(store, run_id="r", state=None, total=41)
    out = tgtrio("explain", "jobs", "z", "--graph", file).out
    assert "  dependency 't18' has not ended\n  and 21 more; --json tells all\n" in out
    document = tgtrio("explain", "jobs", "z", "--graph", file, "--json").document
    assert len(document["causes"]) == 41


def test_a_run_that_is_on_offers_nothing_to_go_on_with(tgtrio: Command, store: RawStore) -> None:
    with open_run(store):
        one, all_of_it = tgtrio("explain", "jobs", "a").out, tgtrio("explain", "jobs").out
    assert one.startswith("a has not ended\n")
    assert "the run is being executed" in one
    assert all_of_it.startswith("g: nothing has failed so far\n")
    assert all_of_it.endswith("3 tasks have not ended: the run is being executed\n")
    assert "To go on" not in one + all_of_it


# What is refused


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["jobs", "biuld"], "tgtrio: run 'r' has no task 'biuld'; did you mean 'build'?\n"),
        (["jobs", "build", "--run", "q"], "holds no run 'q'"),
        (["jobs", "build", "--graph", "none.json"], "none.json"),
        (["jobs", "--graph", "none.json"], "--graph tells what one task waits for; name the task"),
        (["nowhere", "build"], "nowhere does not exist; `tgtrio run GRAPH --store FILE` makes one"),
        (["jobs", "build", "ship"], "Try: tgtrio explain --help"),
        (["jobs", ""], "task_id is ''"),
    ],
)
def test_what_is_unknown_exits_with_2(
    tgtrio: Command, nightly: RawStore, arguments: list[str], says: str
) -> None:
    ended = tgtrio("explain", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


def test_the_graph_of_another_run_is_refused(
    tgtrio: Command, nightly: RawStore, graph_file: Write
) -> None:
    ended = tgtrio("explain", "jobs", "build", "--graph", graph_file(call_python("a", "m:f")))
    assert ended.code == 2
    assert "run 'r' is one of graph 'nightly', not of 'g'" in ended.err


# All that went wrong


def test_each_failure_with_what_it_took_along(tgtrio: Command, nightly: RawStore) -> None:
    ended = tgtrio("explain", "jobs")
    lines = ended.out.splitlines()
    assert (ended.code, lines[0]) == (0, "nightly: 1 task failed, and took 2 along")
    assert lines[1].startswith("run r, started 20")
    assert lines[2:] == [
        "",
        "  build  4 attempts",
        "      ValueError: no",
        "      rule",
        "      took 2 tasks along: test, ship",
        "",
        MENDED,
        "  tgtrio run GRAPH --store jobs --run-id r",
        *OR,
    ]


def test_failures_of_one_error_are_told_together(tgtrio: Command, store: RawStore) -> None:
    put(
        store,
        *(row(f"a{n}", "failed", error="ValueError: no") for n in range(1_000)),
        row("odd", "failed", error="OSError: full"),
        blames("b0", "a7"),
        blames("b1", "a7"),
        blames("b2", "a8"),
        run_id="r",
    )
    assert tgtrio("explain", "jobs").out.splitlines()[3:10] == [
        "  1,000 tasks failed: a7, a8, a0 and 997 more",
        "      ValueError: no",
        "      took 3 tasks along (2 by a7): b0, b1, b2",
        "",
        "  odd",
        "      OSError: full",
        "",
    ]


def test_what_the_end_of_the_run_cut_short_is_told_by_reason(
    tgtrio: Command, store: RawStore
) -> None:
    cancelled = [row(f"t{n}", "cancelled", error="drained: Ctrl-C") for n in range(30)]
    put(store, row("a"), *cancelled, blames("b", "t0"), run_id="r", state="drained", total=33)
    assert tgtrio("explain", "jobs").out.splitlines() == [
        "g: drained, and no task failed by itself",
        tgtrio("explain", "jobs").out.splitlines()[1],
        "",
        "  30 tasks were cancelled: t0, t1, t2 and 27 more",
        "      drained: Ctrl-C",
        "      took 1 task along: b",
        "",
        "1 task has not ended: the run was drained",
        "",
        ON,
        "  tgtrio run GRAPH --store jobs --run-id r",
        *OR,
    ]


def test_an_error_that_names_its_task_is_told_once_for_all(
    tgtrio: Command, store: RawStore
) -> None:
    late = [row(f"t{n}", "failed", error=f"task 't{n}': attempt 1 timed out") for n in range(30)]
    put(store, *late, run_id="r")
    lines = tgtrio("explain", "jobs").out.splitlines()
    assert lines[3:6] == [
        "  30 tasks failed: t0, t1, t2 and 27 more",
        "      task ...: attempt 1 timed out",
        "",
    ]


def test_a_failure_of_before_the_run_was_resumed_says_so(tgtrio: Command, store: RawStore) -> None:
    put(store, row("a", "failed"), run_id="r", state=None, total=2)
    put(store, run_id="r", state=None, total=2)
    assert "\n  a  before the run was resumed\n      it broke\n" in tgtrio("explain", "jobs").out


def test_tracebacks_follow_one_for_each_cause(tgtrio: Command, nightly: RawStore) -> None:
    out = tgtrio("explain", "jobs", "--traceback").out
    assert out.count("Traceback of ") == 1
    assert out.index("took 2 tasks") < out.index("Traceback of build\n") < out.index("To go on")


def test_all_failures_as_json(tgtrio: Command, nightly: RawStore) -> None:
    assert tgtrio("explain", "jobs", "--json", "--traceback").document == {
        "run_id": "r",
        "graph_id": "nightly",
        "run_state": "finished",
        "not_ended": 0,
        "failures": [
            {
                "task_id": "build",
                "state": "failed",
                "attempts": 4,
                "error": "ValueError: no\nrule",
                "took_along": 2,
                "tasks": ["test", "ship"],
                "earlier": False,
                "traceback": TRACEBACK,
            }
        ],
    }
    assert "traceback" not in tgtrio("explain", "jobs", "--json").document["failures"][0]


def test_a_run_in_which_nothing_failed(tgtrio: Command, store: RawStore) -> None:
    put(store, row("a"), run_id="r")
    assert tgtrio("explain", "jobs").out.startswith("g: nothing failed\nrun r, started ")


# What may be in a store


@pytest.mark.parametrize("width", ["40", "80", "120"])
def test_hostile_text_does_no_harm(
    tgtrio: Command, store: RawStore, monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    name = HOSTILE.replace("\0", "")
    put(
        store,
        row(name, "failed", error=HOSTILE * 2, traceback=HOSTILE * 2),
        row("second", "failed", error=""),
        blames(f"{name}2", name),
        graph_id=name,
        run_id="r",
    )
    for arguments in ([], [name], [f"{name}2"], ["--traceback"]):
        ended = tgtrio("explain", "jobs", *arguments)
        assert ended.code == 0
        assert "[red]" in ended.out
        assert ":smile:" in ended.out
        assert not set(ended.out) & set("\0\x1b\u202e")
        told = ended.out.partition("Traceback of")[0].splitlines()
        kept = ended.out.partition("Traceback of")[0].partition("To go on")[0].splitlines()
        assert max(map(cell_len, kept)) <= int(width)
        assert len(told) < 120
    for arguments in ([], [name]):
        assert json.loads(tgtrio("explain", "jobs", *arguments, "--json", "--traceback").out)


def test_a_state_that_is_none_is_refused(tgtrio: Command, nightly: RawStore) -> None:
    execute(Path("jobs"), "UPDATE executions SET state = 'odd'")
    for task in ([], ["build"]):
        ended = tgtrio("explain", "jobs", *task)
        assert ended.code == 2
        assert "state cannot be read: 'odd' is no state of a task" in ended.err


def test_an_older_store_is_explained_as_far_as_it_is_known(
    tgtrio: Command, store: RawStore
) -> None:
    put(
        store,
        row("a", "failed", error="ValueError: no"),
        never_ran("b", "dependency 'a' failed: ValueError: no"),
        run_id="r",
    )
    execute(Path("jobs"), "ALTER TABLE executions DROP COLUMN blamed")
    execute(Path("jobs"), "PRAGMA user_version = 1")
    for command in (["show", "jobs"], ["runs", "jobs"], ["explain", "jobs"]):
        assert tgtrio(*command).code == 0
    assert "'b' was aborted: dependency 'a' failed: ValueError: no" in " ".join(
        tgtrio("explain", "jobs", "b").out.split()
    )


# From the beginning to the end


def test_a_failure_is_explained_mended_and_gone_on_with(
    tgtrio: Command, graph_file: Write, here: Path
) -> None:
    file = graph_file(
        call_python("read", "reading:read"),
        call_python("count", "builtins:len", [1, 2], after=["read"]),
        call_python("tell", "builtins:str", after=["count"]),
    )
    (here / "reading.py").write_text(
        "import pathlib\n\n\ndef read():\n    return pathlib.Path('data.txt').read_text()\n"
    )
    assert tgtrio("run", file, "--store", "jobs.db", "--quiet").code == 1
    told = tgtrio("explain", "jobs.db", "tell", "--graph", file)
    assert "'read' failed after" in told.out
    assert "No such file or directory: 'data.txt'" in " ".join(told.out.split())
    (here / "data.txt").write_text("data")
    command = told.out.splitlines()[-3].split()
    assert command[:3] == ["tgtrio", "run", file]
    assert tgtrio(*command[1:], "--quiet").code == 0
    assert "in an earlier life of this run 'tell' was" in tgtrio("explain", "jobs.db", "tell").out
    assert tgtrio("explain", "jobs.db").out.startswith("g: nothing failed\n")
