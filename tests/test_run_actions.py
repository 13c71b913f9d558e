"""What actions get, what they may be, and what becomes of what they return and raise."""

from __future__ import annotations

import contextvars
import threading
import types
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from tgtrio import (
    Actions,
    InvalidTypeError,
    TaskContext,
    TaskState,
    Unavailable,
    UnknownActionError,
    output_of,
    run_graph,
)

from .runs import graph_of, nap, raises, returns, states, task

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


async def response_of(action: Any, **fields: Any) -> object:
    result = await run_graph(graph_of(task("a", **fields)), {"work": action})
    one = result.results["a"]
    assert one.success, one.error
    return one.response


# what they get


async def test_the_arguments_of_the_task() -> None:
    async def work(args: dict[str, Any]) -> object:
        return args

    given = {"n": 1, "list": [1, {"a": None}], "text": "ä"}
    assert await response_of(work, normalized_args=given) == given
    assert await response_of(work) == {}


@pytest.mark.parametrize("kind", ["async", "thread", "inline"])
async def test_the_context_of_the_task(kind: str, wall_start: Any) -> None:
    def plain(args: dict[str, Any], context: TaskContext) -> TaskContext:
        return context

    async def coroutine(args: dict[str, Any], context: TaskContext) -> TaskContext:
        return context

    actions = Actions()
    actions.register("work", coroutine if kind == "async" else plain, inline=kind == "inline")
    deadline = wall_start + timedelta(hours=1)
    graph = graph_of(task("a", deadline=deadline), graph_id="the graph")
    result = await run_graph(graph, actions, run_id="the run")
    context = result.results["a"].response
    assert isinstance(context, TaskContext)
    assert (context.task_id, context.action_name) == ("a", "work")
    assert (context.graph_id, context.run_id) == ("the graph", "the run")
    assert (context.attempt, context.deadline) == (0, deadline)
    assert result.run_id == "the run"


async def test_a_keyword_only_context() -> None:
    async def work(args: dict[str, Any], *, context: TaskContext) -> str:
        return context.task_id

    assert await response_of(work) == "a"


async def test_outputs_of_other_tasks_at_any_depth() -> None:
    async def work(args: dict[str, Any]) -> object:
        return args

    value = object()
    args = {"a": output_of("first"), "deep": [{"x": [output_of("first"), output_of("second")]}]}
    graph = graph_of(
        task("first", action_name="value"),
        task("second", action_name="two"),
        task("third", normalized_args=args),
    )
    actions = {"value": returns(value), "two": returns(2), "work": work}
    response = (await run_graph(graph, actions)).results["third"].response
    assert response == {"a": value, "deep": [{"x": [value, 2]}]}
    assert response["a"] is value
    assert graph.nodes["third"].dependencies == ("first", "second")


@pytest.mark.parametrize("end", ["failed", "aborted", "skipped"])
async def test_the_output_of_a_task_without_one_is_unavailable(end: str) -> None:
    makers: dict[str, dict[str, Any]] = {
        "failed": {"action_name": "fail"},
        "aborted": {"dependencies": ["root"]},
        "skipped": {"dependencies": ["root"], "on_dep_fail": "skip"},
    }

    async def work(args: dict[str, Any]) -> object:
        return args["input"]

    graph = graph_of(
        task("root", action_name="fail"),
        {**task("source"), **makers[end]},
        task("user", on_dep_fail="always", normalized_args={"input": output_of("source")}),
    )
    result = await run_graph(graph, {"work": work, "fail": raises()})
    given = result.results["user"].response
    assert isinstance(given, Unavailable)
    assert (given.task_id, given.state) == ("source", TaskState(end))
    assert given.error == result.results["source"].error


async def test_an_output_of_none_is_available() -> None:
    async def work(args: dict[str, Any]) -> object:
        return args

    graph = graph_of(
        task("a", action_name="none"), task("b", normalized_args={"x": output_of("a")})
    )
    result = await run_graph(graph, {"none": returns(None), "work": work})
    assert result.results["b"].response == {"x": None}


# what they may be


class Service:
    def __init__(self) -> None:
        self.calls = 0

    async def method(self, args: dict[str, Any]) -> int:
        self.calls += 1
        return self.calls

    async def __call__(self, args: dict[str, Any]) -> int:
        return await self.method(args)


class Awaitable:
    def __init__(self, value: object) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, object]:
        yield from trio.sleep(1).__await__()
        return self.value


class Steps:
    """An awaitable whose iterator is no generator: it has `send`, and no `throw`."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: object) -> Any:
        self.left -= 1
        if self.left < 0:
            raise StopIteration("done")
        return next(trio.lowlevel.cancel_shielded_checkpoint().__await__())


async def test_methods_and_callable_objects() -> None:
    service = Service()
    assert await response_of(service.method) == 1
    assert await response_of(service) == 2


async def test_a_plain_function_that_returns_an_awaitable() -> None:
    assert await response_of(lambda args: returns(5)(args)) == 5


async def test_an_inline_function_that_returns_an_awaitable() -> None:
    actions = Actions()
    actions.register("work", lambda args: returns(5)(args), inline=True)
    result = await run_graph(graph_of("a"), actions)
    assert result.results["a"].response == 5


async def test_awaitables_of_every_make(autojump_clock: MockClock) -> None:
    @types.coroutine
    def generator() -> Generator[Any, Any, str]:
        yield from trio.sleep(1).__await__()
        return "generator"

    async def around(args: dict[str, Any]) -> object:
        return [await Awaitable("class"), await generator(), await Steps(5)]

    assert await response_of(around) == ["class", "generator", "done"]


async def test_an_action_that_returns_awaitables_without_being_a_coroutine_function(
    autojump_clock: MockClock,
) -> None:
    actions = Actions()
    for name, make in {"class": lambda: Awaitable(1), "steps": lambda: Steps(3)}.items():
        actions.register(name, lambda args, make=make: make(), inline=True)
    graph = graph_of(task("a", action_name="class"), task("b", action_name="steps"))
    result = await run_graph(graph, actions)
    assert [one.response for one in result.results.values()] == [1, "done"]


async def test_many_awaits_in_one_action() -> None:
    async def work(args: dict[str, Any]) -> int:
        for _ in range(200):
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
        return 200

    result = await run_graph(graph_of(*map(str, range(20))), {"work": work})
    assert {one.response for one in result.results.values()} == {200}


async def test_actions_that_yield_to_each_other_are_interleaved() -> None:
    order: list[str] = []

    async def work(args: dict[str, Any], context: TaskContext) -> None:
        for _ in range(3):
            order.append(context.task_id)
            await trio.lowlevel.checkpoint()

    await run_graph(graph_of("a", "b"), {"work": work})
    assert sorted(order[:3]) in (["a", "a", "b"], ["a", "b", "b"])


async def test_what_another_event_loop_would_want_fails_the_task_alone() -> None:
    @types.coroutine
    def foreign() -> Generator[Any, Any, None]:
        yield "a future of another library"

    async def work(args: dict[str, Any]) -> None:
        await foreign()

    graph = graph_of(task("bad", action_name="bad"), "good")
    result = await run_graph(graph, {"bad": work, "work": returns()})
    assert isinstance(result.results["bad"].exception, TypeError)
    assert result.results["good"].success


async def test_an_action_may_run_a_graph(autojump_clock: MockClock) -> None:
    async def work(args: dict[str, Any]) -> object:
        inner = await run_graph(graph_of("x", "y", max_parallel=1), {"work": nap})
        return inner.elapsed_ms

    result = await run_graph(graph_of("a", "b"), {"work": work})
    assert [one.response for one in result.results.values()] == [2000, 2000]
    assert result.elapsed_ms == 2000


@pytest.mark.parametrize("bad", [None, 3, "work", lambda: None, lambda a, b, c: None])
async def test_what_cannot_be_called_as_an_action_is_refused(bad: object) -> None:
    with pytest.raises(InvalidTypeError, match="'work'"):
        await run_graph(graph_of("a"), {"work": bad})


async def test_generator_functions_are_refused() -> None:
    def generator(args: dict[str, Any]) -> Any:
        yield 1

    with pytest.raises(InvalidTypeError, match="generator"):
        await run_graph(graph_of("a"), {"work": generator})


async def test_every_action_is_found_before_anything_runs() -> None:
    ran: list[object] = []

    async def known(args: dict[str, Any]) -> None:
        ran.append(args)

    graph = graph_of(task("a", action_name="known"), task("b", "a", action_name="knwon"))
    with pytest.raises(UnknownActionError) as refusal:
        await run_graph(graph, {"known": known})
    assert isinstance(refusal.value, KeyError)
    assert all(name in str(refusal.value) for name in ("'b'", "'knwon'", "'known'"))
    assert ran == []
    assert (await run_graph(graph, {"known": known, "knwon": known})).ok


# plain functions


async def test_a_plain_function_runs_in_a_thread_and_may_call_back() -> None:
    main = threading.get_ident()

    def work(args: dict[str, Any]) -> bool:
        trio.from_thread.check_cancelled()
        assert trio.from_thread.run(returns(True), {}) is True
        assert trio.from_thread.run_sync(threading.get_ident) == main
        return threading.get_ident() != main

    result = await run_graph(graph_of(*map(str, range(10))), {"work": work})
    assert {one.response for one in result.results.values()} == {True}


async def test_threads_are_bounded_by_the_run_and_not_by_trios_default() -> None:
    barrier = threading.Barrier(60)

    def work(args: dict[str, Any]) -> int:
        return barrier.wait(30)  # needs all sixty at once

    graph = graph_of(*map(str, range(60)), max_parallel=60)
    result = await run_graph(graph, {"work": work})
    assert sorted(one.response for one in result.results.values()) == list(range(60))


async def test_an_inline_function_runs_on_the_event_loop() -> None:
    actions = Actions()
    actions.register("work", lambda args: threading.get_ident(), inline=True)
    result = await run_graph(graph_of("a"), actions)
    assert result.results["a"].response == threading.get_ident()


# context variables


@pytest.mark.parametrize("kind", ["async", "thread", "inline"])
async def test_context_variables_of_the_caller_are_seen_and_none_leak(kind: str) -> None:
    def plain(args: dict[str, Any], context: TaskContext) -> str:
        before = colour.get()
        colour.set(context.task_id)
        return before

    async def coroutine(args: dict[str, Any]) -> str:
        before = colour.get()
        colour.set("changed")
        for n in range(3):
            await trio.lowlevel.checkpoint()
            assert colour.get() == ("changed" if n == 0 else f"step {n - 1}")
            colour.set(f"step {n}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(check_child)
        return before

    async def check_child() -> None:
        assert colour.get() == "step 2"

    colour.set("of the caller")
    actions = Actions()
    actions.register("work", coroutine if kind == "async" else plain, inline=kind == "inline")
    result = await run_graph(graph_of(*map(str, range(9)), max_parallel=2), actions)
    assert {one.response for one in result.results.values()} == {"of the caller"}
    assert colour.get() == "of the caller"


async def test_each_run_copies_the_context_anew() -> None:
    async def work(args: dict[str, Any]) -> str:
        return colour.get()

    graph = graph_of("a")
    for value in ("red", "blue"):
        colour.set(value)
        assert (await run_graph(graph, {"work": work})).results["a"].response == value


async def test_states_of_a_mixed_run(autojump_clock: MockClock) -> None:
    graph = graph_of("a", task("bad", action_name="bad"), task("c", "a"), task("d", "bad"))
    result = await run_graph(graph, {"work": nap, "bad": raises()})
    assert states(result) == {"a": "succeeded", "bad": "failed", "c": "succeeded", "d": "aborted"}
