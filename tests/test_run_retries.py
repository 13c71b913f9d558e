"""Retries within a run: which policy, how long the back-off, and what it costs the others."""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    Actions,
    NonRetryable,
    RetryPolicy,
    TaskTimeoutError,
    open_run,
    run_graph,
)

from .runs import Meter, counting_turns, graph_of, raises, returns, sleeps, states, task
from .services import Exactly, Service, job, jobs

FOUR_SECONDS = Exactly(max_retries=9, base=4, cap=4)


def waits(service: Service) -> list[float]:
    return [after - before for before, after in zip(service.times, service.times[1:], strict=False)]


# -- back-off -----------------------------------------------------------------------------


async def test_each_wait_is_between_zero_and_the_doubled_base_up_to_the_cap(
    autojump_clock: MockClock,
) -> None:
    longest: list[float] = [0.0] * 6
    shortest: list[float] = [99.0] * 6
    for seed in range(200):
        service = Service(then=raises())
        graph = graph_of(job("a", max_retries=6))
        await run_graph(
            graph, {"work": service}, retry=RetryPolicy(base=2, cap=10), breaker=None, seed=seed
        )
        for k, wait in enumerate(waits(service)):
            longest[k], shortest[k] = max(longest[k], wait), min(shortest[k], wait)
    bounds = [2, 4, 8, 10, 10, 10]
    assert all(wait <= bound + 1e-9 for wait, bound in zip(longest, bounds, strict=True))
    assert all(wait > 0.9 * bound for wait, bound in zip(longest, bounds, strict=True))
    assert all(wait < 0.1 * bound for wait, bound in zip(shortest, bounds, strict=True))


async def test_the_default_is_three_retries_of_at_most_one_two_and_four_seconds(
    autojump_clock: MockClock,
) -> None:
    service = Service(then=raises())
    result = await run_graph(graph_of(job("a", max_retries=None)), {"work": service}, seed=1)
    assert result.results["a"].attempts == 4
    assert all(wait <= bound for wait, bound in zip(waits(service), [1, 2, 4], strict=True))


async def test_a_seed_makes_the_back_offs_the_same_and_another_does_not(
    autojump_clock: MockClock,
) -> None:
    async def span(seed: int | None) -> float:
        graph = graph_of(job("a", max_retries=5))
        return (await run_graph(graph, {"work": raises()}, seed=seed)).elapsed_ms

    assert await span(7) == pytest.approx(await span(7), abs=1e-6)
    assert len({round(await span(seed)) for seed in (1, 2, 3, None, None)}) == 5


async def test_the_global_random_numbers_are_left_alone(autojump_clock: MockClock) -> None:
    before = random.getstate()
    await run_graph(graph_of(job("a", max_retries=5)), {"work": raises()}, seed=1)
    assert random.getstate() == before


async def test_a_retry_starts_exactly_when_its_back_off_is_over(autojump_clock: MockClock) -> None:
    service = Service(then=raises())
    policy = Exactly(max_retries=4, base=3, cap=10)
    graph = graph_of(job("a", max_retries=None))
    result = await run_graph(graph, {"work": service}, retry=policy)
    assert service.times == [0, 3, 9, 19, 29]
    assert (result.elapsed_ms, result.results["a"].attempts) == (29_000, 5)


async def test_the_wait_begins_at_the_end_of_the_attempt(autojump_clock: MockClock) -> None:
    async def slow(args: dict[str, Any]) -> None:
        await trio.sleep(10)
        raise ValueError

    service = Service(slow, sleeps(100), returns())
    graph = graph_of(job("a", max_retries=None, task_timeout_ms=20_000))
    assert (await run_graph(graph, {"work": service}, retry=FOUR_SECONDS)).ok
    assert service.times == [0, 14, 38]


async def test_the_context_counts_the_attempts_and_each_has_its_whole_timeout(
    autojump_clock: MockClock,
) -> None:
    seen: list[tuple[int, str | None]] = []

    async def action(args: dict[str, Any], context: Any) -> None:
        seen.append((context.attempt, context.idempotency_key))
        await trio.sleep(5)
        raise ValueError

    graph = graph_of(job("a", max_retries=None, idempotent=True, task_timeout_ms=5_001))
    result = await run_graph(graph, {"work": action}, retry=Exactly(max_retries=2, base=1, cap=1))
    assert [attempt for attempt, _ in seen] == [0, 1, 2]
    assert len({key for _, key in seen}) == 1
    assert result.results["a"].execution_time_ms == 5_000
    assert result.elapsed_ms == 17_000


async def test_dependents_wait_for_the_last_attempt(autojump_clock: MockClock) -> None:
    graph = graph_of(
        task("a", max_retries=1),
        task("b", "a", action_name="next"),
        task("c", "a", action_name="next", on_dep_fail="on_failure"),
    )
    after = Service()
    actions = {"work": Service(raises(), returns()), "next": after}
    result = await run_graph(graph, actions, retry=FOUR_SECONDS)
    assert states(result) == {"a": "succeeded", "b": "succeeded", "c": "skipped"}
    assert after.times == [4]


# -- which policy -----------------------------------------------------------------------------


def acting(policy: RetryPolicy | None) -> Actions:
    actions = Actions()
    actions.register("work", raises(), retry=policy)
    return actions


@pytest.mark.parametrize(
    ("of_run", "of_action", "of_task", "attempts"),
    [
        (5, "inherit", None, 6),
        (5, "inherit", 2, 3),
        (5, "inherit", 0, 1),
        (0, "inherit", 2, 3),
        (5, 1, None, 2),
        (5, 1, 3, 4),
        (0, 4, None, 5),
        (5, None, None, 1),
        (5, None, 3, 1),
        (None, "inherit", None, 1),
        (None, "inherit", 3, 1),
        (None, 2, None, 3),
        (None, 2, 1, 2),
        (None, None, 3, 1),
    ],
)
async def test_the_task_goes_before_the_action_and_the_action_before_the_run(
    of_run: int | None,
    of_action: Any,
    of_task: int | None,
    attempts: int,
    autojump_clock: MockClock,
) -> None:
    def policy(retries: int | None) -> RetryPolicy | None:
        return None if retries is None else RetryPolicy(max_retries=retries)

    source = {"work": raises()} if of_action == "inherit" else acting(policy(of_action))
    graph = graph_of(job("a", max_retries=of_task))
    result = await run_graph(graph, source, retry=policy(of_run), breaker=None)
    assert result.results["a"].attempts == attempts


async def test_the_waits_of_an_action_are_those_of_its_own_policy(
    autojump_clock: MockClock,
) -> None:
    service = Service(then=raises())
    actions = Actions()
    actions.register("work", service, retry=Exactly(max_retries=3, base=5, cap=7))
    await run_graph(graph_of(job("a", max_retries=2)), actions, retry=FOUR_SECONDS)
    assert service.times == [0, 5, 12]


async def test_retry_on_of_the_run_is_asked(autojump_clock: MockClock) -> None:
    policy = RetryPolicy(max_retries=2, retry_on=(TypeError, TaskTimeoutError))
    graph = graph_of(
        *(task(name, action_name=name, max_retries=None) for name in ("type", "value", "never")),
        task("timeout", action_name="slow", max_retries=None, task_timeout_ms=1),
    )
    actions = {
        "type": raises(TypeError),
        "value": raises(),
        "never": raises(NonRetryable),
        "slow": sleeps(9),
    }
    result = await run_graph(graph, actions, retry=policy)
    attempts = {task_id: one.attempts for task_id, one in result.results.items()}
    assert attempts == {"type": 3, "value": 1, "never": 1, "timeout": 3}


# -- the budget -------------------------------------------------------------------------------


async def test_a_thousand_failing_tasks_are_retried_a_hundred_times_in_all(
    autojump_clock: MockClock,
) -> None:
    service = Service(then=raises())
    graph = graph_of(*jobs(1000, max_retries=None), max_retry_tokens=100)
    result = await run_graph(graph, {"work": service}, breaker=None)
    assert len(service.calls) == 1100
    assert result.statistics["retry_tokens_used"] == 100
    assert graph.get_stats()["retry_tokens_used"] == 100
    assert result.statistics["states"]["failed"] == 1000
    told = [one for one in result.results.values() if "max_retry_tokens is 100" in one.error]
    retried_in_full = [one for one in result.results.values() if one.attempts == 4]
    assert len(told) == 1000 - len(retried_in_full)
    assert all("ValueError: broken" in one.error for one in result.results.values())


async def test_what_may_not_be_retried_anyway_does_not_speak_of_the_budget(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of(job("a", max_retries=0), job("b", max_retries=1), max_retry_tokens=0)
    result = await run_graph(graph, {"work": raises()})
    assert "budget" not in result.results["a"].error
    assert "budget" in result.results["b"].error
    assert result.statistics["retry_tokens_used"] == 0


async def test_a_token_is_charged_before_the_back_off_and_never_given_back(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of(job("a", max_retries=9), max_retry_tokens=9)
    async with open_run(graph, {"work": Service(raises())}, retry=FOUR_SECONDS) as run:
        await trio.sleep(1)
        assert run.statistics()["retry_tokens_used"] == 1
        assert graph.get_stats()["states"]["ready"] == 1
        run.cancel("a")
    assert (await run.wait()).statistics["retry_tokens_used"] == 1


async def test_each_run_has_the_whole_budget(autojump_clock: MockClock) -> None:
    graph = graph_of(job("a", max_retries=9), max_retry_tokens=3)
    for _ in range(2):
        result = await run_graph(graph, {"work": raises()})
        assert (result.results["a"].attempts, result.statistics["retry_tokens_used"]) == (4, 3)


# -- what a back-off costs the others ------------------------------------------------------------


async def test_a_task_that_backs_off_takes_no_slot_no_cap_no_resource_and_no_limiter(
    autojump_clock: MockClock,
) -> None:
    service = Service(raises(), then=sleeps(1))
    limiter = trio.CapacityLimiter(1)
    fields = {"resource_ids": ["r"], "max_retries": None}
    graph = graph_of(job("a", priority=1, **fields), job("b", **fields))
    result = await run_graph(
        graph,
        {"work": service},
        retry=FOUR_SECONDS,
        max_parallel=1,
        per_action_caps={"work": limiter},
        resource_caps={"r": 1},
    )
    assert service.calls == [(0, "a"), (0, "b"), (4, "a")]
    assert result.ok
    assert limiter.borrowed_tokens == 0


async def test_a_retry_takes_its_place_in_the_order_and_respects_the_cap(
    autojump_clock: MockClock,
) -> None:
    meter = Meter()
    service = Service(raises(), then=meter.naps())
    graph = graph_of(
        job("a", priority=5, max_retries=1),
        *(job(f"b{n}", normalized_args={"seconds": 3}) for n in range(4)),
    )
    await run_graph(
        graph, {"work": service}, retry=FOUR_SECONDS, per_action_caps={"work": 1}, max_parallel=9
    )
    # Free again at 4, it comes first at the next end, at 6.
    assert service.calls == [(0, "a"), (0, "b0"), (3, "b1"), (6, "a"), (7, "b2"), (10, "b3")]
    assert meter.peak["all"] == 1


async def test_a_thousand_back_offs_need_no_trio_tasks_and_no_wake_ups(
    autojump_clock: MockClock,
) -> None:
    policy = Exactly(max_retries=1, base=100_000, cap=100_000)
    graph = graph_of(*jobs(1000, max_retries=None), max_retry_tokens=1000)
    async with open_run(
        graph, {"work": raises()}, retry=policy, breaker=None, max_parallel=4
    ) as run:
        await trio.sleep(1)
        with counting_turns() as counter:
            await trio.sleep(50_000)
        assert counter.turns <= 3  # those of the test itself
        assert trio.lowlevel.current_statistics().tasks_living < 20
        assert run.statistics()["states"]["ready"] == 1000
        assert run.statistics()["running_tasks"] == 0
        run.cancel()


async def test_a_run_in_which_everything_backs_off_is_not_taken_for_dead(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of(*jobs(50, max_retries=99), max_parallel=3)
    result = await run_graph(graph, {"work": Service(*[raises()] * 100)}, breaker=None)
    assert result.ok
