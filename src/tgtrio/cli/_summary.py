"""How a result is told in a terminal, from 40 columns up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .._errors import shorten
from .._results import GraphResult
from .._states import TaskState
from .._store_journal import RUNNING
from ..instruments._picture import STYLES, unicode_of
from ._digest import MOST_FAILURES, Digest, Failure, Fold, digest, largest
from ._going_on import lines_to_copy
from ._text import count, counted, duration, ends_of, one_line, plain, visible

ERROR_LINES = 6
ERROR_LINES_OF_MANY = 3
MANY = 5  # kinds of failure
MOST_FOLDS = 10
WIDEST_BAR = 40


class Told(Protocol):
    """What is told of a run.

    Attributes:
        result: Its result.
        end: How it ended before its time, in words; or "".
        reason: Why, where that is not all said by `end`; or "".
    """

    @property
    def result(self) -> GraphResult: ...
    @property
    def end(self) -> str: ...
    @property
    def reason(self) -> str: ...


def print_summary(
    console: Console,
    outcome: Told,
    *,
    quiet: bool = False,
    origin: str = "",
    more: Sequence[str] = (),
) -> None:
    """Print what became of a run; with `quiet` only what went wrong.

    Args:
        console: Where.
        outcome: The run.
        quiet: Leave out what went well.
        origin: Which run it was, for the second line.
        more: What to do next, in lines.
    """
    found = digest(outcome.result)
    wrong: list[RenderableType | None] = [failures(outcome.result, found), never_ran(found)]
    if quiet:
        return show(console, wrong)
    title = headline(outcome)
    if origin:
        title.append(f"\n{visible(origin)}", "not bold dim")
    rest = [slowest(found), figures(outcome.result, found), lines_to_copy(more)]
    return show(console, [title, states(console, outcome.result), *wrong, *rest])


def show(console: Console, parts: Iterable[RenderableType | None]) -> None:
    """Print the parts that there are, with a blank line between them."""
    with console.capture() as captured:
        for place, part in enumerate(part for part in parts if part is not None):
            if place:
                console.print()
            # What a Text says of its lines, rich forgets when it prints it.
            console.print(part, soft_wrap=isinstance(part, Text) and bool(part.no_wrap))
    # Tables fill their last column with blanks, which are a nuisance in a file or a log.
    lines = [line.rstrip() for line in captured.get().splitlines()]
    console.file.write("".join(f"{line}\n" for line in lines))


def headline(outcome: Told) -> Text:
    """`nightly: failed after 3.42 s` and why."""
    result = outcome.result
    text = plain(result.graph_id, "bold")
    took = duration(result.elapsed_ms / 1000)
    if outcome.end == RUNNING:
        return text.append(f": running for {took}", "bold cyan")
    if not outcome.end and result.ok:
        return text.append(f": done in {took}", "bold green")
    after = f" after {took}" if result.elapsed_ms else ""  # of a crash it may not be known
    text.append(f": {visible(outcome.end) or 'failed'}{after}", "bold red")
    if outcome.reason:
        text.append(": ", "bold red").append_text(plain(outcome.reason, "bold red"))
    return text


def states(console: Console, result: GraphResult) -> Table:
    """The states that tasks ended in, with a bar for each."""
    table = grid(2)
    for right in (False, True, False):
        table.add_column(justify="right" if right else "left", no_wrap=True)
    total = max(result.total_tasks, 1)
    width = max(min(WIDEST_BAR, console.width - 30), 4)
    block = "█" if unicode_of(console) else "#"
    for name, number in result.statistics["states"].items():
        if number:
            style = STYLES.get(name, "dim")
            cells = max(round(number * width / total), 1)
            table.add_row(Text(name, style), count(number), Text(block * cells, style))
    return table


def failures(result: GraphResult, found: Digest) -> RenderableType | None:
    """The tasks that failed by themselves, by error, each with its first lines."""
    number = result.statistics["states"][TaskState.FAILED.value]
    if not number:
        return None
    table = section(f"Failed: {counted(number, 'task')}", "bold red")
    most = ERROR_LINES if len(found.failures) <= MANY else ERROR_LINES_OF_MANY
    told = sorted(found.failures.values(), key=lambda one: -one.count)[:MOST_FAILURES]
    for one in told:
        table.add_row(Padding(_title(one), (0, 0, 0, 2)))
        lines = ends_of(one.error, most)
        table.add_row(Padding(Text("\n".join(lines), "red", overflow="fold"), (0, 0, 0, 6)))
    if left := number - sum(one.count for one in told):
        table.add_row(Text(f"  and {count(left)} more; --json tells all", "dim"))
    return table


def _title(failure: Failure) -> Text:
    """`build  4 attempts`, or `12 tasks: fetch-1, fetch-2, fetch-3 and 9 more`."""
    text = Text(", ").join([plain(name, "bold") for name in failure.named])
    if failure.count > 1:
        text = Text(f"{counted(failure.count, 'task')}: ").append_text(text)
        if left := failure.count - len(failure.named):
            text.append(f" and {count(left)} more")
    text.overflow = "fold"
    if len(failure.attempts) == 1 and (attempts := max(failure.attempts)) > 1:
        each = " each" if failure.count > 1 else ""
        text.append(f"  {count(attempts)} attempts{each}", "not bold dim")
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
    took = f" in {duration(seconds)}" if seconds else ""
    parts = [f"{counted(result.total_tasks, 'task')}{took}"]
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
        f"breaker of {shorten(name)} {breaker['state']}"
        for name, breaker in statistics["breaker_states"].items()
        if breaker["state"] != "CLOSED"
    ]
    return Text(visible(", ".join(parts)), "dim")


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
