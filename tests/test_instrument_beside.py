"""What an instrument does beside a run, in a Trio task of the run's own."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import GraphRunningError, Instrument, open_run, run_graph
from tgtrio._instrument import Watched

from .diaries import Diary
from .runs import graph_of, nap, sleeps


class Ticker(Diary):
    """Looks at the run every second."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []
        self.left_at = -1.0

    async def beside(self, run: Watched) -> None:
        try:
            await trio.sleep(0.5)  # between the ends of tasks
            while True:
                self.seen.append(run.statistics()["states"]["succeeded"])
                await trio.sleep(1)
        finally:
            self.left_at = trio.current_time()


async def test_it_goes_on_from_the_start_of_the_run_to_its_end(autojump_clock: MockClock) -> None:
    ticker = Ticker()
    await run_graph(
        graph_of("a", "b", "c", max_parallel=1), {"work": sleeps(2)}, instruments=[ticker]
    )
    assert ticker.seen == [0, 0, 1, 1, 2, 2]
    assert ticker.left_at == 6


async def test_it_may_return_before_the_run_does(autojump_clock: MockClock) -> None:
    class Brief(Instrument):
        async def beside(self, run: Watched) -> None:
            names.append(run.graph.graph_id)

    names: list[str] = []
    result = await run_graph(graph_of("a"), {"work": nap}, instruments=[Brief()])
    assert result.ok
    assert names == ["g"]


async def test_it_ends_with_a_run_that_is_cancelled(autojump_clock: MockClock) -> None:
    ticker = Ticker()
    async with open_run(graph_of("a"), {"work": sleeps(9)}, instruments=[ticker]) as run:
        await trio.sleep(2.5)
        run.cancel()
    assert ticker.left_at == 2.5


@pytest.mark.parametrize("in_a_nursery", [False, True])
async def test_what_it_raises_is_logged_and_the_instrument_dropped(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, in_a_nursery: bool
) -> None:
    class Broken(Diary):
        async def beside(self, run: Watched) -> None:
            await trio.sleep(1)
            if not in_a_nursery:
                raise ValueError("out of order")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                raise ValueError("out of order")

    broken, diary = Broken(), Diary()
    result = await run_graph(graph_of("a"), {"work": sleeps(2)}, instruments=[broken, diary])
    assert result.ok
    diary.check(result)
    (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert "beside failed" in record.message
    assert broken.ends() == {}


async def test_an_interrupt_that_it_raises_ends_the_run(autojump_clock: MockClock) -> None:
    class Stop(Instrument):
        async def beside(self, run: Watched) -> None:
            raise KeyboardInterrupt

    diary = Diary()
    with pytest.raises(KeyboardInterrupt):
        await run_graph(graph_of("a"), {"work": sleeps(2)}, instruments=[Stop(), diary])
    assert diary.result is not None
    diary.check(diary.result)


async def test_a_run_without_a_handle_takes_no_tasks_from_beside(autojump_clock: MockClock) -> None:
    class Adds(Instrument):
        async def beside(self, run: Any) -> None:
            with pytest.raises(GraphRunningError, match="only a run of open_run takes more tasks"):
                run.add_task("b", "work")
            asked.append(run.run_id)

    asked: list[str] = []
    graph = graph_of("a")
    assert (await run_graph(graph, {"work": nap}, instruments=[Adds()])).ok
    assert len(asked) == 1
    assert list(graph.nodes) == ["a"]
