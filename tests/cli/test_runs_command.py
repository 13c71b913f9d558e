"""`tgtrio runs`: the runs in a store."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from tgtrio import RawStore, StoredRun
from tgtrio.cli._runs_command import LIMIT, table, took

from ..stores import row
from .conftest import Command
from .histories import HOSTILE, counted, open_run, put, stored_run

pytestmark = pytest.mark.usefixtures("utc")


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


def test_a_task_that_was_executed_alone_is_told_as_such(tgtrio: Command, store: RawStore) -> None:
    put(store, row("a"), graph_id=None)
    assert "  (a task alone)  finished  1  " in tgtrio("runs", "jobs").out
    assert tgtrio("show", "jobs").out.startswith("(a task alone): ")
    assert tgtrio("runs", "jobs", "--graph", "z").out == "no runs of graph 'z'\n"


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
        "r         g        failed    17/20, 3 failed   4 May 03:02  1 min 30 s      12x",
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


def test_a_run_that_failed_is_called_so_as_everywhere(tgtrio: Command, store: RawStore) -> None:
    put(store, row("a"), row("b", "failed"), run_id="r")
    assert tgtrio("runs", "jobs").out.splitlines()[1].split()[:3] == ["r", "g", "failed"]
    assert tgtrio("show", "jobs", "r").out.startswith("g: failed after ")
