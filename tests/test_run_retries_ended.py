"""What ends a back-off before its time: the task is not tried again, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import AbortConditionMonitor, RetryPolicy, Run, TaskGraph, open_run, run_graph

from .runs import counting_turns, graph_of, raises, run_script, sleeps, task
from .services import Exactly, Service, job, jobs

FOUR_SECONDS = Exactly(max_retries=9, base=4, cap=4)


def backing_off(**fields: Any) -> TaskGraph:
    return graph_of(job("a", **{"max_retries": None, **fields}), graph_timeout_ms=60_000)


@pytest.mark.parametrize(
    ("end", "state", "elapsed"),
    [
        (lambda run, monitor: run.cancel("a", reason="why"), "cancelled", 5_000),
        (lambda run, monitor: run.cancel(reason="why"), "cancelled", 5_000),
        (lambda run, monitor: monitor.trip("why"), "aborted", 5_000),
        (lambda run, monitor: None, "cancelled", 60_000),
    ],
    ids=["cancel task", "cancel run", "safety", "graph timeout"],
)
async def test_a_back_off_is_ended_at_once(
    end: Callable[[Run, AbortConditionMonitor], None],
    state: str,
    elapsed: float,
    autojump_clock: MockClock,
) -> None:
    policy, monitor = Exactly(base=100, cap=100), AbortConditionMonitor(rules=())
    service = Service(then=raises())
    async with open_run(
        backing_off(), {"work": service}, retry=policy, abort_monitor=monitor
    ) as run:
        await trio.sleep(5)
        end(run, monitor)
    result = await run.wait()
    one = result.results["a"]
    assert (one.state.value, one.attempts, len(service.calls)) == (state, 1, 1)
    assert result.elapsed_ms == elapsed
    assert ("why" in one.error) or result.timed_out
    assert result.statistics["retry_tokens_used"] == 1


async def test_a_back_off_that_was_cancelled_wakes_nobody_up(autojump_clock: MockClock) -> None:
    graph = graph_of(*jobs(50, max_retries=None), task("long", action_name="long"))
    policy = RetryPolicy(base=1000, cap=1000)
    actions = {"work": raises(), "long": sleeps(1e6)}
    async with open_run(graph, actions, retry=policy, breaker=None, max_parallel=9) as run:
        await trio.sleep(0.001)
        for n in range(50):
            run.cancel(str(n))
        with counting_turns() as counter:
            await trio.sleep(5000)
        assert counter.turns <= 9
        run.cancel()


async def test_a_back_off_that_is_cancelled_keeps_what_the_last_attempt_failed_with(
    autojump_clock: MockClock,
) -> None:
    async with open_run(backing_off(), {"work": raises()}, retry=FOUR_SECONDS) as run:
        await trio.sleep(1)
        run.cancel("a")
    one = (await run.wait()).results["a"]
    assert "was cancelled" in one.error
    assert "ValueError: broken" in one.error
    assert isinstance(one.exception, ValueError)
    assert "ValueError: broken" in one.traceback


async def test_a_deadline_that_expires_ends_the_back_off_on_time(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = backing_off(deadline=wall_start + timedelta(seconds=10), expire_at_deadline=True)
    service = Service(then=raises())
    result = await run_graph(graph, {"work": service}, retry=FOUR_SECONDS)
    one = result.results["a"]
    assert (one.state.value, one.attempts, service.times) == ("failed", 3, [0, 4, 8])
    assert result.elapsed_ms == 10_000
    assert "DeadlineExpiredError" in one.error
    assert "ValueError: broken" in one.error


async def test_a_deadline_that_only_orders_does_not_end_a_back_off(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    graph = backing_off(deadline=wall_start + timedelta(seconds=2))
    result = await run_graph(graph, {"work": Service(raises())}, retry=FOUR_SECONDS)
    assert result.ok
    assert result.results["a"].deadline_missed


async def test_the_surrounding_scope_ends_a_back_off(autojump_clock: MockClock) -> None:
    graph = backing_off()
    with trio.move_on_after(3) as scope:
        await run_graph(graph, {"work": raises()}, retry=FOUR_SECONDS)
    assert scope.cancelled_caught
    assert trio.current_time() == 3
    assert graph.get_stats()["states"]["cancelled"] == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_of_another_task_ends_a_back_off(
    error: type[BaseException], autojump_clock: MockClock
) -> None:
    async def interrupt(args: dict[str, Any]) -> None:
        await trio.sleep(1)
        raise error

    graph = graph_of(job("a", max_retries=None), task("b", action_name="interrupt"))
    with pytest.raises(error):
        await run_graph(graph, {"work": raises(), "interrupt": interrupt}, retry=FOUR_SECONDS)
    assert trio.current_time() == 1
    assert graph.get_stats()["states"]["cancelled"] == 2


@pytest.mark.parametrize("how", ["drain", "timeout", "cancel run", "abort", "cancel task"])
async def test_a_back_off_that_the_end_of_the_run_cuts_short_keeps_its_last_failure(
    how: str, autojump_clock: MockClock, wall_start: datetime
) -> None:
    monitor = AbortConditionMonitor(rules=())
    deadline = wall_start + timedelta(seconds=4)
    graph = graph_of(job("a", max_retries=None, deadline=deadline), graph_timeout_ms=5000)
    options: Any = {"retry": Exactly(base=100, cap=100), "abort_monitor": monitor}
    async with open_run(graph, {"work": raises()}, **options) as run:
        await trio.sleep(4.5)
        if how == "drain":
            await run.drain()
        elif how == "abort":
            monitor.trip("x")
        elif how != "timeout":
            run.cancel("a" if how == "cancel task" else None)
    one = (await run.wait()).results["a"]
    assert "its last attempt failed with ValueError: broken" in one.error
    assert isinstance(one.exception, ValueError)
    assert one.deadline_missed
    assert one.finished_at == wall_start + timedelta(seconds=5 if how == "timeout" else 4.5)
    assert one.execution_time_ms == 0


async def test_a_task_that_expires_while_it_backs_off_has_missed_its_deadline(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    deadline = wall_start + timedelta(seconds=10)
    graph = graph_of(job("a", max_retries=None, deadline=deadline, expire_at_deadline=True))
    policy = Exactly(max_retries=9, base=4, cap=4)
    one = (await run_graph(graph, {"work": raises()}, retry=policy)).results["a"]
    assert (one.deadline_missed, one.finished_at) == (True, deadline)


SCRIPT = """
import os, signal, threading
import trio
from tgtrio import RetryPolicy, TaskGraph, run_graph

graph = TaskGraph("g")
for n in range(50):
    graph.add_task(str(n), "work", {"n": n})

async def work(args):
    raise ValueError

async def main():
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    await run_graph(graph, {"work": work}, retry=RetryPolicy(base=1e6, cap=1e6), breaker=None)

try:
    trio.run(main)
except KeyboardInterrupt:
    print("interrupted:", graph.get_stats()["states"])
"""


def test_ctrl_c_ends_a_run_in_which_everything_backs_off() -> None:
    result = run_script(SCRIPT)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("interrupted:")
    assert "'cancelled': 50" in result.stdout
