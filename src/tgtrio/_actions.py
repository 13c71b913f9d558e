"""Actions: what does the work of a task, how it is found, and how it is called.

How a callable wants to be called is read in `_signatures`. Which one does the work of an
action name is looked for in this order:

1. the registry of the scheduler;
2. the source: if it is a mapping, by key; of any other object, a public callable attribute
   of that name;
3. the source's `generate_response(user_message=..., retrieve_memories=..., top_k=...)`, for
   tasks whose arguments carry a `"prompt"`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

import attrs
import trio

from ._breaker_policy import BreakerPolicy
from ._checks import check_bool, check_name
from ._context import TaskContext
from ._errors import InvalidTypeError, InvalidValueError, UnknownActionError, nearest, shorten
from ._node import TaskNode
from ._policies import INHERIT, ActionPolicies, Inherited, check_breaker, check_retry
from ._retry import RetryPolicy
from ._signatures import Context, inspect_action

F = TypeVar("F", bound=Callable[..., Any])


@attrs.frozen(kw_only=True)
class Action:
    """A callable and all that must be known to call it. `make_action` makes one.

    Attributes:
        name: Its name in the graph.
        function: Called as `function(args)`, or with `wants_context` as
            `function(args, context)`.
        is_async: Calling it gives an awaitable.
        inline: A plain function that is called on the event loop and not in a thread.
        wants_context: It takes the `TaskContext`.
        policies: What it has of its own, in place of the run's.
    """

    name: str
    function: Callable[..., Any]
    is_async: bool
    inline: bool
    wants_context: bool
    policies: ActionPolicies = attrs.field(factory=ActionPolicies)


def make_action(
    name: str,
    function: object,
    *,
    inline: bool = False,
    policies: ActionPolicies = ActionPolicies(),  # noqa: B008  # frozen
) -> Action:
    """Read the signature of a callable. An `Action` is returned as it is.

    Raises:
        InvalidTypeError: It is not callable, is a generator function, or cannot be called as
            `function(args)` or `function(args, context)`.
    """
    if isinstance(function, Action):
        return function
    is_async, context = inspect_action(name, function)
    assert callable(function)
    return Action(
        name=name,
        function=_by_keyword(function) if context is Context.KEYWORD else function,
        is_async=is_async,
        inline=inline and not is_async,
        wants_context=context is not Context.NONE,
        policies=policies,
    )


def _by_keyword(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(args: dict[str, Any], context: TaskContext) -> Any:
        return function(args, context=context)

    return call


class Actions(Mapping[str, Action]):
    """A registry of actions, for `run_graph(graph, actions)` and a scheduler's `actions`.

        >>> actions = Actions()
        >>> @actions.register
        ... async def greet(args):
        ...     return f"hello {args['name']}"
        >>> @actions.register("shout", inline=True)
        ... def upper(args):
        ...     return args["text"].upper()
        >>> _ = actions.register("size", len)
        >>> list(actions)
        ['greet', 'shout', 'size']

    Args:
        actions: Callables by name, to begin with.
    """

    def __init__(self, actions: Mapping[str, Callable[..., Any] | Action] | None = None) -> None:
        self._actions: dict[str, Action] = {}
        for name, function in (actions or {}).items():
            self._add(name, function, False, ActionPolicies())

    def __getitem__(self, name: str) -> Action:
        return self._actions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._actions)

    def __len__(self) -> int:
        return len(self._actions)

    def __repr__(self) -> str:
        return f"<Actions: {', '.join(map(shorten, self)) or 'none'}>"

    @overload
    def register(
        self,
        name: F,
        /,
        *,
        inline: bool = ...,
        retry: RetryPolicy | Inherited | None = ...,
        breaker: BreakerPolicy | Inherited | None = ...,
        idempotent: bool = ...,
    ) -> F: ...
    @overload
    def register(
        self,
        name: str,
        function: F,
        /,
        *,
        inline: bool = ...,
        retry: RetryPolicy | Inherited | None = ...,
        breaker: BreakerPolicy | Inherited | None = ...,
        idempotent: bool = ...,
    ) -> F: ...
    @overload
    def register(
        self,
        name: str | None = ...,
        /,
        *,
        inline: bool = ...,
        retry: RetryPolicy | Inherited | None = ...,
        breaker: BreakerPolicy | Inherited | None = ...,
        idempotent: bool = ...,
    ) -> Callable[[F], F]: ...

    def register(
        self,
        name: Any = None,
        function: Any = None,
        /,
        *,
        inline: bool = False,
        retry: RetryPolicy | Inherited | None = INHERIT,
        breaker: BreakerPolicy | Inherited | None = INHERIT,
        idempotent: bool = True,
    ) -> Any:
        """Add an action: as a decorator with or without arguments, or by a plain call.

        Args:
            name: Its name; left out, the name of the function.
            function: The action; left out, a decorator is returned.
            inline: Call a plain function on the event loop. It must be quick: nothing else
                runs meanwhile. Without it plain functions run in worker threads.
            retry: Its own retry policy, in place of the run's; None for no retries. A task's
                `max_retries` goes before it.
            breaker: The policy of its circuit breaker, in place of the run's; None for none.
            idempotent: False: equal tasks of this action are all executed.

        Returns:
            The function, unchanged; or the decorator.

        Raises:
            InvalidTypeError: It cannot be called as `action(args)` or `action(args, context)`, or
                an option is of a type that it cannot have.
            InvalidValueError: The name is taken, or a callable without a name of its own was
                given none.
        """
        if name is not None and not isinstance(name, str) and callable(name):
            name, function = None, name
        policies = ActionPolicies(
            retry=retry if retry is INHERIT else check_retry(retry),
            breaker=breaker if breaker is INHERIT else check_breaker(breaker),
            idempotent=check_bool(("action", name), "idempotent", idempotent),
        )
        if function is None:
            return lambda decorated: self._add(name, decorated, inline, policies)
        return self._add(name, function, inline, policies)

    def _add(self, name: object, function: Any, inline: bool, policies: ActionPolicies) -> Any:
        if name is None:
            name = getattr(function, "__name__", "<lambda>")
            if name == "<lambda>":
                raise InvalidValueError(
                    f"{shorten(function)} has no name; register it as register('name', function)"
                )
        name = check_name(("action", name), "name", name)
        check_bool(("action", name), "inline", inline)
        if name in self._actions:
            raise InvalidValueError(f"action {shorten(name)} is registered already")
        self._actions[name] = make_action(name, function, inline=inline, policies=policies)
        return function


async def start(
    action: Action,
    args: dict[str, Any],
    context: TaskContext,
    limiter: trio.CapacityLimiter | None = None,
) -> object:
    """Call an action once and wait for what it returns.

    Args:
        action: The action; a plain one runs in a worker thread unless it is inline.
        args: The arguments of the task.
        context: Passed on if the action wants it.
        limiter: Bounds the worker threads; None for Trio's own limiter.

    Cancellation: reaches an async action at its checkpoints. A thread is waited for, and its
    value is returned although the call was cancelled.
    """
    given = (args, context) if action.wants_context else (args,)
    if not action.is_async and not action.inline:
        return await call_in_thread(action.function, *given, limiter=limiter)
    return await _settled(action.function(*given))


async def call_in_thread(
    function: Callable[..., object], *args: Any, limiter: trio.CapacityLimiter | None = None
) -> object:
    """Call a plain function in a worker thread, in a copy of the current context.

    If it returns an awaitable (a lambda around an async function does), that is awaited here
    and not in the thread.
    """
    (result,) = await trio.to_thread.run_sync(_boxed, function, args, limiter=limiter)
    return await _settled(result)


def _boxed(function: Callable[..., object], args: tuple[Any, ...]) -> tuple[object]:
    """Trio refuses a coroutine that comes from a thread; it does not look into a tuple."""
    return (function(*args),)


async def _settled(result: object) -> object:
    return await result if inspect.isawaitable(result) else result


# Finding the action of a name

_SERVICE = "generate_response"
# What a service is asked for where the arguments of the task do not say.
_RETRIEVE_MEMORIES, _TOP_K = True, 5


def resolve_actions(
    names: Sequence[str],
    nodes_of: Callable[[str], Iterable[TaskNode]],
    source: object,
    registry: Mapping[str, object] | None = None,
) -> list[Action]:
    """Find every action before anything runs.

    Args:
        names: The action names.
        nodes_of: The tasks of an action name.
        source: What does the work: a mapping, a service object, or None.
        registry: Asked first.

    Returns:
        One action for each name, in their order.

    Raises:
        UnknownActionError: Nothing provides an action.
        InvalidTypeError: What stands in a mapping cannot be called as an action, or the
            registry is no mapping.
    """
    if registry is not None and not isinstance(registry, Mapping):
        raise InvalidTypeError(
            f"actions is {shorten(registry)}, of type {type(registry).__name__}; "
            "it must be a mapping of action names to callables"
        )
    mappings = [m for m in (registry, source) if isinstance(m, Mapping)]
    service = None if isinstance(source, Mapping) else source
    return [_resolve(name, nodes_of, mappings, service) for name in names]


def resolve_one(
    node: TaskNode, source: object, registry: Mapping[str, object] | None = None
) -> Action:
    """Find the action of one task more. Args, Raises: as of `resolve_actions`."""
    (action,) = resolve_actions([node.action_name], lambda _: [node], source, registry)
    return action


def _resolve(
    name: str,
    nodes_of: Callable[[str], Iterable[TaskNode]],
    mappings: list[Mapping[str, object]],
    service: object,
) -> Action:
    for mapping in mappings:
        if name in mapping:
            return make_action(name, mapping[name])
    # A method named like the action is the action, but generate_response has arguments of its
    # own: it is one only for tasks that do not carry a prompt.
    if name != _SERVICE and (method := _public_method(service, name)) is not None:
        return make_action(name, method)
    without_prompt = [node for node in nodes_of(name) if "prompt" not in node.normalized_args]
    respond = _public_method(service, _SERVICE)
    if respond is not None and not without_prompt:
        return make_action(name, _prompt_action(respond))
    if respond is not None and name == _SERVICE:
        return make_action(name, respond)
    raise _unknown(name, without_prompt or nodes_of(name), mappings, service)


def _public_method(service: object, name: str) -> Callable[..., Any] | None:
    if service is None or name.startswith("_"):
        return None
    method = getattr(service, name, None)
    return method if callable(method) else None


def _unknown(
    name: str,
    nodes: Iterable[TaskNode],
    mappings: list[Mapping[str, object]],
    service: object,
) -> UnknownActionError:
    node = next(iter(nodes), None)
    task = f"task {shorten(node.task_id)}: " if node is not None else ""
    known = [key for mapping in mappings for key in mapping if isinstance(key, str)]
    known += _public_methods(service)
    hint = nearest(name, known)
    if not hint and _SERVICE in known and service is not None:
        hint = f"; {_SERVICE} serves only tasks with a 'prompt' in their normalized_args"
    return UnknownActionError(f"{task}nothing provides the action {shorten(name)}{hint}")


def _public_methods(service: object) -> Iterator[str]:
    """The names of what can be called, found without running a property."""
    for name in () if service is None else dir(service):
        attribute = inspect.getattr_static(service, name, None)
        if not name.startswith("_") and (
            callable(attribute) or isinstance(attribute, classmethod | staticmethod)
        ):
            yield name


def _prompt_action(respond: Callable[..., Any]) -> Callable[..., Any]:
    """`generate_response` as an action: async if it is, and in a thread if it is not."""

    def ask(args: dict[str, Any]) -> Any:
        return respond(
            user_message=args["prompt"],
            retrieve_memories=args.get("retrieve_memories", _RETRIEVE_MEMORIES),
            top_k=args.get("top_k", _TOP_K),
        )

    async def ask_async(args: dict[str, Any]) -> Any:
        return _text_of(await ask(args))

    def ask_sync(args: dict[str, Any]) -> Any:
        reply = ask(args)
        return _later(reply) if inspect.isawaitable(reply) else _text_of(reply)

    return ask_async if inspect.iscoroutinefunction(respond) else ask_sync


async def _later(reply: Any) -> Any:
    return _text_of(await reply)


def _text_of(reply: Any) -> Any:
    """A service answers with the response, or with a pair of it and something else."""
    return reply[0] if isinstance(reply, tuple) and len(reply) == 2 else reply
