"""The shapes of graphs that are measured, as mappings for `TaskGraph.add_tasks`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

Task = dict[str, Any]


def layered(size: int, width: int = 100, parents: int = 3, seed: int = 1) -> Iterator[Task]:
    """Layers of `width` tasks; each depends on up to `parents` random ones of the layer above."""
    rng = random.Random(seed)
    for number in range(size):
        above = number // width * width - width
        chosen = {rng.randrange(above, above + width) for _ in range(parents)} if above >= 0 else ()
        yield _task(number, [str(parent) for parent in sorted(chosen)])


def chain(size: int) -> Iterator[Task]:
    """Each task depends on the one before it."""
    return (_task(number, [str(number - 1)] if number else []) for number in range(size))


def star(size: int) -> Iterator[Task]:
    """One task, and all others depend on it."""
    return (_task(number, ["0"] if number else []) for number in range(size))


def wide(size: int) -> Iterator[Task]:
    """No dependencies at all."""
    return (_task(number, []) for number in range(size))


def _task(number: int, dependencies: list[str]) -> Task:
    return {"task_id": str(number), "action_name": "work", "dependencies": dependencies}
