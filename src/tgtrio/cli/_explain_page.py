"""What went wrong in a run: the failures at the root, and what each took along."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .._chain import VERBS
from .._states import TaskState
from .._store_explain import run_says
from .._store_journal import FINISHED, RUNNING
from .._store_records import RootFailure, StoredRun
from .._wording import nameless
from ..instruments._picture import STYLES
from ._digest import MOST_FAILURES, MOST_NAMED
from ._stores import graph_of, states_of
from ._summary import ERROR_LINES, ERROR_LINES_OF_MANY, MANY
from ._text import count, counted, cut, ends_of, plain, visible


@attrs.frozen
class Fold:
    """Root failures that ended in one state for one reason; the first took most along."""

    state: TaskState
    alike: str
    roots: list[RootFailure] = attrs.field(factory=list)

    @property
    def error(self) -> str:
        """The reason; without the ids where it names several tasks."""
        errors = {_reason(root) for root in self.roots}
        return errors.pop() if len(errors) == 1 else self.alike

    @property
    def took_along(self) -> int:
        return sum(root.took_along for root in self.roots)


def fold(roots: Sequence[RootFailure]) -> list[Fold]:
    """What is told together: failures first, then what took most along, then what is most."""
    folds: dict[tuple[TaskState, str], Fold] = {}
    for root in roots:
        alike = nameless(_reason(root), root.task_id)
        folds.setdefault((root.state, alike), Fold(root.state, alike)).roots.append(root)
    return sorted(
        folds.values(),
        key=lambda one: (one.state is not TaskState.FAILED, -one.took_along, -len(one.roots)),
    )


def _reason(root: RootFailure) -> str:
    return root.error if root.state is TaskState.FAILED else root.error.partition("\n")[0]


def overview(run: StoredRun, folds: Sequence[Fold], origin: str) -> Iterator[RenderableType]:
    """The parts of the page.

    Args:
        run: The run.
        folds: Its root failures.
        origin: Which run it is, for the second line.
    """
    title = plain(graph_of(run), "bold").append_text(_verdict(run, folds))
    yield title.append(f"\n{visible(origin)}", "not bold dim")
    lines = ERROR_LINES if len(folds) <= MANY else ERROR_LINES_OF_MANY
    for one in folds[:MOST_FAILURES]:
        yield _hanging(_told(one, lines))
    if len(folds) > MOST_FAILURES:
        more = counted(len(folds) - MOST_FAILURES, "more cause")
        yield Text(f"and {more}; --json tells all", "dim")
    if left := states_of(run)["not ended"]:
        verb = "has" if left == 1 else "have"
        says = visible(cut(run_says(run.state)))
        yield Text(f"{counted(left, 'task')} {verb} not ended: {says}", overflow="fold")


def _verdict(run: StoredRun, folds: Sequence[Fold]) -> Text:
    failed = [one for one in folds if one.state is TaskState.FAILED]
    if failed:
        took = sum(one.took_along for one in failed)
        along = f", and took {count(took)} along" if took else ""
        number = sum(len(one.roots) for one in failed)
        return Text(f": {counted(number, 'task')} failed{along}", "bold red")
    if run.state == RUNNING:
        return Text(": nothing has failed so far", "bold cyan")
    if run.state == FINISHED and not folds:
        return Text(": nothing failed", "bold green")
    end = "" if run.state == FINISHED else f"{visible(cut(run.state)).replace('_', ' ')}, and "
    return Text(f": {end}no task failed by itself", "bold yellow")


def _told(one: Fold, lines: int) -> list[Text]:
    """Who ended so, why, and what came of that; a line each."""
    first, number = one.roots[0], len(one.roots)
    style = STYLES[one.state.value]
    names = _names([root.task_id for root in one.roots], number)
    title = Text(names, "bold")
    if number > 1:
        verb = VERBS[one.state].replace("was ", "were ")
        title = Text(f"{counted(number, 'task')} {verb}: ", style).append_text(title)
    elif one.state is not TaskState.FAILED:
        title.append(f" {VERBS[one.state]}", f"not bold {style}")
    elif first.attempts > 1:
        title.append(f"  {first.attempts:,} attempts", "not bold dim")
    if any(root.earlier for root in one.roots):
        title.append("  before the run was resumed", "not bold dim")
    told = [title, *(Text(line, style) for line in ends_of(one.error, lines))]
    if one.took_along:
        told.append(Text(_along(one)))
    return told


def _along(one: Fold) -> str:
    """`took 12 tasks along (8 by parse-1): load-1, total, load-2 and 9 more`."""
    first = one.roots[0]
    named = [name for root in one.roots for name in root.tasks]
    share = ""
    if len(one.roots) > 1 and first.took_along > 1:
        share = f" ({count(first.took_along)} by {visible(cut(first.task_id))})"
    took = counted(one.took_along, "task")
    return f"took {took} along{share}: {_names(named, one.took_along)}"


def _names(names: Sequence[str], total: int) -> str:
    """`compile, link, test and 7 more`."""
    named = [visible(cut(name)) for name in names[:MOST_NAMED]]
    more = f" and {count(total - len(named))} more" if total > len(named) else ""
    return f"{', '.join(named)}{more}"


def _hanging(lines: Sequence[Text]) -> Table:
    """The first line, and the others four further to the right."""
    table = Table.grid()
    table.add_column(overflow="fold")
    for place, line in enumerate(lines):
        line.overflow = "fold"
        table.add_row(Padding(line, (0, 0, 0, 6 if place else 2)))
    return table
