"""The compiled queue and pump, or their pure Python twins.

`TGTRIO_PURE=1` asks for the twins. Where the compiled modules were not built the
twins serve, with a warning.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

COMPILED = os.environ.get("TGTRIO_PURE") != "1"

if TYPE_CHECKING:
    from ._lane import AWAITABLE, RAISED, RETURNED, Lane, LaneGroup
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
    if COMPILED:
        try:
            from ._lane import AWAITABLE, RAISED, RETURNED, Lane, LaneGroup
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
        except ImportError as error:
            COMPILED = False
            warnings.warn(
                f"tgtrio runs on its pure Python twins, many times slower: {error}. "
                "Install a C compiler and reinstall, or set TGTRIO_PURE=1 to accept this.",
                RuntimeWarning,
                stacklevel=2,
            )
    if not COMPILED:
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
    "Pump",
    "ReadyQueue",
]
