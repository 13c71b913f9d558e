"""How leaders and followers end, in whatever way the leader, a follower or the run does."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    AbortConditionMonitor,
    RetryPolicy,
    TaskState,
    open_run,
    output_of,
    run_graph,
)
from tgtrio._errors import DeadlineExpiredError
from tgtrio._retry import NonRetryable

from .runs import Args, graph_of, nap, raises, returns, sleeps, states, task
from .test_retry import Longest
from .test_run_sharing import Calls, cached, same

FAST = RetryPolicy(base=1e-9, cap=1e-9)


@pytest.fixture
def long_back_offs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-offs are as long as they can be: 1, 2, 4, 8, ... seconds."""
    monkeypatch.setattr("tgtrio._parts.random.Random", lambda seed: Longest())


async def catch(args: Args) -> str:
    """Return a value although it was cancelled."""
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        return "late"


# Failure


async def test_the_failure_of_the_leader_is_the_followers(autojump_clock: MockClock) -> None:
    error = NonRetryable("broken")
    graph = graph_of(
        *same("a", "b", "c"),
        task("after", "c", action_name="other"),
        task("cleanup", "b", on_dep_fail="on_failure", action_name="other"),
    )
    result = await run_graph(graph, {"work": Calls(error), "other": returns()})
    for name in "bc":
        one = result.results[name]
        assert (one.state, one.attempts, one.cached) == (TaskState.FAILED, 0, False)
        assert (one.error, one.exception) == ("NonRetryable: broken", error)
        assert (one.caused_by, one.started_at, one.execution_time_ms) == ("a", None, None)
        assert one.traceback == result.results["a"].traceback != ""
    assert result.results["a"].caused_by is None
    assert result.results["after"].state is TaskState.ABORTED
    assert result.results["after"].caused_by == "a"
    assert "NonRetryable: broken" in result.results["after"].error
    assert result.results["cleanup"].success
    assert result.statistics["cached_tasks"] == 0
    assert result.statistics["states"]["failed"] == 3


async def test_raise_for_failures_names_a_shared_failure_once(
    autojump_clock: MockClock,
) -> None:
    result = await run_graph(graph_of(*same(*"abcd")), {"work": Calls(NonRetryable("broken"))})
    with pytest.raises(ExceptionGroup) as info:
        result.raise_for_failures()
    (only,) = info.value.exceptions
    (note,) = only.__notes__
    assert note.startswith("task 'a':\n")


async def test_a_failure_is_not_kept_for_who_comes_later(autojump_clock: MockClock) -> None:
    calls = Calls(NonRetryable("broken"))
    graph = graph_of(*same("a", "b"), task("p", action_name="nap"), *same("c", dependencies=["p"]))
    result = await run_graph(graph, {"work": calls, "nap": sleeps(5)})
    assert calls.tasks == ["a", "c"]
    assert states(result) == {"a": "failed", "b": "failed", "p": "succeeded", "c": "succeeded"}


async def test_the_timeout_of_the_leader_is_its_failure(autojump_clock: MockClock) -> None:
    graph = graph_of(*same("a", priority=1, task_timeout_ms=500), *same("b"))
    result = await run_graph(graph, {"work": Calls(60)})
    assert states(result) == {"a": "failed", "b": "failed"}
    assert "task 'a': attempt 1 timed out" in result.results["b"].error
    assert result.elapsed_ms == 500


async def test_a_budget_that_ran_out_fails_them_all(autojump_clock: MockClock) -> None:
    graph = graph_of(*same("a", "b", max_retries=3), max_retry_tokens=1)
    result = await run_graph(graph, {"work": raises(OSError)}, retry=FAST)
    assert [one.attempts for one in result.results.values()] == [2, 0]
    assert "max_retry_tokens is 1" in result.results["b"].error


# Cancellation


async def test_another_leads_when_the_leader_is_cancelled(autojump_clock: MockClock) -> None:
    calls = Calls(60, 60, 60)
    graph = graph_of(*same(*"abcd"), task("after", "a", on_dep_fail="on_failure", action_name="x"))
    async with open_run(graph, {"work": calls, "x": returns()}) as run:
        for name in "abc":
            await trio.sleep(1)
            run.cancel(name)
    result = await run.wait()
    assert calls.tasks == ["a", "b", "c", "d"]
    assert calls.at == [0, 1, 2, 3]
    assert states(result) == {
        **dict.fromkeys("abc", "cancelled"),
        "d": "succeeded",
        "after": "succeeded",
    }
    assert result.statistics["cached_tasks"] == 0


async def test_the_next_in_order_leads_and_not_who_came_first(autojump_clock: MockClock) -> None:
    calls = Calls(60)
    graph = graph_of(
        *same("low"),
        *same("late"),
        task("p", action_name="nap"),
        *same("high", priority=9, dependencies=["p"]),
    )
    async with open_run(graph, {"work": calls, "nap": nap}) as run:
        await trio.sleep(5)
        run.cancel("low")
    assert calls.tasks == ["low", "high"]
    assert cached(await run.wait()) == {"late"}


async def test_a_cancelled_leader_that_returns_all_the_same_serves_the_others(
    autojump_clock: MockClock,
) -> None:
    async with open_run(graph_of(*same("a", "b")), {"work": catch}) as run:
        await trio.sleep(1)
        run.cancel("a")
    result = await run.wait()
    assert [one.response for one in result.results.values()] == ["late", "late"]
    assert [one.late for one in result.results.values()] == [True, False]
    assert cached(result) == {"b"}


async def test_a_follower_is_cancelled_and_nobody_else(autojump_clock: MockClock) -> None:
    calls = Calls(5)
    async with open_run(graph_of(*same(*"abcd")), {"work": calls}) as run:
        await trio.sleep(1)
        run.cancel("b", reason="not needed")
        run.cancel("c")
        assert run.statistics()["states"]["cancelled"] == 2
    result = await run.wait()
    assert calls.tasks == ["a"]
    assert states(result) == dict.fromkeys("ad", "succeeded") | dict.fromkeys("bc", "cancelled")
    assert (result.results["b"].response, result.results["b"].cached) == (None, False)
    assert "not needed" in result.results["b"].error
    assert result.statistics["cached_tasks"] == 1


async def test_leader_and_followers_are_cancelled_one_by_one(autojump_clock: MockClock) -> None:
    calls = Calls(60)
    names = [f"t{n}" for n in range(3_000)]
    async with open_run(graph_of(*same(*names), *same("x", version="2")), {"work": calls}) as run:
        await trio.sleep(0.5)
        for name in names:
            run.cancel(name)
    assert calls.tasks[0] == "t0"
    assert run.statistics()["states"]["cancelled"] == len(names)
    assert (await run.wait()).results["x"].success


# Deadlines


async def test_another_leads_when_the_leader_expires(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    calls = Calls(60, 3)
    soon = wall_start + timedelta(seconds=2)
    graph = graph_of(*same("a", deadline=soon, expire_at_deadline=True), *same("b", "c"))
    result = await run_graph(graph, {"work": calls})
    assert calls.at == [0, 2]
    assert states(result) == {"a": "failed", "b": "succeeded", "c": "succeeded"}
    assert isinstance(result.results["a"].exception, DeadlineExpiredError)
    assert cached(result) == {"c"}
    assert result.elapsed_ms == 5_000


async def test_a_follower_expires_on_time(autojump_clock: MockClock, wall_start: datetime) -> None:
    calls, ended = Calls(10), Calls()
    soon = wall_start + timedelta(seconds=2)
    graph = graph_of(
        *same("a", priority=1),
        *same("b", deadline=soon, expire_at_deadline=True),
        *same("c", deadline=soon),
        task("after", "b", on_dep_fail="on_failure", action_name="ended"),
    )
    result = await run_graph(graph, {"work": calls, "ended": ended})
    assert (calls.tasks, ended.at) == (["a"], [2])
    assert states(result) == {**dict.fromkeys(["a", "c", "after"], "succeeded"), "b": "failed"}
    assert isinstance(result.results["b"].exception, DeadlineExpiredError)
    assert (result.results["b"].caused_by, result.results["b"].response) == (None, None)
    assert [result.results[name].deadline_missed for name in "abc"] == [False, True, True]


# The end of the run


async def test_a_cancelled_run_takes_followers_along(autojump_clock: MockClock) -> None:
    async with open_run(graph_of(*same(*"abc")), {"work": Calls(60)}) as run:
        await trio.sleep(1)
        run.cancel(reason="enough")
    result = await run.wait()
    assert set(states(result).values()) == {"cancelled"}
    assert all("enough" in one.error for one in result.results.values())


@pytest.mark.parametrize("end", ["cancel", "timeout", "trip"])
async def test_nobody_is_served_once_the_run_was_cut_short(
    end: str, autojump_clock: MockClock
) -> None:
    monitor = AbortConditionMonitor(rules=())
    graph = graph_of(
        *same("a", "b"),
        task("after", "b", action_name="x"),
        graph_timeout_ms=1_000 if end == "timeout" else None,
    )
    async with open_run(graph, {"work": catch, "x": returns()}, abort_monitor=monitor) as run:
        await trio.sleep(0.5)
        if end == "cancel":
            run.cancel()
        if end == "trip":
            monitor.trip("stop")
    result = await run.wait()
    rest = "aborted" if end == "trip" else "cancelled"
    assert states(result) == {"a": "succeeded", "b": rest, "after": rest}
    assert (result.results["a"].late, result.results["b"].response) == (True, None)


async def test_a_drain_lets_the_leader_end_alone(autojump_clock: MockClock) -> None:
    calls = Calls(5)
    async with open_run(graph_of(*same("a", "b")), {"work": calls}) as run:
        await trio.sleep(1)
        await run.drain()
    result = await run.wait()
    assert states(result) == {"a": "succeeded", "b": "cancelled"}
    assert result.results["b"].response is None
    assert result.elapsed_ms == 5_000


async def test_a_rule_that_trips_on_the_leaders_failure(autojump_clock: MockClock) -> None:
    monitor = AbortConditionMonitor(
        rules=[lambda figures: "too many" if figures.failures >= 1 else None]
    )
    graph = graph_of(*same("a", "b", max_retries=3))
    result = await run_graph(graph, {"work": raises(OSError)}, abort_monitor=monitor)
    assert result.aborted_reason == "too many"
    assert set(states(result).values()) == {"aborted"}


async def test_the_caller_is_cancelled(autojump_clock: MockClock) -> None:
    graph = graph_of(*same("a", "b"))
    with trio.move_on_after(1) as scope:
        await run_graph(graph, {"work": Calls(60)})
    assert scope.cancelled_caught
    assert graph.get_stats()["states"]["cancelled"] == 2


async def test_a_value_that_a_follower_was_served_is_the_leaders_own(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of(*same("a", "b"), task("c", normalized_args={"x": output_of("b")}))
    value = {"deep": [object()]}
    result = await run_graph(graph, {"work": returns(value)})
    assert result.results["a"].response is value
    assert result.results["b"].response is value
