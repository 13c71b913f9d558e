"""Safety rules in a run: who may stop everything, how soon, and what is left of it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    AbortConditionMonitor,
    BreakerPolicy,
    GraphResult,
    IdentityLedger,
    RawStore,
    RetryPolicy,
    create_task_scheduler,
    open_run,
    run_graph,
)
from tgtrio._safety_rules import MaxConsecutiveFailures, SpendBudget, TimeBudget
from tgtrio._safety_statistics import SafetyStatistics

from .runs import Args, graph_of, nap, raises, returns, run_script, sleeps, states, task

FAST = RetryPolicy(base=1.0, cap=1.0)


def monitor_of(*rules: Callable[[SafetyStatistics], Any], **options: Any) -> AbortConditionMonitor:
    return AbortConditionMonitor(rules=rules, **options)


def busy_graph() -> Any:
    """One task in flight, one ready, two pending; what follows an abort must not start either."""
    return graph_of(
        "busy",
        "ready",
        task("next", "busy"),
        task("cleanup", "busy", on_dep_fail="always"),
        max_parallel=1,
    )


def assert_all_aborted(result: GraphResult, reason: str) -> None:
    assert set(states(result).values()) == {"aborted"}
    assert result.aborted_reason == reason
    assert all(one.error == reason for one in result.results.values())
    assert not result.ok
    assert not result.timed_out


# Asked before every attempt


async def test_the_rules_are_asked_before_every_attempt(autojump_clock: MockClock) -> None:
    seen = []

    def rule(statistics: SafetyStatistics) -> None:
        seen.append((statistics.attempts, statistics.failures))

    async def work(args: Args) -> None:
        asked_before[args["n"]] = len(seen)
        if args["n"] == 1:
            raise ValueError("broken")

    asked_before: dict[int, int] = {}
    graph = graph_of(
        task("a", normalized_args={"n": 0}),
        task("b", "a", normalized_args={"n": 1}, max_retries=1),
        task("c", "a", normalized_args={"n": 2}, priority=-1),
    )
    result = await run_graph(graph, {"work": work}, retry=FAST, abort_monitor=monitor_of(rule))
    assert states(result) == {"a": "succeeded", "b": "failed", "c": "succeeded"}
    assert asked_before[0] < asked_before[2] < asked_before[1]
    assert {(1, 0), (2, 1), (3, 1)} <= set(seen)


async def test_a_rule_that_says_stop_keeps_the_next_attempt_from_starting() -> None:
    calls = []

    async def work(args: Args) -> None:
        calls.append(args["n"])

    graph = graph_of(
        *(task(str(n), *[str(n - 1)] * (n > 0), normalized_args={"n": n}) for n in range(5))
    )
    monitor = monitor_of(lambda statistics: "enough" if statistics.successes == 2 else None)
    result = await run_graph(graph, {"work": work}, abort_monitor=monitor)
    assert calls == [0, 1]
    assert list(states(result).values()) == ["succeeded"] * 2 + ["aborted"] * 3
    assert result.aborted_reason == "enough"


async def test_a_retry_is_not_made_once_a_rule_says_stop(autojump_clock: MockClock) -> None:
    graph = graph_of(task("a", max_retries=5))
    monitor = monitor_of(lambda statistics: "a retry" if statistics.retries else None)
    result = await run_graph(graph, {"work": raises()}, retry=FAST, abort_monitor=monitor)
    assert states(result) == {"a": "aborted"}
    assert result.results["a"].attempts == 1
    assert result.results["a"].error.startswith("a retry")
    assert trio.current_time() == 0


@pytest.mark.parametrize("answer", [True, 1.5, b"no"])
async def test_a_rule_that_gives_no_reason_in_words_stops_all_the_same(answer: object) -> None:
    result = await run_graph(
        busy_graph(), {"work": returns()}, abort_monitor=monitor_of(lambda statistics: answer)
    )
    assert result.aborted_reason is not None
    assert set(states(result).values()) == {"aborted"}


async def test_a_rule_that_raises_stops_everything() -> None:
    def crooked(statistics: SafetyStatistics) -> None:
        raise ZeroDivisionError("by my own mistake")

    result = await run_graph(busy_graph(), {"work": returns()}, abort_monitor=monitor_of(crooked))
    assert_all_aborted(result, "rule crooked raised ZeroDivisionError('by my own mistake')")


# Tripping


async def test_tripped_from_the_block_everything_ends_at_once(autojump_clock: MockClock) -> None:
    monitor = monitor_of()
    cleaned_up = []

    async def work(args: Args) -> None:
        try:
            await trio.sleep(100)
        finally:
            cleaned_up.append(trio.current_time())

    async with open_run(busy_graph(), {"work": work}, abort_monitor=monitor) as run:
        await trio.sleep(3)
        monitor.trip("the block says so")
    result = await run.wait()
    assert_all_aborted(result, "the block says so")
    assert cleaned_up == [3]
    assert trio.current_time() == 3
    assert result.results["busy"].attempts == 1
    assert result.results["cleanup"].attempts == 0


async def test_tripped_by_an_action_the_others_are_cancelled_at_once(
    autojump_clock: MockClock,
) -> None:
    monitor = monitor_of()

    async def brake(args: Args) -> None:
        await trio.sleep(2)
        monitor.trip("an action says so")
        await trio.sleep(5)

    graph = graph_of("busy", task("brake", action_name="brake"), task("next", "busy"))
    result = await run_graph(graph, {"work": sleeps(100), "brake": brake}, abort_monitor=monitor)
    assert_all_aborted(result, "an action says so")
    assert trio.current_time() == 2


@pytest.mark.parametrize("more", [(), (task("b", "a"),)])
async def test_what_the_tripping_action_returns_is_kept(more: tuple[dict[str, Any], ...]) -> None:
    monitor = monitor_of()

    async def brake(args: Args) -> str:
        monitor.trip("last words")
        return "kept"

    result = await run_graph(graph_of("a", *more), {"work": brake}, abort_monitor=monitor)
    assert list(states(result).values()) == ["succeeded", "aborted"][: 1 + len(more)]
    assert result.results["a"].response == "kept"
    assert result.aborted_reason == "last words"
    assert not result.ok


async def test_what_an_aborted_action_raises_is_kept_and_the_state_follows_the_abort(
    autojump_clock: MockClock,
) -> None:
    monitor = monitor_of()

    async def work(args: Args) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("could not clean up")

    async with open_run(graph_of("a"), {"work": work}, abort_monitor=monitor) as run:
        await trio.sleep(1)
        monitor.trip("stop")
    result = (await run.wait()).results["a"]
    assert result.state.value == "aborted"
    assert isinstance(result.exception, OSError)
    assert "stop" in result.error
    assert "could not clean up" in result.error


async def test_tripped_from_a_thread_it_ends_at_once(patient_clock: MockClock) -> None:
    monitor = monitor_of()
    started = threading.Event()

    async def work(args: Args) -> None:
        started.set()
        await trio.sleep_forever()

    def pull() -> None:
        started.wait(30)
        monitor.trip("a thread says so")

    thread = threading.Thread(target=pull)
    thread.start()
    result = await run_graph(busy_graph(), {"work": work}, abort_monitor=monitor)
    thread.join()
    assert_all_aborted(result, "a thread says so")


async def test_tripped_by_a_sync_action_in_its_thread(patient_clock: MockClock) -> None:
    monitor = monitor_of()

    def brake(args: Args) -> str:
        monitor.trip("a worker thread says so")
        return "kept"

    graph = graph_of("busy", task("brake", action_name="brake"), task("next", "brake"))
    actions = {"work": sleeps(1e6), "brake": brake}
    result = await run_graph(graph, actions, abort_monitor=monitor)
    assert result.aborted_reason == "a worker thread says so"
    # Whether the abort or the value arrived first, the value is kept.
    assert states(result) == {"busy": "aborted", "brake": "succeeded", "next": "aborted"}


async def test_tripped_in_another_trio_program_while_this_one_runs(
    patient_clock: MockClock,
) -> None:
    monitor = monitor_of()
    started = threading.Event()

    async def work(args: Args) -> None:
        started.set()
        await trio.sleep_forever()

    async def elsewhere() -> None:
        monitor.trip("another program says so")

    def pull() -> None:
        started.wait(30)
        trio.run(elsewhere)

    thread = threading.Thread(target=pull)
    thread.start()
    result = await run_graph(busy_graph(), {"work": work}, abort_monitor=monitor)
    thread.join()
    assert_all_aborted(result, "another program says so")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals")
async def test_tripped_by_a_signal_handler_it_ends_although_the_program_sleeps() -> None:
    monitor = monitor_of()
    before = signal.signal(signal.SIGALRM, lambda *_: monitor.trip("a signal says so"))
    try:
        with trio.fail_after(20):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            result = await run_graph(busy_graph(), {"work": sleeps(600)}, abort_monitor=monitor)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert_all_aborted(result, "a signal says so")


class BetweenTheSteps(trio.abc.Instrument):
    """Trips a monitor in the event loop's own code, where a signal handler may come too."""

    def __init__(self, monitor: AbortConditionMonitor) -> None:
        self.monitor, self.armed = monitor, False

    def before_io_wait(self, timeout: float) -> None:
        if self.armed:
            self.monitor.trip("between two steps")


async def test_tripped_just_before_the_event_loop_sleeps_it_does_not_sleep() -> None:
    monitor = monitor_of()
    instrument = BetweenTheSteps(monitor)

    async def work(args: Args) -> None:
        instrument.armed = True
        await trio.sleep(600)

    trio.lowlevel.add_instrument(instrument)
    try:
        with trio.fail_after(10) as patience:
            result = await run_graph(busy_graph(), {"work": work}, abort_monitor=monitor)
            assert not patience.cancel_called  # nothing but the trip has ended the sleep
    finally:
        trio.lowlevel.remove_instrument(instrument)
    assert_all_aborted(result, "between two steps")


async def test_tripped_before_the_run_nothing_starts() -> None:
    monitor = monitor_of()
    monitor.trip("too late")
    calls = []

    async def work(args: Args) -> None:
        calls.append(args)

    result = await run_graph(busy_graph(), {"work": work}, abort_monitor=monitor)
    assert_all_aborted(result, "too late")
    assert not calls
    assert all(one.attempts == 0 for one in result.results.values())


async def test_a_graph_without_tasks_is_not_aborted_by_a_tripped_monitor() -> None:
    monitor = monitor_of()
    monitor.trip("too late")
    result = await run_graph(graph_of(), {}, abort_monitor=monitor)
    assert result.ok
    assert result.aborted_reason is None


async def test_reset_arms_it_again_and_leaves_the_aborted_run_as_it_is(
    autojump_clock: MockClock,
) -> None:
    monitor = monitor_of()

    async def brake(args: Args) -> None:
        monitor.trip("first")
        monitor.reset()
        await trio.sleep(1)

    first = await run_graph(busy_graph(), {"work": brake}, abort_monitor=monitor)
    assert_all_aborted(first, "first")
    second = await run_graph(busy_graph(), {"work": nap}, abort_monitor=monitor)
    assert second.ok
    assert monitor.statistics.in_flight == 0
    monitor.trip("second")
    assert_all_aborted(
        await run_graph(busy_graph(), {"work": nap}, abort_monitor=monitor), "second"
    )


@pytest.mark.parametrize("moment", ["held", "backing off", "paused by a breaker"])
async def test_what_waits_is_aborted_too(moment: str, autojump_clock: MockClock) -> None:
    monitor = monitor_of()
    graph = {
        "held": graph_of("a", task("b", idempotent=True), task("c", idempotent=True)),
        "backing off": graph_of(task("a", max_retries=5)),
        "paused by a breaker": graph_of("a", task("b", priority=-1), max_parallel=1),
    }[moment]
    work = sleeps(50) if moment == "held" else raises()
    async with open_run(
        graph,
        {"work": work},
        abort_monitor=monitor,
        retry=RetryPolicy(base=1e6, cap=1e6),
        breaker=BreakerPolicy(window=1, threshold=1.0),
        seed=1,
    ) as run:
        await trio.sleep(5)
        monitor.trip("stop")
    assert trio.current_time() == 5
    result = await run.wait()
    assert result.aborted_reason == "stop"
    ended = {"failed"} if moment == "paused by a breaker" else set()
    assert set(states(result).values()) == {"aborted"} | ended


async def test_the_first_cause_of_an_end_holds(autojump_clock: MockClock) -> None:
    monitor = monitor_of()
    async with open_run(busy_graph(), {"work": nap}, abort_monitor=monitor) as run:
        run.cancel(reason="first")
        monitor.trip("second")
    result = await run.wait()
    assert result.aborted_reason is None
    assert set(states(result).values()) == {"cancelled"}


async def test_a_trip_after_the_end_of_a_run_changes_nothing() -> None:
    monitor = monitor_of()
    result = await run_graph(graph_of("a"), {"work": returns()}, abort_monitor=monitor)
    monitor.trip("too late")
    await trio.testing.wait_all_tasks_blocked()
    assert result.ok
    assert result.aborted_reason is None


# Budgets


async def test_a_time_budget_is_spent_at_its_very_instant(autojump_clock: MockClock) -> None:
    await trio.sleep(7)
    monitor = monitor_of(TimeBudget(12.5))
    result = await run_graph(busy_graph(), {"work": sleeps(1e6)}, abort_monitor=monitor)
    assert trio.current_time() == 7 + 12.5
    assert_all_aborted(result, "12.5 s have passed; the budget is 12.5 s")


async def test_a_time_budget_goes_on_over_the_runs_of_a_monitor(autojump_clock: MockClock) -> None:
    monitor = monitor_of(TimeBudget(10))
    first = await run_graph(graph_of("a"), {"work": sleeps(4)}, abort_monitor=monitor)
    assert first.ok
    await run_graph(graph_of("a"), {"work": sleeps(100)}, abort_monitor=monitor)
    assert trio.current_time() == 10
    monitor.reset()
    await run_graph(graph_of("a"), {"work": sleeps(100)}, abort_monitor=monitor)
    assert trio.current_time() == 20


async def test_a_run_within_its_time_budget_is_not_kept_waiting_for_it(
    autojump_clock: MockClock,
) -> None:
    monitor = monitor_of(TimeBudget(10))
    assert (await run_graph(graph_of("a"), {"work": sleeps(4)}, abort_monitor=monitor)).ok
    assert trio.current_time() == 4


async def test_a_spend_budget_is_checked_when_something_is_spent(
    autojump_clock: MockClock,
) -> None:
    monitor = monitor_of(SpendBudget(1.0))

    async def work(args: Args) -> None:
        monitor.spend(0.4)
        await trio.sleep(1)

    graph = graph_of(*"abcd", max_parallel=1)
    result = await run_graph(graph, {"work": work}, abort_monitor=monitor)
    assert list(states(result).values()) == ["succeeded"] * 2 + ["aborted"] * 2
    assert result.results["c"].attempts == 1
    assert trio.current_time() == 2
    assert monitor.statistics.spent == pytest.approx(1.2)


async def test_failures_are_counted_over_all_tasks() -> None:
    monitor = monitor_of(MaxConsecutiveFailures(2))
    graph = graph_of(*(str(n) for n in range(9)), max_parallel=1)
    result = await run_graph(graph, {"work": raises()}, breaker=None, abort_monitor=monitor)
    assert list(states(result).values()) == ["failed"] * 3 + ["aborted"] * 6
    assert monitor.statistics.to_dict() == {
        **monitor.statistics.to_dict(),
        "attempts": 3,
        "failures": 3,
        "consecutive_failures": 3,
        "in_flight": 0,
    }


# Several runs, other monitors


async def test_two_runs_under_one_monitor_end_together(autojump_clock: MockClock) -> None:
    monitor = monitor_of(lambda statistics: "three of you" if statistics.attempts == 3 else None)
    results = {}

    async def run(name: str, seconds: float) -> None:
        graph = graph_of(*"abc", graph_id=name, max_parallel=1)
        work = {"work": sleeps(seconds)}
        results[name] = await run_graph(graph, work, abort_monitor=monitor)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "fast", 1)
        nursery.start_soon(run, "slow", 1.75)
    assert trio.current_time() == 2
    assert states(results["fast"]) == {"a": "succeeded", "b": "succeeded", "c": "aborted"}
    assert states(results["slow"]) == {"a": "succeeded", "b": "aborted", "c": "aborted"}
    assert {result.aborted_reason for result in results.values()} == {"three of you"}
    assert monitor.statistics.in_flight == 0


class Duck:
    """A monitor of somebody else's."""

    def __init__(self, *answers: bool, reason: object = "quack") -> None:
        self.answers, self.reason = list(answers), reason

    def should_abort(self) -> bool:
        return self.answers.pop(0) if self.answers else False

    def get_abort_reason(self) -> Any:
        if isinstance(self.reason, Exception):
            raise self.reason
        return self.reason


async def test_another_monitor_is_asked_before_every_attempt() -> None:
    duck = Duck(False, False, False, True)
    graph = graph_of(*"abcd", max_parallel=1)
    result = await run_graph(graph, {"work": returns()}, abort_monitor=duck)
    assert result.aborted_reason == "quack"
    ended = list(states(result).values())
    assert ended == sorted(ended, reverse=True)
    assert set(ended) == {"succeeded", "aborted"}
    assert not duck.answers


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (None, "the abort monitor said so"),
        ("", "the abort monitor said so"),
        (7, "7"),
        (OSError("gone"), "the abort monitor raised OSError('gone')"),
    ],
)
async def test_a_reason_that_is_none_stops_all_the_same(reason: object, told: str) -> None:
    duck = Duck(True, reason=reason)
    result = await run_graph(busy_graph(), {"work": returns()}, abort_monitor=duck)
    assert_all_aborted(result, told)


async def test_what_another_monitor_stops_is_on_record(tmp_path: Path) -> None:
    with RawStore(tmp_path / "s.db") as store:
        result = await run_graph(
            graph_of("a"),
            {"work": returns()},
            abort_monitor=Duck(True, reason="no more"),
            store=store,
        )
        (event,) = store.list_events("run_abort")
    assert event.data == {"graph_id": "g", "run_id": result.run_id, "reason": "no more"}


async def test_another_monitor_that_raises_stops_everything() -> None:
    class Broken(Duck):
        def should_abort(self) -> bool:
            raise OSError("no answer")

    result = await run_graph(busy_graph(), {"work": returns()}, abort_monitor=Broken())
    assert_all_aborted(result, "the abort monitor raised OSError('no answer')")


# What is written down


def events(ledger: IdentityLedger) -> list[dict[str, Any]]:
    ledger.verify()
    return [dict(entry.event) for entry in ledger.entries()]


async def test_the_ledger_hears_of_breakers_the_budget_and_the_abort(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    ledger = IdentityLedger(tmp_path / "ledger.jsonl")
    monitor = monitor_of(TimeBudget(100), ledger=ledger)
    graph = graph_of("a", task("b", max_retries=3), max_parallel=2, max_retry_tokens=1)
    graph.add_task("c", "slow", idempotent=False)
    await run_graph(
        graph,
        {"work": raises(), "slow": sleeps(1e6)},
        abort_monitor=monitor,
        retry=FAST,
        breaker=BreakerPolicy(window=2, threshold=1.0),
    )
    kinds = [event["kind"] for event in events(ledger)]
    assert "breaker" in kinds
    assert kinds.count("retry_budget") == 1
    assert kinds[-2:] == ["safety_trip", "run_abort"]
    moves = [e for e in events(ledger) if e["kind"] == "breaker"]
    assert {"action": "work", "before": "CLOSED", "after": "OPEN"}.items() <= moves[0].items()


async def test_the_store_of_the_run_hears_of_the_abort(
    tmp_path: Path, patient_clock: MockClock
) -> None:
    with RawStore(tmp_path / "s.db") as store:
        monitor = monitor_of(raw_store=store)

        async def brake(args: Args) -> None:
            monitor.trip("stop")
            await trio.sleep(1)

        await run_graph(busy_graph(), {"work": brake}, abort_monitor=monitor, store=store)
        (event,) = store.list_events("safety_trip")
        assert event.data["reason"] == "stop"
        (run,) = store.list_runs()
        (ended,) = store.list_events("run_abort")
        assert ended.data == {"graph_id": "g", "run_id": run.run_id, "reason": "stop"}
        assert run.state == "aborted"
        assert run.states["aborted"] == 4
        rows = store.list_task_executions(run.run_id, state="aborted")
        assert {row.task_id for row in rows} == {"busy", "ready", "next", "cleanup"}
        assert {row.error for row in rows} == {"stop"}


async def test_breakers_of_a_scheduler_write_into_the_ledger(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    ledger = IdentityLedger(tmp_path / "ledger.jsonl")
    scheduler = create_task_scheduler(
        tmp_path / "space",
        abort_monitor=monitor_of(ledger=ledger),
        breaker=BreakerPolicy(window=1, threshold=1.0),
    )
    await scheduler.execute_graph(graph_of("a"), {"work": raises()})
    assert [event["kind"] for event in events(ledger)] == ["breaker"]


INTERRUPTED = """
import os, signal
import trio
from tgtrio import AbortConditionMonitor, BreakerPolicy, IdentityLedger, TaskGraph, run_graph

monitor = AbortConditionMonitor(ledger=IdentityLedger({path!r}), rules=[])
monitor.subscribe(lambda reason: os.kill(os.getpid(), signal.SIGINT))

async def work(args):
    raise ValueError("broken")

async def brake(args):
    monitor.trip("stop")
    print("not reached")

graph = TaskGraph("g", max_parallel=1)
graph.add_task("a", "work", max_retries=0)
graph.add_task("b", "brake", dependencies=["a"], on_dep_fail="always")
breaker = BreakerPolicy(window=1, threshold=1.0)
actions = {{"work": work, "brake": brake}}
try:
    trio.run(lambda: run_graph(graph, actions, breaker=breaker, abort_monitor=monitor))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(os.name == "nt", reason="os.kill sends no Ctrl-C there")
def test_an_interrupt_loses_no_event_of_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    done = run_script(INTERRUPTED.format(path=str(path)))
    assert done.stdout == "interrupted\n", done.stderr
    assert [event["kind"] for event in events(IdentityLedger(path))] == ["breaker", "safety_trip"]
