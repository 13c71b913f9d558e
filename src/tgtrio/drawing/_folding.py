"""Pictures of large graphs: several tasks to a box."""

from __future__ import annotations

import functools
from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterable

import attrs

from .._graph import TaskGraph
from .._results import GraphResult
from .._states import TaskState
from ._picture import (
    Arrows,
    Box,
    Picture,
    Shape,
    check_boxes,
    check_result,
    fits,
    one_box_a_task,
    shape_of,
)


def picture_of(
    graph: TaskGraph, result: GraphResult | None, limit: int | None, *, few_arrows: bool
) -> Picture:
    """The graph in at most `limit` boxes; with `few_arrows` at most 2.5 times as many arrows."""
    check_result(graph, result)
    check_boxes(graph, limit)
    shape = shape_of(graph)
    picture = one_box_a_task(graph, shape, result)
    enough = functools.partial(fits, limit=limit, few_arrows=few_arrows)
    if enough(picture.tasks, picture.dependencies):
        return picture
    return _drawn(picture, shape, _fold(picture, shape, enough))


@attrs.frozen
class _Groups:
    """Tasks by action and band of levels.

    Attributes:
        of: The group of each task.
        keys: The action and the band of each group; of all actions together, -1.
        arrows: How many dependencies there are from one group to another.
    """

    of: list[int]
    keys: list[tuple[int, int]]
    arrows: Counter[tuple[int, int]]

    def merged(self, keys: Iterable[tuple[int, int]]) -> _Groups:
        """The groups with new keys, those of one key as one."""
        place, new = _numbered(keys)
        arrows: Counter[tuple[int, int]] = Counter()
        for (start, end), number in self.arrows.items():
            if place[start] != place[end]:
                arrows[place[start], place[end]] += number
        return _Groups([place[group] for group in self.of], new, arrows)


def _numbered(keys: Iterable[tuple[int, int]]) -> tuple[list[int], list[tuple[int, int]]]:
    """The number of each key, and the different keys."""
    numbers: dict[tuple[int, int], int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys], list(numbers)


def _fold(picture: Picture, shape: Shape, enough: Callable[[int, int], bool]) -> _Groups:
    """The finest groups that fit: by action and level, then by twice, four times as many levels
    together, and where the actions themselves are too many, by level alone.
    """
    plan, level = shape.plan, shape.level
    for actions in (plan.action, array("i", [-1]) * len(plan)):
        groups = _grouped(picture, zip(actions, level, strict=True))
        while not enough(len(groups.keys), len(groups.arrows)):
            if all(band == 0 for _, band in groups.keys):
                break
            groups = groups.merged([(action, band // 2) for action, band in groups.keys])
        else:
            break
    return groups


def _grouped(picture: Picture, keys: Iterable[tuple[int, int]]) -> _Groups:
    of, names = _numbered(keys)
    arrows: Counter[tuple[int, int]] = Counter()
    for task, end in enumerate(of):
        for dependency in picture.before.of(task):
            if of[dependency] != end:
                arrows[of[dependency], end] += 1
    return _Groups(of, names, arrows)


def _drawn(picture: Picture, shape: Shape, groups: _Groups) -> Picture:
    """The picture with a box for each group, from the lowest level on."""
    members: list[list[int]] = [[] for _ in groups.keys]
    for task, group in enumerate(groups.of):
        members[group].append(task)
    boxes = [_together(picture, shape, tasks) for tasks in members]
    order = sorted(range(len(boxes)), key=lambda group: boxes[group].first_level)
    place = _inverse(order)
    arrows = sorted((place[start], place[end]) for start, end in groups.arrows)
    weights = {
        (place[start], place[end]): number
        for (start, end), number in groups.arrows.items()
        if number > 1
    }
    return attrs.evolve(
        picture,
        boxes=[boxes[group] for group in order],
        after=_rows(len(order), arrows),
        before=_rows(len(order), sorted((end, start) for start, end in arrows)),
        weights=weights,
        inside=picture.dependencies - groups.arrows.total(),
    )


def _together(picture: Picture, shape: Shape, tasks: list[int]) -> Box:
    """One box for several tasks; of one task, its own."""
    first = picture.boxes[tasks[0]]
    if len(tasks) == 1:
        return first
    states: Counter[TaskState] = Counter()
    for task in tasks:
        states.update(picture.boxes[task].states)
    levels = [shape.level[task] for task in tasks]
    actions = _different(shape.plan.action[task] for task in tasks)
    return Box(first.node, len(tasks), actions, min(levels), max(levels), 0, states)


def _different(values: Iterable[Hashable]) -> int:
    return len(set(values))


def _inverse(order: list[int]) -> list[int]:
    place = [0] * len(order)
    for new, old in enumerate(order):
        place[old] = new
    return place


def _rows(count: int, pairs: list[tuple[int, int]]) -> Arrows:
    """Sorted pairs as CSR arrays."""
    offsets = array("i", bytes(4 * (count + 1)))
    for start, _ in pairs:
        offsets[start + 1] += 1
    for row in range(count):
        offsets[row + 1] += offsets[row]
    return Arrows(offsets, array("i", [end for _, end in pairs]))
