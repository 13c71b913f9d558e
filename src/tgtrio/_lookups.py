"""The successes of other runs in the store of a run: looked up in threads, and kept."""

from __future__ import annotations

import functools
import math
from collections.abc import Awaitable, Callable, Iterable

from ._durable import Durable


class CacheOfStore:
    """What a run is served from its store, by idempotency key.

    The keys that are known before the run are looked up at once. Those that are known only when
    a task is ready are looked up one by one. Tasks whose key is being looked up are held.

    Args:
        durable: The store.
        now: Unix time in seconds.
        ttl: How old a response may be, in seconds; None for any age.
        spawn: Starts a Trio task of the run.
        released: Called with a task that was held until its key was looked up.
    """

    def __init__(
        self,
        durable: Durable,
        now: Callable[[], float],
        ttl: float | None,
        spawn: Callable[[Callable[[], Awaitable[None]]], object],
        released: Callable[[int], object],
    ) -> None:
        self._durable, self._now, self._ttl = durable, now, ttl
        self._spawn, self._released = spawn, released
        self._found: dict[str, object] = {}
        self._answered: set[str] = set()
        self._held: dict[str, tuple[int, ...]] = {}  # tasks, by the key that is being looked up

    @property
    def waiting(self) -> bool:
        """Is a key being looked up?"""
        return bool(self._held)

    def get(self, key: str) -> tuple[object] | None:
        return (self._found[key],) if key in self._found else None

    def put(self, key: str, response: object) -> None:
        """The run writes its successes into the store itself."""

    def ask(self, key: str, rank: int) -> bool:
        if key in self._answered:
            return False
        if key in self._held:
            self._held[key] += (rank,)
        else:
            self._held[key] = (rank,)
            self._spawn(functools.partial(self._look_up, [key]))
        return True

    async def look_up_all(self, keys: Iterable[str]) -> None:
        """Look up many keys at once."""
        self._held = dict.fromkeys(keys, ())
        await self._look_up(list(self._held))

    async def _look_up(self, keys: list[str]) -> None:
        since = -math.inf if self._ttl is None else self._now() - self._ttl
        self._found.update(await self._durable.look_up(keys, since))
        self._answered.update(keys)
        for key in keys:
            for rank in self._held.pop(key):
                self._released(rank)
