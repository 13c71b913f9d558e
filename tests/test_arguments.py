"""What arguments may be, what is said when they are not, and what becomes of `output_of`."""

from __future__ import annotations

import enum
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio._arguments import (
    OutputOf,
    check_arguments,
    check_json,
    from_plain,
    output_of,
    substitute,
    to_plain,
)
from tgtrio._errors import InvalidArgumentError, InvalidTypeError, InvalidValueError

KEYS = st.text(max_size=5) | st.sampled_from(["$output_of", "$$output_of", "$$$output_of"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.builds(OutputOf, st.text(min_size=1, max_size=5))
)
JSON = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS, below, max_size=3),
    max_leaves=20,
)
ARGUMENTS = st.dictionaries(KEYS, JSON, max_size=4)


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class MyFloat(float):
    pass


def nested(depth: int) -> Any:
    """`depth` lists in each other."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def holding_itself() -> Any:
    value: list[Any] = []
    value.append({"again": value})
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**63 - 1,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        "",
        "\x00",
        "\u202e\U0001f600\uffff",
        [],
        {},
        {"": {"": []}},
        [None, [1, {"a": [2.5]}]],
        nested(199),
    ],
)
def test_json_data_is_taken_and_copied(value: Any) -> None:
    args, inputs = check_arguments("t", {"a": value})
    assert args == {"a": value}
    assert inputs == ()
    assert type(args["a"]) is type(value)
    if isinstance(value, list | dict):
        assert args["a"] is not value


def test_the_copy_does_not_follow_the_original() -> None:
    original: dict[str, Any] = {"a": [1], "b": {"c": 2}}
    args, _ = check_arguments("t", original)
    original["a"].append(2)
    original["b"]["c"] = 3
    assert args == {"a": [1], "b": {"c": 2}}


def test_tuples_become_lists() -> None:
    assert check_arguments("t", {"a": (1, (2, ()))})[0] == {"a": [1, [2, []]]}


def test_any_mapping_will_do_at_the_top() -> None:
    args, _ = check_arguments("t", MappingProxyType({"a": 1}))
    assert type(args) is dict
    assert check_arguments("t", OrderedDict(a=1))[0] == {"a": 1}


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        (float("nan"), "['a']", "nan"),
        (float("inf"), "['a']", "inf"),
        (2**63, "['a']", "64 bits"),
        (-(2**63) - 1, "['a']", "64 bits"),
        ("\ud800", "['a']", "surrogate"),
        (b"raw", "['a']", "base64"),
        ({1, 2}, "['a']", "sorted(...)"),
        (1j, "['a']", "complex"),
        (object, "['a']", "type"),
        (Colour.RED, "['a']", "its .value or str(...)"),
        (Level.LOW, "['a']", "int(...)"),
        (MyFloat(1.5), "['a']", "float(...)"),
        (OrderedDict(a=1), "['a']", "dict(...)"),
        (range(3), "['a']", "range"),
        ([1, {"b": (2, [float("nan")])}], "['a'][1]['b'][1][0]", "nan"),
        ({"b": {1: 2}}, "['a']['b'][1]", "plain str"),
        ({"b": {Colour.RED: 2}}, "['a']['b'][<Colour.RED: 'red'>]", "plain str"),
        ({"\udfff": 1}, "['a']['\\udfff']", "surrogate"),
        (nested(200), "['a']" + "[0]" * 199, "200 deep"),
        (holding_itself(), "['a']" + "[0]['again']" * 99 + "[0]", "holds itself"),
    ],
)
def test_anything_else_is_refused_with_its_path(value: Any, path: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_arguments("the task", {"a": value, "z": 1})
    assert caught.value.path == f"normalized_args{path}"
    assert "task 'the task': normalized_args['a']" in str(caught.value)
    assert words in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("value", [None, 1, "text", [("a", 1)], [], object()])
def test_arguments_that_are_no_mapping_are_refused(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="must be a mapping"):
        check_arguments("t", value)


@pytest.mark.parametrize("key", [1, None, b"a", Colour.RED, "\ud800"])
def test_a_key_at_the_top_must_be_plain_text_too(key: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="is a key"):
        check_arguments("t", {key: 1})


def test_a_huge_value_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_arguments("t", {"a": b"x" * 1_000_000})
    assert len(str(caught.value)) < 500


def test_a_list_nested_a_million_deep_is_refused_without_recursion() -> None:
    value = nested(1_000_000)
    with pytest.raises(InvalidArgumentError, match="200 deep"):
        check_arguments("t", {"a": value})
    while value:  # free it level by level
        value = value.pop()


def test_output_of_is_found_at_any_depth_in_order_of_appearance() -> None:
    args = {"z": [output_of("b"), {"y": (output_of("a"), output_of("b"))}], "a": output_of("c")}
    checked, inputs = check_arguments("t", args)
    assert inputs == ("b", "a", "c")
    assert checked["z"][1]["y"] == [OutputOf("a"), OutputOf("b")]


@pytest.mark.parametrize(
    ("task_id", "error"),
    [("", InvalidValueError), ("\ud800", InvalidValueError), (1, InvalidTypeError)],
)
def test_output_of_needs_an_id(task_id: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="output_of"):
        output_of(task_id)


def test_check_json_copies_any_json_value_and_refuses_output_of() -> None:
    assert check_json(("task", "t"), "response", (1, [2.5])) == [1, [2.5]]
    assert check_json(("task", "t"), "response", None) is None
    assert check_json(("task", "t"), "response", nested(200)) == nested(200)
    with pytest.raises(InvalidArgumentError, match="200 deep"):
        check_json(("task", "t"), "response", nested(201))
    with pytest.raises(InvalidArgumentError) as caught:
        check_json(("task", "t"), "response", {"a": [output_of("b")]})
    assert caught.value.path == "response['a'][0]"


def test_substitute_puts_in_responses_and_shares_the_rest() -> None:
    args, _ = check_arguments("t", {"a": [output_of("x"), {"b": output_of("y")}], "rest": [1]})
    responses: dict[str, object] = {"x": {"big": []}, "y": OutputOf("not followed")}
    new = substitute(args, responses.__getitem__)
    assert new == {"a": [{"big": []}, {"b": OutputOf("not followed")}], "rest": [1]}
    assert new["a"][0] is responses["x"]
    assert new["rest"] is args["rest"]
    assert args["a"][0] == OutputOf("x")  # the stored arguments stay as they are


def test_substitute_returns_arguments_without_output_of_themselves() -> None:
    args = {"a": [1, {"b": 2}]}
    assert substitute(args, str) is args


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (OutputOf("a"), {"$output_of": "a"}),
        ({"$output_of": "a"}, {"$$output_of": "a"}),
        ({"$$output_of": 1}, {"$$$output_of": 1}),
        ({"$output_of": OutputOf("a")}, {"$$output_of": {"$output_of": "a"}}),
        ({"$output_of": "a", "b": 1}, {"$output_of": "a", "b": 1}),
        ({"$other": 1}, {"$other": 1}),
        ({"output_of": 1}, {"output_of": 1}),
    ],
)
def test_the_form_in_graph_files(value: Any, plain: Any) -> None:
    assert to_plain({"k": value}) == {"k": plain}
    assert from_plain("t", {"k": plain}) == {"k": value}


def test_the_plain_form_is_a_copy_throughout() -> None:
    args: dict[str, Any] = {"a": {"b": [1]}, "c": []}
    plain = to_plain(args)
    plain["a"]["b"].append(2)
    plain["c"].append(3)
    plain["d"] = 4
    assert args == {"a": {"b": [1]}, "c": []}


@given(ARGUMENTS)
def test_every_value_survives_the_way_to_a_file_and_back(args: dict[str, Any]) -> None:
    checked, inputs = check_arguments("t", args)
    assert checked == args
    plain = to_plain(checked)
    check_json(("task", "t"), "plain", plain)  # nothing but JSON is left
    assert from_plain("t", plain) == args
    assert checked == args  # and nothing was changed in place
    assert check_arguments("t", from_plain("t", plain))[1] == inputs


def test_the_deepest_legal_arguments_survive_as_well() -> None:
    args: Any = {"$output_of": output_of("a")}
    for _ in range(199):
        args = {"$output_of": args}
    checked, inputs = check_arguments("t", args)
    assert inputs == ("a",)
    assert from_plain("t", to_plain(checked)) == args


@pytest.mark.parametrize("named", [None, 1, "", ["a"], {}])
def test_a_mark_that_names_no_task_is_refused(named: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="task 'the task'") as caught:
        from_plain("the task", {"a": [{"$output_of": named}]})
    assert repr(named) in str(caught.value)


def test_plain_data_that_holds_itself_comes_back_unread_below_the_limit() -> None:
    value = from_plain("t", {"a": holding_itself()})
    with pytest.raises(InvalidArgumentError, match="holds itself"):
        check_arguments("t", value)
