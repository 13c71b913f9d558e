"""The pages say what is true: the README's programs run and print what they promise."""

from __future__ import annotations

import ast
import functools
import inspect
import io
import re
import tokenize
from pathlib import Path

import pytest
import trio
import yaml
from trio.testing import MockClock

from tgtrio import DependencyPolicy, TaskGraph

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL_BLOCKS = re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)

WAYS_IN = [
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[cli,test]' && .venv/bin/tgtrio demo",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[cli,test]'"
    " && .venv/bin/python -m pytest -q",
    "uv run --extra cli tgtrio demo",
    "uv run --extra cli --extra test python -m pytest -q",
]


def programs() -> list[object]:
    """Every Python block of every page, named by the line that it starts on."""
    found: list[object] = []
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        for block in re.finditer(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
            line = page.count("\n", 0, block.start(1)) + 1
            found.append(pytest.param(block[1], id=f"{path.name}-line-{line}"))
    return found


def promised_output(source: str) -> list[str]:
    """The comments that stand behind a call of `print`, or else at the end, in order."""
    end = re.search(r"(?:^# .*\n)+\Z", source, re.MULTILINE)
    if end is not None:
        return [line.removeprefix("# ") for line in end[0].splitlines()]
    printing = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "print" and (line := node.end_lineno)
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [
        token.string.removeprefix("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT and token.start[0] in printing
    ]


def tell(line: str) -> str:
    """A line as a comment may put it: of a dict of counts, those that are not zero."""
    if not line.startswith("{"):
        return line
    counts: dict[str, int] = ast.literal_eval(line)
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n)


def test_there_is_a_program_that_promises_something() -> None:
    assert any(promised_output(block) for block in re.findall(r"```python\n(.*?)```", README, re.S))


@pytest.mark.parametrize("source", programs())
def test_a_program_prints_what_it_promises(
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    patient_clock: MockClock,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trio, "run", functools.partial(trio.run, clock=patient_clock))
    exec(compile(source, "README.md", "exec"), {"__name__": "__main__"})
    printed, complaints = capsys.readouterr()
    if promised := promised_output(source):
        assert [tell(line) for line in printed.splitlines()] == promised
    assert complaints == ""


@pytest.mark.parametrize("command", WAYS_IN)
def test_a_way_in_is_there_to_be_copied(command: str) -> None:
    assert any(command in block.splitlines() for block in SHELL_BLOCKS)


def test_the_promises_are_read_as_they_are_meant() -> None:
    source = 'print("a")  # a\nx = 1  # no promise\nprint(\n    "#"\n)  # b\n'
    assert promised_output(source) == ["a", "b"]
    assert tell("{'pending': 0, 'succeeded': 20, 'failed': 1}") == "20 succeeded, 1 failed"


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
def test_the_links_on_a_page_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_nothing_on_a_page_is_left_to_be_filled_in(path: Path) -> None:
    assert re.findall(r"^[A-Z]{3,}$", path.read_text(encoding="utf-8"), re.MULTILINE) == []


def test_every_dependency_policy_has_its_line() -> None:
    table = re.findall(r"^\| `(\w+)`", README, re.MULTILINE)
    assert {policy.value for policy in DependencyPolicy} <= set(table)
