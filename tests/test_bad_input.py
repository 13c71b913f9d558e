"""Everything that a graph refuses: the class, the words, and that nothing has changed."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable
from datetime import date, datetime, time, tzinfo
from decimal import Decimal
from typing import Any

import pytest

from tgtrio._arguments import output_of
from tgtrio._errors import (
    CycleError,
    DuplicateTaskError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    InvalidValueError,
    TgtrioError,
    UnknownDependencyError,
    UnknownTaskError,
)
from tgtrio._graph import TaskGraph
from tgtrio._node import TaskNode
from tgtrio._states import TaskState


class NoOffset(tzinfo):
    """A time zone that does not know."""

    def utcoffset(self, _when: datetime | None) -> None:
        return None

    dst = utcoffset

    def tzname(self, _when: datetime | None) -> None:
        return None


class BrokenRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def small_graph() -> TaskGraph:
    graph = TaskGraph("workflow")
    graph.add_task("first", "act", {"x": 1})
    graph.add_task("second", "act", dependencies=["first"])
    graph.add_task("third", "act", dependencies=["second"])
    return graph


def assert_refused(
    change: Callable[[TaskGraph], object], error: type[TgtrioError], *words: str
) -> TgtrioError:
    graph = small_graph()
    before = graph.to_dict()
    with pytest.raises(TgtrioError) as caught:
        change(graph)
    assert type(caught.value) is error
    assert type(caught.value).__module__ == "tgtrio"
    for word in words:
        assert word in str(caught.value)
    assert graph.to_dict() == before
    graph.validate()
    return caught.value


T, V, A = InvalidTypeError, InvalidValueError, InvalidArgumentError
NAN, INF = math.nan, math.inf

# field, value, error, what the text says of the value
FIELDS: list[tuple[str, Any, type[TgtrioError], str]] = [
    ("action_name", "", V, "''"),
    ("action_name", None, T, "None"),
    ("action_name", 5, T, "5"),
    ("action_name", b"act", T, "b'act'"),
    ("action_name", print, T, "<built-in function print>"),
    ("action_name", "\ud800", V, "surrogate"),
    ("normalized_args", [], A, "[]"),
    ("normalized_args", "text", A, "'text'"),
    ("normalized_args", 5, A, "5"),
    ("normalized_args", {"x": NAN}, A, "normalized_args['x'] is refused: nan"),
    ("normalized_args", {"x": [INF]}, A, "normalized_args['x'][0] is refused: inf"),
    ("normalized_args", {"x": b"raw"}, A, "normalized_args['x'] is refused: b'raw'"),
    ("normalized_args", {"x": {5: 6}}, A, "normalized_args['x'][5]"),
    ("normalized_args", {"x": 2**64}, A, str(2**64)),
    ("normalized_args", {"x": {1}}, A, "{1}"),
    ("normalized_args", {"x": datetime(2030, 1, 1)}, A, "datetime"),
    ("normalized_args", {"x": BrokenRepr()}, A, "<BrokenRepr whose repr raised RuntimeError>"),
    ("normalized_args", {"x": output_of("nobody")}, UnknownDependencyError, "'nobody'"),
    ("normalized_args", {"x": output_of("new")}, CycleError, "depends on itself"),
    ("resource_ids", "db", T, "'db'"),
    ("resource_ids", b"db", T, "b'db'"),
    ("resource_ids", 5, T, "5"),
    ("resource_ids", None, T, "None"),
    ("resource_ids", [5], T, "resource_ids[0] is 5"),
    ("resource_ids", ["db", ""], V, "resource_ids[1] is ''"),
    ("resource_ids", ["\udfff"], V, "surrogate"),
    ("version", "", V, "''"),
    ("version", None, T, "None"),
    ("version", 1.0, T, "1.0"),
    ("dependencies", "first", T, "'first'"),
    ("dependencies", None, T, "None"),
    ("dependencies", 5, T, "5"),
    ("dependencies", [None], T, "dependencies[0] is None"),
    ("dependencies", [TaskNode("first", "act")], T, "dependencies[0] is TaskNode("),
    ("dependencies", [""], V, "dependencies[0] is ''"),
    ("dependencies", [["first"]], T, "['first']"),
    ("dependencies", ["frist"], UnknownDependencyError, "'frist' is unknown; did you mean 'first'"),
    ("dependencies", ["new"], CycleError, "depends on itself"),
    ("on_dep_fail", "abrot", V, "'abrot'"),
    ("on_dep_fail", "ABORT", V, "'ABORT'"),
    ("on_dep_fail", "", V, "''"),
    ("on_dep_fail", None, T, "None"),
    ("on_dep_fail", 0, T, "0"),
    ("on_dep_fail", TaskState.FAILED, T, "TaskState.FAILED"),
    ("on_dep_fail", [], T, "[]"),
    ("priority", NAN, V, "nan"),
    ("priority", INF, V, "inf"),
    ("priority", -INF, V, "-inf"),
    ("priority", 10**400, V, "1000"),
    ("priority", "high", T, "'high'"),
    ("priority", "5", T, "'5'"),
    ("priority", None, T, "None"),
    ("priority", True, T, "True"),
    ("priority", 1j, T, "1j"),
    ("priority", Decimal(1), T, "Decimal('1')"),
    ("deadline", datetime(2030, 1, 1), V, "datetime.datetime(2030, 1, 1, 0, 0)"),
    ("deadline", datetime(2030, 1, 1, tzinfo=NoOffset()), V, "without a time zone"),
    ("deadline", date(2030, 1, 1), T, "datetime.date(2030, 1, 1)"),
    ("deadline", time(12), T, "datetime.time(12, 0)"),
    ("deadline", "2030-01-01T00:00:00Z", T, "'2030-01-01T00:00:00Z'"),
    ("deadline", 1.5, T, "1.5"),
    ("deadline", 0, T, "0"),
    ("task_timeout_ms", 0, V, "0"),
    ("task_timeout_ms", -1, V, "-1"),
    ("task_timeout_ms", -0.0, V, "-0.0"),
    ("task_timeout_ms", NAN, V, "nan"),
    ("task_timeout_ms", INF, V, "inf"),
    ("task_timeout_ms", "5s", T, "'5s'"),
    ("task_timeout_ms", True, T, "True"),
    ("max_retries", -1, V, "-1"),
    ("max_retries", 1.0, T, "1.0"),
    ("max_retries", NAN, T, "nan"),
    ("max_retries", "3", T, "'3'"),
    ("max_retries", False, T, "False"),
    ("idempotent", 1, T, "1"),
    ("idempotent", "no", T, "'no'"),
    ("expire_at_deadline", 0, T, "0"),
    ("expire_at_deadline", True, V, "no deadline"),
    ("estimate_ms", -1, V, "-1"),
    ("estimate_ms", NAN, V, "nan"),
    ("estimate_ms", INF, V, "inf"),
    ("estimate_ms", "long", T, "'long'"),
]

IDS: list[tuple[Any, type[TgtrioError], str]] = [
    ("", V, "''"),
    ("\ud800", V, "surrogate"),
    (None, T, "None"),
    (5, T, "5"),
    (b"a", T, "b'a'"),
    (["a"], T, "['a']"),
    (BrokenRepr(), T, "BrokenRepr"),
    (enum.Enum("E", "A"), T, "enum 'E'"),
]


def case_id(value: object) -> str | None:
    if isinstance(value, str):
        return ascii(value[:30])
    return value.__name__ if isinstance(value, type) else None


@pytest.mark.parametrize(("field", "value", "error", "words"), FIELDS, ids=case_id)
class TestEachField:
    def test_add_task(self, field: str, value: Any, error: type[TgtrioError], words: str) -> None:
        fields = {"action_name": "act", field: value}
        assert_refused(lambda g: g.add_task("new", **fields), error, "task 'new'", words)

    def test_add_tasks(self, field: str, value: Any, error: type[TgtrioError], words: str) -> None:
        batch: list[dict[str, Any]] = [
            {"task_id": "before", "action_name": "act"},
            {"task_id": "new", "action_name": "act", field: value},
            {"task_id": "after", "action_name": "act", "dependencies": ["new"]},
        ]
        assert_refused(lambda g: g.add_tasks(batch), error, "task 'new'", words)

    def test_a_task_node_alone(
        self, field: str, value: Any, error: type[TgtrioError], words: str
    ) -> None:
        fields = {"action_name": "act", field: value}
        if error is UnknownDependencyError:
            assert TaskNode("new", **fields).dependencies  # only a graph can know
            return
        with pytest.raises(error, match=r"task 'new'") as caught:
            TaskNode("new", **fields)
        assert words in str(caught.value)


@pytest.mark.parametrize(("task_id", "error", "words"), IDS, ids=case_id)
def test_an_id_that_is_no_text(task_id: Any, error: type[TgtrioError], words: str) -> None:
    assert_refused(lambda g: g.add_task(task_id, "act"), error, "task_id is", words)
    item = {"task_id": task_id, "action_name": "act"}
    assert_refused(lambda g: g.add_tasks([item]), error, "task_id is", words)


def test_a_field_that_is_missing_altogether() -> None:
    item: dict[str, Any] = {"task_id": "new"}
    assert_refused(lambda g: g.add_tasks([item]), T, "task 'new'", "action_name is missing")


def test_a_field_that_does_not_exist() -> None:
    item = {"task_id": "new", "action_name": "act", "dependancies": []}
    words = ("task 'new'", "'dependancies'; did you mean 'dependencies'?")
    assert_refused(lambda g: g.add_tasks([item]), T, *words)


@pytest.mark.parametrize("item", [None, 5, "new", ["new", "act"], {5: 6}, {}, object()])
def test_an_item_that_is_no_task(item: Any) -> None:
    assert_refused(lambda g: g.add_tasks([item]), T, "tasks[0]")


@pytest.mark.parametrize("tasks", [None, 5, "new", {"task_id": "a", "action_name": "b"}])
def test_tasks_that_are_no_iterable_of_tasks(tasks: Any) -> None:
    assert_refused(lambda g: g.add_tasks(tasks), T, "graph 'workflow'", repr(tasks))


def test_a_duplicate() -> None:
    new = {"task_id": "new", "action_name": "act"}
    old = {"task_id": "first", "action_name": "act"}
    error = DuplicateTaskError
    assert_refused(lambda g: g.add_task("first", "act"), error, "task 'first'")
    assert_refused(lambda g: g.add_tasks([new, old]), error, "task 'first'")
    assert_refused(lambda g: g.add_tasks([new, new]), error, "task 'new'")
    assert_refused(lambda g: g.add_tasks([g.nodes["first"]]), error, "task 'first'")


def test_an_unknown_dependency_in_a_batch() -> None:
    batch: list[dict[str, Any]] = [
        {"task_id": "gather", "action_name": "act"},
        {"task_id": "new", "action_name": "act", "dependencies": ["gahter"]},
    ]
    words = ("task 'new'", "'gahter' is unknown; did you mean 'gather'?")
    assert_refused(lambda g: g.add_tasks(batch), UnknownDependencyError, *words)


@pytest.mark.parametrize("later", [True, False])
def test_a_cycle_in_a_batch(later: bool) -> None:
    batch: list[dict[str, Any]] = [
        {"task_id": "a", "action_name": "act", "dependencies": ["first", "b"]},
        {"task_id": "b", "action_name": "act", "normalized_args": {"x": output_of("a")}},
    ]
    batch = batch if later else batch[::-1]
    error = assert_refused(lambda g: g.add_tasks(batch), CycleError)
    assert re.search("a -> b -> a|b -> a -> b", str(error))
    assert isinstance(error, CycleError)
    assert error.path[0] == error.path[-1]


def test_adding_a_dependency() -> None:
    def edge(task_id: Any, dependency: Any) -> Callable[[TaskGraph], object]:
        return lambda graph: graph.add_dependency(task_id, dependency)

    unknown = UnknownDependencyError
    assert_refused(edge("thrid", "first"), UnknownTaskError, "'thrid'; did you mean 'third'?")
    assert_refused(edge("third", "frist"), unknown, "task 'third'", "did you mean 'first'?")
    assert_refused(edge("third", "third"), CycleError, "task 'third' depends on itself")
    assert_refused(edge("first", "second"), CycleError, "first -> second -> first")
    error = assert_refused(
        edge("first", "third"), CycleError, "task 'first'", "first -> third -> second -> first"
    )
    assert isinstance(error, CycleError)
    assert error.path == ("first", "third", "second", "first")
    assert_refused(edge("third", ["first"]), T, "dependency is ['first']")
    assert_refused(edge(None, "first"), T, "task_id is None")
    assert_refused(edge("third", ""), V, "dependency is ''")


def test_a_refused_edge_leaves_earlier_ones_in_place() -> None:
    graph = small_graph()
    graph.add_task("fourth", "act")
    graph.add_dependency("second", "fourth")
    before = graph.to_dict()
    with pytest.raises(CycleError):
        graph.add_dependency("fourth", "third")
    assert graph.to_dict() == before
    graph.add_dependency("third", "fourth")
    graph.validate()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"graph_id": ""}, V, "graph_id is ''"),
        ({"graph_id": None}, T, "graph_id is None"),
        ({"graph_id": 5}, T, "graph_id is 5"),
        ({"graph_id": "\ud800"}, V, "surrogate"),
        ({"max_parallel": 0}, V, "max_parallel is 0"),
        ({"max_parallel": -5}, V, "max_parallel is -5"),
        ({"max_parallel": 2.0}, T, "max_parallel is 2.0"),
        ({"max_parallel": math.inf}, T, "max_parallel is inf"),
        ({"max_parallel": True}, T, "max_parallel is True"),
        ({"max_parallel": None}, T, "max_parallel is None"),
        ({"max_parallel": "5"}, T, "max_parallel is '5'"),
        ({"max_retry_tokens": -1}, V, "max_retry_tokens is -1"),
        ({"max_retry_tokens": 1.5}, T, "max_retry_tokens is 1.5"),
        ({"max_retry_tokens": False}, T, "max_retry_tokens is False"),
        ({"max_retry_tokens": None}, T, "max_retry_tokens is None"),
        ({"graph_timeout_ms": 0}, V, "graph_timeout_ms is 0"),
        ({"graph_timeout_ms": -1}, V, "graph_timeout_ms is -1"),
        ({"graph_timeout_ms": math.nan}, V, "graph_timeout_ms is nan"),
        ({"graph_timeout_ms": math.inf}, V, "graph_timeout_ms is inf"),
        ({"graph_timeout_ms": "60"}, T, "graph_timeout_ms is '60'"),
        ({"graph_timeout_ms": True}, T, "graph_timeout_ms is True"),
        ({"expire_at_deadline": None}, T, "expire_at_deadline is None"),
        ({"expire_at_deadline": 1}, T, "expire_at_deadline is 1"),
    ],
)
def test_a_graph_with_bad_options(
    options: dict[str, Any], error: type[TgtrioError], words: str
) -> None:
    with pytest.raises(error) as caught:
        TaskGraph(**{"graph_id": "g", **options})
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert "graph " in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: graph.add_task("x" * 100_000, "act", dependencies=["y" * 100_000]),
        lambda graph: graph.add_task("new", "act", priority="x" * 100_000),
        lambda graph: graph.add_task("new", "act", {"k" * 100_000: b"x" * 100_000}),
        lambda graph: graph.add_task("new", "act", on_dep_fail="x" * 100_000),
        lambda graph: graph.add_task("new", "act", dependencies=[["x"] * 100_000]),
        lambda graph: graph.add_tasks([{"task_id": "new", "x" * 100_000: 1}]),
    ],
)
def test_huge_values_are_cut(change: Callable[[TaskGraph], object]) -> None:
    with pytest.raises(TgtrioError) as caught:
        change(small_graph())
    assert len(str(caught.value)) < 1000


def test_hostile_ids_in_a_cycle_are_quoted() -> None:
    graph = TaskGraph("g")
    graph.add_task("\u202ea", "act")
    graph.add_task("x -> y", "act", dependencies=["\u202ea"])
    with pytest.raises(CycleError) as caught:
        graph.add_dependency("\u202ea", "x -> y")
    assert r"'\u202ea' -> 'x -> y' -> '\u202ea'" in str(caught.value)


def test_refusals_are_also_what_a_stranger_would_catch() -> None:
    graph = small_graph()
    with pytest.raises(ValueError):
        graph.add_task("first", "act")
    with pytest.raises(ValueError):
        graph.add_dependency("first", "third")
    with pytest.raises(TypeError):
        graph.add_task("new", "act", dependencies="first")
    with pytest.raises(KeyError, match="did you mean") as caught:
        graph.add_task("new", "act", dependencies=["frist"])
    assert not str(caught.value).startswith('"')
    with pytest.raises(ValueError) as several:
        graph.add_tasks([{}, {}])
    assert type(several.value) is InvalidGraphError


def test_a_suggestion_costs_the_same_in_a_large_graph() -> None:
    graph = TaskGraph("g")
    graph.add_tasks({"task_id": f"task number {i}", "action_name": "act"} for i in range(20_000))
    with pytest.raises(UnknownDependencyError, match="did you mean 'task number 19999'"):
        graph.add_task("new", "act", dependencies=["task nubmer 19999"])
