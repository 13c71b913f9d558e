"""`Run.events`: what happens in a run, as a stream that loses nothing in silence."""

from __future__ import annotations

from datetime import datetime

import msgspec
import pytest
import trio
from trio.testing import MockClock

from tgtrio import Event, Events, GraphResult, Instrument, Run, TaskGraph, open_run
from tgtrio import _events as events_module

from .runs import graph_of, nap, raises, returns, sleeps, task


async def read(run: Run) -> list[Event]:
    return [event async for event in run.events()]


def kinds(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.kind, event.task_id) for event in events]


async def test_the_story_of_a_run(autojump_clock: MockClock, wall_start: datetime) -> None:
    async with open_run(graph_of("a", task("b", "a")), {"work": sleeps(1)}) as run:
        events = await read(run)
    assert kinds(events) == [
        ("run_started", ""),
        ("task_ready", "a"),
        ("task_started", "a"),
        ("task_ended", "a"),
        ("task_ready", "b"),
        ("task_started", "b"),
        ("task_ended", "b"),
        ("run_ended", ""),
    ]
    assert [(event.at - wall_start).total_seconds() for event in events] == [0, 0, 0, 1, 1, 1, 2, 2]


async def test_events_as_json(autojump_clock: MockClock) -> None:
    graph = graph_of(task("a", max_retries=1))
    async with open_run(graph, {"work": raises()}, seed=1) as run:
        stream = run.events()
        run.set_cap("work", 3)
        events = [event async for event in stream]
    lines = [msgspec.json.decode(msgspec.json.encode(event.to_dict())) for event in events]
    by_kind = {line["kind"]: line for line in lines}
    assert by_kind["task_retried"]["error"] == "ValueError: broken"
    assert by_kind["task_ended"]["state"] == "failed"
    assert by_kind["run_steered"] | {"at": ""} == {
        "kind": "run_steered",
        "at": "",
        "action": "work",
        "command": "set_cap",
        "value": 3,
    }
    assert by_kind["run_ended"]["ok"] is False
    assert set(by_kind) <= set(events_module.EVENTS)


async def test_who_comes_late_hears_of_what_comes_then(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a", task("b", "a")), {"work": sleeps(2)}) as run:
        await trio.sleep(3)
        events = await read(run)
    assert kinds(events) == [("task_ended", "b"), ("run_ended", "")]


async def test_a_run_that_is_over_has_no_events(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": nap}) as run:
        await run.wait()
        assert await read(run) == []
    assert await read(run) == []


async def test_several_readers_hear_the_same(autojump_clock: MockClock) -> None:
    heard: list[list[Event]] = []

    async def listen(stream: Events) -> None:
        heard.append([event async for event in stream])

    async with open_run(graph_of("a", "b"), {"work": nap}) as run, trio.open_nursery() as nursery:
        nursery.start_soon(listen, run.events())
        nursery.start_soon(listen, run.events())
    assert heard[0] == heard[1]
    assert len(heard[0]) == 8


async def test_several_trio_tasks_may_share_one_iterator(autojump_clock: MockClock) -> None:
    shared: list[Event] = []

    async def take(stream: Events) -> None:
        async for event in stream:
            shared.append(event)
            await trio.sleep(0.1)

    with trio.fail_after(60):
        async with open_run(graph_of("a", "b"), {"work": nap}) as run, trio.open_nursery() as many:
            stream = run.events()
            for _ in range(3):
                many.start_soon(take, stream)
    assert len(shared) == 8
    assert shared[-1].kind == "run_ended"


async def test_who_asks_at_the_very_end_is_told_that_nothing_comes(
    autojump_clock: MockClock,
) -> None:
    class Late(Instrument):
        def run_ended(self, result: GraphResult) -> None:
            streams.append(run.events())

    streams: list[Events] = []
    async with open_run(graph_of("a"), {"work": nap}, instruments=[Late()]) as run:
        pass
    with trio.fail_after(60):
        assert [event async for event in streams[0]] == []


async def test_what_a_slow_reader_loses_is_counted(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "ROOM", 10)
    graph = graph_of(*(f"t{n:02}" for n in range(20)), max_parallel=1)
    async with open_run(graph, {"work": sleeps(1)}) as run:
        stream = run.events()
        await trio.sleep(10.5)
        first = [await anext(stream) for _ in range(10)]
        assert "events_lost" not in [event.kind for event in first]
        rest = [event async for event in stream]
    assert rest[0].kind == "events_lost"
    assert len(first) + rest[0].details["count"] + len(rest) - 1 == 1 + 20 * 3 + 1
    assert rest[-1].kind == "run_ended"


async def test_the_end_of_the_run_is_never_lost(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "ROOM", 5)
    async with open_run(graph_of(*(f"t{n}" for n in range(20))), {"work": returns()}) as run:
        stream = run.events()
        await run.wait()
        seen = [event async for event in stream]
    assert [event.kind for event in seen[-2:]] == ["events_lost", "run_ended"]
    assert len(seen) == 7


async def test_a_reader_may_be_cancelled_and_come_back(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": sleeps(10)}) as run:
        stream = run.events()
        seen: list[Event] = []
        with trio.move_on_after(5):
            async for event in stream:
                seen.append(event)
        async for event in stream:
            seen.append(event)
    assert [event.kind for event in seen][-2:] == ["task_ended", "run_ended"]


async def test_each_step_of_a_reader_is_a_checkpoint(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": nap}) as run:
        stream = run.events()
        await trio.sleep(5)
        with trio.testing.assert_checkpoints():
            await anext(stream)


async def test_waiting_for_events_lets_the_run_end(autojump_clock: MockClock) -> None:
    async with open_run(TaskGraph("empty"), {}) as run:
        assert kinds(await read(run)) == [("run_started", ""), ("run_ended", "")]


async def test_a_task_that_is_added_before_the_start_is_ready_once(
    autojump_clock: MockClock,
) -> None:
    async with open_run(graph_of("a"), {"work": sleeps(1)}) as run:
        stream = run.events()
        run.add_task("b", "work", max_retries=0, idempotent=False)
        events = [event async for event in stream]
    assert kinds(events).count(("task_ready", "b")) == 1
    assert kinds(events).count(("task_ready", "a")) == 1
