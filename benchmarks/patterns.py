"""The dependence patterns of Task Bench.

After Slaughter et al., "Task Bench: A Parameterized Benchmark for Evaluating Parallel Runtime
Performance" (SC 2020), and its `core/core.cc`. A graph is `steps` rows of up to `width` points;
a point depends on points of the row before. Where a pattern takes them: radix 5, period 3,
fraction 0.25.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from .peers.peer import Graph

WIDTH = 32
RADIX = 5
PERIOD = 3
FRACTION = 0.25

Pattern = Callable[[int, int, int], Iterable[int]]
"""(step, point, width) -> the points of the step before that it depends on, as they come."""


def trivial(step: int, point: int, width: int) -> Iterable[int]:
    return ()


def no_comm(step: int, point: int, width: int) -> Iterable[int]:
    return (point,)


def stencil_1d(step: int, point: int, width: int) -> Iterable[int]:
    return range(point - 1, point + 2)


def stencil_1d_periodic(step: int, point: int, width: int) -> Iterable[int]:
    return {other % width for other in range(point - 1, point + 2)}


def dom(step: int, point: int, width: int) -> Iterable[int]:
    return range(point - 1, point + 1)


def tree(step: int, point: int, width: int) -> Iterable[int]:
    """A binary tree; once it is as wide as it may be, half of the points have no dependents."""
    return (point // 2,)


def fft(step: int, point: int, width: int) -> Iterable[int]:
    """The butterfly: the point itself and those at the distance of the step."""
    distance = 2 ** ((step - 1) % max(1, (width - 1).bit_length()))
    return (point - distance, point, point + distance)


def all_to_all(step: int, point: int, width: int) -> Iterable[int]:
    return range(width)


def nearest(step: int, point: int, width: int) -> Iterable[int]:
    return range(point - RADIX // 2, point + (RADIX + 1) // 2)


def spread(step: int, point: int, width: int) -> Iterable[int]:
    """As many points as the radix, spread over the whole width, shifted by the step."""
    shift = step % PERIOD
    return {(point + i * width // RADIX + (shift if i else 0)) % width for i in range(RADIX)}


def random_nearest(step: int, point: int, width: int) -> Iterable[int]:
    """The point itself, and each of the nearest with a chance of `FRACTION`."""
    rng = random.Random(f"{step % PERIOD} {point}")
    near = nearest(step, point, width)
    return [other for other in near if other == point or rng.random() < FRACTION]


PATTERNS: dict[str, Pattern] = {
    "trivial": trivial,
    "no_comm": no_comm,
    "stencil_1d": stencil_1d,
    "stencil_1d_periodic": stencil_1d_periodic,
    "dom": dom,
    "tree": tree,
    "fft": fft,
    "all_to_all": all_to_all,
    "nearest": nearest,
    "spread": spread,
    "random_nearest": random_nearest,
}


def points(pattern: str, step: int, steps: int, width: int) -> range:
    """The points of a step: `dom` grows and shrinks by one, `tree` doubles until it is wide."""
    if pattern == "tree":
        return range(min(width, 2**step))
    if pattern == "dom":
        return range(max(0, step + width - steps), min(width, step + 1))
    return range(width)


def make(pattern: str, steps: int, width: int = WIDTH) -> Graph:
    """The graph of a pattern. Raises KeyError for a pattern that is unknown."""
    depends_on = PATTERNS[pattern]
    graph: dict[str, list[str]] = {}
    for step in range(steps):
        before = points(pattern, step - 1, steps, width) if step else range(0)
        for point in points(pattern, step, steps, width):
            wanted = depends_on(step, point, width) if step else ()
            graph[_name(step, point)] = [
                _name(step - 1, other) for other in sorted(wanted) if other in before
            ]
    return graph


def _name(step: int, point: int) -> str:
    return f"{step}.{point}"
