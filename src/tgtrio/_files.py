"""Files that must be on disk, and whole, when a call returns."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TypeAlias

AnyPath: TypeAlias = "str | os.PathLike[str]"


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


def sync_folder(folder: AnyPath) -> None:
    """A new or changed name is on disk once its folder is; Windows can only do without."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
