"""What watches a run for the command, beside its display: `--report`, `--events` and so on."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sys
from collections.abc import Iterator

from .._errors import InvalidTypeError, InvalidValueError, MissingExtraError
from .._instrument import Instrument
from ..instruments import EventLog, Logging, Timeline
from ..report import Report
from ._errors import UsageError
from ._options import RunOptions
from ._text import visible


def check_files(graph_file: str, options: RunOptions) -> None:
    """Raise UsageError if two of the files of a run are one, by whatever name."""
    named = {
        "GRAPH_FILE": graph_file,
        "--store": options.store,
        "--report": options.report,
        "--timeline": options.timeline,
        "--events": options.events,
    }
    files = [(name, path) for name, path in named.items() if path]
    for (name, path), (other, same) in itertools.combinations(files, 2):
        if _one_file(path, same):
            raise UsageError(
                f"{other} {same}: that is the file of {name}, too; give each a file of its own"
            )


def _one_file(path: str, other: str) -> bool:
    try:
        if os.path.realpath(path) == os.path.realpath(other):
            return True
        return os.path.samefile(path, other)
    except (OSError, ValueError):  # one of them is not there yet, or no file can be called so
        return False


def make_instruments(options: RunOptions) -> list[Instrument]:
    """The instruments that are asked for. Raises UsageError for a file that cannot be written."""
    instruments: list[Instrument] = []
    for option, path, make in (
        ("--report", options.report, Report),
        ("--timeline", options.timeline, Timeline),
        ("--events", options.events, EventLog),
    ):
        if path is not None:
            try:
                instruments.append(make(path))
            except MissingExtraError as exc:
                raise UsageError(f"{option}: {exc}") from exc
            except (InvalidTypeError, InvalidValueError) as exc:
                raise UsageError(f"{option} {exc}") from exc
    if options.verbose:
        instruments.append(Logging(level=logging.DEBUG))
    return instruments


@contextlib.contextmanager
def logged(wanted: bool) -> Iterator[None]:
    """What is logged by this package goes to standard error, all of it."""
    if not wanted:
        yield
        return
    log, handler = logging.getLogger("tgtrio"), _Handler()
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


class _Handler(logging.Handler):
    """Prints on what standard error is now: a live display has it replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            for line in self.format(record).splitlines():
                print(visible(line), file=sys.stderr, flush=True)
        except OSError:  # nobody reads it any more; the run goes on
            self.setLevel(logging.CRITICAL + 1)
