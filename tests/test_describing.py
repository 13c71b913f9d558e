"""What is written without checks is what the checks would have written."""

from __future__ import annotations

import enum
import gc
import math
import sys
from array import array
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio import DependencyPolicy, TaskNode, _describing_py, output_of
from tgtrio._node import DEFAULTS, FIELDS, _checked

if TYPE_CHECKING:
    from tgtrio._describing import NodeWriter

NAMES = tuple(field.name for field in attrs.fields(TaskNode))


def writers() -> dict[str, NodeWriter]:
    """The writers that are there, by name."""
    found = {"pure": cast("NodeWriter", _describing_py.NodeWriter(TaskNode, NAMES, DEFAULTS))}
    try:
        from tgtrio import _describing
    except ImportError:
        return found
    return {"compiled": _describing.NodeWriter(TaskNode, NAMES, DEFAULTS)} | found


WRITERS = writers()


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest) -> NodeWriter:
    return WRITERS[request.param]


@pytest.fixture
def compiled() -> NodeWriter:
    if "compiled" not in WRITERS:
        pytest.skip("tgtrio._describing is not compiled here")
    return WRITERS["compiled"]


class Odd(str):
    pass


class Level(enum.IntEnum):
    HIGH = 5


def given_of(**fields: Any) -> tuple[Any, ...]:
    values = {"task_id": "a", "action_name": "f"} | DEFAULTS | fields
    return tuple(values[name] for name in FIELDS)


def blank() -> TaskNode:
    return object.__new__(TaskNode)


NUMBERS: list[Any] = [0, 5, -1, 0.0, -0.0, 2.5, -2.5, math.nan, math.inf, True, Level.HIGH]
NUMBERS += [2**53, 2**53 + 1, -(2**53) - 1, 2**63, 2**2000, "5"]
TEXTS: list[Any] = ["a", "b", "f", "", "\xe9", "\ud800", Odd("a"), None, 5]
VALUES: dict[str, list[Any]] = {
    "task_id": TEXTS,
    "action_name": TEXTS,
    "version": TEXTS,
    "normalized_args": [
        None,
        {},
        *({"x": number} for number in NUMBERS),
        *({"x": text, "y": None} for text in TEXTS),
        *({text: 1} for text in TEXTS),
        {"x": -(2**63)},
        {"x": -(2**63) - 1},
        {"x": []},
        {"x": [output_of("b")]},
        [("x", 1)],
        5,
    ],
    "dependencies": [
        (),
        [],
        ["b"],
        ("b", "c"),
        ["c", "b", "c"],
        [f"d{n % 9}" for n in range(12)],
        [f"d{n}" for n in range(12)],
        ["a"],
        {"c", "b"},
        ["\xe9"],
        [Odd("b")],
        [""],
        [5],
        "b",
        None,
    ],
    "on_dep_fail": [*DependencyPolicy, "skip", "nothing", None],
    "priority": [*NUMBERS, None],
    "deadline": [
        None,
        datetime(2030, 1, 1),
        datetime(2030, 1, 1, tzinfo=UTC),
        datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        datetime(2030, 1, 1, tzinfo=ZoneInfo("UTC")),
        5,
    ],
    "task_timeout_ms": [*NUMBERS, None],
    "max_retries": [*NUMBERS, None],
    "idempotent": [None, True, False, 1],
    "expire_at_deadline": [None, True, False, 1],
    "estimate_ms": [*NUMBERS, None],
}
VALUES["resource_ids"] = VALUES["dependencies"]
# Few fields at once: of a node in which nearly all is odd, one oddity hides the others.
FEW = st.lists(st.sampled_from(list(VALUES)), max_size=4).flatmap(
    lambda names: st.fixed_dictionaries({name: st.sampled_from(VALUES[name]) for name in names})
)


ONE_BY_ONE = [(name, value) for name, values in VALUES.items() for value in values]


def assert_as_checked(writer: NodeWriter, fields: dict[str, Any]) -> None:
    node = blank()
    given = given_of(**fields)
    if not writer.write_plain(node, given):
        assert not any(hasattr(node, name) for name in NAMES)
        return
    written = tuple(getattr(node, name) for name in NAMES)
    checked = _checked(*given)
    assert repr(written) == repr(checked)  # also where 5 == 5.0 == Level.HIGH
    assert [type(value) for value in written] == [type(value) for value in checked]
    assert type(node) is TaskNode
    if given[2] is not None:
        assert node.normalized_args is not given[2]


@pytest.mark.parametrize(("name", "value"), ONE_BY_ONE)
def test_each_value_of_each_field(writer: NodeWriter, name: str, value: Any) -> None:
    assert_as_checked(writer, {name: value})


@given(FEW)
def test_values_together(fields: dict[str, Any]) -> None:
    for writer in WRITERS.values():
        assert_as_checked(writer, fields)


@given(FEW)
def test_a_plain_node_of_a_mapping_is_that_of_its_fields(fields: dict[str, Any]) -> None:
    fields = {"task_id": "a", "action_name": "f"} | fields
    for writer in WRITERS.values():
        node = writer.plain_node(fields)
        if node is not None:
            assert node == TaskNode(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"dependencies": ["b", "c"], "resource_ids": ("r",), "version": "2"},
        {"on_dep_fail": DependencyPolicy.SKIP, "priority": 2.5},
    ],
)
def test_the_most_common_nodes_need_no_check(writer: NodeWriter, fields: dict[str, Any]) -> None:
    assert writer.write_plain(blank(), given_of(**fields))


def test_no_field_needs_a_check_in_c(compiled: NodeWriter) -> None:
    fields = {
        "normalized_args": {"a": 1, "b": "x", "c": 0.5, "d": None, "e": True},
        "priority": 5,
        "deadline": datetime(2030, 1, 1, tzinfo=UTC),
        "task_timeout_ms": 100,
        "max_retries": 0,
        "idempotent": False,
        "expire_at_deadline": True,
        "estimate_ms": 2.5,
    }
    assert compiled.write_plain(blank(), given_of(**fields))
    assert compiled.plain_node({"task_id": "a", "action_name": "f", **fields}) is not None


@pytest.mark.parametrize(
    "item",
    [
        None,
        [],
        {},
        {"task_id": "a"},
        {"task_id": "a", "action_name": "f", "colour": 1},
        {"task_id": "a", "action_name": "f", "inputs": ()},
        {"task_id": "a", "action_name": "f", 5: 6},
        {"task_id": "a", "action_name": "f", Odd("priority"): 6.0},
    ],
)
def test_what_is_no_plain_mapping_is_left_to_the_checks(writer: NodeWriter, item: object) -> None:
    assert writer.plain_node(item) is None


def test_a_node_with_nothing_but_plain_values_is_none_of_the_collectors_business(
    compiled: NodeWriter,
) -> None:
    node = blank()
    assert compiled.write_plain(node, given_of(dependencies=["b"]))
    assert not gc.is_tracked(node)
    assert not gc.is_tracked(node.dependencies)


def test_only_nodes_are_written(compiled: NodeWriter) -> None:
    class Other:
        __slots__ = ("task_id",)

    with pytest.raises(TypeError, match="is no TaskNode"):
        compiled.write_plain(Other(), given_of())
    with pytest.raises(ValueError, match="2 values"):
        compiled.write(blank(), (1, 2))
    with pytest.raises(ValueError):
        compiled.write_plain(blank(), (1, 2))
    with pytest.raises((TypeError, KeyError)):
        type(compiled)(str, NAMES, DEFAULTS)


def test_writing_again_forgets_the_old_values(writer: NodeWriter) -> None:
    node, old = blank(), "an old name"
    before = sys.getrefcount(old)
    assert writer.write_plain(node, given_of(task_id=old))
    assert writer.write_plain(node, given_of(task_id="new"))
    assert node.task_id == "new"
    assert sys.getrefcount(old) == before


NODES = [TaskNode("a" * n, "f") for n in (1, 2, 3)]
PLACES = {"a": 10, "aa": 11, "aaa": 12}


def test_places_are_appended_in_order(writer: NodeWriter) -> None:
    found = array("i", [7])
    assert writer.find_places(("aaa", "a"), PLACES, NODES, 10, found)
    assert list(found) == [7, 12, 10]
    assert writer.find_places((), PLACES, NODES, 10, found)
    assert writer.find_places(("a",), PLACES, NODES, 10, None)
    assert list(found) == [7, 12, 10]


def test_of_an_unknown_name_nothing_is_appended(writer: NodeWriter) -> None:
    found = array("i", [7])
    assert not writer.find_places(("a", "b", "aa"), PLACES, NODES, 10, found)
    assert not writer.find_places(("b",), PLACES, NODES, 10, None)
    assert list(found) == [7]


def test_equal_ids_become_one_object(compiled: NodeWriter) -> None:
    copy = "".join(["a", "a"])
    known = NODES[1].task_id
    names = ("a", copy)
    counts = sys.getrefcount(copy), sys.getrefcount(known)
    assert compiled.find_places(names, PLACES, NODES, 10, None)
    assert names == ("a", "aa")
    assert names[1] is known
    assert sys.getrefcount(copy) == counts[0] - 1
    assert sys.getrefcount(known) == counts[1] + 1


def test_no_place_leads_out_of_the_nodes(compiled: NodeWriter) -> None:
    for first in (9, 11):
        with pytest.raises(IndexError):
            compiled.find_places(("aaa", "a"), PLACES, NODES, first, None)
    with pytest.raises(TypeError, match="is no TaskNode"):
        compiled.find_places(("a",), PLACES, cast("Any", [None]), 10, None)
