"""Real task graphs through the bare queue: order, caps and completeness, without Trio."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tgtrio._states import SUCCEEDED

from .queues import build
from .real_graphs import FILES, graph_of, load

if TYPE_CHECKING:
    from .queues import QueueClass

LIMIT = 16
PURE_TASKS = 10_000  # of each file; the plain Python class takes a sample


class Numbered(NamedTuple):
    """A graph by the numbers of its tasks, and caps by action."""

    name: str
    actions: list[str]
    dependencies: dict[int, list[int]]
    caps: dict[str, int]


def numbered(record: dict[str, Any]) -> Numbered:
    """Number the tasks as they come. A graph without caps gets some for its commonest actions."""
    tasks = graph_of(record)
    number = {task["task_id"]: n for n, task in enumerate(tasks)}
    actions = [task["action_name"] for task in tasks]
    common = [action for action, _ in Counter(actions).most_common(3)]
    return Numbered(
        record["name"],
        actions,
        {n: [number[d] for d in task["dependencies"]] for n, task in enumerate(tasks)},
        record.get("caps") or dict(zip(common, (3, 2, 1), strict=False)),
    )


def some_of(records: Iterator[dict[str, Any]], at_most: int) -> Iterator[dict[str, Any]]:
    """The smallest records: one, and more while they have no more than so many tasks together."""
    taken = 0
    for record in sorted(records, key=lambda record: len(record["tasks"])):
        if taken and taken + len(record["tasks"]) > at_most:
            return
        taken += len(record["tasks"])
        yield record


def run(queue_class: QueueClass, graph: Numbered) -> None:
    """Run a graph to its end; what runs completes in random order."""
    capped = list(graph.caps)
    lane = {action: n for n, action in enumerate(capped, start=1)}
    queue = build(
        queue_class,
        graph.dependencies,
        limit=LIMIT,
        lanes=[lane.get(action, 0) for action in graph.actions],
        lane_gates=[(), *((gate,) for gate in range(len(capped)))],
        capacities=list(graph.caps.values()),
    )
    chance = random.Random(graph.name)
    running: list[int] = []
    inside: Counter[str] = Counter()
    done: set[int] = set()
    while len(done) < queue.total:
        while (task := queue.next()) >= 0:
            action = graph.actions[task]
            running.append(task)
            inside[action] += 1
            assert done.issuperset(graph.dependencies[task]), f"task {task} started too early"
            assert inside[action] <= graph.caps.get(action, LIMIT), f"too many {action} at once"
        assert 0 < len(running) <= LIMIT
        place = chance.randrange(len(running))
        running[place], running[-1] = running[-1], running[place]
        task = running.pop()
        queue.complete(task, SUCCEEDED)
        inside[graph.actions[task]] -= 1
        done.add(task)
    assert (queue.next(), queue.unfinished, queue.running) == (-1, 0, 0)
    assert queue.counts()[SUCCEEDED] == queue.total
    queue.validate()


@pytest.mark.parametrize("file", FILES)
def test_real_graphs_run_to_their_end(ReadyQueue: QueueClass, shared_data: Path, file: str) -> None:
    records = load(shared_data / f"{file}.jsonl.gz")
    if ReadyQueue.__module__.endswith("_py"):
        records = some_of(records, PURE_TASKS)
    for record in records:
        run(ReadyQueue, numbered(record))


def test_every_file_is_run(shared_data: Path) -> None:
    assert {path.name.removesuffix(".jsonl.gz") for path in shared_data.glob("*.jsonl.gz")} == set(
        FILES
    )
