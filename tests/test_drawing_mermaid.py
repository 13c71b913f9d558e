"""Graphs as Mermaid source. What Mermaid makes of the entities was looked at in a browser."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from hypothesis import given

from tgtrio import TaskGraph, TaskState
from tgtrio._wording import cut, visible
from tgtrio.drawing import to_mermaid
from tgtrio.drawing._mermaid import escape

from .drawings import HOSTILE, ended, graph_of, graphs, layers

BOX = re.compile(r'    b(\d+)\["((?:[^\W_]|[ ,()]|#\d+;|<br/>)*)"\]')
ARROW = re.compile(r"    b(\d+) -->(\|\d+\|)? b(\d+)")


def shown(label: str) -> list[str]:
    """The lines of a label as they are read."""
    lines = re.sub(r"#(\d+);", r"&#\1;", label).split("<br/>")
    return [html.unescape(line).replace("\u2060", "") for line in lines]


def test_a_graph_is_boxes_and_arrows() -> None:
    assert to_mermaid(graph_of({"a": [], "b 1": ["a"], "c": ["a"]}, "nightly")) == (
        "flowchart TD\n"
        "    %% nightly: 3 tasks, 2 dependencies\n"
        '    b0["a"]\n'
        '    b1["b 1"]\n'
        '    b2["c"]\n'
        "    b0 --> b1\n"
        "    b0 --> b2\n"
    )


def test_a_result_colours_the_boxes() -> None:
    graph = graph_of({"a": [], "b": ["a"], "c": []})
    lines = to_mermaid(graph, ended(graph, {"b": TaskState.FAILED})).splitlines()
    assert '    b1["b<br/>failed"]' in lines
    assert lines[-4:] == [
        "    classDef succeeded fill:#c8e6c9,stroke:#2e7d32,color:#111",
        "    class b0,b2 succeeded",
        "    classDef failed fill:#ffcdd2,stroke:#c62828,color:#111",
        "    class b1 failed",
    ]


def test_a_large_graph_is_folded_and_its_arrows_are_counted() -> None:
    lines = to_mermaid(layers([1, 300, 300])).splitlines()
    assert lines[2] == "    %% 601 tasks folded into 3 boxes by action and level"
    assert lines[-2:] == ["    b0 -->|300| b1", "    b1 -->|300| b2"]


def test_more_than_mermaid_draws_by_itself_is_told() -> None:
    remark = "initialised with maxEdges 600, maxTextSize "
    assert remark in to_mermaid(layers([1, 300, 300]), limit=None)
    assert "initialised" not in to_mermaid(layers([1, 100, 100]), limit=None)
    assert "initialised" in to_mermaid(graph_of({f"{n}{'|' * 60}": [] for n in range(200)}))


@pytest.mark.parametrize("apart", ["\\n", "fa:fa-x", "$$", "ﬂ°", "¶ß"])
def test_what_mermaid_would_still_read_is_taken_apart(apart: str) -> None:
    resolved = html.unescape(escape(apart).replace("#", "&#"))
    assert apart not in resolved
    assert resolved.replace("\u2060", "") == apart


def check(graph: TaskGraph) -> None:
    """Every line is one that is meant, and says what it should."""
    head, *lines = to_mermaid(graph, limit=None).splitlines()
    assert head == "flowchart TD"
    boxes = [found for line in lines if (found := BOX.fullmatch(line))]
    arrows = [found for line in lines if (found := ARROW.fullmatch(line))]
    comments = [line for line in lines if line.startswith("    %% ") and line.isprintable()]
    assert not any("%{" in line for line in comments)
    assert len(boxes) + len(arrows) + len(comments) == len(lines)
    titles = [visible(cut(node.task_id, 60)) for node in graph.freeze().nodes]
    assert [shown(box[2])[0] for box in boxes] == [t.replace("\u2060", "") for t in titles]
    assert len(arrows) == len(graph.freeze().dependencies)


def test_hostile_names_are_text() -> None:
    check(graph_of({name: HOSTILE[:place][-2:] for place, name in enumerate(HOSTILE)}, HOSTILE[9]))


def test_a_comment_is_text_and_never_a_directive() -> None:
    (head, comment, _) = to_mermaid(graph_of({"a": []}, "x: %%{init: {}}%%%{")).splitlines()
    assert head == "flowchart TD"
    assert comment == "    %% x: % % {init: {}}% % % {: 1 task, 0 dependencies"


@given(graph=graphs())
def test_any_names_are_text(graph: Any) -> None:
    check(graph)
