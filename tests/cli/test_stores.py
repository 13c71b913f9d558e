"""`tgtrio runs` and `tgtrio show`: what a store holds."""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from tgtrio import RawStore, StoredRun, StoreError, TaskExecution
from tgtrio._store_journal import Row
from tgtrio.cli._runs_command import LIMIT, table, took
from tgtrio.cli._show_command import _cause_in, resume, story
from tgtrio.cli._stores import is_store, states_of, statistics_of

from ..stores import execute, open_journal, row
from .conftest import Command

HOSTILE = "[red]x[/]\0\x1b[2J\n\u202eevil :smile: " + "日本語" * 3_000


@pytest.fixture
def store(here: Path) -> Iterator[RawStore]:
    with closing(RawStore(here / "jobs")) as opened:  # its name does not say what it is
        yield opened


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone cannot be set")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def put(
    store: RawStore,
    *rows: Row,
    graph_id: str = "g",
    run_id: str | None = None,
    state: str | None = "finished",
    total: int | None = None,
) -> None:
    """One incarnation of a run from its beginning to its end; with `state=None` it crashes."""
    total = len(rows) if total is None else total
    journal = open_journal(store, graph_id, run_id, total_tasks=total)
    for one in rows:
        journal.put(one)
    if state is not None:
        journal.finish(state, {"states": Counter(one[1] for one in rows)})
    journal.close()


def never_ran(task_id: str, error: str) -> Row:
    return row(task_id, "aborted", error=error, attempts=0, execution_ms=None)


def open_run(store: RawStore) -> Any:
    return closing(open_journal(store, "g", "f00d" * 8))


# runs


def test_runs_are_listed_the_newest_first(tgtrio: Command, store: RawStore) -> None:
    put(store, row("a"), row("b"), row("c"), run_id="first")
    put(store, row("a"), row("b", "failed"), graph_id="nightly", state=None, run_id="again")
    put(store, row("b"), row("c", "skipped"), graph_id="nightly", state="timed_out", total=9)
    with open_run(store):
        ended = tgtrio("runs", "jobs")
    table = [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in ended.out.splitlines()
    ]
    assert ended.code == 0
    assert [line[:4] for line in table] == [
        ["run", "graph", "state", "tasks"],
        ["f00df00d", "g", "running", "0/3"],
        ["again", "nightly", "timed out", "2/9"],
        ["first", "g", "finished", "3"],
    ]
    assert table[0][4:] == ["started", "took", "resumed"]
    assert table[2][-1] == "1x"


def stored_run(**fields: Any) -> StoredRun:
    when = datetime(2030, 5, 4, 3, 2, 1, tzinfo=UTC)
    return StoredRun(
        **{
            "run_id": "r",
            "graph_id": "g",
            "state": "finished",
            "total_tasks": 20,
            "started_at": when,
            "finished_at": when + timedelta(seconds=90),
            "states": dict.fromkeys(
                ["pending", "ready", "running", "failed", "aborted", "skipped", "cancelled"], 0
            )
            | {"succeeded": 20},
            "statistics": {},
            "resumptions": 0,
            **fields,
        }
    )


def counted(**numbers: int) -> dict[str, int]:
    return {**stored_run().states, "succeeded": 0, **numbers}


def drawn(*runs: StoredRun, width: int = 80) -> list[str]:
    file = io.StringIO()
    now = datetime(2030, 12, 31, tzinfo=UTC)
    Console(file=file, width=width, markup=False, emoji=False).print(table([*runs], now, width))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_table_of_runs() -> None:
    year_ago = datetime(2029, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert drawn(
        stored_run(run_id="5b0e8a0f" * 4, graph_id="nightly"),
        stored_run(states=counted(succeeded=15, skipped=2, failed=3), resumptions=12),
        stored_run(state="crashed", states=counted(succeeded=7), finished_at=None),
        stored_run(started_at=year_ago, finished_at=year_ago + timedelta(milliseconds=5)),
    ) == [
        "run       graph    state     tasks            started             took  resumed",
        "5b0e8a0f  nightly  finished  20                4 May 03:02  1 min 30 s",
        "r         g        finished  17/20, 3 failed   4 May 03:02  1 min 30 s      12x",
        "r         g        crashed   7/20              4 May 03:02",
        "r         g        finished  20               31 Dec  2029      5.0 ms",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 250])
def test_a_table_of_runs_fits(width: int) -> None:
    hostile = stored_run(run_id=HOSTILE, graph_id=HOSTILE, state=HOSTILE[:40], resumptions=1)
    ordinary = stored_run(
        run_id="f" * 32, states=counted(succeeded=999, failed=99), total_tasks=9_999
    )
    drawing = drawn(hostile, ordinary, width=width)
    assert len(drawing) == 3
    assert all(cell_len(line) <= width for line in drawing)
    assert all(line.isprintable() for line in drawing)
    if width >= 60:
        assert drawing[2].startswith("ffffffff ")


def test_short_ids_are_as_long_as_they_must_be() -> None:
    drawing = drawn(stored_run(run_id="f" * 32), stored_run(run_id="f" * 9 + "0" * 23))
    assert [line.split()[0] for line in drawing] == ["run", "f" * 10, "f" * 9 + "0"]


def test_the_length_of_a_run() -> None:
    now = datetime(2030, 5, 4, 3, 2, 31, tzinfo=UTC)
    assert took(stored_run(), now) == "1 min 30 s"
    assert took(stored_run(state="running", finished_at=None), now) == "30.0 s"
    assert took(stored_run(state="crashed", finished_at=None), now) == ""


def test_runs_can_be_chosen(tgtrio: Command, store: RawStore) -> None:
    for number in range(LIMIT + 1):
        put(store, graph_id="even" if number % 2 == 0 else "odd", run_id=f"r{number}")
    ended = tgtrio("runs", "jobs")
    assert ended.out.endswith("\n\nolder runs are left out; --limit shows more\n")
    assert len(ended.out.splitlines()) == 1 + LIMIT + 2
    assert len(tgtrio("runs", "jobs", "--limit", "100").out.splitlines()) == 1 + LIMIT + 1
    document: Any = tgtrio("runs", "jobs", "--graph", "odd", "--limit", "2", "--json").document
    assert [run["run_id"] for run in document] == [f"r{LIMIT - 1}", f"r{LIMIT - 3}"]
    assert document[0]["states"]["succeeded"] == 0
    assert datetime.fromisoformat(document[0]["started_at"]).tzinfo is not None


def test_where_there_are_no_runs_that_is_said(tgtrio: Command, store: RawStore) -> None:
    assert tgtrio("runs", "jobs").out == "no runs\n"
    assert tgtrio("runs", "jobs", "--json").out == "[]\n"
    put(store, graph_id="nightly")
    ended = tgtrio("runs", "jobs", "--graph", "nihgtly")
    assert (ended.code, ended.out) == (
        0,
        "no runs of graph 'nihgtly'; did you mean 'nightly'?\n",
    )


# Which file, which run


@pytest.mark.parametrize("command", ["runs", "show"])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.db", None, "none.db does not exist"),
        ("g.json", b'{"graph_id": "g"}' * 100, "g.json is no store of runs"),
        ("empty.db", b"", "empty.db is no store of runs"),
        (".", None, ". is no store of runs"),
        ("nul\0", None, r"nul\x00 does not exist"),
    ],
)
def test_what_is_no_store_is_refused_and_left_alone(
    here: Path, tgtrio: Command, command: str, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (here / name).write_bytes(content)
    before = sorted(here.iterdir())
    ended = tgtrio(command, name)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"tgtrio: {message}")
    assert sorted(here.iterdir()) == before
    if content is not None:
        assert (here / name).read_bytes() == content


def test_a_store_of_somebody_else_is_none(here: Path, tgtrio: Command) -> None:
    execute(here / "other.db", "CREATE TABLE t (x)")
    assert not is_store("other.db")
    assert "is no store of runs" in tgtrio("runs", "other.db").err


def test_a_store_that_nobody_has_closed_yet_is_one(store: RawStore) -> None:
    assert is_store("jobs")  # all that tells is in the file beside it


def test_a_store_of_another_version_is_refused(tgtrio: Command, store: RawStore) -> None:
    store.close()
    execute(Path("jobs"), "PRAGMA user_version = 99")
    ended = tgtrio("runs", "jobs")
    assert ended.code == 2
    assert "format version 99" in ended.err


def test_a_run_is_found_by_its_id_by_its_beginning_or_as_the_latest(
    tgtrio: Command, store: RawStore
) -> None:
    for name in ("abc", "abcd", "abce", "xyz"):
        put(store, row("a"), graph_id=name, run_id=name)
    first_lines = [tgtrio("show", "jobs", *given).out.split(":")[0] for given in _GIVEN]
    assert first_lines == ["abc", "abcd", "xyz", "xyz", "xyz"]
    put(store, row("a"), graph_id="literally", run_id="latest")
    put(store, row("a"), run_id="last")
    assert tgtrio("show", "jobs", "latest").out.startswith("g: ")


_GIVEN = [("abc",), ("abcd",), ("x",), ("latest",), ()]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ab", "'ab' is the beginning of several runs: 'abce', 'abcd'"),
        ("bacd", "holds no run 'bacd'; did you mean 'abcd'?"),
        ("", "holds no run ''"),
        ("\x1b[2J\n", r"holds no run '\x1b[2J\n'"),
    ],
)
def test_a_run_that_is_not_there_is_explained(
    tgtrio: Command, store: RawStore, name: str, message: str
) -> None:
    for run_id in ("abcd", "abce"):
        put(store, run_id=run_id)
    ended = tgtrio("show", "jobs", name)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_of_many_runs_that_begin_alike_some_are_named(tgtrio: Command, store: RawStore) -> None:
    for number in range(8):
        put(store, run_id=f"run{number}")
    assert "'run7', 'run6', 'run5', 'run4', 'run3' and 3 more" in tgtrio("show", "jobs", "r").err


def test_a_store_without_runs_has_no_latest(tgtrio: Command, store: RawStore) -> None:
    ended = tgtrio("show", "jobs")
    assert ended.code == 2
    assert ended.err.endswith("jobs holds no runs yet\n")


# show


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
    ("state", "begins", "go_on"),
    [
        ("drained", "g: drained after ", True),
        ("timed_out", "g: timed out after ", True),
        ("aborted", "g: aborted after ", False),
        ("odd \x1b[2J", r"g: odd \x1b[2J after ", True),
        (None, "g: crashed after ", True),
    ],
)
def test_a_run_that_is_not_done_says_how_to_go_on(
    tgtrio: Command, store: RawStore, state: str | None, begins: str, go_on: bool
) -> None:
    put(store, row("a"), run_id="r", state=state, total=3)
    out = tgtrio("show", "jobs").out
    assert out.startswith(begins)
    assert "  not ended  2  " in out
    how = "To go on:\n  tgtrio run GRAPH --store jobs --run-id r\n"
    assert out.endswith(how) == go_on


def test_a_run_that_is_on_is_told_as_it_stands(tgtrio: Command, store: RawStore) -> None:
    with open_run(store):
        out = tgtrio("show", "jobs").out
    assert out.startswith("g: running for ")
    assert "  not ended  3  " in out
    assert "To go on" not in out


def test_a_command_to_go_on_is_quoted_and_never_cut() -> None:
    run = stored_run(state="crashed", run_id="it's")
    assert resume(run, "my jobs") == ("""tgtrio run GRAPH --store 'my jobs' --run-id 'it'"'"'s'""")
    assert resume(stored_run(state="crashed", run_id="x" * 1_000), "s") == ""


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


# Somebody edits the file


def test_figures_that_are_none_count_nothing() -> None:
    odd = {"retry_tokens_used": "x", "cached_tasks": -1, "breaker_states": {"a": 1, "b": {}}}
    run = stored_run(statistics=odd, states=counted() | {"succeeded": "many", "failed": 2**80})
    assert statistics_of(run)["retry_tokens_used"] == 0
    assert statistics_of(run)["cached_tasks"] == 0
    assert statistics_of(run)["breaker_states"] == {"b": {"state": "CLOSED"}}
    assert states_of(run)["succeeded"] == 0
    assert statistics_of(stored_run(statistics=None))["breaker_states"] == {}
    assert statistics_of(stored_run(statistics={"breaker_states": []}))["breaker_states"] == {}


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


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE executions SET execution_ms = 9e999",
        "UPDATE executions SET execution_ms = -5, attempts = -5",
        "UPDATE incarnations SET started_at = -62135596800",
        "UPDATE incarnations SET finished_at = 253402300799, started_at = 253402300799",
        "UPDATE incarnations SET total_tasks = -9",
        'UPDATE incarnations SET statistics = \'{"states": {"failed": []}}\'',
        "UPDATE incarnations SET statistics = '[]'",
        "UPDATE executions SET state = 'odd'",
    ],
)
def test_a_store_that_was_tampered_with_is_told_or_refused(
    tgtrio: Command, store: RawStore, statement: str
) -> None:
    put(store, row("a"), row("b"))
    execute(Path("jobs"), statement)
    for argv in (("runs", "jobs"), ("show", "jobs")):
        ended = tgtrio(*argv)
        assert ended.code in (0, 2)
        assert bool(ended.out) == (ended.code == 0)
