"""How runs with plain functions in threads end, and what they leave."""

from __future__ import annotations

import gc
import textwrap
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
import trio

from tgtrio import AbortConditionMonitor, RawStore, open_run
from tgtrio._engine import Engine

from .lanes import LONG, Gate, keep_trio_busy, run, wait_until_cancelled
from .runs import Args, graph_of, run_script, states, task

# the end of the run


@pytest.mark.parametrize("ending", ["cancel", "outside", "timeout", "trip", "block"])
async def test_what_ends_the_run_stops_functions_that_ask(ending: str) -> None:
    called = threading.Barrier(4)

    def work(args: Args) -> None:
        called.wait(LONG)
        wait_until_cancelled()

    monitor = AbortConditionMonitor(rules=[])
    watch = monitor if ending == "trip" else None
    graph = graph_of(*"abcd", max_parallel=3, graph_timeout_ms=30 if ending == "timeout" else None)
    try:
        with trio.fail_after(LONG), trio.CancelScope() as scope:
            async with open_run(graph, {"work": work}, abort_monitor=watch) as handle:
                await trio.to_thread.run_sync(called.wait, LONG)
                if ending == "cancel":
                    handle.cancel()
                elif ending == "outside":
                    scope.cancel()
                elif ending == "trip":
                    threading.Thread(target=monitor.trip, args=["enough"]).start()
                elif ending == "block":
                    raise ZeroDivisionError
                await handle.wait()
    except ZeroDivisionError:
        assert ending == "block"
    expected = "aborted" if ending == "trip" else "cancelled"
    assert states(await handle.wait()) == dict.fromkeys("abcd", expected)


async def test_cancelled_from_outside_functions_do_not_fail_though_trio_hears_of_them_first() -> (
    None
):
    def work(args: Args) -> None:
        gate.called.set()
        wait_until_cancelled()

    for _ in range(10):
        gate = Gate()
        graph = graph_of("a", "b")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, graph, {"work": work})
            await gate.until_called()
            nursery.cancel_scope.cancel()
            keep_trio_busy(0.005)
        assert graph.get_stats()["states"]["cancelled"] == 2


async def test_drained_functions_run_to_their_ends() -> None:
    gate = Gate(lambda: "value")
    with trio.fail_after(LONG):
        async with open_run(graph_of("a", "b", max_parallel=1), {"work": gate}) as handle:
            await gate.until_called()
            threading.Timer(0.01, gate.may_end.set).start()
            result = await handle.drain()
    assert states(result) == {"a": "succeeded", "b": "cancelled"}
    assert not result.results["a"].late


async def test_a_drain_does_not_wait_for_what_will_not_be_awaited_any_more() -> None:
    """What a function returned after the drain is awaited, or closed: it is not forgotten."""

    async def later() -> str:
        return "value"

    gate = Gate(later)
    with trio.fail_after(LONG):
        async with open_run(graph_of("a"), {"work": gate}) as handle:
            await gate.until_called()
            threading.Timer(0.01, gate.may_end.set).start()
            result = await handle.drain()
    assert states(result)["a"] in ("succeeded", "cancelled")
    gc.collect()  # a coroutine that was never awaited would warn now


class Boom(BaseException):
    pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Boom, GeneratorExit])
async def test_what_no_function_may_swallow_leaves_the_run_bare(
    error: type[BaseException],
) -> None:
    other = Gate()

    def bad(args: Args) -> None:
        other.called.wait(LONG)
        raise raised

    def work(args: Args) -> None:
        other.called.set()
        wait_until_cancelled()

    raised = error("stop")
    graph = graph_of("a", task("bad", action_name="bad"), task("never", "bad"))
    with pytest.raises(error) as caught:
        await run(graph, {"work": work, "bad": bad})
    assert caught.value is raised
    assert graph.get_stats()["states"]["cancelled"] == 3
    assert (await run(graph, {"work": lambda args: 1, "bad": lambda args: 1})).ok


async def test_a_run_that_looks_for_a_deadlock_is_not_misled_by_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread may take the last task in the middle of the search."""
    search: Any = Engine._refuse_to_hang

    def slowly(self: Engine, parts: Any) -> None:
        time.sleep(0.0005)
        search(self, parts)

    async def nothing(args: Args) -> None:
        pass

    monkeypatch.setattr(Engine, "_refuse_to_hang", slowly)
    actions = {"work": lambda args: time.sleep(0.001), "async": nothing}
    chain = (
        task(str(n), *([str(n - 1)] if n else []), action_name=("work", "async")[n % 2])
        for n in range(20)
    )
    assert (await run(graph_of(*chain), actions)).ok


CTRL_C = """
import os, signal, threading, time
import trio
from tgtrio import TaskGraph, run_graph

graph = TaskGraph("g", max_parallel=3)
for n in range(20):
    graph.add_task(str(n), "work", max_retries=0, idempotent=False)
called = threading.Barrier(3, action=lambda: os.kill(os.getpid(), signal.SIGINT))

def work(args):
    called.wait(10)
    while True:
        trio.from_thread.check_cancelled()
        {body}

try:
    trio.run(run_graph, graph, {"work": work})
except KeyboardInterrupt:
    print(graph.get_stats()["states"]["cancelled"])
"""


@pytest.mark.parametrize("body", ["time.sleep(0.001)", "pass"])
def test_ctrl_c_stops_functions_that_ask(body: str) -> None:
    done = run_script(textwrap.dedent(CTRL_C).replace("{body}", body), timeout=LONG)
    assert (done.stdout, done.stderr) == ("20\n", "")


# what is written down, and what is left


@pytest.mark.parametrize("durability", ["batch", "task"])
async def test_the_store_keeps_what_functions_return(durability: Any, tmp_path: Path) -> None:
    calls: list[int] = []

    def work(args: Args) -> int:
        calls.append(args["n"])
        if args["n"] == 30 and len(calls) < 40:
            raise SystemExit
        return int(args["n"])

    graph = graph_of(*(task(str(n), normalized_args={"n": n}) for n in range(40)), max_parallel=1)
    with RawStore(tmp_path / "runs.db", durability=durability) as store:
        with pytest.raises(SystemExit):
            await run(graph, {"work": work}, store=store)
        assert calls == list(range(31))
        calls += [-1] * 20  # the next time it works
        result = await run(graph, {"work": work}, store=store)
    assert [one.response for one in result.results.values()] == list(range(40))
    assert calls[51:] == list(range(30, 40))


async def test_the_figures_can_be_read_in_any_thread_meanwhile() -> None:
    over, seen = threading.Event(), []

    def poll() -> None:
        while not over.is_set():
            seen.append(handle.statistics())
            time.sleep(0.0001)

    def work(args: Args) -> None:
        time.sleep(0.0001)

    graph = graph_of(*map(str, range(200)), max_parallel=4)
    with trio.fail_after(LONG):
        async with open_run(graph, {"work": work}) as handle:
            poller = threading.Thread(target=poll)
            poller.start()
            await handle.wait()
            over.set()
            poller.join()
    assert all(sum(figures["states"].values()) == 200 for figures in seen)
    assert max(figures["running_tasks"] for figures in seen) <= 4


async def test_no_trio_task_and_no_busy_thread_is_left() -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    lanes: set[threading.Thread] = set()

    def work(args: Args) -> None:
        lanes.add(threading.current_thread())
        barrier.wait(LONG)

    for _ in range(3):
        barrier = threading.Barrier(8)
        assert (await run(graph_of(*map(str, range(8)), max_parallel=8), {"work": work})).ok
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert len(lanes) <= 16  # they went back to Trio, which lent them again


def test_a_run_that_is_over_goes_at_once_and_not_when_the_collector_comes() -> None:
    engines: list[weakref.ref[object]] = []

    def work(args: Args) -> None:
        if args["n"]:
            raise ValueError

    async def main() -> None:
        tasks = (task(str(n), normalized_args={"n": n}) for n in range(2))
        async with open_run(graph_of(*tasks), {"work": work}) as handle:
            engines.append(weakref.ref(handle._engine))

    gc.disable()
    try:
        trio.run(main)
        assert engines[0]() is None
    finally:
        gc.enable()
