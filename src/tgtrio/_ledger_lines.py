"""The lines of a ledger, and how each vouches for the one before.

A line is an object in the canonical form of `_identity`, so its members come sorted:

* `at`: when it was appended, as `2030-01-01T12:00:00.000000Z`.
* `event`: what was appended.
* `prev`: the sha256 of the bytes of the line before, without its line end; 64 zeros in the
  first line.
* `repair`: true in an entry that the ledger itself made; absent in others.
* `seq`: 1, 2, 3, ...
* `sha256`: of the line as it would be without this member, so that a change of the last
  line, which no other vouches for, is found too.

A line that a crash cut short is never cut off or overwritten. The next entry is a repair,
whose event tells the length and the sha256 of the cut line, and whose `prev` is of the last
whole line. A line that is not whole and has no such repair after it is a broken one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec

from ._arguments import check_json
from ._identity import canonical_json

ZEROS = "0" * 64
LONGEST_LINE = 64 * 2**20  # bytes; nobody has to read more at once

_START = b'{"at":"'
_SEAL = b',"sha256":"%b"}'
_SEAL_LENGTH = len(_SEAL % ZEROS.encode())


@attrs.frozen
class LedgerHead:
    """The end of a ledger, to be remembered elsewhere: it vouches for every line up to it.

    Attributes:
        seq: The number of entries.
        sha256: The sha256 of the last line; 64 zeros if there is none.
    """

    seq: int = 0
    sha256: str = ZEROS


@attrs.frozen
class LedgerEntry:
    """An entry of a ledger.

    Attributes:
        seq: Its number, from 1.
        at: When it was appended, in UTC.
        event: What was appended.
        repair: True if the ledger itself appended it, to account for a line cut short.
        sha256: The sha256 of its line.
        prev: The sha256 of the line before.
    """

    seq: int
    at: datetime
    event: Mapping[str, Any] = attrs.field(hash=False)
    repair: bool
    sha256: str
    prev: str


class BrokenLineError(Exception):
    """Says what is wrong with a line."""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    at: str
    event: dict[str, Any]
    prev: str
    seq: int
    sha256: str
    repair: bool = False


_decode = msgspec.json.Decoder(_Line).decode


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_line(
    head: LedgerHead, at: datetime, event: Mapping[str, Any], *, repair: bool = False
) -> tuple[bytes, LedgerHead]:
    """The line after `head`, without a line end, and the head that it makes."""
    members: dict[str, Any] = {
        "at": _write_time(at),
        "event": event,
        "prev": head.sha256,
        "seq": head.seq + 1,
    }
    if repair:
        members["repair"] = True
    body = canonical_json(members)
    line = body[:-1] + _SEAL % sha256(body).encode()
    return line, LedgerHead(head.seq + 1, sha256(line))


def write_repair(head: LedgerHead, at: datetime, torn: bytes) -> tuple[bytes, LedgerHead]:
    """The line that accounts for one cut short."""
    return write_line(head, at, _account(torn), repair=True)


def may_begin(data: bytes) -> bool:
    """Could a ledger begin with these bytes?"""
    return data.startswith(_START) or _START.startswith(data)


def read_line(line: bytes) -> LedgerEntry:
    """The entry in a line. Where it stands is not judged.

    Raises:
        BrokenLineError: This is not what `write_line` writes.
    """
    body, seal = line[:-_SEAL_LENGTH] + b"}", line[-_SEAL_LENGTH:]
    if not line.startswith(_START) or not seal.startswith(_SEAL[:11]):
        raise BrokenLineError("it is no entry of a ledger")
    if seal != _SEAL % sha256(body).encode():
        raise BrokenLineError("it has been changed: its sha256 is not that of its content")
    try:
        document = _decode(line)
        event = check_json(("entry", document.seq), "event", document.event)
        at = datetime.fromisoformat(document.at)
    except (ValueError, RecursionError) as exc:  # also msgspec's errors and our refusals
        reason = "nested too deep" if isinstance(exc, RecursionError) else exc
        raise BrokenLineError(f"it is no entry of a ledger: {reason}") from exc
    entry = LedgerEntry(document.seq, at, event, document.repair, sha256(line), document.prev)
    if not _is_canonical(entry, line):
        raise BrokenLineError("it is not written in the canonical form")
    return entry


def fault_of(entry: LedgerEntry, last: LedgerHead, torn: bytes | None) -> str:
    """What is wrong with an entry in its place, or nothing.

    Args:
        entry: The entry.
        last: The entry before it.
        torn: The line before it, if that is no entry.
    """
    if entry.seq != last.seq + 1:
        return f"its seq is {entry.seq}; it should be {last.seq + 1}"
    if entry.prev != last.sha256:
        return "its prev is not the sha256 of the line before"
    if entry.repair and (torn is None or entry.event != _account(torn)):
        return "it is a repair, but not of the line before"
    return "" if torn is None or entry.repair else "it does not account for the line before"


def _account(torn: bytes) -> dict[str, Any]:
    return {"bytes": len(torn), "sha256": sha256(torn)}


def _is_canonical(entry: LedgerEntry, line: bytes) -> bool:
    """False for spaces, keys given twice, another spelling of a number or an instant, ..."""
    before = LedgerHead(entry.seq - 1, entry.prev)
    try:
        return write_line(before, entry.at, entry.event, repair=entry.repair)[0] == line
    except OverflowError:
        return False


def _write_time(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
