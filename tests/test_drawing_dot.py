"""Graphs in the DOT language."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given, settings

from tgtrio import TaskGraph, TaskState
from tgtrio._wording import cut, visible
from tgtrio.drawing import to_dot

from .drawings import HOSTILE, ended, graph_of, graphs, layers

SVG = "{http://www.w3.org/2000/svg}"
needs_graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


def body(text: str) -> list[str]:
    """The lines without braces and styles."""
    return [line.strip() for line in text.splitlines()[5:-1]]


def test_a_graph_is_boxes_and_arrows() -> None:
    graph = graph_of({"a": [], "b-1": ["a"], "b-2": ["a"]}, "nightly")
    assert body(to_dot(graph)) == [
        'label="nightly: 3 tasks, 2 dependencies"',
        'b0 [label="a"]',
        r'b1 [label="b-1\nb"]',
        r'b2 [label="b-2\nb"]',
        "b0 -> b1",
        "b0 -> b2",
    ]


def test_a_result_colours_the_boxes() -> None:
    graph = graph_of({"a": [], "b": ["a"]})
    lines = body(to_dot(graph, ended(graph, {"b": TaskState.FAILED})))
    assert lines[1] == r'b0 [label="a\nsucceeded", fillcolor="#c8e6c9", color="#2e7d32"]'
    assert lines[2] == r'b1 [label="b\nfailed", fillcolor="#ffcdd2", color="#c62828"]'


def test_a_large_graph_is_folded_and_its_arrows_are_counted() -> None:
    assert body(to_dot(layers([1, 300, 300]))) == [
        r'label="layers: 601 tasks, 600 dependencies\n'
        r'601 tasks folded into 3 boxes by action and level"',
        r'b0 [label="0.0\nwork"]',
        r'b1 [label="work (300 tasks)\nlevel 2"]',
        r'b2 [label="work (300 tasks)\nlevel 3"]',
        "b0 -> b1 [label=300]",
        "b1 -> b2 [label=300]",
    ]


def test_what_strings_may_hold_is_escaped() -> None:
    graph = graph_of({'say "hi"\\N &amp;\n\x1b': []})
    assert r'b0 [label="say \"hi\"\\N &amp;amp;\\n\\x1b"]' in to_dot(graph)


def render(text: str) -> ET.Element:
    done = subprocess.run(["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return ET.fromstring(done.stdout)


def labels(svg: ET.Element) -> dict[str, list[str]]:
    """The lines of text in each box."""
    return {
        group.findtext(f"{SVG}title", ""): [text.text or "" for text in group.iter(f"{SVG}text")]
        for group in svg.iter(f"{SVG}g")
        if group.get("class") == "node"
    }


def words(text: str) -> list[str]:
    return text.split()


@needs_graphviz
def test_graphviz_shows_hostile_names_as_they_are() -> None:
    graph = TaskGraph("".join(HOSTILE[:12]))
    for place, name in enumerate(HOSTILE):
        graph.add_task(name, f"act {name}", dependencies=HOSTILE[:place][-1:])
    found = labels(render(to_dot(graph)))
    assert len(found) == len(HOSTILE)
    for place, name in enumerate(HOSTILE):
        title, action = found[f"b{place}"]
        assert words(title) == words(visible(cut(name, 60)))
        assert words(action) == words(visible(cut(f"act {name}", 60)))


@needs_graphviz
@settings(max_examples=20, deadline=None)
@given(graph=graphs())
def test_graphviz_draws_what_there_is(graph: Any) -> None:
    svg = render(to_dot(graph))
    assert len(labels(svg)) == len(graph)
    arrows = [group for group in svg.iter(f"{SVG}g") if group.get("class") == "edge"]
    assert len(arrows) == len(graph.freeze().dependencies)
