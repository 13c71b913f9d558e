"""Responses that outlive a run: the cache of an executor."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import attrs
import msgspec


class ResponseCache:
    """The latest responses by idempotency key; the one that was not used for longest goes first.

    Args:
        size: How many it keeps; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: OrderedDict[str, tuple[object, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, newer_than: float) -> tuple[object] | None:
        """The response in a tuple, or None.

        Args:
            key: The idempotency key.
            newer_than: Unix time in seconds; what is older is not served.
        """
        entry = self._entries.get(key)
        if entry is None or entry[1] < newer_than:
            return None
        self._entries.move_to_end(key)
        return entry[:1]

    def put(self, key: str, response: object, now: float) -> None:
        """Keep a response that was made at `now`, Unix time in seconds."""
        if self.size:
            self._entries[key] = (response, now)
            self._entries.move_to_end(key)
            if len(self._entries) > self.size:
                self._entries.popitem(last=False)


@attrs.frozen
class CacheOfExecutor:
    """The cache of an executor, as a run sees it.

    Attributes:
        now: Unix time in seconds.
        ttl: How old a response may be, in seconds; None for any age.
    """

    cache: ResponseCache
    now: Callable[[], float]
    ttl: float | None

    def get(self, key: str) -> tuple[object] | None:
        newer_than = 0.0 if self.ttl is None else self.now() - self.ttl
        return self.cache.get(key, newer_than)

    def put(self, key: str, response: object) -> None:
        self.cache.put(key, response, self.now())

    def ask(self, key: str, rank: int) -> bool:  # noqa: ARG002  # it answers at once
        return False


@attrs.frozen
class CacheOfPast:
    """What earlier incarnations of the same run have done, by key; see `record_key`."""

    responses: dict[str, bytes]

    @classmethod
    def of(cls, committed: Iterable[Any]) -> CacheOfPast:
        """Of successes that have a `key` and a `response`."""
        return cls({c.key: c.response for c in committed if c.key and c.key[0] != "~"})

    def get(self, key: str) -> tuple[object] | None:
        response = self.responses.get(key)
        return None if response is None else (msgspec.json.decode(response),)

    def put(self, key: str, response: object) -> None:
        """The run keeps its own."""

    def ask(self, key: str, rank: int) -> bool:  # noqa: ARG002  # it answers at once
        return False
