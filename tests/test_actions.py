"""What does the work of a task, how it is found, and how it is called."""

from __future__ import annotations

import contextvars
import functools
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import trio

import tgtrio._actions
from tgtrio._actions import Actions, make_action, start
from tgtrio._arguments import output_of
from tgtrio._context import TaskContext
from tgtrio._errors import (
    InvalidTypeError,
)
from tgtrio._identity import idempotency_key, key_of
from tgtrio._node import TaskNode

ARGS = {"a": 1}
NODE = TaskNode("t", "act", ARGS, ["r"], deadline=datetime(2030, 1, 1, tzinfo=UTC))


def context_for(node: TaskNode = NODE) -> TaskContext:
    return TaskContext(
        task_id=node.task_id,
        action_name=node.action_name,
        graph_id="g",
        run_id="run",
        attempt=0,
        deadline=node.deadline,
        key=functools.partial(key_of, node),
    )


async def call(function: Any, *, inline: bool = False, args: Any = ARGS) -> Any:
    return await start(make_action("act", function, inline=inline), args, context_for())


# Signatures


class Service:
    """Callable in several ways."""

    async def method(self, args: Any) -> Any:
        return args

    async def with_context(self, args: Any, context: Any) -> Any:
        return args, context.task_id

    def plain(self, args: Any) -> Any:
        return args

    @staticmethod
    async def static(args: Any) -> Any:
        return args

    @classmethod
    async def of_class(cls, args: Any) -> Any:
        return args


class CallableAsync:
    __slots__ = ()  # no weak references

    async def __call__(self, args: Any, context: Any) -> Any:
        return args, context.task_id


class CallablePlain:
    def __eq__(self, other: object) -> bool:  # equal, and not hashable
        return True

    def __call__(self, args: Any) -> Any:
        return args


class Made:
    def __init__(self, args: Any) -> None:
        self.args = args


async def only_args(args: Any) -> Any:
    return args


async def second_required(args: Any, whatever: Any) -> Any:
    return args, whatever.task_id


async def second_named(args: Any, context: Any = None) -> Any:
    return args, context.task_id


async def second_optional(args: Any, retries: int = 3) -> Any:
    return args


async def keyword_only(args: Any, *, context: Any) -> Any:
    return args, context.task_id


async def third_named(args: Any, retries: int = 3, context: Any = None) -> Any:
    return args, context.task_id


async def positional_only(args: Any, context: Any, /) -> Any:
    return args, context.task_id


async def var_positional(*args: Any, **options: Any) -> Any:
    (single,) = args
    return single


async def var_and_context(*args: Any, context: Any) -> Any:
    (single,) = args
    return single, context.task_id


async def first_named_context(context: Any) -> Any:
    return context


def plain_two(args: Any, context: Any) -> Any:
    return args, context.task_id


WITH = (ARGS, "t")

CALLABLES = [
    (only_args, True, ARGS),
    (second_required, True, WITH),
    (second_named, True, WITH),
    (second_optional, True, ARGS),
    (keyword_only, True, WITH),
    (third_named, True, WITH),
    (positional_only, True, WITH),
    (var_positional, True, ARGS),
    (var_and_context, True, WITH),
    (first_named_context, True, ARGS),
    (plain_two, False, WITH),
    (Service().method, True, ARGS),
    (Service().with_context, True, WITH),
    (Service().plain, False, ARGS),
    (Service.static, True, ARGS),
    (Service.of_class, True, ARGS),
    (CallableAsync(), True, WITH),
    (CallablePlain(), False, ARGS),
    (functools.partial(second_optional, retries=1), True, ARGS),
    (functools.partial(Service.with_context, Service()), True, WITH),
    (functools.partial(CallableAsync()), True, WITH),
    (lambda args: args, False, ARGS),
    (lambda args, context: (args, context.task_id), False, WITH),
    (lambda args: only_args(args), False, ARGS),  # a plain function that returns a coroutine
    (len, False, 1),
    (dict, False, ARGS),
]


@pytest.mark.parametrize(("function", "is_async", "result"), CALLABLES)
async def test_every_kind_of_callable_is_called_rightly(
    function: Any, is_async: bool, result: Any
) -> None:
    for _ in range(2):  # the second time the signature is known already
        action = make_action("act", function)
        assert action.is_async == is_async
        assert action.wants_context == (result == WITH)
        assert await call(function) == result


async def test_a_context_that_a_partial_fills_in_is_left_alone() -> None:
    other = context_for(TaskNode("other", "act"))
    assert await call(functools.partial(keyword_only, context=other)) == (ARGS, "other")


async def test_a_class_is_called_too() -> None:
    made = await call(Made)
    assert made.args == ARGS


async def test_a_function_and_a_method_of_it_are_told_apart() -> None:
    assert await call(functools.partial(Service.with_context, Service())) == WITH
    assert await call(Service().with_context) == WITH
    with pytest.raises(InvalidTypeError):
        make_action("act", Service.with_context)  # as a function it takes three


async def test_equal_callables_are_not_taken_for_each_other() -> None:
    first, second = CallablePlain(), CallablePlain()
    assert make_action("a", first).function is first
    assert make_action("a", second).function is second


def test_the_signature_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def action(args: Any) -> None: ...

    make_action("act", action)
    monkeypatch.setattr("inspect.signature", None)
    make_action("act", action)


def test_what_was_inspected_is_not_kept_alive() -> None:
    async def action(args: Any) -> None: ...

    make_action("act", action)
    ref = weakref.ref(action)
    del action
    gc.collect()
    assert ref() is None


def test_an_action_is_taken_as_it_is() -> None:
    action = make_action("act", len, inline=True)
    assert make_action("other", action) is action


async def generator(args: Any) -> AsyncIterator[int]:
    yield 1


def plain_generator(args: Any) -> Iterator[int]:
    yield 1


class Generates:
    def __call__(self, _args: Any) -> Iterator[int]:
        yield 1


NO_ACTIONS = [
    lambda: 1,
    lambda _a, _b, _c: 1,
    lambda _a, _b, *, _c: 1,
    lambda _a, *, _b: 1,
    lambda **_options: 1,
    lambda *, _context: 1,
    object,
    generator,
    plain_generator,
    Generates(),
    functools.partial(plain_generator),
    functools.partial(only_args, 1),
    5,
    None,
    "only_args",
]


@pytest.mark.parametrize("function", NO_ACTIONS)
def test_what_cannot_be_called_as_an_action_is_refused_by_name(function: Any) -> None:
    with pytest.raises(InvalidTypeError, match=r"^action 'act': "):
        make_action("act", function)


# Calling


async def test_a_plain_function_runs_in_a_worker_thread_with_trio_at_hand() -> None:
    def body(args: Any) -> Any:
        return threading.get_ident(), trio.from_thread.run_sync(threading.get_ident)

    inside, outside = await call(body)
    assert inside != outside == threading.get_ident()


async def test_an_inline_function_runs_here() -> None:
    assert await call(lambda _: threading.get_ident(), inline=True) == threading.get_ident()
    assert await call(lambda args: only_args(args), inline=True) == ARGS


def test_inline_means_nothing_for_an_async_function() -> None:
    assert not make_action("act", only_args, inline=True).inline


async def test_a_thread_sees_the_context_variables_of_the_caller_and_keeps_its_own() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("caller")

    def body(args: Any) -> str:
        seen = variable.get()
        variable.set("body")
        return seen

    assert await call(body) == "caller"
    assert variable.get() == "caller"


async def test_a_thread_is_waited_for_when_the_call_is_cancelled() -> None:
    with trio.CancelScope() as scope:

        def body(args: Any) -> str:
            trio.from_thread.run_sync(scope.cancel)
            return "done"

        assert await call(body) == "done"
    assert scope.cancel_called
    assert not scope.cancelled_caught


async def test_threads_are_bounded_by_the_limiter() -> None:
    limiter = trio.CapacityLimiter(1)

    def body(args: Any) -> int:
        return trio.from_thread.run_sync(lambda: limiter.borrowed_tokens)

    assert await start(make_action("act", body), ARGS, context_for(), limiter) == 1
    assert limiter.borrowed_tokens == 0


@pytest.mark.parametrize("inline", [True, False])
async def test_what_an_action_raises_is_raised(inline: bool) -> None:
    def body(args: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await call(body, inline=inline)


# The context


def test_the_key_of_a_context_is_the_key_of_its_task() -> None:
    assert context_for().idempotency_key == idempotency_key("act", ARGS, ["r"], "1")


@pytest.mark.parametrize(
    "node", [TaskNode("t", "act", {"x": output_of("u")}), TaskNode("t", "act", idempotent=False)]
)
def test_a_task_without_a_key_of_its_own_has_none(node: TaskNode) -> None:
    assert context_for(node).idempotency_key is None


def test_a_context_does_not_change() -> None:
    with pytest.raises(AttributeError):
        context_for().attempt = 5  # type: ignore[misc]


def test_public_names_say_where_they_are_public() -> None:
    for public in (tgtrio._actions.Action, Actions, TaskContext):
        assert public.__module__ == "tgtrio"
