"""`tgtrio show` of a graph file."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from tgtrio import RawStore
from tgtrio.cli import _draw_command

from .conftest import Command, Write
from .histories import HOSTILE, put


def task(task_id: str, *after: str, **fields: Any) -> dict[str, Any]:
    return {"task_id": task_id, "action_name": "act", "dependencies": list(after), **fields}


@pytest.fixture
def small(graph_file: Write) -> str:
    return graph_file(task("a"), task("b", "a"), task("c", "a"), graph_id="small")


@pytest.fixture
def large(graph_file: Write) -> str:
    return graph_file(task("a"), *(task(f"b{n}", "a") for n in range(300)), graph_id="large")


def test_a_small_graph_is_told_of_and_drawn(tgtrio: Command, small: str) -> None:
    ended = tgtrio("show", small)
    lines = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert lines[0] == "small: 3 tasks, 2 dependencies"
    assert "  critical path  2 tasks" in lines
    assert lines[-4:] == ["", "a  act", "├─ b  act", "└─ c  act"]


def test_a_large_graph_is_told_of(tgtrio: Command, large: str) -> None:
    out = tgtrio("show", large).out
    assert "  levels         2, at most 300 tasks wide\n" in out
    assert out.endswith("\n\n--format tree, mermaid or dot draws it\n")
    assert tgtrio("show", large, "--format", "summary").out.endswith("max_retry_tokens 100\n")


def test_an_empty_graph_is_nothing_to_draw(tgtrio: Command, graph_file: Write) -> None:
    assert tgtrio("show", graph_file()).out.endswith("max_retry_tokens 100\n")


@pytest.mark.parametrize(
    ("kind", "begins", "boxes"),
    [
        ("tree", "small: 3 tasks, 2 dependencies\n\na  act\n", r"^.*act$"),
        ("mermaid", "flowchart TD\n", r"^    b\d\["),
        ("dot", "digraph tgtrio {\n", r"^    b\d \["),
    ],
)
def test_a_graph_is_drawn_as_asked(
    tgtrio: Command, small: str, kind: str, begins: str, boxes: str
) -> None:
    ended = tgtrio("show", small, "--format", kind)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(begins)
    assert len(re.findall(boxes, ended.out, re.MULTILINE)) == 3


@pytest.mark.parametrize("kind", ["tree", "mermaid", "dot"])
def test_a_large_graph_is_folded_unless_all_is_asked_for(
    tgtrio: Command, large: str, kind: str
) -> None:
    ended = tgtrio("show", large, "--format", kind)
    assert "(300 tasks)" in ended.out
    assert "301 tasks folded into 2 boxes" in ended.out
    assert ended.err.startswith("tgtrio: folded by action and level; --all draws every task")
    for more in (["--all"], ["--limit", "301"]):
        ended = tgtrio("show", large, "--format", kind, *more)
        assert (len(ended.out.splitlines()) > 301, ended.err) == (True, "")


def test_a_tree_may_begin_at_the_other_end(tgtrio: Command, small: str) -> None:
    lines = tgtrio("show", small, "--format", "tree", "--start", "sinks").out.splitlines()
    assert lines[2:5] == ["b  act", "└─ a  act", "c  act ↑ a"]


def test_the_figures_as_json(tgtrio: Command, small: str) -> None:
    for more in ([], ["--format", "summary"]):
        document = tgtrio("show", small, "--json", *more).document
        assert (document["tasks"], document["widths"]) == (3, [1, 2])
        assert document["critical_path"]["task_ids"] == ["a", "b"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["latest"], "latest: graph.json is a graph file; only a store has runs"),
        (["--format", "dot", "--json"], "--json is for the summary"),
        (["--start", "sinks", "--json"], "--start draws; --json"),
        (["--limit", "3"], "--limit is for drawings; add --format tree"),
        (["--format", "summary", "--all"], "--all is for drawings"),
        (["--format", "dot", "--start", "sinks"], "--start is for trees"),
        (["--format", "tree", "--all", "--limit", "3"], "give one of them"),
        (["--format", "tree", "--limit", "0"], "no whole number of at least 1"),
        (["--format", "pdf"], 'Choose from: "summary", "tree"'),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tgtrio: Command, small: str, more: list[str], words: str
) -> None:
    ended = tgtrio("show", small, *more)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err


def test_a_store_is_no_graph_file(tgtrio: Command, store: RawStore) -> None:
    put(store, run_id="r")
    ended = tgtrio("show", "jobs", "--format", "tree")
    assert (ended.code, ended.out) == (2, "")
    assert "--format is for graph files (.json, .yaml, .yml, .toml), and jobs is none" in ended.err


def test_a_store_is_told_by_its_content_whatever_its_name(tgtrio: Command, here: Path) -> None:
    with RawStore(here / "jobs.json") as store:
        put(store, run_id="r")
    assert "run r, started" in tgtrio("show", "jobs.json", "r").out


def test_a_graph_file_that_is_none_is_refused(tgtrio: Command, here: Path) -> None:
    (here / "bad.json").write_text("{")
    for name in ("bad.json", "missing.json", "missing.yaml\0"):
        ended = tgtrio("show", name)
        assert (ended.code, ended.out) == (2, "")
        assert "tgtrio: '" in ended.err or "missing.yaml" in ended.err


def test_hostile_names_change_nothing_but_themselves(tgtrio: Command, graph_file: Write) -> None:
    path = graph_file(task(HOSTILE), task(f"b{HOSTILE}", HOSTILE), graph_id=HOSTILE)
    for kind in ("summary", "tree", "mermaid", "dot"):
        out = tgtrio("show", path, "--format", kind).out
        assert all(char.isprintable() or char == "\n" for char in out)
        assert len(out) < 2_000


@pytest.mark.parametrize(("encoding", "end"), [("utf-8", "…"), ("ascii", "")])
def test_on_a_terminal_lines_end_where_it_ends(encoding: str, end: str) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    to = Console(file=file, width=20, force_terminal=True)
    _draw_command._print(to, ["x" * 19, "y" * 40, "日本" * 20])
    file.seek(0)
    lines = file.read().splitlines()
    assert lines[0] == "x" * 19
    assert lines[1].lstrip("y") == end
    assert len(lines[1]) == 20
    assert cell_len(lines[2]) <= 20 or encoding == "ascii"


def test_where_the_terminal_cannot_lines_are_ascii(
    tgtrio: Command, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_draw_command, "unicode_of", lambda console: False)
    assert tgtrio("show", small).out.isascii()
    assert tgtrio("show", small, "--format", "tree").out.splitlines()[3:] == [
        "|- b  act",
        "`- c  act",
    ]
