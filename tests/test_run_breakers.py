"""Circuit breakers within a run: when they open, whom they hold, and who is the probe."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    Actions,
    BreakerPolicy,
    GraphResult,
    NonRetryable,
    RetryPolicy,
    Run,
    open_run,
    run_graph,
)
from tgtrio._attempts import Attempts

from .runs import Args, Meter, graph_of, raises, returns, sleeps, states
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
AT_ONCE = RetryPolicy(base=0)


def attempts(result: GraphResult) -> list[int]:
    return [one.attempts for one in result.results.values()]


def breaker_states(run: Run) -> Any:
    return run.statistics()["breaker_states"]


# -- opening ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcomes", "calls"),
    [
        ("FFFFF", 5),
        ("SSSSSSSSSSFFFFF", 15),  # successes before the first failure do not help
        ("FSFSFSFSF", 9),
        ("FSSFSSFSSFSSFFF", 15),  # the first has left the window before the fifth comes
        ("FSSSSSSSSSSFFFFF", 16),
        ("FFFFSSSSSSFFFFF", 15),
        ("FFFFSSSSSF", 10),
    ],
)
async def test_five_failures_among_the_last_ten_attempts_open_it(
    outcomes: str, calls: int, autojump_clock: MockClock
) -> None:
    counts = [outcomes[:n][-10:].count("F") for n in range(len(outcomes) + 1)]
    assert counts.index(5) == calls
    service = following(outcomes)
    async with open_run(graph_of(*jobs(30), max_parallel=1), {"work": service}) as run:
        await trio.sleep(1)
        assert len(service.calls) == calls
        assert breaker_states(run)["work"]["state"] == "OPEN"
        run.cancel()


async def test_old_failures_leave_the_window_by_successes(autojump_clock: MockClock) -> None:
    """Four failures in a row, six successes, four failures: never five among ten."""
    outcomes = "FFFFSSSSSSSSSSFFFFSSSSSSSS"
    graph = graph_of(*jobs(len(outcomes)), max_parallel=1)
    result = await run_graph(graph, {"work": following(outcomes)})
    assert result.elapsed_ms == 0
    assert attempts(result) == [1] * len(outcomes)


@pytest.mark.parametrize("inline", [False, True])
async def test_a_breaker_that_has_seen_no_failure_costs_no_call_of_the_host(
    inline: bool, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    for name in ("prepare", "succeeded"):
        method = getattr(Attempts, name)

        def counted(self: Any, pump: Any, name: str = name, method: Any = method) -> Any:
            called.append(name)
            return method(self, pump)

        monkeypatch.setattr(Attempts, name, counted)
    steps = iter("S" * 50 + "F" + "S" * 50)

    def step(args: Any) -> None:
        if next(steps) == "F":
            raise ValueError

    async def step_async(args: Any) -> None:
        step(args)

    actions = Actions()
    if inline:
        actions.register("work", step, inline=True)
    else:
        actions.register("work", step_async)
    result = await run_graph(graph_of(*jobs(101), max_parallel=1), actions)
    assert result.statistics["states"]["succeeded"] == 100
    # After the failure ten successes are reported, until it has left the window.
    assert called == ["succeeded"] * 10


@pytest.mark.parametrize("error", [NonRetryable, TypeError, OSError])
async def test_every_kind_of_failure_opens_it(
    error: type[Exception], autojump_clock: MockClock
) -> None:
    service = Service(then=raises(error))
    graph = graph_of(*jobs(20), max_parallel=1)
    async with open_run(graph, {"work": service}) as run:
        await trio.sleep(1)
        assert len(service.calls) == 5
        run.cancel()


async def test_the_attempts_of_one_task_open_it_for_all(autojump_clock: MockClock) -> None:
    service = following("FFFFF")
    graph = graph_of(job("a", max_retries=9), job("nap", action_name="nap"), job("b", "nap"))
    result = await run_graph(graph, {"work": service, "nap": sleeps(1)}, retry=AT_ONCE)
    assert result.ok
    assert service.calls == [(0, "a")] * 5 + [(30, "a"), (30, "b")]


async def test_other_actions_are_not_bothered(autojump_clock: MockClock) -> None:
    broken, fine = Service(then=raises()), Service()
    graph = graph_of(*jobs(20), *jobs(20, "f", action_name="fine"), max_parallel=2)
    async with open_run(graph, {"work": broken, "fine": fine}) as run:
        await trio.sleep(1)
        assert (len(broken.calls), len(fine.calls)) == (5, 20)
        figures = breaker_states(run)
        assert [figures[name]["state"] for name in ("work", "fine")] == ["OPEN", "CLOSED"]
        run.cancel()


# -- figures ------------------------------------------------------------------------------


async def test_the_figures_while_it_runs_and_after(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    def at(seconds: float) -> str:
        return (wall_start + timedelta(seconds=seconds)).isoformat()

    service = Service(sleeps(5), raises(), sleeps(10))
    graph = graph_of(*jobs(4), max_parallel=1)
    closed = {"state": "CLOSED", "opens_at": None, "half_open_at": None}
    async with open_run(graph, {"work": service}, breaker=ONE) as run:
        assert breaker_states(run) == {"work": closed}
        await trio.sleep(6)
        opened = {"state": "OPEN", "opens_at": at(5), "half_open_at": at(35)}
        assert breaker_states(run) == {"work": opened}
        assert graph.get_stats()["breaker_states"] == {"work": opened}
        await trio.sleep(30)  # the probe is under way
        assert breaker_states(run) == {"work": {**opened, "state": "HALF_OPEN"}}
    assert (await run.wait()).statistics["breaker_states"] == {"work": closed}
    assert graph.get_stats()["breaker_states"] == {"work": closed}


async def test_the_figures_of_a_run_that_ends_with_an_open_breaker(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    result = await run_graph(graph_of(job("a")), {"work": raises()}, breaker=ONE)
    figures = result.statistics["breaker_states"]["work"]
    assert (figures["state"], figures["opens_at"]) == ("OPEN", wall_start.isoformat())


async def test_the_figures_can_be_asked_for_in_a_worker_thread(patient_clock: MockClock) -> None:
    def ask(args: Any) -> Any:
        return graph.get_stats()["breaker_states"]["work"]["state"]

    graph = graph_of(job("a"), job("ask", "a", action_name="ask", on_dep_fail="always"))
    result = await run_graph(graph, {"work": raises(), "ask": ask}, breaker=ONE)
    assert result.results["ask"].response == "OPEN"


# -- holding and probing ----------------------------------------------------------------------


async def test_tasks_are_held_without_a_slot_until_a_probe_has_succeeded(
    autojump_clock: MockClock,
) -> None:
    meter = Meter()
    service = Service(raises(), then=meter.naps())
    graph = graph_of(*jobs(9))
    async with open_run(graph, {"work": service}, breaker=ONE, max_parallel=1) as run:
        await trio.sleep(29)
        figures = run.statistics()
        assert (figures["running_tasks"], figures["states"]["ready"]) == (0, 8)
    assert service.times == [0, 30, 31, 32, 33, 34, 35, 36, 37]


async def test_of_a_hundred_held_tasks_exactly_one_is_the_probe_and_it_is_the_first(
    autojump_clock: MockClock,
) -> None:
    service = Service(raises(), sleeps(10), then=returns())
    graph = graph_of(
        job("opens", priority=1000), *(job(f"{n}", priority=n * 37 % 100) for n in range(100))
    )
    async with open_run(graph, {"work": service}, breaker=ONE, max_parallel=100) as run:
        await trio.sleep(39)
        assert service.calls == [(0, "opens"), (30, "27")]  # of priority 99
        assert run.statistics()["states"]["ready"] == 99
    by_priority = sorted(range(100), key=lambda n: -(n * 37 % 100))
    assert service.calls[1:] == [(30 if n == 27 else 40, str(n)) for n in by_priority]


async def test_those_in_flight_when_it_opens_run_on_and_count_nothing(
    autojump_clock: MockClock,
) -> None:
    async def by_id(args: Args) -> None:
        await trio.sleep(int(args["id"]))
        if int(args["id"]) < 5:
            raise ValueError

    breakers = make_breakers()
    async with running(breakers, graph_of(*jobs(10), max_parallel=10), {"work": by_id}) as run:
        await trio.sleep(4.5)
        opened = breaker_of(breakers).statistics()
        assert (opened["state"], opened["opens_at"], opened["recorded"]) == ("OPEN", 4, 5)
    assert (await run.wait()).statistics["states"]["succeeded"] == 5
    assert breaker_of(breakers).statistics() == opened


async def test_a_result_that_began_before_the_last_change_never_counts(
    autojump_clock: MockClock,
) -> None:
    """It opens, half-opens and closes again while a slow attempt is under way."""
    service = Service(after(100, raises()), raises())
    breakers = make_breakers(ONE)
    graph = graph_of(*jobs(4), max_parallel=2)
    async with running(breakers, graph, {"work": service}) as run:
        await trio.sleep(99)
        assert breaker_of(breakers).state.value == "CLOSED"
        generation = breaker_of(breakers).generation
    assert breaker_of(breakers).generation == generation
    assert states(await run.wait()) == {
        "0": "failed",
        "1": "failed",
        "2": "succeeded",
        "3": "succeeded",
    }


async def test_a_slow_success_from_before_does_not_close_it(autojump_clock: MockClock) -> None:
    service = Service(sleeps(31), raises(), then=sleeps(10))
    breakers = make_breakers(ONE)
    graph = graph_of(*jobs(3), max_parallel=2)
    async with running(breakers, graph, {"work": service}):
        await trio.sleep(32)
        assert breaker_of(breakers).state.value == "HALF_OPEN"
    assert service.times == [0, 0, 30]


async def test_a_failed_probe_means_another_thirty_seconds(autojump_clock: MockClock) -> None:
    service = Service(raises(), after(5, raises()), after(5, raises()))
    result = await run_graph(graph_of(*jobs(5)), {"work": service}, breaker=ONE)
    assert service.times == [0, 30, 65, 100, 100]
    assert result.statistics["states"]["succeeded"] == 2


async def test_a_probe_that_fails_and_is_retried_is_the_next_probe(
    autojump_clock: MockClock,
) -> None:
    service = following("FFF")
    graph = graph_of(job("a", max_retries=9), *jobs(3))
    assert (await run_graph(graph, {"work": service}, breaker=ONE, retry=AT_ONCE)).ok
    assert service.callers == ["a", "a", "a", "a", "0", "1", "2"]
    assert service.times == [0, 30, 60, 90, 90, 90, 90]


async def test_a_cancelled_probe_lets_the_next_one_pass_at_once(autojump_clock: MockClock) -> None:
    service = Service(raises(), then=sleeps(10))
    graph = graph_of(*jobs(4), max_parallel=1)
    async with open_run(graph, {"work": service}, breaker=ONE) as run:
        await trio.sleep(33)
        run.cancel("1")
        await trio.sleep(1)
        assert breaker_states(run)["work"]["state"] == "HALF_OPEN"
    assert service.calls == [(0, "0"), (30, "1"), (33, "2"), (43, "3")]


async def test_a_probe_whose_deadline_expires_lets_the_next_one_pass_at_once(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    service = Service(raises(), then=sleeps(10))
    expires = {"deadline": wall_start + timedelta(seconds=35), "expire_at_deadline": True}
    graph = graph_of(job("a", priority=3), job("b", priority=2, **expires), job("c"))
    await run_graph(graph, {"work": service}, breaker=ONE, max_parallel=1)
    assert service.calls == [(0, "a"), (30, "b"), (35, "c")]


async def test_a_probe_that_does_not_come_back_lets_one_more_through_every_thirty_seconds(
    autojump_clock: MockClock,
) -> None:
    service = Service(raises(), sleeps(100), sleeps(100), sleeps(5))
    async with open_run(graph_of(*jobs(7)), {"work": service}, breaker=ONE) as run:
        await trio.sleep(94)
        assert service.times == [0, 30, 60, 90]
        assert breaker_states(run)["work"]["state"] == "HALF_OPEN"
        await trio.sleep(2)
        assert breaker_states(run)["work"]["state"] == "CLOSED"
    assert service.times == [0, 30, 60, 90, 95, 95, 95]


async def test_of_two_probes_under_way_the_first_to_end_decides(autojump_clock: MockClock) -> None:
    service = Service(raises(), sleeps(35), after(40, raises()))
    breakers = make_breakers(ONE)
    result = await run_with(breakers, graph_of(*jobs(5)), {"work": service})
    assert service.times == [0, 30, 60, 65, 65]
    assert result.results["2"].state.value == "failed"  # at 100, and nobody minds
    assert breaker_of(breakers).generation == 3  # opened, half-opened, closed


async def test_a_probe_whose_attempt_times_out_has_failed(autojump_clock: MockClock) -> None:
    service = Service(raises(), sleeps(99))
    graph = graph_of(*jobs(3, task_timeout_ms=5_000))
    await run_graph(graph, {"work": service}, breaker=ONE)
    assert service.times == [0, 30, 65]
