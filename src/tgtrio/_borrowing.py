"""Tokens of the caller's `trio.CapacityLimiter`s, borrowed by each task on its own behalf.

A limiter cannot say when a token comes free. So while a gate's limiter is exhausted
the gate is closed, and one Trio task waits for a token in the place of all the tasks
behind it; the token that it gets is handed to the first of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from ._backend import ReadyQueue
from ._layout import Gates
from ._plan import Plan

Spawn = Callable[[Callable[[int], Awaitable[None]], int], object]


class Borrower:
    """On whose behalf a token is held; shows up in `CapacityLimiter.statistics().borrowers`."""

    __slots__ = ("task_id",)

    def __init__(self, task_id: str | None = None) -> None:
        self.task_id = task_id

    def __repr__(self) -> str:
        return f"<tgtrio task {self.task_id!r}>"


class Borrowing:
    """The foreign tokens of one run.

    Args:
        plan, gates: The graph and its gates.
        queue: Its gates are closed and opened.
        changed: Called when a gate has been opened: somebody may start.
        spawn: Starts a waiter as a Trio task.
    """

    def __init__(
        self,
        plan: Plan,
        gates: Gates,
        queue: ReadyQueue,
        changed: Callable[[], object],
        spawn: Spawn,
    ) -> None:
        self._plan, self._gates, self._queue = plan, gates, queue
        self._changed, self._spawn = changed, spawn
        self._held: dict[int, list[tuple[int, Borrower]]] = {}  # by rank
        self._spare: dict[int, Borrower] = {}  # by gate: got by a waiter, not handed on yet
        self._waiting: dict[int, trio.CancelScope] = {}  # by gate: of the Trio task that waits

    @property
    def waiting(self) -> int:
        """For how many gates a Trio task waits for a token."""
        return len(self._waiting)

    def waits_at(self, gate: int) -> bool:
        """Has the limiter of a gate no token free?"""
        return gate in self._waiting

    def borrow(self, rank: int) -> bool:
        """Take a token of each limiter that bounds the task, or none.

        False: one had none free. Its gate is closed then, and somebody waits for it.
        """
        task_id = self._plan.nodes[rank].task_id
        held: list[tuple[int, Borrower]] = []
        for gate in self._foreign(self._gates.lane_gates[self._queue.lane(rank)]):
            borrower = self._take(gate, task_id)
            if borrower is None:
                self._release(held)
                self._await_token(gate)
                return False
            held.append((gate, borrower))
        self._held[rank] = held
        return True

    def give_back(self, rank: int) -> None:
        """The attempt is over: release what it borrowed."""
        self._release(self._held.pop(rank, []))

    def release_spares(self) -> None:
        """Nobody can use the tokens that waiters got: release them."""
        spares, self._spare = list(self._spare.items()), {}
        self._release(spares)

    def release_all(self) -> None:
        """Release whatever is held, at the end of a run."""
        self.release_spares()
        for rank in list(self._held):
            self.give_back(rank)

    def _foreign(self, gates: Sequence[int]) -> list[int]:
        return [gate for gate in gates if gate in self._gates.limiters]

    def _take(self, gate: int, task_id: str) -> Borrower | None:
        borrower = self._spare.pop(gate, None)
        if borrower is not None:
            borrower.task_id = task_id
            return borrower
        borrower = Borrower(task_id)
        try:
            self._gates.limiters[gate].acquire_on_behalf_of_nowait(borrower)
        except trio.WouldBlock:
            return None
        return borrower

    def _release(self, held: list[tuple[int, Borrower]]) -> None:
        for gate, borrower in held:
            self._gates.limiters[gate].release_on_behalf_of(borrower)

    def _await_token(self, gate: int) -> None:
        self._queue.close_gate(gate)
        if gate not in self._waiting:
            self._waiting[gate] = trio.CancelScope()
            self._spawn(self._wait, gate)

    def dismiss_idle_waiters(self) -> None:
        """Nobody waits behind a gate any more: its waiter leaves the limiter's queue."""
        for gate, scope in self._waiting.items():
            if not self._queue.wanted(gate):
                scope.cancel()

    async def _wait(self, gate: int) -> None:
        borrower = Borrower()
        scope = self._waiting[gate]
        with scope:
            await self._gates.limiters[gate].acquire_on_behalf_of(borrower)
        del self._waiting[gate]
        if not scope.cancelled_caught:
            self._spare[gate] = borrower
        self._queue.open_gate(gate)
        if self._queue.startable():
            self._changed()
        else:  # no slot is free, or nobody wants it any more: do not sit on it
            self.release_spares()
