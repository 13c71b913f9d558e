"""A graph in a screenful of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice

from .._graph import TaskGraph
from .._results import GraphResult
from .._wording import count, counted, duration
from ._figures import CriticalPath, Figures, Range, measure
from ._labels import short

MOST_LEVELS = 16
MOST_NAMED = 5
WIDEST_BAR = 40
MARGIN = 15

_NAMES = {
    "priority": "priority",
    "deadline": "deadline",
    "task_timeout_ms": "timeout",
    "max_retries": "max retries",
    "estimate_ms": "estimate",
}


def summarize(
    graph: TaskGraph, result: GraphResult | None = None, *, ascii_only: bool = False
) -> str:
    """Tell of a graph in figures: what is in it, how deep and wide it is, what bounds a run.

    O(tasks + edges). `measure` returns the same figures as a record.

    Args:
        graph: What is told of.
        result: Adds the states that its tasks ended in.
        ascii_only: Draw bars and arrows in ASCII. Names stay what they are.

    Raises:
        InvalidValueError: `result` is of another graph.
    """
    return "".join(f"{line}\n" for line in tell(measure(graph, result), ascii_only=ascii_only))


def tell(figures: Figures, *, ascii_only: bool) -> Iterator[str]:
    """The lines of a summary."""
    tasks = counted(figures.tasks, "task")
    dependencies = counted(figures.dependencies, "dependency")
    yield f"{short(figures.graph_id)}: {tasks}, {dependencies}"
    yield ""
    yield from _rows("states", _names(figures.states or {}))
    yield from _rows("actions", _names(figures.actions))
    yield from _rows("resources", _names(figures.resources))
    if set(figures.policies) - {"abort"}:
        yield from _rows("policies", _names(figures.policies))
    yield from _rows("starts with", _ids(figures.roots))
    yield from _rows("ends with", _ids(figures.sinks))
    if figures.tasks:
        yield from _levels(figures.widths, "#" if ascii_only else "█")
        yield from _path(figures, " -> " if ascii_only else " → ")
    yield from _settings(figures)
    yield from _rows("limits", ", ".join(_limits(figures.limits)))


def _rows(name: str, text: str) -> Iterator[str]:
    """A line, if there is something to say."""
    if text:
        yield f"  {name:<{MARGIN}}{text}"


def _names(numbers: Mapping[str, int]) -> str:
    """`shell 1,200, python 3 and 7 more`"""
    given = {name: number for name, number in numbers.items() if number}
    shown = islice(given.items(), MOST_NAMED)
    return _listed([f"{short(name)} {count(number)}" for name, number in shown], len(given))


def _ids(task_ids: Sequence[str]) -> str:
    return _listed([short(one) for one in task_ids[:MOST_NAMED]], len(task_ids))


def _listed(shown: Sequence[str], number: int) -> str:
    left = number - len(shown)
    return ", ".join(shown) + (f" and {count(left)} more" if left else "")


def _levels(widths: Sequence[int], block: str) -> Iterator[str]:
    """A bar for each level, or for the widest of several."""
    widest = max(widths)
    yield from _rows("levels", f"{count(len(widths))}, at most {counted(widest, 'task')} wide")
    if widest == 1:
        return
    step = -(-len(widths) // MOST_LEVELS)
    bands = {
        _band(first + 1, widths[first : first + step]): max(widths[first : first + step])
        for first in range(0, len(widths), step)
    }
    room = max(MARGIN - 2, *map(len, bands))
    for name, number in bands.items():
        bar = block * max(round(number * WIDEST_BAR / widest), 1)
        yield f"  {name:>{room}}  {bar} {count(number)}"


def _band(first: int, widths: Sequence[int]) -> str:
    """`7`, `8-14`"""
    return count(first) if len(widths) == 1 else f"{first:,}-{first + len(widths) - 1:,}"


def _path(figures: Figures, arrow: str) -> Iterator[str]:
    path = figures.critical_path
    number = f"{counted(len(path.task_ids), 'task')}"
    length = number if path.unit == "tasks" else f"{_amount(path, path.length)}, {number}"
    yield from _rows("critical path", length)
    yield from _rows("", _way(path.task_ids, arrow))
    work = f"{_amount(path, path.work)} of work / {_amount(path, path.length)} of path"
    yield from _rows("parallelism", f"{path.parallelism:,.1f} ({work})")


def _amount(path: CriticalPath, amount: float) -> str:
    return duration(amount / 1000) if path.unit == "ms" else counted(round(amount), "task")


def _way(task_ids: Sequence[str], arrow: str) -> str:
    """`fetch → build → ... 7 more ... → ship`"""
    if len(task_ids) <= MOST_NAMED:
        return arrow.join(map(short, task_ids))
    left = len(task_ids) - MOST_NAMED + 1
    first, last = task_ids[: MOST_NAMED - 2], task_ids[-1:]
    return arrow.join([*map(short, first), f"... {count(left)} more ...", *map(short, last)])


def _settings(figures: Figures) -> Iterator[str]:
    for name, one in figures.settings.items():
        yield from _rows(_NAMES[name], f"{counted(one.tasks, 'task')}: {_range(name, one)}")
    yield from _rows("expiring", _some(figures.expiring))
    yield from _rows("not idempotent", _some(figures.not_idempotent))
    yield from _rows("output_of", _some(figures.with_inputs))


def _some(number: int) -> str:
    return counted(number, "task") if number else ""


def _range(name: str, one: Range) -> str:
    lowest, highest = _value(name, one.lowest), _value(name, one.highest)
    return lowest if lowest == highest else f"{lowest} to {highest}"


def _value(name: str, value: float | datetime) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return duration(value / 1000) if name.endswith("_ms") else f"{value:,g}"


def _limits(limits: Mapping[str, object]) -> Iterable[str]:
    for name, value in limits.items():
        if isinstance(value, float) and name.endswith("_ms"):
            yield f"{name.removesuffix('_ms')} {duration(value / 1000)}"
        elif value is not None and value is not False:
            yield name if value is True else f"{name} {value}"
