"""A ledger as a file: how it is made, locked, read from its end, and appended to."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from io import FileIO
from typing import TypeAlias

from ._errors import InvalidTypeError, InvalidValueError, shorten
from ._files import sync_folder
from ._ledger_lines import LONGEST_LINE, BrokenLineError

try:
    import fcntl
except ImportError:  # Windows: one process at a time
    fcntl = None  # type: ignore[assignment]

Place: TypeAlias = tuple[int, int, int]  # device, inode, size

_FIRST_LOOK = 8_192  # bytes from the end; most lines are shorter


def check_path(path: object) -> str:
    """The path of a file as a str."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise InvalidTypeError(
            f"path is {shorten(path)}, of type {type(path).__name__}; it must be a str or Path"
        )
    text: str = os.fspath(path)
    try:
        possible = text != "" and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise InvalidValueError(f"path is {shorten(path)}; no file can have that name")
    return text


def make_file(path: str) -> None:
    """Make the file, if it is not there.

    Raises:
        OSError: It cannot be made or read, or is no regular file.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
        sync_folder(os.path.dirname(path) or ".")
        return
    if not stat.S_ISREG(mode):
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(code, "it is a directory" if stat.S_ISDIR(mode) else "it is no regular file")
    os.close(os.open(path, os.O_RDONLY))


@contextlib.contextmanager
def open_locked(path: str, *, write: bool) -> Iterator[FileIO]:
    """The file, locked against all who write it, and to write it against all others.

    Raises:
        OSError: It cannot be opened. One that is not there is not made: a ledger that was
            moved away must not begin anew in silence.
    """
    flags = os.O_RDWR | os.O_APPEND if write else os.O_RDONLY
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    with FileIO(os.open(path, flags), "r+" if write else "r") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX if write else fcntl.LOCK_SH)
        yield file


def place_of(file: FileIO) -> Place:
    """Which file it is, and how long."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size


def read_bytes(file: FileIO, start: int, count: int) -> bytes:
    file.seek(start)
    parts = []
    while count > 0 and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def last_lines(file: FileIO, size: int) -> tuple[bytes | None, bytes]:
    """The last line that has a line end, if there is one, and what stands after it."""
    look = _FIRST_LOOK
    while True:
        start = max(0, size - look)
        *lines, rest = read_bytes(file, start, size - start).split(b"\n")
        if start == 0 or len(lines) > 1:  # the first of several may lack its beginning
            return (lines[-1] if lines else None), rest
        if look > 2 * LONGEST_LINE:
            raise BrokenLineError("it is longer than a line of a ledger can be")
        look *= 8


def count_lines(file: FileIO) -> int:
    file.seek(0)
    return sum(part.count(b"\n") for part in iter(lambda: file.read(2**20), b""))


def write_whole(file: FileIO, data: bytes, fsync: bool) -> None:
    """Write all of it, or as far as the system allows that, nothing."""
    size = os.fstat(file.fileno()).st_size
    try:
        while data:
            data = data[file.write(data) :]
        if fsync:
            os.fsync(file.fileno())
    except BaseException:
        # It may refuse this too (a file with the attribute +a): then the next entry says so.
        with contextlib.suppress(OSError):
            os.ftruncate(file.fileno(), size)
        raise
