"""The exception tree.

Every refusal is a `TgtrioError`, and also the built-in error that a caller who
does not know this library would catch: `ValueError`, `TypeError`, `KeyError`.
The text names the task, the value and the way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

LONGEST_VALUE = 200


def shorten(value: object) -> str:
    """The `repr` of a value for a message, cut to 200 characters."""
    if isinstance(value, str | bytes) and len(value) > LONGEST_VALUE:
        value = value[:LONGEST_VALUE]  # do not build the repr of a megabyte
    try:
        text = repr(value)
    except Exception as exc:  # a broken __repr__ must not hide the real error
        text = f"<{type(value).__name__} whose repr raised {type(exc).__name__}>"
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def nearest(name: object, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"`, or nothing where no known name is close."""
    if not isinstance(name, str) or len(name) > LONGEST_VALUE:
        return ""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {shorten(close[0])}?" if close else ""


class TgtrioError(Exception):
    """The base of every refusal and of every failure this library reports itself."""

    def __str__(self) -> str:  # KeyError would print the repr of its argument
        return Exception.__str__(self)


class InvalidValueError(TgtrioError, ValueError):
    """A field or an option has a value that it cannot take."""


class InvalidTypeError(TgtrioError, TypeError):
    """A field or an option is of a type that it cannot be."""


class InvalidArgumentError(TgtrioError, ValueError, TypeError):
    """`normalized_args` is not JSON data.

    `path` leads to the offending value, in the form `normalized_args['a'][0]`.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class DuplicateTaskError(TgtrioError, ValueError):
    """The graph has a task of that id already."""


class UnknownTaskError(TgtrioError, KeyError):
    """No task has that id."""


class UnknownDependencyError(UnknownTaskError):
    """A task names a dependency that the graph does not have."""


class CycleError(TgtrioError, ValueError):
    """The dependencies would form a cycle.

    `path` lists the ids along it; the first one stands at the end again.
    """

    def __init__(self, message: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.path = path


class InvalidGraphError(TgtrioError, ValueError):
    """Several things are wrong with a graph or a batch; `problems` holds each as an error."""

    def __init__(self, message: str, problems: tuple[TgtrioError, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class GraphFileError(TgtrioError, ValueError):
    """A graph file or a stored definition cannot be read as one."""


class UnknownActionError(TgtrioError, KeyError):
    """A task names an action that nothing provides."""


class GraphRunningError(TgtrioError, RuntimeError):
    """The graph is running: it can neither run a second time nor be changed meanwhile."""


class RunFinishedError(TgtrioError, RuntimeError):
    """The run is over and takes no more orders."""


class MissingExtraError(TgtrioError, ImportError):
    """An optional part of the library needs a package that is not installed."""


class TaskTimeoutError(TgtrioError, TimeoutError):
    """An attempt ran longer than its timeout."""


class DeadlineExpiredError(TaskTimeoutError):
    """A task with `expire_at_deadline` was not done by its deadline."""


class CommandFailedError(TgtrioError):
    """A program that the action `shell` ran ended with a non-zero exit code or by a signal."""


class LeakedScopeError(TgtrioError, RuntimeError):
    """An action ended while a cancel scope, nursery or lock that it had entered was still held."""


class CircuitOpenError(TgtrioError):
    """A circuit breaker lets nobody through: it is open, or a probe is under way."""


class StoreError(TgtrioError):
    """A store cannot be opened, read or written.

    `result` is what is known of the run that the failure ended, where it ended one.
    """

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


class LedgerError(TgtrioError, ValueError):
    """A ledger has been changed or cut, or holds a line that is none of its own.

    `line` is the number of the first broken line, from 1.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class EventLoopError(TgtrioError, RuntimeError):
    """Something of asyncio is used where its loop does not run, or of Trio where that runs."""


class AsyncioCancelledError(TgtrioError):
    """The asyncio task of an action was cancelled by somebody who is not the run."""


class CrashLoopError(TgtrioError, RuntimeError):
    """A task was in flight each time the program crashed, and is not tried again."""


class DeadlockError(TgtrioError, RuntimeError):
    """Unfinished tasks are left and nothing can ever start them: a defect of the engine."""
