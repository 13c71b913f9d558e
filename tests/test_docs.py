"""Every block of every page is run, and prints what the page shows."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

import tgtrio

from .pages import (
    PAGES,
    PROGRAMS,
    ROOT,
    RUN,
    SHOWN,
    Block,
    blocks,
    commands,
    is_as_shown,
    promised_output,
    run_command,
)

each_page = pytest.mark.parametrize(
    "path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix()
)


@each_page
def test_what_a_page_shows_is_so(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for block in blocks(path):
        if block.reason:
            continue
        if block.file:
            (tmp_path / block.file).write_text(block.source, encoding="utf-8")
        elif block.language == "python":
            run_program(block, monkeypatch, capsys)
        elif block.language == "console":
            run_commands(block, tmp_path)


def run_program(
    block: Block, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        clock = MockClock(autojump_threshold=0.2)  # threads may work meanwhile
        patch.setattr(trio, "run", functools.partial(trio.run, clock=clock))
        exec(compile(block.source, block.where, "exec"), {"__name__": "__main__"})
    printed, complaints = capsys.readouterr()
    assert printed.splitlines() == promised_output(block.source), block.where
    assert complaints == "", block.where


def run_commands(block: Block, folder: Path) -> None:
    for command, shown in commands(block.source):
        code, printed = run_command(command, folder)
        if shown:
            assert is_as_shown(shown, printed), f"{block.where}: $ {command}\n{printed}"
        else:
            assert code == 0, f"{block.where}: $ {command}\n{printed}"


@each_page
def test_what_is_not_run_says_why(path: Path) -> None:
    for block in blocks(path):
        if block.reason:
            continue
        assert block.language.split(" ")[0] in (*RUN, *SHOWN), block.where
        if block.language == "console":
            assert list(commands(block.source)), block.where
            for command, _shown in commands(block.source):
                assert command.split()[0] in PROGRAMS, f"{block.where}: {command}"


@each_page
def test_the_links_on_a_page_lead_somewhere(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page)
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = {
        f"{name}.md"
        for table in re.findall(r"^```\{toctree\}\n(.*?)^```$", index, re.DOTALL | re.MULTILINE)
        for name in table.split()
        if not name.startswith(":")
    }
    folder = ROOT / "docs"
    pages = {p.relative_to(folder).as_posix() for p in PAGES if p.is_relative_to(folder)}
    assert pages - {"index.md"} <= listed


def test_the_reference_has_every_public_name_once() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    names = re.findall(r"^\.\. (?:auto\w+|py:data):: (\w+)$", page, re.MULTILINE)
    assert sorted(names) == sorted(tgtrio.__all__)


def test_the_promises_are_read_as_they_are_meant() -> None:
    source = 'print("a")  # a\nx = 1  # no promise\nprint(\n    "#"\n)  # b\n'
    assert promised_output(source) == ["a", "b"]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\n", "a\n", True),
        ("took ... ms\n", "took 12 ms\n", True),
        ("took ... ms\n", "took 12 s\n", False),
        ("took ... ms\n", "took 12\n3 ms\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_output_is_compared_line_by_line(shown: str, printed: str, same: bool) -> None:
    assert is_as_shown(shown, printed) is same


def test_blocks_are_found_with_what_excepts_them() -> None:
    found = blocks(ROOT / "README.md")
    assert {"python", "console"} <= {block.language for block in found}
    assert any(block.reason for block in found)
    assert any(promised_output(b.source) for b in found if b.language == "python")
