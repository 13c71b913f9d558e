"""The registry, and how the action of a name is found."""

from __future__ import annotations

import doctest
import functools
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tgtrio._actions import Action, Actions, make_action, resolve_actions, start
from tgtrio._errors import InvalidTypeError, InvalidValueError, TgtrioError, UnknownActionError
from tgtrio._node import TaskNode

from .test_actions import context_for, only_args

# The registry


def test_ways_to_register() -> None:
    actions = Actions({"given": only_args})

    @actions.register
    async def bare(args: Any) -> None: ...

    @actions.register()
    def empty(args: Any) -> None: ...

    @actions.register("named", inline=True)
    def other(args: Any) -> None: ...

    assert actions.register("called", len, inline=True) is len
    assert actions.register(only_args) is only_args
    assert list(actions) == ["given", "bare", "empty", "named", "called", "only_args"]
    assert (actions["bare"].function, actions["named"].function) == (bare, other)
    assert [action.inline for action in actions.values()] == [
        False,
        False,
        False,
        True,
        True,
        False,
    ]
    assert len(actions) == 6
    assert "empty" in actions
    assert "bare" in repr(actions)


def test_an_action_object_is_registered_as_it_is() -> None:
    action = make_action("act", len, inline=True)
    assert Actions({"size": action})["size"] is action


@pytest.mark.parametrize(
    ("register", "error", "text"),
    [
        (lambda a: a.register("taken", len), InvalidValueError, "'taken' is registered already"),
        (lambda a: a.register(lambda _: 1), InvalidValueError, "has no name"),
        (lambda a: a.register(functools.partial(only_args)), InvalidValueError, "has no name"),
        (lambda a: a.register("", len), InvalidValueError, "non-empty"),
        (lambda a: a.register(5, len), InvalidTypeError, "5"),
        (lambda a: a.register("x", 5), InvalidTypeError, "'x'.* not callable"),
        (lambda a: a.register("x", lambda: 1), InvalidTypeError, "'x'.*signature"),
        (lambda a: a.register("x", len, inline="yes"), InvalidTypeError, "'x'.*inline"),
    ],
)
def test_a_registration_that_makes_no_sense_changes_nothing(
    register: Callable[[Actions], object], error: type[TgtrioError], text: str
) -> None:
    actions = Actions({"taken": only_args})
    with pytest.raises(error, match=text):
        register(actions)
    assert list(actions) == ["taken"]


def test_the_examples_of_the_registry_work() -> None:
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder().find(Actions, globs={"Actions": Actions}):
        runner.run(example)
    assert runner.tries > 0
    assert runner.failures == 0


# Finding the action of a name


def resolve(
    name: str, source: Any, registry: Any = None, nodes: list[TaskNode] | None = None
) -> Action:
    nodes = [TaskNode("t1", name)] if nodes is None else nodes
    (action,) = resolve_actions([name], lambda _name: nodes, source, registry)
    return action


class Worker:
    attribute = 5

    async def work(self, _args: Any) -> str:
        return "worker"

    async def _private(self, args: Any) -> None: ...

    @staticmethod
    async def static_work(args: Any) -> None: ...

    @property
    def explosive(self) -> Any:
        raise AssertionError("looked at")


async def registered(args: Any) -> str:
    return "registry"


async def mapped(args: Any) -> str:
    return "mapping"


def test_the_registry_goes_before_a_mapping_and_an_object() -> None:
    registry = {"work": registered}
    assert resolve("work", Worker(), registry).function is registered
    assert resolve("work", {"work": mapped}, registry).function is registered
    assert resolve("work", {"work": mapped}, {}).function is mapped
    assert resolve("work", None, Actions(registry)).function is registered


async def test_a_public_method_is_the_action_of_its_name() -> None:
    action = resolve("work", Worker(), {"other": registered})
    assert await start(action, {}, context_for()) == "worker"


def test_a_mapping_is_not_asked_for_attributes() -> None:
    with pytest.raises(UnknownActionError):
        resolve("items", {"work": mapped})


def test_all_names_are_resolved_in_order() -> None:
    actions = resolve_actions(["b", "a"], lambda _name: [], {"a": mapped, "b": registered})
    assert [(a.name, a.function) for a in actions] == [("b", registered), ("a", mapped)]


def test_a_name_asked_for_is_not_made_up() -> None:
    source: Mapping[str, Any] = defaultdict(lambda: mapped)
    with pytest.raises(UnknownActionError):
        resolve("work", source)
    assert not source


@pytest.mark.parametrize("name", ["_private", "__init__", "attribute", "nothing"])
def test_what_is_not_a_public_method_is_unknown(name: str) -> None:
    with pytest.raises(UnknownActionError, match=rf"^task 't1': nothing provides .*'{name}'"):
        resolve(name, Worker())


@pytest.mark.parametrize(
    ("name", "source", "registry", "close"),
    [
        ("wrok", Worker(), None, "work"),
        ("static_wrk", Worker(), None, "static_work"),
        ("maped", {"mapped": mapped, 5: mapped}, None, "mapped"),
        ("registred", {"mapped": mapped}, {"registered": registered}, "registered"),
    ],
)
def test_an_unknown_action_is_told_with_the_nearest_known_one(
    name: str, source: Any, registry: Any, close: str
) -> None:
    with pytest.raises(UnknownActionError, match=f"did you mean '{close}'"):
        resolve(name, source, registry)


def test_an_unknown_action_is_a_key_error_and_reads_well() -> None:
    with pytest.raises(KeyError) as info:
        resolve("nothing", None)
    assert str(info.value) == "task 't1': nothing provides the action 'nothing'"


@pytest.mark.parametrize("value", [None, 5, "work", lambda: 1])
def test_a_mapping_of_something_else_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidTypeError, match=r"^action 'work': "):
        resolve("work", {"work": value})


@pytest.mark.parametrize("registry", [[("work", mapped)], mapped, "work"])
def test_a_registry_must_be_a_mapping(registry: Any) -> None:
    with pytest.raises(InvalidTypeError, match=r"^actions is "):
        resolve("work", None, registry)


# generate_response


class Replies:
    """A service that remembers what it was asked; replies are async or not, alone or a pair."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.asked: list[dict[str, Any]] = []


class AsyncReplies(Replies):
    async def generate_response(self, **asked: Any) -> Any:
        self.asked.append(asked)
        return self.reply


class PlainReplies(Replies):
    def generate_response(self, **asked: Any) -> Any:
        self.asked.append(asked)
        return self.reply


class MixedReplies(Replies):
    def generate_response(self, **asked: Any) -> Any:
        return AsyncReplies.generate_response(self, **asked)  # type: ignore[arg-type]


def prompt_task(name: str = "chat", **args: Any) -> TaskNode:
    return TaskNode("t1", name, {"prompt": "hello", **args})


async def ask(service: Any, node: TaskNode) -> Any:
    action = resolve(node.action_name, service, nodes=[node])
    return await start(action, node.normalized_args, context_for(node))


@pytest.mark.parametrize("kind", [AsyncReplies, PlainReplies, MixedReplies])
@pytest.mark.parametrize(
    ("reply", "response"),
    [("hi", "hi"), (("hi", {"tokens": 3}), "hi"), (("a", "b", "c"), ("a", "b", "c")), (None, None)],
)
async def test_a_prompt_goes_to_generate_response(
    kind: type[Replies], reply: Any, response: Any
) -> None:
    service = kind(reply)
    assert await ask(service, prompt_task()) == response
    assert service.asked == [{"user_message": "hello", "retrieve_memories": True, "top_k": 5}]


async def test_the_arguments_may_say_how_to_ask() -> None:
    service = AsyncReplies("hi")
    await ask(service, prompt_task(retrieve_memories=False, top_k=2, other=1))
    assert service.asked == [{"user_message": "hello", "retrieve_memories": False, "top_k": 2}]


async def test_a_plain_service_answers_in_a_worker_thread() -> None:
    class Identified:
        def generate_response(self, **_asked: Any) -> int:
            return threading.get_ident()

    assert await ask(Identified(), prompt_task()) != threading.get_ident()


async def test_an_action_called_generate_response_is_asked_with_the_prompt() -> None:
    service = AsyncReplies("hi")
    assert await ask(service, prompt_task("generate_response")) == "hi"
    assert service.asked[0]["user_message"] == "hello"


def test_without_a_prompt_generate_response_is_an_ordinary_method() -> None:
    class Ordinary:
        async def generate_response(self, args: Any) -> None: ...

    service = Ordinary()
    assert resolve("generate_response", service).function == service.generate_response


def test_one_task_without_a_prompt_is_named() -> None:
    nodes = [prompt_task(), TaskNode("t2", "chat")]
    with pytest.raises(UnknownActionError, match=r"^task 't2': .*only tasks with a 'prompt'"):
        resolve("chat", AsyncReplies("hi"), nodes=nodes)


def test_a_method_goes_before_generate_response() -> None:
    class Both(AsyncReplies):
        async def chat(self, args: Any) -> None: ...

    service = Both("hi")
    assert resolve("chat", service, nodes=[prompt_task()]).function == service.chat
