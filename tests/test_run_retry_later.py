"""`RetryLater` within a run: the action as a whole is left in peace, and nobody else waits."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import Actions, BreakerPolicy, RetryLater, RetryPolicy, open_run, run_graph

from .runs import AsyncAction, counting_turns, graph_of, raises, sleeps, states
from .services import Service, after, breaker_of, job, jobs, make_breakers, run_with, running

NINE = RetryPolicy(max_retries=9)


def later(seconds: float) -> AsyncAction:
    return raises(lambda: RetryLater(seconds))


async def test_it_holds_all_tasks_of_the_action_and_no_others(autojump_clock: MockClock) -> None:
    busy, free = Service(later(50), then=sleeps(1)), Service(then=sleeps(1))
    graph = graph_of(*jobs(5, max_retries=1), *jobs(5, "f", action_name="free"), max_parallel=2)
    result = await run_graph(graph, {"work": busy, "free": free})
    assert result.ok
    assert busy.times == [0, 50, 50, 51, 51, 52]
    assert busy.callers == ["0", "0", "1", "2", "3", "4"]  # the queue order, as ever
    assert free.times == [0, 0, 1, 1, 2]
    assert result.statistics["retry_tokens_used"] == 1
    assert [one.attempts for one in result.results.values()] == [2] + [1] * 9


async def test_tasks_that_become_ready_meanwhile_are_held_too(autojump_clock: MockClock) -> None:
    service = Service(later(50))
    graph = graph_of(
        job("a", max_retries=1), job("nap", action_name="nap"), job("b", "nap"), max_parallel=9
    )
    assert (await run_graph(graph, {"work": service, "nap": sleeps(20)})).ok
    assert service.calls == [(0, "a"), (50, "a"), (50, "b")]


@pytest.mark.parametrize(
    ("steps", "starts"),
    [
        ([after(1, later(10)), after(2, later(30))], [0, 0, 32, 32, 32]),
        ([after(1, later(30)), after(2, later(10))], [0, 0, 31, 31, 31]),
        ([after(1, later(10)), after(9, later(10))], [0, 0, 19, 19, 19]),
    ],
)
async def test_the_longest_request_holds(
    steps: list[AsyncAction], starts: list[float], autojump_clock: MockClock
) -> None:
    service = Service(*steps)
    graph = graph_of(*jobs(3, max_retries=3), max_parallel=2)
    assert (await run_graph(graph, {"work": service})).ok
    assert service.times == starts


@pytest.mark.parametrize(("asked", "given"), [(299.5, 299.5), (301, 300), (86_400, 300)])
async def test_three_hundred_seconds_are_the_most(
    asked: float, given: float, autojump_clock: MockClock
) -> None:
    service = Service(later(asked))
    await run_graph(graph_of(*jobs(2, max_retries=1), max_parallel=1), {"work": service})
    assert service.times == [0, given, given]


async def test_zero_seconds_are_a_retry_at_once(autojump_clock: MockClock) -> None:
    service = Service(later(0), later(0))
    result = await run_graph(graph_of(job("a", max_retries=2)), {"work": service})
    assert (service.times, result.ok) == ([0, 0, 0], True)
    assert result.statistics["retry_tokens_used"] == 2


async def test_each_costs_a_token_and_an_attempt(autojump_clock: MockClock) -> None:
    service = Service(then=later(10))
    graph = graph_of(job("a", max_retries=9), max_retry_tokens=3)
    result = await run_graph(graph, {"work": service}, retry=NINE)
    one = result.results["a"]
    assert (one.state.value, one.attempts, service.times) == ("failed", 4, [0, 10, 20, 30])
    assert "max_retry_tokens is 3" in one.error
    assert result.statistics["retry_tokens_used"] == 3


async def test_the_action_is_left_in_peace_also_if_the_task_has_no_retries_left(
    autojump_clock: MockClock,
) -> None:
    service = Service(later(50))
    graph = graph_of(*jobs(2, max_retries=0), max_parallel=1)
    result = await run_graph(graph, {"work": service})
    assert states(result) == {"0": "failed", "1": "succeeded"}
    assert service.times == [0, 50]


async def test_what_is_in_flight_goes_on(autojump_clock: MockClock) -> None:
    service = Service(sleeps(5), later(50))
    graph = graph_of(*jobs(3, max_retries=1), max_parallel=2)
    result = await run_graph(graph, {"work": service})
    assert (result.results["0"].execution_time_ms, result.elapsed_ms) == (5_000, 50_000)
    assert service.callers == ["0", "1", "1", "2"]


async def test_a_group_is_judged_by_its_leaves(autojump_clock: MockClock) -> None:
    group = ExceptionGroup("all", [RetryLater(20), ExceptionGroup("in", [RetryLater(70)])])
    service = Service(raises(lambda: group))
    await run_graph(graph_of(*jobs(2, max_retries=1), max_parallel=1), {"work": service})
    assert service.times == [0, 70, 70]


async def test_two_actions_are_held_each_by_itself(autojump_clock: MockClock) -> None:
    one, two = Service(later(10)), Service(later(20))
    graph = graph_of(*jobs(2, max_retries=1), *jobs(2, "t", action_name="two", max_retries=1))
    await run_graph(graph, {"work": one, "two": two}, max_parallel=4, per_action_caps={"two": 1})
    assert two.times == [0, 20, 20]
    assert one.times[-1] == 10


async def test_a_shared_limiter_is_free_meanwhile(autojump_clock: MockClock) -> None:
    """Two actions under one limiter: that one of them is held does not bother the other."""
    limiter = trio.CapacityLimiter(1)
    busy, free = Service(later(100)), Service(then=sleeps(1))
    graph = graph_of(*jobs(2, max_retries=1), *jobs(3, "f", action_name="free"))
    result = await run_graph(
        graph,
        {"work": busy, "free": free},
        per_action_caps={"work": limiter, "free": limiter},
    )
    assert result.ok
    assert free.times == [0, 1, 2]
    assert busy.times == [0, 100, 100]
    assert limiter.borrowed_tokens == 0


async def test_a_held_action_makes_no_wake_ups(autojump_clock: MockClock) -> None:
    graph = graph_of(*jobs(100, max_retries=1), max_parallel=4)
    async with open_run(graph, {"work": Service(later(300))}) as run:
        await trio.sleep(1)
        with counting_turns() as counter:
            await trio.sleep(290)
        assert counter.turns <= 3
        assert run.statistics()["running_tasks"] == 0
    assert (await run.wait()).ok


@pytest.mark.parametrize("whole", [True, False])
async def test_what_it_holds_can_be_cancelled(whole: bool, autojump_clock: MockClock) -> None:
    service = Service(later(100))
    graph = graph_of(*jobs(3, max_retries=1), max_parallel=1)
    async with open_run(graph, {"work": service}) as run:
        await trio.sleep(5)
        for name in [None] if whole else ["0", "1", "2"]:
            run.cancel(name)
    result = await run.wait()
    assert (set(states(result).values()), result.elapsed_ms) == ({"cancelled"}, 5_000)


async def test_a_request_that_is_outdone_wakes_nobody_up(autojump_clock: MockClock) -> None:
    service = Service(*(after(1 + n, later(100 + n)) for n in range(20)))
    graph = graph_of(*jobs(20), job("long", action_name="long"), job("held", priority=-1))
    async with open_run(graph, {"work": service, "long": sleeps(200)}, max_parallel=21) as run:
        await trio.sleep(50)
        with counting_turns() as counter:
            await trio.sleep(80)
        assert counter.turns <= 5  # not one for each
        assert run.statistics()["states"]["ready"] == 1
    assert service.calls[20:] == [(139, "held")]


async def test_other_runs_are_not_held(autojump_clock: MockClock) -> None:
    breakers, service = make_breakers(), Service(later(100))
    async with running(breakers, graph_of(job("a", max_retries=1)), {"work": service}):
        await trio.sleep(1)
        await run_with(breakers, graph_of(job("b"), graph_id="h"), {"work": service})
    assert service.calls == [(0, "a"), (1, "b"), (100, "a")]


async def test_without_retries_nothing_is_held(autojump_clock: MockClock) -> None:
    service = Service(later(100))
    graph = graph_of(*jobs(2, max_retries=3), max_parallel=1)
    result = await run_graph(graph, {"work": service}, retry=None)
    assert (states(result), service.times) == ({"0": "failed", "1": "succeeded"}, [0, 0])


async def test_an_action_that_alone_has_retries_is_held(autojump_clock: MockClock) -> None:
    service, actions = Service(later(100)), Actions()
    actions.register("work", service, retry=NINE)
    graph = graph_of(*jobs(2, max_retries=None), max_parallel=1)
    result = await run_graph(graph, actions, retry=None, breaker=None)
    assert (result.ok, service.times) == (True, [0, 100, 100])


async def test_a_probe_that_asks_for_peace_gives_its_permit_back(
    autojump_clock: MockClock,
) -> None:
    breakers = make_breakers(BreakerPolicy(window=1, threshold=1))
    service = Service(raises(), later(100))
    graph = graph_of(*jobs(3, max_retries=1), max_parallel=1)
    async with running(breakers, graph, {"work": service}, retry=RetryPolicy(base=0)) as run:
        await trio.sleep(31)
        assert run.statistics()["breaker_states"]["work"]["state"] == "HALF_OPEN"
        assert breaker_of(breakers).admits()
    # The held action is not probed before it may be called again, and then by the first.
    assert service.calls == [(0, "0"), (30, "0"), (130, "1"), (130, "2")]
    assert breaker_of(breakers).state.value == "CLOSED"


@pytest.mark.parametrize(("quiet_for", "start"), [(10, 32), (100, 101)])
async def test_an_action_that_is_held_twice_starts_when_both_have_let_go(
    quiet_for: float, start: float, autojump_clock: MockClock
) -> None:
    breakers = make_breakers(BreakerPolicy(window=1, threshold=1))
    service = Service(after(1, later(quiet_for)), after(2, raises()))
    graph = graph_of(*jobs(3, max_retries=1), max_parallel=2)
    await run_with(breakers, graph, {"work": service}, retry=RetryPolicy(base=0))
    assert service.times == [0, 0, start, start, start]


async def test_a_timed_out_attempt_may_ask_for_peace_as_well(autojump_clock: MockClock) -> None:
    async def asks(args: dict[str, Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise RetryLater(50)

    service = Service(asks)
    graph = graph_of(*jobs(2, max_retries=1, task_timeout_ms=1_000), max_parallel=1)
    result = await run_graph(graph, {"work": service})
    assert result.ok
    assert service.times == [0, 51, 51]
