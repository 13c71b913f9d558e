"""Equal work is done once: leaders, their followers, and what is served without a call.

Of the tasks that share one idempotency key the first to start leads. While it is in flight,
backs off or is held, the others are held as its followers; when it has succeeded they are
served, when it has failed for good so have they. A leader that was only cancelled, or whose own
deadline came, is succeeded by the next follower.

A follower that comes before its leader in the order lends it its place: while the leader waits
in the queue its first follower does so too, and when the follower's turn comes the leader starts.

Once the run has been cut short nobody is served any more: who is held ends as the run does.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import Any, Protocol

from ._backend import ReadyQueue
from ._columns import CACHED, Columns
from ._errors import InvalidArgumentError, shorten
from ._identity import key_of
from ._outcome import Failure
from ._plan import Plan
from ._states import FAILED, FIRST_TERMINAL, READY, SUCCEEDED

NOBODY = -1
MANY = 10  # tasks without args that were one piece of work: that calls for a warning

_log = logging.getLogger("tgtrio")


class Cache(Protocol):
    """Responses of other runs, by key."""

    def get(self, key: str) -> tuple[object] | None:
        """The response in a tuple, or None."""

    def put(self, key: str, response: object) -> object:
        """A task with this key has succeeded."""

    def ask(self, key: str, rank: int) -> bool:
        """True: the answer takes time. The task is held until then, and comes up again."""


class Sharing:
    """The shared work of one run.

    Args:
        plan, queue, columns: Of the run.
        opted_out: For each action, whether equal tasks of it are all executed.
        now: Reads the Trio clock.
        caches: Asked in turn before a task leads, and told of each success.
        past: The response of a task that an earlier life of this run has committed, in a tuple.
        served: Called when the response of a task has been written down without a call. Raises
            InvalidArgumentError if it cannot be kept.
        spoilt: Called with a task whose leader's response can be kept no more, and that error.
        completed: The same, of a task whose success has been committed before.
        failed: Called with a follower that has failed with its leader.
    """

    def __init__(
        self,
        plan: Plan,
        queue: ReadyQueue,
        columns: Columns,
        opted_out: list[bool],
        now: Callable[[], float],
        caches: list[Cache],
        past: Callable[[int], tuple[object] | None],
        served: Callable[[int], object],
        spoilt: Callable[[int, InvalidArgumentError], object],
        completed: Callable[[int], object],
        failed: Callable[[int], object],
    ) -> None:
        self._plan, self._queue, self._columns = plan, queue, columns
        self._opted_out, self._now = opted_out, now
        self._caches, self._past = caches, past
        self._served, self._spoilt = served, spoilt
        self._completed, self._failed = completed, failed
        self._key: dict[int, str] = {}  # of the tasks that came up and share
        self._leader: dict[str, int] = {}
        # Heaps of places and ranks; who has ended meanwhile is still there.
        self._followers: dict[str, list[tuple[tuple[float, ...], int]]] = {}
        self._follows: set[int] = set()  # who is in one of these heaps
        self.served = 0
        self._served_without_args: Counter[str] = Counter()  # by key

    def shares(self, rank: int) -> bool:
        """Has the task not opted out?"""
        return (
            self._plan.nodes[rank].idempotent is not False
            and not self._opted_out[self._plan.action[rank]]
        )

    @property
    def asks_caches(self) -> bool:
        """May a response that a task needs be there before the run, whether it shares or not?"""
        return bool(self._caches)

    def adopt(self, rank: int, args: Mapping[str, Any]) -> None:
        """A task has begun without being asked about; from now on equal ones follow it."""
        key = self._learn_key(rank, args)
        if key is not None:
            self._leader.setdefault(key, rank)

    def has_key(self, rank: int) -> bool:
        """Has the task come up, and does it share its work?"""
        return rank in self._key

    def admit(self, rank: int, args: Mapping[str, Any]) -> int:
        """The task that may go on in the place of this one, mostly itself; -1 for none.

        None: it was served, or is held as a follower.

        Args:
            rank: A task whose turn it is.
            args: Its arguments, every `output_of` replaced.
        """
        if rank not in self._key and self.serve_past(rank, args):
            return -1
        key = self._learn_key(rank, args)
        if key is None:
            return rank
        leader = self._leader.setdefault(key, rank)
        if leader != rank:
            return self._follow(rank, leader, key)
        return rank if self._columns.attempts[rank] else self._ask_caches(rank, key)

    def _learn_key(self, rank: int, args: Mapping[str, Any]) -> str | None:
        """The key of a task whose inputs are there; None if it shares nothing."""
        key = self._key.get(rank)
        if key is None:
            node = self._plan.nodes[rank]
            key = key_of(node, args) if self.shares(rank) else None
            if node.inputs:
                self._columns.keys[rank] = key
            if key is not None:
                self._key[rank] = key
        return key

    def serve_past(self, rank: int, args: Mapping[str, Any]) -> bool:
        """Serve a task, ready or come up, of which an earlier life of the run has a success."""
        past = self._past(rank)
        if past is None:
            return False
        key = self._learn_key(rank, args)
        if key is not None:
            self._leader.setdefault(key, rank)
        self._write_down(rank, past)
        self._completed(rank)
        return True

    def serve_done(self, rank: int, args: Mapping[str, Any]) -> bool:
        """Serve a ready task whose leader has succeeded."""
        key = self._learn_key(rank, args)
        leader = NOBODY if key is None else self._leader.get(key, NOBODY)
        if leader in (NOBODY, rank) or self._queue.state(leader) != SUCCEEDED:
            return False
        self._serve(rank, leader)
        return True

    def _ask_caches(self, rank: int, key: str) -> int:
        for cache in self._caches:
            if cache.ask(key, rank):
                self._queue.hold(rank)
                return -1
            if (found := cache.get(key)) is not None:
                self._write_down(rank, found)
                try:
                    self._served(rank)
                except InvalidArgumentError:  # no JSON, and a store must keep it: do it anew
                    self._take_back(rank)
                    continue
                return -1
        return rank

    def _follow(self, rank: int, leader: int, key: str) -> int:
        state = self._queue.state(leader)
        if state == SUCCEEDED:
            self._serve(rank, leader)
            return -1
        if rank not in self._follows:
            self._follows.add(rank)
            heappush(self._followers.setdefault(key, []), (self._plan.place(rank), rank))
        if state == READY and not self._queue.is_held(leader):
            self._queue.take_over(rank, leader)
            return leader
        self._queue.hold(rank)
        return -1

    def _serve(self, rank: int, leader: int) -> None:
        self._write_down(rank, (self._columns.responses[leader],))
        try:
            self._served(rank)
        except InvalidArgumentError as error:
            self._spoilt(rank, error)
            return
        if not self._plan.nodes[rank].normalized_args:
            self._served_without_args[self._key[rank]] += 1

    def _write_down(self, rank: int, response: tuple[object]) -> None:
        (self._columns.responses[rank],) = response
        self._columns.marks[rank] |= CACHED
        self._columns.finished[rank] = self._now()
        self.served += 1

    def _take_back(self, rank: int) -> None:
        """What was written down does not hold if the task was stopped before it was on disk."""
        if self._columns.marks[rank] & CACHED and self._queue.state(rank) != SUCCEEDED:
            self._columns.responses[rank] = None
            self._columns.marks[rank] &= ~CACHED
            self._columns.finished[rank] = 0.0
            self.served -= 1

    # -- ends -----------------------------------------------------------------------------

    def released(self, rank: int) -> None:
        """The task waits in the queue again: its first follower may lend it its place."""
        key = self._key.get(rank)
        if key is not None and self._leader.get(key) == rank:
            self._lend(key, rank)

    def _lend(self, key: str, leader: int) -> None:
        if self._queue.state(leader) == READY and not self._queue.is_held(leader):
            first = self._first_follower(key)
            if first != NOBODY and self._plan.place(first) < self._plan.place(leader):
                self._queue.let_go(first)

    def _first_follower(self, key: str) -> int:
        """The first follower that has not ended, or NOBODY."""
        followers = self._followers.get(key, [])
        while followers and self._queue.state(followers[0][1]) >= FIRST_TERMINAL:
            self._follows.remove(heappop(followers)[1])
        return followers[0][1] if followers else NOBODY

    def ended(self, rank: int, failure: Failure | None = None, *, for_good: bool = True) -> None:
        """A task has ended; its followers follow.

        Args:
            rank: The task; its end stands in the queue.
            failure: What it failed with.
            for_good: False: it was cancelled alone, or its own deadline came. Another leads.
        """
        key = self._key.get(rank)
        if key is None:
            return
        leader = self._leader.get(key)
        if leader != rank:
            self._take_back(rank)
            if leader is not None:  # it may have been the follower that lent its place
                self._lend(key, leader)
            return
        state = self._queue.state(rank)
        if state == SUCCEEDED:
            self._tell_caches(key, rank)
        else:
            del self._leader[key]
        if self._queue.stopped:
            return
        if state == SUCCEEDED:
            for follower in self._dismiss_followers(key):
                self._serve(follower, rank)
        elif state == FAILED and for_good:
            assert failure is not None
            self._share_failure(key, rank, failure)
        else:
            self._succeed_leader(key)

    def _tell_caches(self, key: str, leader: int) -> None:
        if not self._columns.marks[leader] & CACHED:
            for cache in self._caches:
                cache.put(key, self._columns.responses[leader])

    def _share_failure(self, key: str, leader: int, failure: Failure) -> None:
        for follower in self._dismiss_followers(key):
            self._columns.failures[follower] = failure
            self._columns.leaders[follower] = leader
            self._queue.end(follower, FAILED)
            self._failed(follower)

    def _dismiss_followers(self, key: str) -> list[int]:
        """Those that had not ended."""
        followers = [follower for _, follower in self._followers.pop(key, [])]
        self._follows.difference_update(followers)
        return [follower for follower in followers if self._queue.state(follower) < FIRST_TERMINAL]

    def _succeed_leader(self, key: str) -> None:
        """The first follower that is still there leads the others."""
        first = self._first_follower(key)
        if first != NOBODY:
            self._follows.remove(heappop(self._followers[key])[1])
            self._leader[key] = first
            self._queue.let_go(first)

    @property
    def following(self) -> int:
        """How many tasks are held for equal work: none that lends its place to its leader."""
        return sum(map(self._queue.is_held, self._follows))

    def leader_of(self, rank: int) -> int:
        """The task that this one follows, or -1."""
        leader = self._leader.get(self._key.get(rank, ""), -1)
        return -1 if leader == rank else leader

    def warn_of_collapse(self) -> None:
        """Log a warning for an action of which many tasks without args were one piece of work."""
        collapsed: Counter[str] = Counter()
        for key, count in self._served_without_args.items():
            if count >= MANY:
                collapsed[self._plan.nodes[self._leader[key]].action_name] += count
        for action, count in collapsed.items():
            _log.warning(
                "action %s: %d tasks without arguments were served from one that has none "
                "either; give them arguments that tell them apart, or idempotent=False",
                shorten(action),
                count,
            )
