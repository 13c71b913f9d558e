"""`tgtrio show`: the story of a run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.cells import cell_len

from tgtrio import RawStore, StoreError, TaskExecution
from tgtrio.cli._show_command import _cause_in, resume, story

from ..stores import row
from .conftest import Command, Write, call_python
from .histories import HOSTILE, never_ran, open_run, put, stored_run

pytestmark = pytest.mark.usefixtures("utc")


def test_the_story_of_a_run(tgtrio: Command, store: RawStore) -> None:
    put(
        store,
        row("fetch", execution_ms=1_500.0),
        row("build", "failed", error="ValueError: no\nrule", attempts=4, execution_ms=10.0),
        never_ran("test", "dependency 'build' failed: ValueError: no\nrule"),
        never_ran("ship", FAR),
        graph_id="nightly",
        run_id="r",
    )
    out = tgtrio("show", "jobs").out.splitlines()
    assert out[0].startswith("nightly: failed after ")
    assert out[1].startswith("run r, started 20")
    assert out[3:] == [
        "  succeeded  1  ██████████",
        "  failed     1  ██████████",
        "  aborted    2  ████████████████████",
        "",
        "Failed: 1 task",
        "  build  4 attempts",
        "      ValueError: no",
        "      rule",
        "",
        "Did not run: 2 tasks",
        "  2  task 'build' failed: ValueError: no (aborted)",
        "     test, ship",
        "",
        "Slowest",
        "  1.50 s  fetch",
        "   10 ms  build",
        "",
        out[-1],
    ]
    assert out[-1].startswith("4 tasks in ")
    assert ", 5 attempts, " in out[-1]


def test_what_did_not_run_is_told_as_when_the_run_ended(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(
        call_python("root", "math:sqrt", -1),
        call_python("next", "math:sqrt", 1, after=["root"]),
        call_python("last", "math:sqrt", 1, after=["next"]),
    )
    ran = tgtrio("run", path, "--store", "s.db").out
    told = tgtrio("show", "s.db").out
    part = "Did not run: 2 tasks\n  2  because of root (aborted)\n     next, last\n"
    assert part in ran
    assert part in told


FAR = "dependency 'test' was aborted, because task 'build' failed: ValueError: no\nrule"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (FAR, "task 'build' failed: ValueError: no"),
        ("dependency 'b' was skipped", "task 'b' was skipped"),
        ("the run was drained: Ctrl-C", "the run was drained: Ctrl-C"),
        ("broken dependency x", "broken dependency x"),
        ("", ""),
    ],
)
def test_tasks_that_one_cause_kept_from_running_are_alike(error: str, cause: str) -> None:
    assert _cause_in(error) == cause


def test_of_a_task_the_last_end_counts(tgtrio: Command, store: RawStore) -> None:
    put(store, row("a", "failed"), row("b"), run_id="r", state="drained")
    put(store, row("a"), run_id="r")
    ended = tgtrio("show", "jobs", "r")
    assert ended.out.startswith("g: done in ")
    assert ended.out.splitlines()[1].endswith(", resumed 1x")
    assert "Failed" not in ended.out
    assert len(tgtrio("show", "jobs", "r", "--json").document["executions"]) == 3


@pytest.mark.parametrize(
    ("state", "begins"),
    [
        ("drained", "g: drained after "),
        ("timed_out", "g: timed out after "),
        ("aborted", "g: aborted after "),
        ("odd \x1b[2J", r"g: odd \x1b[2J after "),
        (None, "g: crashed after "),
    ],
)
def test_a_run_that_is_not_done_says_how_to_go_on(
    tgtrio: Command, store: RawStore, state: str | None, begins: str
) -> None:
    put(store, row("a"), run_id="r", state=state, total=3)
    out = tgtrio("show", "jobs").out
    assert out.startswith(begins)
    assert "  not ended  2  " in out
    assert out.splitlines()[-5:] == [
        "",
        "To go on:",
        "  tgtrio run GRAPH --store jobs --run-id r",
        "with the other options of the first run; or, where a program ran it:",
        "  run_graph(..., store=..., run_id='r')",
    ]


def test_of_a_run_that_crashed_at_once_little_is_known(tgtrio: Command, store: RawStore) -> None:
    put(store, run_id="r" * 90, state=None, total=1)
    lines = tgtrio("show", "jobs").out.splitlines()
    assert lines[0] == "g: crashed"
    assert lines[-6:-2] == [
        "1 task",
        "",
        "To go on:",
        f"  tgtrio run GRAPH --store jobs --run-id {'r' * 90}",  # whole, to be copied
    ]


def test_a_run_that_is_on_is_told_as_it_stands(tgtrio: Command, store: RawStore) -> None:
    with open_run(store):
        out = tgtrio("show", "jobs").out
    assert out.startswith("g: running for ")
    assert "  not ended  3  " in out
    assert "To go on" not in out


def test_a_command_to_go_on_is_quoted_and_never_cut() -> None:
    run = stored_run(state="crashed", run_id="it's")
    command = """  tgtrio run GRAPH --store 'my jobs' --run-id 'it'"'"'s'"""
    assert resume(run, "my jobs")[1] == command
    assert resume(stored_run(state="crashed", run_id="x" * 1_000), "s") == []


def test_the_json_of_a_run(tgtrio: Command, store: RawStore) -> None:
    put(store, row("a", response={"x": [1]}), run_id="r")
    document = tgtrio("show", "jobs", "r", "--json").document
    assert (document["run_id"], document["state"]) == ("r", "finished")
    (one,) = document["executions"]
    assert (one["task_id"], one["response"]) == ("a", {"x": [1]})


def test_hostile_names_change_nothing_but_themselves(tgtrio: Command, store: RawStore) -> None:
    put(
        store,
        row(HOSTILE, "failed", error=HOSTILE),
        never_ran(f"b{HOSTILE}", f"dependency {HOSTILE!r} failed"),
        row(f"c{HOSTILE}"),
        graph_id=HOSTILE,
        run_id=HOSTILE,
    )
    for argv in (("runs", "jobs"), ("show", "jobs"), ("show", "jobs", "[red]")):
        out = tgtrio(*argv).out
        assert all(cell_len(line) <= 80 for line in out.splitlines())
        assert all(char.isprintable() or char == "\n" for char in out)
        assert len(out.splitlines()) < 60
        assert "[red]x" in out


def test_the_story_of_a_large_run_is_short(tgtrio: Command, store: RawStore) -> None:
    error = "ValueError: no\n" * 50
    put(
        store,
        *(row(f"t{n}", "failed" if n % 3 == 0 else "succeeded", error=error) for n in range(2_000)),
    )
    assert len(tgtrio("show", "jobs").out.splitlines()) < 110


def test_a_state_that_is_none_names_its_task() -> None:
    one = TaskExecution(
        run_id="r",
        graph_id="g",
        task_id="t",
        action_name="a",
        idempotency_key=None,
        state="odd",
        attempts=1,
        cached=False,
        late=False,
        started_at=None,
        finished_at=datetime.now(UTC),
        execution_time_ms=None,
        response=None,
        error="",
        traceback="",
    )
    with pytest.raises(StoreError, match="run 'r', task 't': state is 'odd'"):
        story(stored_run(), [one], datetime.now(UTC))


def test_a_path_that_leads_nowhere_may_have_been_meant_as_either(tgtrio: Command) -> None:
    ended = tgtrio("show", "nosuch")
    assert (ended.code, ended.out) == (2, "")
    assert "nosuch does not exist; name a graph file (.json, " in ended.err
    assert "), or a store, which `tgtrio run GRAPH --store FILE` makes" in ended.err
