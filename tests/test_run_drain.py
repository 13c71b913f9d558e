"""A drain: what is in flight runs to its end, and nothing else starts."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints

from tgtrio import (
    AbortConditionMonitor,
    BreakerPolicy,
    RawStore,
    RetryLater,
    open_run,
    run_graph,
)

from .runs import Args, graph_of, nap, raises, returns, sleeps, states, task
from .services import (
    Exactly,
    Service,
    after,
    breaker_of,
    following,
    job,
    jobs,
    make_breakers,
    running,
)

ONE = BreakerPolicy(window=1, threshold=1)


def naps(task_id: str, seconds: float, *dependencies: str, **fields: Any) -> dict[str, Any]:
    return task(task_id, *dependencies, normalized_args={"seconds": seconds}, **fields)


async def test_what_is_in_flight_ends_and_the_rest_is_cancelled(autojump_clock: MockClock) -> None:
    graph = graph_of(
        naps("a", 5), naps("b", 9), naps("waits", 1), naps("child", 1, "a"), max_parallel=2
    )
    async with open_run(graph, {"work": nap}) as run:
        await trio.sleep(1)
        result = await run.drain(reason="deploy")
        assert trio.current_time() == 9
    assert result is await run.wait()
    assert states(result) == {
        "a": "succeeded",
        "b": "succeeded",
        "waits": "cancelled",
        "child": "cancelled",
    }
    for name in ("waits", "child"):
        assert result.results[name].error == "the run was drained: deploy"
        assert result.results[name].attempts == 0
    assert (result.ok, result.timed_out, result.aborted_reason) == (False, False, None)
    assert result.elapsed_ms == 9_000


async def test_a_success_in_a_drain_is_no_late_one(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": sleeps(5)}) as run:
        await trio.sleep(1)
        one = (await run.drain()).results["a"]
    assert (one.state.value, one.late) == ("succeeded", False)


@pytest.mark.parametrize("error", [ValueError, lambda: RetryLater(10)])
async def test_what_fails_in_a_drain_is_not_tried_again(
    error: Any, autojump_clock: MockClock
) -> None:
    service = Service(after(5, raises(error)))
    async with open_run(graph_of(job("a", max_retries=9), job("b")), {"work": service}) as run:
        await trio.sleep(1)
        result = await run.drain()
    assert (states(result)["a"], len(service.calls)) == ("failed", 2)
    assert result.statistics["retry_tokens_used"] == 0
    assert "budget" not in result.results["a"].error


async def test_a_timeout_in_a_drain_still_holds(autojump_clock: MockClock) -> None:
    graph = graph_of(job("a", max_retries=9, task_timeout_ms=5_000))
    async with open_run(graph, {"work": sleeps(100)}) as run:
        await trio.sleep(1)
        result = await run.drain()
    assert (states(result), result.elapsed_ms) == ({"a": "failed"}, 5_000)


async def test_a_deadline_in_a_drain_still_holds(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    deadline = wall_start + timedelta(seconds=5)
    graph = graph_of(job("a", deadline=deadline, expire_at_deadline=True))
    async with open_run(graph, {"work": sleeps(100)}) as run:
        await trio.sleep(1)
        result = await run.drain()
    assert (states(result), result.elapsed_ms) == ({"a": "failed"}, 5_000)


async def test_a_back_off_is_not_waited_for(autojump_clock: MockClock) -> None:
    graph = graph_of(job("a", max_retries=9))
    async with open_run(graph, {"work": raises()}, retry=Exactly(base=100, cap=100)) as run:
        await trio.sleep(1)
        result = await run.drain()
    assert (states(result), result.elapsed_ms) == ({"a": "cancelled"}, 1_000)
    assert (result.results["a"].attempts, result.statistics["retry_tokens_used"]) == (1, 1)


async def test_what_a_breaker_or_a_retry_later_holds_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    service = following("F")
    graph = graph_of(*jobs(3), *jobs(2, "l", action_name="later", max_retries=9), max_parallel=1)
    actions = {"work": service, "later": raises(lambda: RetryLater(100))}
    async with open_run(graph, actions, breaker=ONE) as run:
        await trio.sleep(1)
        result = await run.drain()
    assert list(states(result).values()) == ["failed"] + ["cancelled"] * 4
    assert result.elapsed_ms == 1_000
    figures = result.statistics["breaker_states"]
    assert [figures[name]["state"] for name in ("work", "later")] == ["OPEN", "CLOSED"]


async def test_the_breaker_still_learns_how_a_probe_ended(autojump_clock: MockClock) -> None:
    breakers = make_breakers(ONE)
    service = Service(raises(), sleeps(10))
    async with running(breakers, graph_of(*jobs(3)), {"work": service}) as run:
        await trio.sleep(31)
        result = await run.drain()
    assert list(states(result).values()) == ["failed", "succeeded", "cancelled"]
    assert breaker_of(breakers).state.value == "CLOSED"


async def test_always_and_on_failure_do_not_run_after_a_drain(autojump_clock: MockClock) -> None:
    graph = graph_of(
        task("a", action_name="fails"),
        task("always", "a", on_dep_fail="always"),
        task("rescue", "a", on_dep_fail="on_failure"),
    )
    async with open_run(graph, {"fails": after(5, raises()), "work": returns()}) as run:
        await trio.sleep(1)
        result = await run.drain()
    assert states(result) == {"a": "failed", "always": "cancelled", "rescue": "cancelled"}


async def test_followers_are_served_or_cancelled_but_never_led(autojump_clock: MockClock) -> None:
    graph = graph_of(*({"task_id": f"t{n}", "idempotent": True} for n in range(3)))
    async with open_run(graph, {"work": sleeps(5)}) as run:
        await trio.sleep(1)
        result = await run.drain()
    assert states(result) == {"t0": "succeeded", "t1": "cancelled", "t2": "cancelled"}
    assert result.statistics["cached_tasks"] == 0


@pytest.mark.parametrize("reason", ["", "now"])
async def test_cancel_cuts_a_drain_short(reason: str, autojump_clock: MockClock) -> None:
    graph = graph_of("a", "b", max_parallel=1)
    async with open_run(graph, {"work": sleeps(1000)}) as run, trio.open_nursery() as nursery:
        await trio.sleep(1)
        nursery.start_soon(run.drain)
        await trio.sleep(1)
        run.cancel(reason=reason)
    result = await run.wait()
    assert (states(result), result.elapsed_ms) == ({"a": "cancelled", "b": "cancelled"}, 2_000)
    assert "the run was cancelled" in result.results["a"].error
    assert "the run was drained" in result.results["b"].error


@pytest.mark.parametrize("cause", ["task", "timeout", "safety"])
async def test_other_causes_cut_a_drain_short_as_well(
    cause: str, autojump_clock: MockClock
) -> None:
    monitor = AbortConditionMonitor(rules=())
    graph = graph_of("a", "b", max_parallel=1, graph_timeout_ms=3_000)
    options: Any = {"abort_monitor": monitor}
    async with open_run(graph, {"work": sleeps(1000)}, **options) as run, trio.open_nursery() as n:
        await trio.sleep(1)
        n.start_soon(run.drain)
        await trio.sleep(1)
        if cause == "task":
            run.cancel("a")
        elif cause == "safety":
            monitor.trip("stop")
    result = await run.wait()
    expected = "aborted" if cause == "safety" else "cancelled"
    assert states(result) == {"a": expected, "b": "cancelled"}
    assert result.timed_out is (cause == "timeout")
    assert result.aborted_reason == ("stop" if cause == "safety" else None)
    assert result.elapsed_ms == (3_000 if cause == "timeout" else 2_000)


async def test_a_drain_that_is_given_up_goes_on(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a", "b", max_parallel=1), {"work": sleeps(10)}) as run:
        await trio.sleep(1)
        with trio.move_on_after(2) as scope:
            await run.drain()
        assert scope.cancelled_caught
        assert run.statistics()["states"]["running"] == 1
    assert states(await run.wait()) == {"a": "succeeded", "b": "cancelled"}


async def test_the_first_of_two_drains_gives_the_reason(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a", "b", max_parallel=1), {"work": sleeps(10)}) as run:
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: run.drain(reason="first"))
            await trio.sleep(1)
            nursery.start_soon(lambda: run.drain(reason="second"))
    assert (await run.wait()).results["b"].error == "the run was drained: first"


async def test_draining_before_the_first_task_cancels_them_all(autojump_clock: MockClock) -> None:
    service = Service()
    async with open_run(graph_of(*jobs(3)), {"work": service}) as run:
        result = await run.drain()
    assert set(states(result).values()) == {"cancelled"}
    assert service.calls == []


async def test_draining_a_run_that_is_over_changes_nothing(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": returns()}) as run:
        await trio.sleep(1)
        with assert_checkpoints():
            result = await run.drain()
    assert result.ok
    assert await run.drain() is result


async def test_an_action_may_drain_its_own_run(autojump_clock: MockClock) -> None:
    async def quit_after(args: Args) -> str:
        with trio.move_on_after(0):
            await run.drain()
        return "done"

    graph = graph_of(task("a", action_name="quit"), task("b", "a"))
    async with open_run(graph, {"quit": quit_after, "work": returns()}) as run:
        result = await run.wait()
    assert states(result) == {"a": "succeeded", "b": "cancelled"}


async def test_a_worker_thread_in_flight_is_waited_for(patient_clock: MockClock) -> None:
    def slow(args: Args) -> str:
        trio.from_thread.run(trio.sleep, 2)
        return "done"

    async with open_run(graph_of("a", "b", max_parallel=1), {"work": slow}) as run:
        await trio.sleep(1)
        result = await run.drain()
    assert result.results["a"].response == "done"
    assert states(result)["b"] == "cancelled"


@pytest.mark.parametrize("durability", ["batch", "task"])
async def test_a_drained_run_is_resumed(
    durability: Any, patient_clock: MockClock, tmp_path: Path
) -> None:
    graph = graph_of(*jobs(4), max_parallel=2)
    service = Service(sleeps(5), sleeps(5))
    with RawStore(tmp_path / "s.sqlite", durability=durability) as store:
        async with open_run(graph, {"work": service}, store=store) as run:
            await trio.sleep(2)
            drained = await run.drain()
        again = await run_graph(graph, {"work": service}, store=store)
    assert list(states(drained).values()) == ["succeeded"] * 2 + ["cancelled"] * 2
    assert (again.run_id, again.ok) == (drained.run_id, True)
    assert sorted(service.callers) == ["0", "1", "2", "3"]
    assert [one.cached for one in again.results.values()] == [True, True, False, False]
