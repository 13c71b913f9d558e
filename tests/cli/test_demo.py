"""`tgtrio demo`, on a small source tree."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tgtrio._arguments import Unavailable
from tgtrio._states import TaskState
from tgtrio.cli._census import (
    ACTIONS,
    TOTAL,
    census_graph,
    count_file,
    find_packages,
    standard_library,
    sum_package,
)

from .conftest import Command

MODULE = '''\
"""Two functions and a class."""

import os  # a comment


class Thing:
    # another
    def method(self):
        return os.name


async def function():
    return [
        1,
    ]
'''


@pytest.fixture
def tree(here: Path) -> Path:
    """Four files that count, a broken one, and some that do not count."""
    root = here / "tree"
    for path, content in {
        "top.py": MODULE,
        "pkg/__init__.py": "",
        "pkg/broken.py": "def broken(:\n",
        "pkg/sub/deep/module.py": MODULE,
        "data/only.txt": "no Python",
        "pkg/__pycache__/module.py": MODULE,
        "site-packages/other.py": MODULE,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


def test_a_file_is_counted(tree: Path) -> None:
    assert count_file({"root": str(tree), "path": "top.py"}) == {
        "lines": 15,
        "code": 9,
        "comments": 2,
        "tokens": 52,
        "functions": 2,
        "classes": 1,
    }


@pytest.mark.parametrize(
    "content",
    [
        b"# coding: uft-8\n",
        b"\xff\n",
        b"def broken(:\n",
        b"'not closed\n",
        b"nul = '\0'\n",
    ],
)
def test_what_is_no_python_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.py").write_bytes(content)
    with pytest.raises((SyntaxError, ValueError)):
        count_file({"root": str(tmp_path), "path": "a.py"})


async def test_a_package_adds_up_and_counts_what_it_did_not_get() -> None:
    counts = {"lines": 2, "code": 1, "comments": 0, "tokens": 9, "functions": 1, "classes": 0}
    missing = Unavailable("b.py", TaskState.FAILED, "SyntaxError")
    below = await sum_package({"files": [counts, missing], "packages": []})
    assert (below["files"], below["broken"], below["lines"]) == (1, 1, 2)
    above = await sum_package({"files": [counts], "packages": [below]})
    assert (above["files"], above["broken"], above["tokens"]) == (2, 1, 18)


def test_packages_are_the_directories_with_python_in_them(tree: Path) -> None:
    assert [
        (package.task_id, package.files, package.packages) for package in find_packages(str(tree))
    ] == [
        ("pkg/sub/deep/", ["pkg/sub/deep/module.py"], []),
        ("pkg/sub/", [], ["pkg/sub/deep/"]),
        ("pkg/", ["pkg/__init__.py", "pkg/broken.py"], ["pkg/sub/"]),
        (TOTAL, ["top.py"], ["pkg/"]),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse the name")
def test_a_name_that_is_no_text_is_left_out(tree: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tree) + b"/\xff.py"))).write_text("")
    assert find_packages(str(tree))[-1].files == ["top.py"]


def test_the_graph_has_a_task_for_each_file_and_package(tree: Path) -> None:
    graph = census_graph(str(tree), max_parallel=3)
    assert (graph.graph_id, graph.max_parallel, len(graph)) == ("census of tree", 3, 8)
    assert graph.nodes["pkg/"].dependencies == ("pkg/__init__.py", "pkg/broken.py", "pkg/sub/")
    graph.validate()


def test_the_count_goes_on_without_broken_files(tgtrio: Command, tree: Path) -> None:
    ended = tgtrio("demo", str(tree), "--max-parallel", "2")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == "census of tree: 3 files counted, 1 broken"
    assert [line.split() for line in lines[2:7]] == [
        ["package", "files", "lines", "code", "functions", "tokens"],
        ["pkg/sub/deep/", "1", "15", "9", "2", "52"],
        ["pkg/sub/", "1", "15", "9", "2", "52"],
        ["pkg/", "2", "15", "9", "2", "54"],
        ["total", "3", "30", "18", "4", "106"],
    ]
    assert "Failed: 1 task" in lines
    assert "  pkg/broken.py" in lines
    assert "      SyntaxError: " in ended.out
    assert "  succeeded  7  " in ended.out
    assert "  failed     1  " in ended.out


def test_the_json_of_a_count(tgtrio: Command, tree: Path) -> None:
    ended = tgtrio("demo", "tree", "--json")
    assert (ended.code, ended.err) == (0, "")
    results = ended.document["results"]
    assert results[TOTAL]["response"]["lines"] == 30
    assert results["pkg/broken.py"]["state"] == "failed"
    assert ended.document["statistics"]["states"]["succeeded"] == 7


def test_broken_files_fail_once_and_hold_nobody_back(tgtrio: Command, here: Path) -> None:
    """Neither retries nor a breaker nor served work, which ten failures would call for."""
    (here / "bad").mkdir()
    for number in range(30):
        (here / "bad" / f"b{number:02}.py").write_text("def broken(:\n")
    (here / "bad" / "good.py").write_text("x = 1\n")
    ended = tgtrio("demo", "bad", "--max-parallel", "1", "--json")
    statistics = ended.document["statistics"]
    assert ended.code == 0
    assert statistics["states"]["failed"] == 30
    assert (statistics["retry_tokens_used"], statistics["cached_tasks"]) == (0, 0)
    assert statistics["breaker_states"] == {}
    assert {one["attempts"] for one in ended.document["results"].values()} == {1}


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("none", "tgtrio: none does not exist\n"),
        ("tree/top.py", "tgtrio: tree/top.py is no directory\n"),
        ("tree/data", "tgtrio: tree/data: no Python file in it or below it\n"),
        ("tree\udcff", "tgtrio: tree\\udcff does not exist\n"),
    ],
)
def test_where_there_is_nothing_to_count_nothing_runs(
    tgtrio: Command, tree: Path, directory: str, message: str
) -> None:
    ended = tgtrio("demo", directory)
    assert (ended.code, ended.out, ended.err) == (2, "", message)


def test_packages_that_look_alike_are_each_added_up(tgtrio: Command, here: Path) -> None:
    for name in ("one", "two"):
        (here / "twins" / name).mkdir(parents=True)
        (here / "twins" / name / "__init__.py").touch()
    document = tgtrio("demo", "twins", "--json").document
    assert document["statistics"]["cached_tasks"] == 0
    assert document["results"][TOTAL]["response"]["files"] == 2


@pytest.mark.usefixtures("tree")
def test_a_count_that_is_not_made_is_a_failure(
    tgtrio: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(args: object) -> None:
        raise OSError("no sum")

    monkeypatch.setitem(ACTIONS, "sum_package", fail)
    ended = tgtrio("demo", "tree")
    assert ended.code == 1
    assert ended.out.startswith("census of tree: failed after ")
    (told,) = [line for line in ended.out.splitlines() if line.startswith("  4 tasks: pkg/")]
    assert f"{told}\n      OSError: no sum\n" in ended.out  # of all packages and the total


def test_by_default_the_standard_library_is_counted() -> None:
    assert os.path.isfile(os.path.join(standard_library(), "tokenize.py"))
