"""The parts of a run, each alone: the queue, the description, memory, and the smallest task."""

from __future__ import annotations

from collections.abc import Iterator

from .cases import Case, Goal, Section

STENCIL = "taskbench/stencil_1d"
METG_SIZES = {
    "tgtrio": 10_000,
    "bare-loop": 10_000,
    "nursery": 3_200,
    "dask-synchronous": 1_600,
    "dask-threaded": 1_600,
}


def costs(quick: bool) -> Iterator[Section]:
    size = 100_000 if quick else 1_000_000
    yield _queue(size, quick)
    yield Section(
        "describe",
        "Describing and freezing a layered graph, us a task",
        [Case("describing", size=100_000)],
        goals=[
            Goal("add_tasks", "tgtrio", "add_tasks us", at_most=2.5),
            Goal("add_task", "tgtrio", "add_task us", at_most=5),
            Goal("freeze", "tgtrio", "freeze us", at_most=0.4),
        ],
    )
    yield _memory(size)
    yield Section(
        "metg",
        "METG(50 %): the smallest task of which half of the time is work",
        [
            Case("granularity", peer, size, STENCIL)
            for peer, size in METG_SIZES.items()
            if not (quick and peer == "nursery")
        ],
        main="METG us",
        note="Task Bench's stencil, 32 wide, in one process. The work is turns of an empty loop.",
        goals=[Goal("us", "tgtrio", "METG us", at_most=0.6)],
        rounds=1 if quick else 3,
    )


def _queue(size: int, quick: bool) -> Section:
    def way(work: str) -> Case:
        return Case("queue", size=size, work=work, row=work)

    return Section(
        "queue",
        "The queue alone, from Python: layered tasks with priorities and deadlines",
        [
            way("next-complete"),
            way("fused"),
            way("eight-caps"),
            way("caps-of-one"),
            way("in-order"),
            Case("queue", "rustworkx-order", size),
            Case("queue", "graphlib-order", size),
        ],
        main="ns",
        note="The peers know neither priorities nor caps, and take the tasks in the order in which "
        "they lie in memory. Priorities and deadlines are random, which lets the caches miss.",
        goals=[
            Goal("ns, complete_and_next", "fused", "ns", at_most=80),
            Goal("ns, next and complete", "next-complete", "ns", at_most=80),
            Goal("ns, 8 capped actions", "eight-caps", "ns", at_most=100),
            Goal("ns, caps of 1", "caps-of-one", "ns", at_most=200),
            Goal("faster than rustworkx", "fused", "ns", "rustworkx-order", at_least=2),
            Goal("faster than graphlib", "fused", "ns", "graphlib-order", at_least=15),
        ],
        rounds=1 if quick else 2,
    )


def _memory(size: int) -> Section:
    def part(work: str, size: int) -> Case:
        return Case("memory", size=size, work=work, row=work)

    return Section(
        "memory",
        "Memory, bytes a task (a task asleep: with its action, its Trio task and its scope)",
        [
            part("queue and plan", 100_000),
            part("run", 100_000),
            part("whole", size),
            part("suspended", 10_000),
        ],
        goals=[
            Goal("queue and plan, less 10 an edge", "queue and plan", "bytes less 10 an edge",
                 at_most=64),
            Goal("the run, less queue and responses", "run", "bytes less queue and responses",
                 at_most=48),
            Goal("the whole program", "whole", "bytes", at_most=800),
            Goal("an action asleep", "suspended", "bytes", at_most=4096),
            Goal("growth over 1,000,000 tasks", "run", "growth over 10 more runs", at_most=1),
        ],
        rounds=1,
    )  # fmt: skip
