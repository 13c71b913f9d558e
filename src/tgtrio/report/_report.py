"""`Report` and `write_report`: the report of a run as a file."""

from __future__ import annotations

import os

from .._errors import InvalidTypeError, InvalidValueError, shorten
from .._files import AnyPath, is_foreign, write_atomically
from .._results import GraphResult
from ._page import check_installed, page_of
from .history import History

MARKS = (b"<!DOCTYPE html>", b'<meta name="generator" content="tgtrio ')  # of the template


class Report(History):
    """An instrument that writes the report of a run to a file, however the run ends.

    The file is self-contained: it needs no network, and nothing beside it. It is written at the
    end of the run, in the thread of Trio: about a second for 10,000 tasks. If it cannot be
    written then, that is logged, and the run ends as it would have.

    Args:
        path: The file. A report that is there already is replaced; another file is not.

    Attributes:
        path: The file.
        written: Has it been written?

    Raises:
        InvalidTypeError, InvalidValueError: `path` is none, no file could be written there, or
            there is one that is no report.
        MissingExtraError: jinja2 is not installed.
    """

    def __init__(self, path: AnyPath) -> None:
        check_installed()
        check_path(path)
        super().__init__()
        self.path, self.written = path, False

    def run_ended(self, result: GraphResult) -> None:
        super().run_ended(result)
        write_report(self.path, result, self)
        self.written = True


def write_report(path: AnyPath, result: GraphResult, history: History) -> None:
    """Write the report of a run to a file; one that is there already is replaced.

    Args:
        path: The file.
        result: How the run ended.
        history: What happened in it.

    Raises:
        RunFinishedError: The history is not that of a run that is over.
        MissingExtraError: jinja2 is not installed.
        OSError: The file cannot be written.
    """
    write_atomically(path, page_of(result, history).encode("utf-8", "backslashreplace"))


def check_path(path: object) -> None:
    """Raise InvalidTypeError or InvalidValueError where no file could be written."""
    if not isinstance(path, str | os.PathLike) or isinstance(path, bytes) or not os.fspath(path):
        raise InvalidTypeError(f"the report's path is {shorten(path)}; it must be a str or a Path")
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if os.path.isdir(target):
        problem = "it is a directory"
    elif not os.path.isdir(folder):
        problem = f"there is no directory {shorten(folder)}"
    elif not os.access(folder, os.W_OK) or (os.path.exists(target) and not os.path.isfile(target)):
        problem = "there is no permission"
    elif is_foreign(target, MARKS):
        problem = "a file is there that is no report of tgtrio; remove it, or give another name"
    else:
        return
    raise InvalidValueError(f"{shorten(os.fspath(path))} cannot be written: {problem}")
