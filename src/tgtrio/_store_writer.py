"""The thread that writes: what is put into an outbox is on disk a moment later.

An outbox belongs to one thread, usually the event loop's, which only ever appends to its list.
The writer copies what is there, writes it in one transaction, and then takes it off the list. So
an entry is in the list until it is on disk, and nobody needs a lock:

* The owner wakes the writer when its entry is the only one in the list.
* The writer wakes itself when it leaves entries in the list.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ._errors import StoreError, shorten
from ._store_schema import connect, store_error, transaction

FULL = 8_192  # entries: so many are written without waiting for more, and in one transaction
PATIENCE = 0.05  # seconds from the first entry of a batch

_log = logging.getLogger("tgtrio")


class Outbox:
    """What is to be written, in order.

    Args:
        writer: Who writes it.
        on_written: Called in the writer's thread after each commit with the number of the last
            entry that is on disk.
        on_error: Called once, in the writer's thread, if writing has failed for good. What was
            not written then stays in the backlog, and so does what is put later.
    """

    def __init__(
        self,
        writer: Writer,
        on_written: Callable[[int], object] | None = None,
        on_error: Callable[[StoreError], object] | None = None,
    ) -> None:
        self._writer = writer
        self._entries: list[Any] = []
        self._accepted = 0
        self._written = 0
        self._changed = threading.Condition()
        self._on_written, self._on_error = on_written, on_error
        self.failure: StoreError | None = None

    def put(self, entry: object) -> int:
        """Hand over an entry, and get its number, from 1. Never blocks."""
        self._accepted = number = self._accepted + 1
        entries = self._entries
        entries.append(entry)
        waiting = len(entries)
        if waiting == 1:
            self._writer.wake()
        elif waiting == FULL:
            self._writer.hurry()
        return number

    @property
    def backlog(self) -> int:
        """How many entries are not on disk."""
        return self._accepted - self._written

    def flush(self) -> None:
        """Have what is there written at once. Returns before it is."""
        if self.backlog:
            self._writer.hurry()

    def wait(self) -> None:
        """Block until all that is there now is on disk.

        Raises:
            StoreError: It will never be.
        """
        last = self._accepted
        self.flush()
        with self._changed:
            self._changed.wait_for(lambda: self._written >= last or self.failure)
        if self._written < last and self.failure is not None:
            raise self.failure

    def write(self, connection: sqlite3.Connection, entries: Sequence[Any]) -> None:
        """Write entries in the transaction that is open; called by the writer."""
        raise NotImplementedError

    # For the writer

    def waiting(self) -> int:
        return 0 if self.failure else len(self._entries)

    def first(self, count: int) -> list[Any]:
        return self._entries[:count]

    def confirm(self, count: int) -> None:
        del self._entries[:count]
        with self._changed:
            self._written += count
            self._changed.notify_all()
        _call(self._on_written, self._written)

    def fail(self, error: StoreError) -> None:
        """Give up for good; only the first error counts."""
        with self._changed:
            if self.failure is not None:
                return
            self.failure = error
            self._changed.notify_all()
        _call(self._on_error, error)


def _call(callback: Callable[[Any], object] | None, argument: object) -> None:
    try:
        if callback is not None:
            callback(argument)
    except Exception:  # the caller's code, and an event loop may be gone; the others must go on
        _log.debug("a callback of the store's writer raised", exc_info=True)


def _identity_of(path: str) -> tuple[int, int] | None:
    """Which file it is, whatever it is called; None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class Writer:
    """The thread of a store that writes. It lives from the first `add` to `close`.

    Args:
        path: The file, a store already.
        busy_timeout: How long to wait for somebody else's lock, in seconds.
        patience: How long to wait for more after the first entry of a batch, in seconds.
    """

    def __init__(self, path: str, busy_timeout: float, patience: float) -> None:
        self.path, self._busy_timeout, self._patience = path, busy_timeout, patience
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._mutex = threading.Lock()
        self._outboxes: list[Outbox] = []
        self._closing = False
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # that it is connected to

    def add(self, outbox: Outbox) -> None:
        """Serve an outbox from now on.

        Raises:
            StoreError: The writer is closed.
        """
        with self._mutex:
            if self._closing:
                raise StoreError(f"store {shorten(self.path)}: is closed")
            self._outboxes.append(outbox)
            if self._thread is None:
                name = f"tgtrio store {shorten(self.path)}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def remove(self, outbox: Outbox) -> None:
        with self._mutex, contextlib.suppress(ValueError):
            self._outboxes.remove(outbox)

    def wake(self) -> None:
        """There is something to write, when there is more of it."""
        self._wake.set()

    def hurry(self) -> None:
        """Write what is there now."""
        self._hurry.set()
        self._wake.set()

    def close(self) -> None:
        """Write what is there and end the thread. What is put later is never written."""
        with self._mutex:
            self._closing = True
            thread, outboxes = self._thread, list(self._outboxes)
        if thread is not None:
            self.hurry()
            thread.join()
        for outbox in outboxes:
            outbox.fail(StoreError(f"store {shorten(self.path)}: was closed while it was in use"))

    def _run(self) -> None:
        try:
            while not self._round():
                pass
        finally:
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):  # all is on disk; no checkpoint then
                    self._connection.close()

    def _round(self) -> bool:
        """Wait for entries and write them; True if that was the last time."""
        self._wake.wait()
        if self._patience:
            self._hurry.wait(self._patience)
        self._wake.clear()
        self._hurry.clear()
        with self._mutex:
            closing, outboxes = self._closing, list(self._outboxes)
        for outbox in outboxes:
            self._serve(outbox)
        for waiting in [outbox.waiting() for outbox in outboxes]:
            if waiting:
                self._wake.set()
            if waiting >= FULL:
                self._hurry.set()
        return closing

    def _serve(self, outbox: Outbox) -> None:
        waiting = outbox.waiting()
        while waiting > 0:
            entries = outbox.first(min(waiting, FULL))
            try:
                self._write(outbox, entries)
            except Exception as exc:  # whatever it is, those who wait must learn of it
                error = store_error(self.path, "written", exc)
                error.__cause__ = exc
                outbox.fail(error)
                return
            outbox.confirm(len(entries))
            waiting -= len(entries)

    def _write(self, outbox: Outbox, entries: list[Any]) -> None:
        if self._connection is None:
            self._connection = connect(self.path, self._busy_timeout)
            self._file = _identity_of(self.path)
        elif _identity_of(self.path) != self._file:
            raise FileNotFoundError(
                errno.ENOENT, "the file was removed or replaced while it was in use", self.path
            )
        with transaction(self._connection):
            outbox.write(self._connection, entries)
