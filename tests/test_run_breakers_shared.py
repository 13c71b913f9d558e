"""Circuit breakers beside limits, policies and other runs; and what many held tasks cost."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    Actions,
    BreakerPolicy,
    RawStore,
    TaskExecutor,
    create_task_scheduler,
    open_run,
    run_graph,
)

from .runs import Args, Meter, counting_turns, graph_of, raises, returns, sleeps, states, task
from .services import (
    Service,
    after,
    breaker_of,
    following,
    job,
    jobs,
    make_breakers,
    run_with,
    running,
)

ONE = BreakerPolicy(window=1, threshold=1)


# -- beside limits ----------------------------------------------------------------------------


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("where", ["action", "resource", "max_parallel"])
async def test_a_breaker_and_a_cap_hold_together(
    where: str, foreign: bool, autojump_clock: MockClock
) -> None:
    limit: Any = trio.CapacityLimiter(2) if foreign else 2
    options: dict[str, Any] = {
        "action": {"per_action_caps": {"work": limit}},
        "resource": {"resource_caps": {"r": limit}},
        "max_parallel": {"max_parallel": limit},
    }[where]
    meter = Meter()
    service = Service(raises(), sleeps(10), then=meter.naps())
    graph = graph_of(*jobs(6, resource_ids=["r"]), max_parallel=9)
    async with open_run(graph, {"work": service}, breaker=ONE, **options) as run:
        await trio.sleep(20)
        assert run.statistics()["running_tasks"] == 0
        if foreign:
            assert limit.borrowed_tokens == 0
        await trio.sleep(15)
        assert run.statistics()["running_tasks"] == 1
    assert service.times == [0, 30, 40, 40, 41, 41]
    assert meter.peak["all"] == 2
    if foreign:
        assert limit.borrowed_tokens == 0


async def test_who_is_held_by_a_breaker_leaves_a_shared_limiter_and_a_resource_to_others(
    autojump_clock: MockClock,
) -> None:
    limiter, fine = trio.CapacityLimiter(1), Service(then=sleeps(1))
    broken = Service(raises())
    graph = graph_of(
        *jobs(3, priority=1, resource_ids=["r"]),
        *jobs(5, "f", action_name="fine", resource_ids=["r"]),
    )
    await run_graph(
        graph,
        {"work": broken, "fine": fine},
        breaker=ONE,
        per_action_caps={"work": limiter, "fine": limiter},
        resource_caps={"r": 1},
    )
    assert fine.times == [0, 1, 2, 3, 4]
    assert broken.times == [0, 30, 30]


async def test_a_probe_that_waits_for_a_foreign_token_starts_when_it_has_one(
    autojump_clock: MockClock,
) -> None:
    limiter = trio.CapacityLimiter(1)
    service = following("F")
    async with open_run(
        graph_of(*jobs(3)), {"work": service}, breaker=ONE, per_action_caps={"work": limiter}
    ) as run:
        await trio.sleep(10)
        async with limiter:
            await trio.sleep(40)
            assert run.statistics()["breaker_states"]["work"]["state"] == "HALF_OPEN"
    assert service.times == [0, 50, 50]


async def test_a_breaker_that_is_refused_its_place_gives_the_token_back(
    autojump_clock: MockClock,
) -> None:
    limiter = trio.CapacityLimiter(1)
    graph = graph_of(*jobs(9))
    result = await run_graph(
        graph,
        {"work": raises()},
        breaker=ONE,
        when_open="fail",
        per_action_caps={"work": limiter},
    )
    assert result.elapsed_ms == 0
    assert limiter.borrowed_tokens == 0


# -- policies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_run", "of_action", "calls"),
    [
        (ONE, "inherit", 1),
        (ONE, None, 20),
        (None, "inherit", 20),
        (None, ONE, 1),
        (ONE, BreakerPolicy(window=4, threshold=1), 4),
    ],
)
async def test_the_policy_of_the_action_goes_before_that_of_the_run(
    of_run: BreakerPolicy | None, of_action: Any, calls: int, autojump_clock: MockClock
) -> None:
    service: Any = Service(then=raises())
    source: Any = {"work": service}
    if of_action != "inherit":
        source = Actions()
        source.register("work", service, breaker=of_action)
    async with open_run(graph_of(*jobs(20)), source, breaker=of_run) as run:
        await trio.sleep(1)
        assert len(service.calls) == calls
        assert ("work" in run.statistics()["breaker_states"]) is (calls < 20)
        run.cancel()


async def test_without_retries_a_breaker_still_holds(autojump_clock: MockClock) -> None:
    service = following("F")
    await run_graph(graph_of(*jobs(3)), {"work": service}, breaker=ONE, retry=None)
    assert service.times == [0, 30, 30]


# -- other runs ---------------------------------------------------------------------------------


async def test_each_run_has_its_own_breakers(autojump_clock: MockClock) -> None:
    for _ in range(2):
        service = following("F")
        result = await run_graph(
            graph_of(job("a")), {"work": service}, breaker=BreakerPolicy(window=2, threshold=1)
        )
        assert result.statistics["breaker_states"]["work"]["state"] == "CLOSED"


async def test_successive_runs_of_a_scheduler_share_them(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    scheduler = create_task_scheduler(
        persona_space_path=tmp_path, task_executor=TaskExecutor(breaker=ONE, retry=None)
    )
    service = following("F")
    first = await scheduler.execute_graph(graph_of(job("a")), {"work": service})
    assert first.statistics["breaker_states"]["work"]["state"] == "OPEN"
    await trio.sleep(10)
    second = await scheduler.execute_graph(graph_of(job("b"), job("c")), {"work": service})
    assert service.calls == [(0, "a"), (30, "b"), (30, "c")]
    opened = first.statistics["breaker_states"]["work"]["opens_at"]
    assert opened is not None
    assert second.statistics["breaker_states"]["work"]["state"] == "CLOSED"


async def test_a_run_with_breakers_of_its_own_leaves_those_of_the_scheduler_alone(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    scheduler = create_task_scheduler(persona_space_path=tmp_path, breaker=ONE)
    service = following("FF")
    await scheduler.execute_graph(graph_of(job("a")), {"work": service})
    await scheduler.execute_graph(graph_of(job("b")), {"work": service}, breaker=None)
    assert service.times == [0, 0]


async def test_two_runs_at_once_share_one_probe(autojump_clock: MockClock) -> None:
    breakers = make_breakers(ONE)
    service = Service(raises(), sleeps(10))
    async with running(breakers, graph_of(*jobs(3)), {"work": service}) as one:
        await trio.sleep(1)
        other = graph_of(*jobs(3, "o"), graph_id="other")
        async with running(breakers, other, {"work": service}) as two:
            await trio.sleep(30)
            for run in (one, two):
                assert run.statistics()["breaker_states"]["work"]["state"] == "HALF_OPEN"
            running_now = [run.statistics()["running_tasks"] for run in (one, two)]
            assert sorted(running_now) == [0, 1]
    assert service.times == [0, 30, 40, 40, 40, 40]


async def test_the_probe_of_a_run_that_ends_leaves_its_place_to_the_other(
    autojump_clock: MockClock,
) -> None:
    breakers = make_breakers(ONE)
    first, second = Service(raises(), then=sleeps(1000)), Service()
    async with running(breakers, graph_of(*jobs(2)), {"work": first}) as run:
        await trio.sleep(31)
        other = graph_of(*jobs(2, "o"), graph_id="other")
        async with running(breakers, other, {"work": second}):
            await trio.sleep(4)
            run.cancel()
    assert first.times == [0, 30]
    assert second.times == [35, 35]


async def test_it_gives_up_for_all_runs_at_once(autojump_clock: MockClock) -> None:
    breakers = make_breakers(BreakerPolicy(window=1, threshold=1, give_up_after=1))
    service = Service(raises(), after(5, raises()))
    other = graph_of(*jobs(3, "o"), graph_id="other")
    async with (
        running(breakers, graph_of(*jobs(3)), {"work": service}) as one,
        running(breakers, other, {"work": service}) as two,
    ):
        results = [await run.wait() for run in (one, two)]
    assert {state for result in results for state in states(result).values()} == {"failed"}
    assert (len(service.calls), trio.current_time()) == (2, 35)


async def test_a_breaker_that_is_isolated_by_hand_holds_until_it_is_closed(
    autojump_clock: MockClock,
) -> None:
    breakers, service = make_breakers(), Service()
    breaker_of(breakers).isolate("maintenance")
    async with running(breakers, graph_of(*jobs(2)), {"work": service}) as run:
        with counting_turns() as counter:
            await trio.sleep(100_000)
        assert counter.turns <= 9
        assert run.statistics()["breaker_states"]["work"]["half_open_at"] is None
        breaker_of(breakers).close()
    assert service.times == [100_000] * 2


async def test_a_breaker_that_is_isolated_during_a_run_holds_what_has_not_started(
    autojump_clock: MockClock,
) -> None:
    breakers, service = make_breakers(), Service(then=sleeps(10))
    async with running(breakers, graph_of(*jobs(3), max_parallel=1), {"work": service}) as run:
        await trio.sleep(5)
        breaker_of(breakers).isolate()
        await trio.sleep(100)
        assert len(service.calls) == 1
        run.cancel()
    assert list(states(await run.wait()).values()) == ["succeeded", "cancelled", "cancelled"]


@pytest.mark.parametrize(("second_start", "expected"), [(0.0, 30.0), (12.0, 35.0), (1e6, 1e6)])
def test_breakers_outlive_a_trio_run_and_its_clock(second_start: float, expected: float) -> None:
    breakers, service = make_breakers(ONE), following("F")

    async def first() -> None:
        await trio.sleep(5)
        await run_with(breakers, graph_of(job("a")), {"work": service})

    async def second() -> None:
        await run_with(breakers, graph_of(job("b")), {"work": service})

    trio.run(first, clock=MockClock(autojump_threshold=0))
    clock = MockClock(autojump_threshold=0)
    clock.jump(second_start)
    trio.run(second, clock=clock)
    assert service.calls == [(5, "a"), (expected, "b")]


async def test_a_run_that_is_over_leaves_nothing_at_a_shared_breaker(
    autojump_clock: MockClock,
) -> None:
    breakers = make_breakers(ONE)
    graph = graph_of(*jobs(3))
    for _ in range(3):
        async with running(breakers, graph, {"work": following("F")}) as run:
            await trio.sleep(1)
            run.cancel()
    breaker = breaker_of(breakers)
    gc.collect()
    assert len(breaker._callbacks) == 1  # the one that writes down its moves
    breaker.close()
    assert (await run_with(breakers, graph, {"work": returns()})).ok


# -- many ---------------------------------------------------------------------------------------


async def test_ten_thousand_held_tasks_do_not_slow_the_others(autojump_clock: MockClock) -> None:
    async def turns_with(held: int) -> int:
        graph = graph_of(
            job("opens", priority=9, action_name="broken"),
            *jobs(held, "h", action_name="broken", priority=1),
            *jobs(500),
        )
        actions = {"broken": Service(raises(), then=returns()), "work": sleeps(1)}
        async with open_run(graph, actions, breaker=ONE, max_parallel=100) as run:
            with counting_turns() as counter:
                await trio.sleep(20)
            figures = run.statistics()["states"]
            assert (figures["succeeded"], figures["ready"]) == (500, held)
        assert (await run.wait()).statistics["states"]["succeeded"] == 500 + held
        return counter.turns

    assert await turns_with(10_000) <= await turns_with(10) + 5


async def test_ten_thousand_held_tasks_make_no_wake_ups(autojump_clock: MockClock) -> None:
    service = Service(raises(), then=after(1, raises()))
    graph = graph_of(*jobs(10_000), max_parallel=1000)
    async with open_run(graph, {"work": service}, breaker=ONE) as run:
        await trio.sleep(1)
        with counting_turns() as counter:
            await trio.sleep(28)
        assert counter.turns <= 3
        assert trio.lowlevel.current_statistics().tasks_living < 20
    assert service.times == [0, 30, 61, 92, 123, 154]
    assert (await run.wait()).statistics["states"]["failed"] == 10_000


async def test_a_held_task_waits_for_no_store(patient_clock: MockClock, tmp_path: Path) -> None:
    service = following("F")
    with RawStore(tmp_path / "s.sqlite") as store:
        graph = graph_of(*jobs(20), max_parallel=1)
        await run_graph(graph, {"work": service}, breaker=ONE, store=store)
    first, *others = service.times
    assert first < 1
    assert all(30 <= when < 32 for when in others)
    assert len(others) == 19


async def test_a_success_that_was_committed_is_served_behind_an_open_breaker(
    patient_clock: MockClock, tmp_path: Path
) -> None:
    breakers = make_breakers(BreakerPolicy(window=1, threshold=1, give_up_after=1))
    graph = graph_of(job("first"), *jobs(2), max_parallel=3)

    async def work(args: Args) -> int:
        if args["id"] == "first":
            await trio.sleep_forever()
        return 1

    with RawStore(tmp_path / "s.sqlite") as store:
        async with running(breakers, graph, {"work": work}, store=store) as run:
            await trio.sleep(5)
            run.cancel()
        breaker_of(breakers).acquire().failed()
        result = await run_with(breakers, graph, {"work": raises()}, store=store)
    assert states(result) == {"first": "failed", "0": "succeeded", "1": "succeeded"}


async def test_equal_work_that_is_done_is_not_given_up(autojump_clock: MockClock) -> None:
    async def work(args: Args) -> int:
        if args.get("x"):
            await trio.sleep(1)
            raise ValueError
        return 1

    graph = graph_of(
        task("a", idempotent=True),
        task("x", normalized_args={"x": 1}),
        task("n", action_name="nap"),
        task("y", "n", normalized_args={"x": 2}, priority=1),
        task("b", "n", idempotent=True),
    )
    policy = BreakerPolicy(window=1, threshold=1, give_up_after=1)
    result = await run_graph(graph, {"work": work, "nap": sleeps(2)}, breaker=policy)
    assert states(result) == {
        "a": "succeeded",
        "x": "failed",
        "n": "succeeded",
        "y": "failed",
        "b": "succeeded",
    }
    assert result.results["b"].cached
