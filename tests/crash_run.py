"""A durable run that somebody kills: `python -m tests.crash_run STORE LOG DURABILITY`.

Each action appends the id of its task to the log before it returns. It looks into the store first:
a line that begins with `early` names a task that started before its dependencies were on disk.
It prints "ready" just before the run, and how many tasks succeeded after it.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from tgtrio import RawStore, TaskGraph, output_of, run_graph

TASKS = 240
PARALLEL = 8
LONGEST = 0.012  # seconds that a task takes
GRAPH_ID = "crashing"

_COMMITTED = "SELECT count(DISTINCT task_id) FROM executions WHERE state = 'succeeded' AND task_id"


def task_ids() -> list[str]:
    return [f"t{n}" for n in range(TASKS)]


def dependencies() -> dict[str, list[str]]:
    """The same ones each time: up to three of the twenty tasks before, for most."""
    rng = random.Random(7)
    return {
        f"t{n}": [f"t{m}" for m in rng.sample(range(max(0, n - 20), n), min(n, rng.randint(0, 3)))]
        for n in range(TASKS)
    }


def make_graph() -> TaskGraph:
    """Every third task is not idempotent, every other one takes the output of a dependency."""
    graph = TaskGraph(GRAPH_ID, max_parallel=PARALLEL)
    for n, (task_id, needed) in enumerate(dependencies().items()):
        args: dict[str, Any] = {"id": task_id, "needed": needed}
        if needed and n % 2:
            args["input"] = output_of(needed[0])
        graph.add_task(
            task_id,
            "work",
            args,
            dependencies=needed,
            idempotent=False if n % 3 == 0 else None,
        )
    return graph


def make_action(store: str, log: str, check: bool) -> Callable[[dict[str, Any]], Awaitable[str]]:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    connection = sqlite3.connect(store, isolation_level=None)
    rng = random.Random()

    def is_early(needed: list[str]) -> bool:
        marks = ", ".join("?" * len(needed))
        (count,) = connection.execute(f"{_COMMITTED} IN ({marks})", needed).fetchone()
        return bool(count < len(needed))

    async def work(args: dict[str, Any]) -> str:
        if check and is_early(args["needed"]):
            os.write(descriptor, f"early {args['id']}\n".encode())
        await trio.sleep(rng.uniform(0, LONGEST))
        os.write(descriptor, f"{args['id']}\n".encode())
        return f"done {args['id']}"

    return work


def main(path: str, log: str, durability: str) -> None:
    graph = make_graph()
    with RawStore(path, durability=durability) as store:
        work = make_action(path, log, check=durability == "task")
        print("ready", flush=True)
        result = trio.run(lambda: run_graph(graph, {"work": work}, store=store))
    print(result.statistics["states"]["succeeded"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
