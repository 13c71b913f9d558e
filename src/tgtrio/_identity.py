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

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ._node import TaskNode

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
    resources = sorted(set(resource_ids))
    document = {"action": action_name, "args": args, "resources": resources, "version": version}
    return hashlib.sha256(_encode(document)).hexdigest()


def key_of(node: TaskNode) -> str | None:
    """The idempotency key of a task, or None if it has none by itself."""
    if node.inputs or node.idempotent is False:
        return None
    return idempotency_key(node.action_name, node.normalized_args, node.resource_ids, node.version)
