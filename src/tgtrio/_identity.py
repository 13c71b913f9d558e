"""The identity of a piece of work: sha256 over canonical JSON.

The canonical form below never changes, because keys outlive the program in stores.

* The document is an object with four members: `action` (str), `args` (the arguments as
  stored, tuples as arrays), `resources` (array of str, sorted, each once), `version` (str).
* UTF-8, no byte order mark, no spaces or line ends between tokens.
* The members of every object are sorted by the Unicode code points of their names.
* In strings `"` and `\\` are escaped by a backslash; U+0008, U+0009, U+000A, U+000C and
  U+000D are `\\b \\t \\n \\f \\r`; other characters below U+0020 are `\\u00` and two lower-case
  hexadecimal digits. Everything else, U+007F and `/` included, stands for itself. Nothing is
  normalised: two spellings of an accented letter are two strings.
* Integers are decimal, without sign if positive.
* Floats have the fewest digits that read back as the same double. With the value written as
  d.ddd times 10 to the power e: for -5 <= e < 16 the plain form, with at least one digit
  after the point (`0.00001`, `100.0`); otherwise `d.ddde<e>`, without a point if there is one
  digit only, without `+` or leading zeros (`1e16`, `2.5e-7`).
* A float is never written as an integer: `1.0` and `1` are different work, because an action
  can tell them apart. So are `0.0` and `-0.0`, and so are `True` and `1`.

The key is the lower-case hexadecimal sha256 of these bytes.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from ._arguments import DEEPEST, Unavailable, check_json, is_plainly_json
from ._errors import InvalidArgumentError
from ._node import TaskNode

_Bytes2: TypeAlias = tuple[bytes, bytes]

_OWN = "~"  # before the key of work that is not to be shared, in a store

# msgspec writes exactly the form above; tests/test_identity.py compares it with a slow writer.
_encode = msgspec.json.Encoder(order="deterministic").encode


def canonical_json(value: object) -> bytes:
    """A value in the canonical form.

    It must be JSON data already (`check_arguments`, `check_json`): what is not would be
    written as something else without a word.
    """
    return _encode(value)


def idempotency_key(
    action_name: str, args: Mapping[str, Any], resource_ids: Iterable[str], version: str
) -> str:
    """The key under which this work is known: 64 hexadecimal digits.

    Args:
        action_name: The action.
        args: Checked arguments, with every `output_of` already replaced by a checked value.
        resource_ids: In any order; duplicates count once.
        version: The version of the action.
    """
    if not args:
        return _key_without_args(action_name, tuple(resource_ids), version)
    head, tail = _around_args(action_name, tuple(resource_ids), version)
    return hashlib.sha256(head + _encode(args) + tail).hexdigest()


def keys_of(nodes: Iterable[TaskNode]) -> list[str]:
    """The `idempotency_key` of each of many tasks whose args hold no `output_of`."""
    keys = []
    around: dict[tuple[str, tuple[str, ...], str], _Bytes2] = {}
    encode, sha256 = _encode, hashlib.sha256
    for node in nodes:
        work = (node.action_name, node.resource_ids, node.version)
        if not node.normalized_args:
            keys.append(_key_without_args(*work))
            continue
        if work not in around:
            around[work] = _around_args(*work)
        head, tail = around[work]
        keys.append(sha256(head + encode(node.normalized_args) + tail).hexdigest())
    return keys


@functools.lru_cache(maxsize=1_000)
def _key_without_args(action_name: str, resource_ids: tuple[str, ...], version: str) -> str:
    head, tail = _around_args(action_name, resource_ids, version)
    return hashlib.sha256(head + b"{}" + tail).hexdigest()


@functools.lru_cache(maxsize=1_000)  # few are in use at a time, and encoding them takes longer
def _around_args(action_name: str, resource_ids: tuple[str, ...], version: str) -> _Bytes2:
    """The document before its `args`, and after them."""
    resources = sorted(set(resource_ids))
    document = {"action": action_name, "args": 0, "resources": resources, "version": version}
    head = _encode({"action": action_name})[:-1] + b',"args":'
    return head, _encode(document)[len(head) + 1 :]


def key_of(node: TaskNode, args: Mapping[str, Any] | None = None) -> str | None:
    """The idempotency key of a task, or None if it has none.

    Args:
        node: The task.
        args: Its arguments with every `output_of` replaced; None if they are not known yet.
    """
    if node.idempotent is False or (node.inputs and args is None):
        return None
    return content_key(node, args)


def content_key(node: TaskNode, args: Mapping[str, Any] | None = None) -> str | None:
    """The key of what a task does, whether it may be shared or not.

    None if an input of it is unavailable or no JSON data.
    """
    if args is None or not node.inputs:
        args = node.normalized_args
    else:
        if not is_plainly_json(args):
            try:
                args = check_json(("task", node.task_id), "normalized_args", args)
            except InvalidArgumentError:
                return None
    assert args is not None
    return idempotency_key(node.action_name, args, node.resource_ids, node.version)


def record_key(node: TaskNode, args: Mapping[str, Any], *, shared: bool) -> str | None:
    """The key under which a store keeps a success of a task.

    It is the `kept_key`; a task of which an input was unavailable is not shared.

    Args:
        node: The task.
        args: Its arguments with every `output_of` replaced.
        shared: May equal work of others be served from it?
    """
    key = content_key(node, args)
    if key is None:
        key = content_key(node, _replace_unavailable(args))
        shared = False
    return None if key is None else kept_key(key, shared=shared)


def kept_key(key: str, *, shared: bool) -> str:
    """A key as a store keeps it.

    That of work that is not to be shared is marked: the same run knows the work again
    (`is_same_work`), and nobody else finds it.
    """
    return key if shared else _OWN + key


def shared_key(kept: str | None) -> str | None:
    """The key under which others find what is kept under this one; None if nobody does."""
    return None if kept is None or kept.startswith(_OWN) else kept


def is_same_work(kept: str, other: str) -> bool:
    """Are these the kept keys of one work? Whether it is shared may have changed meanwhile."""
    return kept.removeprefix(_OWN) == other.removeprefix(_OWN)


def _replace_unavailable(value: Any, depth: int = 0) -> Any:
    """Plain data in place of each `Unavailable`."""
    if isinstance(value, Unavailable):
        return {"$unavailable": [value.task_id, value.state.value, value.error]}
    if depth > DEEPEST:
        return value
    if type(value) is dict:
        return {name: _replace_unavailable(item, depth + 1) for name, item in value.items()}
    if type(value) is list or type(value) is tuple:
        return [_replace_unavailable(item, depth + 1) for item in value]
    return value
