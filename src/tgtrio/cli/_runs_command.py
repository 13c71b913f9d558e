"""`tgtrio runs`: the runs in a store, the newest first."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from .._errors import nearest
from .._store import RawStore
from .._store_journal import FINISHED
from .._store_records import StoredRun
from ..instruments._picture import STYLES
from ._errors import ExitCode
from ._output import console, print_json
from ._stores import graph_of, opened_store, states_of
from ._summary import show
from ._text import count, day_and_time, duration, one_line, plain, short_ids

LIMIT = 20
GAP = 2  # blanks between columns
NARROWEST_NAME = 10

RUN_STYLES = {"running": "cyan", "finished": "", "failed": "red", "crashed": "red"}


def runs(path: str, graph_id: str | None, limit: int, *, json: bool) -> ExitCode:
    """Print a table of runs, or a list of them as JSON, and return the exit code."""
    with opened_store(path) as store:
        found = store.list_runs(graph_id, limit=limit + 1)
        known = [] if found or graph_id is None else _graphs_of(store)
    if json:
        print_json([dict(run) for run in found[:limit]])
    elif found:
        show(console(), _page(console(), found, limit))
    else:
        of = "" if graph_id is None else f" of graph {graph_id!r}{nearest(graph_id, known)}"
        show(console(), [plain(f"no runs{of}")])
    return ExitCode.OK


def _graphs_of(store: RawStore) -> list[str]:
    graphs = (run.graph_id for run in store.list_runs(limit=1_000))
    return list(dict.fromkeys(graph_id for graph_id in graphs if graph_id is not None))


def _page(console: Console, found: list[StoredRun], limit: int) -> list[RenderableType]:
    page: list[RenderableType] = [table(found[:limit], datetime.now(UTC), console.width)]
    if len(found) > limit:
        page.append(Text("older runs are left out; --limit shows more", "dim"))
    return page


@attrs.frozen
class Column:
    """A column of the table.

    Attributes:
        heading: Its heading.
        cells: A text for each run.
        right: They stand at its right side.
        elastic: They may be cut.
    """

    heading: str
    cells: list[Text]
    right: bool = False
    elastic: bool = False

    @property
    def width(self) -> int:
        """How wide it must be at least."""
        longest = max(cell_len(self.heading), *(cell.cell_len for cell in self.cells))
        return min(longest, NARROWEST_NAME) if self.elastic else longest


def table(found: list[StoredRun], now: datetime, width: int) -> Table:
    """The runs as a table that fits: what matters least gives way first."""
    columns = _columns(found, now)
    for heading in ("resumed", "took", "started", "graph", "state"):
        if sum(column.width + GAP for column in columns) - GAP <= width:
            break
        columns = [column for column in columns if column.heading != heading]
    grid = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        grid.add_column(
            column.heading,
            justify="right" if column.right else "left",
            no_wrap=not column.elastic,
            min_width=column.width,
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        grid.add_row(*row)
    return grid


def _columns(found: list[StoredRun], now: datetime) -> list[Column]:
    ids = short_ids(run.run_id for run in found)
    columns = [
        Column("run", [one_line(ids[run.run_id], "bold") for run in found], elastic=True),
        Column("graph", [one_line(graph_of(run)) for run in found], elastic=True),
        Column("state", [_state(run) for run in found]),
        Column("tasks", [_tasks(run) for run in found]),
        Column("started", [Text(day_and_time(run.started_at, now)) for run in found]),
        Column("took", [Text(took(run, now)) for run in found], right=True),
    ]
    if any(run.resumptions for run in found):
        columns.append(Column("resumed", [_resumptions(run) for run in found], right=True))
    return columns


def _state(run: StoredRun) -> Text:
    state = "failed" if run.state == FINISHED and not _all_done(run) else run.state
    return plain(state.replace("_", " "), RUN_STYLES.get(state, "yellow"))


def _all_done(run: StoredRun) -> bool:
    states = states_of(run)
    return states["succeeded"] + states["skipped"] == sum(states.values())


def _tasks(run: StoredRun) -> Text:
    """`20`, `18/20`, `18/20, 1 failed`: how many succeeded or were skipped."""
    states = states_of(run)
    done, failed = states["succeeded"] + states["skipped"], states["failed"]
    total = sum(states.values())
    text = Text(count(total) if done == total else f"{count(done)}/{count(total)}")
    return text.append(f", {count(failed)} failed", STYLES["failed"]) if failed else text


def took(run: StoredRun, now: datetime) -> str:
    """How long from its beginning to its end, or until now; unknown of a crashed one."""
    end = now if run.state == "running" else run.finished_at
    return "" if end is None else duration((end - run.started_at).total_seconds())


def _resumptions(run: StoredRun) -> Text:
    return Text(f"{run.resumptions:,}x" if run.resumptions else "")
