"""Which runs of a store are being executed, in this process or in another.

A run is a byte of a file beside the store; who executes it holds an advisory lock on that byte.
The operating system lets go of the lock when the process ends, however it ends.

POSIX drops all locks that a process has on a file as soon as it closes any descriptor of it.
Therefore a process opens each lock file once, whatever the number of stores that use it, and
never opens the store itself but through SQLite.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time

import attrs

_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_TRIES = 5  # `held` takes a lock for an instant to see whether it is free
_PAUSE = 0.01  # seconds between them

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int, at: int) -> None:
        os.lseek(fd, at, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int, at: int) -> None:
        os.lseek(fd, at, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(fd: int, at: int) -> None:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)

    def _unlock(fd: int, at: int) -> None:
        fcntl.lockf(fd, fcntl.LOCK_UN, 1, at)


@attrs.define(eq=False)
class _File:
    fd: int
    users: int = 0
    held: set[int] = attrs.Factory(set)  # the runs that this process executes

    def try_lock(self, run: int) -> bool:
        try:
            _lock(self.fd, run)
        except OSError as exc:
            if exc.errno in _HELD_BY_ANOTHER:
                return False
            raise
        return True


_mutex = threading.Lock()
_files: dict[tuple[int, int], _File] = {}  # (device, inode) to the one descriptor


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class RunLocks:
    """The locks of one store on its runs. Thread-safe.

    Args:
        path: The lock file; it is made if it is not there, and stays.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        with _mutex:
            self._file: _File = _find(path) or _open(path)
            self._file.users += 1
        self._mine: set[int] = set()
        self._closed = False

    def acquire(self, run: int) -> bool:
        """Take the lock of a run, or return False: somebody executes it.

        Raises:
            OSError: The file system has no locks, or this object is closed.
        """
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE)
            with _mutex:
                self._check_open()
                if run in self._file.held:
                    return False
                if self._file.try_lock(run):
                    self._file.held.add(run)
                    self._mine.add(run)
                    return True
        return False

    def release(self, run: int) -> None:
        """Let go of a run; nothing happens if this object does not hold it."""
        with _mutex:
            if run in self._mine:
                self._mine.remove(run)
                self._file.held.remove(run)
                _unlock(self._file.fd, run)

    def held(self, run: int) -> bool:
        """Does anybody execute the run?"""
        with _mutex:
            self._check_open()
            if run in self._file.held:
                return True
            if not self._file.try_lock(run):
                return True
            _unlock(self._file.fd, run)
            return False

    def _check_open(self) -> None:
        if self._closed:  # the descriptor may be another file's by now
            raise OSError(errno.EBADF, "the store is closed")

    def close(self) -> None:
        """Let go of everything; twice is fine."""
        for run in list(self._mine):
            self.release(run)
        with _mutex:
            if self._closed:
                return
            self._closed = True
            self._file.users -= 1
            if not self._file.users:
                del _files[_identity(os.fstat(self._file.fd))]
                os.close(self._file.fd)


def _find(path: str) -> _File | None:
    try:
        return _files.get(_identity(os.stat(path)))
    except FileNotFoundError:
        return None


def _open(path: str) -> _File:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    return _files.setdefault(_identity(os.fstat(fd)), _File(fd))
