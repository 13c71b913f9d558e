"""Responses that outlive a run: of an executor, and of earlier incarnations of the run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from ._identity import shared_key


class Past(Protocol):
    """What is asked of the journal of a run; see `_store_journal`."""

    @property
    def committed(self) -> Mapping[str, Any]: ...
    def committed_response(self, task_id: str) -> object: ...


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


class AnswersAtOnce:
    """A cache that never takes time."""

    __slots__ = ()

    def ask(self, key: str, rank: int) -> bool:  # noqa: ARG002
        return False


@attrs.frozen
class CacheOfExecutor(AnswersAtOnce):
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


@attrs.frozen
class CacheOfPast(AnswersAtOnce):
    """What earlier incarnations of the same run have done, by key.

    Attributes:
        task_ids: A task that has succeeded, for each key that others may find.
        response: What such a task has returned.
    """

    task_ids: Mapping[str, str]
    response: Callable[[str], object]

    @classmethod
    def of(cls, journal: Past) -> CacheOfPast:
        """Of what the journal of the run has found."""
        keys = ((shared_key(one.key), task_id) for task_id, one in journal.committed.items())
        return cls({key: task_id for key, task_id in keys if key}, journal.committed_response)

    def get(self, key: str) -> tuple[object] | None:
        task_id = self.task_ids.get(key)
        return None if task_id is None else (self.response(task_id),)

    def put(self, key: str, response: object) -> None:
        """The run keeps its own."""
