"""`OrderList`: which of two items comes first, while items move about. In constant time.

A linked list whose items carry labels that grow along it (P. Dietz and D. Sleator, "Two
algorithms for maintaining order in a list", STOC 1987, without their local relabelling). An
item that moves gets a label between those of its new neighbours. Only when there is none left,
after some 60 moves to one and the same spot, are all items labelled anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

GAP = 1 << 60


class OrderList:
    """The items 0 to n - 1 in an order.

    Attributes:
        label: The label of each item; a smaller one comes earlier. All that a caller compares.
    """

    __slots__ = ("_next", "_previous", "label")

    def __init__(self) -> None:
        self.label: list[int] = []
        # Slot i + 1 is item i. Slot 0 closes the ring: after it the first, before it the last.
        self._next = [0]
        self._previous = [0]

    def __len__(self) -> int:
        return len(self.label)

    def __iter__(self) -> Iterator[int]:
        slot = self._next[0]
        while slot:
            yield slot - 1
            slot = self._next[slot]

    def extend(self, items: Iterable[int]) -> None:
        """Append as many new items as are given: their numbers, in the order they shall have."""
        new = list(items)
        self.label += [0] * len(new)
        self._next += [0] * len(new)
        self._previous += [0] * len(new)
        self._insert(new, self._previous[0])

    def move_before(self, items: Sequence[int], anchor: int) -> None:
        """Put items, in the order given, right before one that is not among them."""
        self._remove(items)
        self._insert(items, self._previous[anchor + 1])

    def move_after(self, items: Sequence[int], anchor: int) -> None:
        """Put items, in the order given, right behind one that is not among them."""
        self._remove(items)
        self._insert(items, anchor + 1)

    def _remove(self, items: Iterable[int]) -> None:
        for item in items:
            before, after = self._previous[item + 1], self._next[item + 1]
            self._next[before], self._previous[after] = after, before

    def _insert(self, items: Sequence[int], left: int) -> None:
        right = self._next[left]
        start, step = self._room(left, right, len(items))
        if step == 0:
            self._relabel()
            start, step = self._room(left, right, len(items))
        for item in items:
            start += step
            self.label[item] = start
            self._next[left], self._previous[item + 1] = item + 1, left
            left = item + 1
        self._next[left], self._previous[right] = right, left

    def _room(self, left: int, right: int, count: int) -> tuple[int, int]:
        """The label of the left neighbour, and the step at which new ones follow; 0 for no room."""
        if right == 0:
            return (self.label[left - 1] if left else 0), GAP
        if left == 0:
            return self.label[right - 1] - GAP * (count + 1), GAP
        start = self.label[left - 1]
        return start, (self.label[right - 1] - start) // (count + 1)

    def _relabel(self) -> None:
        for place, item in enumerate(self):
            self.label[item] = place * GAP
