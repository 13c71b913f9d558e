"""Caps that are `trio.CapacityLimiter`s, shared with the rest of the program."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tgtrio import open_run, run_graph

from .runs import AsyncAction, Meter, counting_turns, graph_of, nap, raises, sleeps, states, task


def tasks(count: int, name: str = "t", **fields: Any) -> list[dict[str, Any]]:
    return [task(f"{name}{n}", **fields) for n in range(count)]


def options_with(limiter: trio.CapacityLimiter) -> list[dict[str, Any]]:
    return [
        {"max_parallel": limiter},
        {"per_action_caps": {"work": limiter}},
        {"resource_caps": {"r": limiter}},
    ]


WAYS = range(3)


@pytest.mark.parametrize("way", WAYS)
async def test_a_limiter_bounds_what_is_in_flight(way: int, autojump_clock: MockClock) -> None:
    meter, limiter = Meter(), trio.CapacityLimiter(3)
    graph = graph_of(*tasks(10, resource_ids=["r"]))
    result = await run_graph(graph, {"work": meter.naps()}, **options_with(limiter)[way])
    assert result.ok
    assert meter.peak["all"] == 3
    assert result.elapsed_ms == 4000
    assert limiter.borrowed_tokens == 0


@pytest.mark.parametrize("way", WAYS)
async def test_two_runs_share_one_limiter(way: int, autojump_clock: MockClock) -> None:
    meter, limiter = Meter(), trio.CapacityLimiter(3)
    options = options_with(limiter)[way]
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            graph = graph_of(*tasks(6, resource_ids=["r"]))

            async def one_run(graph: Any = graph) -> None:
                assert (await run_graph(graph, {"work": meter.naps()}, **options)).ok

            nursery.start_soon(one_run)
    assert meter.peak["all"] == 3
    assert trio.current_time() - began == 4
    assert limiter.borrowed_tokens == 0


@pytest.mark.parametrize("way", WAYS)
async def test_a_task_starts_the_moment_somebody_else_lets_go(
    way: int, autojump_clock: MockClock
) -> None:
    limiter = trio.CapacityLimiter(1)
    limiter.acquire_on_behalf_of_nowait("somebody else")
    graph = graph_of(*tasks(2, resource_ids=["r"]))
    async with open_run(graph, {"work": nap}, **options_with(limiter)[way]) as run:
        await trio.sleep(4.5)
        assert run.statistics()["states"]["ready"] == 2
        limiter.release_on_behalf_of("somebody else")
    assert (await run.wait()).elapsed_ms == 6500


async def test_held_by_somebody_else_the_run_neither_polls_nor_delays_others(
    autojump_clock: MockClock,
) -> None:
    limiter = trio.CapacityLimiter(1)
    limiter.acquire_on_behalf_of_nowait("somebody else")
    graph = graph_of(*tasks(50), *tasks(3, "free", action_name="free"))
    actions = {"work": nap, "free": nap}
    async with open_run(graph, actions, per_action_caps={"work": limiter}) as run:
        await trio.sleep(2)
        assert run.statistics()["states"]["succeeded"] == 3
        with counting_turns() as counter:
            await trio.sleep(100_000)
        assert counter.turns <= 3
        assert limiter.statistics().tasks_waiting == 1
        run.cancel()


async def test_one_waiter_for_each_limiter_and_none_once_nobody_waits(
    autojump_clock: MockClock,
) -> None:
    one, two = trio.CapacityLimiter(1), trio.CapacityLimiter(2)
    graph = graph_of(*tasks(5, "a", action_name="a"), *tasks(5, "b", action_name="b"), task("long"))
    actions = {"a": nap, "b": nap, "work": sleeps(20)}
    async with open_run(graph, actions, per_action_caps={"a": one, "b": two}) as run:
        await trio.sleep(0.5)
        assert [limiter.statistics().tasks_waiting for limiter in (one, two)] == [1, 1]
        await trio.sleep(10)
        assert run.statistics()["states"]["succeeded"] == 10
        for limiter in (one, two):
            assert limiter.statistics().tasks_waiting == 0
            assert limiter.borrowed_tokens == 0


async def test_who_else_waits_in_the_limiter_gets_its_turn(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(1)
    entered = []
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_graph_with, limiter, 10)
        await trio.sleep(0.5)
        async with limiter:
            entered.append(trio.current_time() - began)
    assert entered[0] <= 2


async def run_graph_with(limiter: trio.CapacityLimiter, count: int) -> None:
    result = await run_graph(graph_of(*tasks(count)), {"work": nap}, max_parallel=limiter)
    assert result.ok


async def test_each_task_borrows_on_its_own_behalf(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(5)
    async with open_run(graph_of("red", "blue"), {"work": nap}, max_parallel=limiter):
        await trio.sleep(0.5)
        borrowers = limiter.statistics().borrowers
        assert len(borrowers) == 2
        assert "'red'" in repr(borrowers)


async def test_an_action_may_borrow_a_token_of_its_own(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(4)

    async def action(args: dict[str, Any]) -> None:
        async with limiter:
            await trio.sleep(1)

    result = await run_graph(graph_of("a", "b"), {"work": action}, max_parallel=limiter)
    assert result.ok
    assert limiter.borrowed_tokens == 0


async def test_more_tokens_take_effect_while_the_run_goes_on(autojump_clock: MockClock) -> None:
    meter, limiter = Meter(), trio.CapacityLimiter(1)
    async with open_run(graph_of(*tasks(13)), {"work": meter.naps()}, max_parallel=limiter) as run:
        await trio.sleep(1.5)
        limiter.total_tokens = 4
        await wait_all_tasks_blocked()
        assert meter.inside["all"] == 4
        await trio.sleep(1)
        limiter.total_tokens = math.inf
        await wait_all_tasks_blocked()
        assert run.statistics()["states"]["ready"] == 0
    assert (await run.wait()).ok
    assert limiter.borrowed_tokens == 0


async def test_fewer_tokens_take_effect_and_stop_nothing(autojump_clock: MockClock) -> None:
    meter, limiter = Meter(), trio.CapacityLimiter(4)
    async with open_run(graph_of(*tasks(8)), {"work": meter.naps()}, max_parallel=limiter):
        await trio.sleep(0.5)
        limiter.total_tokens = 1
        await trio.sleep(1)
        assert meter.inside["all"] == 1
    assert limiter.borrowed_tokens == 0


async def test_a_limiter_without_tokens_holds_everything(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(0)
    async with open_run(graph_of("a"), {"work": nap}, max_parallel=limiter) as run:
        await trio.sleep(7)
        limiter.total_tokens = 1
    assert (await run.wait()).elapsed_ms == 8000


async def test_a_task_waits_for_two_limiters_without_holding_one(
    autojump_clock: MockClock,
) -> None:
    first, second = trio.CapacityLimiter(1), trio.CapacityLimiter(1)
    first.acquire_on_behalf_of_nowait("x")
    second.acquire_on_behalf_of_nowait("x")
    graph = graph_of(task("a", resource_ids=["one", "two"]))
    caps = {"one": first, "two": second}
    async with open_run(graph, {"work": nap}, resource_caps=caps) as run:
        await trio.sleep(1)
        first.release_on_behalf_of("x")
        await trio.sleep(1)
        first.acquire_on_behalf_of_nowait("y")  # nobody sits on it
        second.release_on_behalf_of("x")
        await trio.sleep(1)
        second.acquire_on_behalf_of_nowait("y")
        first.release_on_behalf_of("y")
        await trio.sleep(1)
        second.release_on_behalf_of("y")
    assert (await run.wait()).elapsed_ms == 5000
    assert first.borrowed_tokens == second.borrowed_tokens == 0


async def test_one_limiter_in_two_places_is_borrowed_once(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(1)
    graph = graph_of(*tasks(3, resource_ids=["r", "s"]))
    with trio.move_on_after(60) as deadline:
        result = await run_graph(
            graph,
            {"work": nap},
            max_parallel=limiter,
            per_action_caps={"work": limiter},
            resource_caps={"r": limiter, "s": limiter},
        )
    assert not deadline.cancelled_caught
    assert result.elapsed_ms == 3000


async def test_one_limiter_bounds_two_actions_together(autojump_clock: MockClock) -> None:
    meter, limiter = Meter(), trio.CapacityLimiter(2)
    graph = graph_of(*tasks(4, "a", action_name="a"), *tasks(4, "b", action_name="b"))
    actions = {"a": meter.naps(), "b": meter.naps()}
    result = await run_graph(graph, actions, per_action_caps={"a": limiter, "b": limiter})
    assert meter.peak["all"] == 2
    assert result.elapsed_ms == 4000


# tokens always come back

ENDINGS: dict[str, AsyncAction] = {
    "a failure": raises(),
    "a failure later": sleeps(1),
    "an interrupt": raises(KeyboardInterrupt),
    "an end from outside": sleeps(1000),
    "a timeout": sleeps(1000),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("way", WAYS)
async def test_all_tokens_come_back_after(ending: str, way: int, autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(2)
    timeout = 500 if ending == "a timeout" else None
    graph = graph_of(*tasks(5, resource_ids=["r"], task_timeout_ms=timeout))
    with trio.move_on_after(10):
        try:
            await run_graph(graph, {"work": ENDINGS[ending]}, **options_with(limiter)[way])
        except KeyboardInterrupt:
            assert ending == "an interrupt"
    statistics = limiter.statistics()
    assert (statistics.borrowed_tokens, statistics.tasks_waiting) == (0, 0)


async def test_a_cancelled_task_stops_waiting_for_a_token(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(1)
    limiter.acquire_on_behalf_of_nowait("somebody else")
    graph = graph_of("held", task("long", action_name="long"))
    actions = {"work": nap, "long": sleeps(10)}
    async with open_run(graph, actions, per_action_caps={"work": limiter}) as run:
        await trio.sleep(1)
        assert limiter.statistics().tasks_waiting == 1
        run.cancel("held")
        await trio.sleep(1)
        assert limiter.statistics().tasks_waiting == 0
    assert states(await run.wait()) == {"held": "cancelled", "long": "succeeded"}


async def test_a_waiter_does_not_sit_on_a_token_that_no_slot_can_use(
    autojump_clock: MockClock,
) -> None:
    limiter = trio.CapacityLimiter(1)
    limiter.acquire_on_behalf_of_nowait("somebody else")
    graph = graph_of(task("capped", priority=1), task("long", action_name="long"))
    actions = {"work": nap, "long": sleeps(10)}
    async with open_run(graph, actions, max_parallel=1, per_action_caps={"work": limiter}) as run:
        await trio.sleep(1)
        assert run.statistics()["running_tasks"] == 1
        limiter.release_on_behalf_of("somebody else")
        await trio.sleep(1)
        limiter.acquire_on_behalf_of_nowait("again")
        limiter.release_on_behalf_of("again")
    assert (await run.wait()).elapsed_ms == 11_000
