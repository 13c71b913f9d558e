"""A graph in the DOT language, which Graphviz draws."""

from __future__ import annotations

from collections.abc import Iterator

from .._graph import TaskGraph
from .._results import GraphResult
from ._colours import COLOURS
from ._folding import picture_of
from ._labels import details, gravest, headline, notes, states, title
from ._picture import LIMIT, Box, Picture

_STYLE = """\
    graph [labelloc=t, labeljust=l, fontname="sans-serif", fontsize=11]
    node [shape=box, style="rounded,filled", fillcolor="#f5f5f5"]
    node [fontname="sans-serif", fontsize=11]
    edge [color="#666666", fontname="sans-serif", fontsize=9]
"""


def to_dot(
    graph: TaskGraph, result: GraphResult | None = None, *, limit: int | None = LIMIT
) -> str:
    """Write a graph in the DOT language: `dot -Tsvg` draws it from top to bottom.

    O(tasks + edges).

    Args:
        graph: What is drawn.
        result: Colours the tasks by how they ended.
        limit: How many boxes are drawn at most before tasks are folded, and 2.5 times as many
            arrows; None for every task.

    Raises:
        InvalidValueError: `result` is of another graph, or `limit` is below 1.
        InvalidTypeError: `limit` is no int.
    """
    picture = picture_of(graph, result, limit, few_arrows=True)
    lines = "".join(f"    {line}\n" for line in _lines(picture))
    return f"digraph tgtrio {{\n{_STYLE}{lines}}}\n"


def quoted(*lines: str) -> str:
    """Lines as one DOT string. Graphviz reads entities in it too, so `&` is one."""
    return '"' + r"\n".join(_escape(line) for line in lines if line) + '"'


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')


def _lines(picture: Picture) -> Iterator[str]:
    yield rf"label={quoted(headline(picture), *notes(picture))}"
    for number, box in enumerate(picture.boxes):
        yield f"b{number} [label={_label(box)}{_colours(box)}]"
    for number in range(len(picture.boxes)):
        for end in picture.after.of(number):
            weight = picture.weights.get((number, end))
            yield f"b{number} -> b{end}" + (f" [label={weight}]" if weight else "")


def _label(box: Box) -> str:
    return quoted(title(box), ", ".join(details(box)), states(box))


def _colours(box: Box) -> str:
    state = gravest(box)
    if state not in COLOURS:
        return ""
    fill, stroke = COLOURS[state]
    return f', fillcolor="{fill}", color="{stroke}"'
