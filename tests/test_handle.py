"""The live handle: pausing, limits, caps and breakers that change while the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    BreakerPolicy,
    InvalidTypeError,
    InvalidValueError,
    RetryPolicy,
    Run,
    RunFinishedError,
    UnknownActionError,
    UnknownTaskError,
    open_run,
)

from .diaries import Diary
from .runs import Meter, counting_turns, graph_of, nap, raises, returns, sleeps, states, task

# Pausing


async def test_a_paused_run_starts_nothing_and_what_is_in_flight_goes_on(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of("a", "b", "c", max_parallel=1)
    async with open_run(graph, {"work": sleeps(10)}) as run:
        await trio.sleep(1)
        run.pause()
        assert run.paused
        await trio.sleep(99)
        assert run.statistics()["states"]["succeeded"] == 1
        assert run.statistics()["running_tasks"] == 0
        run.resume()
        assert not run.paused
    assert (await run.wait()).ok
    assert trio.current_time() == 120


async def test_a_run_may_be_paused_before_anything_starts(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": sleeps(1)}) as run:
        run.pause()
        await trio.sleep(5)
        run.resume()
    assert trio.current_time() == 6


async def test_pausing_twice_is_pausing_once(autojump_clock: MockClock) -> None:
    diary = Diary()
    async with open_run(graph_of("a"), {"work": sleeps(1)}, instruments=[diary]) as run:
        run.resume()
        run.pause()
        run.pause()
        await trio.sleep(5)
        run.resume()
    assert [page[1] for page in diary.pages if page[0] == "steered"] == ["pause", "resume"]


async def test_a_paused_run_makes_no_wake_ups(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": sleeps(1)}) as run:
        run.pause()
        await trio.sleep(1)
        with counting_turns() as counter:
            await trio.sleep(1000)
        run.resume()
    assert counter.turns <= 2


async def test_retries_whose_back_off_ends_in_a_pause_wait_for_its_end(
    autojump_clock: MockClock,
) -> None:
    outcomes = iter([raises(), returns()])

    async def work(args: dict[str, Any]) -> object:
        return await next(outcomes)(args)

    async with open_run(graph_of(task("a", max_retries=1)), {"work": work}, seed=1) as run:
        await trio.sleep(0.01)
        run.pause()
        await trio.sleep(100)
        assert run.statistics()["states"]["ready"] == 1
        run.resume()
    result = await run.wait()
    assert result.results["a"].attempts == 2
    assert trio.current_time() == pytest.approx(100.01)


@pytest.mark.parametrize("how", ["cancel", "drain", "timeout"])
async def test_a_paused_run_can_be_ended(autojump_clock: MockClock, how: str) -> None:
    graph = graph_of("a", graph_timeout_ms=50_000 if how == "timeout" else None)
    async with open_run(graph, {"work": nap}) as run:
        run.pause()
        await trio.sleep(1)
        if how == "cancel":
            run.cancel()
        elif how == "drain":
            await run.drain()
    assert states(await run.wait()) == {"a": "cancelled"}


async def test_functions_in_threads_pause_too(patient_clock: MockClock) -> None:
    graph = graph_of(*(f"t{n}" for n in range(50)))
    async with open_run(graph, {"work": lambda args: 1}) as run:
        run.pause()
        await trio.sleep(10)
        assert run.statistics()["states"]["ready"] == 50
        run.resume()
    assert (await run.wait()).ok


# Limits


async def test_max_parallel_can_be_raised(autojump_clock: MockClock) -> None:
    meter = Meter()
    graph = graph_of(*(f"t{n}" for n in range(20)), max_parallel=2)
    async with open_run(graph, {"work": meter.naps()}) as run:
        await trio.sleep(0.5)
        run.set_max_parallel(18)
        await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert meter.inside["all"] == 18
    assert trio.current_time() == 2
    assert (await run.wait()).ok


async def test_lowering_max_parallel_starts_nothing_until_below_and_ends_nothing(
    autojump_clock: MockClock,
) -> None:
    meter = Meter()
    graph = graph_of(
        *(task(f"t{n}", normalized_args={"seconds": 1 + n}) for n in range(8)), max_parallel=4
    )
    async with open_run(graph, {"work": meter.naps()}) as run:
        await trio.sleep(0.5)
        run.set_max_parallel(2)
        assert meter.inside["all"] == 4
        await trio.sleep(2)  # two have ended
        assert meter.inside["all"] == 2
        await trio.sleep(1)  # the third has, and another begun
        assert meter.inside["all"] == 2
    assert (await run.wait()).ok


async def test_a_cap_can_be_changed(autojump_clock: MockClock) -> None:
    meter = Meter()
    graph = graph_of(*(f"t{n}" for n in range(9)))
    async with open_run(graph, {"work": meter.naps()}, per_action_caps={"work": 2}) as run:
        await trio.sleep(0.5)
        run.set_cap("work", 5)
        await trio.testing.wait_all_tasks_blocked()
        assert meter.inside["all"] == 5
        run.set_cap("work", 1)
        await trio.sleep(0.75)
        assert meter.inside["all"] == 3
        await trio.sleep(0.5)
        assert meter.inside["all"] == 1
        run.set_cap("work", None)
        await trio.testing.wait_all_tasks_blocked()
        assert meter.inside["all"] == 4
    assert (await run.wait()).ok


@pytest.mark.parametrize("options", [{}, {"retry": None, "breaker": None}], ids=["gates", "none"])
async def test_an_action_without_a_cap_can_get_one(
    autojump_clock: MockClock, options: dict[str, Any]
) -> None:
    meter = Meter()
    graph = graph_of(
        *(f"t{n}" for n in range(9)),
        *(task(f"o{n}", action_name="other", resource_ids=["r"]) for n in range(9)),
    )
    actions = {"work": meter.naps("work"), "other": meter.naps("other")}
    async with open_run(graph, actions, resource_caps={"r": 4}, **options) as run:
        await trio.sleep(0.5)
        assert meter.inside == {"work": 9, "other": 4}
        run.set_cap("work", 3)
        run.set_cap("other", 2)
        await trio.sleep(1)
        assert meter.inside["other"] == 2
    assert meter.peak == {"work": 9, "other": 4}
    assert (await run.wait()).ok
    # 9 of `other`: 4 at once, then 2, 2, 1.
    assert trio.current_time() == 4


async def test_a_new_cap_counts_what_is_in_flight(autojump_clock: MockClock) -> None:
    meter = Meter()
    graph = graph_of(*(f"t{n}" for n in range(9)), max_parallel=3)
    async with open_run(graph, {"work": meter.naps()}, retry=None, breaker=None) as run:
        await trio.sleep(0.5)
        run.set_cap("work", 2)
        await trio.sleep(1)
        assert meter.inside["all"] == 2
        run._engine.queue.validate()
    assert (await run.wait()).ok


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "2", trio.CapacityLimiter])
async def test_what_is_no_limit_is_refused(autojump_clock: MockClock, limit: Any) -> None:
    limit = limit(1) if isinstance(limit, type) else limit
    async with open_run(graph_of("a"), {"work": nap}) as run:
        with pytest.raises((InvalidTypeError, InvalidValueError), match="max_parallel"):
            run.set_max_parallel(limit)
        with pytest.raises((InvalidTypeError, InvalidValueError), match="the cap of 'work'"):
            run.set_cap("work", limit)


async def test_limiters_belong_to_who_gave_them(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(1)
    async with open_run(graph_of("a"), {"work": nap}, max_parallel=limiter) as run:
        with pytest.raises(InvalidValueError, match="total_tokens"):
            run.set_max_parallel(3)
    async with open_run(graph_of("a"), {"work": nap}, per_action_caps={"work": limiter}) as run:
        with pytest.raises(InvalidValueError, match="total_tokens"):
            run.set_cap("work", 3)


async def test_a_cap_on_an_unknown_action_is_refused(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": nap}) as run:
        with pytest.raises(UnknownActionError, match="did you mean 'work'"):
            run.set_cap("wrok", 2)


# Breakers


async def test_an_isolated_breaker_holds_its_tasks_until_it_is_closed(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of("a", "b", "c", max_parallel=1)
    async with open_run(graph, {"work": sleeps(1)}) as run:
        await trio.sleep(0.5)
        run.isolate("work", reason="the server is being moved")
        await trio.sleep(1000)
        assert run.statistics()["states"]["ready"] == 2
        assert run.statistics()["breaker_states"]["work"]["state"] == "OPEN"
        assert "the server is being moved" in str(run.explain("c"))
        run.close_breaker("work")
    assert (await run.wait()).ok
    assert trio.current_time() == 1002.5


async def test_a_breaker_that_has_opened_can_be_closed(autojump_clock: MockClock) -> None:
    outcomes = iter([raises(), returns(), returns()])

    async def work(args: dict[str, Any]) -> object:
        return await next(outcomes)(args)

    graph = graph_of("a", "b", "c", max_parallel=1)
    async with open_run(graph, {"work": work}, breaker=BreakerPolicy(window=1)) as run:
        await trio.sleep(1)
        run.close_breaker("work")
    assert trio.current_time() == 1
    assert run.statistics()["states"]["succeeded"] == 2


async def test_an_action_without_a_breaker_has_none_to_isolate(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": nap}, breaker=None) as run:
        with pytest.raises(InvalidValueError, match="no circuit breaker"):
            run.isolate("work")


# Branches


async def test_a_branch_is_cancelled_whatever_its_policies(autojump_clock: MockClock) -> None:
    graph = graph_of(
        "a",
        task("b", "a"),
        task("c", "b", on_dep_fail="always"),
        task("d", "a", "c", on_dep_fail="on_failure"),
        task("e"),
        task("f", "e", "d", on_dep_fail="continue_if_any"),
        task("g", "e"),
    )
    async with open_run(graph, {"work": sleeps(2)}) as run:
        await trio.sleep(1)
        run.cancel("a", branch=True, reason="no longer wanted")
    result = await run.wait()
    cancelled = {name for name, state in states(result).items() if state == "cancelled"}
    assert cancelled == {"a", "b", "c", "d", "f"}
    assert all("no longer wanted" in result.results[name].error for name in cancelled)
    assert states(result)["g"] == "succeeded"


async def test_what_of_a_branch_has_ended_stays_as_it_is(autojump_clock: MockClock) -> None:
    graph = graph_of("a", task("b", "a"), task("c", "b"))
    async with open_run(graph, {"work": sleeps(2)}) as run:
        await trio.sleep(3)
        run.cancel("a", branch=True)
    assert states(await run.wait()) == {"a": "succeeded", "b": "cancelled", "c": "cancelled"}


async def test_a_long_branch_is_cancelled_without_recursion(autojump_clock: MockClock) -> None:
    names = [f"t{n}" for n in range(20_000)]
    chain = [task(name, *names[n - 1 : n] if n else ()) for n, name in enumerate(names)]
    async with open_run(graph_of(*chain), {"work": sleeps(2)}) as run:
        await trio.sleep(1)
        run.cancel("t0", branch=True)
    assert run.statistics()["states"]["cancelled"] == 20_000


# When it is over


async def test_a_run_that_is_over_takes_no_orders(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": nap}) as run:
        await run.wait()
        orders: list[Callable[[], None]] = [
            run.pause,
            run.resume,
            lambda: run.set_max_parallel(1),
            lambda: run.set_cap("work", 1),
            lambda: run.isolate("work"),
            lambda: run.close_breaker("work"),
        ]
        for order in orders:
            with pytest.raises(RunFinishedError, match="no more orders"):
                order()
        run.cancel("a")
        run.cancel()
        assert not run.paused
        assert run.holds() == {}
        with pytest.raises(UnknownTaskError, match="did you mean"):
            run.cancel("aa")
    assert (await run.wait()).ok


# From other threads


async def test_other_threads_use_the_handle_through_a_door(patient_clock: MockClock) -> None:
    async with open_run(graph_of("a", "b", max_parallel=1), {"work": sleeps(5)}) as run:

        def control() -> dict[str, Any]:
            run.from_thread(run.pause)
            with pytest.raises(UnknownActionError):
                run.from_thread(run.set_cap, "nothing", 1)
            run.from_thread(run.resume)
            return run.from_thread(run.statistics)

        figures = await trio.to_thread.run_sync(control)
        assert figures["total_tasks"] == 2
    assert (await run.wait()).ok


async def test_the_trio_thread_needs_no_door(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": nap}) as run:
        with pytest.raises(RuntimeError):
            run.from_thread(run.pause)


def test_the_door_is_shut_when_trio_is_gone() -> None:
    async def main() -> Any:
        async with open_run(graph_of("a"), {"work": returns()}) as run:
            return run

    run = trio.run(main)
    with pytest.raises(RunFinishedError, match="is over, and so is Trio"):
        run.from_thread(run.statistics)


# Cancelling from where the run asks somebody


async def test_a_task_is_cancelled_while_it_is_asked_whether_to_try_it_again(
    autojump_clock: MockClock,
) -> None:
    def hopeless(error: Exception) -> bool:
        run.cancel("a", branch=True, reason="the login has expired")
        return True

    graph = graph_of(
        "a", task("b", "a", action_name="bad", max_retries=3), task("c", "b"), "d", "e"
    )
    actions = {"work": sleeps(1), "bad": raises()}
    with trio.fail_after(60):
        async with open_run(graph, actions, retry=RetryPolicy(retry_on=hopeless)) as run:
            pass
        result = await run.wait()
    assert states(result) == {
        "a": "succeeded",
        "b": "cancelled",
        "c": "cancelled",
        "d": "succeeded",
        "e": "succeeded",
    }
    assert result.results["b"].error == (
        "the task was cancelled: the login has expired; "
        "its last attempt failed with ValueError: broken"
    )


@pytest.mark.parametrize("asked", range(1, 9))
async def test_a_safety_rule_may_cancel_the_very_task_that_it_is_asked_about(
    autojump_clock: MockClock, asked: int
) -> None:
    class Rule:
        count = 0

        def should_abort(self) -> bool:
            self.count += 1
            if self.count == asked + 1:  # the first time before anything starts
                run.cancel("b")
            return False

        def get_abort_reason(self) -> None:
            return None

    graph = graph_of("a", task("b", action_name="bad", max_retries=5), "c", task("d", "c"))
    actions = {"work": sleeps(1), "bad": raises()}
    with trio.fail_after(600):
        async with open_run(graph, actions, abort_monitor=Rule()) as run:
            pass
        ends = states(await run.wait())
    assert ends == {"a": "succeeded", "b": "cancelled", "c": "succeeded", "d": "succeeded"}


async def test_a_run_that_a_safety_rule_cancels_starts_nothing_more(
    autojump_clock: MockClock,
) -> None:
    class Rule:
        def should_abort(self) -> bool:
            if started:
                run.cancel()
            return False

        def get_abort_reason(self) -> None:
            return None

    async def work(args: dict[str, Any]) -> None:
        started.append(1)

    started: list[int] = []
    async with open_run(graph_of("a", "b"), {"work": work}, abort_monitor=Rule()) as run:
        pass
    assert states(await run.wait()) == {"a": "succeeded", "b": "cancelled"}
    assert len(started) == 1


# What instruments are told


@pytest.mark.parametrize("how", ["cancel", "drain"])
async def test_instruments_are_told_how_somebody_has_ended_the_run(
    autojump_clock: MockClock, how: str
) -> None:
    diary = Diary()
    async with open_run(graph_of("a"), {"work": sleeps(9)}, instruments=[diary]) as run:
        await trio.sleep(1)
        if how == "cancel":
            run.cancel(reason="enough")
            run.cancel(reason="and once more")
        else:
            await run.drain(reason="enough")
    assert [page[:4] for page in diary.pages if page[0] == "steered"] == [
        ("steered", how, "", "enough")
    ]


async def test_instruments_are_told_of_the_reason_as_it_was_given(
    autojump_clock: MockClock,
) -> None:
    diary = Diary()
    async with open_run(graph_of("a", "b"), {"work": sleeps(9)}, instruments=[diary]) as run:
        run.cancel("a", reason="too late")
        run.cancel("b")
    assert [page[1:4] for page in diary.pages if page[0] == "steered"] == [
        ("cancel", "a", "too late"),
        ("cancel", "b", None),
    ]


# Single tasks


async def test_the_result_of_a_task_is_there_as_soon_as_it_has_ended(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of("a", task("b", "a"))
    async with open_run(graph, {"work": sleeps(1, "done")}) as run:
        assert run.result("a") is None
        a = await run.wait_for("a")
        assert (a.response, trio.current_time()) == ("done", 1)
        assert run.result("b") is None
        assert (await run.wait_for("b")).success
        with trio.testing.assert_checkpoints():
            assert (await run.wait_for("a")).response == "done"
    assert run.result("b") == (await run.wait_for("b"))


async def test_who_waits_for_a_task_hears_of_any_end(autojump_clock: MockClock) -> None:
    heard: dict[str, tuple[str, float]] = {}

    async def wait(run: Run, task_id: str) -> None:
        result = await run.wait_for(task_id)
        heard[task_id] = (result.state.value, trio.current_time())

    graph = graph_of(
        task("bad", action_name="bad"), task("after", "bad"), "slow", task("never", "slow")
    )
    actions = {"work": sleeps(9), "bad": raises()}
    async with trio.open_nursery() as nursery, open_run(graph, actions) as run:
        for task_id in graph.nodes:
            nursery.start_soon(wait, run, task_id)
        await trio.sleep(2)
        run.cancel()
    assert heard == {
        "bad": ("failed", 0),
        "after": ("aborted", 0),
        "slow": ("cancelled", 2),
        "never": ("cancelled", 2),
    }


async def test_waiting_for_a_task_that_is_added_and_cancelling_the_wait(
    autojump_clock: MockClock,
) -> None:
    async with open_run(graph_of("a"), {"work": sleeps(3, 7)}) as run:
        with trio.move_on_after(1):
            await run.wait_for("a")
        run.add_task("b", "work", {"n": 2})
        assert (await run.wait_for("b")).response == 7
        with pytest.raises(UnknownTaskError):
            await run.wait_for("c")
    assert trio.current_time() == 4


async def test_an_action_has_its_cap_before_its_first_task(autojump_clock: MockClock) -> None:
    meter = Meter()
    async with open_run(graph_of(), {"work": meter.naps()}) as run:
        run.set_cap("work", 2)
        for n in range(6):
            run.add_task(f"t{n}", "work", idempotent=False)
    assert meter.peak["all"] == 2
