"""The two streams: results go to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Console

from .._errors import shorten
from ._text import visible


def say(message: str) -> None:
    """Print a message on standard error, with the name of the command before its first line."""
    lines = [visible(line) for line in message.splitlines()]
    print("\n".join([f"tgtrio: {lines[0]}", *lines[1:]]), file=sys.stderr)


def console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is: no markup, no emoji codes, no highlighting."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def forgive_encoding() -> None:
    """Let the standard streams escape what their encoding cannot hold, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def reserved_stdout() -> Iterator[None]:
    """Send to standard error whatever actions and their children write to standard output."""
    try:
        out, err = sys.stdout.fileno(), sys.stderr.fileno()
    except (OSError, ValueError):  # replaced by something without a descriptor
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    sys.stdout.flush()
    kept = os.dup(out)
    os.dup2(err, out)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, out)
        os.close(kept)


def print_json(document: Any) -> None:
    """Print one JSON document. What is not JSON data, as some responses are not, is its `repr`."""
    try:
        encoded = _encode(document)
    except Exception:  # an odd object may raise anything; the other results are still wanted
        for task in document["results"].values():
            task.update({key: _encodable(value) for key, value in task.items()})
        encoded = _encode(document)
    print(encoded.decode())


@contextlib.contextmanager
def forgiving_output(*, hung_up: bool) -> Iterator[None]:
    """Where the terminal has hung up, drop what cannot be written: the exit code still counts."""
    try:
        yield
        sys.stdout.flush()
    except OSError:
        if not hung_up:
            raise
        silence(sys.stdout)


def silence(stream: Any) -> None:
    """Nobody reads it any more; without this Python would complain when it exits."""
    with contextlib.suppress(OSError, ValueError):  # replaced by something without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _encode(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=repr)


def _encodable(value: Any) -> Any:
    try:
        _encode(value)
    except Exception:
        if isinstance(value, str):  # a lone surrogate, say of a file name in an error
            return value.encode("utf-8", "backslashreplace").decode()
        return shorten(value)
    return value
