"""The examples: each is shown, and leaves things as they were. That they run, `test_docs` sees."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import ROOT, blocks, commands, environment

EXAMPLES = sorted(ROOT.glob("examples/*.py"))
PAGE = ROOT / "docs" / "examples.md"

each_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@each_example
def test_it_says_what_it_does_and_how_it_is_run(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert f"python examples/{path.name}" in said


@each_example
def test_the_page_runs_it_and_shows_it(path: Path) -> None:
    run = [
        command
        for block in blocks(PAGE)
        if block.language == "console"
        for command, shown in commands(block.source)
        if shown
    ]
    assert run.count(f"python examples/{path.name}") == 1
    assert f"```{{literalinclude}} ../examples/{path.name}\n" in PAGE.read_text(encoding="utf-8")


@each_example
def test_it_ends_well_and_leaves_nothing_where_it_was_started(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", path],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert list(tmp_path.iterdir()) == []
    assert not [line for line in done.stdout.splitlines() if len(line) > 100]


def test_the_readme_names_them_all() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES if f"examples/{path.name}" not in readme] == []
