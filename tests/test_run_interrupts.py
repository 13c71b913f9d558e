"""KeyboardInterrupt, SystemExit and whatever else no action may swallow."""

from __future__ import annotations

import signal
import textwrap
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import Actions, open_run, run_graph

from .runs import graph_of, nap, raises, run_script, sleeps, states, task


class Boom(BaseException):
    pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Boom, GeneratorExit])
@pytest.mark.parametrize("delay", [0, 1])
async def test_it_leaves_the_run_bare_after_everything_has_been_cancelled(
    error: type[BaseException], delay: float, autojump_clock: MockClock
) -> None:
    raised = error("stop")
    cleaned_up = []

    async def interrupt(args: dict[str, Any]) -> None:
        await trio.sleep(delay)
        raise raised

    async def work(args: dict[str, Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cleaned_up.append(1)

    graph = graph_of(
        "busy",
        task("bad", action_name="interrupt"),
        "ready",
        task("never", "bad", on_dep_fail="always"),
        max_parallel=2,
    )
    living = trio.lowlevel.current_statistics().tasks_living
    with pytest.raises(error) as caught:
        await run_graph(graph, {"work": work, "interrupt": interrupt})
    assert caught.value is raised
    assert cleaned_up == [1]
    assert graph.get_stats()["states"]["cancelled"] == 4
    assert trio.lowlevel.current_statistics().tasks_living == living
    assert (await run_graph(graph, {"work": nap, "interrupt": nap})).ok


async def test_the_handle_has_the_result_all_the_same(autojump_clock: MockClock) -> None:
    graph = graph_of("done", task("bad", "done", action_name="bad"), task("never", "bad"))
    with pytest.raises(KeyboardInterrupt):
        async with open_run(graph, {"work": nap, "bad": raises(KeyboardInterrupt)}) as run:
            await trio.sleep_forever()
    result = await run.wait()
    assert states(result) == {"done": "succeeded", "bad": "cancelled", "never": "cancelled"}
    assert "KeyboardInterrupt" in result.results["never"].error
    assert not result.ok


async def test_an_inline_action_can_interrupt() -> None:
    actions = Actions()

    @actions.register("work", inline=True)
    def work(args: dict[str, Any]) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        await run_graph(graph_of("a"), actions)
    assert caught.value.code == 3


async def test_an_action_in_a_thread_can_interrupt() -> None:
    def work(args: dict[str, Any]) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        await run_graph(graph_of("a"), {"work": work})
    assert caught.value.code == 3


async def test_alone_in_the_group_of_an_inner_nursery_it_is_bare() -> None:
    async def work(args: dict[str, Any]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(raises(KeyboardInterrupt), {})
            nursery.start_soon(trio.sleep_forever)

    with pytest.raises(KeyboardInterrupt):
        await run_graph(graph_of("a"), {"work": work})


async def test_with_others_it_comes_in_a_group(autojump_clock: MockClock) -> None:
    async def work(args: dict[str, Any]) -> None:
        try:
            await trio.sleep(1)
        finally:
            raise SystemExit(args["n"])

    graph = graph_of(*(task(str(n), normalized_args={"n": n}) for n in range(3)))
    with pytest.raises(BaseExceptionGroup) as caught:
        await run_graph(graph, {"work": work})
    assert {error.code for error in caught.value.exceptions if isinstance(error, SystemExit)} == {
        0,
        1,
        2,
    }


async def test_raised_while_the_surrounding_scope_is_cancelled_it_is_not_lost(
    autojump_clock: MockClock,
) -> None:
    async def work(args: dict[str, Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), trio.move_on_after(1):
        await run_graph(graph_of("a"), {"work": work})


@pytest.mark.parametrize("way", ["task", "run", "timeout", "block"])
async def test_raised_while_being_cancelled_it_is_not_lost(
    way: str, autojump_clock: MockClock
) -> None:
    async def work(args: dict[str, Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    graph = graph_of("a", graph_timeout_ms=1000 if way == "timeout" else None)
    with pytest.raises(BaseException) as caught:
        async with open_run(graph, {"work": work}) as run:
            await trio.sleep(0.5)
            if way == "task":
                run.cancel("a")
            elif way == "run":
                run.cancel()
            elif way == "block":
                raise ValueError
    error = caught.value
    if way == "block":
        assert isinstance(error, BaseExceptionGroup)
        assert {type(one) for one in error.exceptions} == {ValueError, KeyboardInterrupt}
    else:
        assert isinstance(error, KeyboardInterrupt)
    assert not (await run.wait()).ok


async def test_in_a_nursery_that_an_action_left_open_it_is_not_lost(
    autojump_clock: MockClock,
) -> None:
    async def work(args: dict[str, Any]) -> None:
        nursery = await trio.open_nursery().__aenter__()
        nursery.start_soon(raises(KeyboardInterrupt), {})

    with pytest.raises(KeyboardInterrupt):
        await run_graph(graph_of("a"), {"work": work})


# a real SIGINT


@pytest.mark.parametrize("inline", [False, True])
async def test_ctrl_c_stops_an_action_that_spins(inline: bool) -> None:
    def spin(args: dict[str, Any]) -> None:
        signal.raise_signal(signal.SIGINT)
        while True:
            pass

    async def spin_async(args: dict[str, Any]) -> None:
        spin(args)

    actions = Actions()
    actions.register("work", spin if inline else spin_async, inline=inline)
    graph = graph_of("a", "b")
    with pytest.raises(KeyboardInterrupt):
        await run_graph(graph, actions)
    assert graph.get_stats()["states"]["cancelled"] == 2


SCRIPT = """
import os, signal, threading, time
import trio
from tgtrio import TaskGraph, open_run, run_graph

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

graph = TaskGraph("g", max_parallel=50)
for n in range(100):
    graph.add_task(str(n), "work", max_retries=0, idempotent=False)
graph.add_task("last", "work", dependencies=["0"], on_dep_fail="always", max_retries=0)

{action}

def interrupt_the_run():
    states = graph.get_stats()["states"]
    while states["ready"] + states["running"] == 0:  # to set up a large one takes its time
        time.sleep(0.01)
        states = graph.get_stats()["states"]
    time.sleep(0.3)
    interrupt()

async def main():
    threading.Thread(target=interrupt_the_run, daemon=True).start()
    {main}

began = time.monotonic()
try:
    trio.run(main)
except KeyboardInterrupt:
    states = graph.get_stats()["states"]
    print("interrupted", states["running"], states["pending"] + states["ready"])
else:
    print("not interrupted", time.monotonic() - began, graph.get_stats())
"""
ACTIONS = {
    "sleeping": "async def work(args): await trio.sleep_forever()",
    "spinning": """
async def work(args):
    while True:
        pass
""",
    "hopping": """
async def work(args):
    while True:
        await trio.sleep(0)
""",
    "rushing": """
for n in range(300_000):
    graph.add_task(f"more {n}", "work", max_retries=0, idempotent=False)
graph.freeze()
async def work(args):
    for _ in range(500):
        pass
""",
    "inline": """
from tgtrio import Actions
def spin(args):
    while True:
        pass
work = Actions()
work.register("work", spin, inline=True)
work = work["work"]
""",
}
MAINS = {
    "run_graph": 'await run_graph(graph, {"work": work})',
    "open_run": """
    async with open_run(graph, {"work": work}) as run:
        await run.wait()
""",
    "in a nursery": """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_graph, graph, {"work": work})
""",
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("main", MAINS)
def test_ctrl_c_from_the_terminal(action: str, main: str) -> None:
    main_source = MAINS[main]
    source = SCRIPT.replace("{action}", ACTIONS[action]).replace("{main}", main_source)
    source = textwrap.dedent(source)
    if main == "in a nursery":  # Trio itself wraps it then
        source = source.replace("except KeyboardInterrupt", "except* KeyboardInterrupt")
    done = run_script(source)
    assert (done.stdout, done.stderr) == ("interrupted 0 0\n", "")


async def test_a_slow_cleanup_is_waited_for(autojump_clock: MockClock) -> None:
    async def careful(args: dict[str, Any]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)

    began = trio.current_time()
    graph = graph_of("a", task("bad", action_name="bad"))
    with pytest.raises(SystemExit):
        await run_graph(graph, {"work": careful, "bad": raises(SystemExit)})
    assert trio.current_time() - began == 5


async def test_values_that_came_before_it_are_kept(autojump_clock: MockClock) -> None:
    graph = graph_of("a", task("bad", action_name="bad"))

    async def later(args: dict[str, Any]) -> None:
        await trio.sleep(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        async with open_run(graph, {"work": sleeps(1, "value"), "bad": later}) as run:
            pass
    result = await run.wait()
    assert result.results["a"].response == "value"
    assert not result.results["a"].late
