"""The same run with more and more of what an engine must do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tgtrio

from .. import graphs
from ..actions import no_op
from ..cases import Case, Sample
from ..peers.ours import BARE
from .phases import complete
from .timing import drive, seconds

TITLES = {
    "bare": "no retries, no breakers, no shared work",
    "defaults": "all of them",
    "batch": "on disk, durability 'batch'",
    "task": "on disk, durability 'task'",
}


def durable(case: Case) -> Sample:
    """Microseconds a task, with the feature that `work` names."""
    graph = tgtrio.TaskGraph("benchmark")
    graph.add_tasks(
        {
            "task_id": name,
            "action_name": "work",
            "normalized_args": {"number": number},  # else all would be one piece of work
            "dependencies": parents,
        }
        for number, (name, parents) in enumerate(graphs.make(case.shape, case.size).items())
    )
    graph.freeze()
    with tempfile.TemporaryDirectory() as folder:
        took = drive(lambda: _run(graph, case.work, folder), "trio")
    return Sample(
        figures={"run us": took / case.size * 1e6}, title=TITLES[case.work], size=case.size
    )


async def _run(graph: tgtrio.TaskGraph, feature: str, folder: str) -> float:
    options: dict[str, Any] = {} if feature == "defaults" else dict(BARE)
    with _store(feature, folder)() as store:
        if store is not None:
            options["store"] = store

        async def call() -> Any:
            return (await tgtrio.run_graph(graph, {"work": no_op}, **options)).results

        return (await seconds(call, complete(len(graph)), "trio")).wall


def _store(feature: str, folder: str) -> Callable[[], AbstractContextManager[Any]]:
    if feature not in ("batch", "task"):
        return nullcontext
    return lambda: tgtrio.RawStore(os.path.join(folder, "runs.db"), durability=feature)
