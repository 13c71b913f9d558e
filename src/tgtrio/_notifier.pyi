"""Calls the hooks of instruments for what a queue has logged, in batches.

To call them where things happen would put their Python code into the midst of compiled steps.
"""

from collections.abc import Callable

from typing_extensions import Buffer

from ._instrument import EndHook, StartHook
from ._node import TaskNode
from ._ready_queue import ReadyQueue

class Notifier:
    """The reader of the log of one queue.

    Args:
        queue: The queue, of the same backend.
        nodes: The tasks, by rank.
        finished: When the last attempt of each task ended; so also when a task SUCCEEDED.
        end_of: When a task ended that did not succeed, by rank.
        note: Called at the place of each note in the log.
        failed: Called with a hook and what it raised.
    """

    def __init__(
        self,
        queue: ReadyQueue,
        nodes: list[TaskNode],
        finished: Buffer,
        end_of: Callable[[int], float],
        note: Callable[[], object],
        failed: Callable[[Callable[..., object], BaseException], object],
    ) -> None: ...

    on_start: tuple[StartHook, ...]
    """Called with task id, attempt and instant; may be replaced at any time."""
    on_end: tuple[EndHook, ...]
    """Called with task id, state and instant."""

    def notify(self) -> bool:
        """Read what is in the log now. False: nothing, or it is being read already."""
