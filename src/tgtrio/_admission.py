"""Who may keep a task from starting although its turn has come.

The queue knows caps, resources and closed gates. What depends on more than numbers is asked
here, for the tasks that the pump does not simply call (PREPARED and the like): the safety
rules, equal work that is under way or done, the store, limiters of the caller's, a breaker
that is not CLOSED. Whoever says no has given the task back, held it or ended it.
"""

from __future__ import annotations

from typing import Any

import attrs

from ._arguments import Unavailable, substitute
from ._backend import FOREIGN, ReadyQueue
from ._borrowing import Borrowing
from ._columns import TaskResults
from ._endings import Endings
from ._guards import Guards
from ._identity import key_of
from ._recorder import Recorder
from ._sharing import Sharing
from ._states import READY, SUCCEEDED
from ._watch import Watch

NOBODY = -1


@attrs.define(eq=False, kw_only=True)
class Admission:
    """The gatekeepers of one run, in the order in which they are asked: the safety rules first.

    Attributes:
        keyed: For each task, whether `sharing` must be asked.
        watch: The safety rules, asked before every attempt; None if there are none.
    """

    results: TaskResults
    queue: ReadyQueue
    watch: Watch | None
    keyed: bytearray
    sharing: Sharing
    recorder: Recorder | None
    borrowing: Borrowing | None
    guards: Guards
    endings: Endings

    def is_stopped(self) -> bool:
        """Do the safety rules want the run to stop, or did one end it by its handle?"""
        assert self.watch is not None
        return self.watch.check() or self.queue.stopped

    def admit(self, rank: int, kind: int) -> tuple[int, dict[str, Any]]:
        """The task that may start an attempt now, mostly this one, and its arguments; or NOBODY."""
        args = self.arguments(rank)
        if self.keyed[rank]:
            leader = self.sharing.admit(rank, args)
            if leader != rank and leader >= 0:
                args = self.arguments(leader)
            rank = leader
        if rank < 0:
            return NOBODY, {}
        if not self._may_call(rank, kind):
            self.sharing.released(rank)  # if it waits in the queue again
            return NOBODY, {}
        if self.watch is not None:
            self.watch.started()
        return rank, args

    def serve_past(self) -> None:
        """Serve what earlier lives of the run have committed, before anything starts. O(edges).

        A task is served once its dependencies are: its inputs are part of what is compared.
        """
        if self.recorder is None:
            return
        plan, ready = self.results.plan, self.recorder.committed_ranks()
        while ready:
            rank = ready.pop()
            if self.queue.state(rank) != READY:
                continue
            if self.sharing.serve_past(rank, self.arguments(rank)):
                ready += plan.dependents_of(rank)

    def _may_call(self, rank: int, kind: int) -> bool:
        if kind & FOREIGN:
            assert self.borrowing is not None
            if not self.borrowing.borrow(rank):
                self.queue.give_back(rank)
                return False
        action = self.results.plan.action[rank]
        if self.guards.admit(rank, action):
            return True
        if kind & FOREIGN and self.borrowing is not None:
            self.borrowing.give_back(rank)
        if self.guards.fail_at_once:
            self.endings.refused(rank, self.guards.refusal(action))
        else:
            self.queue.give_back(rank)
        return False

    def arguments(self, rank: int) -> dict[str, Any]:
        """The arguments of a task, with every `output_of` replaced."""
        node = self.results.plan.nodes[rank]
        if not node.inputs:
            return node.normalized_args
        return substitute(node.normalized_args, self._response)

    def _response(self, task_id: str) -> object:
        rank = self.results.plan.rank(task_id)
        if self.queue.state(rank) == SUCCEEDED:
            return self.results.columns.responses[rank]
        result = self.results.at(rank)
        return Unavailable(task_id, result.state, result.error)

    def key(self, rank: int, args: dict[str, Any]) -> str | None:
        """The idempotency key of a task that runs with these arguments; None if it has none."""
        if not self.sharing.shares(rank):
            return None
        return key_of(self.results.plan.nodes[rank], args)
