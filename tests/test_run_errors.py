"""What becomes of the exceptions of actions."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from tgtrio import Actions, TaskResult, TaskState, open_run, run_graph

from .runs import graph_of, raises, returns, task


async def result_of(action: Any) -> TaskResult:
    """Run one task; another one shows that the run goes on."""
    graph = graph_of("a", task("b", action_name="other"), max_parallel=1)
    result = await run_graph(graph, {"work": action, "other": returns("fine")})
    assert result.results["b"].response == "fine"
    return result.results["a"]


async def test_the_exception_and_its_traceback_are_in_the_result() -> None:
    error = LookupError("no such thing")

    async def inner() -> None:
        raise error

    async def work(args: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        await inner()

    one = await result_of(work)
    assert one.state is TaskState.FAILED
    assert one.exception is error
    assert one.error == "LookupError: no such thing"
    assert one.traceback.startswith("Traceback (most recent call last):")
    assert one.traceback.rstrip().endswith("LookupError: no such thing")
    assert one.traceback.index("in work") < one.traceback.index("in inner")


@pytest.mark.parametrize("kind", ["async", "thread", "inline", "context"])
async def test_a_traceback_begins_with_the_users_frames(kind: str) -> None:
    def plain(args: dict[str, Any]) -> None:
        raise ValueError("mine")

    async def coroutine(args: dict[str, Any]) -> None:
        raise ValueError("mine")

    async def with_context(args: dict[str, Any], context: object) -> None:
        raise ValueError("mine")

    chosen: dict[str, Any] = {"async": coroutine, "context": with_context}
    actions = Actions()
    actions.register("work", chosen.get(kind, plain), inline=kind == "inline")
    one = (await run_graph(graph_of("a"), actions)).results["a"]
    assert "tgtrio/" not in one.traceback.replace("\\", "/")
    assert "_pump" not in one.traceback
    assert one.traceback.count("File ") == 1
    assert __file__ in one.traceback


class HostileStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


class HostileRepr(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no repr for you")


class Frozen(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class Multiline(Exception):
    def __str__(self) -> str:
        return "\n\n"


ERRORS: dict[str, Callable[[], Exception]] = {
    "hostile str": HostileStr,
    "hostile repr": lambda: HostileRepr("x"),
    "frozen": lambda: Frozen("x"),
    "blank": Multiline,
    "no text": ValueError,
    "surrogates": lambda: ValueError("\udc80"),
    "group": lambda: ExceptionGroup("many", [ValueError("1"), ExceptionGroup("x", [KeyError()])]),
    "stop iteration": lambda: StopIteration("value"),
    "stop async iteration": lambda: StopAsyncIteration("value"),
    "too slow": trio.TooSlowError,
    "memory": MemoryError,
    "recursion": RecursionError,
    "timeout": TimeoutError,
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("kind", ["async", "late", "thread", "inline"])
async def test_any_exception_fails_its_task_and_no_other(name: str, kind: str) -> None:
    def plain(args: dict[str, Any]) -> None:
        raise ERRORS[name]()

    async def late(args: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        raise ERRORS[name]()

    actions = Actions()
    action: Any = {"async": raises(ERRORS[name]), "late": late}.get(kind, plain)
    actions.register("work", action, inline=kind == "inline")
    actions.register("other", returns("fine"))
    result = await run_graph(graph_of("a", task("b", action_name="other")), actions)
    one = result.results["a"]
    assert one.state is TaskState.FAILED
    assert one.error.strip()
    assert one.traceback
    assert one.exception is not None
    assert (one.attempts, one.response) == (1, None)
    assert result.results["b"].success
    assert result.to_dict()["results"]["a"]["error"] == one.error


async def test_deep_recursion_fails_its_task_and_no_other() -> None:
    async def work(args: dict[str, Any]) -> None:
        await work(args)

    assert isinstance((await result_of(work)).exception, RecursionError)


@pytest.mark.parametrize("bad", [3, None, "text", [1]])
async def test_a_coroutine_function_that_awaits_what_cannot_be_awaited(bad: Any) -> None:
    async def work(args: dict[str, Any]) -> None:
        await bad

    assert isinstance((await result_of(work)).exception, TypeError)


async def test_no_local_of_an_action_outlives_it() -> None:
    class Big:
        pass

    references = []

    async def work(args: dict[str, Any]) -> None:
        big = Big()
        references.append(weakref.ref(big))
        try:
            raise KeyError
        except KeyError as error:
            raise ValueError("chained") from error

    one = await result_of(work)
    gc.collect()
    assert references[0]() is None
    assert one.exception is not None
    assert one.exception.__cause__ is not None
    assert "KeyError" in one.traceback


async def test_no_result_of_a_run_that_is_forgotten_is_kept() -> None:
    class Big:
        pass

    big = Big()
    reference = weakref.ref(big)

    async def work(args: dict[str, Any], big: Any = big) -> object:
        return big

    graph = graph_of("a")
    result = await run_graph(graph, {"work": work})
    del big, work, result
    graph.add_task("b", "work")  # it forgets its latest run
    gc.collect()
    assert reference() is None


def test_an_exception_that_the_caller_is_handling_keeps_its_frames() -> None:
    async def main() -> None:
        result = await run_graph(graph_of("a"), {"work": raises()})
        assert not result.ok

    try:
        raise LookupError("of the caller")
    except LookupError as error:
        trio.run(main)
        assert error.__traceback__ is not None
        assert error.__traceback__.tb_frame is sys._getframe()


async def test_a_stack_dump_shows_the_action_at_work(autojump_clock: MockClock) -> None:
    async def deep() -> None:
        await trio.sleep_forever()

    async def work(args: dict[str, Any]) -> None:
        await deep()

    async def with_context(args: dict[str, Any], context: object) -> None:
        await deep()

    graph = graph_of("a", task("b", action_name="with_context"))
    async with open_run(graph, {"work": work, "with_context": with_context}) as run:
        await wait_all_tasks_blocked()
        stacks = all_stacks()
        run.cancel()
    ends = ["deep", "sleep_forever", "wait_task_rescheduled"]
    tails = [stack[-5:-1] for stack in stacks]
    assert ["work", *ends] in tails
    assert ["with_context", *ends] in tails


def all_stacks() -> list[list[str]]:
    """The function names on the stack of every Trio task of the program."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    stacks, todo = [], [root]
    while todo:
        trio_task = todo.pop()
        stacks.append([frame.f_code.co_name for frame, _ in trio_task.iter_await_frames()])
        todo.extend(child for nursery in trio_task.child_nurseries for child in nursery.child_tasks)
    return stacks


async def test_no_coroutine_is_left_unawaited(recwarn: pytest.WarningsRecorder) -> None:
    graph = graph_of("a", task("b", "a"), task("c", "b", action_name="bad"), task("d", "c"))
    await run_graph(graph, {"work": returns(), "bad": raises()})
    gc.collect()
    assert not list(recwarn)
