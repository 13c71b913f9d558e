"""Circuit breakers that let nobody through: who fails then, when, and with what."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from tgtrio import BreakerPolicy, GraphResult, RetryPolicy, run_graph
from tgtrio._run import Shared, prepare

from .runs import graph_of, raises, returns, sleeps, states
from .services import Service, breaker_of, following, job, jobs, make_breakers, run_with

ONE = BreakerPolicy(window=1, threshold=1)
AT_ONCE = RetryPolicy(base=0)


def attempts(result: GraphResult) -> list[int]:
    return [one.attempts for one in result.results.values()]


# -- giving up ------------------------------------------------------------------------------------


async def test_after_five_failed_probes_those_held_fail_and_it_stays_open(
    autojump_clock: MockClock,
) -> None:
    breakers = make_breakers(ONE)
    service = Service(then=raises())
    graph = graph_of(*jobs(20), max_parallel=1)
    result = await run_with(breakers, graph, {"work": service})
    assert service.times == [0, 30, 60, 90, 120, 150]
    assert attempts(result) == [1] * 6 + [0] * 14
    assert result.elapsed_ms == 150_000
    assert set(states(result).values()) == {"failed"}
    for n in range(6, 20):
        one = result.results[str(n)]
        assert "CircuitOpenError" in one.error
        assert "5 probes in a row" in one.error
    assert breaker_of(breakers).state.value == "OPEN"
    exceptions = {id(result.results[str(n)].exception) for n in range(6, 20)}
    assert len(exceptions) == 14  # each its own


async def test_tasks_that_become_ready_later_wait_for_their_own_five_probes(
    autojump_clock: MockClock,
) -> None:
    service = Service(then=raises())
    graph = graph_of(
        *jobs(8), job("nap", action_name="nap"), *(job(f"late{n}", "nap") for n in range(8))
    )
    result = await run_graph(graph, {"work": service, "nap": sleeps(155)}, breaker=ONE)
    assert service.times == [30 * n for n in range(11)]
    assert attempts(result) == [1] * 6 + [0] * 2 + [1] + [1] * 5 + [0] * 3
    assert result.elapsed_ms == 300_000


async def test_those_that_become_ready_between_two_probes_are_held_with_the_others(
    autojump_clock: MockClock,
) -> None:
    service = Service(then=raises())
    graph = graph_of(
        *jobs(8), job("nap", action_name="nap"), *(job(f"late{n}", "nap") for n in range(8))
    )
    result = await run_graph(graph, {"work": service, "nap": sleeps(145)}, breaker=ONE)
    assert result.elapsed_ms == 150_000
    assert attempts(result)[9:] == [0] * 8


async def test_a_task_that_backs_off_while_it_gives_up_lives_on(autojump_clock: MockClock) -> None:
    policy = BreakerPolicy(window=1, threshold=1, give_up_after=1)
    service = following("FF")
    graph = graph_of(job("a"), job("b", max_retries=1), job("c"), max_parallel=1)
    result = await run_graph(graph, {"work": service}, breaker=policy, retry=AT_ONCE)
    assert states(result) == {"a": "failed", "b": "succeeded", "c": "failed"}
    assert service.calls == [(0, "a"), (30, "b"), (60, "b")]


async def test_a_success_begins_the_count_of_failed_probes_anew(autojump_clock: MockClock) -> None:
    service = following("F" + "FFFF" + "S" + "F" + "FFFF")
    result = await run_graph(graph_of(*jobs(12), max_parallel=1), {"work": service}, breaker=ONE)
    assert service.times == [0, 30, 60, 90, 120, 150, 150, 180, 210, 240, 270, 300]
    assert attempts(result) == [1] * 12


async def test_dependents_of_those_that_are_failed_go_by_their_policies(
    autojump_clock: MockClock,
) -> None:
    policy = BreakerPolicy(window=1, threshold=1, give_up_after=1)
    graph = graph_of(
        *jobs(3),
        job("child", "2", action_name="fine"),
        job("cleanup", "2", action_name="fine", on_dep_fail="always"),
        max_parallel=1,
    )
    result = await run_graph(graph, {"work": raises(), "fine": returns()}, breaker=policy)
    assert states(result)["child"] == "aborted"
    assert states(result)["cleanup"] == "succeeded"
    assert result.results["child"].caused_by == "2"
    assert "CircuitOpenError" in result.results["child"].error


async def test_what_was_given_up_before_the_run_is_no_business_of_its_tasks(
    autojump_clock: MockClock,
) -> None:
    breakers = make_breakers(BreakerPolicy(window=1, threshold=1, give_up_after=1))
    breaker = breaker_of(breakers)
    breaker.acquire().failed()
    await trio.sleep(30)
    service = Service()
    engine = prepare(graph_of(job("a")), {"work": service}, {}, Shared(breakers=breakers))
    await engine.begin()
    breaker.acquire().failed()  # the probe of somebody else
    assert breaker.give_ups == 1
    assert (await engine.execute()).ok
    assert service.times == [60]


# -- fail at once ---------------------------------------------------------------------------------


async def test_fail_at_once_goes_on_with_others_and_probes_when_it_is_time(
    autojump_clock: MockClock,
) -> None:
    service = Service(raises(), then=returns())
    graph = graph_of(
        *jobs(3),
        job("nap", action_name="nap"),
        *(job(f"late{n}", "nap") for n in range(3)),
        max_parallel=1,
    )
    result = await run_graph(
        graph, {"work": service, "nap": sleeps(31)}, breaker=ONE, when_open="fail"
    )
    assert service.times == [0, 31, 31, 31]
    assert [states(result)[n] for n in ("0", "1", "2")] == ["failed"] * 3
    assert [states(result)[f"late{n}"] for n in range(3)] == ["succeeded"] * 3


async def test_fail_at_once_fails_those_that_come_while_a_probe_is_under_way(
    autojump_clock: MockClock,
) -> None:
    service = Service(raises(), sleeps(10))
    graph = graph_of(
        job("opens", priority=1),
        job("nap", action_name="nap"),
        *(job(f"late{n}", "nap") for n in range(3)),
        max_parallel=3,
    )
    actions = {"work": service, "nap": sleeps(31)}
    result = await run_graph(graph, actions, breaker=ONE, when_open="fail")
    assert [states(result)[f"late{n}"] for n in range(3)] == ["succeeded", "failed", "failed"]
    assert "HALF_OPEN" in result.results["late1"].error


async def test_fail_at_once_of_a_retry_keeps_what_the_last_attempt_failed_with(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of(job("a", max_retries=3))
    result = await run_graph(
        graph, {"work": raises()}, breaker=ONE, when_open="fail", retry=AT_ONCE
    )
    one = result.results["a"]
    assert (one.attempts, one.state.value) == (1, "failed")
    assert "CircuitOpenError" in one.error
    assert "its last attempt failed with ValueError: broken" in one.error
