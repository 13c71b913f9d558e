"""What is shown while a run is on its way: a live display, or now and then a line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from .._states import TaskState
from ._text import clock, count, plain

REFRESH = 0.1  # seconds
LINE_EVERY = 5.0  # seconds

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
_TERMINAL = [state.value for state in TaskState if state.terminal]
_OPEN = [state.value for state in TaskState if not state.terminal]


class Watched(Protocol):
    """What a display asks of a run."""

    def statistics(self) -> dict[str, Any]: ...


class Ending(Protocol):
    """What a display asks of a run's end on request."""

    async def change(self) -> None:
        """Wait until `notice` says something else."""

    def notice(self, states: Mapping[str, int]) -> str:
        """What is to be told of it now; or ""."""


class Progress(Protocol):
    async def follow(self, run: Watched, ending: Ending) -> None:
        """Show the run until cancelled."""


class NoProgress:
    async def follow(self, run: Watched, ending: Ending) -> None:
        """Show nothing."""


class LiveProgress:
    """A bar and the counts, redrawn in place by the Trio task that follows the run."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._console = console

    async def follow(self, run: Watched, ending: Ending) -> None:
        """Redraw until cancelled, then leave the terminal as it was."""
        started = trio.current_time()
        live = Live(
            console=self._console,
            auto_refresh=False,  # it would start a thread
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # what goes to a file must not come here
        )
        with live:
            while True:
                elapsed = trio.current_time() - started
                states = run.statistics()["states"]
                live.update(self.picture(states, elapsed, ending.notice(states)), refresh=True)
                await trio.sleep(REFRESH)

    def picture(
        self, states: Mapping[str, int], elapsed: float, notice: str = ""
    ) -> RenderableType:
        total, done = _progress_of(states)
        width = min(self._console.width, 100) - 1
        head = plain(self._title, "bold")
        left = "" if notice else eta(done, total, elapsed)
        figures = f"{count(done)} of {count(total)}  {clock(elapsed)}{left}"
        head.truncate(max(width - len(figures) - 2, 8), overflow="ellipsis", pad=True)
        head.append(f"  {figures}", "not bold")
        head.truncate(self._console.width - 1)
        lines = [head, bar(states, width, unicode_of(self._console)), counts(states)]
        return Group(*lines, *([Text(notice, "yellow")] if notice else []))


class LineProgress:
    """A line every few seconds, for a log, and one when the run is asked to end."""

    def __init__(self, title: str) -> None:
        self._title = plain(title).plain

    async def follow(self, run: Watched, ending: Ending) -> None:
        """Print until cancelled."""
        started = trio.current_time()
        while True:
            with trio.move_on_after(LINE_EVERY) as patience:
                await ending.change()
            states = run.statistics()["states"]
            line = ending.notice(states)
            if not line and patience.cancelled_caught:
                line = self.line(states, trio.current_time() - started)
            if line:
                print(f"{self._title}: {line}", file=sys.stderr, flush=True)

    def line(self, states: Mapping[str, int], elapsed: float) -> str:
        total, done = _progress_of(states)
        figures = f"{count(done)} of {count(total)} done, {counts(states).plain.strip()}"
        return f"{figures}, {clock(elapsed)}{eta(done, total, elapsed)}"


def choose_progress(title: str, console: Console, *, quiet: bool) -> Progress:
    if quiet:
        return NoProgress()
    return LiveProgress(title, console) if console.is_terminal else LineProgress(title)


def _progress_of(states: Mapping[str, int]) -> tuple[int, int]:
    """How many tasks there are, and how many have ended."""
    return sum(states.values()), sum(states[name] for name in _TERMINAL)


def eta(done: int, total: int, elapsed: float) -> str:
    """What is left, if the rest goes like what is done; nothing where that tells nothing."""
    if elapsed < 1 or not done or done == total:
        return ""
    return f"  left {clock(elapsed * (total - done) / done)}"


def unicode_of(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def bar(states: Mapping[str, int], width: int, unicode: bool) -> Text:
    """All tasks as one line, coloured by state; who sees no colour sees what has ended."""
    done, going, rest = ("━", "╸", "─") if unicode else ("#", ">", "-")
    total = max(sum(states.values()), 1)
    text = Text(no_wrap=True)
    passed = 0
    for name in [*_TERMINAL, "running"]:
        begin = passed * width // total
        passed += states[name]
        cells = passed * width // total - begin
        text.append((going if name == "running" else done) * cells, STYLES[name])
    return text.append(rest * (width - len(text)), "dim")


def counts(states: Mapping[str, int]) -> Text:
    """`4 running  12 ready  800 pending  80 succeeded  3 failed`, zeros left out."""
    text = Text(overflow="fold")
    for name in [*reversed(_OPEN), *_TERMINAL]:
        if states[name]:
            text.append(f"{count(states[name])} {name}", STYLES[name])
            text.append("  ")
    text.rstrip()
    return text
