"""The display of the command: it also tells of the end on request."""

from __future__ import annotations

import signal

import pytest
import trio
from trio.testing import MockClock

from tgtrio import open_run
from tgtrio.cli._progress import RunProgress
from tgtrio.cli._stopping import Stopping
from tgtrio.instruments._progress import LINE_EVERY

from ..runs import graph_of, sleeps


async def test_a_log_is_told_of_the_end_at_once_and_then_now_and_then(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    stopping = Stopping(grace=7)
    progress = RunProgress(stopping)
    async with trio.open_nursery() as nursery:
        async with open_run(graph_of("a"), {"work": stubborn}) as run:
            nursery.start_soon(progress.beside, run)
            nursery.start_soon(stopping.carry_out, run)
            await trio.sleep(LINE_EVERY + 1)
            stopping.ask(signal.SIGINT)
            await run.wait()
        nursery.cancel_scope.cancel()
    assert capsys.readouterr().err.splitlines() == [
        "g: 0 of 1 done, 1 running, longest 0:05 a, 0:05",
        "g: draining: 1 in flight, at most 7 s; once more to cancel",
        "g: draining: 1 in flight, at most 2 s; once more to cancel",
        "g: cancelling: 1 in flight; once more to break off",
        "g: cancelling: 1 in flight; once more to break off",
    ]


async def stubborn(args: object) -> None:
    with trio.CancelScope(shield=True):
        await sleeps(20)({})
