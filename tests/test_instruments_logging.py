"""`Logging`: what is told to the logging of the standard library, and at which level."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import BreakerPolicy, Instrument, RetryLater, RetryPolicy, open_run, run_graph
from tgtrio._instrument import HookIndex
from tgtrio.instruments import Logging

from .runs import graph_of, raises, returns, sleeps, task

SURE = RetryPolicy(base=0, cap=0)


@pytest.fixture(autouse=True)
def _all_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{r.levelname} {r.getMessage()}" for r in caplog.records if r.name == "tgtrio"]


def extra(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """What the records of an event have as attributes that no other record has."""
    usual = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}
    return [
        {key: value for key, value in vars(r).items() if key not in usual}
        for r in caplog.records
        if getattr(r, "event", "") == event
    ]


async def test_a_run_that_goes_well(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    await run_graph(graph_of("a"), {"work": sleeps(2)}, instruments=[Logging()], run_id="r")
    assert told(caplog) == [
        "INFO graph 'g': run r starts, with 1 task",
        "INFO graph 'g': run r ended after 2.00 s: 1 succeeded",
    ]
    about = {"graph_id": "g", "run_id": "r"}
    assert extra(caplog, "run_started") == [{"event": "run_started", "total_tasks": 1, **about}]
    assert extra(caplog, "run_ended") == [
        {"event": "run_ended", "ok": True, "states": {"succeeded": 1}, **about}
    ]


async def test_failures_and_retries_are_warnings_and_say_why(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    graph = graph_of(task("t", max_retries=1), task("after", "t"))
    await run_graph(
        graph,
        {"work": raises(lambda: ValueError("no\nluck"))},
        instruments=[Logging()],
        retry=SURE,
        run_id="r",
    )
    assert [line.split(", the last one")[0] for line in told(caplog)] == [
        "INFO graph 'g': run r starts, with 2 tasks",
        r"WARNING task 't': attempt 1 failed, the next in 0 µs: ValueError: no\nluck",
        "WARNING task 't' failed after 2 attempts",
        "WARNING graph 'g': run r ended after 0 µs: 1 failed, 1 aborted",
    ]
    assert r"ValueError: no\nluck" in told(caplog)[2]
    (retry,) = extra(caplog, "task_retried")
    assert retry["error"] == "ValueError: no\nluck"
    assert (retry["task_id"], retry["attempt"], retry["delay"]) == ("t", 0, 0.0)
    (end,) = extra(caplog, "task_ended")
    assert (end["task_id"], end["state"]) == ("t", "failed")


async def test_breakers_coolings_and_steering(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask_for_peace(args: object) -> None:
        if not asked:
            asked.append(True)
            raise RetryLater(3)

    asked: list[bool] = []
    graph = graph_of(
        task("x", action_name="fail", max_retries=9), task("y", action_name="peace", max_retries=1)
    )
    async with open_run(
        graph,
        {"fail": raises(), "peace": ask_for_peace},
        instruments=[Logging(logging.getLogger("tgtrio"), logging.INFO)],
        retry=SURE,
        breaker=BreakerPolicy(window=2, give_up_after=1),
        run_id="r",
    ) as run:
        run.pause()
        run.set_max_parallel(3)
        await trio.sleep(1)
        run.resume()
    lines = told(caplog)
    assert "INFO run r: pause()" in lines
    assert "INFO run r: set_max_parallel(3)" in lines
    assert "INFO run r: resume()" in lines
    assert "WARNING action 'peace': asked for peace, for 3.00 s" in lines
    assert "WARNING breaker of action 'fail': OPEN, was CLOSED" in lines
    assert "INFO breaker of action 'fail': HALF_OPEN, was OPEN" in lines


async def test_starts_and_ends_of_tasks_are_told_who_wants_to_debug(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    graph = graph_of("a", {**task("b"), "action_name": "fail", "max_retries": 1}, task("c", "b"))
    actions = {"work": sleeps(1), "fail": raises()}
    await run_graph(graph, actions, instruments=[Logging(level=logging.DEBUG)], retry=SURE)
    debug = [line for line in told(caplog) if line.startswith("DEBUG")]
    assert sorted(debug) == [
        "DEBUG task 'a': starts",
        "DEBUG task 'a': succeeded",
        "DEBUG task 'b': attempt 2 starts",
        "DEBUG task 'b': starts",
        "DEBUG task 'c': aborted",
    ]


async def test_what_is_below_the_level_is_not_told(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    await run_graph(
        graph_of("a"), {"work": raises()}, instruments=[Logging(level=logging.WARNING)], run_id="r"
    )
    assert [line.partition(" ")[0] for line in told(caplog)] == ["WARNING", "WARNING"]


async def test_a_logger_of_ones_own(caplog: pytest.LogCaptureFixture) -> None:
    await run_graph(graph_of("a"), {"work": returns()}, instruments=[Logging("nightly.runs")])
    assert {record.name for record in caplog.records} == {"nightly.runs"}


def test_only_who_debugs_pays_for_starts() -> None:
    def heard(instrument: Instrument) -> bool:
        return bool(HookIndex([instrument]).of("task_started"))

    assert not heard(Logging())
    assert heard(Logging(level=logging.DEBUG))


async def test_a_run_that_is_ended_says_how(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    graph = graph_of("a", graph_timeout_ms=500)
    await run_graph(graph, {"work": sleeps(9)}, instruments=[Logging()], run_id="r")
    assert told(caplog)[-1] == (
        "WARNING graph 'g': run r ended after 500 ms: timed out, 1 cancelled"
    )


async def test_hostile_names_stay_on_their_lines(caplog: pytest.LogCaptureFixture) -> None:
    name = "a\nERROR forged \x1b[2J%s" * 99
    graph = graph_of(name, graph_id=name)
    await run_graph(graph, {"work": raises()}, instruments=[Logging(level=logging.DEBUG)])
    assert len(caplog.records) == 4
    assert all(line.isprintable() and len(line) < 900 for line in told(caplog))
