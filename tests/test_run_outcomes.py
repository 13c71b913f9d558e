"""The table of outcomes, row by row: the state, the retries, and what the breaker hears of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    AbortConditionMonitor,
    BreakerPolicy,
    GraphResult,
    NonRetryable,
    RawStore,
    RetryLater,
    RetryPolicy,
    Run,
    run_graph,
)
from tgtrio._breakers import Breakers

from .runs import graph_of, raises, returns, sleeps, states
from .services import Service, breaker_of, job, jobs, make_breakers, run_with, running

NEVER_OPENS = BreakerPolicy(window=100, threshold=1)
TWO = RetryPolicy(max_retries=2)


def listening() -> Breakers:
    """A breaker that has seen a failure already, and so records successes too."""
    breakers = make_breakers(NEVER_OPENS)
    breaker_of(breakers).record(0, success=False)
    return breakers


def heard(breakers: Breakers) -> tuple[int, int]:
    """How many failures and successes it was told of since."""
    figures = breaker_of(breakers).statistics()
    return figures["failures"] - 1, figures["recorded"] - figures["failures"]


async def outcome(breakers: Breakers, action: Any, **fields: Any) -> GraphResult:
    """Of a single task that may be tried three times."""
    graph = graph_of(job("a", **{"max_retries": 2, **fields}))
    return await run_with(breakers, graph, {"work": action}, retry=TWO)


async def stubborn(args: dict[str, Any]) -> str:
    """Swallow a cancellation, and return a value a second later."""
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
    return "late"


async def test_a_value_is_a_success(autojump_clock: MockClock) -> None:
    breakers = listening()
    result = await outcome(breakers, returns(7))
    assert (states(result), result.results["a"].attempts) == ({"a": "succeeded"}, 1)
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((0, 1), 0)


@pytest.mark.parametrize("by", ["timeout", "cancel", "cancel run"])
async def test_a_late_value_is_a_success(by: str, autojump_clock: MockClock) -> None:
    breakers = listening()
    timeout = 5_000 if by == "timeout" else None
    graph = graph_of(job("a", max_retries=2, task_timeout_ms=timeout))
    async with running(breakers, graph, {"work": stubborn}, retry=TWO) as run:
        await trio.sleep(5)
        if by != "timeout":
            run.cancel("a" if by == "cancel" else None)
    result = await run.wait()
    one = result.results["a"]
    assert (one.state.value, one.response, one.late, one.attempts) == ("succeeded", "late", True, 1)
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((0, 1), 0)


@pytest.mark.parametrize("timeout_ms", [None, 1_000])
async def test_an_error_and_a_timeout_are_retried_and_are_failures(
    timeout_ms: float | None, autojump_clock: MockClock
) -> None:
    breakers = listening()
    action = raises() if timeout_ms is None else sleeps(100)
    result = await outcome(breakers, action, task_timeout_ms=timeout_ms)
    assert (states(result), result.results["a"].attempts) == ({"a": "failed"}, 3)
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((3, 0), 2)


async def test_what_an_action_raises_because_of_its_timeout_is_a_timeout(
    autojump_clock: MockClock,
) -> None:
    async def echo(args: dict[str, Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise TypeError("cleaning up")

    breakers = listening()
    result = await outcome(breakers, echo, task_timeout_ms=1_000)
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((3, 0), 2)
    assert "timed out" in result.results["a"].error
    assert "TypeError: cleaning up" in result.results["a"].error


async def test_a_failure_that_a_retry_mends_stays_a_failure_for_the_breaker(
    autojump_clock: MockClock,
) -> None:
    breakers = listening()
    result = await outcome(breakers, Service(raises()))
    assert (states(result), result.results["a"].attempts) == ({"a": "succeeded"}, 2)
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((1, 1), 1)


@pytest.mark.parametrize(
    "error",
    [
        NonRetryable("no"),
        TypeError("no"),
        AttributeError("no"),
        NameError("no"),
        NotImplementedError("no"),
        AssertionError("no"),
        ExceptionGroup("two", [ValueError("yes"), NonRetryable("no")]),
        ExceptionGroup("nested", [ExceptionGroup("deep", [TypeError("no")]), OSError("yes")]),
    ],
    ids=repr,
)
async def test_what_is_not_retried_is_a_failure(
    error: Exception, autojump_clock: MockClock
) -> None:
    breakers = listening()
    result = await outcome(breakers, raises(lambda: error))
    assert (states(result), result.results["a"].attempts) == ({"a": "failed"}, 1)
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((1, 0), 0)
    assert result.results["a"].exception is error


@pytest.mark.parametrize("durability", ["batch", "task"])
async def test_a_value_that_the_store_cannot_keep_fails_the_task_and_not_the_action(
    durability: Any, patient_clock: MockClock, tmp_path: Path
) -> None:
    breakers = listening()
    graph = graph_of(job("a", max_retries=2))
    with RawStore(tmp_path / "s.sqlite", durability=durability) as store:
        actions = {"work": returns({1, 2})}
        result = await run_with(breakers, graph, actions, retry=TWO, store=store)
    one = result.results["a"]
    assert (one.state.value, one.attempts, one.response) == ("failed", 1, None)
    assert "InvalidArgumentError" in one.error
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((0, 1), 0)


async def test_a_value_that_is_no_json_is_fine_without_a_store(autojump_clock: MockClock) -> None:
    result = await outcome(listening(), returns({1, 2}))
    assert result.results["a"].response == {1, 2}


async def test_retry_later_is_retried_and_says_nothing(autojump_clock: MockClock) -> None:
    breakers = listening()
    result = await outcome(breakers, raises(lambda: RetryLater(10)))
    assert (states(result), result.results["a"].attempts) == ({"a": "failed"}, 3)
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((0, 0), 2)
    assert result.elapsed_ms == 20_000


async def test_a_group_with_another_error_beside_a_retry_later_is_a_failure(
    autojump_clock: MockClock,
) -> None:
    breakers = listening()
    error = ExceptionGroup("two", [RetryLater(3), RetryLater(10), OSError("down")])
    result = await outcome(breakers, raises(lambda: error))
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((3, 0), 2)
    assert result.elapsed_ms == 20_000  # the largest wins


async def test_a_breaker_that_gives_up_fails_its_tasks_without_an_attempt(
    autojump_clock: MockClock,
) -> None:
    policy = BreakerPolicy(window=1, threshold=1, give_up_after=1)
    breakers = make_breakers(policy)
    graph = graph_of(*jobs(3, max_retries=0), max_parallel=1)
    result = await run_with(breakers, graph, {"work": raises()})
    assert [one.attempts for one in result.results.values()] == [1, 1, 0]
    last = result.results["2"]
    assert (last.state.value, last.started_at, last.execution_time_ms) == ("failed", None, None)
    assert "CircuitOpenError" in last.error
    assert "'work'" in last.error
    assert breaker_of(breakers).statistics()["recorded"] == 1


async def test_an_open_breaker_fails_at_once_where_that_is_asked_for(
    autojump_clock: MockClock,
) -> None:
    breakers = make_breakers(BreakerPolicy(window=1, threshold=1))
    graph = graph_of(*jobs(3, max_retries=0), max_parallel=1)
    result = await run_with(breakers, graph, {"work": raises()}, when_open="fail")
    assert [one.attempts for one in result.results.values()] == [1, 0, 0]
    assert [one.state.value for one in result.results.values()] == ["failed"] * 3
    assert "CircuitOpenError" in result.results["2"].error
    assert (result.elapsed_ms, result.statistics["retry_tokens_used"]) == (0, 0)


async def test_a_safety_abort_says_nothing(autojump_clock: MockClock) -> None:
    breakers, monitor = listening(), AbortConditionMonitor(rules=())
    graph = graph_of(job("a", max_retries=2))
    actions = {"work": sleeps(100)}
    async with running(breakers, graph, actions, retry=TWO, abort_monitor=monitor) as run:
        await trio.sleep(1)
        monitor.trip("too expensive")
    result = await run.wait()
    assert (states(result), result.results["a"].attempts) == ({"a": "aborted"}, 1)
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((0, 0), 0)


@pytest.mark.parametrize("raised", [None, ValueError("while being cancelled")], ids=repr)
@pytest.mark.parametrize(
    "cancel",
    [lambda run: run.cancel("a"), lambda run: run.cancel()],
    ids=["task", "run"],
)
async def test_a_cancellation_says_nothing(
    cancel: Callable[[Run], None], raised: Exception | None, autojump_clock: MockClock
) -> None:
    async def action(args: dict[str, Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            if raised is not None:
                raise raised

    breakers = listening()
    graph = graph_of(job("a", max_retries=2))
    async with running(breakers, graph, {"work": action}, retry=TWO) as run:
        await trio.sleep(1)
        cancel(run)
    result = await run.wait()
    assert states(result) == {"a": "cancelled"}
    assert result.results["a"].exception is raised
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((0, 0), 0)


async def test_a_cancellation_from_outside_says_nothing(autojump_clock: MockClock) -> None:
    breakers, graph = listening(), graph_of(job("a", max_retries=2))
    with trio.move_on_after(1) as scope:
        await run_with(breakers, graph, {"work": sleeps(100)}, retry=TWO)
    assert scope.cancelled_caught
    assert heard(breakers) == (0, 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_says_nothing(
    error: type[BaseException], autojump_clock: MockClock
) -> None:
    breakers, graph = listening(), graph_of(*jobs(2, max_retries=2))
    with pytest.RaisesGroup(error):  # of the nursery in `running`
        await run_with(breakers, graph, {"work": Service(sleeps(9), raises(error))}, retry=TWO)
    assert heard(breakers) == (0, 0)


async def test_the_deadline_of_the_task_says_nothing(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    breakers = listening()
    deadline = wall_start + timedelta(seconds=5)
    result = await outcome(breakers, sleeps(9), deadline=deadline, expire_at_deadline=True)
    assert (states(result), result.results["a"].attempts) == ({"a": "failed"}, 1)
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((0, 0), 0)


async def test_what_is_served_from_cache_says_nothing(autojump_clock: MockClock) -> None:
    breakers = listening()
    graph = graph_of(*({"task_id": f"t{n}", "idempotent": True} for n in range(5)))
    result = await run_with(breakers, graph, {"work": returns(1)})
    assert sum(one.cached for one in result.results.values()) == 4
    assert heard(breakers) == (0, 1)


async def test_followers_of_a_failure_cost_neither_tokens_nor_the_breaker(
    autojump_clock: MockClock,
) -> None:
    breakers = listening()
    graph = graph_of(
        *({"task_id": f"t{n}", "idempotent": True, "max_retries": 1} for n in range(5))
    )
    result = await run_with(breakers, graph, {"work": raises()}, retry=TWO)
    assert set(states(result).values()) == {"failed"}
    assert (heard(breakers), result.statistics["retry_tokens_used"]) == ((2, 0), 1)


async def test_what_was_skipped_or_never_started_says_nothing(autojump_clock: MockClock) -> None:
    breakers = listening()
    graph = graph_of(
        job("root", action_name="fail"),
        job("skipped", "root", on_dep_fail="skip"),
        job("aborted", "root"),
    )
    actions = {"fail": raises(), "work": returns()}
    result = await run_with(breakers, graph, actions)
    assert states(result) == {"root": "failed", "skipped": "skipped", "aborted": "aborted"}
    assert heard(breakers) == (0, 0)


async def test_a_cancelled_run_is_tried_again_when_it_is_resumed(
    patient_clock: MockClock, tmp_path: Path
) -> None:
    service = Service(sleeps(100))
    with RawStore(tmp_path / "s.sqlite") as store:
        with trio.move_on_after(5):
            await run_graph(graph_of(job("a")), {"work": service}, store=store)
        result = await run_graph(graph_of(job("a")), {"work": service}, store=store)
    assert (states(result), len(service.calls)) == ({"a": "succeeded"}, 2)
