"""The pure Python twin of the notifier. What each method promises stands in `_notifier.pyi`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ._ready_queue_py import ENDED, NOTED, READIED
from ._states import STATES, SUCCEEDED

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._instrument import EndHook, ReadyHook, StartHook
    from ._node import TaskNode
    from ._ready_queue import ReadyQueue


class Notifier:
    def __init__(
        self,
        queue: ReadyQueue,
        nodes: list[TaskNode],
        finished: Buffer,
        began: float,
        end_of: Callable[[int], float],
        note: Callable[[], object],
        failed: Callable[[Callable[..., object], BaseException], object],
    ) -> None:
        self._queue = queue
        self.bind(nodes, finished)
        self._began, self._end_of, self._note, self._failed = began, end_of, note, failed
        self._busy = False
        self.on_ready: tuple[ReadyHook, ...] = ()
        self.on_start: tuple[StartHook, ...] = ()
        self.on_end: tuple[EndHook, ...] = ()

    def bind(self, nodes: list[TaskNode], finished: Buffer) -> None:
        self._nodes, self._finished = nodes, memoryview(finished)

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
            state = STATES[self._queue.state(task)]
            self._call(self.on_end, self._nodes[task].task_id, state, self._ended(task))
        elif what == READIED:
            self._call(self.on_ready, self._nodes[task].task_id, self._ended(int(at)))
        else:
            self._call(self.on_start, self._nodes[task].task_id, what, at)

    def _ended(self, task: int) -> float:
        if task < 0:
            return self._began
        if self._queue.state(task) == SUCCEEDED:
            return self._finished[task]
        return self._end_of(task)

    def _call(self, hooks: tuple[Callable[..., object], ...], *about: object) -> None:
        for hook in hooks:
            try:
                hook(*about)
            except BaseException as error:  # whatever it is, the others must hear all the same
                self._failed(hook, error)
