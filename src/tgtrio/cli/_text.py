"""Text that is safe to show, and numbers that read well."""

from __future__ import annotations

from rich.text import Text


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


def plain(text: str, style: str = "") -> Text:
    """User text for rich: visible, and never read as markup."""
    return Text(visible(text), style)


def one_line(text: str) -> Text:
    """The same, cut where there is no room for it."""
    cut = plain(text)
    cut.no_wrap, cut.overflow = True, "ellipsis"
    return cut


def ends_of(text: str, most: int) -> list[str]:
    """The lines that are not blank, visible; of too many the first ones and the last ones.

    An exception says first what is wrong, a program last.
    """
    lines = [visible(line.expandtabs(4).rstrip()) for line in text.splitlines() if line.strip()]
    if len(lines) <= most:
        return lines
    first = most // 2
    last = most - first - 1
    return [*lines[:first], f"... {len(lines) - first - last} more lines", *lines[-last:]]


def count(number: int) -> str:
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """`1 task`, `2 tasks`, `3 retries`."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun}"


def duration(seconds: float) -> str:
    """`420 µs`, `4.2 ms`, `12 ms`, `3.20 s`, `12.3 s`, `2 min 05 s`, `1 h 02 min`."""
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
