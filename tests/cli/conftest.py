"""How tests call the command."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest

from tgtrio import RawStore
from tgtrio.cli import main


@attrs.frozen
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on standard output."""
        document: dict[str, Any] = json.loads(self.out)
        return document


Command: TypeAlias = Callable[..., Ended]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current directory. What is imported from it is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def tgtrio(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Call the command in an empty directory, in a terminal 80 columns wide."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*argv: str) -> Ended:
        code = main(argv)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return call


Write: TypeAlias = Callable[..., str]


@pytest.fixture
def graph_file(here: Path) -> Write:
    """Write a graph file and return its name."""

    def write(*tasks: dict[str, Any], **fields: Any) -> str:
        graph = {"graph_id": "g", **fields, "tasks": tasks}
        (here / "graph.json").write_text(json.dumps(graph))
        return "graph.json"

    return write


@pytest.fixture
def store(here: Path) -> Iterator[RawStore]:
    """A store in the current directory."""
    with closing(RawStore(here / "jobs")) as opened:  # its name does not say what it is
        yield opened


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone cannot be set")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def call_python(
    task_id: str, function: str, *args: Any, after: Sequence[str] = (), **fields: Any
) -> dict[str, Any]:
    """A task of the action `python`."""
    return {
        "task_id": task_id,
        "action_name": "python",
        "normalized_args": {"function": function, "args": list(args)},
        "dependencies": list(after),
        "max_retries": 0,
        **fields,
    }
