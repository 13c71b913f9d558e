"""What ends a run before its last task has ended, and what is raised then.

The first cause wins, but a drain that what is in flight outlasts is cut short by the next. Once
the last task has ended, only what is raised counts.
"""

from __future__ import annotations

import trio
from trio.lowlevel import enable_ki_protection

from ._backend import ReadyQueue
from ._columns import Columns, TaskResults
from ._crew import Crew
from ._endings import STATE_CODE
from ._ends import RAISED, Cause, End
from ._errors import StoreError
from ._openness import Openness
from ._parts import Parts
from ._states import READY, TaskState


class Interruptible:
    """A run that can be ended at any time; the base of the engine.

    Attributes:
        end: Why nothing may start any more; None as long as everything may.
        fatal: What is raised at the end.
    """

    end: End | None
    fatal: list[BaseException]
    parts: Parts | None
    crew: Crew
    queue: ReadyQueue
    columns: Columns
    results: TaskResults
    openness: Openness

    def changed(self) -> None:
        """Something changed from outside a pump: see to it that it takes effect."""
        raise NotImplementedError

    def note_abort(self, reason: str) -> None:
        """Write down that a safety rule ends the run."""
        raise NotImplementedError

    @enable_ki_protection
    def cut_short(self, cause: Cause, reason: str) -> None:
        """End the run now: nothing starts any more, what is in flight is cancelled.

        The first cause wins, but a drain that what is in flight outlasts is cut short by the
        next. Once the last task has ended, only what is raised counts.
        """
        if self.is_over():
            return
        if self.queue.unfinished == 0 and cause not in RAISED:
            self.openness.close()  # nothing else is left to be cut short
            return
        self._set_end(End(cause, reason))
        self.crew.cancel()

    def _set_end(self, end: End) -> None:
        if self.end is None:
            self.results.end_reason = end.reason
        self.end = end
        self.queue.stop()
        if self.parts is not None:
            self.parts.dispatch.ended = end.cancels

    def drain(self, reason: str) -> None:
        """End the run gently: nothing starts any more, what is in flight runs to its end."""
        if self.end is not None or self.queue.unfinished == 0:
            self.openness.close()
            return
        self._set_end(End(Cause.DRAINED, reason))
        for rank in self.columns.setbacks:
            if self.queue.state(rank) == READY:  # between two attempts
                self.columns.ended[rank] = trio.current_time()
        self.queue.end_rest(STATE_CODE[TaskState.CANCELLED])
        self.changed()

    def abort(self, reason: str) -> None:
        """A safety rule ends the run."""
        if self.end is None and self.queue.unfinished:
            self.note_abort(reason)
        self.cut_short(Cause.ABORTED, reason)

    def is_over(self) -> bool:
        """Was the run cut short, so that what is in flight is cancelled?"""
        return self.end is not None and self.end.cancels

    def goes_on(self) -> bool:
        """May anything still start?"""
        return self.end is None

    def cancelled(self) -> None:
        """Somebody of this run got `Cancelled`."""
        if self.queue.unfinished:
            self.end_of_run()

    def end_of_run(self) -> End:
        """Why the run is cancelled. If nobody here did it, it was somebody outside."""
        if not self.is_over():
            self._set_end(End(Cause.OUTSIDE, "the run was cancelled from outside"))
        assert self.end is not None
        return self.end

    @enable_ki_protection
    def interrupted(self, error: BaseException) -> None:
        """Something that no action may swallow: end the run, and raise it from there."""
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]  # bare when it is alone
        again = any(isinstance(other, KeyboardInterrupt) for other in self.fatal)
        if not (again and isinstance(error, KeyboardInterrupt)):
            self.fatal.append(error)
        self.cut_short(Cause.INTERRUPTED, f"the run was interrupted by {type(error).__name__}")

    def store_failed(self, error: StoreError) -> None:
        """Nothing can be written any more: that ends the run."""
        if not any(isinstance(other, StoreError) for other in self.fatal):
            self.fatal.append(error)
        self.cut_short(Cause.STORE_FAILED, f"the store failed: {error}")
