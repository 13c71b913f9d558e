"""What is shown while a run is on its way."""

from __future__ import annotations

import io
import math
import re
import threading
from typing import Any

import pytest
import trio
from rich.console import Console

from tgtrio._states import TaskState
from tgtrio.cli._progress import (
    LINE_EVERY,
    LineProgress,
    LiveProgress,
    NoProgress,
    bar,
    choose_progress,
    eta,
)


def states(**numbers: int) -> dict[str, int]:
    return {**{state.value: 0 for state in TaskState}, **numbers}


class NoEnd:
    """Nobody asks the run to end."""

    async def change(self) -> None:
        await trio.sleep_forever()

    def notice(self, states: object) -> str:
        return ""


class AskedToEnd:
    """Somebody asks for it after some seconds."""

    def __init__(self, after: float) -> None:
        self.when = trio.current_time() + after

    async def change(self) -> None:
        now = trio.current_time()
        await trio.sleep_until(self.when if now < self.when else math.inf)

    def notice(self, states: object) -> str:
        left = self.when + 10 - trio.current_time()
        return f"draining, {left:g} s left" if left <= 10 else ""


class FakeRun:
    def __init__(self, **numbers: int) -> None:
        self.states = states(**numbers)

    def statistics(self) -> dict[str, Any]:
        return {"states": self.states}


def terminal(width: int) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, force_terminal=True, color_system=None), file


def test_a_bar_is_as_long_as_the_work_that_has_ended() -> None:
    line = bar(states(succeeded=5, failed=1, running=1, pending=3), 20, unicode=False)
    assert line.plain == "############>>------"
    assert bar(states(), 4, unicode=True).plain == "────"


@pytest.mark.parametrize(
    ("done", "elapsed", "shown"),
    [(0, 9.0, ""), (5, 0.5, ""), (5, 10.0, "  left 0:10"), (10, 9.0, "")],
)
def test_what_is_left_is_guessed_where_there_is_something_to_go_by(
    done: int, elapsed: float, shown: str
) -> None:
    assert eta(done, 10, elapsed) == shown


@pytest.mark.parametrize("width", [40, 60, 200])
def test_the_picture_fits_the_terminal(width: int) -> None:
    console, file = terminal(width)
    counts = states(pending=800, ready=12, running=4, succeeded=1809, failed=3, skipped=1)
    console.print(LiveProgress("[red]a name\n" * 20, console).picture(counts, 754.0))
    lines = file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("[red]a ")
    if width >= 60:
        assert lines[0].rstrip().endswith("1,813 of 2,629  12:34  left 5:39")
    assert "1,809 succeeded" in " ".join(" ".join(lines[2:]).split())


async def test_a_terminal_is_redrawn_without_a_thread(autojump_clock: trio.abc.Clock) -> None:
    console, file = terminal(60)
    run = FakeRun(running=1, succeeded=1)
    threads = threading.active_count()
    with trio.move_on_after(2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(LiveProgress("g", console).follow, run, NoEnd())
            await trio.sleep(1.95)
            assert threading.active_count() == threads
            run.states = states(succeeded=2)
    assert "1 of 2  0:01" in file.getvalue()
    assert file.getvalue().count("━") > 100
    assert "\x1b[?25h" in file.getvalue()  # the cursor is back


async def test_a_log_gets_a_line_now_and_then(
    autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with trio.move_on_after(LINE_EVERY * 2.5):
        await LineProgress("g\x1b").follow(FakeRun(running=2, succeeded=7, failed=1), NoEnd())
    assert capsys.readouterr().err.splitlines() == [
        r"g\x1b: 8 of 10 done, 2 running  7 succeeded  1 failed, 0:05  left 0:01",
        r"g\x1b: 8 of 10 done, 2 running  7 succeeded  1 failed, 0:10  left 0:02",
    ]


async def test_a_log_is_told_of_the_end_at_once_and_then_now_and_then(
    autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with trio.move_on_after(LINE_EVERY * 2.5):
        await LineProgress("g").follow(FakeRun(running=2), AskedToEnd(LINE_EVERY + 1))
    assert capsys.readouterr().err.splitlines() == [
        "g: 0 of 2 done, 2 running, 0:05",
        "g: draining, 10 s left",
        "g: draining, 5 s left",
    ]


async def test_a_terminal_counts_down_to_the_end(autojump_clock: trio.abc.Clock) -> None:
    console, file = terminal(60)
    run = FakeRun(running=1, succeeded=1)
    with trio.move_on_after(5):
        await LiveProgress("g", console).follow(run, AskedToEnd(2))
    assert "draining, 10 s left" in file.getvalue()
    assert "draining, 7.5 s left" in file.getvalue()
    assert "left 0:02\n" not in file.getvalue()  # the guess when all will be done


def test_the_display_suits_the_stream() -> None:
    assert isinstance(choose_progress("g", terminal(60)[0], quiet=False), LiveProgress)
    log = Console(file=io.StringIO())
    assert isinstance(choose_progress("g", log, quiet=False), LineProgress)
    assert isinstance(choose_progress("g", log, quiet=True), NoProgress)


def test_without_colour_nothing_but_text_is_written() -> None:
    console, file = terminal(60)
    console.print(LiveProgress("g", console).picture(states(running=1, failed=1), 1.0))
    assert not re.search(r"\x1b\[3\d", file.getvalue())
