"""Files that must be on disk, and whole, when a call returns."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import zlib
from collections.abc import Sequence
from typing import TypeAlias

AnyPath: TypeAlias = "str | os.PathLike[str]"

_HEAD = 4096  # bytes in which a file tells what it is
_GZIP = b"\x1f\x8b"


def write_atomically(path: AnyPath, content: bytes) -> None:
    """Write a file that at every instant is there with its old or its new content."""
    target = os.path.realpath(path)
    draft = os.path.join(os.path.dirname(target), f".{secrets.token_hex(8)}.tmp")
    try:
        with open(draft, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def is_foreign(path: AnyPath, marks: Sequence[bytes]) -> bool:
    """Is there something already, in whose beginning these marks do not stand?

    An empty file is nobody's. What is compressed by gzip is looked into; what cannot be read is
    taken for foreign.
    """
    if not os.path.lexists(path):
        return False
    target = os.path.realpath(path)
    if not os.path.isfile(target):
        return os.path.exists(target)  # nothing is lost where a link leads nowhere
    try:
        with open(target, "rb") as file:
            head = file.read(_HEAD)
        if head.startswith(_GZIP):
            with gzip.open(target, "rb") as unpacked:
                head = unpacked.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return True
    return bool(head) and not all(mark in head for mark in marks)


def sync_folder(folder: AnyPath) -> None:
    """A new or changed name is on disk once its folder is; Windows can only do without."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
