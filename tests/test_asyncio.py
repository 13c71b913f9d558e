"""Graphs that an asyncio program runs on its own loop, by Trio's guest mode."""

from __future__ import annotations

import asyncio
import functools
import gc
import random
import threading
import weakref
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from tgtrio import (
    EventLoopError,
    GraphRunningError,
    RawStore,
    RetryPolicy,
    TaskGraph,
    UnknownActionError,
    run_graph,
    run_in_asyncio,
)

from .loops import run, started, until
from .runs import Args, graph_of, nap, raises, returns, run_script, sleeps, states, task


@pytest.fixture
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guest runs whose clock jumps; asyncio's own clock is a real one."""
    start = trio.lowlevel.start_guest_run

    def start_with_clock(*args: Any, **options: Any) -> None:
        start(*args, clock=MockClock(autojump_threshold=0.01), **options)

    monkeypatch.setattr(trio.lowlevel, "start_guest_run", start_with_clock)


# What it does


def test_it_runs_a_graph_and_returns_the_result() -> None:
    async def main() -> None:
        graph = graph_of("a", task("b", "a", action_name="thread"))
        threads = []

        def thread(args: Args) -> None:
            threads.append(trio.from_thread.run_sync(threading.get_ident))

        result = await run_in_asyncio(graph, {"work": returns(1), "thread": thread})
        assert states(result) == {"a": "succeeded", "b": "succeeded"}
        assert threads == [threading.get_ident()]

    run(main)


def test_the_loop_goes_on_meanwhile(virtual_time: None) -> None:
    async def main() -> None:
        heard = asyncio.Event()

        async def work(args: Args) -> None:
            heard.set()
            await trio.sleep(1)

        call = asyncio.ensure_future(run_in_asyncio(graph_of("a"), {"work": work}))
        await heard.wait()
        assert not call.done()
        assert (await call).elapsed_ms == 1000

    run(main)


def test_options_are_those_of_run_graph(virtual_time: None, tmp_path: Path) -> None:
    async def main() -> None:
        graph = graph_of("a", {"task_id": "b", "max_retries": 2})
        with RawStore(tmp_path / "runs.db") as store:
            result = await run_in_asyncio(
                graph, {"work": raises()}, retry=RetryPolicy(base=1.0), store=store, run_id="r"
            )
            assert [one.run_id for one in store.list_runs()] == ["r"]
        assert result.results["b"].attempts == 3

    run(main)


def test_context_variables_of_the_caller_reach_the_actions() -> None:
    variable: ContextVar[str] = ContextVar("variable")

    async def main() -> None:
        async def work(args: Args) -> str:
            return variable.get()

        variable.set("here")
        result = await run_in_asyncio(graph_of("a"), {"work": work})
        assert result.results["a"].response == "here"

    run(main)


def test_a_graph_can_be_run_again_and_again() -> None:
    async def main() -> None:
        graph = graph_of("a")
        for _ in range(20):
            assert (await run_in_asyncio(graph, {"work": returns()})).ok

    run(main)
    run(main)


def test_each_thread_may_have_a_loop_with_runs() -> None:
    async def main() -> None:
        assert (await run_in_asyncio(graph_of("a"), {"work": returns()})).ok

    threads = [threading.Thread(target=run, args=[main]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_run_that_is_over_leaves_no_thread_of_its_own() -> None:
    async def main() -> None:
        await run_in_asyncio(graph_of("a"), {"work": lambda args: None})

    run(main)
    assert {t.name for t in threading.enumerate() if not t.daemon} == {"MainThread"}


def test_it_is_not_kept_alive() -> None:
    loops: list[weakref.ref[object]] = []

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await run_in_asyncio(graph_of("a"), {"work": returns()})

    run(main)
    gc.collect()
    assert loops[0]() is None


# What it refuses


def test_refusals_leave_bare() -> None:
    async def main() -> None:
        graph = graph_of("a")
        with pytest.raises(UnknownActionError, match="'work'"):
            await run_in_asyncio(graph, {})
        with pytest.raises(TypeError, match="max_paralel"):
            await run_in_asyncio(graph, {"work": nap}, max_paralel=3)  # type: ignore[call-arg]
        call = await started(graph, work=sleeps(1000))
        with pytest.raises(GraphRunningError):
            await run_in_asyncio(graph, {"work": nap})
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    run(main)


async def test_a_trio_task_is_told_to_use_run_graph() -> None:
    with pytest.raises(EventLoopError, match=r"await tgtrio\.run_graph"):
        await run_in_asyncio(graph_of("a"), {"work": nap})


def test_so_is_an_action_of_such_a_run() -> None:
    async def work(args: Args) -> None:
        await run_in_asyncio(graph_of("a"), {"work": nap})

    async def main() -> None:
        result = await run_in_asyncio(graph_of("a"), {"work": work})
        assert result.results["a"].error.startswith("EventLoopError: this is a Trio task")

    run(main)


def test_without_a_loop_it_says_where_to_begin() -> None:
    coroutine = run_in_asyncio(graph_of("a"), {"work": nap})
    with pytest.raises(EventLoopError, match=r"begin with asyncio\.run"):
        coroutine.send(None)


def test_a_guest_run_of_somebody_else_is_left_alone() -> None:
    async def main() -> None:
        loop, over, stop = asyncio.get_running_loop(), asyncio.Event(), trio.Event()
        trio.lowlevel.start_guest_run(
            stop.wait,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=lambda outcome: over.set(),
            host_uses_signal_set_wakeup_fd=True,
        )
        with pytest.raises(EventLoopError, match="a Trio run already"):
            await run_in_asyncio(graph_of("a"), {"work": nap})
        stop.set()
        await over.wait()
        assert (await run_in_asyncio(graph_of("a"), {"work": returns()})).ok

    run(main)


# Several at once


def test_runs_at_once_share_a_trio_run(virtual_time: None) -> None:
    async def main() -> None:
        limiter = trio.CapacityLimiter(2)
        graphs = [graph_of("a", "b", "c", "d", graph_id=str(n)) for n in range(3)]
        results = await asyncio.gather(
            *(run_in_asyncio(graph, {"work": nap}, max_parallel=limiter) for graph in graphs)
        )
        assert all(result.ok for result in results)
        assert max(result.elapsed_ms for result in results) == 6000  # 12 tasks, 2 at once

    run(main)


def test_one_that_comes_while_the_last_one_ends_has_a_run_of_its_own() -> None:
    async def main() -> None:
        async def one(n: int) -> bool:
            for _ in range(n):
                await asyncio.sleep(0)
            return (await run_in_asyncio(graph_of("a"), {"work": returns()})).ok

        assert all(await asyncio.gather(*map(one, range(60))))

    run(main)


def test_one_that_is_cancelled_leaves_the_others_alone(virtual_time: None) -> None:
    async def main() -> None:
        first, second = graph_of("a"), graph_of("a")
        one, other = await started(first, work=sleeps(10)), await started(second, work=nap)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        assert first.get_stats()["states"]["cancelled"] == 1
        assert (await other).ok

    run(main)


# How it ends


def test_cancelling_the_asyncio_task_cancels_the_run_and_waits_for_it(virtual_time: None) -> None:
    async def main() -> None:
        graph = graph_of("busy", task("never", "busy", on_dep_fail="always"))
        cleaned_up = []

        async def work(args: Args) -> None:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(5)
                cleaned_up.append(1)

        call = await started(graph, work=work)
        call.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await call
        assert cleaned_up == [1]
        assert graph.get_stats()["states"]["cancelled"] == 2

    run(main)


def test_who_cancels_again_waits_all_the_same(virtual_time: None) -> None:
    async def main() -> None:
        ended = []

        async def work(args: Args) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
            ended.append(1)

        call = await started(graph_of("a"), work=work)
        while not call.done():
            call.cancel()
            await asyncio.sleep(0)
        assert call.cancelled()
        assert ended == [1]

    run(main)


def test_a_timeout_of_asyncio_comes_as_one(virtual_time: None) -> None:
    async def main() -> None:
        graph = graph_of("a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await run_in_asyncio(graph, {"work": sleeps(1e9)})
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0

    run(main)


def test_a_task_group_that_fails_takes_its_runs_with_it(virtual_time: None) -> None:
    async def main() -> None:
        graph = graph_of("a")

        async def fail() -> None:
            await until(lambda: graph.get_stats()["running_tasks"])
            raise OSError("elsewhere")

        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(run_in_asyncio(graph, {"work": sleeps(1e9)}))
                group.create_task(fail())
        assert graph.get_stats()["states"]["cancelled"] == 1

    run(main)


def test_a_run_that_was_cancelled_is_resumed(tmp_path: Path) -> None:
    async def main() -> None:
        graph, calls = graph_of("a", task("b", "a", action_name="slow")), []

        async def work(args: Args) -> None:
            calls.append(1)

        with RawStore(tmp_path / "runs.db") as store:
            actions = {"work": work, "slow": sleeps(1e9)}
            call = asyncio.ensure_future(run_in_asyncio(graph, actions, store=store))
            await until(lambda: graph.get_stats()["states"]["succeeded"])
            call.cancel()
            await asyncio.wait([call])
            assert (await run_in_asyncio(graph, {**actions, "slow": nap}, store=store)).ok
        assert calls == [1]

    run(main)


@pytest.mark.parametrize("seed", range(5))
def test_a_storm_of_cancellations_leaves_nothing_behind(seed: int, virtual_time: None) -> None:
    rng = random.Random(seed)

    async def main() -> None:
        graphs = [graph_of(*map(str, range(5)), graph_id=str(n)) for n in range(40)]

        async def work(args: Args) -> None:
            await trio.sleep(rng.random())

        async def call(graph: TaskGraph) -> None:
            for _ in range(rng.randrange(20)):
                await asyncio.sleep(0)
            await run_in_asyncio(graph, {"work": work}, max_parallel=2)

        calls = [asyncio.ensure_future(call(graph)) for graph in graphs]
        for one in rng.choices(calls, k=60):
            for _ in range(rng.randrange(20)):
                await asyncio.sleep(0)
            one.cancel()
        await asyncio.wait(calls)
        assert any(one.cancelled() for one in calls)
        for one in calls:
            assert one.cancelled() or one.exception() is None
        for graph in graphs:
            assert graph.get_stats()["running_tasks"] == 0

    run(main)


# Ctrl-C, and whatever else no action may swallow


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_leaves_when_nothing_is_left(error: type[BaseException]) -> None:
    other, cleaned_up = graph_of("a"), []

    async def wait(args: Args) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cleaned_up.append(trio.lowlevel.in_trio_run())

    async def main() -> None:
        call = await started(other, work=wait)
        try:
            await run_in_asyncio(graph_of("a"), {"work": raises(error)})
        except error:
            assert cleaned_up == [True]
            assert not trio.lowlevel.in_trio_run()
            with pytest.raises(asyncio.CancelledError, match="was interrupted"):
                await call
            raise

    with pytest.raises(error):
        asyncio.run(main())
    assert other.get_stats()["states"]["cancelled"] == 1


INTERRUPTED = """
import asyncio, signal, trio
from tgtrio import TaskGraph, run_in_asyncio
graph = TaskGraph("g")
graph.add_tasks({"task_id": str(n), "action_name": "work"} for n in range(3))

async def work(args):
    signal.raise_signal(signal.SIGINT)
    try:
        await trio.sleep_forever()
    finally:
        print("cleaned up")

async def main():
    try:
        await run_in_asyncio(graph, {"work": work}, max_parallel=1, idempotent=False)
    finally:
        print(graph.get_stats()["states"]["cancelled"], trio.lowlevel.in_trio_run())

try:
    %s
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_under_asyncio_run_cancels_first() -> None:
    ended = run_script(INTERRUPTED % "asyncio.run(main())")
    assert ended.stderr == ""
    assert ended.stdout == "cleaned up\n3 False\ninterrupted\n"


def test_ctrl_c_under_a_loop_that_does_not_hear_it_is_raised_by_the_run() -> None:
    """Nobody but Trio listens to the signal then, and the action is where it is raised."""
    ended = run_script(INTERRUPTED % "asyncio.new_event_loop().run_until_complete(main())")
    assert ended.stdout.splitlines() == ["3 False", "interrupted"]


def test_ctrl_c_that_comes_between_the_actions_is_raised_by_the_run() -> None:
    async def main() -> None:
        graph = graph_of("a")
        call = await started(graph, work=sleeps(1e9))
        trio._core._run.GLOBAL_RUN_CONTEXT.runner.deliver_ki()  # what Trio's signal handler calls
        with pytest.raises(KeyboardInterrupt):
            await asyncio.shield(call)
        assert graph.get_stats()["states"]["cancelled"] == 1

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


# Beside Trio's own way


def test_the_result_is_that_of_run_graph(virtual_time: None) -> None:
    graph = graph_of("a", task("b", action_name="bad"), task("c", "b"), task("d", "a"))
    actions = {"work": nap, "bad": raises()}
    from_asyncio = run(functools.partial(run_in_asyncio, graph, actions))
    from_trio = trio.run(
        functools.partial(run_graph, graph, actions), clock=MockClock(autojump_threshold=0)
    )
    assert states(from_asyncio) == states(from_trio)
    assert from_asyncio.elapsed_ms == from_trio.elapsed_ms
    assert from_asyncio.statistics == from_trio.statistics
