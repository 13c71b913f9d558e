"""Graphs as files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio._arguments import output_of
from tgtrio._errors import (
    GraphFileError,
    InvalidGraphError,
    MissingExtraError,
    TgtrioError,
)
from tgtrio._graph import TaskGraph

from .test_graph_dict import FULL, WHEN, A, full_graph


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml", ".JSON"])
def test_a_graph_comes_back_from_its_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"graph{suffix}"
    full_graph().to_file(path)
    again = TaskGraph.from_file(str(path))
    assert again.to_dict() == FULL
    assert dict(again.nodes) == dict(full_graph().nodes)


BREAKS = st.sampled_from(["\x85", "\u2028", "\ufeff", "\r\n", " " * 200, "a: b # c", "2030-01-01"])
HOSTILE = st.text(min_size=1, max_size=8) | BREAKS
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FLOATS | HOSTILE


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
@given(
    names=st.lists(HOSTILE, unique=True, min_size=1),
    args=st.dictionaries(st.text(), VALUES | st.lists(VALUES)),
)
def test_files_keep_hostile_text(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, names: list[str], args: dict[str, Any]
) -> None:
    graph = TaskGraph(names[0])
    for place, name in enumerate(names):
        graph.add_task(name, name, args, [name], name, names[:place])
    path = tmp_path_factory.getbasetemp() / f"hostile{suffix}"
    graph.to_file(path)
    again = TaskGraph.from_file(path)
    assert dict(again.nodes) == dict(graph.nodes)


TOML = """
graph_id = "g"
max_parallel = 5
[[tasks]]
task_id = "b"
action_name = "act"
dependencies = ["a"]
deadline = 2030-01-31T12:00:00.000005+05:30
normalized_args = { x = { "$output_of" = "a" }, y = [1, 2.5, true] }
[[tasks]]
task_id = "a"
action_name = "act"
"""

YAML = """
graph_id: g
max_parallel: 5
tasks:
- task_id: b
  action_name: act
  dependencies: [a]
  deadline: 2030-01-31T12:00:00.000005+05:30
  normalized_args: {x: {$output_of: a}, y: [1, 2.5, true]}
- {task_id: a, action_name: act}
"""


@pytest.mark.parametrize(("name", "text"), [("g.toml", TOML), ("g.yaml", YAML)])
def test_files_written_by_hand(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    graph = TaskGraph.from_file(path)
    assert graph.max_parallel == 5
    node = graph.nodes["b"]
    assert node.deadline == WHEN
    assert node.normalized_args == {"x": output_of("a"), "y": [1, 2.5, True]}


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    path.write_bytes(b'\xef\xbb\xbf{"graph_id": "g"}')
    assert TaskGraph.from_file(path).graph_id == "g"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("g.json", b'{\n"graph_id": "g",\n"tasks": nope}', "line 3"),
        ("g.json", b'{"graph_id": ', "truncated"),
        ("g.json", b"", "truncated"),
        ("g.json", b'{"graph_id": NaN}', "line 1"),
        ("g.json", b"[" * 100_000, "nested too deep"),
        ("g.json", b'{\n"graph_id": "\xff"}', "line 2: is not UTF-8"),
        ("g.json", b"\xff\xfe{\x00}\x00", "not UTF-8"),
        ("g.yaml", b"graph_id: g\ntasks: [\n", "line 3, column 1"),
        ("g.yaml", b"graph_id: g\n- a", "line 2"),
        ("g.yaml", b"graph_id: !!python/object:os.system {}\n", "line 1"),
        ("g.yaml", b"graph_id: \x00", "x00"),
        ("g.yaml", b"graph_id: 2030-13-45\n", "month"),
        ("g.yaml", b"[" * 10_000, "nested too deep"),
        ("g.yaml", b"", "None"),
        ("g.yaml", b"a: 1\n---\nb: 2\n", "line 2"),
        ("g.toml", b'graph_id = "g"\ntasks = ]\n', "line 2"),
        ("g.toml", b'graph_id = "g"\ngraph_id = "h"', "overwrite"),
        ("g.toml", b"tasks = 5", "no graph_id"),
        ("g.yaml", b"graph_id: g\ntasks:\n- {task_id: no, action_name: a}", "task_id is False"),
        ("g.txt", b"{}", "must end in .json, .yaml, .yml or .toml"),
        ("graph", b"{}", "must end in"),
    ],
)
def test_a_file_that_is_no_graph_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TgtrioError) as caught:
        TaskGraph.from_file(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_an_error_in_a_task_names_the_file_and_keeps_its_class(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    path.write_text(json.dumps({"graph_id": "g", "tasks": [{**A, "dependencies": ["b"]}, 5]}))
    with pytest.raises(InvalidGraphError) as caught:
        TaskGraph.from_file(path)
    assert str(caught.value).startswith(f"'{path}': graph 'g': 2 problems")
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("day", "words"),
    [("2030-01-01", "date(2030, 1, 1)"), ("2030-01-01T00:00:00", "without a time zone")],
)
@pytest.mark.parametrize("kind", ["yaml", "toml"])
def test_a_date_without_time_or_zone_is_no_deadline(
    tmp_path: Path, kind: str, day: str, words: str
) -> None:
    path = tmp_path / f"g.{kind}"
    if kind == "yaml":
        path.write_text(f"graph_id: g\ntasks: [{{task_id: a, action_name: b, deadline: {day}}}]")
    else:
        path.write_text(f'graph_id="g"\ntasks=[{{task_id="a", action_name="b", deadline={day}}}]')
    with pytest.raises(TgtrioError, match="task 'a': deadline") as caught:
        TaskGraph.from_file(path)
    assert words in str(caught.value)


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".toml"])
def test_a_missing_file_and_a_directory_say_so(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(GraphFileError, match="No such file") as caught:
        TaskGraph.from_file(tmp_path / f"nothing{suffix}")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    with pytest.raises(GraphFileError) as caught:
        TaskGraph.from_file(folder)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_path_with_nul_is_refused() -> None:
    with pytest.raises(GraphFileError, match="cannot be read"):
        TaskGraph.from_file("a\x00b.json")


def test_yaml_without_its_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = tmp_path / "g.yaml"
    path.write_text("graph_id: g")
    with pytest.raises(MissingExtraError, match=r"pip install 'tgtrio\[yaml\]'"):
        TaskGraph.from_file(path)
    with pytest.raises(ImportError):
        TaskGraph("g").to_file(path)
    assert path.read_text() == "graph_id: g"


def test_toml_is_only_read(tmp_path: Path) -> None:
    with pytest.raises(GraphFileError, match="only read"):
        TaskGraph("g").to_file(tmp_path / "g.toml")
    with pytest.raises(GraphFileError, match="must end in"):
        TaskGraph("g").to_file(tmp_path / "g.txt")
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(GraphFileError, match="cannot be written") as caught:
        TaskGraph("g").to_file(tmp_path / "no folder" / "g.json")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_writing_replaces_a_file_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "g.json"
    TaskGraph("old").to_file(path)
    link = tmp_path / "link.json"
    link.symlink_to(path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(GraphFileError, match="No space left"):
            TaskGraph("new").to_file(path)
    assert TaskGraph.from_file(path).graph_id == "old"
    TaskGraph("new").to_file(link)
    assert TaskGraph.from_file(path).graph_id == "new"
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["g.json", "link.json"]


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_the_deepest_legal_arguments_can_be_kept(tmp_path: Path, suffix: str) -> None:
    args: dict[str, Any] = {}
    for _ in range(199):
        args = {"a": args}
    graph = TaskGraph("g")
    graph.add_task("a", "act", args)
    path = tmp_path / f"g{suffix}"
    graph.to_file(path)
    assert TaskGraph.from_file(path).nodes["a"].normalized_args == args
