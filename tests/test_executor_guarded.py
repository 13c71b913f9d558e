"""An executor with breakers, safety rules and a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    AbortConditionMonitor,
    BreakerPolicy,
    CircuitOpenError,
    RawStore,
    RetryPolicy,
    StoreError,
    TaskExecutor,
    TaskState,
    run_graph,
)
from tgtrio._errors import DeadlineExpiredError, InvalidArgumentError, InvalidValueError

from .runs import Args, graph_of, raises, returns, sleeps
from .test_executor_sharing import KEY, Several, expiring, node, own, walls
from .test_retry import Longest
from .test_run_sharing import Calls

__all__ = ["walls"]  # the fixture

# Breakers


def opening(**fields: Any) -> TaskExecutor:
    policy = BreakerPolicy(window=1, threshold=1, open_for=30, give_up_after=2)
    return TaskExecutor(**{"retry": None, "breaker": policy, **fields})


async def test_an_open_breaker_holds_an_execution_until_it_half_opens(
    autojump_clock: MockClock,
) -> None:
    executor = opening()
    await executor.execute(own("a"), raises())
    result = await executor.execute(own("b"), returns(1))
    assert (result.success, result.attempts) == (True, 1)
    assert trio.current_time() == 30


async def test_one_probe_goes_first_and_the_others_after_it(autojump_clock: MockClock) -> None:
    several = Several(opening(), calls := Calls(5))
    await several.executor.execute(own("a"), raises())
    async with trio.open_nursery() as nursery:
        await several.start(nursery, *(own(name) for name in "bcd"))
    assert calls.at == [30, 35, 35]
    assert set(several.ended.values()) == {35, 36}


@pytest.mark.parametrize("how", ["cancelled", "interrupted"])
async def test_the_permit_of_a_probe_comes_back(how: str, autojump_clock: MockClock) -> None:
    executor = opening()
    several = Several(executor, None)
    await executor.execute(own("a"), raises())
    await trio.sleep(30)

    async def interrupt(args: Args) -> None:
        await trio.sleep(1)
        raise KeyboardInterrupt

    async with trio.open_nursery() as nursery:
        nursery.start_soon(several.one, own("b"), interrupt if how == "interrupted" else sleeps(60))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(several.one, own("c"), sleeps(1))
        await trio.sleep(1)
        several.scopes["b"].cancel()
    assert several.results["c"].success
    assert several.ended["c"] == 32


async def test_a_breaker_gives_up_on_who_waits_but_not_on_who_comes_later(
    autojump_clock: MockClock,
) -> None:
    several = Several(opening(), raises(OSError))
    await several.one(own("a"))
    async with trio.open_nursery() as nursery:
        await several.start(nursery, *(own(name) for name in "bcde"))
        await trio.sleep(65)
        await several.start(nursery, own("late"))
    given_up = [
        name for name in "bcde" if isinstance(several.results[name].exception, CircuitOpenError)
    ]
    assert len(given_up) == 2
    assert {several.ended[name] for name in "bcde"} == {30, 60}
    for name in given_up:
        assert (several.results[name].state, several.results[name].attempts) == (
            TaskState.FAILED,
            0,
        )
    assert isinstance(several.results["late"].exception, OSError)
    assert several.ended["late"] == 90


async def test_equal_work_behind_a_breaker_is_one_probe(autojump_clock: MockClock) -> None:
    several = Several(opening(), calls := Calls())
    await several.executor.execute(own("a"), raises())
    async with trio.open_nursery() as nursery:
        await several.start(nursery, node("b"), node("c"))
    assert calls.tasks == ["b"]
    assert several.results["c"].cached


async def test_a_deadline_comes_while_a_breaker_holds(
    autojump_clock: MockClock, walls: None
) -> None:
    executor = opening()
    await executor.execute(own("a"), raises())
    result = await executor.execute(expiring("b", 10), returns(1))
    assert isinstance(result.exception, DeadlineExpiredError)
    assert trio.current_time() == 10


# Safety rules


async def test_a_tripped_monitor_lets_nothing_start() -> None:
    monitor = AbortConditionMonitor(rules=())
    monitor.trip("stop")
    calls = Calls()
    result = await TaskExecutor(abort_monitor=monitor).execute(node(), calls)
    assert (result.state, result.error, result.attempts) == (TaskState.ABORTED, "stop", 0)
    assert calls.tasks == []


@pytest.mark.parametrize("when", ["in flight", "backing off", "held", "waiting"])
async def test_a_trip_aborts_whatever_it_does(when: str, autojump_clock: MockClock) -> None:
    monitor = AbortConditionMonitor(rules=())
    executor = opening(abort_monitor=monitor, retry=RetryPolicy(base=1e6, cap=1e6))
    executor._rng = Longest()
    several = Several(executor, raises(OSError) if when == "backing off" else sleeps(60))
    async with trio.open_nursery() as nursery:
        if when == "held":
            await executor.execute(node("x", max_retries=0, version="2"), raises(OSError))
        if when == "waiting":
            await several.start(nursery, node("leader"))
        await several.start(nursery, node("a"))
        await trio.sleep(5)
        monitor.trip("stop")
    result = several.results["a"]
    assert several.ended["a"] == 5
    assert result.state is TaskState.ABORTED
    assert result.error.startswith("stop")
    assert ("OSError" in result.error) is (when == "backing off")
    assert result.execution_time_ms == {"in flight": 5000, "backing off": 0}.get(when)


async def test_the_permit_of_an_aborted_probe_comes_back(autojump_clock: MockClock) -> None:
    monitor = AbortConditionMonitor(rules=())
    executor = opening(abort_monitor=monitor)
    several = Several(executor, sleeps(60))
    await executor.execute(own("a"), raises())
    await trio.sleep(30)
    async with trio.open_nursery() as nursery:
        await several.start(nursery, own("b"))
        await trio.sleep(1)
        monitor.trip("stop")
    monitor.reset()
    assert (await executor.execute(own("c"), returns(1))).success
    assert trio.current_time() == 31


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_leaves_bare_under_a_monitor(kind: type[BaseException]) -> None:
    executor = TaskExecutor(abort_monitor=AbortConditionMonitor(rules=()))
    raised: BaseException | None = None
    try:
        await executor.execute(node(), raises(kind))
    except BaseException as error:
        raised = error
    assert type(raised) is kind


class Later:
    """A rule that wants to be asked again, so that somebody must keep the time."""

    def __call__(self, figures: object) -> None: ...

    def ask_at(self, figures: object) -> float:
        return 1e6


async def test_a_value_in_spite_of_a_cancellation_is_kept_under_a_monitor(
    autojump_clock: MockClock,
) -> None:
    async def catch(args: Args) -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "late"

    executor = TaskExecutor(abort_monitor=AbortConditionMonitor(rules=[Later()]))
    result = None
    with trio.move_on_after(1) as scope:
        result = await executor.execute(node(), catch)
        await trio.lowlevel.checkpoint()
    assert result is not None
    assert (result.response, result.late) == ("late", True)
    assert scope.cancelled_caught


# The store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RawStore]:
    with RawStore(tmp_path / "s.db") as store:
        yield store


def rows(store: RawStore) -> list[tuple[Any, ...]]:
    return [
        (one.task_id, one.state, one.attempts, one.idempotency_key)
        for one in store.list_task_executions()
    ]


async def test_each_execution_has_a_row(store: RawStore) -> None:
    executor = TaskExecutor(raw_store=store, retry=None)
    await executor.execute(node("a"), returns({"x": 1}))
    await executor.execute(node("served"), returns({"x": 1}))
    await executor.execute(own("b"), raises())
    await executor.execute_anew(node("a"), returns(2))
    assert rows(store) == [
        ("a", "succeeded", 1, KEY),
        ("b", "failed", 1, None),
        ("a", "succeeded", 1, KEY),
    ]
    assert [one.state for one in store.list_runs()] == ["finished"] * 3


async def test_an_execution_is_a_run_of_no_graph(store: RawStore) -> None:
    """Whatever a graph is called, it does not resume the run of a task, nor is it in its way."""
    executor = TaskExecutor(raw_store=store)
    await executor.execute(node("a"), returns(1))
    (alone,) = store.list_runs()
    (execution,) = store.list_task_executions()
    assert alone.graph_id is None
    assert execution.graph_id is None
    with pytest.raises(InvalidValueError, match="a run of a task executed alone, not of graph"):
        await run_graph(graph_of("a"), {"work": returns()}, store=store, run_id=alone.run_id)


async def test_a_value_that_is_no_json_fails_where_it_must_be_kept(store: RawStore) -> None:
    executor = TaskExecutor(raw_store=store)
    results = [await executor.execute(node(), returns({1, 2})) for _ in range(2)]
    for one in results:
        assert (one.state, one.attempts, one.response) == (TaskState.FAILED, 1, None)
        assert isinstance(one.exception, InvalidArgumentError)
    assert [row[1] for row in rows(store)] == ["failed", "failed"]


@pytest.mark.parametrize("how", ["cancelled", "interrupted"])
async def test_an_execution_that_was_stopped_has_a_row_too(
    how: str, store: RawStore, patient_clock: MockClock
) -> None:
    async def interrupt(args: Args) -> None:
        await trio.sleep(1)
        raise KeyboardInterrupt

    several = Several(TaskExecutor(raw_store=store), sleeps(60))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(several.one, node("a"), interrupt if how == "interrupted" else None)
        await trio.sleep(30)
        several.scopes["a"].cancel()
    assert rows(store) == [("a", "cancelled", 1, KEY)]
    assert [one.state for one in store.list_runs()] == [how]


async def test_equal_work_is_kept_once(store: RawStore, patient_clock: MockClock) -> None:
    several = Several(TaskExecutor(raw_store=store), calls := Calls(30))
    async with trio.open_nursery() as nursery:
        await several.start(nursery, node("a"), node("b"))
    assert calls.tasks == ["a"]
    assert several.results["b"].cached
    assert len(rows(store)) == 1


async def test_a_closed_store_is_an_error_and_not_a_result(store: RawStore) -> None:
    executor, calls = TaskExecutor(raw_store=store), Calls()
    store.close()
    with pytest.raises(StoreError):
        await executor.execute(node(), calls)
    assert calls.tasks == []
    assert executor._flights == {}
