"""What signals do to a run: in virtual time here, with real ones in `test_signals`."""

from __future__ import annotations

import math
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tgtrio import GraphResult, Run, TaskGraph, open_run
from tgtrio.cli._errors import SIGNALS
from tgtrio.cli._stopping import Stopping, heeding_signals

from ..runs import graph_of, nap, states, task

HUNDRED = {"normalized_args": {"seconds": 100}}
FIVE = {"normalized_args": {"seconds": 5}}


async def fail(args: object) -> None:
    raise ValueError("broken")


async def tidy_up(args: object) -> None:
    """Takes a second to end when it is cancelled."""
    try:
        await trio.sleep(100)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)


class Running:
    """A run with its `Stopping`, and the result once it has ended."""

    def __init__(self, run: Run, stopping: Stopping) -> None:
        self.run, self.stopping = run, stopping
        self.result: GraphResult | None = None

    def notice(self) -> str:
        return self.stopping.notice(self.run.statistics()["states"])


@asynccontextmanager
async def running(graph: TaskGraph, grace: float = 10) -> AsyncIterator[Running]:
    stopping = Stopping(grace)
    async with trio.open_nursery() as nursery:
        async with open_run(graph, {"work": nap, "fail": fail, "tidy_up": tidy_up}) as run:
            nursery.start_soon(stopping.carry_out, run)
            it = Running(run, stopping)
            yield it
            it.result = await run.wait()
        nursery.cancel_scope.cancel()


async def test_what_is_in_flight_may_end_and_nothing_starts(
    autojump_clock: trio.abc.Clock,
) -> None:
    graph = graph_of(task("a", **FIVE), task("b", "a"))
    async with running(graph) as it:
        await trio.sleep(1)
        it.stopping.ask(signal.SIGTERM)
    assert it.result is not None
    assert trio.current_time() == 5
    assert states(it.result) == {"a": "succeeded", "b": "cancelled"}
    assert it.result.results["b"].error == "the run was drained: SIGTERM"


async def test_what_outlasts_the_grace_period_is_cancelled(autojump_clock: trio.abc.Clock) -> None:
    async with running(graph_of(task("a", **HUNDRED), task("b", "a"))) as it:
        await trio.sleep(1)
        it.stopping.ask(signal.SIGINT)
    assert it.result is not None
    assert trio.current_time() == 11
    assert states(it.result) == {"a": "cancelled", "b": "cancelled"}
    assert it.result.results["a"].error == "the run was cancelled: Ctrl-C"


@pytest.mark.parametrize("pause", [0, 3])
async def test_the_second_request_cancels_at_once(
    autojump_clock: trio.abc.Clock, pause: float
) -> None:
    async with running(graph_of(task("a", **HUNDRED))) as it:
        await trio.sleep(1)
        it.stopping.ask(signal.SIGTERM)
        if pause:
            await trio.sleep(pause)
        it.stopping.ask(signal.SIGINT)
        it.stopping.ask(signal.SIGINT)  # the third is not for us
    assert it.result is not None
    assert trio.current_time() == 1 + pause
    assert states(it.result) == {"a": "cancelled"}
    assert it.stopping.signal == signal.SIGTERM


async def test_without_grace_the_first_request_cancels(autojump_clock: trio.abc.Clock) -> None:
    async with running(graph_of(task("a", **HUNDRED)), grace=0) as it:
        await trio.sleep(1)
        it.stopping.ask(signal.SIGINT)
    assert trio.current_time() == 1


async def test_with_nothing_in_flight_the_run_ends_at_once(autojump_clock: trio.abc.Clock) -> None:
    graph = graph_of({"task_id": "a", "action_name": "fail", "max_retries": 9})
    async with running(graph) as it:
        await trio.sleep(0.001)
        while it.run.statistics()["running_tasks"]:  # noqa: ASYNC110
            await trio.sleep(0.001)
        when = trio.current_time()  # it backs off
        it.stopping.ask(signal.SIGINT)
        assert it.notice() == ""
    assert it.result is not None
    assert trio.current_time() == when
    assert states(it.result) == {"a": "cancelled"}


async def test_a_request_that_comes_before_the_first_task_lets_none_start(
    autojump_clock: trio.abc.Clock,
) -> None:
    stopping = Stopping()
    stopping.ask(signal.SIGTERM)
    async with trio.open_nursery() as nursery, open_run(graph_of("a"), {"work": nap}) as run:
        nursery.start_soon(stopping.carry_out, run)
        result = await run.wait()
    assert trio.current_time() == 0
    assert states(result) == {"a": "cancelled"}


async def test_a_request_that_comes_too_late_changes_nothing(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with running(graph_of("a")) as it:
        result = await it.run.wait()
        it.stopping.ask(signal.SIGINT)
    assert result.ok


async def test_it_is_told_what_goes_on_and_what_another_signal_does(
    autojump_clock: trio.abc.Clock,
) -> None:
    told = []
    graph = graph_of(task("a", action_name="tidy_up"), task("b", **FIVE))
    async with running(graph) as it:

        async def listen() -> None:
            while True:
                await it.stopping.change()
                told.append((trio.current_time(), it.notice()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await trio.sleep(1)
            assert it.notice() == ""
            it.stopping.ask(signal.SIGINT)
            await trio.sleep(5.5)
            assert it.notice() == "draining: 1 in flight, at most 5 s; once more to cancel"
            await it.run.wait()
            nursery.cancel_scope.cancel()
    assert told == [
        (1, "draining: 2 in flight, at most 10 s; once more to cancel"),
        (11, "cancelling: 1 in flight; once more to break off"),
    ]


# Signals


async def test_the_first_two_signals_are_reported_on_the_trio_thread() -> None:
    came: list[int] = []
    with heeding_signals(came.append):
        signal.raise_signal(signal.SIGTERM)
        assert came == []  # not in the middle of something
        signal.raise_signal(signal.SIGINT)
        await _turns()
    assert came == [signal.SIGTERM, signal.SIGINT]


async def test_the_third_signal_is_an_interrupt_and_the_fourth_is_not_held_up() -> None:
    came: list[int] = []
    with heeding_signals(came.append):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert {signal.getsignal(number) for number in SIGNALS} == {signal.SIG_DFL}
        await _turns()
    assert came == [signal.SIGTERM] * 2


async def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    for signals in range(3):
        with heeding_signals(lambda number: None):
            assert before != [signal.getsignal(number) for number in SIGNALS]
            for _ in range(signals):
                signal.raise_signal(signal.SIGINT)
        assert before == [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_that_is_ignored_stays_so(number: int) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with heeding_signals(fail_test):
            assert signal.getsignal(number) is signal.SIG_IGN
            signal.raise_signal(number)
            await _turns()
    finally:
        signal.signal(number, before)


async def test_a_handler_that_an_action_sets_is_not_taken_away() -> None:
    def own(number: int, frame: object) -> None: ...

    before = signal.getsignal(signal.SIGTERM)
    try:
        with heeding_signals(lambda number: None):
            signal.signal(signal.SIGTERM, own)
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    async def main() -> None:
        before = [signal.getsignal(number) for number in SIGNALS]
        with heeding_signals(fail_test):
            assert before == [signal.getsignal(number) for number in SIGNALS]

    async def in_a_thread() -> None:
        await trio.to_thread.run_sync(trio.run, main)

    trio.run(in_a_thread)


def fail_test(number: int) -> None:
    pytest.fail(f"signal {number} was reported")


async def _turns() -> None:
    for _ in range(5):
        await trio.lowlevel.checkpoint()


def test_the_grace_period_is_a_number_of_seconds() -> None:
    assert 0 < Stopping().grace < math.inf
