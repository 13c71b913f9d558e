"""The README's ways in, and what the pages say of graph files."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml

from tgtrio import DependencyPolicy, TaskGraph

from .pages import PAGES, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL_BLOCKS = re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)

WAYS_IN = [
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[cli,test]' && .venv/bin/tgtrio demo",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[cli,test]'"
    " && .venv/bin/python -m pytest -q",
    "uv run --extra cli tgtrio demo",
    "uv run --extra cli --extra test python -m pytest -q",
]


@pytest.mark.parametrize("command", WAYS_IN)
def test_a_way_in_is_there_to_be_copied(command: str) -> None:
    assert any(command in block.splitlines() for block in SHELL_BLOCKS)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_graph_files_on_a_page_are_graphs(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    for document in re.findall(r"^```(?:yaml|json)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        graph = TaskGraph.from_dict(yaml.safe_load(document))  # JSON is YAML
        graph.validate()
        assert len(graph) > 1


def test_the_page_on_graph_files_lists_every_name() -> None:
    page = (ROOT / "docs" / "graph-files.md").read_text(encoding="utf-8")
    of_the_file = page.partition("\n## The command\n")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", of_the_file, re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    names = {*inspect.signature(TaskGraph).parameters, "tasks"}
    names |= inspect.signature(TaskGraph.add_task).parameters.keys() - {"self"}
    assert listed == names


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_nothing_on_a_page_is_left_to_be_filled_in(path: Path) -> None:
    assert re.findall(r"^[A-Z]{3,}$", path.read_text(encoding="utf-8"), re.MULTILINE) == []


def test_every_dependency_policy_has_its_line() -> None:
    table = re.findall(r"^\| `(\w+)`", README, re.MULTILINE)
    assert {policy.value for policy in DependencyPolicy} <= set(table)
