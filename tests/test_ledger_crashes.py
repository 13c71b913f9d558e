"""Writes that fail, lines cut short, and several who append at once."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from tgtrio import _ledger_file
from tgtrio._errors import LedgerError
from tgtrio._ledger import IdentityLedger

from .ledgers import broken_line, events, filled, lines, open_ledger

CHILD = """
import sys
from tgtrio._ledger import IdentityLedger
ledger = IdentityLedger(sys.argv[1], fsync=False)
for n in range(int(sys.argv[2])):
    ledger.append({"who": sys.argv[3], "n": n})
    if sys.argv[3] == "told":
        print(n, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


# Lines cut short


def tear(path: Path, keep: int) -> bytes:
    """Cut the last line short, as a crash in the middle of a write does."""
    content = lines(path)
    torn = content[-1][:keep]
    path.write_bytes(b"".join(content[:-1]) + torn)
    return torn


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("keep", [1, 5, 30, 200, -2])
def test_a_torn_line_is_broken_until_the_next_entry_accounts_for_it(
    path: Path, count: int, keep: int
) -> None:
    filled(path, count)
    torn = tear(path, keep)
    assert broken_line(path) == count
    ledger = open_ledger(path)
    assert ledger.head.seq == count - 1
    ledger.append({"n": "after"})
    *before, repair, after = ledger.entries()
    assert [entry.event["n"] for entry in before] == list(range(1, count))
    assert (repair.repair, repair.seq) == (True, count)
    assert repair.event == {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
    assert (after.repair, after.seq, after.event) == (False, count + 1, {"n": "after"})
    assert IdentityLedger(path).verify() == ledger.head
    assert lines(path)[count - 1] == torn + b"\n"  # what is there stays there


def test_what_a_repair_accounts_for_cannot_be_changed_or_removed(path: Path) -> None:
    filled(path, 2)
    tear(path, 50)
    filled(path, 1)
    good = lines(path)
    for torn in (b"", good[1][1:], good[1][:-2] + b"x\n", good[1] * 2):
        path.write_bytes(b"".join([good[0], torn, *good[2:]]))
        assert broken_line(path) == 2
    path.write_bytes(b"".join(good))
    assert IdentityLedger(path).verify().seq == 3


def test_an_event_of_a_user_is_no_repair(path: Path) -> None:
    """Else whoever chooses an event could hide a line that is put before it later."""
    junk = b"junk"
    digest = hashlib.sha256(junk).hexdigest()
    ledger = filled(path, 1)
    ledger.append({"bytes": len(junk), "sha256": digest, "repair": True})
    first, second = lines(path)
    path.write_bytes(first + junk + b"\n" + second)
    assert broken_line(path) == 2


def test_several_torn_lines_are_each_accounted_for(path: Path) -> None:
    filled(path, 2)
    for n in range(3):
        tear(path, 40 + n)
        open_ledger(path).append({"n": n})
    assert [entry.repair for entry in open_ledger(path).entries()] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert open_ledger(path).verify().seq == 5


def test_a_line_that_lacks_only_its_line_end_gets_it(path: Path) -> None:
    filled(path, 2)
    tear(path, -1)
    assert broken_line(path) == 2
    ledger = open_ledger(path)
    assert ledger.head.seq == 2
    ledger.append({"n": 3})
    assert events(ledger) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert ledger.verify().seq == 3


def short_writes(limit: int) -> type[FileIO]:
    """A disk that takes a few bytes at a time, and is full after `limit` of them."""
    left = limit

    class Disk(FileIO):
        def write(self, data: Any) -> int:
            nonlocal left
            if not left:
                raise OSError(28, "No space left on device")
            count = super().write(data[: min(left, 16)])
            left -= count
            return count

    return Disk


@pytest.mark.parametrize("room", [0, 1, 16, 100])
def test_an_append_that_fails_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    ledger = filled(path, 2)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(_ledger_file, "FileIO", short_writes(room))
        with pytest.raises(LedgerError, match="cannot be written: No space left") as caught:
            ledger.append({"n": 3})
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.line == 0
    assert path.read_bytes() == before
    ledger.append({"n": "after"})
    assert events(ledger)[-1] == {"n": "after"}
    assert ledger.verify().seq == 3


def test_a_write_in_several_pieces_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = filled(path, 1)
    monkeypatch.setattr(_ledger_file, "FileIO", short_writes(10_000))
    ledger.append({"n": 2})
    assert ledger.verify().seq == 2


def test_where_the_rest_cannot_be_taken_back_the_next_entry_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, size: int) -> None:
        raise PermissionError(1, "append only")

    ledger = filled(path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(_ledger_file, "FileIO", short_writes(20))
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(LedgerError, match="No space left"):
            ledger.append({"n": 2})
    ledger.append({"n": 3})
    assert [entry.repair for entry in ledger.entries()] == [False, True, False]
    assert ledger.verify().seq == 3


def test_an_entry_that_did_not_reach_the_disk_is_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    ledger = IdentityLedger(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(LedgerError, match="Input/output error"):
            ledger.append({})
    assert path.read_bytes() == b""


def test_a_file_that_reaches_the_limit_of_the_system_stays_whole(path: Path) -> None:
    resource = pytest.importorskip("resource")
    ledger = filled(path, 2)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, hard))
    try:
        with pytest.raises(LedgerError, match="cannot be written: File too large"):
            ledger.append({"n": 3})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before


# Several at once


def test_threads_append_side_by_side(path: Path) -> None:
    ledger, other = open_ledger(path), open_ledger(path)

    def work(who: int) -> None:
        for n in range(25):
            (ledger if who % 2 else other).append({"who": who, "n": n})

    threads = [threading.Thread(target=work, args=[who]) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.verify().seq == 200
    for who in range(8):
        assert [e["n"] for e in events(ledger) if e["who"] == who] == list(range(25))


def start(path: Path, count: int, who: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CHILD, str(path), str(count), who],
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> int:
    with child:
        return child.wait(60)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks among processes")
def test_processes_append_side_by_side(path: Path) -> None:
    ledger = filled(path, 1)
    children = [start(path, 200, who) for who in "ab"]
    for n in range(50):
        ledger.append({"who": "c", "n": n})
    assert [finish(child) for child in children] == [0, 0]
    assert ledger.verify().seq == 451
    for who, count in [("a", 200), ("b", 200), ("c", 50)]:
        assert [e["n"] for e in events(ledger) if e.get("who") == who] == list(range(count))


@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9")
def test_a_killed_process_loses_nothing_that_it_was_told_is_there(path: Path) -> None:
    told = -1
    with start(path, 1_000_000, "told") as child:
        assert child.stdout is not None
        for _ in range(50):
            told = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        told = max([told, *map(int, child.stdout.read().split()[:-1])])
    ledger = open_ledger(path)
    ledger.append({"n": "after"})
    seen = [event["n"] for event in events(ledger) if "n" in event]
    assert seen == [*range(len(seen) - 1), "after"]
    assert len(seen) - 1 > told
    assert ledger.verify().seq >= len(seen)


def test_a_signal_handler_in_the_middle_of_an_append_is_refused_and_does_not_hang(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(path)
    refused: list[LedgerError] = []

    def interrupt(fd: int) -> None:
        with pytest.raises(LedgerError, match="is being used by the code") as caught:
            ledger.append({"from": "the handler"})
        refused.append(caught.value)

    syncing = IdentityLedger(path)
    ledger = syncing
    monkeypatch.setattr(os, "fsync", interrupt)
    syncing.append({"n": 1})
    assert len(refused) == 1
    assert events(syncing) == [{"n": 1}]
    assert syncing.verify().seq == 1
