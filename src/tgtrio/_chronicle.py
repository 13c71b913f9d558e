"""Writes down what happens rarely and must be known later: breaker moves, aborts, a budget gone.

It goes into the ledger and into the store, where there are any. That one of them fails is
logged, and never stops a run: the run itself notices a store that cannot be written.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

_log = logging.getLogger("tgtrio")


class Ledger(Protocol):
    """What is asked of an `IdentityLedger`."""

    def append(self, event: Mapping[str, Any]) -> object: ...


class EventStore(Protocol):
    """What is asked of a `RawStore`."""

    def record_event(self, kind: str, data: Mapping[str, Any]) -> object: ...


class Chronicle:
    """Where events are written; either may be missing."""

    def __init__(self, ledger: Ledger | None = None, store: EventStore | None = None) -> None:
        self._ledger, self._store = ledger, store

    def note(self, kind: str, **data: Any) -> None:
        """Write down an event: its kind, and JSON data that tell more."""
        if self._ledger is not None:
            try:
                self._ledger.append({"kind": kind, **data})
            except Exception:
                _log.exception("the ledger did not take the event %r", kind)
        if self._store is not None:
            try:
                self._store.record_event(kind, data)
            except Exception:
                _log.exception("the store did not take the event %r", kind)
