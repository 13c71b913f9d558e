"""What the tests of stores have in common: runs that have been."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from tgtrio import RawStore, StoredRun
from tgtrio._store_journal import Row

from ..stores import open_journal, row

HOSTILE = "[red]x[/]\0\x1b[2J\n\u202eevil :smile: " + "日本語" * 3_000


def put(
    store: RawStore,
    *rows: Row,
    graph_id: str | None = "g",
    run_id: str | None = None,
    state: str | None = "finished",
    total: int | None = None,
) -> None:
    """One incarnation of a run from its beginning to its end; with `state=None` it crashes."""
    total = len(rows) if total is None else total
    journal = open_journal(store, graph_id, run_id, total_tasks=total)
    for one in rows:
        journal.put(one)
    if state is not None:
        journal.finish(state, {"states": Counter(one[1] for one in rows)})
    journal.close()


def never_ran(task_id: str, error: str) -> Row:
    return row(task_id, "aborted", error=error, attempts=0, execution_ms=None)


def open_run(store: RawStore) -> Any:
    return closing(open_journal(store, "g", "f00d" * 8))


def stored_run(**fields: Any) -> StoredRun:
    when = datetime(2030, 5, 4, 3, 2, 1, tzinfo=UTC)
    return StoredRun(
        **{
            "run_id": "r",
            "graph_id": "g",
            "state": "finished",
            "total_tasks": 20,
            "started_at": when,
            "finished_at": when + timedelta(seconds=90),
            "states": dict.fromkeys(
                ["pending", "ready", "running", "failed", "aborted", "skipped", "cancelled"], 0
            )
            | {"succeeded": 20},
            "statistics": {},
            "resumptions": 0,
            **fields,
        }
    )


def counted(**numbers: int) -> dict[str, int]:
    return {**stored_run().states, "succeeded": 0, **numbers}
