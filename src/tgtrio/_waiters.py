"""Who waits for the end of single tasks of a run: `Run.wait_for`."""

from __future__ import annotations

import trio

from ._instrument import Instrument
from ._results import GraphResult
from ._states import TaskState


class Waiters(Instrument):
    """Wakes whoever waits for a task as soon as it has ended."""

    def __init__(self) -> None:
        self._events: dict[str, trio.Event] = {}

    def event(self, task_id: str) -> trio.Event:
        """What is set when the task has ended, or at the latest when the run has."""
        return self._events.setdefault(task_id, trio.Event())

    def task_ended(self, task_id: str, _state: TaskState, _at: float) -> None:
        """Wake those who wait for this task."""
        if (event := self._events.pop(task_id, None)) is not None:
            event.set()

    def run_ended(self, _result: GraphResult) -> None:
        """Wake all that are left."""
        for event in self._events.values():
            event.set()
        self._events.clear()
