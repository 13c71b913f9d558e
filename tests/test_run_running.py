"""`Run.running`: which tasks are in flight, and for how long."""

from __future__ import annotations

import time
from pathlib import Path

import trio
from trio.testing import MockClock

from tgtrio import RawStore, RetryPolicy, open_run

from .runs import Args, graph_of, nap, task


async def test_those_in_flight_for_longest_come_first(autojump_clock: MockClock) -> None:
    graph = graph_of(
        {"task_id": "short", "normalized_args": {"seconds": 1}},
        {"task_id": "next", "dependencies": ["short"], "normalized_args": {"seconds": 9}},
        {"task_id": "long", "normalized_args": {"seconds": 9}},
        {"task_id": "held", "normalized_args": {"seconds": 9}, "priority": -1},
        max_parallel=2,
    )
    async with open_run(graph, {"work": nap}) as run:
        await trio.sleep(3)
        assert run.running() == [("long", 0, 3.0), ("next", 0, 2.0)]
        assert run.running(1) == [("long", 0, 3.0)]
        assert run.running(0) == []
        result = await run.wait()
        assert run.running() == []
    assert result.ok


async def test_the_attempt_is_the_one_in_flight(autojump_clock: MockClock) -> None:
    seen = []

    async def work(args: Args) -> None:
        await trio.sleep(1)
        seen.extend(run.running())
        if len(seen) < 3:
            raise ValueError

    graph = graph_of(task("t", max_retries=5))
    async with open_run(graph, {"work": work}, retry=RetryPolicy(base=0, cap=0)) as run:
        pass
    assert seen == [("t", 0, 1.0), ("t", 1, 1.0), ("t", 2, 1.0)]


async def test_what_backs_off_is_not_in_flight(autojump_clock: MockClock) -> None:
    async def work(args: Args) -> None:
        raise ValueError

    graph = graph_of(task("t", max_retries=1))
    async with open_run(graph, {"work": work}, seed=1) as run:
        await trio.sleep(0.01)
        assert run.running() == []


async def test_functions_in_threads_are_in_flight_too(patient_clock: MockClock) -> None:
    def work(args: Args) -> None:
        trio.from_thread.run_sync(lambda: seen.extend(run.running()))

    seen: list[tuple[str, int, float]] = []
    async with open_run(graph_of("t"), {"work": work}) as run:
        pass
    assert [(task_id, attempt) for task_id, attempt, _ in seen] == [("t", 0)]


async def test_of_a_durable_run_only_what_is_being_called(tmp_path: Path) -> None:
    async def work(args: Args) -> None:
        seen.extend(run.running())

    seen: list[tuple[str, int, float]] = []
    begun = time.perf_counter()
    with RawStore(tmp_path / "s.db") as store:
        async with open_run(graph_of("a", task("b", "a")), {"work": work}, store=store) as run:
            pass
    taken = time.perf_counter() - begun
    assert [(task_id, attempt) for task_id, attempt, _ in seen] == [("a", 0), ("b", 0)]
    assert all(0 <= seconds <= taken for _, _, seconds in seen)
