"""`explain`: every cause that keeps a task from running, and how one came to its end."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio import (
    CAUSES,
    BreakerPolicy,
    Explanation,
    Instrument,
    RawStore,
    RetryLater,
    RetryPolicy,
    Run,
    TaskState,
    UnknownTaskError,
    open_run,
    output_of,
)
from tgtrio._instrument import Watched

from .runs import graph_of, nap, raises, returns, sleeps, task


def kinds(explanation: Explanation) -> list[str]:
    return [cause.kind for cause in explanation.causes]


# Of a task that has not ended


async def test_the_dependencies_that_have_not_ended(autojump_clock: MockClock) -> None:
    graph = graph_of("a", "b", task("c", "a", "b"), task("d", "c"), max_parallel=1)
    async with open_run(graph, {"work": sleeps(1)}) as run:
        await trio.sleep(1.5)
        why = run.explain("c")
        assert why.state is TaskState.PENDING
        assert kinds(why) == ["dependency"]
        assert why.causes[0].tasks == ("b",)
        assert str(why) == ("task 'c' waits for what it depends on:\n  dependency 'b' is running")
        assert run.explain("d").causes[0].text == "dependency 'c' is pending"


async def test_a_full_run_says_who_is_in_flight(autojump_clock: MockClock) -> None:
    graph = graph_of("a", "b", "c", max_parallel=2)
    async with open_run(graph, {"work": sleeps(1)}) as run:
        await trio.sleep(0.5)
        (cause,) = run.explain("c").causes
        assert (cause.kind, cause.taken, cause.limit) == ("max_parallel", 2, 2)
        assert cause.tasks == ("a", "b")
        assert cause.text == "2 of max_parallel=2 in flight: 'a', 'b'"


async def test_a_full_cap_and_a_full_resource_are_two_causes(autojump_clock: MockClock) -> None:
    graph = graph_of(
        "a",
        task("b", action_name="other", resource_ids=["db"]),
        task("c", resource_ids=["db"]),
    )
    options: dict[str, Any] = {"per_action_caps": {"work": 1}, "resource_caps": {"db": 1}}
    async with open_run(graph, {"work": sleeps(9), "other": sleeps(9)}, **options) as run:
        await trio.sleep(0.5)
        why = run.explain("c")
        assert [(c.kind, c.subject, c.tasks, c.taken, c.limit) for c in why.causes] == [
            ("cap", "work", ("a",), 1, 1),
            ("resource", "db", ("b",), 1, 1),
        ]
        assert "resource 'db' is at its cap, 1 of 1 in flight: 'b'" in str(why)
        assert run.holds() == {("cap", "work"): 1}


async def test_ten_of_many_in_flight_are_named(autojump_clock: MockClock) -> None:
    graph = graph_of(*(f"t{n:02}" for n in range(31)), max_parallel=30)
    async with open_run(graph, {"work": nap}) as run:
        await trio.sleep(0.5)
        (cause,) = run.explain("t30").causes
        assert cause.tasks == tuple(f"t{n:02}" for n in range(10))
        assert cause.text.endswith("'t09' and 20 more")


async def test_a_shared_limiter(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(2)
    graph = graph_of("a", "b")
    async with (
        limiter,
        open_run(graph, {"work": sleeps(5)}, per_action_caps={"work": limiter}) as run,
    ):
        await trio.sleep(1)
        (cause,) = run.explain("b").causes
        assert (cause.kind, cause.subject, cause.taken, cause.limit) == ("limiter", "work", 2, 2)
        assert "2 of 2 borrowed" in cause.text
        assert run.holds() == {("limiter", "work"): 1}


async def test_a_back_off(autojump_clock: MockClock, wall_start: datetime) -> None:
    graph = graph_of(task("a", max_retries=1))
    async with open_run(graph, {"work": raises()}, seed=1) as run:
        await trio.sleep(0.01)
        (cause,) = run.explain("a").causes
        assert cause.kind == "back_off"
        assert cause.until is not None
        assert wall_start < cause.until < wall_start + timedelta(seconds=1)
        assert "attempt 1 failed (ValueError: broken); the next begins in" in cause.text
        assert run.holds() == {("back_off", ""): 1}


async def test_an_open_breaker_says_when_it_half_opens(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = graph_of("a", "b", max_parallel=1)
    async with open_run(graph, {"work": raises()}, breaker=BreakerPolicy(window=1)) as run:
        await trio.sleep(10)
        (cause,) = run.explain("b").causes
        assert (cause.kind, cause.subject) == ("breaker", "work")
        assert cause.until == wall_start + timedelta(seconds=30)
        assert cause.text == (
            "the circuit breaker of action 'work' is OPEN (1 of the last 1 attempts failed); "
            "it half-opens in 20.0 s"
        )
        assert run.holds() == {("breaker", "work"): 1}


async def test_an_action_that_asked_for_peace(autojump_clock: MockClock) -> None:
    calls = iter([raises(lambda: RetryLater(50)), returns(), returns()])

    async def work(args: dict[str, Any]) -> object:
        return await next(calls)(args)

    graph = graph_of(task("a", max_retries=1), "b", max_parallel=1)
    async with open_run(graph, {"work": work}) as run:
        await trio.sleep(10)
        (cause,) = run.explain("b").causes
        assert cause.kind == "cooling"
        assert "ends in 40.0 s" in cause.text
        assert kinds(run.explain("a")) == ["back_off", "cooling"]


async def test_a_follower_names_its_leader(autojump_clock: MockClock) -> None:
    graph = graph_of(task("a", idempotent=True), task("b", idempotent=True))
    async with open_run(graph, {"work": sleeps(5)}) as run:
        await trio.sleep(1)
        (cause,) = run.explain("b").causes
        assert (cause.kind, cause.tasks) == ("leader", ("a",))
        assert "equal work to 'a', which is running" in cause.text
        assert run.holds() == {("leader", ""): 1}
    assert "served the response of equal work" in str(run.explain("b"))


async def test_a_pause(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a", task("b", "a")), {"work": nap}) as run:
        run.pause()
        await trio.sleep(1)
        assert kinds(run.explain("a")) == ["paused"]
        assert kinds(run.explain("b")) == ["dependency", "paused"]
        assert run.holds() == {("paused", ""): 1}
        run.resume()


async def test_a_task_in_flight(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": sleeps(5)}) as run:
        await trio.sleep(2)
        assert str(run.explain("a")) == "task 'a' is running:\n  attempt 1, for 2.0 s"


async def test_a_task_that_nothing_holds(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": nap}) as run:
        assert kinds(run.explain("a")) == ["turn"]
        assert run.holds() == {("turn", ""): 1}


async def test_a_run_that_is_being_ended(autojump_clock: MockClock) -> None:
    async def stubborn(args: dict[str, Any]) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)

    async with open_run(graph_of("a", task("b", "a")), {"work": stubborn}) as run:
        await trio.sleep(1)
        run.cancel(reason="enough")
        await trio.sleep(1)
        assert kinds(run.explain("b")) == ["dependency", "ending"]
        assert "enough" in run.explain("b").causes[1].text


async def test_a_success_that_is_not_on_disk_yet(patient_clock: MockClock, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    class Looks(Instrument):
        async def beside(self, run: Watched) -> None:
            while True:
                await trio.lowlevel.checkpoint()
                seen.append(kinds(run.explain("a")))

    with RawStore(tmp_path / "s.db", durability="task") as store:
        graph = graph_of("a", task("b", "a"))
        async with open_run(graph, {"work": returns()}, store=store, instruments=[Looks()]):
            pass
    assert ["store"] in seen


# What holds how many


async def test_what_a_drain_has_ended_backs_off_no_more(autojump_clock: MockClock) -> None:
    graph = graph_of(task("bad", action_name="bad", max_retries=1), "a")
    retry = RetryPolicy(base=100, cap=100)
    async with open_run(graph, {"work": sleeps(9), "bad": raises()}, retry=retry, seed=1) as run:
        await trio.sleep(1)
        assert run.holds() == {("back_off", ""): 1}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.drain)
            await trio.testing.wait_all_tasks_blocked()
            assert run.holds() == {}


async def test_who_lends_its_place_counts_once(autojump_clock: MockClock) -> None:
    calls = iter([raises(), returns()])

    async def twice(args: dict[str, Any]) -> object:
        return await next(calls)(args)

    first = task("first", action_name="twice", idempotent=True, max_retries=1, priority=1)
    graph = graph_of(first, task("long"), max_parallel=1)
    retry = RetryPolicy(base=100, cap=100)
    async with open_run(graph, {"work": sleeps(500), "twice": twice}, retry=retry, seed=1) as run:
        await trio.testing.wait_all_tasks_blocked()
        run.set_max_parallel(2)
        run.add_task("second", "twice", priority=5)
        await trio.testing.wait_all_tasks_blocked()
        assert run.holds() == {("back_off", ""): 1, ("leader", ""): 1}
        run.set_max_parallel(1)
        await trio.sleep(200)
        assert run.holds() == {("max_parallel", ""): 2}
    assert (await run.wait()).ok


async def test_what_is_served_waits_for_the_disk(patient_clock: MockClock, tmp_path: Path) -> None:
    seen: list[tuple[dict[tuple[str, str], int], int, list[str]]] = []

    class Looks(Instrument):
        async def beside(self, run: Watched) -> None:
            while True:
                await trio.lowlevel.checkpoint()
                ready = run.statistics()["states"]["ready"]
                seen.append((run.holds(), ready, kinds(run.explain("b"))))

    with RawStore(tmp_path / "s.db", durability="task") as store:
        graph = graph_of(task("a", idempotent=True), task("b", idempotent=True), "c")
        async with open_run(graph, {"work": returns()}, store=store, instruments=[Looks()]):
            pass
    assert all(sum(holds.values()) == ready for holds, ready, _ in seen)
    assert ({("store", ""): 1}, 1, ["store"]) in seen


# Of a task that has ended


async def test_the_chain_to_the_root(autojump_clock: MockClock) -> None:
    graph = graph_of(
        task("a", max_retries=2), task("b", "a"), task("c", "b"), task("d", "c", on_dep_fail="skip")
    )
    async with open_run(graph, {"work": raises()}, retry=RetryPolicy(base=0)) as run:
        await run.wait()
    why = run.explain("d")
    assert why.state is TaskState.SKIPPED
    assert [cause.subject for cause in why.causes] == ["d", "c", "b", "a"]
    assert str(why) == (
        "task 'd' was skipped:\n"
        "  'd' was skipped, because 'c' did not succeed\n"
        "  'c' was aborted, because 'b' did not succeed\n"
        "  'b' was aborted, because 'a' did not succeed\n"
        "  'a' failed after 3 attempts, the last one took 0 ms: ValueError: broken"
    )


async def test_a_long_chain_is_cut_in_the_middle(autojump_clock: MockClock) -> None:
    names = [f"t{n}" for n in range(3000)]
    chain = [task(name, *names[n - 1 : n] if n else ()) for n, name in enumerate(names)]
    async with open_run(graph_of(*chain), {"work": raises()}) as run:
        await run.wait()
    why = run.explain("t2999")
    assert len(why.causes) == 12
    assert why.causes[10].text == "and so on, through 2,989 tasks"
    assert "ValueError: broken" in why.causes[-1].text


async def test_a_success_and_a_cancellation(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a", "b", max_parallel=1), {"work": sleeps(2)}) as run:
        await trio.sleep(3)
        run.cancel("b", reason="too late")
        await run.wait()
    assert str(run.explain("a")) == "task 'a' succeeded:\n  'a' succeeded after 2.0 s"
    assert "the task was cancelled: too late" in str(run.explain("b"))


async def test_an_unknown_task(autojump_clock: MockClock) -> None:
    async with open_run(graph_of("fetch"), {"work": nap}) as run:
        with pytest.raises(UnknownTaskError, match="did you mean 'fetch'"):
            run.explain("fecth")


# The law


ACTIONS = {
    "nap": nap,
    "raises": raises(),
    "later": raises(lambda: RetryLater(7)),
    "thread": lambda args: 1,
}


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    tasks = []
    for n in range(draw(st.integers(1, 12))):
        before = st.integers(0, max(n - 1, 0))
        dependencies = draw(st.lists(before, unique=True, max_size=min(n, 3)))
        args: dict[str, Any] = {"seconds": draw(st.integers(0, 3))}
        takes_input = draw(st.booleans())
        if dependencies and takes_input:
            args["value"] = output_of(f"t{dependencies[0]}")
        tasks.append(
            task(
                f"t{n}",
                *(f"t{d}" for d in dependencies),
                action_name=draw(st.sampled_from(["nap", "nap", "raises", "later"])),
                normalized_args=args,
                resource_ids=["r"] if draw(st.booleans()) else [],
                max_retries=draw(st.integers(0, 2)),
                idempotent=draw(st.booleans()),
                on_dep_fail=draw(st.sampled_from(["abort", "skip", "always", "continue_if_any"])),
                priority=draw(st.integers(0, 2)),
            )
        )
    return tasks


async def check_now_and_then(run: Run, seconds: list[float]) -> None:
    for pause in seconds:
        await trio.sleep(pause)
        held = 0
        for task_id in run.graph.nodes:
            why = run.explain(task_id)
            assert why.causes, task_id
            assert all(cause.kind in CAUSES and cause.text for cause in why.causes)
            assert str(why)
            assert (kinds(why)[0] == "ended") == why.state.terminal
            held += why.state is TaskState.READY
        assert sum(run.holds().values()) == held
        assert all(kind in CAUSES for kind, _ in run.holds())


@settings(max_examples=60, deadline=None)
@given(
    tasks=graphs(),
    seconds=st.lists(st.sampled_from([0.0, 0.1, 0.5, 3.0, 31.0]), min_size=1, max_size=8),
    limits=st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 2)),
    paused=st.booleans(),
)
def test_an_unfinished_task_has_a_cause_at_any_time(
    tasks: list[dict[str, Any]], seconds: list[float], limits: tuple[int, int, int], paused: bool
) -> None:
    async def main() -> None:
        options: dict[str, Any] = {
            "max_parallel": limits[0],
            "per_action_caps": {"nap": limits[1]},
            "resource_caps": {"r": limits[2]},
            "breaker": BreakerPolicy(window=3),
            "seed": 1,
        }
        async with open_run(graph_of(*tasks), ACTIONS, **options) as run:
            if paused:
                run.pause()
            await check_now_and_then(run, seconds)
            if paused:
                run.resume()
            await check_now_and_then(run, seconds)
            run.cancel()
            await check_now_and_then(run, [0.0])

    trio.run(main, clock=MockClock(autojump_threshold=0))
