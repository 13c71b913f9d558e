"""The colours of states: fill and outline. Each is read with black text, and told by its words."""

from __future__ import annotations

from .._states import TaskState

COLOURS: dict[TaskState, tuple[str, str]] = {
    TaskState.SUCCEEDED: ("#c8e6c9", "#2e7d32"),
    TaskState.FAILED: ("#ffcdd2", "#c62828"),
    TaskState.ABORTED: ("#e1bee7", "#6a1b9a"),
    TaskState.SKIPPED: ("#fff9c4", "#f9a825"),
    TaskState.CANCELLED: ("#bbdefb", "#1565c0"),
}
