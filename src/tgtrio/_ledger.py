"""`IdentityLedger`: a file that is only appended to, and in which every line vouches for the
one before. `_ledger_lines` has the format.

What the chain can show: whoever changes, inserts, moves or removes a line breaks it. What it
cannot: lines cut off at the end leave a shorter ledger that is sound, and whoever can write
the file can compute a whole new chain. Against both, remember a `head` elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from io import FileIO
from typing import Any

import attrs

from ._arguments import check_json
from ._checks import check_bool
from ._errors import (
    InvalidArgumentError,
    InvalidTypeError,
    InvalidValueError,
    LedgerError,
    shorten,
)
from ._ledger_file import (
    Place,
    check_path,
    count_lines,
    last_lines,
    make_file,
    open_locked,
    place_of,
    read_bytes,
    write_whole,
)
from ._ledger_lines import (
    LONGEST_LINE,
    BrokenLineError,
    LedgerEntry,
    LedgerHead,
    fault_of,
    may_begin,
    read_line,
    write_line,
    write_repair,
)


@attrs.frozen
class _Tail:
    """The end of the file.

    Attributes:
        head: The last whole entry.
        torn: What stands after it, cut short.
        ended: True if the file ends with a line end, or is empty.
    """

    head: LedgerHead
    torn: bytes = b""
    ended: bool = True

    @classmethod
    def of(cls, whole: bytes | None, rest: bytes) -> _Tail:
        """Judge the last line that has a line end, and what stands after it."""
        if rest:
            with contextlib.suppress(BrokenLineError):
                return cls(_head(rest), ended=False)
        return cls(LedgerHead() if whole is None else _head(whole), rest, ended=not rest)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class IdentityLedger:
    """An append-only file of JSON Lines, chained by sha256.

    Safe among threads, among processes (on POSIX systems, by `flock`), and in a signal
    handler, which may be refused. Nothing is held open between calls.

    Args:
        path: The file; made if it is not there, in a folder that is. One that may only be
            read can be verified and not appended to.
        fsync: If true, an entry is on the disk when `append` returns; if false it is with the
            operating system, and outlives the program but not a power cut.
        now: Gives the wall-clock time as an aware datetime.

    Raises:
        InvalidTypeError, InvalidValueError: An argument cannot be what it is meant to be.
        LedgerError: There is no such folder, no permission, or it is no regular file; the
            `OSError` is the `__cause__`. What is in the file is not read yet.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fsync: bool = True,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._path = check_path(path)
        self._fsync = check_bool(("option", "ledger"), "fsync", fsync)
        if not callable(now):
            raise InvalidTypeError(f"option 'ledger': now is {shorten(now)}; it must be callable")
        self._now = now
        # Reentrant, so that a signal handler can see that it came in the middle of a call.
        self._lock = threading.RLock()
        self._busy = False
        self._known: tuple[Place, _Tail] | None = None  # as this object last saw the file
        with self._reporting("opened"):
            make_file(self._path)

    def __repr__(self) -> str:
        return f"<IdentityLedger {shorten(self._path)}>"

    def __str__(self) -> str:
        return f"ledger {shorten(self._path)}"

    @property
    def path(self) -> str:
        """The file."""
        return self._path

    @property
    def head(self) -> LedgerHead:
        """The last whole entry, to be remembered and given to `verify`.

        Only the end of the file is read.

        Raises:
            LedgerError: That end is broken, or the file cannot be read.
        """
        with self._open() as file:
            return self._look(file).head

    def append(self, event: Mapping[str, Any]) -> None:
        """Append an entry. It is in the file when this returns, and is not if this raises.

        If a crash has left the last line cut short, an entry that says so comes first.

        Args:
            event: JSON data.

        Raises:
            InvalidArgumentError: It is no mapping, no JSON data, or longer than 64 MiB.
            LedgerError: The file cannot be written; or its end is no longer what this object
                has seen, or was never that of a ledger. Then nothing is written.
        """
        checked = self._check_event(event)
        at = self._check_time(self._now())
        with self._open(write=True) as file:
            tail = self._look(file)
            data, head = b"" if tail.ended else b"\n", tail.head
            if tail.torn:
                line, head = write_repair(head, at, tail.torn)
                data += line + b"\n"
            line, head = write_line(head, at, checked)
            if len(line) > LONGEST_LINE:
                raise InvalidArgumentError(
                    f"{self}: the event makes a line of {len(line)} bytes; it must be at most "
                    f"{LONGEST_LINE}; keep what is large elsewhere",
                    "event",
                )
            write_whole(file, data + line + b"\n", self._fsync)
            self._known = place_of(file), _Tail(head)

    def verify(self, head: LedgerHead | None = None) -> LedgerHead:
        """Read the whole ledger, and check every line and the chain.

        What is appended meanwhile is not looked at.

        Args:
            head: An earlier end of this ledger, which must still be in it. The last that this
                object itself has seen must be in it in any case.

        Returns:
            The end of the ledger.

        Raises:
            LedgerError: A line is broken or missing; `line` is the number of the first. Or the
                file cannot be read; then `line` is 0.
            InvalidTypeError: `head` is no `LedgerHead`.
        """
        if head is not None and not isinstance(head, LedgerHead):
            raise InvalidTypeError(
                f"head is {shorten(head)}, of type {type(head).__name__}; "
                "it must be a LedgerHead, as `head` and `verify` return it"
            )
        known = None if self._known is None else self._known[1].head
        wanted = [wish for wish in (head, known) if wish is not None and wish != LedgerHead()]
        last, number = LedgerHead(), 0
        for number, entry in self._walk():
            last = LedgerHead(entry.seq, entry.sha256)
            for wish in wanted:
                if wish.seq == last.seq and wish.sha256 != last.sha256:
                    raise self._broken(number, f"it is not the entry {wish.seq} that it once was")
        for wish in wanted:
            if wish.seq > last.seq:
                raise self._broken(
                    number + 1, f"it is missing: the ledger once had {wish.seq} entries"
                )
        return last

    def entries(self) -> Iterator[LedgerEntry]:
        """Iterate over the entries that are there now, each checked before it is given.

        Raises:
            LedgerError: As of `verify`, when the iteration comes to the broken line.
        """
        for _, entry in self._walk():
            yield entry

    # -- reading ----------------------------------------------------------------------

    def _walk(self) -> Iterator[tuple[int, LedgerEntry]]:
        """The entries with the numbers of their lines."""
        last = LedgerHead()
        broken: LedgerError | None = None  # unless the next line accounts for it
        torn: bytes | None = None
        for number, line in enumerate(self._lines(), 1):
            content = line.removesuffix(b"\n")
            try:
                if content == line:
                    raise BrokenLineError("it is cut short: it has no line end")
                entry = read_line(content)
            except BrokenLineError as exc:
                if broken is not None:
                    break
                broken, torn = self._broken(number, str(exc)), content
                continue
            if fault := fault_of(entry, last, torn):
                raise broken or self._broken(number, fault)
            broken = torn = None
            last = LedgerHead(entry.seq, entry.sha256)
            yield number, entry
        if broken is not None:
            raise broken

    def _lines(self) -> Iterator[bytes]:
        """The lines that are there now, with their line ends."""
        with self._open() as file:
            left = os.fstat(file.fileno()).st_size
        # The lock is free again: what is appended meanwhile comes after these bytes.
        with self._reporting("read"), open(self._path, "rb") as reader:
            while line := reader.readline(min(left, LONGEST_LINE + 1)):
                left -= len(line)
                yield line

    def _look(self, file: FileIO) -> _Tail:
        """The end of the file, read only if it has changed."""
        place = place_of(file)
        if self._known is not None:
            before, tail = self._known
            if place == before:
                return tail
            if place[:2] != before[:2]:
                raise LedgerError(f"{self}: the file was replaced by another; open that anew")
            if place[2] < before[2]:
                raise LedgerError(
                    f"{self}: the file was cut: it has {place[2]} bytes, and had {before[2]}"
                )
        first, _, _ = read_bytes(file, 0, 16).partition(b"\n")
        if not may_begin(first):
            raise self._broken(1, "it is no entry of a ledger; nothing was appended to this file")
        try:
            tail = _Tail.of(*last_lines(file, place[2]))
        except BrokenLineError as exc:
            raise self._broken(
                max(1, count_lines(file)),
                f"{exc}; nothing can be appended to this ledger: keep it, and begin another",
            ) from exc
        self._known = place, tail
        return tail

    # -- the file ---------------------------------------------------------------------

    @contextlib.contextmanager
    def _open(self, *, write: bool = False) -> Iterator[FileIO]:
        with self._lock, self._reporting("written" if write else "read"):
            if self._busy:
                raise LedgerError(f"{self}: is being used by the code that this interrupts")
            self._busy = True
            try:
                with open_locked(self._path, write=write) as file:
                    yield file
            finally:
                self._busy = False

    @contextlib.contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            folder = os.path.dirname(self._path)
            hint = "" if os.path.isdir(folder or ".") else f"; make the folder {shorten(folder)}"
            raise LedgerError(f"{self}: cannot be {what}: {exc.strerror or exc}{hint}") from exc

    def _broken(self, line: int, what: str) -> LedgerError:
        return LedgerError(f"{self}: line {line}: {what}", line)

    def _check_event(self, event: object) -> dict[str, Any]:
        if not isinstance(event, Mapping):
            raise InvalidArgumentError(
                f"{self}: the event is {shorten(event)}, of type {type(event).__name__}; "
                "it must be a mapping of str to JSON data",
                "event",
            )
        checked: dict[str, Any] = check_json(("ledger", self._path), "event", dict(event))
        return checked

    def _check_time(self, at: object) -> datetime:
        if not isinstance(at, datetime) or at.utcoffset() is None:
            raise InvalidTypeError(
                f"{self}: now() returned {shorten(at)}; it must be a datetime with a timezone"
            )
        try:
            return at.astimezone(UTC)
        except OverflowError:
            raise InvalidValueError(
                f"{self}: now() returned {shorten(at)}, which UTC has no name for"
            ) from None


def _head(line: bytes) -> LedgerHead:
    entry = read_line(line)
    return LedgerHead(entry.seq, entry.sha256)
