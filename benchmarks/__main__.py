"""`python -m benchmarks [--quick]`: how fast a run is, beside what one would write by hand.

Everything is measured in one process, the contestants in turn, several rounds, and the
median is given: on a machine that others use too, only the ratios mean something.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
import trio.testing

import tgtrio
from tgtrio._backend import COMPILED

from . import by_hand, workloads


async def no_op(args: Any) -> int:
    return 1


async def nap(args: Any) -> None:
    await trio.sleep(0.01)


async def forever(args: Any) -> None:
    await trio.sleep_forever()


def describe(tasks: Iterator[workloads.Task], **options: Any) -> tgtrio.TaskGraph:
    graph = tgtrio.TaskGraph("benchmark", **options)
    graph.add_tasks(tasks)
    return graph


class Stopwatch:
    """Seconds by name; the median of each."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.times.setdefault(name, []).append(time.perf_counter() - start)

    def median(self, name: str) -> float:
        return statistics.median(self.times[name])


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n### {title}\n")
    print(f"| {' | '.join(head)} |")
    print(f"|{'|'.join('---' if i == 0 else '---:' for i in range(len(head)))}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


async def no_op_run(size: int, rounds: int) -> None:
    graph = describe(workloads.layered(size))
    dependencies = {task_id: node.dependencies for task_id, node in graph.nodes.items()}
    plain = {task_id: list(names) for task_id, names in dependencies.items()}
    graph.freeze()
    watch = Stopwatch()
    contestants: dict[str, Callable[[], Awaitable[Any]]] = {
        "tgtrio": lambda: tgtrio.run_graph(graph, {"work": no_op}, idempotent=False),
        "graphlib + nursery by hand": lambda: by_hand.nursery(plain, no_op),
        "bare loop, no graph": lambda: by_hand.bare_loop(plain, no_op),
    }
    for _ in range(rounds):
        for name, run in contestants.items():
            with watch.measure(name):
                await run()
    ours = watch.median("tgtrio")
    table(
        f"{size:,} no-op async tasks, layered (100 wide, 3 parents each), results kept",
        ["", "us a task", "times tgtrio"],
        [
            [name, f"{watch.median(name) / size * 1e6:.2f}", f"{watch.median(name) / ours:.2f}"]
            for name in contestants
        ],
    )


async def features(size: int, rounds: int) -> None:
    """The same run with more and more of what an engine must do."""
    graph = describe(
        {**task, "normalized_args": {"n": number}}  # else all would be one piece of work
        for number, task in enumerate(workloads.layered(size))
    )
    graph.freeze()
    bare: dict[str, Any] = {"retry": None, "breaker": None, "idempotent": False}
    watch = Stopwatch()

    async def run(name: str, **options: Any) -> None:
        with watch.measure(name):
            await tgtrio.run_graph(graph, {"work": no_op}, **options)

    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            await run("no retries, no breakers, no shared work", **bare)
            await run("all of them")
            for durability in ("batch", "task"):
                path = os.path.join(folder, f"{durability}-{number}.db")
                with tgtrio.RawStore(path, durability=durability) as store:
                    await run(f"on disk, durability={durability!r}", store=store, **bare)
    first = watch.median(next(iter(watch.times)))
    rows = [
        [
            name,
            f"{watch.median(name) / size * 1e6:.2f}",
            f"{(watch.median(name) - first) / size * 1e6:.2f}",
        ]
        for name in watch.times
    ]
    table(f"{size:,} no-op tasks, layered, with", ["", "us a task", "more"], rows)


async def phases(size: int) -> None:
    rows = []
    for shape in (workloads.chain, workloads.star, workloads.layered):
        watch = Stopwatch()
        tasks = list(shape(size))
        graph = tgtrio.TaskGraph(shape.__name__)
        with watch.measure("add_tasks"):
            graph.add_tasks(tasks)
        del tasks
        with watch.measure("validate"):
            graph.validate()
        with watch.measure("freeze"):
            graph.freeze()
        with watch.measure("run"):
            result = await tgtrio.run_graph(graph, {"work": no_op}, idempotent=False)
        assert result.ok
        with watch.measure("to_dict"):
            data = graph.to_dict()
        with watch.measure("from_dict"):
            tgtrio.TaskGraph.from_dict(data)
        rows.append(
            [shape.__name__, *(f"{watch.median(name) / size * 1e6:.2f}" for name in watch.times)]
        )
    table(f"{size:,} tasks, us a task in each phase", ["", *watch.times], rows)


async def cancellation(count: int, rounds: int) -> None:
    watch = Stopwatch()
    for _ in range(rounds):
        graph = describe(workloads.wide(count), max_parallel=count)
        async with tgtrio.open_run(graph, {"work": forever}, idempotent=False) as run:
            await trio.testing.wait_all_tasks_blocked()
            assert run.statistics()["running_tasks"] == count
            with watch.measure("cancel"):
                run.cancel()
                await run.wait()
    table(
        f"cancelling {count:,} sleeping actions",
        ["", "ms"],
        [["from cancel() to the result", f"{watch.median('cancel') * 1e3:.1f}"]],
    )


def naps(count: int, limit: int) -> None:
    async def run() -> tuple[float, int]:
        peak = in_flight = 0

        async def counted(args: Any) -> None:
            nonlocal peak, in_flight
            in_flight += 1
            peak = max(peak, in_flight)
            await nap(args)
            in_flight -= 1

        graph = describe(workloads.wide(count), max_parallel=limit)
        result = await tgtrio.run_graph(graph, {"work": counted}, idempotent=False)
        return result.elapsed_ms, peak

    elapsed_ms, peak = trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    ideal_ms = count / limit * 10
    table(
        f"{count:,} tasks of 10 ms, at most {limit:,} at once, in virtual time",
        ["ideal ms", "took ms", "ratio", "peak in flight"],
        [[f"{ideal_ms:.1f}", f"{elapsed_ms:.1f}", f"{elapsed_ms / ideal_ms:.3f}", f"{peak:,}"]],
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, fewer rounds")
    quick = parser.parse_args().quick
    size, rounds, large = (10_000, 3, 100_000) if quick else (100_000, 7, 1_000_000)
    print(
        f"tgtrio {tgtrio.__version__} ({'compiled' if COMPILED else 'pure Python'}), "
        f"trio {trio.__version__}, {platform.python_implementation()} "
        f"{platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    )
    trio.run(no_op_run, size, rounds)
    trio.run(features, size, rounds)
    trio.run(phases, large)
    naps(10_000, 1_000)
    trio.run(cancellation, 1_000, rounds)


if __name__ == "__main__":
    main()
