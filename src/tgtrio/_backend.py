"""The compiled queue and pump, or their pure Python twins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._compiled import COMPILED

if TYPE_CHECKING or COMPILED:
    from ._lane import AWAITABLE, RAISED, RETURNED, Lane, LaneGroup
    from ._notifier import Notifier
    from ._pump import (
        CONTEXT,
        FOREIGN,
        IDLE,
        INLINE,
        PREPARED,
        RENEW,
        REPORTED,
        SLICE,
        THREADED,
        Dispatch,
        Pump,
    )
    from ._ready_queue import ReadyQueue
else:
    from ._notifier_py import Notifier
    from ._pump_py import (
        CONTEXT,
        FOREIGN,
        IDLE,
        INLINE,
        PREPARED,
        RENEW,
        REPORTED,
        SLICE,
        THREADED,
        Dispatch,
        Pump,
    )
    from ._ready_queue_py import ReadyQueue

    AWAITABLE = RAISED = RETURNED = Lane = LaneGroup = None  # the twins have no lanes

__all__ = [
    "AWAITABLE",
    "COMPILED",
    "CONTEXT",
    "FOREIGN",
    "IDLE",
    "INLINE",
    "PREPARED",
    "RAISED",
    "RENEW",
    "REPORTED",
    "RETURNED",
    "SLICE",
    "THREADED",
    "Dispatch",
    "Lane",
    "LaneGroup",
    "Notifier",
    "Pump",
    "ReadyQueue",
]
