"""How a task ended, in words, and the chain from it to the task at the root of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from ._errors import shorten
from ._explanation import ENDED, TaskCause
from ._states import TaskState

MOST_STEPS = 10  # of a chain that are told before it is cut, besides the root

VERBS = {
    TaskState.SUCCEEDED: "succeeded",
    TaskState.FAILED: "failed",
    TaskState.ABORTED: "was aborted",
    TaskState.SKIPPED: "was skipped",
    TaskState.CANCELLED: "was cancelled",
}

Step = TypeVar("Step")


class Ended(Protocol):
    """The end of a task: a `TaskResult`, or what a store has of one."""

    @property
    def task_id(self) -> str: ...
    @property
    def attempts(self) -> int: ...
    @property
    def cached(self) -> bool: ...
    @property
    def execution_time_ms(self) -> float | None: ...
    @property
    def error(self) -> str: ...


def tell_chain(chain: Sequence[Step], tell: Callable[[Step], TaskCause]) -> Iterator[TaskCause]:
    """The steps of a chain, the root last; of a long one the first ones and the root.

    Args:
        chain: The task that is asked about, the one that it blames, and so on to the root.
        tell: Makes a cause of a step; it is asked only for those that are told.
    """
    left_out = len(chain) - MOST_STEPS - 1
    if left_out <= 1:
        yield from map(tell, chain)
        return
    yield from map(tell, chain[:MOST_STEPS])
    yield TaskCause(kind=ENDED, text=f"and so on, through {left_out:,} tasks")
    yield tell(chain[-1])


def tell_end(end: Ended, state: TaskState, blamed: str | None, *, same_work: bool) -> TaskCause:
    """How a task ended.

    Args:
        end: Its end.
        state: The state that it ended in.
        blamed: The task that kept it from success; None if it ended by itself.
        same_work: Is that one equal work, and no dependency?
    """
    name, verb = shorten(end.task_id), VERBS[state]
    if blamed is not None:
        text = f"{name} {verb}, because {shorten(blamed)} did not succeed"
        text += " at the same work" if same_work else ""
    elif end.cached:
        text = f"{name} was served the response of equal work"
    else:
        text = f"{name} {verb}{_tries(end)}{f': {end.error}' if end.error else ''}"
    return TaskCause(kind=ENDED, text=text, subject=end.task_id, tasks=(end.task_id,))


def _tries(end: Ended) -> str:
    took = end.execution_time_ms
    after = "" if took is None else tell_seconds(took / 1000)
    if end.attempts > 1:
        return f" after {end.attempts:,} attempts{f', the last one took {after}' if after else ''}"
    return f" after {after}" if after else ""


def tell_seconds(seconds: float) -> str:
    """`420 ms`, `3.2 s`, `2.5 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
