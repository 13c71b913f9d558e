"""One task: what it takes, what it makes of it. Refusals are in test_bad_input."""

from __future__ import annotations

import copy
import enum
import inspect
import pickle
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest

from tgtrio._arguments import OutputOf, output_of
from tgtrio._errors import CycleError
from tgtrio._graph import TaskGraph
from tgtrio._node import DEFAULTS, FIELDS, REQUIRED, TaskNode
from tgtrio._states import DependencyPolicy

UTC = UTC


class Name(enum.StrEnum):
    FETCH = "fetch"


class Odd(str):
    """A str whose text is not what it prints."""

    def __str__(self) -> str:
        return "something else"


def test_only_id_and_action_are_needed() -> None:
    node = TaskNode("a", "fetch")
    assert attrs.asdict(node, recurse=False) == {
        "task_id": "a",
        "action_name": "fetch",
        "normalized_args": {},
        "resource_ids": (),
        "version": "1",
        "dependencies": (),
        "on_dep_fail": DependencyPolicy.ABORT,
        "priority": 0.0,
        "deadline": None,
        "task_timeout_ms": None,
        "max_retries": None,
        "idempotent": None,
        "expire_at_deadline": None,
        "estimate_ms": None,
        "inputs": (),
    }


def test_every_field_keeps_what_it_was_given() -> None:
    deadline = datetime(2030, 1, 2, tzinfo=UTC)
    values: dict[str, Any] = {
        "task_id": "a",
        "action_name": "fetch",
        "normalized_args": {"x": [1]},
        "resource_ids": ("r", "s"),
        "version": "1.0",
        "dependencies": ("b", "c"),
        "on_dep_fail": DependencyPolicy.SKIP,
        "priority": 5.0,
        "deadline": deadline,
        "task_timeout_ms": 250.0,
        "max_retries": 0,
        "idempotent": False,
        "expire_at_deadline": True,
        "estimate_ms": 0.0,
    }
    by_name, by_place = TaskNode(**values), TaskNode(*values.values())
    assert by_name == by_place
    assert {name: getattr(by_name, name) for name in values} == values


def test_the_names_their_order_and_defaults_are_those_of_add_task() -> None:
    node = list(inspect.signature(TaskNode).parameters.values())
    method = list(inspect.signature(TaskGraph.add_task).parameters.values())[1:]
    assert node == method
    assert tuple(parameter.name for parameter in node) == FIELDS
    assert REQUIRED == ("task_id", "action_name")
    assert REQUIRED + tuple(DEFAULTS) == FIELDS


def test_a_node_never_changes() -> None:
    node = TaskNode("a", "fetch")
    for name in (*FIELDS, "inputs", "other"):
        with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
            setattr(node, name, "x")
    assert not hasattr(node, "__dict__")


def test_nodes_are_equal_by_value_and_can_be_members_of_a_set() -> None:
    one = TaskNode("a", "fetch", {"x": 1}, dependencies=["b"])
    two = TaskNode("a", "fetch", {"x": 1}, dependencies=("b",))
    assert one == two
    assert len({one, two, TaskNode("a", "fetch")}) == 2


@pytest.mark.parametrize("node", [TaskNode("a", "f"), TaskNode("a", "f", {"x": output_of("b")})])
def test_copies_and_pickles_are_nodes_again(node: TaskNode) -> None:
    for again in (copy.copy(node), copy.deepcopy(node), pickle.loads(pickle.dumps(node))):
        assert type(again) is TaskNode
        assert again == node


def test_evolve_checks_again() -> None:
    node = TaskNode("a", "f", {"x": output_of("b")}, dependencies=["c"])
    changed = attrs.evolve(node, priority=5)
    assert (changed.priority, changed.dependencies, changed.inputs) == (5.0, ("c", "b"), ("b",))
    with pytest.raises(CycleError):
        attrs.evolve(node, dependencies=["a"])


def test_with_dependencies_changes_nothing_else() -> None:
    node = TaskNode("a", "f", {"x": output_of("b")}, priority=3)
    other = node.with_dependencies(("b", "z"))
    assert type(other) is TaskNode
    assert other.dependencies == ("b", "z")
    assert other.with_dependencies(node.dependencies) == node
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        other.priority = 1  # type: ignore[misc]


HOSTILE = [
    "../../etc/passwd",
    "a\x00b",
    "x" * 10_000,
    "\u202egnp.exe",
    "'; DROP TABLE tasks; --",
    "<script>alert(1)</script>",
    " ",
    "\n",
    "\U0001f600",
    "a -> b",
    "None",
    "0",
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:12]))
def test_any_text_is_an_id(name: str) -> None:
    node = TaskNode(name, name, {}, [name], name, ["before " + name])
    assert (node.task_id, node.action_name, node.version) == (name, name, name)
    assert (node.resource_ids, node.dependencies) == ((name,), ("before " + name,))


@pytest.mark.parametrize("name", [Name.FETCH, Odd("fetch")])
def test_a_subclass_of_str_becomes_the_plain_text(name: str) -> None:
    node = TaskNode(name, name, {}, [name], name)
    for text in (node.task_id, node.action_name, node.version, *node.resource_ids):
        assert type(text) is str
        assert text == "fetch"


def test_the_arguments_are_a_copy() -> None:
    args = {"x": [1]}
    node = TaskNode("a", "f", args)
    args["x"].append(2)
    assert node.normalized_args == {"x": [1]}


def test_no_two_nodes_share_their_empty_arguments() -> None:
    assert TaskNode("a", "f").normalized_args is not TaskNode("b", "f").normalized_args


def test_output_of_adds_dependencies_after_the_declared_ones() -> None:
    args = {"x": [output_of("c"), output_of("b")], "y": output_of("c")}
    node = TaskNode("a", "f", args, dependencies=["z", "b"])
    assert node.inputs == ("c", "b")
    assert node.dependencies == ("z", "b", "c")
    assert node.normalized_args["y"] == OutputOf("c")


def test_duplicates_are_folded() -> None:
    node = TaskNode("a", "f", {}, ["r", "s", "r"], dependencies=["c", "b", "c"])
    assert node.resource_ids == ("r", "s")
    assert node.dependencies == ("c", "b")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ([], ()),
        (["c", "b"], ("c", "b")),
        (iter(["c", "b"]), ("c", "b")),
        ({"c": 1, "b": 2}.keys(), ("c", "b")),
        ({"d", "c", "b"}, ("b", "c", "d")),
        (frozenset({"d", "c", "\xe9"}), ("c", "d", "\xe9")),
    ],
)
def test_any_iterable_will_do_and_a_set_is_sorted(
    given: Iterable[str], taken: tuple[str, ...]
) -> None:
    assert TaskNode("a", "f", dependencies=given).dependencies == taken


@pytest.mark.parametrize("policy", DependencyPolicy)
def test_a_policy_or_its_value(policy: DependencyPolicy) -> None:
    assert TaskNode("a", "f", on_dep_fail=policy).on_dep_fail is policy
    assert TaskNode("a", "f", on_dep_fail=policy.value).on_dep_fail is policy


@pytest.mark.parametrize("value", [5, 5.0, Fraction(5)])
@pytest.mark.parametrize("field", ["priority", "task_timeout_ms", "estimate_ms"])
def test_numbers_become_floats(field: str, value: Any) -> None:
    taken = getattr(TaskNode("a", "f", **{field: value}), field)
    assert type(taken) is float
    assert taken == 5.0


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=14)), ZoneInfo("UTC")])
@pytest.mark.parametrize("when", [datetime.min, datetime(2030, 1, 1), datetime.max])
def test_any_aware_instant_is_a_deadline(when: datetime, zone: tzinfo) -> None:
    deadline = when.replace(tzinfo=zone)
    assert TaskNode("a", "f", deadline=deadline).deadline is deadline


def test_its_public_name() -> None:
    assert TaskNode.__module__ == "tgtrio"
