"""Graphs as trees of lines."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio import InvalidTypeError, InvalidValueError, TaskState
from tgtrio._wording import cut, visible
from tgtrio.drawing import draw_tree
from tgtrio.drawing._tree import DEEPEST

from .drawings import ended, graph_of, graphs, layers

RELEASE = {
    "fetch": [],
    "compile": ["fetch"],
    "docs": ["fetch"],
    "test": ["compile"],
    "upload": ["test", "docs"],
}


def lines_of(*args: Any, **options: Any) -> list[str]:
    return draw_tree(*args, **options).splitlines()


def test_below_a_task_stands_what_depends_on_it() -> None:
    assert lines_of(graph_of(RELEASE, "release")) == [
        "release: 5 tasks, 5 dependencies",
        "",
        "fetch",
        "├─ compile",
        "│  └─ test",
        "│     └─ upload  waits for 2",
        "└─ docs ↑ upload",
        "",
        "↑ is drawn further up",
    ]


def test_from_the_sinks_below_a_task_stands_what_it_waits_for() -> None:
    assert lines_of(graph_of(RELEASE), start="sinks", ascii_only=True)[2:7] == [
        "upload",
        "|- test",
        "|  `- compile",
        "|     `- fetch",
        "`- docs ^ fetch",
    ]


def test_what_was_drawn_among_what_was_not_is_referred_to_at_the_end() -> None:
    graph = graph_of({"a": [], "b": ["a"], "c": ["a", "b"], "d": ["a"]})
    tree = ["a", "├─ b", "│  └─ c  waits for 2", "├─ d", "└─ ↑ c"]
    assert lines_of(graph)[2:7] == tree


def test_of_many_references_some_are_named_unless_all_is_asked_for() -> None:
    sinks = [f"s-{n}" for n in range(9)]
    graph = graph_of({"a": [], "b": [], **{sink: ["a", "b"] for sink in sinks}})
    assert lines_of(graph)[12] == "b ↑ s-0, s-1, s-2 and 6 more"
    assert lines_of(graph, limit=None)[12] == f"b ↑ {', '.join(sinks)}"


def test_a_task_says_what_is_special_about_it() -> None:
    graph = graph_of({"a": [], "b": ["a"]}, on_dep_fail="always")
    graph.add_task("c", "act", dependencies=["b"])
    assert lines_of(graph)[2:5] == ["a  always", "└─ b  always", "   └─ c  act"]


def test_siblings_stand_in_the_order_in_which_they_would_start() -> None:
    graph = graph_of({"a": [], "b": [], "c": []})
    graph.add_task("first", "first", priority=1)
    assert lines_of(graph)[2:6] == ["first", "a", "b", "c"]


def test_a_result_marks_how_tasks_ended() -> None:
    graph = graph_of({"a": [], "b": ["a"], "c": ["b"], "d": [], "e": []})
    errors = {"b": "ValueError: no\nrule", "c": "dependency 'b' failed"}
    states = {"b": TaskState.FAILED, "c": TaskState.ABORTED, "d": TaskState.SKIPPED}
    result = ended(graph, {**states, "e": TaskState.CANCELLED}, errors)
    assert lines_of(graph, result)[2:7] == [
        "✓ a",
        "└─ ✗ b  failed: ValueError: no",
        "   └─ ! c  aborted: dependency 'b' failed",
        "- d  skipped",
        "/ e  cancelled",
    ]


def test_a_result_that_does_not_fit_is_told() -> None:
    graph, other = graph_of({"a": []}), graph_of({"a": [], "b": []})
    assert "1 result of tasks that the graph has not" in draw_tree(graph, ended(other))
    assert lines_of(other, ended(graph))[2:4] == ["✓ a", "b"]  # nothing is known of it
    with pytest.raises(InvalidValueError, match="graph 'g': the result is one of graph 'h'"):
        draw_tree(graph, ended(graph_of({"a": []}, "h")))


def test_a_graph_without_tasks() -> None:
    assert lines_of(graph_of({})) == ["g: 0 tasks, 0 dependencies"]


def test_what_is_deep_goes_on_further_down() -> None:
    lines = lines_of(layers([1] * 40), limit=None)
    broken = [place for place, line in enumerate(lines) if line.endswith("↓")]
    assert len(broken) == 2
    for place in broken:
        name = lines[place].strip().removeprefix("└─ ").removesuffix(" ↓")
        assert lines[place + 1] == f"… {name}"
        assert lines[place].index("└") == 3 * (DEEPEST - 1)
    assert sum("work" in line for line in lines) == 40 + 2


def test_a_large_graph_is_folded_and_says_so() -> None:
    lines = lines_of(layers([1, 200, 100, 1]))
    assert lines[2:] == [
        "0.0  work",
        "└─ work (200 tasks)  level 2",
        "   └─ work (100 tasks)  level 3",
        "      └─ 3.0  work",
        "",
        "302 tasks folded into 4 boxes by action and level",
    ]
    assert len(lines_of(layers([1, 200, 100, 1]), limit=302)) > 302


def test_folded_states_are_counted() -> None:
    graph = layers([300])
    result = ended(graph, {"0.7": TaskState.FAILED})
    assert lines_of(graph, result)[2] == "✗ work (300 tasks)  level 1 · 299 succeeded, 1 failed"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"limit": 0}, InvalidValueError, "limit"),
        ({"limit": -1}, InvalidValueError, "limit"),
        ({"limit": "all"}, InvalidTypeError, "limit is 'all'"),
        ({"start": "top"}, InvalidValueError, "'roots' or 'sinks'"),
    ],
)
def test_options_that_are_none_are_refused(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        draw_tree(graph_of({"a": []}), **options)


@given(graph=graphs(), start=st.sampled_from(["roots", "sinks"]))
def test_every_task_is_drawn_once_and_no_line_is_broken(graph: Any, start: Any) -> None:
    text = draw_tree(graph, start=start, limit=None)
    assert all(char.isprintable() or char == "\n" for char in text)
    body = text.split("\n\n")[1].splitlines() if len(graph) else []
    assert sum("… " not in line[:2] and "─ ↑" not in line for line in body) == len(graph)
    for task_id in graph.nodes:
        assert visible(cut(task_id, 60)) in text


@given(graph=graphs(st.integers(0, 99).map(lambda n: f"t{n}x")))
def test_every_dependency_is_a_branch_or_a_reference(graph: Any) -> None:
    text = draw_tree(graph, limit=None)
    branches = sum(line.lstrip("│ ")[:3] in ("├─ ", "└─ ") for line in text.splitlines())
    only_reference = text.count("─ ↑")
    references = sum(
        line.rpartition("↑")[2].count(",") + 1
        for line in text.splitlines()
        if "↑" in line and "is drawn" not in line
    )
    assert branches - only_reference + references == len(graph.freeze().dependencies)
