"""Finding a store and a run in it, and what is made of files that somebody has edited."""

from __future__ import annotations

from pathlib import Path

import pytest

from tgtrio import RawStore
from tgtrio.cli._stores import is_store, states_of, statistics_of

from ..stores import execute, row
from .conftest import Command
from .histories import counted, put, stored_run


@pytest.mark.parametrize("command", ["runs", "show"])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.db", None, "none.db does not exist"),
        ("g.txt", b'{"graph_id": "g"}' * 100, "g.txt is no store of runs"),
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


def test_figures_that_are_none_count_nothing() -> None:
    odd = {"retry_tokens_used": "x", "cached_tasks": -1, "breaker_states": {"a": 1, "b": {}}}
    run = stored_run(statistics=odd, states=counted() | {"succeeded": "many", "failed": 2**80})
    assert statistics_of(run)["retry_tokens_used"] == 0
    assert statistics_of(run)["cached_tasks"] == 0
    assert statistics_of(run)["breaker_states"] == {"b": {"state": "CLOSED"}}
    assert states_of(run)["succeeded"] == 0
    assert statistics_of(stored_run(statistics=None))["breaker_states"] == {}
    assert statistics_of(stored_run(statistics={"breaker_states": []}))["breaker_states"] == {}


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
