"""Finds whose equal work a task was served."""

from __future__ import annotations

from collections.abc import Mapping

from .._results import TaskResult
from .._states import FAILED, SUCCEEDED
from ._record import Record


class Leaders:
    """Whom the tasks that were served followed.

    Args:
        record: Of the run.
        results: Of its tasks.
    """

    def __init__(self, record: Record, results: Mapping[str, TaskResult]) -> None:
        self._record, self._results = record, results
        self._by_key: dict[str, dict[str, int]] = {}  # action to key to task

    def follows(self, task: int) -> bool:
        """Did this task wait for equal work that was under way, to the end?"""
        record = self._record
        if not record.served(task) or record.ended[task] <= record.ready[task]:
            return False
        if record.states[task] == FAILED:
            return self._result(task).caused_by is not None
        return record.states[task] == SUCCEEDED

    def leader_of(self, task: int) -> int:
        """The task that did the work; -1 if it was of another run."""
        result = self._result(task)
        if result.caused_by is not None:
            return self._record.index[result.caused_by]
        action = self._record.nodes[task].action_name
        if action not in self._by_key:
            self._by_key[action] = self._keys(action)
        return self._by_key[action].get(result.idempotency_key or "", -1)

    def _keys(self, action: str) -> dict[str, int]:
        record = self._record
        ran = (
            task
            for task, node in enumerate(record.nodes)
            if node.action_name == action and record.last[task] >= 0
        )
        return {self._result(task).idempotency_key or "": task for task in ran}

    def _result(self, task: int) -> TaskResult:
        return self._results[self._record.nodes[task].task_id]
