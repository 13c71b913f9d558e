"""Equal work in an executor: its cache, one flight at a time, and its breakers, rules and store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    StoreError,
    TaskDefinition,
    TaskExecutor,
    TaskNode,
    TaskResult,
    TaskState,
    create_task_scheduler,
)
from tgtrio._actions import Action, make_action
from tgtrio._cache import ResponseCache
from tgtrio._columns import ClockMap
from tgtrio._errors import DeadlineExpiredError
from tgtrio._identity import idempotency_key
from tgtrio._policies import ActionPolicies
from tgtrio._retry import NonRetryable

from .runs import Args, returns, sleeps
from .test_retry import Longest
from .test_run_sharing import Calls

KEY = idempotency_key("work", {"work": 1}, [], "1")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def node(task_id: str = "t", **fields: Any) -> TaskNode:
    return TaskNode(task_id, **{"action_name": "work", "normalized_args": {"work": 1}, **fields})


def expiring(task_id: str, seconds: float) -> TaskNode:
    return node(task_id, deadline=NOON + timedelta(seconds=seconds), expire_at_deadline=True)


def own(task_id: str) -> TaskNode:
    return node(task_id, idempotent=False)


@pytest.fixture
def walls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock goes with the Trio clock, and says noon at 0."""
    at = classmethod(lambda cls, now: cls(now, NOON + timedelta(seconds=now)))
    monkeypatch.setattr(ClockMap, "starting_at", at)


class Several:
    """Executions at the same time, in the order in which they began."""

    def __init__(self, executor: TaskExecutor, action: object) -> None:
        self.executor, self.action = executor, action
        self.results: dict[str, TaskResult] = {}
        self.ended: dict[str, float] = {}
        self.scopes: dict[str, trio.CancelScope] = {}
        self.errors: dict[str, BaseException] = {}

    async def one(self, one: TaskNode, action: object = None) -> None:
        try:
            with trio.CancelScope() as self.scopes[one.task_id]:
                self.results[one.task_id] = await self.executor.execute(
                    one,
                    action or self.action,  # type: ignore[arg-type]
                )
        except (KeyboardInterrupt, StoreError) as error:
            self.errors[one.task_id] = error
        self.ended[one.task_id] = trio.current_time()

    async def start(self, nursery: trio.Nursery, *nodes: TaskNode) -> None:
        for one in nodes:
            nursery.start_soon(self.one, one)
            await trio.testing.wait_all_tasks_blocked()


# The cache


async def test_a_success_is_served_from_the_cache(autojump_clock: MockClock, walls: None) -> None:
    executor, calls = TaskExecutor(), Calls()
    first = await executor.execute(node("a"), calls)
    await trio.sleep(1_000_000)
    second = await executor.execute(node("b"), calls)
    assert calls.tasks == ["a"]
    assert dict(second) == {
        **dict(first),
        "task_id": "b",
        "attempts": 0,
        "cached": True,
        "started_at": None,
        "finished_at": NOON + timedelta(seconds=1_000_001),
        "execution_time_ms": None,
    }


async def test_what_is_served_may_be_late(autojump_clock: MockClock, walls: None) -> None:
    executor = TaskExecutor()
    await executor.execute(node("a"), Calls(5))
    assert (await executor.execute(node("b", deadline=NOON), Calls())).deadline_missed
    later = node("c", deadline=NOON + timedelta(seconds=6))
    assert not (await executor.execute(later, Calls())).deadline_missed


async def test_a_task_whose_deadline_has_passed_is_not_even_served(
    autojump_clock: MockClock, walls: None
) -> None:
    executor = TaskExecutor()
    await executor.execute(node("a"), Calls(5))
    result = await executor.execute(expiring("b", 5), Calls())
    assert (result.state, result.cached) == (TaskState.FAILED, False)
    assert isinstance(result.exception, DeadlineExpiredError)


async def test_serving_is_a_checkpoint() -> None:
    executor = TaskExecutor()
    await executor.execute(node(), returns(1))
    with trio.testing.assert_checkpoints():
        assert (await executor.execute(node(), returns(1))).cached


@pytest.mark.parametrize(
    "other",
    [
        {"normalized_args": {"work": True}},
        {"normalized_args": {"work": 1.0}},
        {"version": "2"},
        {"resource_ids": ["r"]},
        {"action_name": "other"},
        {"idempotent": False},
    ],
)
async def test_other_work_is_executed(other: dict[str, Any]) -> None:
    executor = TaskExecutor()
    await executor.execute(node(), returns(1))
    result = await executor.execute(node(**other), returns(2))
    assert (result.response, result.cached) == (2, False)


async def test_an_action_may_opt_out() -> None:
    executor, calls = TaskExecutor(), []

    async def note(args: Args, context: Any) -> None:
        calls.append(context.idempotency_key)

    action: Action = make_action("work", note, policies=ActionPolicies(idempotent=False))
    results = [await executor.execute(node(), action) for _ in range(2)]
    assert calls == [None, None]
    assert [one.idempotency_key for one in results] == [None, None]
    assert len(executor.cache) == 0


async def test_failures_are_never_cached(autojump_clock: MockClock) -> None:
    executor, calls = TaskExecutor(), Calls(NonRetryable("once"), NonRetryable("twice"))
    states = [(await executor.execute(node(), calls)).success for _ in range(4)]
    assert states == [False, False, True, True]
    assert len(calls.tasks) == 3


async def test_a_late_value_is_cached_too(autojump_clock: MockClock) -> None:
    async def shielded(args: Args) -> int:
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        return 5

    executor = TaskExecutor()
    with trio.move_on_after(1):
        assert (await executor.execute(node(), shielded)).late
    assert (await executor.execute(node(), returns(0))).response == 5


async def test_the_cache_forgets_what_was_not_used_for_longest() -> None:
    executor, calls = TaskExecutor(cache_size=2), []

    async def note(args: Args) -> None:
        calls.append(args["n"])

    for n in [1, 2, 1, 3, 1, 2, 3, 2, 1]:
        await executor.execute(node(normalized_args={"n": n}), note)
        assert len(executor.cache) <= 2
    assert calls == [1, 2, 3, 2, 3, 1]


def test_what_is_put_again_was_used() -> None:
    cache = ResponseCache(2)
    for key in "abac":
        cache.put(key, key, 0.0)
    assert [cache.get(key, 0.0) for key in "abc"] == [("a",), None, ("c",)]


async def test_a_cache_of_no_size_still_shares_what_is_under_way(
    autojump_clock: MockClock,
) -> None:
    several = Several(TaskExecutor(cache_size=0), calls := Calls())
    async with trio.open_nursery() as nursery:
        await several.start(nursery, node("a"), node("b"))
    await several.one(node("c"))
    assert calls.tasks == ["a", "c"]
    assert [one.cached for one in several.results.values()] == [False, True, False]


# One flight


async def test_many_at_once_are_one_call(autojump_clock: MockClock) -> None:
    several = Several(TaskExecutor(), calls := Calls())
    async with trio.open_nursery() as nursery:
        for n in range(500):
            nursery.start_soon(several.one, node(f"t{n}"))
    assert len(calls.tasks) == 1
    assert {one.response["by"] for one in several.results.values()} == set(calls.tasks)
    assert sum(one.cached for one in several.results.values()) == 499
    assert set(several.ended.values()) == {1}


async def test_other_keys_do_not_wait(autojump_clock: MockClock) -> None:
    several = Several(TaskExecutor(), sleeps(5))
    async with trio.open_nursery() as nursery:
        await several.start(nursery, node("a"), node("b", version="2"), node("c", idempotent=False))
    assert set(several.ended.values()) == {5}
    assert not any(one.cached for one in several.results.values())


async def test_the_failure_of_the_one_is_that_of_all(
    autojump_clock: MockClock, walls: None
) -> None:
    error = NonRetryable("broken")
    several = Several(TaskExecutor(), Calls(error))
    late = node("b", deadline=NOON + timedelta(seconds=0.5))
    async with trio.open_nursery() as nursery:
        await several.start(nursery, node("a"), late)
    assert dict(several.results["b"]) == {
        **dict(several.results["a"]),
        "task_id": "b",
        "attempts": 0,
        "deadline_missed": True,
        "started_at": None,
        "execution_time_ms": None,
        "caused_by": "a",
    }
    assert several.results["a"].exception is error


async def test_waiting_lasts_as_long_as_the_retries(autojump_clock: MockClock) -> None:
    several = Several(executor := TaskExecutor(), Calls(OSError(), OSError()))
    executor._rng = Longest()
    async with trio.open_nursery() as nursery:
        await several.start(nursery, node("a"), node("b", max_retries=0))
    assert several.results["b"].cached
    assert set(several.ended.values()) == {1 + 1 + 1 + 2 + 1}


async def test_another_executes_it_when_the_one_is_cancelled(autojump_clock: MockClock) -> None:
    several = Several(TaskExecutor(), calls := Calls(60, 5))
    async with trio.open_nursery() as nursery:
        await several.start(nursery, node("a"), node("b"), node("c"))
        await trio.sleep(2)
        several.scopes["a"].cancel()
    assert several.scopes["a"].cancelled_caught
    assert calls.at == [0, 2]
    assert {several.ended[name] for name in "bc"} == {7}
    assert sorted(several.results[name].cached for name in "bc") == [False, True]


async def test_who_waits_may_be_cancelled_alone(autojump_clock: MockClock) -> None:
    several = Several(TaskExecutor(), calls := Calls(5))
    async with trio.open_nursery() as nursery:
        await several.start(nursery, node("a"), node("b"), node("c"))
        await trio.sleep(2)
        several.scopes["b"].cancel()
    assert calls.tasks == ["a"]
    assert several.ended == {"a": 5, "b": 2, "c": 5}
    assert several.results.keys() == {"a", "c"}


async def test_an_interrupt_is_nobody_elses(autojump_clock: MockClock) -> None:
    calls = Calls()
    several = Several(TaskExecutor(), calls)

    async def interrupt(args: Args) -> None:
        await trio.sleep(1)
        raise KeyboardInterrupt

    async with trio.open_nursery() as nursery:
        nursery.start_soon(several.one, node("a"), interrupt)
        await trio.testing.wait_all_tasks_blocked()
        await several.start(nursery, node("b"))
    assert type(several.errors["a"]) is KeyboardInterrupt
    assert calls.tasks == ["b"]


async def test_who_waits_expires_on_time(autojump_clock: MockClock, walls: None) -> None:
    several = Several(TaskExecutor(), calls := Calls(5))
    async with trio.open_nursery() as nursery:
        await several.start(nursery, node("a"), expiring("b", 2), expiring("c", 7))
    assert calls.tasks == ["a"]
    assert several.ended == {"a": 5, "b": 2, "c": 5}
    assert isinstance(several.results["b"].exception, DeadlineExpiredError)
    assert (several.results["b"].attempts, several.results["b"].caused_by) == (0, None)
    assert several.results["c"].cached


async def test_the_deadline_of_the_one_is_nobody_elses(
    autojump_clock: MockClock, walls: None
) -> None:
    several = Several(TaskExecutor(), calls := Calls(60, 3))
    async with trio.open_nursery() as nursery:
        await several.start(nursery, expiring("a", 2), node("b"))
    assert calls.at == [0, 2]
    assert isinstance(several.results["a"].exception, DeadlineExpiredError)
    assert (several.results["b"].success, several.results["b"].attempts) == (True, 1)


async def test_a_deadline_that_ends_a_back_off_is_nobody_elses_either(
    autojump_clock: MockClock, walls: None
) -> None:
    several = Several(executor := TaskExecutor(), calls := Calls(OSError()))
    executor._rng = Longest()
    async with trio.open_nursery() as nursery:
        await several.start(nursery, expiring("a", 1.5), node("b"))
    assert calls.at == [0, 1.5]
    assert several.results["b"].success


async def test_nothing_is_left_behind(autojump_clock: MockClock) -> None:
    several = Several(TaskExecutor(), Calls(60, NonRetryable("no"), 1))
    async with trio.open_nursery() as nursery:
        await several.start(nursery, *(node(f"t{n}") for n in range(5)))
        await trio.sleep(2)
        several.scopes["t0"].cancel()
    assert several.executor._flights == {}


# Stored tasks


async def test_a_stored_task_is_always_executed(tmp_path: Path) -> None:
    calls: list[str | None] = []

    async def work(args: Args, context: Any) -> int:
        calls.append(context.idempotency_key)
        return len(calls)

    scheduler = create_task_scheduler(tmp_path, actions={"work": work})
    scheduler.add_task(TaskDefinition("daily", "work", {"work": 1}))
    results = [await scheduler.execute_task_with_retry("daily") for _ in range(3)]
    assert [one.response for one in results] == [1, 2, 3]
    assert not any(one.cached for one in results)
    assert calls == [KEY] * 3


async def test_stored_tasks_at_the_same_time_are_all_executed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    calls = Calls()
    executor = TaskExecutor()
    scheduler = create_task_scheduler(tmp_path, actions={"work": calls}, task_executor=executor)
    scheduler.add_task(TaskDefinition("daily", "work", {"work": 1}))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(scheduler.execute_task_with_retry, "daily")
    assert len(calls.tasks) == 3
    assert not (await executor.execute(node(), calls)).cached
