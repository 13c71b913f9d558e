"""`EventLog`: what happens in a run, as lines of JSON in a file; and how they are read again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any

import msgspec
import trio
from trio.lowlevel import enable_ki_protection

from .._errors import InvalidTypeError, InvalidValueError, shorten
from .._events import EVENTS, Event, EventSource
from .._files import AnyPath
from .._instrument import RunInfo, Watched
from .._results import GraphResult

FLUSH_EVERY = 0.5  # seconds
MOST_KEPT = 1 << 20  # bytes; more is written at once

_log = logging.getLogger("tgtrio")


class EventLog(EventSource):
    """Writes each event of a run as a line of JSON: `Event.to_dict` tells its fields.

    Lines are kept for half a second, or until they are a megabyte, and are written together;
    the last ones when the run ends. What cannot be written, to a full disk say, is logged once,
    and nothing more is written; the run goes on. What is no JSON data is written as its `repr`.

    Args:
        target: A path, to which is added what happens in one run after another; or a file that
            is open for writing, as text or bytes, and stays open.
        exclusive: Refuse a path where there is a file already.

    Raises:
        InvalidValueError: The file cannot be written, or is there already.
        InvalidTypeError: The target is neither a path nor a file.
    """

    def __init__(self, target: AnyPath | IO[Any], *, exclusive: bool = False) -> None:
        self._path: AnyPath | None = None
        self._file: IO[Any] | None = None
        self._lines = bytearray()
        self._encoder = msgspec.json.Encoder(enc_hook=shorten)
        if isinstance(target, str | os.PathLike):
            self._path = target
            _open(target, "xb" if exclusive else "ab").close()
        elif hasattr(target, "write"):
            self._file = target
        else:
            raise InvalidTypeError(f"{shorten(target)} is neither a path nor a file to write to")

    def emit(self, event: Event) -> None:
        """Take one more event; it is written soon.

        Args:
            event: What has happened.
        """
        data = event.to_dict()
        try:
            line = self._encoder.encode(data)
        except UnicodeEncodeError:  # a lone surrogate, say of a file name in an error
            line = self._encoder.encode({key: _well_formed(value) for key, value in data.items()})
        self._lines += line
        self._lines += b"\n"
        if len(self._lines) > MOST_KEPT:
            self._flush()

    async def beside(self, run: Watched) -> None:
        while True:
            await trio.sleep(FLUSH_EVERY)
            self._flush()

    def run_started(self, info: RunInfo) -> None:
        self._lines.clear()
        if self._path is not None:
            self._file = _open(self._path, "ab")
            if _ends_in_a_line(self._path):
                self._lines += b"\n"
        super().run_started(info)

    def run_ended(self, result: GraphResult) -> None:
        super().run_ended(result)
        self._flush()
        self._close()

    @enable_ki_protection  # no half lines
    def _flush(self) -> None:
        file, lines = self._file, bytes(self._lines)
        self._lines.clear()
        if file is None or not lines:
            return
        try:
            if hasattr(file, "encoding"):
                file.write(lines.decode())
            else:
                _write(file, lines)
            file.flush()
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        """Let go of what was opened here. Unbuffered, so that it has nothing left to write."""
        if self._path is not None and self._file is not None:
            file, self._file = self._file, None
            file.close()


def read_event_log(path: AnyPath) -> Iterator[Event]:
    """The events that an `EventLog` has written, in order, one at a time.

    A line that a crash has cut short is left out, which is logged: the last one of the file, or
    of a run.

    Args:
        path: The file.

    Raises:
        InvalidValueError: The file cannot be read, or a line of it is no event; it is named.
    """
    torn: InvalidValueError | None = None
    with _open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                event = _event_of(line)
            except (ValueError, TypeError, KeyError, AttributeError) as exc:
                if torn is not None:
                    raise torn from None
                torn = InvalidValueError(
                    f"{shorten(os.fspath(path))}: line {number} is no event: {exc}"
                )
                continue
            if torn is not None:
                if event.kind != "run_started":
                    raise torn
                _log.warning("%s; a crash has cut it short", torn)
                torn = None
            yield event
    if torn is not None:
        if line.endswith(b"\n"):
            raise torn
        _log.warning("%s; a crash has cut it short", torn)


def _event_of(line: bytes) -> Event:
    data = msgspec.json.decode(line, type=dict[str, Any])
    kind = data.pop("kind")
    if kind not in EVENTS:
        raise ValueError(f"its kind is {shorten(kind)}")
    return Event(
        kind=kind,
        at=datetime.fromisoformat(data.pop("at")),
        task_id=data.pop("task_id", ""),
        action=data.pop("action", ""),
        details=data,
    )


def _open(path: AnyPath, mode: str) -> IO[bytes]:
    verb = "read" if mode == "rb" else "written"
    try:
        return open(path, mode, buffering=-1 if mode == "rb" else 0)
    except FileExistsError as exc:
        raise InvalidValueError(
            f"{shorten(os.fspath(path))} is there already; choose another name, or leave out "
            "`exclusive` to add to it"
        ) from exc
    except (OSError, ValueError) as exc:  # ValueError: a path with NUL in it
        reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        raise InvalidValueError(f"{shorten(os.fspath(path))} cannot be {verb}: {reason}") from exc


def _ends_in_a_line(path: AnyPath) -> bool:
    """Has a crash left a line without its end?"""
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _write(file: IO[bytes], content: bytes) -> None:
    """Write all of it; files without a buffer may take a part at a time."""
    rest = memoryview(content)
    while rest:
        written = file.write(rest)
        if written is None:
            raise BlockingIOError("the file takes no more; event logs need one that blocks")
        rest = rest[written:]


def _well_formed(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
