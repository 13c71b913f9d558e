"""Text that is safe to show, and numbers that read well."""

from __future__ import annotations

import re

from ._errors import shorten

MOST = 200  # characters of an id, or of another text that should be short
_AGE = 3_600 * 24 * 365 * 1_000  # seconds; what is said to have taken longer was tampered with


def visible(text: str) -> str:
    """The text on one line, without anything that moves the cursor or turns the writing.

    Control characters, line ends, direction marks and lone surrogates become what a Python
    string literal would show for them.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return ascii(char)[1:-1]


def cut(text: str, most: int = MOST) -> str:
    """The text, or what there is room for."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def nameless(error: str, task_id: str) -> str:
    """The error with `...` for the task's own id, so that the same of several tasks is alike."""
    error = error.replace(shorten(task_id), "...")  # as errors of this library name it
    if len(task_id) < 3 or task_id.isalpha() or task_id not in error:
        return error  # an id that may be a word like others is known by its quotes only
    return re.sub(rf"(?<!\w){re.escape(task_id)}(?!\w)", "...", error)


def count(number: int) -> str:
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """`1 task`, `2 tasks`, `3 retries`."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun}"


def duration(seconds: float) -> str:
    """`420 µs`, `4.2 ms`, `12 ms`, `3.20 s`, `12.3 s`, `2 min 05 s`, `1 h 02 min`."""
    seconds = min(max(seconds, 0.0), _AGE)
    if seconds < 0.0009995:
        return f"{seconds * 1_000_000:.0f} µs"
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def clock(seconds: float) -> str:
    """`0:07`, `12:34`, `1:02:03`: a duration that keeps its width while it counts."""
    minutes, left = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{left:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}"
