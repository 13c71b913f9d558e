"""Exit codes, and the error that ends a command before anything ran."""

from __future__ import annotations

import enum

from .._errors import TgtrioError
from .._results import GraphResult


class ExitCode(enum.IntEnum):
    """What the process tells its caller. 143 is kept for SIGTERM."""

    OK = 0  # every task succeeded or was skipped
    FAILED = 1  # at least one task failed, was aborted or cancelled
    USAGE = 2  # wrong use or bad input; nothing ran
    ENDED = 3  # the run was ended before it was done
    INTERRUPTED = 130  # Ctrl-C


class UsageError(TgtrioError):
    """The command cannot do what it was asked; its text is all that the user sees."""


class ActionExitedError(Exception):
    """An action raised SystemExit, which ends a run at once."""


def exit_code(result: GraphResult, *, interrupted: bool) -> ExitCode:
    if interrupted:
        return ExitCode.INTERRUPTED
    if result.timed_out or result.aborted_reason is not None:
        return ExitCode.ENDED
    return ExitCode.OK if result.ok else ExitCode.FAILED
