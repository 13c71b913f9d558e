"""The shapes of graphs that are measured: the dependencies of each task, in topological order."""

from __future__ import annotations

import random
from collections.abc import Callable

from . import patterns, real_graphs
from .peers.peer import Graph

WIDTH = 100


def wide(size: int) -> Graph:
    """No dependencies at all."""
    return {str(number): [] for number in range(size)}


def chain(size: int) -> Graph:
    """Each task depends on the one before it."""
    return {str(number): [str(number - 1)] if number else [] for number in range(size)}


def layered(size: int, width: int = WIDTH, parents: int = 3, seed: int = 1) -> Graph:
    """Layers of `width` tasks; each depends on up to `parents` random ones of the layer above."""
    rng = random.Random(seed)
    graph = {}
    for number in range(size):
        above = number // width * width - width
        chosen = {rng.randrange(above, above + width) for _ in range(parents)} if above >= 0 else ()
        graph[str(number)] = [str(parent) for parent in sorted(chosen)]
    return graph


def fan(size: int, width: int = WIDTH) -> Graph:
    """Again and again one task, `width` tasks that depend on it, one that depends on these."""
    graph: dict[str, list[str]] = {}
    source, middle = "0", list[str]()
    for number in range(size):
        name, place = str(number), number % (width + 1)
        if place == 0:
            graph[name], source, middle = middle, name, []
        else:
            graph[name] = [source]
            middle.append(name)
    return graph


def grid(size: int, width: int = WIDTH) -> Graph:
    """Each task depends on its neighbours above and to the left."""
    return {
        str(number): [
            *([str(number - width)] if number >= width else []),
            *([str(number - 1)] if number % width else []),
        ]
        for number in range(size)
    }


SHAPES: dict[str, Callable[[int], Graph]] = {
    "wide": wide,
    "chain": chain,
    "layered": layered,
    "fan": fan,
    "grid": grid,
}


def make(shape: str, size: int) -> Graph:
    """The graph of a name: a shape, `taskbench/PATTERN`, or `real/NAME`.

    Args:
        shape: The name.
        size: How many tasks, at most; a pattern has whole steps, a real graph the size it has.
    """
    family, _, name = shape.partition("/")
    if family == "taskbench":
        return patterns.make(name, steps=max(1, size // patterns.WIDTH))
    if family == "real":
        return real_graphs.load(name)
    return SHAPES[shape](size)
