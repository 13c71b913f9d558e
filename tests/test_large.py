"""Very large graphs, from description to result. No recursion, nothing quadratic.

Each shape runs in a process of its own, so that its memory is its own too. The chain has a
million tasks, the other shapes fewer; `TGTRIO_LARGE=1000000` sets the number for all of them.
"""

from __future__ import annotations

import json
import os

import pytest

from tgtrio._backend import COMPILED

from .runs import run_script

ASKED = int(os.environ.get("TGTRIO_LARGE") or 0)
CHAIN = ASKED or (1_000_000 if COMPILED else 50_000)
TASKS = ASKED or (200_000 if COMPILED else 20_000)

SCRIPT = """
import gc, json, sys
import trio
from tgtrio import TaskGraph, run_graph

shape, count = {shape!r}, {count}
gc.freeze()

def fields(n):
    one = dict(task_id=str(n), action_name="work", max_retries=0, idempotent=False)
    if n and shape != "independent":
        one["dependencies"] = [str(n - 1 if shape in ("chain", "failing chain") else 0)]
    if shape == "sink" and n == count - 1:
        one["dependencies"] = [str(m) for m in range(n)]
    elif shape == "sink":
        one["dependencies"] = []
    return one

graph = TaskGraph("large")
graph.add_tasks(map(fields, range(count)))
graph.validate()

ran = 0
async def work(args):
    global ran
    ran += 1
    if shape == "failing chain":
        raise ValueError("the first one")

result = trio.run(run_graph, graph, {"work": work})
last = result.results[str(count - 1)]
report = dict(
    ran=ran,
    states={k: v for k, v in result.statistics["states"].items() if v},
    last=[last.state.value, last.caused_by],
)
if {round_trip}:
    again = TaskGraph.from_dict(json.loads(json.dumps(graph.to_dict())))
    again.validate()
    report["same"] = again.nodes[str(count - 1)] == graph.nodes[str(count - 1)]
    report["tasks"] = len(again)
print(json.dumps(report))
"""


def run_shape(shape: str, count: int, *, round_trip: bool = False) -> dict[str, object]:
    source = SCRIPT.replace("{shape!r}", repr(shape))
    source = source.replace("{count}", str(count)).replace("{round_trip}", str(round_trip))
    done = run_script(source, timeout=300)
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize(("shape", "count"), [("chain", CHAIN), ("star", TASKS)])
def test_it_runs_and_survives_being_written_and_read(shape: str, count: int) -> None:
    report = run_shape(shape, count, round_trip=True)
    assert report["ran"] == count
    assert report["states"] == {"succeeded": count}
    assert report["last"] == ["succeeded", None]
    assert (report["same"], report["tasks"]) == (True, count)


@pytest.mark.parametrize("shape", ["sink", "independent"])
def test_it_runs(shape: str) -> None:
    report = run_shape(shape, TASKS)
    assert report["ran"] == TASKS
    assert report["states"] == {"succeeded": TASKS}
    assert report["last"] == ["succeeded", None]


def test_a_chain_aborts_at_once_and_names_its_root() -> None:
    report = run_shape("failing chain", TASKS)
    assert report["ran"] == 1
    assert report["states"] == {"failed": 1, "aborted": TASKS - 1}
    assert report["last"] == ["aborted", "0"]
