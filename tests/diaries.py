"""What the tests of instruments share: one that writes all down, and what must hold of it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from tgtrio import (
    BreakerState,
    GraphResult,
    Instrument,
    RunInfo,
    TaskGraph,
    TaskState,
    run_graph,
)

from .runs import nap


class Diary(Instrument):
    """Writes everything down."""

    def __init__(self) -> None:
        self.pages: list[tuple[Any, ...]] = []
        self.info: RunInfo | None = None
        self.result: GraphResult | None = None

    def run_started(self, info: RunInfo) -> None:
        self.info = info
        self.pages.append(("run started",))

    def task_started(self, task_id: str, attempt: int, at: float) -> None:
        self.pages.append(("started", task_id, attempt, at))

    def task_ended(self, task_id: str, state: TaskState, at: float) -> None:
        self.pages.append(("ended", task_id, state, at))

    def task_retried(self, task_id: str, attempt: int, error: str, delay: float, at: float) -> None:
        self.pages.append(("retried", task_id, attempt, error, delay, at))

    def breaker_moved(
        self, action: str, before: BreakerState, after: BreakerState, at: float
    ) -> None:
        self.pages.append(("moved", action, before, after, at))

    def action_cooling(self, action: str, until: float, at: float) -> None:
        self.pages.append(("cooling", action, until, at))

    def run_steered(self, command: str, subject: str, value: object, at: float) -> None:
        self.pages.append(("steered", command, subject, value, at))

    def run_ended(self, result: GraphResult) -> None:
        self.result = result
        self.pages.append(("run ended",))

    def of(self, task_id: str) -> list[tuple[Any, ...]]:
        """What it was told of a task, without the instants."""
        return [(page[0], page[2]) for page in self.pages if page[1:2] == (task_id,)]

    def ends(self) -> dict[str, TaskState]:
        return {page[1]: page[2] for page in self.pages if page[0] == "ended"}

    def check(self, result: GraphResult) -> None:
        """All that must hold of any run that is over."""
        assert self.pages[0] == ("run started",)
        assert self.pages[-1] == ("run ended",)
        assert self.result is result
        ends = Counter(page[1] for page in self.pages if page[0] == "ended")
        assert ends == dict.fromkeys(result.results, 1)
        for task_id in result.results:
            self._check_task(result, task_id)

    def _check_task(self, result: GraphResult, task_id: str) -> None:
        one, pages = result.results[task_id], [p for p in self.pages if p[1:2] == (task_id,)]
        assert pages[-1][:3] == ("ended", task_id, one.state)
        starts = [page for page in pages if page[0] == "started"]
        assert [page[2] for page in starts] == list(range(one.attempts))
        assert self._wall(starts[-1:]) == one.started_at
        if one.finished_at is not None:
            assert self._wall(pages) == one.finished_at

    def _wall(self, pages: list[tuple[Any, ...]]) -> datetime | None:
        assert self.info is not None
        return self.info.wall(pages[-1][3]) if pages else None


async def watched(graph: TaskGraph, actions: object = None, **options: Any) -> Diary:
    diary = Diary()
    actions = {"work": nap} if actions is None else actions
    diary.check(await run_graph(graph, actions, instruments=[diary], **options))
    return diary
