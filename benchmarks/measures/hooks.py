"""What one active hook of an instrument costs, what those cost that have none, and a display."""

from __future__ import annotations

import io
import time
from statistics import median

import trio
from rich.console import Console

import tgtrio
from tgtrio import Instrument, TaskState
from tgtrio.instruments import Progress
from tgtrio.report import History

from .. import graphs
from ..cases import Case, Sample
from ..peers.ours import BARE

ROUNDS = 9


class Ends(Instrument):
    """Hears of the end of each task."""

    def task_ended(self, task_id: str, state: TaskState, at: float) -> None:
        pass


class EndOfRun(Instrument):
    """Hears of no task."""

    def run_ended(self, result: tgtrio.GraphResult) -> None:
        pass


def hook(case: Case) -> Sample:
    """The same run without an instrument, with those above, shown, and kept in a history."""
    graph = tgtrio.TaskGraph("benchmark")
    graph.add_tasks(
        {"task_id": name, "action_name": "work", "dependencies": parents}
        for name, parents in graphs.make(case.shape, case.size).items()
    )
    graph.freeze()
    kinds: list[tuple[Instrument, ...]] = [
        (),
        (Ends(),),
        (EndOfRun(),),
        (_display(),),
        (History(),),
    ]
    rounds = [[_run(graph, *instruments) for instruments in kinds] for _ in range(ROUNDS)]
    return Sample(
        figures={
            "us without": median([without for without, *_ in rounds]),
            "more with task_ended": median([ends - without for without, ends, *_ in rounds]),
            "more with run_ended": median([end - without for without, _, end, *_ in rounds]),
            "times as long with Progress": median(
                [shown / without for without, _, _, shown, _ in rounds]
            ),
            "more with History": median([kept - without for without, *_, kept in rounds]),
        },
        title="tgtrio",
        size=case.size,
    )


def _display() -> Progress:
    return Progress(Console(file=io.StringIO(), force_terminal=True, width=100, height=30))


def _run(graph: tgtrio.TaskGraph, *instruments: Instrument) -> float:
    """Processor time of a run, in us a task."""

    async def run() -> float:
        start = time.process_time()
        await tgtrio.run_graph(graph, {"work": _no_op}, instruments=instruments, **BARE)
        return time.process_time() - start

    return trio.run(run) / len(graph) * 1e6


async def _no_op(args: object) -> int:
    return 1
