"""What ends a run, and what becomes of its tasks then.

The first cause wins. After it nothing starts any more.
"""

from __future__ import annotations

import enum

import attrs

from ._states import TaskState


class Cause(enum.Enum):
    """Why a run ended before its last task did."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    OUTSIDE = "cancelled from outside"
    INTERRUPTED = "interrupted"


@attrs.frozen
class Fate:
    """What becomes of the tasks: of those in flight, and of those that had not started."""

    in_flight: TaskState
    not_started: TaskState


FATES: dict[Cause, Fate] = {
    Cause.CANCELLED: Fate(TaskState.CANCELLED, TaskState.CANCELLED),
    Cause.TIMED_OUT: Fate(TaskState.CANCELLED, TaskState.CANCELLED),
    Cause.OUTSIDE: Fate(TaskState.CANCELLED, TaskState.CANCELLED),
    Cause.INTERRUPTED: Fate(TaskState.CANCELLED, TaskState.CANCELLED),
}


@attrs.frozen
class End:
    """The end of a run that was cut short."""

    cause: Cause
    reason: str

    @property
    def fate(self) -> Fate:
        return FATES[self.cause]


def raise_together(errors: list[BaseException]) -> None:
    """Raise the errors: one bare, several in a group."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise BaseExceptionGroup("several errors ended the run", errors)
