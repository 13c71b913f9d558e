"""What the tests of whole runs share: short ways to describe a graph and to watch it run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

import tgtrio
from tgtrio import GraphResult, TaskGraph

Args = dict[str, Any]
AsyncAction = Callable[[Args], Awaitable[object]]


def graph_of(*tasks: str | dict[str, Any], graph_id: str = "g", **options: Any) -> TaskGraph:
    """A graph of tasks given by id alone or by some fields.

    Unless they say otherwise tasks use the action `work`, are not retried, and are not
    served from each other.
    """
    graph = TaskGraph(graph_id, **options)
    defaults = {"action_name": "work", "max_retries": 0, "idempotent": False}
    graph.add_tasks(
        {**defaults, **({"task_id": task} if isinstance(task, str) else task)} for task in tasks
    )
    return graph


def task(task_id: str, *dependencies: str, **fields: Any) -> dict[str, Any]:
    """The fields of one task."""
    return {"task_id": task_id, "dependencies": dependencies, **fields}


def states(result: GraphResult) -> dict[str, str]:
    return {task_id: one.state.value for task_id, one in result.results.items()}


def returns(value: object = None) -> AsyncAction:
    async def action(args: Args) -> object:
        return value

    return action


def sleeps(seconds: float, value: object = None) -> AsyncAction:
    async def action(args: Args) -> object:
        await trio.sleep(seconds)
        return value

    return action


def raises(error: Callable[[], BaseException] = lambda: ValueError("broken")) -> AsyncAction:
    async def action(args: Args) -> object:
        raise error()

    return action


async def nap(args: Args) -> object:
    """Sleep as many seconds as the arguments say, if they do."""
    await trio.sleep(args.get("seconds", 1))
    return args.get("value")


class Meter:
    """How many are inside at once, by name."""

    def __init__(self) -> None:
        self.inside: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()

    @contextmanager
    def count(self, *names: str) -> Iterator[None]:
        for name in names:
            self.inside[name] += 1
            self.peak[name] = max(self.peak[name], self.inside[name])
        try:
            yield
        finally:
            self.inside.subtract(names)

    def naps(self, name: str = "all") -> AsyncAction:
        async def action(args: Args) -> object:
            with self.count(name):
                return await nap(args)

        return action


class LoopCounter(trio.abc.Instrument):
    """Counts the turns of Trio's loop."""

    def __init__(self) -> None:
        self.turns = 0

    def before_io_wait(self, timeout: float) -> None:
        self.turns += 1


@contextmanager
def counting_turns() -> Iterator[LoopCounter]:
    counter = LoopCounter()
    trio.lowlevel.add_instrument(counter)
    try:
        yield counter
    finally:
        trio.lowlevel.remove_instrument(counter)


def run_script(
    source: str, *, timeout: float = 60, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in a fresh interpreter that finds this very package."""
    package = str(Path(tgtrio.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
