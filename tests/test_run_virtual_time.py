"""Makespans in virtual time, exact to the last bit; an idle run; random graphs."""

from __future__ import annotations

import heapq
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio import TaskContext, open_run, run_graph

from .runs import Meter, counting_turns, graph_of, nap, returns, sleeps, task


async def test_ten_thousand_sleeps_a_thousand_at_a_time(autojump_clock: MockClock) -> None:
    meter = Meter()
    graph = graph_of(*(task(str(n), normalized_args={"seconds": 1 / 128}) for n in range(10_000)))
    result = await run_graph(graph, {"work": meter.naps()}, max_parallel=1000)
    assert result.ok
    assert result.elapsed_ms == 10 * 1000 / 128
    assert meter.peak["all"] == 1000


async def test_the_same_run_is_the_same_every_time(autojump_clock: MockClock) -> None:
    def graph() -> Any:
        return graph_of(
            *(
                task(str(n), *{str(n // 2), str(n // 3)} - {str(n)}, normalized_args=args(n))
                for n in range(300)
            ),
            max_parallel=7,
        )

    def args(n: int) -> dict[str, Any]:
        return {"seconds": 1 + n % 13 + n * 7919 % 65537 / 65536}  # no two end at once

    spans = {(await run_graph(graph(), {"work": nap})).elapsed_ms for _ in range(5)}
    assert len(spans) == 1


@pytest.mark.parametrize("action", [sleeps(1_000_000), None])
async def test_an_idle_run_makes_no_wake_ups(action: Any, autojump_clock: MockClock) -> None:
    """One task sleeps long; others are done, wait, or are held."""

    async def long(args: dict[str, Any]) -> None:
        await trio.sleep(1_000_000)

    graph = graph_of(
        *map(str, range(20)),
        task("long", action_name="long", task_timeout_ms=1e12),
        task("held", action_name="long"),
        task("after", "long"),
        graph_timeout_ms=1e12,
    )
    actions = {"work": nap, "long": action or long}
    async with open_run(graph, actions, per_action_caps={"long": 1}) as run:
        await trio.sleep(10)
        with counting_turns() as counter:
            await trio.sleep(500_000)
        assert counter.turns <= 3  # those of the test itself
        run.cancel()


async def test_an_idle_run_stays_idle_after_timeouts_that_were_not_needed(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of(
        *(task(str(n), action_name="quick", task_timeout_ms=(n + 20) * 1000) for n in range(500)),
        "long",
    )
    actions = {"quick": sleeps(1), "work": sleeps(100_000)}
    async with open_run(graph, actions) as run:
        await trio.sleep(10)
        with counting_turns() as counter:
            await trio.sleep(50_000)
        assert counter.turns <= 10  # not one for each of the 500 timers
        run.cancel()


async def test_the_rest_of_the_program_stays_alive_beside_a_run_that_never_waits() -> None:
    turns_while_running: list[int] = []
    turns = 0
    over = False

    async def neighbour() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await trio.lowlevel.checkpoint()

    async def look(args: dict[str, Any]) -> None:
        turns_while_running.append(turns)

    graph = graph_of(*(task(str(n)) for n in range(20_000)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(neighbour)
        await run_graph(graph, {"work": look})
        over = True
    assert turns_while_running[-1] > turns_while_running[0] + 2


async def test_a_chain_of_actions_that_never_wait_takes_no_virtual_time(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of("0", *(task(str(n), str(n - 1)) for n in range(1, 5000)))
    assert (await run_graph(graph, {"work": returns()})).elapsed_ms == 0


async def test_a_timer_fires_between_tasks_that_never_wait(autojump_clock: MockClock) -> None:
    """Under a virtual clock a time slice is counted in tasks: the run cannot starve others."""
    ran = []

    async def count(args: dict[str, Any]) -> None:
        ran.append(1)

    graph = graph_of(*map(str, range(50_000)), graph_timeout_ms=0.001)
    async with open_run(graph, {"work": count}) as run:
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert len(ran) < 50_000
        run.cancel()
    assert len(ran) < 50_000


# random graphs against a simulation

Job = tuple[float, int, tuple[int, ...], int, int]  # duration, priority, dependencies, action, pool


@st.composite
def jobs(draw: st.DrawFn) -> list[Job]:
    count = draw(st.integers(1, 25))
    return [
        (
            # Each has a bit of its own, so that no two end at the same instant: Trio's order
            # would decide then who may start first.
            draw(st.integers(0, 6)) + 0.5 ** (n + 1),
            draw(st.integers(0, 2)),
            tuple(draw(st.sets(st.integers(0, n - 1), max_size=3))) if n else (),
            draw(st.integers(0, 2)),
            draw(st.integers(0, 3)),
        )
        for n in range(count)
    ]


def fits(job: Job, running: list[Job], limits: list[int | None], limit: int) -> bool:
    if len(running) >= limit:
        return False
    action_cap = limits[job[3]]
    if action_cap is not None and sum(other[3] == job[3] for other in running) >= action_cap:
        return False
    return not any(other[4] & job[4] for other in running)


def simulate(todo: list[Job], limits: list[int | None], limit: int) -> list[tuple[float, int]]:
    """When each job starts, by greedy list scheduling: at every instant, whoever may, in order."""
    started: dict[int, float] = {}
    ended: set[int] = set()
    ends: list[tuple[float, int]] = []
    running: list[int] = []
    now = 0.0
    while len(ended) < len(todo):
        order = sorted(range(len(todo)), key=lambda n: (-todo[n][1], n))
        candidates = (n for n in order if n not in started and ended.issuperset(todo[n][2]))
        for n in candidates:
            if fits(todo[n], [todo[m] for m in running], limits, limit):
                started[n] = now
                running.append(n)
                heapq.heappush(ends, (now + todo[n][0], n))
                break
        else:
            now, n = heapq.heappop(ends)
            ended.add(n)
            running.remove(n)
    return sorted((when, n) for n, when in started.items())


async def really(todo: list[Job], limits: list[int | None], limit: int) -> list[tuple[float, int]]:
    starts: list[tuple[float, int]] = []

    async def work(args: dict[str, Any], context: TaskContext) -> None:
        starts.append((trio.current_time() - began, int(context.task_id)))
        await trio.sleep(args["seconds"])

    graph = graph_of(
        *(
            task(
                str(n),
                *map(str, dependencies),
                priority=priority,
                action_name=f"a{action}",
                normalized_args={"seconds": duration},
                resource_ids=[f"r{bit}" for bit in (1, 2) if pool & bit],
            )
            for n, (duration, priority, dependencies, action, pool) in enumerate(todo)
        )
    )
    began = trio.current_time()
    result = await run_graph(
        graph,
        {f"a{n}": work for n in range(3)},
        max_parallel=limit,
        per_action_caps={f"a{n}": cap for n, cap in enumerate(limits) if cap is not None},
        resource_caps={"r1": 1, "r2": 1},
    )
    assert result.ok
    return sorted(starts)


@settings(max_examples=150)
@given(
    jobs(),
    st.lists(st.none() | st.integers(1, 3), min_size=3, max_size=3),
    st.integers(1, 5),
)
def test_random_graphs_run_as_a_simulation_says(
    todo: list[Job], limits: list[int | None], limit: int
) -> None:
    starts = trio.run(really, todo, limits, limit, clock=MockClock(autojump_threshold=0))
    assert starts == simulate(todo, limits, limit)
