"""One Trio task that does things on time: whatever a run must do at an instant goes through it.

It sleeps until the earliest timer and is woken early only by an earlier one, so
an idle run makes no wake-ups.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import trio


class Timer:
    """An action that is due at an instant of the Trio clock, until it is cancelled."""

    __slots__ = ("act", "number", "when")

    def __init__(self, when: float, number: int, act: Callable[[], object]) -> None:
        self.when = when
        self.number = number  # timers of one instant act in the order in which they were set
        self.act: Callable[[], object] | None = act

    def __lt__(self, other: Timer) -> bool:
        return (self.when, self.number) < (other.when, other.number)


class Timekeeper:
    """The timers of one run, and the Trio task that serves them.

    Args:
        spawn: Starts `run` as a Trio task; called once, when the first timer is set.
    """

    def __init__(self, spawn: Callable[[Timekeeper], object]) -> None:
        self._spawn: Callable[[Timekeeper], object] | None = spawn
        self._heap: list[Timer] = []
        self._cancelled = 0  # timers in the heap that will not act
        self._count = 0
        self._sleep: trio.CancelScope | None = None

    def __len__(self) -> int:
        """How many timers are set."""
        return len(self._heap) - self._cancelled

    def at(self, when: float, act: Callable[[], object]) -> Timer:
        """Call `act` at an instant of the Trio clock, or at once if that has passed. O(log n)."""
        timer = Timer(when, self._count, act)
        self._count += 1
        heapq.heappush(self._heap, timer)
        if self._spawn is not None:
            spawn, self._spawn = self._spawn, None
            spawn(self)
        elif self._sleep is not None and when < self._sleep.deadline:
            self._sleep.deadline = when
        return timer

    def cancel(self, timer: Timer) -> None:
        """The timer will not act; one that has acted is left alone. O(1), amortised."""
        if timer.act is None:
            return
        timer.act = None
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled > len(self._heap) // 2:
            self._heap = [timer for timer in self._heap if timer.act is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def act_until(self, now: float) -> None:
        """Do what is due."""
        while self._heap and (self._heap[0].act is None or self._heap[0].when <= now):
            timer = heapq.heappop(self._heap)
            act, timer.act = timer.act, None
            if act is None:
                self._cancelled -= 1
            else:
                act()

    async def run(self) -> None:
        """Serve the timers until cancelled."""
        while True:
            self.act_until(trio.current_time())
            deadline = self._heap[0].when if self._heap else math.inf
            with trio.CancelScope(deadline=deadline) as self._sleep:
                await trio.sleep_forever()
