"""`Timeline`: a run as a trace that Perfetto and chrome://tracing open."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
from collections.abc import Iterable, Iterator
from typing import IO, Any

import msgspec

from .._errors import InvalidValueError, shorten
from .._files import AnyPath, is_foreign
from .._instrument import Instrument
from .._results import GraphResult
from ..report.history import History
from ._trace import head_of, trace_events

CHUNK = 1 << 20  # bytes that are written together
MARKS = (b'{"displayTimeUnit":"ms","otherData":{"graph_id":',)  # what `head_of` begins with
GZIP_LEVEL = 1  # traces repeat themselves: higher levels take far longer, and gain little
HOOKS = (
    "run_started",
    "task_ready",
    "task_started",
    "task_ended",
    "task_retried",
    "action_cooling",
    "breaker_moved",
    "run_steered",
)


class Timeline(Instrument):
    """Writes what happened in a run as a trace, which Perfetto and chrome://tracing open.

    A lane for each task in flight, with its attempts by name; below, the tasks that were ready
    and waited, by what held them back; how many ran, were ready and were held; retries, moves of
    breakers and orders to the handle as marks. The file is written when the run ends, whatever
    ends it, in the Trio thread, which takes some microseconds a task.

    Args:
        path: The file. A trace that is there already is replaced; another file is not. If its
            name ends in `.gz` it is compressed.

    Raises:
        InvalidValueError: The file cannot be written, or there is one that is no such trace.
    """

    def __init__(self, path: AnyPath) -> None:
        check_writable(path)
        self._path = path
        self._history = History()
        for name in HOOKS:  # without a detour through methods of this class
            setattr(self, name, getattr(self._history, name))

    def run_ended(self, result: GraphResult) -> None:
        history, info = self._history, self._history.info
        history.run_ended(result)
        try:
            _write(self._path, head_of(history), trace_events(history))
        finally:
            history.run_started(info)  # it forgets the run


def check_writable(path: AnyPath) -> None:
    """Raises InvalidValueError if no file of that name can be written."""
    target = os.fspath(path)
    folder = os.path.dirname(os.path.realpath(target)) if "\0" not in target else ""
    if not os.path.isdir(folder):
        raise _refusal(path, "there is no such folder")
    if os.path.isdir(target):
        raise _refusal(path, "it is a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refusal(path, "its folder takes no new files")
    if is_foreign(target, MARKS):
        raise _refusal(
            path, "a file is there that is no trace of tgtrio; remove it, or give another name"
        )


def _refusal(path: AnyPath, reason: str) -> InvalidValueError:
    return InvalidValueError(f"{shorten(os.fspath(path))} cannot be written: {reason}")


def _write(path: AnyPath, head: dict[str, Any], events: Iterable[dict[str, Any]]) -> None:
    """Write a trace piece by piece; the name is there once it is whole."""
    target = os.path.realpath(path)
    draft = os.path.join(os.path.dirname(target), f".{secrets.token_hex(8)}.tmp")
    try:
        with _opened(draft, compressed=target.endswith(".gz")) as file:
            for chunk in _chunks(head, events):
                file.write(chunk)
        os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def _opened(path: str, *, compressed: bool) -> IO[bytes]:
    if compressed:
        return gzip.open(path, "xb", compresslevel=GZIP_LEVEL)  # type: ignore[return-value]
    return open(path, "xb", buffering=0)


def _chunks(head: dict[str, Any], events: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    encoder = msgspec.json.Encoder()
    chunk = bytearray(encoder.encode(head)[:-1] + b',"traceEvents":[')
    between = b"\n"
    for event in events:
        chunk += between
        chunk += encoder.encode(event)
        between = b",\n"
        if len(chunk) > CHUNK:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk + b"\n]}\n")
