"""How the census is told: the largest packages, the broken files, the figures of the run."""

from __future__ import annotations

import heapq
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from .._results import GraphResult
from ._census import TOTAL
from ._digest import Digest, digest
from ._errors import Outcome
from ._summary import failures, headline, never_ran, rate, show, states
from ._text import count, counted, duration, one_line, plain, visible

MOST_PACKAGES = 12

# Heading, key, and the width of the terminal from which on the column is shown.
_COLUMNS = (
    ("files", "files", 0),
    ("lines", "lines", 0),
    ("code", "code", 0),
    ("comments", "comments", 90),
    ("functions", "functions", 80),
    ("classes", "classes", 90),
    ("tokens", "tokens", 0),
)


def print_census(console: Console, outcome: Outcome) -> None:
    """Print what was counted, what could not be, and how the run went."""
    result = outcome.result
    found = digest(result)
    show(
        console,
        [
            heading(outcome),
            packages(console, result),
            failures(result, found),
            None if result.results[TOTAL].success else never_ran(found),
            states(console, result),
            figures(result, found),
        ],
    )


def heading(outcome: Outcome) -> Text:
    """`census of lib: 95 files counted, 5 broken`."""
    total = outcome.result.results[TOTAL]
    if not total.success:
        return headline(outcome)
    text = plain(outcome.result.graph_id, "bold")
    text.append(f": {counted(total.response['files'], 'file')} counted", "bold green")
    if broken := total.response["broken"]:
        text.append(f", {count(broken)} broken", "bold red")
    return text


def packages(console: Console, result: GraphResult) -> RenderableType | None:
    """The packages with the most lines, those below them included, and the total."""
    sums = {
        task_id: task.response
        for task_id, task in result.results.items()
        if task.success and (task_id == TOTAL or task_id.endswith("/"))
    }
    if not sums:
        return None
    total = sums.pop(TOTAL, None)
    columns = [(title, key) for title, key, wide in _COLUMNS if console.width >= wide]
    table = Table(box=None, padding=(0, 0, 0, 2), header_style="dim")
    table.add_column("package")  # the one that gives way where it is narrow
    for title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for task_id, numbers in heapq.nlargest(MOST_PACKAGES, sums.items(), key=_by_lines):
        table.add_row(one_line(task_id), *_cells(numbers, columns))
    if len(sums) > MOST_PACKAGES:
        table.add_row(Text(f"and {counted(len(sums) - MOST_PACKAGES, 'smaller one')}", "dim"))
    if total is not None:
        table.add_row(Text("total"), *_cells(total, columns), style="bold")
    return table


def _by_lines(item: tuple[str, dict[str, Any]]) -> tuple[int, str]:
    return item[1]["lines"], item[0]


def _cells(numbers: dict[str, Any], columns: list[tuple[str, str]]) -> list[str]:
    return [count(numbers[key]) for _, key in columns]


def figures(result: GraphResult, found: Digest) -> Text:
    """The run in numbers."""
    seconds = result.elapsed_ms / 1000
    text = f"{counted(result.total_tasks, 'task')} in {duration(seconds)}"
    total = result.results[TOTAL]
    if total.success and seconds > 0:
        text += f", {rate(total.response['files'], seconds)} files/s"
        text += f", {rate(total.response['lines'], seconds)} lines/s"
    if found.slowest:
        slowest = found.slowest[0]
        took = duration((slowest.execution_time_ms or 0.0) / 1000)
        text += f"; the slowest was {slowest.task_id}, {took}"
    return Text(visible(text), "dim")
