"""Actions that await asyncio's things, in a run that an asyncio loop hosts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any, assert_type

import pytest
import trio

from tgtrio import (
    Actions,
    AsyncioCancelledError,
    EventLoopError,
    GraphResult,
    InvalidTypeError,
    TaskContext,
    TaskResult,
    TaskState,
    asyncio_action,
    run_graph,
    run_in_asyncio,
)

from .loops import run, started, until
from .runs import Args, graph_of, returns, task


async def only_args(args: Args) -> object:
    await asyncio.sleep(0)
    return args["n"]


async def second(args: Args, context: TaskContext) -> object:
    await asyncio.sleep(0)
    return context.task_id, args["n"]


async def keyword(args: Args, *, context: TaskContext) -> object:
    await asyncio.sleep(0)
    return context.task_id, args["n"]


class Service:
    async def method(self, args: Args, context: TaskContext) -> object:
        return await second(args, context)

    async def __call__(self, args: Args) -> object:
        return await only_args(args)


async def three(prefix: str, args: Args) -> object:
    return prefix, await only_args(args)


def run_one(function: Callable[..., Awaitable[Any]], **fields: Any) -> TaskResult:
    """The result of a graph of one task whose action awaits asyncio."""
    graph = graph_of(task("a", action_name="act", normalized_args={"n": 1}, **fields))
    actions = {"act": asyncio_action(function)}
    result: GraphResult = run(functools.partial(run_in_asyncio, graph, actions))
    return result.results["a"]


@pytest.mark.parametrize(
    ("function", "response"),
    [
        (only_args, 1),
        (second, ("a", 1)),
        (keyword, ("a", 1)),
        (Service().method, ("a", 1)),
        (Service(), 1),
        (functools.partial(three, "x"), ("x", 1)),
    ],
)
def test_it_takes_what_an_action_takes(
    function: Callable[..., Awaitable[Any]], response: object
) -> None:
    assert run_one(function).response == response


def test_it_keeps_name_and_docstring_and_can_be_registered() -> None:
    actions = Actions()

    @actions.register
    @asyncio_action
    async def ask(args: Args) -> str:
        """Ask."""
        return "answer"

    assert list(actions) == ["ask"]
    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")
    assert inspect.iscoroutinefunction(ask)


def test_it_keeps_the_type() -> None:
    action = asyncio_action(only_args)
    assert_type(action(Args()), Coroutine[Any, Any, object]).close()


def test_trio_and_asyncio_meet_in_one_graph() -> None:
    async def main() -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()

        @asyncio_action
        async def receive(args: Args) -> str:
            return await queue.get()

        async def send(args: Args) -> None:
            await trio.lowlevel.checkpoint()
            queue.put_nowait("from Trio")

        graph = graph_of(
            task("receive", action_name="receive"), task("send", action_name="send"), max_parallel=2
        )
        result = await run_in_asyncio(graph, {"receive": receive, "send": send})
        assert result.results["receive"].response == "from Trio"

    run(main)


def test_it_runs_as_an_asyncio_task_of_its_own_with_the_context_of_the_action() -> None:
    variable: ContextVar[str] = ContextVar("variable")

    async def main() -> None:
        tasks = set()

        @asyncio_action
        async def work(args: Args) -> str:
            assert not trio.lowlevel.in_trio_task()
            tasks.add(asyncio.current_task())
            await asyncio.sleep(0)
            return variable.get()

        variable.set("here")
        result = await run_in_asyncio(graph_of("a", "b"), {"work": work})
        assert {one.response for one in result.results.values()} == {"here"}
        assert len(tasks) == 2
        assert asyncio.current_task() not in tasks

    run(main)


def test_a_graph_can_be_run_inside_an_action_of_another() -> None:
    @asyncio_action
    async def outer(args: Args) -> bool:
        return (await run_in_asyncio(graph_of("inner"), {"work": returns()})).ok

    async def main() -> None:
        result = await run_in_asyncio(graph_of("a"), {"work": outer})
        assert result.results["a"].response is True

    run(main)


def test_what_it_raises_is_the_error_of_the_task() -> None:
    error = OSError("from asyncio")

    async def act(args: Args) -> None:
        await asyncio.sleep(0)
        raise error

    one = run_one(act)
    assert one.exception is error
    assert "in act" in one.traceback


# Cancellation


def test_an_attempt_that_times_out_cancels_the_asyncio_task_and_waits_for_it() -> None:
    steps = []

    async def act(args: Args) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            steps.append("cleaned up")
            raise

    one = run_one(act, task_timeout_ms=1)
    assert steps == ["cleaned up"]
    assert one.state is TaskState.FAILED
    assert one.error.startswith("TaskTimeoutError")


def test_a_value_in_spite_of_the_cancellation_is_late() -> None:
    async def act(args: Args) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "all the same"

    one = run_one(act, task_timeout_ms=1)
    assert (one.state, one.response, one.late) == (TaskState.SUCCEEDED, "all the same", True)


def test_an_exception_in_spite_of_the_cancellation_is_kept() -> None:
    async def act(args: Args) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("while it ended")

    async def main() -> None:
        graph = graph_of("a")
        call = await started(graph, work=asyncio_action(act))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert graph.get_stats()["states"]["cancelled"] == 1

    run(main)


def test_one_that_somebody_else_cancels_has_failed_and_may_be_tried_again() -> None:
    calls = []

    async def act(args: Args) -> str:
        calls.append(1)
        if len(calls) == 1:
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
        await asyncio.sleep(0)
        return "done"

    one = run_one(act)
    assert isinstance(one.exception, AsyncioCancelledError)
    assert "'act': its asyncio task was cancelled" in one.error
    calls.clear()
    assert run_one(act, max_retries=1).response == "done"


def test_a_storm_of_asyncio_tasks_is_cancelled_and_waited_for() -> None:
    inside, seen = 0, 0

    @asyncio_action
    async def work(args: Args) -> None:
        nonlocal inside, seen
        inside, seen = inside + 1, seen + 1
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            inside -= 1

    async def main() -> None:
        graph = graph_of(*map(str, range(500)), max_parallel=500)
        call = asyncio.ensure_future(run_in_asyncio(graph, {"work": work}))
        await until(lambda: seen >= 400)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert inside == 0
        assert graph.get_stats()["states"]["cancelled"] == 500

    run(main)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_asyncio_ends_the_run(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    graph = graph_of("a", task("b", "a"))

    @asyncio_action
    async def work(args: Args) -> None:
        await asyncio.sleep(0)
        raise error

    async def main() -> None:
        try:
            await run_in_asyncio(graph, {"work": work})
        finally:
            assert not trio.lowlevel.in_trio_run()

    with pytest.raises(error):
        asyncio.run(main())
    gc.collect()
    assert graph.get_stats()["states"]["cancelled"] == 2
    assert [record.message for record in caplog.records] == []  # asyncio has nothing to complain


# Refusals


async def test_without_an_asyncio_loop_it_fails_at_once() -> None:
    graph = graph_of({"task_id": "a", "max_retries": 3})
    result = await run_graph(graph, {"work": asyncio_action(only_args)})
    one = result.results["a"]
    assert isinstance(one.exception, EventLoopError)
    assert "run its graph by tgtrio.run_in_asyncio" in one.error
    assert one.attempts == 1


@pytest.mark.parametrize("function", [len, "text", lambda args: None, asyncio.sleep(0)])
def test_what_is_no_coroutine_function_is_refused(function: Any) -> None:
    if inspect.iscoroutine(function):
        function.close()
    with pytest.raises(InvalidTypeError):
        asyncio_action(function)


def test_one_that_takes_something_else_is_refused() -> None:
    async def act(a: int, b: int, c: int) -> None: ...

    with pytest.raises(InvalidTypeError, match=r"action\(args, context\)"):
        asyncio_action(act)
