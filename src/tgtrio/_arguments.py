"""The arguments of a task: JSON data, and `output_of`.

Allowed are None, bool, finite float, int of 64 bits, well-formed str, list or tuple, and
dict with str keys, nested at most 200 deep (`normalized_args` itself is the first level).
Types are exact. A subclass is refused: what an IntEnum or a numpy float becomes in JSON
depends on who writes it, and an idempotency key must not.

`OutputOf` stands anywhere inside and is replaced, before the action is called, by the
response of the task that it names.

In a graph file `OutputOf("a")` is written `{"$output_of": "a"}`. A literal dict whose only
key is `$output_of`, with any number of dollar signs, is written with one dollar sign more,
and reading takes it away again: every value survives the round trip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import repeat
from operator import is_
from typing import Any

import attrs
import msgspec

from ._checks import Owner, check_name, describe, well_formed
from ._errors import InvalidArgumentError, TgtrioError, shorten
from ._states import TaskState

_encode = msgspec.json.Encoder().encode

DEEPEST = 200
SHALLOW = 10
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

_MARK = "$output_of"
_HINTS = {
    int: "int(...)",
    float: "float(...)",
    str: "its .value or str(...)",
    dict: "dict(...)",
    list: "list(...)",
    tuple: "list(...)",
    set: "sorted(...)",
    frozenset: "sorted(...)",
    bytes: "base64.b64encode(...).decode()",
    bytearray: "base64.b64encode(...).decode()",
    complex: "[x.real, x.imag]",
}


@attrs.frozen
class OutputOf:
    """Stands in `normalized_args` for the response of another task, and makes it a dependency."""

    task_id: str = attrs.field()

    @task_id.validator
    def _check_task_id(self, _field: object, value: object) -> None:
        check_name(("output_of", value), "task_id", value)


_INNER = frozenset({OutputOf, dict, list})  # what `substitute` must look at


def output_of(task_id: str) -> OutputOf:
    """The response of another task, to be put into `normalized_args` at any depth.

    The other task becomes a dependency. If it did not succeed, the action gets an
    `Unavailable` in this place.

    Raises:
        InvalidTypeError, InvalidValueError: `task_id` is no str, or empty.
    """
    return OutputOf(task_id)


@attrs.frozen
class Unavailable:
    """What an action gets in place of the response of a task that did not succeed.

    Attributes:
        task_id: The task that `output_of` named.
        state: How it ended.
        error: Its error in words.
    """

    task_id: str
    state: TaskState
    error: str = ""


def check_arguments(task_id: str, value: object) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Check the `normalized_args` of a task, and copy them.

    Args:
        task_id: The task, for the message.
        value: Any mapping at the top; below it only plain dicts.

    Returns:
        The copy, with tuples made lists; and the ids named by `OutputOf`, each once, in order
        of appearance.

    Raises:
        InvalidArgumentError: Something in it is no JSON data. `path` leads to it.
    """
    if type(value) is not dict:
        if not isinstance(value, Mapping):
            raise InvalidArgumentError(
                f"{describe(('task', task_id))}: normalized_args is {shorten(value)}, of type "
                f"{type(value).__name__}; it must be a mapping of str to JSON data",
                "normalized_args",
            )
        value = dict(value)
    if is_plainly_json(value, depth=1):  # nothing in it must be copied
        return value.copy(), ()
    inputs: dict[str, None] = {}
    return _Walk(("task", task_id), "normalized_args", inputs).copy(value), tuple(inputs)


def check_json(owner: Owner, name: str, value: object) -> Any:
    """Check that a value is JSON data without `OutputOf`, and copy it, with tuples made lists.

    Args:
        owner: Whose value it is, for the message: `("task", "t1")`.
        name: What it is, for the message and the path: `"response"`.

    Raises:
        InvalidArgumentError: Something in it is no JSON data. `path` leads to it.
    """
    return _Walk(owner, name, None).copy(value)


def encode_json(owner: Owner, name: str, value: object) -> bytes:
    """A value as JSON.

    Raises:
        InvalidArgumentError: Something in it is no JSON data. `path` leads to it.
    """
    return _encode(value if is_plainly_json(value) else check_json(owner, name, value))


def is_plainly_json(value: Any, depth: int = SHALLOW) -> bool:
    """True if a value is JSON data beyond doubt: the common case, and fast.

    False says nothing: whoever must know then asks `check_json`.
    """
    kind = type(value)
    if kind is str:
        plain: bool = value.isascii()
    elif kind is int:
        plain = INT_MIN <= value <= INT_MAX
    elif kind is float:
        plain = math.isfinite(value)
    elif kind is list or kind is tuple:
        plain = depth > 0 and _are_plain(value, depth - 1)
    elif kind is dict:
        plain = (
            depth > 0 and all(map(_is_plain_key, value)) and _are_plain(value.values(), depth - 1)
        )
    else:
        plain = value is None or kind is bool
    return plain


def _are_plain(items: Iterable[Any], depth: int) -> bool:
    return all(map(is_plainly_json, items, repeat(depth)))


def _is_plain_key(key: object) -> bool:
    return type(key) is str and key.isascii()


class _Walk:
    """One checked copy, depth first, with a stack of its own.

    A list that holds itself ends at the depth limit like any other that is too deep.
    """

    def __init__(self, owner: Owner, name: str, inputs: dict[str, None] | None) -> None:
        self.owner = owner
        self.name = name
        self.inputs = inputs  # None: no OutputOf allowed

    def copy(self, value: object) -> Any:
        root: list[Any] = [None]
        levels: list[tuple[Any, Iterator[tuple[Any, Any]]]] = [(root, iter([(0, value)]))]
        path: list[Any] = []  # path[n] is the key reached on level n; path[0] is the root's
        while levels:
            target, items = levels[-1]
            del path[len(levels) - 1 :]
            for key, item in items:
                kind = type(item)
                if kind is dict or kind is list or kind is tuple:
                    path.append(key)
                    below = self.open(item, path)
                    target[key] = below[0]
                    levels.append(below)
                    break
                if objection := self.objection(item):
                    raise self.refusal([*path, key], item, objection)
                target[key] = item
            else:
                levels.pop()
        return root[0]

    def open(self, item: Any, path: list[Any]) -> tuple[Any, Iterator[tuple[Any, Any]]]:
        """An empty copy of a container, and what is to be put into it under which keys."""
        if len(path) > DEEPEST:
            raise self.refusal(path, item, f"is nested more than {DEEPEST} deep, or holds itself")
        if type(item) is not dict:
            return [None] * len(item), iter(enumerate(item))
        for key in item:
            if type(key) is not str:
                raise self.refusal([*path, key], key, "is a key; a key must be a plain str")
            if not well_formed(key):
                raise self.refusal([*path, key], key, "is a key that holds a lone surrogate")
        return {}, iter(item.items())

    def objection(self, item: object) -> str:
        """What is wrong with a scalar, or nothing."""
        kind = type(item)
        if item is None or kind is bool:
            return ""
        if isinstance(item, str) and kind is str:
            return "" if well_formed(item) else "holds a lone surrogate, which is not Unicode text"
        if isinstance(item, int) and kind is int:
            return "" if INT_MIN <= item <= INT_MAX else "has more than 64 bits; write it as a str"
        if isinstance(item, float) and kind is float:
            return "" if math.isfinite(item) else "has no place in JSON; use None or a str"
        if isinstance(item, OutputOf) and self.inputs is not None:
            self.inputs[item.task_id] = None
            return ""
        hint = next((f"; convert it with {_HINTS[t]}" for t in kind.__mro__ if t in _HINTS), "")
        return f"is of type {kind.__name__}, which is not JSON data{hint}"

    def refusal(self, path: list[Any], item: object, objection: str) -> InvalidArgumentError:
        where = self.name + "".join(f"[{shorten(key)}]" for key in path[1:])
        shown = where if len(where) <= 200 else f"{where[:150]}...{where[-47:]}"
        return InvalidArgumentError(
            f"{describe(self.owner)}: {shown} is refused: {shorten(item)} {objection}", where
        )


def substitute(args: dict[str, Any], lookup: Callable[[str], object]) -> dict[str, Any]:
    """Put what `lookup(task_id)` returns in place of each `OutputOf`.

    Only containers on the way to an `OutputOf` are copied; the rest is shared with `args`, which
    have been checked, and so are not too deep.
    """
    new: dict[str, Any] = _substitute(args, lookup)
    return new


def _substitute(value: Any, lookup: Callable[[str], object]) -> Any:
    kind = type(value)
    if kind is OutputOf:
        return lookup(value.task_id)
    if kind is list:
        items = [_substitute(item, lookup) if type(item) in _INNER else item for item in value]
        return value if all(map(is_, items, value)) else items
    if kind is dict:
        filled = {
            key: _substitute(item, lookup) if type(item) in _INNER else item
            for key, item in value.items()
        }
        return value if all(map(is_, filled.values(), value.values())) else filled
    return value


def to_plain(value: Any) -> Any:
    """Checked arguments as they stand in a graph file; a copy throughout."""
    return _rebuild(value, lambda output: {_MARK: output.task_id}, _escape)


def from_plain(task_id: object, value: Any) -> Any:
    """The reverse of `to_plain`. The result is not checked yet, and may share parts with `value`.

    Raises:
        InvalidArgumentError: A `{"$output_of": ...}` names no task.
    """

    def read(container: Any) -> Any:
        if len(container) != 1 or type(container) is not dict:
            return container
        ((key, item),) = container.items()
        if key != _MARK:
            return {key[1:]: item} if _is_marked(key) else container
        try:
            return OutputOf(item)
        except TgtrioError as exc:
            raise InvalidArgumentError(
                f"{describe(('task', task_id))}: normalized_args holds {shorten(container)}; "
                f"after {_MARK!r} comes the id of a task"
            ) from exc

    return _rebuild(value, lambda output: output, read)


def _is_marked(key: object) -> bool:
    return isinstance(key, str) and key[:1] == "$" and key.lstrip("$") == _MARK[1:]


def _escape(container: Any) -> Any:
    if len(container) == 1 and type(container) is dict:
        ((key, item),) = container.items()
        if _is_marked(key):
            return {"$" + key: item}
    return container.copy()


def _rebuild(
    value: Any,
    output: Callable[[OutputOf], object],
    enter: Callable[[Any], Any],
    depth: int = 0,
) -> Any:
    """Replace each `OutputOf`, and each dict and list by what `enter` makes of it.

    What neither changes is kept, not copied. Below the greatest legal depth (an `OutputOf` is
    a dict there in plain form, hence one more) values are left as they are: the check refuses
    them anyway.
    """
    kind = type(value)
    if kind is OutputOf:
        return output(value)
    if depth > DEEPEST or not (kind is dict or kind is list or kind is tuple):
        return value
    result = enter(list(value) if kind is tuple else value)
    if type(result) is OutputOf:
        return result
    items = result.items() if kind is dict else enumerate(result)
    for key, item in list(items):
        new = _rebuild(item, output, enter, depth + 1)
        if new is not item:
            if result is value:
                result = value.copy()
            result[key] = new
    return result
