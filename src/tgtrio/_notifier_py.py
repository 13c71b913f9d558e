"""The pure Python twin of the notifier. What each method promises stands in `_notifier.pyi`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ._ready_queue_py import ENDED, NOTED
from ._states import STATES, SUCCEEDED

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._instrument import EndHook, StartHook
    from ._node import TaskNode
    from ._ready_queue import ReadyQueue


class Notifier:
    def __init__(
        self,
        queue: ReadyQueue,
        nodes: list[TaskNode],
        finished: Buffer,
        end_of: Callable[[int], float],
        note: Callable[[], object],
        failed: Callable[[Callable[..., object], BaseException], object],
    ) -> None:
        self._queue, self._nodes, self._finished = queue, nodes, memoryview(finished)
        self._end_of, self._note, self._failed = end_of, note, failed
        self._busy = False
        self.on_start: tuple[StartHook, ...] = ()
        self.on_end: tuple[EndHook, ...] = ()

    def notify(self) -> bool:
        if self._busy or not self._queue.logged():
            return False
        self._busy = True
        try:
            for task, what, at in self._queue.take_log():
                self._tell(task, what, at)
        finally:
            self._busy = False
        return True

    def _tell(self, task: int, what: int, at: float) -> None:
        if what == NOTED:
            self._note()
        elif what == ENDED:
            state = self._queue.state(task)
            at = self._finished[task] if state == SUCCEEDED else self._end_of(task)
            self._call(self.on_end, self._nodes[task].task_id, STATES[state], at)
        else:
            self._call(self.on_start, self._nodes[task].task_id, what, at)

    def _call(self, hooks: tuple[Callable[..., object], ...], *about: object) -> None:
        for hook in hooks:
            try:
                hook(*about)
            except BaseException as error:  # whatever it is, the others must hear all the same
                self._failed(hook, error)
