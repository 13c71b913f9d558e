"""Figures and names as people read them."""

from __future__ import annotations

import math

from .. import _explanation as why
from ._signals import Cause

MOST = 200  # characters of a name or an error that a line shows

# What a task waited for, in the order in which the page lists it.
WAITED_FOR = {
    why.MAX_PARALLEL: "max_parallel",
    why.CAP: "cap of an action",
    why.RESOURCE: "cap of a resource",
    why.LIMITER: "shared limiter",
    why.BREAKER: "open breaker",
    why.COOLING: "cooling down",
    why.BACK_OFF: "back-off",
    why.LEADER: "equal work",
    why.PAUSED: "pause",
    why.TURN: "its turn",
}
_OF = {why.CAP: "cap of {}", why.RESOURCE: "resource {}", why.LIMITER: "limiter of {}"}
_OF |= {why.BREAKER: "breaker of {}", why.COOLING: "RetryLater of {}", why.LEADER: "same as {}"}


def cause_text(cause: Cause) -> str:
    """What a task waited for, in words."""
    kind, subject = cause
    if subject and kind in _OF:
        return _OF[kind].format(cut(visible(subject), 60))
    return WAITED_FOR.get(kind, kind)


def duration(seconds: float) -> str:
    """12 ms, 3.21 s, 4 min 05 s, 2 h 03 min."""
    if math.isnan(seconds):
        return ""
    if seconds < 0.0005:
        return f"{seconds * 1e6:.0f} µs" if seconds > 0 else "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def percent(part: float, whole: float) -> str:
    """A share, so that neither all nor nothing is said of what is only nearly so."""
    if whole <= 0 or part <= 0:
        return "0 %"
    share = 100 * part / whole
    if share < 1:
        return "< 1 %"
    return f"{min(share, 99) if part < whole else share:.0f} %"


def plural(number: int, noun: str) -> str:
    """1 task, 1,738 tasks."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def visible(text: str) -> str:
    """The text with what cannot be seen, or turns the direction of what follows, written out."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def printable(text: str) -> str:
    """The same for text of several lines."""
    return "\n".join(visible(line.replace("\t", "    ")) for line in text.split("\n"))


def cut(text: str, most: int = MOST) -> str:
    """The text, or what there is room for."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
