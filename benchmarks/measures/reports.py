"""What the report of a run costs: to remember the run, to write the page, and to open it."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

import tgtrio
from tgtrio.report import History, write_report

from .. import graphs
from ..cases import Case, Sample

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ACTIONS = ("extract", "transform", "load", "check")
FLAGS = "--headless --no-sandbox --disable-gpu --window-size=1280,900 --dump-dom"


def page(case: Case) -> Sample:
    """The report of a run of tasks that sleep, in virtual time, two of four actions capped."""
    graph = tgtrio.TaskGraph("benchmark", max_parallel=64)
    for number, (name, parents) in enumerate(graphs.make(case.shape, case.size).items()):
        action = ACTIONS[number % len(ACTIONS)]
        graph.add_task(name, action, {"n": number}, dependencies=parents)
    history = History()
    result = trio.run(_run, graph, history, clock=MockClock(autojump_threshold=0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.html"
        start = time.perf_counter()
        write_report(path, result, history)
        figures = {
            "s to write": time.perf_counter() - start,
            "MB": path.stat().st_size / 1e6,
            **_opening(path),
        }
    return Sample(figures=figures, title="tgtrio", size=case.size)


async def _run(graph: tgtrio.TaskGraph, history: History) -> tgtrio.GraphResult:
    dice = random.Random(1)

    async def work(args: dict[str, Any]) -> None:
        await trio.sleep(dice.expovariate(1))

    return await tgtrio.run_graph(
        graph,
        dict.fromkeys(ACTIONS, work),
        per_action_caps={"load": 8, "check": 16},
        instruments=[history],
    )


def _opening(path: Path) -> dict[str, float]:
    """How long Chromium takes to open the page, by its own clock; nothing where it is not."""
    if CHROMIUM is None:
        return {}
    command = [CHROMIUM, *FLAGS.split(), path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    opened = re.search(r'data-opened="(\d+)"', shown)
    return {"ms to open": float(opened[1])} if opened else {}
