"""The store of a run: what must be on disk before something else may happen.

* Until the first success of this incarnation is on disk, no action is called before its start is:
  so a task that crashes the program each time is found out (`Journal.crashes`). It is in flight
  while it waits for that, and on record only while it is in flight.
* With `durability="task"` a task that has succeeded stays RUNNING, without a slot, until its
  success is on disk.
* While too much waits to be written nothing starts.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import trio

from ._arguments import encode_json
from ._backend import ReadyQueue
from ._columns import CACHED, LATE, TaskResults
from ._identity import is_same_work, kept_key, keys_of
from ._node import TaskNode
from ._results import TaskResult
from ._states import FIRST_TERMINAL, SUCCEEDED, TaskState

MOST_ROWS = 20_000  # that wait to be written
MOST_BYTES = 32_000_000  # of responses that wait to be written
MOST_STARTS = 1_000  # that wait to be written
BYTES_A_MARK = 1_000_000

_SUCCEEDED = TaskState.SUCCEEDED.value


class Committed(Protocol):
    """A success of an earlier incarnation of this run."""

    @property
    def key(self) -> str | None: ...


class Journal(Protocol):
    """What is asked of the store's journal of this run; see `_store_journal`."""

    rows_of: Any

    @property
    def committed(self) -> Mapping[str, Committed]: ...
    def committed_response(self, task_id: str) -> object: ...
    def put(self, entry: Any) -> int: ...
    def put_start(self, task_id: str) -> int: ...
    def put_stop(self, task_id: str) -> int: ...
    def flush(self) -> None: ...


class Recorder:
    """What one run writes into its journal, and what waits for that.

    Args:
        journal: The journal of the run.
        results, queue: Of the run.
        record_key: The key under which a success of a task is kept.
        shares: May equal work of others be served from a task?
        wait_for_each: A success holds only once it is on disk.
        hold_back: Called with True when nothing may start for now, with False when it may.
        completed: Called with a task whose success is on disk and was waited for.
        progressed: Called once starts need not be written any more.
    """

    def __init__(
        self,
        journal: Journal,
        results: TaskResults,
        queue: ReadyQueue,
        record_key: Callable[[int], str | None],
        shares: Callable[[int], bool],
        wait_for_each: bool,
        hold_back: Callable[[bool], object],
        completed: Callable[[int], object],
        progressed: Callable[[], object],
    ) -> None:
        self._journal, self._results, self._queue = journal, results, queue
        self._record_key, self._shares = record_key, shares
        self._wait_for_each = wait_for_each
        self._hold_back = hold_back
        self._completed, self._progressed = completed, progressed
        journal.rows_of = self.rows_of
        self._unix = results.clock.unix
        self._recorded = bytearray(len(results.plan))
        self._last = self._written = 0  # numbers of the journal: given out, on disk
        self._bytes = self._bytes_written = self._bytes_marked = 0
        self._marks: deque[tuple[int, int]] = deque()  # number, bytes given out by then
        self._starts: deque[tuple[int, trio.Event]] = deque()  # number, who waits for it
        self._awaited: deque[tuple[int, int]] = deque()  # number, rank: succeeded
        self._keys: dict[int, str | None] = {}  # of tasks with inputs that succeeded
        self._first_success: int | None = None
        self._progress = False
        self._held_back = False

    @property
    def waiting(self) -> bool:
        """Will something happen once the store has written?"""
        return bool(self._starts or self._awaited or self._held_back)

    def add(self) -> None:
        """One more task."""
        self._recorded.append(0)

    def awaits(self, rank: int) -> bool:
        """Has the task succeeded, and is that not on disk yet? O(what waits)."""
        return any(rank == awaited for _, awaited in self._awaited)

    # -- starts ------------------------------------------------------------------------

    def started(self, rank: int) -> trio.Event | None:
        """An attempt is about to call its action: what must happen before, if anything must."""
        if self._progress:
            return None
        self._last = self._journal.put_start(self._results.plan.nodes[rank].task_id)
        self._journal.flush()
        on_disk = trio.Event()
        self._starts.append((self._last, on_disk))
        self._press()
        return on_disk

    def set_back(self, rank: int) -> None:
        """The task is to be tried again later, and is not in flight until then."""
        if not self._progress:
            self._last = self._journal.put_stop(self._results.plan.nodes[rank].task_id)

    # -- ends ----------------------------------------------------------------------------

    def succeeded(self, rank: int) -> bool:
        """Write down a success. False: it must be waited for.

        Raises:
            InvalidArgumentError: The response is no JSON data.
        """
        node = self._results.plan.nodes[rank]
        value = self._results.columns.responses[rank]
        response = encode_json(("task", node.task_id), "response", value)
        if node.inputs:
            self._keys[rank] = self._record_key(rank)
        self._last = number = self._journal.put((rank, response))
        self._recorded[rank] = 1
        self._bytes += len(response)
        if self._first_success is None:
            self._first_success = number
            self._journal.flush()
        if self._bytes - self._bytes_marked > BYTES_A_MARK:
            self._mark_bytes()
        elif number - self._written > MOST_ROWS:
            self._press()
        if not self._wait_for_each:
            return True
        self._awaited.append((number, rank))
        return False

    def _mark_bytes(self) -> None:
        self._bytes_marked = self._bytes
        self._marks.append((self._last, self._bytes))
        self._press()

    def ended(self, rank: int) -> None:
        """Write down any other end."""
        result = self._results.at(rank)
        state, error, traceback = result.state.value, result.error, result.traceback
        ended = self._results.ended(rank, result.state) or trio.current_time()
        blamed = self._results.blamed(rank)
        name = None if blamed < 0 else self._results.plan.nodes[blamed].task_id
        self._put(rank, self._row(rank, state, ended, None, error, traceback, name))

    def record_rest(self) -> None:
        """The run is over: write down the tasks of which nothing has been written."""
        for rank, recorded in enumerate(self._recorded):
            if not recorded and self._queue.state(rank) != SUCCEEDED:
                self.ended(rank)

    def _put(self, rank: int, entry: tuple[Any, ...]) -> None:
        self._last = number = self._journal.put(entry)
        self._recorded[rank] = 1
        if number - self._written > MOST_ROWS:
            self._press()

    def rows_of(
        self, entries: list[tuple[int, bytes]]
    ) -> tuple[dict[str, list[tuple[Any, ...]]], list[tuple[Any, ...]]]:
        """The rows of successes; see `Journal`.

        Called in the thread of the store: what it reads does not change any more.
        """
        nodes, columns = self._results.plan.nodes, self._results.columns
        attempts, marks = columns.attempts, columns.marks
        others = [e for e in entries if attempts[e[0]] != 1 or marks[e[0]]]
        if others:
            entries = [e for e in entries if attempts[e[0]] == 1 and not marks[e[0]]]
        started, finished, unix = columns.started, columns.finished, self._unix
        plain: dict[str, list[tuple[Any, ...]]] = {}
        keys = self._keys_of([rank for rank, _ in entries])
        for (rank, response), key in zip(entries, keys, strict=True):
            node = nodes[rank]
            row = (node.task_id, started[rank] + unix, finished[rank] + unix, key, response)
            if node.action_name in plain:
                plain[node.action_name].append(row)
            else:
                plain[node.action_name] = [row]
        rows = [
            self._row(rank, _SUCCEEDED, finished[rank], response, "", "")
            for rank, response in others
        ]
        return plain, rows

    def _keys_of(self, ranks: list[int]) -> list[str | None]:
        """The keys under which successes are kept."""
        nodes = [self._results.plan.nodes[rank] for rank in ranks]
        known = iter(keys_of(node for node in nodes if not node.inputs))
        return [
            self._keys[rank] if node.inputs else kept_key(next(known), shared=self._shares(rank))
            for rank, node in zip(ranks, nodes, strict=True)
        ]

    def _row(
        self,
        rank: int,
        state: str,
        ended: float,
        response: bytes | None,
        error: str,
        traceback: str,
        blamed: str | None = None,
    ) -> tuple[Any, ...]:
        columns, node = self._results.columns, self._results.plan.nodes[rank]
        started, finished = columns.started[rank], columns.finished[rank]
        marks, attempts = columns.marks[rank], columns.attempts[rank]
        unix = self._unix
        return (
            node.task_id,
            state,
            attempts,
            bool(marks & CACHED),
            bool(marks & LATE),
            started + unix if attempts else None,
            ended + unix,
            (finished - started) * 1000 if attempts else None,
            node.action_name,
            self._keys.get(rank) if node.inputs else self._record_key(rank),
            response,
            error,
            traceback,
            blamed,
        )

    # -- past lives ------------------------------------------------------------------------

    def committed_ranks(self) -> list[int]:
        """The tasks of the graph of which an earlier incarnation has committed a success."""
        plan, ranks = self._results.plan, []
        for task_id in self._journal.committed:
            with contextlib.suppress(KeyError):  # the graph has it no more
                ranks.append(plan.rank(task_id))
        return ranks

    def past(self, rank: int) -> tuple[object] | None:
        """The response that an earlier incarnation has committed for the same work, or None.

        Raises:
            StoreError: The response is damaged.
        """
        task_id = self._results.plan.nodes[rank].task_id
        committed = self._journal.committed.get(task_id)
        if committed is None or committed.key is None:
            return None
        key = self._record_key(rank)
        if key is None or not is_same_work(key, committed.key):
            return None
        self._recorded[rank] = 1
        return (self._journal.committed_response(task_id),)

    # -- the writer ------------------------------------------------------------------------

    @property
    def _bytes_waiting(self) -> int:
        return self._bytes - self._bytes_written

    def written(self, number: int) -> None:
        """Everything up to a number is on disk."""
        self._written = max(self._written, number)
        while self._marks and self._marks[0][0] <= number:
            self._bytes_written = self._marks.popleft()[1]
        if not self._progress and self._first_success is not None:
            self._progress = number >= self._first_success
            if self._progress:
                self._progressed()
        while self._awaited and self._awaited[0][0] <= number:
            rank = self._awaited.popleft()[1]
            if self._queue.state(rank) < FIRST_TERMINAL:
                self._completed(rank)
        while self._starts and (self._progress or self._starts[0][0] <= number):
            self._starts.popleft()[1].set()
        self._press()

    def all_written(self) -> None:
        """Everything so far is on disk."""
        self.written(self._last)

    def _press(self) -> None:
        """Hold everything back while too much waits, and until half of it has gone."""
        share = max(
            (self._last - self._written) / MOST_ROWS,
            self._bytes_waiting / MOST_BYTES,
            len(self._starts) / MOST_STARTS,
        )
        if share >= 1 and not self._held_back:
            self._held_back = True
            self._journal.flush()
            self._hold_back(True)
        elif share <= 0.5 and self._held_back:
            self._held_back = False
            self._hold_back(False)


def row_of(result: TaskResult, node: TaskNode, response: bytes | None) -> tuple[object, ...]:
    """The row of a task that was executed alone."""
    return (
        result.task_id,
        result.state.value,
        result.attempts,
        result.cached,
        result.late,
        result.started_at.timestamp() if result.started_at else None,
        result.finished_at.timestamp() if result.finished_at else 0.0,
        result.execution_time_ms,
        node.action_name,
        result.idempotency_key,
        response,
        result.error,
        result.traceback,
        None,
    )
