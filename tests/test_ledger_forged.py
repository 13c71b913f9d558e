"""Lines that no ledger writes, most of them sealed with a right sha256."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tgtrio._errors import LedgerError
from tgtrio._identity import canonical_json
from tgtrio._ledger import IdentityLedger
from tgtrio._ledger_lines import ZEROS

from .ledgers import broken_line, filled, lines, open_ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def seal(members: dict[str, Any]) -> bytes:
    """A line with a right sha256, whatever else is wrong with it."""
    return seal_bytes(canonical_json(members))


def seal_bytes(body: bytes) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + b',"sha256":"' + digest.encode() + b'"}\n'


def members(**changes: Any) -> dict[str, Any]:
    at = "2030-01-01T12:00:00.000000Z"
    return {"at": at, "event": {"n": 1}, "prev": ZEROS, "seq": 1, **changes}


def but(old: bytes, new: bytes) -> bytes:
    """A sealed line that is right but for one thing."""
    right = canonical_json(members())
    assert right.count(old) == 1
    return seal_bytes(right.replace(old, new))


def test_the_forger_of_these_tests_can_write_a_right_line(path: Path) -> None:
    path.write_bytes(seal(members()))
    assert IdentityLedger(path).verify().seq == 1


DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
GARBAGE = {
    "an array": b"[1,2,3]\n",
    "not JSON": b"hello\n",
    "binary": bytes(range(256)) + b"\n",
    "empty line": b"\n",
    "only the start": b'{"at":"\n',
    "no members": seal({}),
    "not UTF-8": but(b'{"n":1}', b'{"n":"\xff"}'),
    "lone surrogate": but(b'"n"', b'"\\ud800"'),
    "deep nesting": but(b'{"n":1}', DEEP),
    "deeper than args": but(b'{"n":1}', b'{"n":' * 300 + b"1" + b"}" * 300),
    "huge integer": but(b'{"n":1}', b'{"n":' + b"9" * 40 + b"}"),
    "huger integer": but(b'{"n":1}', b'{"n":' + b"9" * 9_999 + b"}"),
    "infinity": but(b'{"n":1}', b'{"n":1e999}'),
    "NaN": but(b'{"n":1}', b'{"n":NaN}'),
    "key twice": but(b'{"n":1}', b'{"n":1,"n":1}'),
    "member twice": but(b'"seq":1', b'"seq":1,"seq":1'),
    "spaces": but(b'{"n":1}', b'{"n": 1}'),
    "other spelling": but(b'"n"', b'"\\u006e"'),
    "unknown member": seal(members(more=1)),
    "event a list": seal(members(event=[1])),
    "seq a str": seal(members(seq="1")),
    "seq true": seal(members(seq=True)),
    "seq of 0": seal(members(seq=0)),
    "seq of 2": seal(members(seq=2)),
    "huge seq": seal(members(seq=2**63)),
    "seq below": seal(members(seq=-(2**63))),
    "prev missing": seal({k: v for k, v in members().items() if k != "prev"}),
    "prev wrong": seal(members(prev="f" * 64)),
    "naive instant": seal(members(at="2030-01-01T12:00:00.000000")),
    "other zone": seal(members(at="2030-01-01T14:00:00.000000+02:00")),
    "no instant": seal(members(at="noon")),
    "no such year": seal(members(at="0001-01-01T00:00:00.000000+23:00")),
    "repair of nothing": seal(members(repair=True)),
    "repair false": seal(members(repair=False)),
    "repair a str": seal(members(repair="yes")),
}


@pytest.mark.parametrize("line", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_line_that_a_ledger_does_not_write_is_broken(path: Path, line: bytes) -> None:
    path.write_bytes(line)
    assert broken_line(path) == 1


@pytest.mark.parametrize("line", GARBAGE.values(), ids=GARBAGE.keys())
def test_such_a_line_after_good_ones_is_named(path: Path, line: bytes) -> None:
    filled(path, 2)
    path.write_bytes(path.read_bytes() + line + lines(path)[0])
    assert broken_line(path) == 3


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_raise_anything_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    ledger = IdentityLedger(path, fsync=False)
    for use in (ledger.verify, lambda: list(ledger.entries()), lambda: ledger.head):
        with contextlib.suppress(LedgerError):
            use()
    with contextlib.suppress(LedgerError):
        ledger.append({})
        ledger.verify()


@pytest.mark.parametrize("content", [b"hello", b"\x89PNG\r\n", b"# notes\n", b"\n", b"{}\n"])
def test_a_file_of_something_else_is_never_appended_to(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="line 1: it is no entry of a ledger"):
        IdentityLedger(path).append({})
    assert path.read_bytes() == content


def test_a_broken_end_is_not_appended_to_and_named(path: Path) -> None:
    filled(path, 3)
    content = path.read_bytes().replace(b'{"n":3}', b'{"n":4}')
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"line 3: .* changed.*; nothing can be append") as caught:
        open_ledger(path).append({})
    assert caught.value.line == 3
    assert path.read_bytes() == content


def test_a_line_longer_than_any_can_be_is_broken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path, 1).append({"x": "x" * 90_000})
    for module in ("_ledger", "_ledger_file"):
        monkeypatch.setattr(f"tgtrio.{module}.LONGEST_LINE", 1_000)
    assert broken_line(path) == 2
    with pytest.raises(LedgerError, match="line 2: it is longer than"):
        open_ledger(path).append({})
