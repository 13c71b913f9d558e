"""The ledger: what it writes, and which changes of the file it finds."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta, timezone
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tgtrio._errors import InvalidTypeError, LedgerError
from tgtrio._identity import canonical_json
from tgtrio._ledger import IdentityLedger
from tgtrio._ledger_file import last_lines
from tgtrio._ledger_lines import ZEROS, LedgerHead

from .ledgers import NOON, broken_line, events, filled, lines, open_ledger

HOSTILE = [
    "a\0b",
    "line\nbreak\r\n",
    "\u2028\u2029\x85",
    "\u202e\u2066right to left",
    "</script>'\"; DROP TABLE x; --",
    "日本語 e\u0301 \U0001f600",
    "a" * 10_000,
    '{"at":"',
    "",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def ledger(path: Path) -> IdentityLedger:
    return open_ledger(path)


def same(value: Any, other: Any) -> bool:
    return canonical_json(value) == canonical_json(other)


# What is written


def test_what_is_appended_is_read_back_in_order(ledger: IdentityLedger, path: Path) -> None:
    ledger.append({"b": [1, 2.0, None, True], "a": {"x": -0.0}})
    ledger.append({})
    first, second = ledger.entries()
    assert same(first.event, {"a": {"x": -0.0}, "b": [1, 2.0, None, True]})
    assert (first.seq, first.at, first.prev, first.repair) == (1, NOON, ZEROS, False)
    assert (second.seq, second.event, second.prev) == (2, {}, first.sha256)
    assert ledger.verify() == ledger.head == LedgerHead(2, second.sha256)
    assert list(open_ledger(path).entries()) == [first, second]


def test_a_line_is_canonical_json_chained_to_the_bytes_before(path: Path) -> None:
    """Whoever distrusts this library checks the file with `json` and `sha256sum`."""
    filled(path, 3)
    prev = ZEROS
    for seq, line in enumerate(lines(path), 1):
        document = json.loads(line)
        assert list(document) == sorted(document) == ["at", "event", "prev", "seq", "sha256"]
        assert document["at"] == "2030-01-01T12:00:00.000000Z"
        assert (document["seq"], document["prev"]) == (seq, prev)
        digest = document.pop("sha256")
        body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        assert digest == hashlib.sha256(body).hexdigest()
        prev = hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:24])
def test_one_event_stays_one_line_whatever_is_in_it(path: Path, text: str) -> None:
    ledger = open_ledger(path)
    ledger.append({text: text, "event": [text]})
    ledger.append({"next": text})
    assert path.read_bytes().count(b"\n") == 2
    assert events(open_ledger(path)) == [{text: text, "event": [text]}, {"next": text}]
    assert ledger.verify().seq == 2


def test_instants_are_written_in_utc(path: Path) -> None:
    east = datetime(2030, 1, 1, 14, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    ledger = IdentityLedger(path, now=lambda: east)
    ledger.append({})
    (entry,) = ledger.entries()
    assert entry.at == east
    assert b'"2030-01-01T12:00:00.000005Z"' in path.read_bytes()


def test_by_default_the_clock_on_the_wall_is_read(path: Path) -> None:
    before = datetime.now(UTC)
    ledger = IdentityLedger(path)
    ledger.append({})
    (entry,) = ledger.entries()
    assert before <= entry.at <= datetime.now(UTC)


def test_an_empty_ledger_is_sound(ledger: IdentityLedger, path: Path) -> None:
    assert path.read_bytes() == b""
    assert ledger.verify() == ledger.head == LedgerHead(0, ZEROS)
    assert list(ledger.entries()) == []


def test_the_iteration_gives_what_was_there_when_it_began(ledger: IdentityLedger) -> None:
    ledger.append({"n": 1})
    ledger.append({"n": 2})
    seen = []
    for entry in ledger.entries():
        seen.append(entry.seq)
        ledger.append({"more": entry.seq})
    assert seen == [1, 2]
    assert ledger.verify().seq == 4


def test_lines_longer_than_one_look_are_found_from_the_end(path: Path) -> None:
    sizes = [10, 9_000, 70_000, 600_000, 10, 8_192]
    for size in sizes:
        open_ledger(path).append({"x": "x" * size})
    assert [len(event["x"]) for event in events(open_ledger(path))] == sizes
    assert open_ledger(path).verify().seq == len(sizes)


def test_the_end_is_read_again_only_if_somebody_else_appended(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, other = filled(path, 3), open_ledger(path)
    looks: list[int] = []

    def looking(file: FileIO, size: int) -> Any:
        looks.append(size)
        return last_lines(file, size)

    monkeypatch.setattr("tgtrio._ledger.last_lines", looking)
    ledger.append({})
    assert ledger.head.seq == 4
    assert looks == []
    other.append({})
    assert ledger.head.seq == 5
    assert len(looks) == 2


@pytest.mark.parametrize("fsync", [True, False])
def test_an_entry_is_on_disk_when_append_returns_if_asked(
    path: Path, monkeypatch: pytest.MonkeyPatch, fsync: bool
) -> None:
    ledger = IdentityLedger(path, fsync=fsync)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    ledger.append({})
    assert synced == ([path.stat().st_size] if fsync else [])


# Changes show


@pytest.mark.parametrize("line", [1, 2, 3])
@pytest.mark.parametrize("at", [0, 8, 40, 50, 60, 120, 150, 200, -3, -2, -1])
def test_a_changed_byte_names_its_line(path: Path, line: int, at: int) -> None:
    filled(path, 3)
    content = [bytearray(text) for text in lines(path)]
    content[line - 1][at] ^= 1
    path.write_bytes(b"".join(content))
    assert broken_line(path) == line


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.data())
def test_any_change_of_the_bytes_is_found_no_later_than_its_line(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / f"{data.draw(st.integers(0, 2**60))}.jsonl"
    filled(path, 3)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.binary(max_size=3).filter(lambda new: new != content[at : at + 1]))
    line = content[:at].count(b"\n") + 1
    content[at : at + 1] = new
    path.write_bytes(content)
    # Swallowed by what follows, or split in two: the first broken line is still this one.
    assert broken_line(path) == line
    path.unlink()


@pytest.mark.parametrize(
    ("order", "line"),
    [
        ([2, 3], 1),  # the first is missing
        ([1, 3], 2),
        ([1, 3, 2], 2),
        ([1, 2, 2, 3], 3),
        ([1, 2, 3, 1], 4),
        ([1, 1, 2, 3], 2),
    ],
)
def test_lines_removed_moved_or_repeated_are_found(path: Path, order: list[int], line: int) -> None:
    filled(path, 3)
    content = lines(path)
    path.write_bytes(b"".join(content[n - 1] for n in order))
    assert broken_line(path) == line


def test_a_line_of_another_ledger_is_found(path: Path, tmp_path: Path) -> None:
    filled(path, 3)
    other = IdentityLedger(tmp_path / "other", now=lambda: NOON)
    for n in ("a", "b", "c"):
        other.append({"n": n})
    content = lines(path)
    content[1] = lines(tmp_path / "other")[1]
    path.write_bytes(b"".join(content))
    assert broken_line(path) == 2


def test_a_changed_last_line_is_found_though_no_other_vouches_for_it(path: Path) -> None:
    filled(path, 2)
    path.write_bytes(path.read_bytes().replace(b'{"n":2}', b'{"n":3}'))
    assert broken_line(path) == 2


def test_lines_cut_off_at_the_end_are_found_by_whoever_remembers_the_head(path: Path) -> None:
    head = filled(path, 3).head
    path.write_bytes(b"".join(lines(path)[:1]))
    assert IdentityLedger(path).verify().seq == 1
    with pytest.raises(LedgerError, match="line 2: it is missing: the ledger once had 3") as cut:
        IdentityLedger(path).verify(head)
    assert cut.value.line == 2


def test_a_new_chain_is_found_by_whoever_remembers_the_head(path: Path, tmp_path: Path) -> None:
    head = filled(path, 2).head
    path.unlink()
    forged = open_ledger(path)
    for n in (1, 99, 3):
        forged.append({"n": n})
    assert IdentityLedger(path).verify().seq == 3
    with pytest.raises(LedgerError, match="line 2: it is not the entry 2 that it once was") as at:
        IdentityLedger(path).verify(head)
    assert at.value.line == 2


def test_an_object_remembers_what_it_has_seen_itself(path: Path) -> None:
    ledger = filled(path, 3)
    whole = path.read_bytes()
    path.write_bytes(b"".join(lines(path)[:2]))
    with pytest.raises(LedgerError, match="line 3: it is missing"):
        ledger.verify()
    with pytest.raises(LedgerError, match="the file was cut"):
        ledger.append({})
    assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:2])


def test_an_earlier_head_is_still_in_a_longer_ledger(ledger: IdentityLedger, path: Path) -> None:
    heads = [ledger.head]
    for n in range(3):
        ledger.append({"n": n})
        heads.append(ledger.head)
    for head in heads:
        assert open_ledger(path).verify(head) == heads[-1]
    assert [head.seq for head in heads] == [0, 1, 2, 3]


def test_a_head_of_another_type_is_refused(ledger: IdentityLedger) -> None:
    with pytest.raises(InvalidTypeError, match="head is 3, of type int"):
        ledger.verify(3)  # type: ignore[arg-type]
