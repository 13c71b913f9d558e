"""How a result is told in a terminal, from 40 columns up."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .._results import GraphResult, TaskResult
from .._states import TaskState
from ._digest import Digest, Fold, digest, largest
from ._progress import STYLES, unicode_of
from ._text import count, counted, duration, ends_of, one_line, plain

ERROR_LINES = 6
MOST_FOLDS = 10
WIDEST_BAR = 40


def print_summary(
    console: Console, result: GraphResult, *, interrupted: bool = False, quiet: bool = False
) -> None:
    """Print what became of a run; with `quiet` only what went wrong."""
    found = digest(result)
    wrong: list[RenderableType | None] = [failures(result, found), never_ran(found)]
    if quiet:
        return show(console, wrong)
    title = headline(result, interrupted=interrupted)
    rest = [slowest(found), figures(result, found)]
    return show(console, [title, states(console, result), *wrong, *rest])


def show(console: Console, parts: Iterable[RenderableType | None]) -> None:
    """Print the parts that there are, with a blank line between them."""
    with console.capture() as captured:
        for place, part in enumerate(part for part in parts if part is not None):
            if place:
                console.print()
            console.print(part)
    # Tables fill their last column with blanks, which are a nuisance in a file or a log.
    lines = [line.rstrip() for line in captured.get().splitlines()]
    console.file.write("".join(f"{line}\n" for line in lines))


def headline(result: GraphResult, *, interrupted: bool) -> Text:
    """`nightly: failed in 3.42 s` and why."""
    text = plain(result.graph_id, "bold")
    took = duration(result.elapsed_ms / 1000)
    if interrupted:
        return text.append(f": interrupted after {took}", "bold red")
    if result.timed_out:
        return text.append(f": timed out after {took}", "bold red")
    if result.aborted_reason is not None:
        text.append(f": aborted after {took}: ", "bold red")
        return text.append_text(plain(result.aborted_reason, "bold red"))
    if not result.ok:
        return text.append(f": failed after {took}", "bold red")
    return text.append(f": done in {took}", "bold green")


def states(console: Console, result: GraphResult) -> Table:
    """The states that tasks ended in, with a bar for each."""
    table = grid(2)
    for column in ("", "right", ""):
        table.add_column(justify="right" if column else "left", no_wrap=True)
    total = max(result.total_tasks, 1)
    width = max(min(WIDEST_BAR, console.width - 30), 4)
    block = "█" if unicode_of(console) else "#"
    for name, number in result.statistics["states"].items():
        if number:
            style = STYLES[name]
            cells = max(round(number * width / total), 1)
            table.add_row(Text(name, style), count(number), Text(block * cells, style))
    return table


def failures(result: GraphResult, found: Digest) -> RenderableType | None:
    """The tasks that failed by themselves, each with the first lines of its error."""
    number = result.statistics["states"][TaskState.FAILED.value]
    if not number:
        return None
    table = section(f"Failed: {counted(number, 'task')}", "bold red")
    for task in found.failures:
        table.add_row(Padding(_title(task), (0, 0, 0, 2)))
        lines = ends_of(task.error, ERROR_LINES)
        table.add_row(Padding(Text("\n".join(lines), "red", overflow="fold"), (0, 0, 0, 6)))
    if number > len(found.failures):
        more = count(number - len(found.failures))
        table.add_row(Text(f"  and {more} more; --json tells all", "dim"))
    return table


def _title(task: TaskResult) -> Text:
    text = plain(task.task_id, "bold")
    text.overflow = "fold"
    if task.attempts > 1:
        text.append(f"  {task.attempts} attempts", "not bold dim")
    return text


def never_ran(found: Digest) -> RenderableType | None:
    """The tasks that a failure, or the end of the run, kept from success, folded by cause."""
    if not found.by_root and not found.by_reason:
        return None
    folds = [*found.by_root.values(), *found.by_reason.values()]
    ran = any(fold.in_flight for fold in folds)
    number = counted(sum(fold.total for fold in folds), "task")
    table = section(f"{'Did not finish' if ran else 'Did not run'}: {number}", "bold")
    rows = grid(2)
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column(overflow="fold")
    for root, fold in largest(found.by_root, MOST_FOLDS):
        cause = Text("because of ").append_text(plain(root, "bold"))
        rows.add_row(count(fold.total), cause.append(_ended(fold)))
        rows.add_row("", _names(fold))
    for reason, fold in largest(found.by_reason, MOST_FOLDS):
        rows.add_row(count(fold.total), plain(reason).append(_ended(fold)))
        rows.add_row("", _names(fold))
    left = _left_out(len(found.by_root)) + _left_out(len(found.by_reason))
    if left:
        rows.add_row("", Text(f"and {counted(left, 'more cause')}", "dim"))
    table.add_row(rows)
    return table


def _names(fold: Fold) -> Text:
    """`compile, link, test and 7 more`."""
    text = Text(", ", "dim").join([plain(name, "dim") for name in fold.named])
    left = fold.total - len(fold.named)
    return text.append(f" and {count(left)} more", "dim") if left else text


def _ended(fold: Fold) -> str:
    """` (aborted)`, ` (2 aborted, 1 skipped)`, ` (cancelled, 4 of them in flight)`."""
    parts = [f"{count(number)} {state}" for state, number in fold.states.items()]
    if len(parts) == 1:
        parts = list(fold.states)
    if fold.in_flight:
        parts.append(f"{count(fold.in_flight)} of them in flight")
    return f" ({', '.join(parts)})"


def _left_out(number: int) -> int:
    return max(number - MOST_FOLDS, 0)


def slowest(found: Digest) -> RenderableType | None:
    """The tasks that took longest, where there are several to compare."""
    if len(found.slowest) < 2:
        return None
    table = section("Slowest", "bold")
    rows = grid(2)
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column()
    for task in found.slowest:
        took = duration((task.execution_time_ms or 0.0) / 1000)
        rows.add_row(took, one_line(task.task_id))
    table.add_row(rows)
    return table


def figures(result: GraphResult, found: Digest) -> Text:
    """The run in numbers, on as many lines as they need."""
    seconds = result.elapsed_ms / 1000
    statistics = result.statistics
    parts = [f"{counted(result.total_tasks, 'task')} in {duration(seconds)}"]
    if seconds > 0 and found.attempts:
        parts.append(f"{counted(found.attempts, 'attempt')}, {rate(found.attempts, seconds)}/s")
    retries, cached = statistics["retry_tokens_used"], statistics["cached_tasks"]
    optional = {
        counted(retries, "retry"): retries,
        f"{counted(cached, 'task')} served from cache": cached,
        f"{count(found.late)} late": found.late,
        counted(found.deadlines_missed, "missed deadline"): found.deadlines_missed,
    }
    parts += [text for text, number in optional.items() if number]
    parts += [
        f"breaker of {name!r} {breaker['state']}"
        for name, breaker in statistics["breaker_states"].items()
        if breaker["state"] != "CLOSED"
    ]
    return plain(", ".join(parts), "dim")


def rate(number: int, seconds: float) -> str:
    value = number / seconds
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def section(title: str, style: str) -> Table:
    """A title, and rows below it."""
    table = Table.grid()
    table.add_column(overflow="fold")
    table.add_row(Text(title, style))
    return table


def grid(indent: int) -> Table:
    """A table without lines; columns two apart, the first indented."""
    return Table(box=None, show_header=False, padding=(0, 0, 0, indent), pad_edge=True)
