"""Ledgers for tests, and what a fresh reader of their files finds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tgtrio._errors import LedgerError
from tgtrio._ledger import IdentityLedger

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def open_ledger(path: Path) -> IdentityLedger:
    return IdentityLedger(path, fsync=False, now=lambda: NOON)


def filled(path: Path, count: int) -> IdentityLedger:
    ledger = open_ledger(path)
    for n in range(1, count + 1):
        ledger.append({"n": n})
    return ledger


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def events(ledger: IdentityLedger) -> list[Any]:
    return [entry.event for entry in ledger.entries()]


def broken_line(path: Path) -> int:
    """The line that a fresh reader of the file finds broken."""
    with pytest.raises(LedgerError) as caught:
        IdentityLedger(path).verify()
    assert f"line {caught.value.line}: " in str(caught.value)
    with pytest.raises(LedgerError) as iterated:
        list(IdentityLedger(path).entries())
    assert iterated.value.line == caught.value.line
    return caught.value.line
