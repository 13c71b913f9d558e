"""What is done for every task that is described: the twin in plain Python.

What each method promises stands in `_describing.pyi`. What is plainly right costs a
comparison, in the order of the fields.
"""

from __future__ import annotations

from array import array
from math import isfinite
from typing import Any

from ._states import DependencyPolicy

_NONE: tuple[str, ...] = ()


class NodeWriter:
    def __init__(self, cls: type[Any], names: tuple[str, ...], defaults: dict[str, Any]) -> None:
        del defaults
        # The same slots, not frozen: a node is one of these while its fields are written.
        self._cls, self._draft = cls, type("_Draft", (), {"__slots__": names})

    def write(self, node: Any, values: tuple[Any, ...]) -> None:
        object.__setattr__(node, "__class__", self._draft)
        (
            node.task_id,
            node.action_name,
            node.normalized_args,
            node.resource_ids,
            node.version,
            node.dependencies,
            node.on_dep_fail,
            node.priority,
            node.deadline,
            node.task_timeout_ms,
            node.max_retries,
            node.idempotent,
            node.expire_at_deadline,
            node.estimate_ms,
            node.inputs,
        ) = values
        node.__class__ = self._cls

    def write_plain(self, node: Any, given: tuple[Any, ...]) -> bool:
        task_id, action_name, args, resources, version, before, policy, priority, *rest = given
        if not (
            _is_name(task_id)
            and _is_name(action_name)
            and not args
            and (args is None or type(args) is dict)
            and _is_name(version)
            and type(policy) is DependencyPolicy
            and type(priority) is float
            and isfinite(priority)
            and rest.count(None) == len(rest)
        ):
            return False
        resources, before = _names(resources), _names(before)
        if resources is None or before is None or task_id in before:
            return False
        head: tuple[Any, ...] = (
            task_id,
            action_name,
            {},
            resources,
            version,
            before,
            policy,
            priority,
        )
        self.write(node, (*head, *rest, ()))
        return True

    def plain_node(self, _item: object) -> Any:
        return None

    def find_places(
        self,
        names: tuple[str, ...],
        places: dict[str, int],
        _nodes: list[Any],
        _first: int,
        found: array[int] | None,
    ) -> bool:
        known = [places[name] for name in names if name in places]
        if len(known) < len(names):
            return False
        if found is not None:
            found.extend(known)
        return True


def _is_name(value: object) -> bool:
    return type(value) is str and value.isascii() and bool(value)


def _names(value: object) -> tuple[str, ...] | None:
    if value is _NONE:
        return _NONE
    if type(value) is not tuple and type(value) is not list:
        return None
    for name in value:
        if type(name) is not str or not name or not name.isascii():
            return None
    return tuple(value) if len(value) < 2 else tuple(dict.fromkeys(value))
