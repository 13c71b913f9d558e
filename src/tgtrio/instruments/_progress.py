"""`Progress`: how far a run is, in a terminal or as a line in a log now and then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio

from .._errors import MissingExtraError
from .._instrument import Instrument, Watched
from ._view import View

if TYPE_CHECKING:
    from rich.console import Console

DELAY = 0.3  # seconds; a run that is over before shows nothing
REFRESH = 0.1  # seconds
LINE_EVERY = 5.0  # seconds
SHARE = 0.03  # of the time, that drawing may take


class Progress(Instrument):
    """Shows how far a run is, what runs for longest, and what holds the rest back.

    In a terminal it is a display that is redrawn in place and gone at the end; elsewhere a line
    every 5 seconds. It asks the run for its figures now and then, so that it costs nothing per
    task, and it starts no thread. A run of less than 0.3 seconds shows nothing.

    A terminal that goes away ends the display, and not the run. `beside` may also be called in a
    Trio task of one's own, with a live handle, and shows the run until it is cancelled.

    Args:
        console: A `rich.console.Console` to draw on; None for standard error.

    Raises:
        MissingExtraError: rich is not installed.
    """

    def __init__(self, console: Console | None = None) -> None:
        try:
            from ._picture import standard_error
        except ModuleNotFoundError as exc:
            if (exc.name or "").partition(".")[0] != "rich":
                raise
            raise MissingExtraError(
                "Progress needs the package rich: pip install 'tgtrio[cli]'"
            ) from exc
        self._console = standard_error() if console is None else console

    def notice(self, states: Mapping[str, int]) -> str:
        """A line of one's own, for subclasses; "" for none.

        Args:
            states: How many tasks are in each state.
        """
        return ""

    async def noticing(self) -> None:
        """Return when `notice` has something new to tell, for subclasses.

        Cancellation: changes nothing.
        """
        await trio.sleep_forever()

    async def beside(self, run: Watched) -> None:
        in_place = self._console.is_terminal and not self._console.is_dumb_terminal
        try:
            await (self._draw(run) if in_place else self._print_lines(run))
        except (OSError, SystemExit):
            # The terminal has gone; of a broken pipe rich makes a SystemExit. The run goes on.
            return

    async def _draw(self, run: Watched) -> None:
        from ._picture import live_on, picture

        started = trio.current_time()
        await trio.sleep(DELAY)
        with live_on(self._console) as live:
            while True:
                begun = trio.current_time()
                view = self._look(run, started)
                live.update(picture(view, self._console), refresh=True)
                spent = trio.current_time() - begun
                await trio.sleep(max(REFRESH, spent / SHARE))

    async def _print_lines(self, run: Watched) -> None:
        from ._picture import line

        started = trio.current_time()
        while True:
            with trio.move_on_after(LINE_EVERY) as patience:
                await self.noticing()
            view = self._look(run, started)
            text = view.notice
            if not text and patience.cancelled_caught:
                text = line(view)
            if text:
                print(f"{view.title}: {text}", file=self._console.file, flush=True)

    def _look(self, run: Watched, started: float) -> View:
        view = View.of(run, trio.current_time() - started)
        view.notice = self.notice(view.states)
        return view
