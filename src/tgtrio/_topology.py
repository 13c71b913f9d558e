"""Topological orders over small integers: found once, or kept while edges are added.

Task i has *dependencies* (tasks before it) and *dependents* (tasks after it). Everything is
a loop with a stack of its own; no graph is too deep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ._order_list import OrderList

MOST_CYCLES = 20


def find_order(
    count: int, dependencies: Callable[[int], Iterable[int]]
) -> tuple[list[int], list[list[int]]]:
    """Order tasks so that each comes after its dependencies. O(tasks + edges).

    Args:
        count: The tasks are 0 to `count - 1`.
        dependencies: Those of a task, all below `count`. Called once for each task.

    Returns:
        The order; and cycles, at most 20, each as `[a, b, ...]` where a depends on b and so on
        and the last depends on a. Of tasks that are on cycles with each other at least one
        cycle is found. With cycles the order means nothing.
    """
    order: list[int] = []
    cycles: list[list[int]] = []
    in_cycle: set[int] = set()
    place_on_path = [-1] * count  # -1: not seen; -2: done; else where it stands on the path
    for start in range(count):
        if place_on_path[start] != -1:
            continue
        place_on_path[start] = 0
        path = [start]
        todo: list[Iterator[int]] = [iter(dependencies(start))]
        while path:
            for task in todo[-1]:
                place = place_on_path[task]
                if place == -1:
                    place_on_path[task] = len(path)
                    path.append(task)
                    todo.append(iter(dependencies(task)))
                    break
                known = task in in_cycle or path[-1] in in_cycle
                if place >= 0 and not known and len(cycles) < MOST_CYCLES:
                    cycles.append(path[place:])
                    in_cycle.update(path[place:])
            else:
                todo.pop()
                done = path.pop()
                place_on_path[done] = -2
                order.append(done)
    return order, cycles


class Topology:
    """A topological order that follows as edges are added.

    An edge that points forward in the order is free. Another costs a search of the *affected
    region* only: the tasks between its ends in the order that are reachable from one of them
    (D. J. Pearce and P. H. J. Kelly, "A dynamic topological sort algorithm for directed acyclic
    graphs", ACM JEA 11, 2006). The search goes from both ends in turn, edge by edge, and is over
    when either has seen all there is on its side (B. Alpern et al., "Incremental evaluation of
    computational circuits", SODA 1990); then that side alone moves past the other end. So an
    edge costs no more than twice the smaller side, and a chain can be tied in any direction.

    Invariant: each task stands behind all its dependencies.
    """

    __slots__ = ("_dependencies", "_dependents", "_order")

    def __init__(self) -> None:
        self._order = OrderList()
        self._dependencies: list[list[int]] = []
        self._dependents: list[list[int]] = []

    def __len__(self) -> int:
        return len(self._dependencies)

    def order(self) -> list[int]:
        """The tasks in order."""
        return list(self._order)

    def extend(self, dependencies: Sequence[Sequence[int]]) -> list[int]:
        """Add tasks at the end. O(tasks + edges).

        Args:
            dependencies: For each new task those that it depends on, old or new ones.

        Returns:
            A cycle among the new tasks, as in `find_order`, and then nothing was added; else
            an empty list.
        """
        first = len(self)
        order, cycles = find_order(
            len(dependencies), lambda new: [d - first for d in dependencies[new] if d >= first]
        )
        if cycles:
            return [task + first for task in cycles[0]]
        self._order.extend(task + first for task in order)
        self._dependents.extend([] for _ in order)
        for task, before in enumerate(dependencies, first):
            self._dependencies.append(list(before))
            for dependency in before:
                self._dependents[dependency].append(task)
        return []

    def add_edge(self, dependency: int, dependent: int) -> list[int]:
        """Put one existing task behind another.

        Returns:
            The cycle that the edge would close, as in `find_order` and beginning with
            `dependent`, and then nothing was changed; else an empty list.
        """
        label = self._order.label
        if label[dependent] <= label[dependency]:
            cycle = self._make_way(dependency, dependent)
            if cycle:
                return cycle
        self._dependencies[dependent].append(dependency)
        self._dependents[dependency].append(dependent)
        return []

    def _make_way(self, dependency: int, dependent: int) -> list[int]:
        """Reorder so that `dependent` stands behind `dependency`, or return the cycle."""
        label = self._order.label
        lowest, highest = label[dependent], label[dependency]
        later = _Search(dependent, dependency, self._dependents)
        earlier = _Search(dependency, dependent, self._dependencies)
        while True:
            if later.step(lambda task: label[task] <= highest):
                if later.met:
                    return [dependent, *later.way_back()[:-1]]
                self._order.move_after(sorted(later.reached, key=label.__getitem__), dependency)
                return []
            if earlier.step(lambda task: label[task] >= lowest):
                if earlier.met:
                    return [dependent, *earlier.way_back()[:0:-1]]
                self._order.move_before(sorted(earlier.reached, key=label.__getitem__), dependent)
                return []

    def validate(self) -> None:
        """Check the invariant; for tests."""
        place = {task: place for place, task in enumerate(self._order)}
        assert sorted(place) == list(range(len(self)))
        for task, before in enumerate(self._dependencies):
            for dependency in before:
                assert place[dependency] < place[task]
                assert task in self._dependents[dependency]


class _Search:
    """One side of the search, an edge at a time.

    Attributes:
        reached: Each task that was reached, with the one that it was reached from.
        met: True once the goal is among them.
    """

    __slots__ = ("_edges", "_goal", "_now", "_todo", "_way", "met", "reached")

    def __init__(self, start: int, goal: int, edges: list[list[int]]) -> None:
        self.reached = {start: start}
        self.met = start == goal
        self._goal = goal
        self._edges = edges
        self._todo: list[int] = []
        self._now = start
        self._way = iter(edges[start])

    def step(self, inside: Callable[[int], bool]) -> bool:
        """Look along one edge, and go on there if that is inside the region. True when done."""
        if self.met:
            return True
        task = next(self._way, None)
        if task is None:
            if not self._todo:
                return True
            self._now = self._todo.pop()
            self._way = iter(self._edges[self._now])
        elif task not in self.reached and inside(task):
            self.reached[task] = self._now
            self._todo.append(task)
            self.met = task == self._goal
        return self.met

    def way_back(self) -> list[int]:
        """From the goal to the start, both included."""
        way = [self._goal]
        while self.reached[way[-1]] != way[-1]:
            way.append(self.reached[way[-1]])
        return way
