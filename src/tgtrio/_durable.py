"""A run and its store: taken up before the run, asked meanwhile, closed after it.

What blocks is done in worker threads.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import trio

from ._errors import StoreError
from ._store import RawStore
from ._store_journal import Journal
from ._store_records import decode_response


class Durable:
    """The store as one run sees it.

    Args:
        store: The store.
        written: Called on the Trio thread with the number up to which everything is on disk.
        failed: Called on the Trio thread once nothing can be written any more.
    """

    def __init__(
        self,
        store: RawStore,
        written: Callable[[int], object],
        failed: Callable[[StoreError], object],
    ) -> None:
        self._store = store
        self._written, self._failed = written, failed
        self.journal: Journal | None = None
        # Trio's own threads may all be taken, and by those who wait for this very run.
        self._threads = trio.CapacityLimiter(math.inf)

    async def open(self, graph_id: str | None, run_id: str | None, total_tasks: int) -> Journal:
        """Take up a run.

        Cancellation: does not interrupt it; it takes as long as the store is locked, at most
        its `busy_timeout`.

        Raises:
            StoreError, GraphRunningError, InvalidValueError: As `RawStore.open_journal`.
        """
        token = trio.lowlevel.current_trio_token()
        open_journal = functools.partial(
            self._store.open_journal,
            graph_id,
            run_id,
            total_tasks=total_tasks,
            on_written=functools.partial(_tell, token, self._written),
            on_error=functools.partial(_tell, token, self._failed),
        )
        self.journal = await trio.to_thread.run_sync(open_journal, limiter=self._threads)
        return self.journal

    async def look_up(self, keys: Iterable[str], since: float) -> dict[str, object]:
        """The latest responses of other runs under these keys, from `since` on, in Unix time."""

        def read() -> dict[str, object]:
            found = self._store.lookup(keys, since=since)
            return {
                key: decode_response(self._store.path, one.response, one.run_id, one.task_id)
                for key, one in found.items()
            }

        return await trio.to_thread.run_sync(read, limiter=self._threads)

    async def flush(self) -> None:
        """Wait until everything is on disk. Shielded.

        Raises:
            StoreError: It never will be.
        """
        assert self.journal is not None
        await self._in_thread(self.journal.wait)

    async def close(self, state: str, statistics: dict[str, Any]) -> None:
        """Write down how the run has ended, and let go of it. Shielded.

        Raises:
            StoreError: Something is not on disk and never will be.
        """
        assert self.journal is not None
        self.journal.finish(state, statistics)
        await self._in_thread(self.journal.close)

    def let_go(self) -> None:
        """Let go of the run, whatever is on disk: the next one resumes it."""
        if self.journal is not None:
            self.journal.let_go()

    async def _in_thread(self, function: Callable[[], None]) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(function, limiter=self._threads)


def _tell(token: trio.lowlevel.TrioToken, function: Callable[[Any], object], what: object) -> None:
    """Call a function of the run from the thread of the store."""
    with contextlib.suppress(trio.RunFinishedError):  # nobody is left to be told
        token.run_sync_soon(function, what)
