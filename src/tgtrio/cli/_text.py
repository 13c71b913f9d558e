"""Text that is safe to show, in what `rich` prints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from rich.text import Text

from .._wording import MOST as MOST
from .._wording import clock as clock
from .._wording import count as count
from .._wording import counted as counted
from .._wording import cut as cut
from .._wording import duration as duration
from .._wording import visible as visible

MOST_OF_LINE = 240  # characters of a line of an error
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_HEX = re.compile("[0-9a-f]{32}")


def plain(text: str, style: str = "") -> Text:
    """User text for rich: visible, never read as markup, and not endless."""
    return Text(visible(cut(text)), style)


def one_line(text: str, style: str = "") -> Text:
    """The same, cut where there is no room for it."""
    line = plain(text, style)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def ends_of(text: str, most: int) -> list[str]:
    """The lines that are not blank, visible; of too many the first ones and the last ones.

    An exception says first what is wrong, a program last.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) <= most:
        return [_shown(line) for line in lines]
    first = most // 2
    last = most - first - 1
    more = f"... {len(lines) - first - last} more lines"
    return [*map(_shown, lines[:first]), more, *map(_shown, lines[-last:])]


def _shown(line: str) -> str:
    return visible(cut(line.expandtabs(4).rstrip(), MOST_OF_LINE))


def instant(when: datetime) -> str:
    """`2026-01-02 12:34:56`, local time."""
    return f"{_local(when):%Y-%m-%d %H:%M:%S}"


def day_and_time(when: datetime, now: datetime) -> str:
    """` 2 Jan 12:34`, local time; of another year ` 2 Jan  2025`. Always 12 wide."""
    when, now = _local(when), _local(now)
    time = f"{when:%H:%M}" if when.year == now.year else f" {when.year:04}"
    return f"{when.day:2} {_MONTHS[when.month - 1]} {time}"


def _local(when: datetime) -> datetime:
    try:
        return when.astimezone()
    except (OverflowError, OSError, ValueError):  # of a year that the system cannot reckon with
        return when


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """What to call runs: of the ids that nobody chose the first 8 characters, if those differ."""
    ids = set(ids)
    length = 8
    while length < 32 and len({one[:length] for one in ids}) < len(ids):
        length += 1
    return {one: one[:length] if _HEX.fullmatch(one) else one for one in ids}
