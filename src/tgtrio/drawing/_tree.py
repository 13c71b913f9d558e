"""A graph as a tree of lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal

import attrs

from .._errors import InvalidValueError, shorten
from .._graph import TaskGraph
from .._results import GraphResult
from .._states import TaskState
from .._wording import count, cut, visible
from ._folding import picture_of
from ._labels import details, gravest, headline, notes, states, title
from ._picture import LIMIT, Picture

Start = Literal["roots", "sinks"]

DEEPEST = 16  # levels of indentation
MOST_NAMED = 3
MOST_OF_ERROR = 60


@attrs.frozen
class Strokes:
    """The characters of a tree."""

    more: str
    last: str
    pass_by: str
    above: str
    below: str
    goes_on: str
    dot: str
    marks: dict[TaskState, str]


_STATES = (
    TaskState.SUCCEEDED,
    TaskState.FAILED,
    TaskState.ABORTED,
    TaskState.SKIPPED,
    TaskState.CANCELLED,
)
BOXES = Strokes("├─ ", "└─ ", "│  ", "↑", "↓", "…", "·", dict(zip(_STATES, "✓✗!-/", strict=True)))
ASCII = Strokes("|- ", "`- ", "|  ", "^", "v", "...", "-", dict(zip(_STATES, "+x!-/", strict=True)))


def draw_tree(
    graph: TaskGraph,
    result: GraphResult | None = None,
    *,
    start: Start = "roots",
    limit: int | None = LIMIT,
    ascii_only: bool = False,
) -> str:
    """Draw a graph as a tree: below each task what depends on it. O(tasks + edges).

    It begins with the tasks that depend on nothing, and is read in the order in which a run goes;
    siblings stand in the order in which they would start. With `start="sinks"` it begins with
    those that nothing depends on, and below each task stands what it waits for.

    A task is drawn once. Where it is met again, `↑` refers to it further up. What would be
    indented too far breaks off at `↓`, and goes on further down behind `…`.

    Args:
        graph: What is drawn.
        result: Marks the tasks with how they ended.
        start: "roots" or "sinks".
        limit: How many boxes are drawn at most before tasks are folded; None for every task.
        ascii_only: Draw lines and marks in ASCII. Ids stay what they are.

    Raises:
        InvalidValueError: `result` is of another graph, or `limit` or `start` is none.
        InvalidTypeError: `limit` is no int.
    """
    if start not in ("roots", "sinks"):
        raise InvalidValueError(f"start is {shorten(start)}; it must be 'roots' or 'sinks'")
    picture = picture_of(graph, result, limit, few_arrows=False)
    tree = _Tree(
        picture, start, ASCII if ascii_only else BOXES, named=MOST_NAMED if limit else None
    )
    return "".join(f"{line}\n" for line in tree.lines())


@attrs.define
class _Branch:
    """A box whose ends are being drawn."""

    prefix: str
    left: list[int]  # from the last to the first
    above: list[int] = attrs.field(factory=list)


class _Tree:
    def __init__(self, picture: Picture, start: Start, strokes: Strokes, named: int | None) -> None:
        self._picture, self._strokes, self._named = picture, strokes, named
        self._upwards = start == "sinks"
        self._ends = picture.before if self._upwards else picture.after
        self._starts = picture.after if self._upwards else picture.before
        self._drawn = bytearray(len(picture.boxes))
        self._broken_off: deque[int] = deque()
        self._refers = False

    def lines(self) -> Iterator[str]:
        yield headline(self._picture)
        if self._picture.boxes:
            yield ""
            yield from self._trees()
        remarks = notes(self._picture)
        if self._refers:
            remarks.append(f"{self._strokes.above} is drawn further up")
        if remarks:
            yield ""
            yield from remarks

    def _trees(self) -> Iterator[str]:
        for box in self._first():
            if self._drawn[box]:
                continue
            self._drawn[box] = 1
            yield from self._tree(box, "")
            while self._broken_off:
                yield from self._tree(self._broken_off.popleft(), f"{self._strokes.goes_on} ")

    def _first(self) -> Iterator[int]:
        """The starts; then what they do not lead to: folding may have closed a circle."""
        boxes = range(len(self._picture.boxes))
        offsets = self._starts.offsets
        yield from (box for box in boxes if offsets[box] == offsets[box + 1])
        yield from boxes

    def _tree(self, box: int, before: str) -> Iterator[str]:
        strokes = self._strokes
        branches: list[_Branch] = []
        line, branch = self._line(box, "")
        yield f"{before}{line}"
        if branch is not None:
            branches.append(branch)
        while branches:
            branch = branches[-1]
            if not branch.left:
                branches.pop()
                if branch.above:
                    yield f"{branch.prefix}{strokes.last}{self._reference(branch.above)}"
                continue
            box = branch.left.pop()
            if self._drawn[box]:
                branch.above.append(box)
                continue
            self._drawn[box] = 1
            last = not branch.left and not branch.above
            inner = branch.prefix + (strokes.pass_by if not last else " " * len(strokes.last))
            line, below = self._line(box, inner)
            stroke = strokes.last if last else strokes.more
            if below is not None and len(branches) == DEEPEST:
                self._broken_off.append(box)
                line += f" {strokes.below}"
            elif below is not None:
                branches.append(below)
            yield f"{branch.prefix}{stroke}{line}"

    def _line(self, box: int, prefix: str) -> tuple[str, _Branch | None]:
        """The line of a box, and the branch below it if there is to be one."""
        ends = self._ends.of(box)
        text = self._text(box)
        if all(self._drawn[end] for end in ends):
            return (f"{text} {self._reference(ends)}" if ends else text), None
        return text, _Branch(prefix, list(reversed(ends)))

    def _text(self, number: int) -> str:
        box = self._picture.boxes[number]
        parts = details(box)
        if box.waits_for > 1 and not self._upwards:
            parts.append(f"waits for {count(box.waits_for)}")
        state = gravest(box)
        if state is not TaskState.SUCCEEDED or box.size > 1:
            parts.append(_ending(states(box), box.error))
        mark = "" if state is None else f"{self._strokes.marks.get(state, '?')} "
        rest = f" {self._strokes.dot} ".join(filter(None, parts))
        return f"{mark}{title(box)}" + (f"  {rest}" if rest else "")

    def _reference(self, boxes: Iterable[int]) -> str:
        """`↑ test, docs and 7 more`"""
        self._refers = True
        boxes = list(boxes)
        shown = boxes[: self._named]
        left = len(boxes) - len(shown)
        names = ", ".join(title(self._picture.boxes[box]) for box in shown)
        return f"{self._strokes.above} {names}" + (f" and {count(left)} more" if left else "")


def _ending(state: str, error: str) -> str:
    """`failed: ValueError: no`"""
    error = visible(cut(error.partition("\n")[0], MOST_OF_ERROR))
    return f"{state}: {error}" if error else state
