"""Calls the hooks of instruments for what a queue has logged, in batches.

To call them where things happen would put their Python code into the midst of compiled steps.
"""

from collections.abc import Callable

from typing_extensions import Buffer

from ._instrument import EndHook, ReadyHook, StartHook
from ._node import TaskNode
from ._ready_queue import ReadyQueue

class Notifier:
    """The reader of the log of one queue.

    Args:
        queue: The queue, of the same backend.
        nodes: The tasks, by rank.
        finished: When the last attempt of each task ended; so also when a task SUCCEEDED.
        began: When the run began; what is READY then has waited for nobody.
        end_of: When a task ended that did not succeed, by rank.
        note: Called at the place of each note in the log.
        failed: Called with a hook and what it raised.
    """

    def __init__(
        self,
        queue: ReadyQueue,
        nodes: list[TaskNode],
        finished: Buffer,
        began: float,
        end_of: Callable[[int], float],
        note: Callable[[], object],
        failed: Callable[[Callable[..., object], BaseException], object],
    ) -> None: ...

    on_ready: tuple[ReadyHook, ...]
    """Called with task id and instant; may be replaced at any time, as the others."""
    on_start: tuple[StartHook, ...]
    """Called with task id, attempt and instant."""
    on_end: tuple[EndHook, ...]
    """Called with task id, state and instant."""

    def bind(self, nodes: list[TaskNode], finished: Buffer) -> None:
        """Work on these from now on: the graph has grown, and they have moved."""

    def notify(self) -> bool:
        """Read what is in the log now. False: nothing, or it is being read already."""
