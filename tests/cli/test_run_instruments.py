"""`--timeline`, `--events` and `--verbose`."""

from __future__ import annotations

import itertools
import json
import logging
import re
import sys
from pathlib import Path

import pytest

from tgtrio.instruments import read_event_log

from .conftest import Command, Write, call_python


def test_a_timeline_and_the_events_are_written(
    tgtrio: Command, graph_file: Write, here: Path
) -> None:
    path = graph_file(call_python("a", "math:floor", 1.5), call_python("b", "math:sqrt", -1))
    ended = tgtrio("run", path, "--timeline", "run.json", "--events", "events.jsonl")
    assert (ended.code, ended.err) == (1, "")
    trace = json.loads((here / "run.json").read_text())
    named = {(event["name"], event.get("cat")) for event in trace["traceEvents"]}
    assert named >= {("a", "succeeded"), ("b", "failed")}
    events = list(read_event_log("events.jsonl"))
    ends = {e.task_id: e.details["state"] for e in events if e.kind == "task_ended"}
    assert ends == {"a": "succeeded", "b": "failed"}
    tgtrio("run", path, "--events", "events.jsonl")
    kinds = [event.kind for event in read_event_log("events.jsonl")]
    assert kinds.count("run_started") == 2


@pytest.mark.parametrize("option", ["--timeline", "--events"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(
    tgtrio: Command, graph_file: Write, here: Path, option: str
) -> None:
    path = graph_file(call_python("a", "os:mkdir", "made"))
    ended = tgtrio("run", path, option, "no/such/file")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"tgtrio: {option} 'no/such/file' cannot be written: ")
    assert not (here / "made").exists()


def test_without_jinja2_it_says_what_to_install(
    tgtrio: Command, graph_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    ended = tgtrio("run", graph_file(call_python("a", "math:floor", 1)), "--report", "run.html")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "tgtrio: --report: a report needs the package jinja2: pip install 'tgtrio[report]'\n"
    )


OUTPUTS = ("--store", "--report", "--timeline", "--events")


@pytest.mark.parametrize("option", OUTPUTS)
def test_the_graph_file_is_not_written_to(
    tgtrio: Command, graph_file: Write, here: Path, option: str
) -> None:
    path = graph_file(call_python("a", "os:mkdir", "made"))
    (here / "link.json").symlink_to(path)
    (here / "twin.json").hardlink_to(path)
    before = (here / path).read_bytes()
    for name in (path, f"./{path}", str(here / path), "link.json", "twin.json"):
        ended = tgtrio("run", path, option, name)
        assert (ended.code, ended.out) == (2, "")
        told = " ".join(ended.err.split())
        assert told == (
            f"tgtrio: {option} {name}: that is the file of GRAPH_FILE, too; "
            "give each a file of its own"
        )
    assert (here / path).read_bytes() == before
    assert not (here / "made").exists()


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(OUTPUTS, 2)))
def test_no_two_outputs_share_a_file(
    tgtrio: Command, graph_file: Write, here: Path, one: str, other: str
) -> None:
    path = graph_file(call_python("a", "os:mkdir", "made"))
    ended = tgtrio("run", path, other, "./out", one, "out")
    assert (ended.code, ended.out) == (2, "")
    assert f"that is the file of {one}, too" in " ".join(ended.err.split())
    assert sorted(one.name for one in here.iterdir()) == [path]


@pytest.mark.parametrize(("option", "kind"), [("--report", "report"), ("--timeline", "trace")])
def test_only_what_this_program_wrote_is_replaced(
    tgtrio: Command, graph_file: Write, here: Path, option: str, kind: str
) -> None:
    path = graph_file(call_python("a", "math:floor", 1.5))
    (here / "notes").write_text("mine")
    ended = tgtrio("run", path, option, "notes")
    assert (ended.code, ended.out) == (2, "")
    assert f"a file is there that is no {kind} of tgtrio" in " ".join(ended.err.split())
    assert (here / "notes").read_text() == "mine"
    assert tgtrio("run", path, option, "new").code == 0
    (here / "new").write_bytes((here / "new").read_bytes() + b" ")
    assert tgtrio("run", path, option, "new").code == 0
    assert not (here / "new").read_bytes().endswith(b" ")


@pytest.mark.parametrize("option", ["-v", "--verbose"])
def test_verbose_logs_what_happens(tgtrio: Command, graph_file: Write, option: str) -> None:
    before = logging.getLogger("tgtrio").level
    path = graph_file(call_python("a", "math:sqrt", -1), graph_id="g\x1b")
    ended = tgtrio("run", path, option)
    told = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in ended.err.splitlines()]
    assert re.fullmatch(r"graph 'g\\x1b': run \w+ starts, with 1 task", told[0])
    assert told[1] == "task 'a': starts"
    assert re.match(r"task 'a' failed after .*: ValueError: ", told[2])
    assert re.fullmatch(r"graph 'g\\x1b': run \w+ ended after .*: 1 failed", told[3])
    assert len(told) == 4
    assert logging.getLogger("tgtrio").level == before
    assert logging.getLogger("tgtrio").handlers == []


def test_verbose_leaves_the_document_alone(tgtrio: Command, graph_file: Write) -> None:
    ended = tgtrio("run", graph_file(call_python("a", "math:floor", 1.5)), "-v", "--json")
    assert ended.document["results"]["a"]["response"] == 1
    assert "task 'a': succeeded" in ended.err
