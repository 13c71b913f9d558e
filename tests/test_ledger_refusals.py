"""What a ledger refuses: events, options, files."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tgtrio._errors import (
    InvalidArgumentError,
    InvalidTypeError,
    InvalidValueError,
    LedgerError,
    TgtrioError,
)
from tgtrio._ledger import IdentityLedger

from .ledgers import NOON, events, filled, open_ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def ledger(path: Path) -> IdentityLedger:
    return open_ledger(path)


@pytest.mark.parametrize(
    ("event", "where"),
    [
        ([], "event"),
        ("text", "event"),
        (None, "event"),
        ({1: 2}, "event[1]"),
        ({"a": [1, math.nan]}, "event['a'][1]"),
        ({"a": b"x"}, "event['a']"),
        ({"a": 2**64}, "event['a']"),
        ({"a": "\ud800"}, "event['a']"),
        ({"a": NOON}, "event['a']"),
    ],
)
def test_an_event_that_is_no_json_data_is_refused(
    ledger: IdentityLedger, path: Path, event: Any, where: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        ledger.append(event)
    assert caught.value.path == where
    assert "ledger" in str(caught.value)
    assert path.read_bytes() == b""


def test_an_event_that_holds_itself_is_refused(ledger: IdentityLedger) -> None:
    event: dict[str, Any] = {}
    event["self"] = event
    with pytest.raises(InvalidArgumentError, match="nested more than 200 deep"):
        ledger.append(event)


def test_an_event_as_deep_as_it_may_be_is_taken(ledger: IdentityLedger) -> None:
    event: dict[str, Any] = {}
    for _ in range(199):
        event = {"a": event}
    ledger.append(event)
    assert events(ledger) == [event]


def test_an_event_too_large_for_a_line_is_refused(
    ledger: IdentityLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tgtrio._ledger.LONGEST_LINE", 300)
    with pytest.raises(InvalidArgumentError, match="at most 300; keep what is large elsewhere"):
        ledger.append({"x": "x" * 300})
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (None, InvalidTypeError),
        (b"x", InvalidTypeError),
        (3, InvalidTypeError),
        ("", InvalidValueError),
        ("a\0b", InvalidValueError),
        ("a\ud800", InvalidValueError),
    ],
)
def test_what_is_no_path_is_refused(path: Any, error: type[TgtrioError]) -> None:
    with pytest.raises(error, match="path is"):
        IdentityLedger(path)


@pytest.mark.parametrize("option", [{"fsync": 1}, {"fsync": None}, {"now": NOON}, {"now": None}])
def test_a_bad_option_is_refused_by_name(path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(InvalidTypeError, match=next(iter(option))):
        IdentityLedger(path, **option)
    assert not path.exists()


@pytest.mark.parametrize(
    ("now", "error"),
    [
        (datetime(2030, 1, 1), InvalidTypeError),
        (0.0, InvalidTypeError),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-2))), InvalidValueError),
    ],
)
def test_a_clock_that_gives_no_instant_is_refused(
    path: Path, now: Any, error: type[TgtrioError]
) -> None:
    with pytest.raises(error, match=r"now\(\) returned"):
        IdentityLedger(path, now=lambda: now).append({})
    assert path.read_bytes() == b""


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be opened: it is a directory"):
        IdentityLedger(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No such file or directory; make the folder") as caught:
        IdentityLedger(tmp_path / "not" / "there")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


@pytest.mark.skipif(sys.platform == "win32", reason="no such files")
def test_a_device_or_a_pipe_is_no_ledger(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/full")):
        with pytest.raises(LedgerError, match="it is no regular file"):
            IdentityLedger(path)


def test_a_ledger_that_was_moved_away_does_not_begin_anew(path: Path, tmp_path: Path) -> None:
    ledger = filled(path, 1)
    path.rename(tmp_path / "old")
    with pytest.raises(LedgerError, match="cannot be written: No such file"):
        ledger.append({})
    with pytest.raises(LedgerError, match="cannot be read: No such file"):
        ledger.verify()
    assert not path.exists()
    filled(path, 5)
    with pytest.raises(LedgerError, match="the file was replaced by another"):
        ledger.append({})


@pytest.fixture
def read_only(path: Path) -> Iterator[Path]:
    filled(path, 2)
    path.chmod(0o400)
    if os.access(path, os.W_OK):
        pytest.skip("root may write everything")
    yield path
    path.chmod(0o600)


def test_a_ledger_that_may_only_be_read_can_be_verified(read_only: Path) -> None:
    ledger = IdentityLedger(read_only)
    assert ledger.verify().seq == 2
    with pytest.raises(LedgerError, match="cannot be written: Permission denied"):
        ledger.append({})


def test_a_ledger_that_may_only_be_read_is_opened_for_nothing_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above checks, also for root."""
    filled(path, 2)
    real = os.open

    def guarded(name: Any, flags: int, *rest: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(13, "Permission denied")
        return real(name, flags, *rest)

    monkeypatch.setattr(os, "open", guarded)
    ledger = IdentityLedger(path)
    assert ledger.verify() == ledger.head
    with pytest.raises(LedgerError, match="cannot be written: Permission denied"):
        ledger.append({})


def test_a_ledger_says_where_it_is(ledger: IdentityLedger, path: Path) -> None:
    assert ledger.path == str(path)
    assert repr(ledger) == f"<IdentityLedger {str(path)!r}>"
