"""Other threads get their turns while a run has work all the time."""

from __future__ import annotations

import threading
import time

from tgtrio import TaskGraph, run_graph

from .runs import Args

TASKS = 100_000
TURNS = 5


async def test_another_thread_gets_turns_among_tasks_that_never_wait() -> None:
    """Trio lets go of the GIL only for moments then, in which no other thread wakes up in time."""
    turns = 0

    def take_turns() -> None:
        nonlocal turns
        while turns < TURNS:
            time.sleep(0.01)
            turns += 1

    async def work(args: Args) -> int:
        for _ in range(500):
            pass
        return turns

    graph = TaskGraph("g")
    graph.add_tasks({"task_id": str(n), "action_name": "work"} for n in range(TASKS))
    graph.freeze()
    thread = threading.Thread(target=take_turns)
    thread.start()
    result = await run_graph(graph, {"work": work}, idempotent=False)
    thread.join()
    assert result.results[str(TASKS - 1)].response == TURNS
