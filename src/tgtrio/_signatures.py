"""How a callable wants to be called as an action: read from its signature, once.

An action is called as `action(args)` or `action(args, context)`. It gets the context if

* its second positional parameter has no default or is named `context`, or
* a later or keyword-only parameter is named `context`; it is then passed by keyword.

Everything else it takes must have a default. A callable without a readable signature (some
builtins) gets one argument.
"""

from __future__ import annotations

import enum
import functools
import inspect
from types import FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

from ._errors import InvalidTypeError, shorten

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Context(enum.Enum):
    """How an action takes its context."""

    NONE = enum.auto()
    SECOND = enum.auto()
    KEYWORD = enum.auto()


# Only functions are kept, and methods by their function: they are compared by identity, and
# nothing that is kept refers back to them.
_functions: WeakKeyDictionary[FunctionType, tuple[bool, Context]] = WeakKeyDictionary()
_methods: WeakKeyDictionary[FunctionType, tuple[bool, Context]] = WeakKeyDictionary()


def inspect_action(name: str, function: object) -> tuple[bool, Context]:
    """Is it async, and how does it take the context?"""
    known, key = _functions, function
    if isinstance(function, MethodType):
        known, key = _methods, function.__func__
    if not isinstance(key, FunctionType):
        return _is_async(name, function), _context_of(name, function)
    if (inspected := known.get(key)) is None:
        inspected = known[key] = _is_async(name, function), _context_of(name, function)
    return inspected


def _is_async(name: str, function: object) -> bool:
    body = function
    while isinstance(body, functools.partial):
        body = body.func
    if not callable(body):
        raise InvalidTypeError(
            f"action {shorten(name)}: {shorten(function)} is not callable; "
            "an action is a function, sync or async"
        )
    if not inspect.isroutine(body) and not isinstance(body, type):
        body = type(body).__call__
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        raise InvalidTypeError(
            f"action {shorten(name)}: {shorten(function)} is a generator function; "
            "an action returns one value"
        )
    return inspect.iscoroutinefunction(body)


def _context_of(name: str, function: Any) -> Context:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin that does not tell
        return Context.NONE
    positional = [p for p in signature.parameters.values() if p.kind in _POSITIONAL]
    others = [p for p in signature.parameters.values() if p.kind not in _POSITIONAL]
    left = [*positional[1:], *others]
    context = Context.NONE
    if _takes_context(positional[1:2]):
        context = Context.SECOND
        left = [*positional[2:], *others]
    elif any(map(_takes_keyword_context, left)) and not _is_bound(function):
        context = Context.KEYWORD
        left = [p for p in left if p.name != "context"]
    takes_args = positional or any(p.kind is p.VAR_POSITIONAL for p in others)
    if not takes_args or any(map(_must_be_given, left)):
        raise InvalidTypeError(
            f"action {shorten(name)}: {shorten(function)} has the signature {signature}; "
            "an action is called as action(args) or action(args, context)"
        )
    return context


def _takes_context(second: list[inspect.Parameter]) -> bool:
    return any(p.default is p.empty or p.name == "context" for p in second)


def _takes_keyword_context(parameter: inspect.Parameter) -> bool:
    return parameter.name == "context" and parameter.kind in (
        parameter.KEYWORD_ONLY,
        parameter.POSITIONAL_OR_KEYWORD,
    )


def _is_bound(function: object) -> bool:
    """Has a `partial` filled in the context already?"""
    return isinstance(function, functools.partial) and "context" in function.keywords


def _must_be_given(parameter: inspect.Parameter) -> bool:
    variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variable
