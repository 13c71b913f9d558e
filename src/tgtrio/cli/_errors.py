"""Exit codes, and the errors that end a command."""

from __future__ import annotations

import enum
import signal

import attrs

from .._errors import TgtrioError
from .._results import GraphResult


class ExitCode(enum.IntEnum):
    """What the process tells its caller."""

    OK = 0  # every task succeeded or was skipped
    FAILED = 1  # at least one task failed, was aborted or cancelled
    USAGE = 2  # wrong use or bad input; nothing ran
    ENDED = 3  # the run was ended before it was done
    HUNG_UP = 129  # SIGHUP
    INTERRUPTED = 130  # Ctrl-C
    TERMINATED = 143  # SIGTERM


@attrs.frozen
class Signal:
    """How a signal that ends a run is told.

    Attributes:
        name: What it is called.
        verb: What became of the run.
        code: The exit code.
    """

    name: str
    verb: str
    code: ExitCode


SIGNALS: dict[int, Signal] = {
    signal.SIGINT: Signal("Ctrl-C", "interrupted", ExitCode.INTERRUPTED),
    signal.SIGTERM: Signal("SIGTERM", "terminated", ExitCode.TERMINATED),
}
if hasattr(signal, "SIGHUP"):  # not on Windows
    SIGNALS[signal.SIGHUP] = Signal("SIGHUP", "hung up", ExitCode.HUNG_UP)


class UsageError(TgtrioError):
    """The command cannot do what it was asked; its text is all that the user sees."""


class ActionExitedError(Exception):
    """An action raised SystemExit, which ends a run at once."""


@attrs.frozen
class Outcome:
    """How a run ended.

    Attributes:
        result: Its result.
        signal: The signal that asked for its end, or None.
        store_error: What its store failed with, or "".
    """

    result: GraphResult
    signal: int | None = None
    store_error: str = ""

    @property
    def code(self) -> ExitCode:
        """The exit code."""
        if self.signal is not None:
            return SIGNALS[self.signal].code
        if self.store_error or self.result.timed_out or self.result.aborted_reason is not None:
            return ExitCode.ENDED
        return ExitCode.OK if self.result.ok else ExitCode.FAILED

    @property
    def end(self) -> str:
        """How the run ended before its time, in words; or ""."""
        if self.signal is not None:
            return SIGNALS[self.signal].verb
        if self.store_error:
            return "ended by its store"
        if self.result.timed_out:
            return "timed out"
        return "" if self.result.aborted_reason is None else "aborted"

    @property
    def reason(self) -> str:
        """Why, where that is not all said by `end`."""
        if self.signal is not None or self.result.timed_out:
            return ""
        return self.store_error or self.result.aborted_reason or ""
