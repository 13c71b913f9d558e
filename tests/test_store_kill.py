"""Processes that are killed at any instant, and processes that want the same at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tgtrio._store import RawStore

from .stores import child, is_whole, open_journal, read_line


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


WRITE = """
import sys
from tgtrio._store import RawStore
journal = RawStore(sys.argv[1], durability=sys.argv[2]).open_journal(
    "g", total_tasks=3, on_written=lambda n: print(n, flush=True), on_error=print
)
number = len(journal.committed)
while True:
    for _ in range(100):
        number += 1
        task = f"t{number}"
        row = (task, "succeeded", 1, False, False, 0.0, 1.0, 1.0, "a", task, b"1", "", "", None)
        journal.put(row)
    while journal.backlog > 10_000:
        journal.wait()
"""

OPEN = """
import sys
from tgtrio._store import RawStore
print("ready", flush=True)
sys.stdin.readline()
store = RawStore(sys.argv[1])
try:
    journal = store.open_journal("g", total_tasks=3, on_written=id, on_error=print)
    print(journal.run_id, flush=True)
    sys.stdin.readline()
except RuntimeError as exc:
    print("refused", flush=True)
"""


@pytest.mark.parametrize("durability", ["batch", "task"])
def test_killed_at_any_instant_the_file_is_whole_and_nothing_told_is_lost(
    path: Path, durability: str
) -> None:
    before = 0
    for lines in (1, 3, 6):
        with child(WRITE, path, durability) as process:
            told = [int(read_line(process)) for _ in range(lines)][-1]
            process.kill()
            process.wait()
        assert is_whole(path)
        with RawStore(path) as store:
            journal = open_journal(store)
            journal.close()
            assert set(journal.committed) >= {f"t{n}" for n in range(1, before + told + 1)}
            before = len(journal.committed)
            assert set(journal.committed) == {f"t{n}" for n in range(1, before + 1)}
            assert len(store.list_runs()) == 1


def test_processes_that_make_a_store_and_open_a_run_at_once_get_one(path: Path) -> None:
    with (
        child(OPEN, path) as a,
        child(OPEN, path) as b,
        child(OPEN, path) as c,
    ):
        processes = (a, b, c)
        assert [read_line(one) for one in processes] == ["ready"] * 3
        for one in processes:
            assert one.stdin is not None
            one.stdin.write(b"go\n")
            one.stdin.flush()
        answers = [read_line(one) for one in processes]
        with RawStore(path) as store:
            (run,) = store.list_runs()
        assert sorted(answers) == sorted([run.run_id, "refused", "refused"])
    assert is_whole(path)
