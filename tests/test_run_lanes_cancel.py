"""Plain functions in threads that run out of time or are cancelled alone."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import RetryPolicy, open_run, run_graph
from tgtrio._attempts import Doom
from tgtrio._lanes import Lanes

from .lanes import LONG, QUICK, Gate, keep_trio_busy, run, until, wait_until_cancelled
from .runs import Args, graph_of, states, task

# timeouts


async def test_a_function_that_asks_is_stopped_by_its_timeout_and_tried_again() -> None:
    calls = []

    def work(args: Args) -> str:
        calls.append(1)
        if len(calls) < 3:
            wait_until_cancelled()
        return "value"

    graph = graph_of(task("a", task_timeout_ms=20, max_retries=2), task("b", "a"), max_parallel=1)
    result = await run(graph, {"work": work}, retry=QUICK)
    assert states(result) == {"a": "succeeded", "b": "succeeded"}
    assert result.results["a"].attempts == 3
    assert not result.results["a"].late


async def test_a_function_that_calls_back_into_trio_is_stopped_there() -> None:
    def work(args: Args) -> None:
        trio.from_thread.run(trio.sleep_forever)

    result = await run(graph_of(task("a", task_timeout_ms=20)), {"work": work})
    assert "timed out after 20 ms" in result.results["a"].error


async def test_a_stubborn_function_is_waited_for_and_its_value_kept() -> None:
    def work(args: Args) -> int:
        time.sleep(0.03 * args["n"])
        return int(args["n"])

    tasks = [task(str(n), normalized_args={"n": n}, task_timeout_ms=20) for n in (2, 0)]
    result = await run(graph_of(*tasks, max_parallel=1), {"work": work})
    assert result.ok
    assert [one.late for one in result.results.values()] == [True, False]
    assert [one.response for one in result.results.values()] == [2, 0]


async def test_each_function_has_its_own_timeout() -> None:
    def work(args: Args) -> None:
        wait_until_cancelled()

    timeouts = {"a": 60, "b": 20, "c": 40}
    tasks = [task(name, task_timeout_ms=timeout) for name, timeout in timeouts.items()]
    result = await run(graph_of(*tasks), {"work": work})
    for name, timeout in timeouts.items():
        one = result.results[name]
        assert f"timed out after {timeout} ms" in one.error
        assert one.execution_time_ms is not None
        assert one.execution_time_ms >= timeout - 1


async def test_timeouts_pass_in_virtual_time_too(patient_clock: MockClock) -> None:
    def work(args: Args) -> None:
        wait_until_cancelled()

    result = await run_graph(graph_of(task("a", task_timeout_ms=1e9)), {"work": work})
    assert result.results["a"].execution_time_ms == pytest.approx(1e9)


# cancelling one task


async def test_a_function_in_flight_is_cancelled_and_the_rest_goes_on() -> None:
    gate = Gate()

    def work(args: Args) -> None:
        gate.called.set()
        wait_until_cancelled()

    graph = graph_of(
        "a", task("b", "a"), task("c", "a", action_name="next", on_dep_fail="always"), "d"
    )
    graph.add_dependency("d", "c")
    actions = {"work": work, "next": lambda args: 3}
    with trio.fail_after(LONG):
        async with open_run(graph, actions) as handle:
            await gate.until_called()
            handle.cancel("a", reason="no use")
            await until(lambda: not handle.statistics()["states"]["pending"])
            handle.cancel("d")
        result = await handle.wait()
    assert states(result) == {"a": "cancelled", "b": "aborted", "c": "succeeded", "d": "cancelled"}
    assert result.results["a"].error == "the task was cancelled: no use"


@pytest.mark.parametrize("error", [None, ValueError("late")])
async def test_cancelled_again_and_out_of_time_the_first_cause_holds(
    error: Exception | None,
) -> None:
    gate = Gate(lambda: "value", error)
    graph = graph_of(
        task("a", task_timeout_ms=50, action_name="gate"), task("b", "a", on_dep_fail="always")
    )
    with trio.fail_after(LONG):
        async with open_run(graph, {"gate": gate, "work": lambda args: None}) as handle:
            await gate.until_called()
            handle.cancel("a")
            handle.cancel("a", reason="again")
            await trio.sleep(0.1)  # its timeout passes
            gate.may_end.set()
        result = await handle.wait()
    one = result.results["a"]
    if error is None:
        assert (one.response, one.late) == ("value", True)
    else:
        assert one.state.value == "cancelled"
        assert one.error.startswith("the task was cancelled; ")
        assert "ValueError: late" in one.error
    assert result.results["b"].success


async def test_cancelled_after_it_failed_it_is_not_tried_again() -> None:
    """Also where nobody has heard of the failure yet."""
    gate = Gate(error=ValueError("broken"))
    with trio.fail_after(LONG):
        async with open_run(
            graph_of(task("a", max_retries=5)), {"work": gate}, retry=RetryPolicy(base=0.5)
        ) as handle:
            await gate.until_called()
            gate.may_end.set()
            keep_trio_busy(0.05)
            handle.cancel("a")
        result = await handle.wait()
    assert states(result) == {"a": "cancelled"}
    assert "ValueError: broken" in result.results["a"].error
    assert gate.calls == 1


async def test_cancelled_before_or_after_it_is_not_called_or_keeps_its_value() -> None:
    calls: list[str] = []
    graph = graph_of(*(task(name, normalized_args={"n": name}) for name in "abc"), max_parallel=1)
    gate = Gate()

    def work(args: Args) -> object:
        calls.append(args["n"])
        return gate(args)

    with trio.fail_after(LONG):
        async with open_run(graph, {"work": work}) as handle:
            await gate.until_called()
            handle.cancel("b")
            gate.may_end.set()
            await until(lambda: handle.statistics()["states"]["succeeded"])
            handle.cancel("a")
        result = await handle.wait()
    assert states(result) == {"a": "succeeded", "b": "cancelled", "c": "succeeded"}
    assert calls == ["a", "c"]


# functions that return awaitables


@pytest.mark.parametrize("ending", ["cancel", "outside", "timeout"])
async def test_what_a_cancelled_function_returns_is_not_awaited_to_its_end(ending: str) -> None:
    gate = Gate(trio.sleep_forever)
    graph = graph_of(task("a", task_timeout_ms=20 if ending == "timeout" else None))
    with trio.fail_after(LONG), trio.CancelScope() as scope:
        async with open_run(graph, {"work": gate}) as handle:
            await gate.until_called()
            if ending == "cancel":
                handle.cancel("a")
            elif ending == "outside":
                scope.cancel()
            with trio.CancelScope(shield=True):
                await trio.sleep(0.03)
                threading.Timer(0.01, gate.may_end.set).start()
    result = await handle.wait()
    assert states(result) == {"a": "failed" if ending == "timeout" else "cancelled"}
    assert result.results["a"].attempts == 1
    gc.collect()  # a coroutine that was never awaited would warn now


async def test_function_and_awaitable_have_one_timeout_together() -> None:
    def work(args: Args) -> Any:
        time.sleep(0.02)
        return trio.sleep_forever()

    result = await run(graph_of(task("a", task_timeout_ms=40)), {"work": work})
    one = result.results["a"]
    assert "timed out after 40 ms" in one.error
    assert one.attempts == 1
    assert one.execution_time_ms is not None
    assert one.execution_time_ms >= 39


async def test_a_task_cancelled_before_its_awaitable_is_awaited_leaves_no_warning() -> None:
    async def later() -> None:
        raise AssertionError

    gate = Gate(later)
    with trio.fail_after(LONG):
        async with open_run(graph_of("a"), {"work": gate}) as handle:
            await gate.until_called()
            gate.may_end.set()
            keep_trio_busy(0.05)  # it has returned, and nobody has heard of it
            handle.cancel("a")
    assert states(await handle.wait()) == {"a": "cancelled"}
    gc.collect()


async def test_the_lanes_are_asked_only_about_what_is_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To ask them costs as much as there are lanes, and a branch may be large."""
    asked: list[int] = []
    cancel = Lanes.cancel

    def count(lanes: Lanes, rank: int, doom: Doom) -> bool:
        asked.append(rank)
        return cancel(lanes, rank, doom)

    monkeypatch.setattr(Lanes, "cancel", count)
    gate = Gate()
    graph = graph_of("a", *(task(f"t{n}", "a") for n in range(50)))
    async with open_run(graph, {"work": gate}) as handle:
        await gate.until_called()
        handle.cancel("a", branch=True)
        gate.may_end.set()
    assert len(asked) <= 1
    assert handle.statistics()["states"]["cancelled"] >= 50
