"""What ends a run, and what becomes of its tasks then.

The first cause wins. After it nothing starts any more.
"""

from __future__ import annotations

import enum

import attrs

from ._outcome import Ending
from ._states import TaskState


class Cause(enum.Enum):
    """Why a run ended before its last task did."""

    CANCELLED = "cancelled"
    DRAINED = "drained"  # what is in flight runs to its end
    ABORTED = "aborted"  # by a safety rule
    STORE_FAILED = "the store failed"
    TIMED_OUT = "timed out"
    OUTSIDE = "cancelled from outside"
    INTERRUPTED = "interrupted"


@attrs.frozen
class Fate:
    """What becomes of the tasks: of those in flight, and of those that had not started.

    None: they end as if nothing had happened.
    """

    in_flight: TaskState | None
    not_started: TaskState


FATES: dict[Cause, Fate] = {
    Cause.CANCELLED: Fate(TaskState.CANCELLED, TaskState.CANCELLED),
    Cause.DRAINED: Fate(None, TaskState.CANCELLED),
    Cause.ABORTED: Fate(TaskState.ABORTED, TaskState.ABORTED),
    Cause.STORE_FAILED: Fate(TaskState.CANCELLED, TaskState.CANCELLED),
    Cause.TIMED_OUT: Fate(TaskState.CANCELLED, TaskState.CANCELLED),
    Cause.OUTSIDE: Fate(TaskState.CANCELLED, TaskState.CANCELLED),
    Cause.INTERRUPTED: Fate(TaskState.CANCELLED, TaskState.CANCELLED),
}

RAISED = (Cause.STORE_FAILED, Cause.INTERRUPTED)  # and so told even if the last task had ended

# The state of the run in a store. Only what is "finished" is not resumed by itself.
STORED_STATES = {
    Cause.CANCELLED: "cancelled",
    Cause.DRAINED: "drained",
    Cause.ABORTED: "aborted",
    Cause.STORE_FAILED: "interrupted",
    Cause.TIMED_OUT: "timed_out",
    Cause.OUTSIDE: "cancelled",
    Cause.INTERRUPTED: "interrupted",
}


@attrs.frozen
class End:
    """The end of a run that was cut short."""

    cause: Cause
    reason: str

    @property
    def fate(self) -> Fate:
        return FATES[self.cause]

    @property
    def ending(self) -> Ending:
        """How the attempts end that it cancels."""
        return Ending.ABORTED if self.cause is Cause.ABORTED else Ending.CANCELLED

    @property
    def cancels(self) -> bool:
        """Is what is in flight cancelled?"""
        return self.fate.in_flight is not None


def raise_together(errors: list[BaseException]) -> None:
    """Raise the errors: one bare, several in a group."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise BaseExceptionGroup("several errors ended the run", errors)
