"""Actions that leave a scope, a nursery or a lock entered, on a Trio task that others use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import LeakedScopeError, TaskState, open_run, run_graph

from .runs import graph_of, nap, returns, states, task

kept: list[Any] = []  # so that the garbage collector closes nothing


async def leave_scope() -> None:
    scope = trio.CancelScope()
    scope.__enter__()
    kept.append(scope)


async def leave_cancelled_scope() -> None:
    await leave_scope()
    kept[-1].cancel()


async def leave_deadline() -> None:
    scope = trio.CancelScope(deadline=trio.current_time() + 2)
    scope.__enter__()
    kept.append(scope)


async def leave_shield() -> None:
    scope = trio.CancelScope(shield=True)
    scope.__enter__()
    kept.append(scope)


async def leave_nursery() -> None:
    manager = trio.open_nursery()
    nursery = await manager.__aenter__()
    nursery.start_soon(trio.sleep_forever)
    kept.append(manager)


async def leave_empty_nursery() -> None:
    manager = trio.open_nursery()
    await manager.__aenter__()
    kept.append(manager)


async def leave_failing_nursery() -> None:
    async def child() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in the child")

    manager = trio.open_nursery()
    nursery = await manager.__aenter__()
    nursery.start_soon(child)
    kept.append(manager)
    with trio.CancelScope(shield=True):
        await trio.lowlevel.checkpoint()


async def leave_lock() -> None:
    lock = trio.Lock()
    await lock.acquire()
    kept.append(lock)


async def leave_everything() -> None:
    await leave_scope()
    await leave_nursery()
    await leave_lock()
    await leave_deadline()
    await leave_nursery()


LEAVE: dict[str, tuple[Callable[[], Awaitable[None]], str]] = {
    "scope": (leave_scope, "1 cancel scope"),
    "cancelled scope": (leave_cancelled_scope, "1 cancel scope"),
    "deadline": (leave_deadline, "1 cancel scope"),
    "shield": (leave_shield, "1 cancel scope"),
    "nursery": (leave_nursery, "1 nursery"),
    "empty nursery": (leave_empty_nursery, "1 nursery"),
    "failing nursery": (leave_failing_nursery, "1 nursery"),
    "lock": (leave_lock, "1 lock"),
    "everything": (leave_everything, "2 nursery, 2 cancel scope, 1 lock"),
}


@pytest.fixture(autouse=True)
def _forget() -> Any:
    yield
    kept.clear()


def graph_with(fields: dict[str, Any]) -> Any:
    return graph_of(task("bad", action_name="bad", **fields), "x", "y", "z", max_parallel=1)


@pytest.mark.parametrize("what", LEAVE)
async def test_what_is_left_behind_fails_the_task_and_no_other(
    what: str, autojump_clock: MockClock
) -> None:
    leave, words = LEAVE[what]

    async def bad(args: dict[str, Any]) -> str:
        await leave()
        return "value"

    living = trio.lowlevel.current_statistics().tasks_living
    result = await run_graph(graph_with({}), {"bad": bad, "work": nap})
    one = result.results["bad"]
    assert one.state is TaskState.FAILED
    assert isinstance(one.exception, LeakedScopeError)
    assert words in one.error
    assert "'bad'" in one.error
    assert one.response is None
    assert set(states(result).values()) == {"failed", "succeeded"}
    assert result.elapsed_ms == 3000
    assert trio.lowlevel.current_statistics().tasks_living == living


@pytest.mark.parametrize("what", LEAVE)
async def test_an_exception_of_the_action_is_told_rather_than_what_it_left(
    what: str, autojump_clock: MockClock
) -> None:
    async def bad(args: dict[str, Any]) -> None:
        await LEAVE[what][0]()
        raise ValueError("mine")

    result = await run_graph(graph_with({}), {"bad": bad, "work": nap})
    assert result.results["bad"].error == "ValueError: mine"
    assert result.statistics["states"]["succeeded"] == 3
    assert result.elapsed_ms == 3000


@pytest.mark.parametrize("what", [what for what in LEAVE if what != "shield"])
@pytest.mark.parametrize("how", ["timeout", "cancel", "run", "outside", "swallow"])
async def test_left_behind_by_an_action_that_was_cancelled(
    what: str, how: str, autojump_clock: MockClock
) -> None:
    async def bad(args: dict[str, Any]) -> str:
        """Swallows the timeout, and then leaves something behind."""
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        try:
            await LEAVE[what][0]()
        except trio.Cancelled:
            await leave_scope()
        return "value"

    async def entered(args: dict[str, Any]) -> None:
        await LEAVE[what][0]()
        await trio.sleep_forever()

    living = trio.lowlevel.current_statistics().tasks_living
    timeout = 1000 if how in ("timeout", "swallow") else None
    graph = graph_with({"task_timeout_ms": timeout})
    actions = {"bad": bad if how == "swallow" else entered, "work": nap}
    with trio.move_on_after(0.5 if how == "outside" else 100):
        async with open_run(graph, actions) as run:
            await trio.sleep(0.5)
            if how in ("cancel", "run"):
                run.cancel("bad" if how == "cancel" else None)
    result = await run.wait()
    if "deadline" in what or what == "cancelled scope":
        assert result.results["bad"].state in (TaskState.CANCELLED, TaskState.FAILED)
    elif how in ("timeout", "swallow"):
        assert result.results["bad"].state is TaskState.FAILED
    else:
        assert result.results["bad"].state is TaskState.CANCELLED
    goes_on = how in ("timeout", "cancel", "swallow")
    assert result.statistics["states"]["succeeded"] == (3 if goes_on else 0)
    assert trio.lowlevel.current_statistics().tasks_living == living
    assert (await run_graph(graph, {"bad": returns(), "work": returns()})).ok


async def test_a_broken_lock_tells_who_waits_for_it(autojump_clock: MockClock) -> None:
    lock = trio.Lock()

    async def bad(args: dict[str, Any]) -> None:
        await lock.acquire()
        await trio.sleep(1)

    async def waits(args: dict[str, Any]) -> None:
        await trio.sleep(0.5)
        async with lock:
            pass

    graph = graph_of(task("bad", action_name="bad"), "waits")
    result = await run_graph(graph, {"bad": bad, "work": waits})
    assert isinstance(result.results["bad"].exception, LeakedScopeError)
    assert isinstance(result.results["waits"].exception, trio.BrokenResourceError)


async def test_what_an_action_leaves_by_with_is_no_leak(autojump_clock: MockClock) -> None:
    lock = trio.Lock()

    async def tidy(args: dict[str, Any]) -> int:
        async with lock, trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 1)
            with trio.move_on_after(5):
                await trio.sleep(1)
        return 1

    result = await run_graph(graph_of(*map(str, range(20))), {"work": tidy})
    assert result.ok


async def test_a_lock_that_the_caller_holds_is_nobodys_leak(autojump_clock: MockClock) -> None:
    async with trio.Lock():
        assert (await run_graph(graph_of("a", "b"), {"work": nap})).ok


async def test_a_cancelled_that_was_kept_and_raised_again_fails_the_task(
    autojump_clock: MockClock,
) -> None:
    async def bad(args: dict[str, Any]) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep_forever()
            except trio.Cancelled as cancelled:
                kept.append(cancelled)
        raise kept[0] if args.get("alone") else BaseExceptionGroup("x", [kept[0], ValueError()])

    for alone in (True, False):
        graph = graph_with({"normalized_args": {"alone": alone}})
        result = await run_graph(graph, {"bad": bad, "work": nap})
        assert result.results["bad"].state is TaskState.FAILED
        assert result.statistics["states"]["succeeded"] == 3
