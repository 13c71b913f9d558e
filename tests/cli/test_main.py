"""The command as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tgtrio._version import __version__
from tgtrio.cli._errors import ExitCode

from .conftest import Command


def in_a_process(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_the_version_is_told(tgtrio: Command) -> None:
    ended = tgtrio("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"tgtrio {__version__}\n", "")


@pytest.mark.parametrize("argv", [(), ("--help",)])
def test_the_help_names_commands_and_exit_codes(tgtrio: Command, argv: tuple[str, ...]) -> None:
    ended = tgtrio(*argv)
    assert ended.code == 0
    assert "demo" in ended.out
    for code in ExitCode:
        assert f"{code.value}: " in ended.out
    assert all(len(line) <= 80 for line in ended.out.splitlines())


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("run", "--max-parallel"),
        ("runs", "--limit"),
        ("show", "--format"),
        ("validate", "--actions"),
        ("demo", "--json"),
    ],
)
def test_each_command_has_a_help(tgtrio: Command, command: str, option: str) -> None:
    ended = tgtrio(command, "--help")
    assert ended.code == 0
    assert f"tgtrio {command}" in ended.out
    assert option in ended.out
    assert all(len(line) <= 80 for line in ended.out.splitlines())


def test_the_documents_name_every_exit_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "graph-files.md").read_text(encoding="utf-8")
    for code in ExitCode:
        assert f"| {code.value} |" in text


def test_an_unknown_command_is_explained(tgtrio: Command) -> None:
    ended = tgtrio("dmeo")
    assert (ended.code, ended.out) == (2, "")
    assert 'Did you mean "demo"?' in ended.err
    assert ended.err.endswith("Try: tgtrio --help\n")


@pytest.mark.parametrize("module", ["tgtrio", "tgtrio.cli"])
def test_the_package_can_be_run_as_a_module(module: str) -> None:
    done = in_a_process("-m", module, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tgtrio {__version__}\n", "")


@pytest.mark.parametrize("package", ["rich", "cyclopts"])
def test_without_the_extra_the_command_says_what_to_install(package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from tgtrio.cli import main; sys.exit(main(['demo']))"
    )
    done = in_a_process("-c", code)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"tgtrio needs the package {package}: pip install 'tgtrio[cli]'\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_reader_that_leaves_early_is_no_traceback() -> None:
    program = f"{sys.executable} -m tgtrio.cli --help | true"
    done = subprocess.run(
        program,
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stderr == ""
