"""`Progress`: what is shown while a run is on its way."""

from __future__ import annotations

import io
import logging
import re
import sys
import threading
from collections.abc import Mapping
from typing import Any

import pytest
import trio
from rich.console import Console
from trio.testing import MockClock

from tgtrio import (
    BreakerPolicy,
    Explanation,
    MissingExtraError,
    RetryPolicy,
    TaskState,
    open_run,
    run_graph,
)
from tgtrio.instruments import Progress
from tgtrio.instruments._picture import bar, line, picture
from tgtrio.instruments._progress import LINE_EVERY
from tgtrio.instruments._view import MOST_HOLDS, View

from .runs import graph_of, nap, raises, sleeps, task


def states(**numbers: int) -> dict[str, int]:
    return {**{state.value: 0 for state in TaskState}, **numbers}


def view(elapsed: float = 1.0, **fields: Any) -> View:
    defaults: dict[str, Any] = {
        "title": "g",
        "states": states(),
        "cached": 0,
        "retries": 0,
        "budget": 100,
        "running": [],
        "holds": [],
        "breakers": [],
    }
    return View(elapsed=elapsed, **{**defaults, **fields})


def terminal(width: int = 60, **options: Any) -> Console:
    defaults = {"file": io.StringIO(), "height": 25, "color_system": None, "markup": False}
    return Console(width=width, force_terminal=True, **{**defaults, **options})


def log() -> Console:
    return Console(file=io.StringIO(), force_terminal=False)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def drawn(one: View, width: int = 80, **options: Any) -> list[str]:
    console = terminal(width, **options)
    console.print(picture(one, console))
    return [text.rstrip() for text in written(console).splitlines()]


# What is drawn


def test_a_bar_is_as_long_as_the_work_that_has_ended() -> None:
    text = bar(states(succeeded=5, failed=1, running=1, pending=3), 20, unicode=False)
    assert text.plain == "############>>------"
    assert bar(states(), 4, unicode=True).plain == "────"


@pytest.mark.parametrize(
    ("done", "cached", "elapsed", "told"),
    [
        (0, 0, 9.0, ""),
        (5, 0, 0.5, ""),
        (5, 0, 10.0, "  left 0:10"),
        (5, 4, 10.0, "  left 0:50"),  # what was served took no time
        (5, 5, 10.0, ""),
        (10, 0, 9.0, ""),
    ],
)
def test_what_is_left_is_guessed_where_there_is_something_to_go_by(
    done: int, cached: int, elapsed: float, told: str
) -> None:
    counts = states(succeeded=done, pending=10 - done)
    assert view(elapsed, states=counts, cached=cached).left == told


def test_all_that_there_is_to_tell_is_drawn() -> None:
    full = view(
        754.0,
        states=states(pending=800, ready=12, running=2, succeeded=1809, failed=3),
        retries=7,
        running=[("slow", 0, 62.0), ("odd", 2, 3.0)],
        holds=["10 cap of fetch", "2 back-off"],
        breakers=["api half-open"],
        notice="draining",
    )
    head, _, *rest = drawn(full)
    assert head.startswith("g ")
    assert head.endswith("  1,812 of 2,626  12:34")
    assert rest == [
        "2 running  12 ready  800 pending  1,809 succeeded  3 failed  7 of 100 retries",
        "held  10 cap of fetch  2 back-off",
        "breakers  api half-open",
        "    1:02  slow",
        "    0:03, attempt 3  odd",
        "draining",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_picture_fits_the_terminal_whatever_the_names(width: int) -> None:
    name = "[red]a\u202e日本\\n\x1b[2J" * 20
    full = view(
        754.0,
        title=View.of(FakeRun(name), 0).title,
        states=states(pending=800, ready=12, running=4, succeeded=1809, failed=3, skipped=1),
        running=[(name, 1, 62.0)] * 5,
        holds=View.of(FakeRun(name), 0).holds,
        breakers=[f"{View.of(FakeRun(name), 0).title} open"],
    )
    lines = drawn(full, width)
    console = terminal(width)
    assert all(console.render_str(text).cell_len <= width for text in lines)
    assert lines[0].startswith("[red]a\\")
    assert not any("\x1b" in text for text in lines)
    assert "1,809 succeeded" in " ".join(" ".join(lines).split())
    assert len([text for text in lines if "1:02" in text]) == 5


def test_a_picture_is_no_higher_than_the_terminal() -> None:
    running = [(f"t{number}", 0, 9.0) for number in range(5)]
    for height in (5, 8, 10, 12):
        assert len(drawn(view(running=running, states=states(running=5)), height=height)) < height


class FakeRun:
    """A run of one graph, held by everything."""

    run_id = "r"

    def __init__(self, name: str) -> None:
        self.graph = graph_of("t", graph_id=name)

    def statistics(self) -> dict[str, Any]:
        figures = {"retry_tokens_used": 0, "cached_tasks": 0, "breaker_states": {}}
        return {"states": states(), **figures}

    def holds(self) -> dict[tuple[str, str], int]:
        return {("cap", f"{self.graph.graph_id}{number}"): number + 1 for number in range(9)}

    def running(self, limit: int = 10) -> list[tuple[str, int, float]]:
        return []

    def explain(self, task_id: str) -> Explanation:
        raise NotImplementedError


def test_of_many_holds_the_most_are_named() -> None:
    holds = View.of(FakeRun("a"), 0).holds
    assert holds[0] == "9 cap of a8"
    assert holds[MOST_HOLDS:] == ["15 by 5 others"]


def test_without_colour_nothing_but_text_is_written() -> None:
    lines = drawn(view(states=states(running=1, failed=1), notice="n"))
    assert not re.search(r"\x1b\[", "".join(lines))


def test_a_line_tells_the_same() -> None:
    told = line(
        view(
            10.0,
            states=states(running=1, ready=4, succeeded=5),
            running=[("slow\n", 0, 7.0)],
            holds=["4 max_parallel"],
            breakers=["api half-open"],
            retries=1,
        )
    )
    assert told == (
        "5 of 10 done, 1 running  4 ready  5 succeeded  1 of 100 retries, held 4 max_parallel, "
        "breakers api half-open, longest 0:07 slow\\n, 0:10  left 0:10"
    )


# A run that is watched


async def test_a_terminal_is_redrawn_without_a_thread_and_left_as_it_was(
    autojump_clock: MockClock,
) -> None:
    console, threads = terminal(), threading.active_count()
    graph = graph_of({"task_id": "a", "normalized_args": {"seconds": 1}}, task("b", "a"))
    async with open_run(graph, {"work": nap}, instruments=[Progress(console)]):
        await trio.sleep(1.5)
        assert threading.active_count() == threads
        assert "1 of 2  0:01" in written(console)
        assert written(console).endswith("1 running  1 succeeded")
    assert written(console).count("━") > 100
    assert written(console).endswith("\x1b[?25h\r\x1b[1A\x1b[2K\x1b[1A\x1b[2K\x1b[1A\x1b[2K")


async def test_what_runs_what_is_held_and_what_is_used_up_are_seen_in_a_run(
    autojump_clock: MockClock, wall_start: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(
        "a",
        task("b"),
        task("broken", action_name="fail", max_retries=9),
        task("behind", action_name="fail"),
    )
    views: list[View] = []

    async def look(run: Any) -> None:
        await trio.sleep(5)
        views.append(View.of(run, 5.0))

    progress = Progress(log())
    monkeypatch.setattr(progress, "beside", look)
    await run_graph(
        graph,
        {"work": sleeps(9), "fail": raises()},
        instruments=[progress],
        per_action_caps={"work": 1},
        retry=RetryPolicy(base=0, cap=0),
        breaker=BreakerPolicy(window=2, give_up_after=1),
    )
    (seen,) = views
    assert seen.running == [("a", 0, 5.0)]
    assert seen.holds == ["2 breaker of fail", "1 cap of work"]
    assert seen.retries_used == "1 of 100 retries"
    (breaker,) = seen.breakers
    assert re.fullmatch(r"fail open until \d\d:\d\d:30", breaker)


async def test_a_short_run_shows_nothing(autojump_clock: MockClock) -> None:
    console = terminal()
    await run_graph(graph_of("a"), {"work": sleeps(0.25)}, instruments=[Progress(console)])
    assert written(console) == ""


async def test_a_log_gets_a_line_now_and_then(autojump_clock: MockClock) -> None:
    console = log()
    graph = graph_of("a", task("b", "a"), "c", graph_id="g\x1b")
    await run_graph(graph, {"work": sleeps(LINE_EVERY + 1)}, instruments=[Progress(console)])
    assert written(console).splitlines() == [
        r"g\x1b: 0 of 3 done, 2 running  1 pending, longest 0:05 a, 0:05",
        r"g\x1b: 2 of 3 done, 1 running  2 succeeded, longest 0:04 b, 0:10  left 0:05",
    ]


async def test_a_dumb_terminal_is_taken_for_a_log(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    console = terminal()
    await run_graph(graph_of("a"), {"work": sleeps(7)}, instruments=[Progress(console)])
    assert written(console) == "g: 0 of 1 done, 1 running, longest 0:05 a, 0:05\n"


class WithNotice(Progress):
    """Has something to tell from the seventh second on."""

    async def noticing(self) -> None:
        await trio.sleep_until(7 if trio.current_time() < 7 else 1e6)

    def notice(self, states: Mapping[str, int]) -> str:
        return f"{states['running']} left" if trio.current_time() >= 7 else ""


async def test_a_notice_is_told_at_once_and_then_instead_of_the_figures(
    autojump_clock: MockClock,
) -> None:
    console = log()
    await run_graph(graph_of("a"), {"work": sleeps(13)}, instruments=[WithNotice(console)])
    assert written(console).splitlines() == [
        "g: 0 of 1 done, 1 running, longest 0:05 a, 0:05",
        "g: 1 left",
        "g: 1 left",
    ]


async def test_a_terminal_shows_the_notice_below(autojump_clock: MockClock) -> None:
    console = terminal()
    await run_graph(graph_of("a"), {"work": sleeps(8)}, instruments=[WithNotice(console)])
    assert written(console).count("1 left") > 5


class Gone(io.StringIO):
    """A terminal that has gone."""

    def write(self, text: str) -> int:
        raise self.error

    error: BaseException = OSError(5, "gone")


@pytest.mark.parametrize("error", [OSError(5, "gone"), SystemExit(1)])
@pytest.mark.parametrize("in_place", [False, True])
async def test_a_run_goes_on_when_nobody_watches_any_more(
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
    in_place: bool,
) -> None:
    file = Gone()
    file.error = error
    console = terminal(file=file) if in_place else Console(file=file, force_terminal=False)
    result = await run_graph(graph_of("a"), {"work": sleeps(9)}, instruments=[Progress(console)])
    assert result.ok
    assert caplog.records == []


async def test_two_runs_may_be_watched_on_one_console(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    console = terminal()
    async with trio.open_nursery() as nursery:
        for graph in (graph_of("a", graph_id="one"), graph_of("a", graph_id="two")):
            watched = open_run(graph, {"work": sleeps(1)}, instruments=[Progress(console)])
            await nursery.start(_run, watched)
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def _run(run: Any, task_status: Any) -> None:
    async with run:
        task_status.started()


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "tgtrio.instruments._picture")
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tgtrio\[cli\]'"):
        Progress()
