"""A graph as Mermaid source."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .._graph import TaskGraph
from .._results import GraphResult
from ._colours import COLOURS
from ._folding import picture_of
from ._labels import details, gravest, headline, notes, states, title
from ._picture import LIMIT, Box, Picture

# What Mermaid draws unless it was initialised with `maxEdges` and `maxTextSize`.
MOST_ARROWS = 500
MOST_TEXT = 50_000


def to_mermaid(
    graph: TaskGraph, result: GraphResult | None = None, *, limit: int | None = LIMIT
) -> str:
    """Write a graph as a Mermaid flowchart, from top to bottom. O(tasks + edges).

    Args:
        graph: What is drawn.
        result: Colours the tasks by how they ended.
        limit: How many boxes are drawn at most before tasks are folded, and 2.5 times as many
            arrows; None for every task. Mermaid itself refuses 500 arrows and 50,000 characters
            unless it is told otherwise; a comment says so.

    Raises:
        InvalidValueError: `result` is of another graph, or `limit` is below 1.
        InvalidTypeError: `limit` is no int.
    """
    picture = picture_of(graph, result, limit, few_arrows=True)
    lines = [f"    {line}\n" for line in _lines(picture)]
    remarks = [headline(picture), *notes(picture)]
    arrows, length = len(picture.after.ends), sum(map(len, lines))
    if arrows > MOST_ARROWS or length > MOST_TEXT:
        remarks.append(
            f"Mermaid must be initialised with maxEdges {arrows}, maxTextSize {length * 2}"
        )
    comments = [f"    %% {_comment(remark)}\n" for remark in remarks]
    return "".join(["flowchart TD\n", *comments, *lines])


def _comment(text: str) -> str:
    """Text for a comment, as it is; but Mermaid looks for directives, `%%{`, even in comments."""
    return re.sub("%(?=[%{])", "% ", text)


def escape(text: str) -> str:
    """Text for a label: all but letters, digits and blanks becomes an entity.

    Mermaid reads some things only after it has resolved entities: line ends (`\\n`), icons
    (`fa:fa-x`), formulas (`$$`), and what it puts itself in the place of entities (`ﬂ°`, `¶ß`).
    A word joiner, which nobody sees, takes these apart.
    """
    return "".join(
        (char if char.isalnum() or char in " ,()" else f"#{ord(char)};")
        + ("#8288;" if char in "\\:$ﬂ¶" else "")
        for char in text
    )


def _lines(picture: Picture) -> Iterator[str]:
    yield from (f'b{number}["{_label(box)}"]' for number, box in enumerate(picture.boxes))
    for number in range(len(picture.boxes)):
        for end in picture.after.of(number):
            weight = picture.weights.get((number, end))
            yield f"b{number} -->{f'|{weight}|' if weight else ''} b{end}"
    yield from _classes(picture)


def _label(box: Box) -> str:
    rest = ", ".join([*details(box), states(box)] if box.states else details(box))
    return f"{escape(title(box))}<br/>{escape(rest)}" if rest else escape(title(box))


def _classes(picture: Picture) -> Iterator[str]:
    """A colour for each state that there is."""
    for state, (fill, stroke) in COLOURS.items():
        members = [f"b{n}" for n, box in enumerate(picture.boxes) if gravest(box) is state]
        if members:
            yield f"classDef {state.value} fill:{fill},stroke:{stroke},color:#111"
            yield f"class {','.join(members)} {state.value}"
