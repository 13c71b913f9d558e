"""How a view of a run is drawn with rich, or told in a line. Only this module needs rich."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from .._wording import clock, count
from ._causes import shown
from ._view import OPEN, TERMINAL, View

WIDEST = 100
FRAME = 2  # lines that are left for a notice, and for what the terminal needs itself

STYLES = {
    "succeeded": "green",
    "failed": "red",
    "aborted": "magenta",
    "skipped": "yellow",
    "cancelled": "blue",
    "running": "cyan",
    "ready": "",
    "pending": "",
}


def standard_error() -> Console:
    """A console that prints text as it is: no markup, no emoji codes, no highlighting."""
    return Console(stderr=True, markup=False, emoji=False, highlight=False)


def live_on(console: Console) -> Live:
    """A display that is redrawn by who asks for that, and gone when it is closed."""
    return Live(
        console=console,
        auto_refresh=False,  # it would start a thread
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # what goes to a file must not come here
    )


def picture(view: View, console: Console) -> RenderableType:
    """The head, a bar, the counts; where there are any: holds, breakers, what runs for longest."""
    width = min(console.width, WIDEST) - 1
    lines = [_head(view, width), bar(view.states, width, unicode_of(console)), _counts(view)]
    if view.holds:
        lines.append(Text(f"held  {'  '.join(view.holds)}", "yellow"))
    if view.breakers:
        lines.append(Text(f"breakers  {'  '.join(view.breakers)}", "red"))
    lines += [_running(one) for one in view.running[: max(console.height - FRAME - len(lines), 0)]]
    if view.notice:
        lines.append(Text(view.notice, "yellow"))
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    lines[2].no_wrap, lines[2].overflow = False, "fold"  # no count may be missing
    return Group(*lines)


def line(view: View) -> str:
    """The same in one line, for a log."""
    parts = [f"{count(view.done)} of {count(view.total)} done", _counts(view).plain]
    if view.holds:
        parts.append(f"held {'  '.join(view.holds)}")
    if view.breakers:
        parts.append(f"breakers {'  '.join(view.breakers)}")
    if view.running:
        task_id, _, seconds = view.running[0]
        parts.append(f"longest {clock(seconds)} {shown(task_id)}")
    return f"{', '.join(parts)}, {clock(view.elapsed)}{view.left}"


def unicode_of(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def bar(states: Mapping[str, int], width: int, unicode: bool) -> Text:
    """All tasks as one line, coloured by state; who sees no colour sees what has ended."""
    done, going, rest = ("━", "╸", "─") if unicode else ("#", ">", "-")
    total = max(sum(states.values()), 1)
    text = Text(no_wrap=True)
    passed = 0
    for name in [*TERMINAL, "running"]:
        begin = passed * width // total
        passed += states[name]
        cells = passed * width // total - begin
        text.append((going if name == "running" else done) * cells, STYLES[name])
    return text.append(rest * (width - len(text)), "dim")


def _head(view: View, width: int) -> Text:
    figures = f"{count(view.done)} of {count(view.total)}  {clock(view.elapsed)}"
    figures += "" if view.notice else view.left
    head = Text(view.title, "bold")
    head.truncate(max(width - len(figures) - 2, 8), overflow="ellipsis", pad=True)
    return head.append(f"  {figures}", "not bold")


def _counts(view: View) -> Text:
    """`4 running  12 ready  800 pending  80 succeeded  3 failed  9 of 100 retries`, no zeros."""
    parts = [
        (f"{count(view.states[name])} {name}", STYLES[name])
        for name in [*reversed(OPEN), *TERMINAL]
        if view.states[name]
    ]
    if view.retries:
        parts.append((view.retries_used, ""))
    text = Text()
    for number, part in enumerate(parts):
        text.append("  " if number else "").append(*part)
    return text


def _running(one: tuple[str, int, float]) -> Text:
    task_id, attempt, seconds = one
    tries = f", attempt {attempt + 1}" if attempt else ""
    return Text(f"{clock(seconds):>8}{tries}  ", "cyan").append(shown(task_id), "not bold default")
