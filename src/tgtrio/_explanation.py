"""What is said of why a task does not run, or why it ended as it did."""

from __future__ import annotations

from datetime import datetime

import attrs

from ._records import Record
from ._states import TaskState

# What can keep a task from running.
DEPENDENCY = "dependency"  # it has not ended
PAUSED = "paused"  # the run is, by hand or because too much waits to be written
ENDING = "ending"  # the run is being ended: nothing starts any more
MAX_PARALLEL = "max_parallel"
CAP = "cap"  # of its action
RESOURCE = "resource"  # the cap of a resource
LIMITER = "limiter"  # one that the caller shares has no token free
BREAKER = "breaker"
COOLING = "cooling"  # a RetryLater of another task of its action
BACK_OFF = "back_off"
LEADER = "leader"  # equal work is under way
STORE = "store"  # something must be on disk, or be looked up, before
TURN = "turn"  # nothing: others come first, or it starts in this very moment
IN_FLIGHT = "in_flight"  # it runs
# Of a task that has ended: how that came, from the task to the root of it.
ENDED = "ended"
# Of a task out of a store.
RUN = "run"  # what became of the run before the task had ended
EARLIER = "earlier"  # how the task ended in an earlier life of a resumed run


@attrs.frozen(kw_only=True)
class TaskCause(Record):
    """One cause of why a task does not run, or one step to why it ended as it did.

    Attributes:
        kind: One of the words of `tgtrio.CAUSES`.
        text: All of it in words.
        subject: The action, resource or task that it is about; "" where there is none.
        tasks: Who is in the way, at most 10: a dependency, those in flight behind a cap, a leader.
        taken: How many are in flight, where a limit is the cause; else None.
        limit: The limit; else None.
        until: When time alone will lift it (aware, UTC); None if something else must.
    """

    kind: str
    text: str
    subject: str = ""
    tasks: tuple[str, ...] = ()
    taken: int | None = None
    limit: int | None = None
    until: datetime | None = None


@attrs.frozen(kw_only=True)
class Explanation(Record):
    """Why a task does not run, or why it ended as it did; `str()` is a text for people.

    Attributes:
        task_id: The task.
        state: Its state.
        causes: All that keeps it from running, at least one unless it has ended; of a task that
            has ended how that came, the task itself first and the root last; out of a store also
            how it ended before the run was resumed.
    """

    task_id: str
    state: TaskState
    causes: tuple[TaskCause, ...]

    def __str__(self) -> str:
        shown = [cause.text for cause in self.causes[:MOST_SHOWN]]
        if len(self.causes) > MOST_SHOWN:
            shown.append(f"and {len(self.causes) - MOST_SHOWN:,} more")
        return "\n  ".join([f"task {self.task_id!r} {self.says}:", *shown])

    @property
    def says(self) -> str:
        """The state in words, such as "failed" or "is ready, and waits"."""
        told = any(cause.kind == RUN for cause in self.causes)
        return "has not ended" if told and not self.state.terminal else SAYS[self.state]


MOST_SHOWN = 20
CAUSES = (
    DEPENDENCY, PAUSED, ENDING, MAX_PARALLEL, CAP, RESOURCE, LIMITER, BREAKER, COOLING, BACK_OFF,
    LEADER, STORE, TURN, IN_FLIGHT, ENDED, RUN, EARLIER,
)  # fmt: skip
SAYS = {
    TaskState.PENDING: "waits for what it depends on",
    TaskState.READY: "is ready, and waits",
    TaskState.RUNNING: "is running",
    TaskState.SUCCEEDED: "succeeded",
    TaskState.FAILED: "failed",
    TaskState.ABORTED: "was aborted",
    TaskState.SKIPPED: "was skipped",
    TaskState.CANCELLED: "was cancelled",
}
