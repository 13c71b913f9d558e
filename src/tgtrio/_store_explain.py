"""Why a task of a stored run ended as it did, or has not ended.

A run that is resumed has several lives, its incarnations. Whom a task blames has ended in the same
life: what did not succeed is done again in the next.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from . import _explanation as why
from ._chain import VERBS, tell_chain, tell_end
from ._errors import InvalidValueError, UnknownTaskError, shorten
from ._explanation import Explanation, TaskCause
from ._graph import TaskGraph
from ._problems import suggest
from ._run_lock import RunLocks
from ._states import TaskState
from ._store_journal import CRASHED, FINISHED, RUNNING
from ._store_opening import ids_of
from ._store_queries import read_executions, read_runs
from ._store_records import Reader, RootFailure, StoredRun, TaskExecution, owner_of
from ._store_schema import INCARNATION_BITS

MOST_EARLIER = 3  # ends in earlier lives that are told
MOST_NAMED = 10
LONGEST_ERROR = 2_000  # characters, of the error of a root failure
_SUCCEEDED, _SKIPPED = TaskState.SUCCEEDED.value, TaskState.SKIPPED.value

_LIVES = """
    SELECT incarnation.number FROM runs AS run
    JOIN incarnations AS incarnation ON incarnation.run = run.number
    WHERE run.run_id = ? ORDER BY incarnation.number
"""
_UNSUCCESSFUL_IN_LIFE = """
    SELECT task_id, id, blamed FROM executions WHERE id BETWEEN ? AND ? AND state <> 'succeeded'
"""
_STARTED = "SELECT EXISTS (SELECT 1 FROM starts WHERE incarnation = ? AND task_id = ?)"
# By life, for so they come in order without being sorted.
_ENDS_OF_TASK = "SELECT id FROM executions WHERE id BETWEEN ? AND ? AND task_id = ?"
_STATES = "SELECT task_id, state, id FROM executions WHERE id BETWEEN ? AND ?"
_ENDS = f"""
    SELECT task_id, id, state, blamed, attempts, substr(error, 1, {LONGEST_ERROR})
    FROM executions WHERE id BETWEEN ? AND ?
"""

_RUN_SAYS = {
    RUNNING: "the run is being executed",
    CRASHED: "the process that executed the run crashed",
    FINISHED: "the run came to its end",
    "timed_out": "the run timed out",
}
_NO_END = "no end of this task is on record"


class StoredRunExplainer:
    """Explains the tasks of one run out of its store.

    Args:
        connection, reader, locks: Of the store.
        run_id: The run.

    Raises:
        InvalidValueError: The store has no such run.
    """

    def __init__(
        self, connection: sqlite3.Connection, reader: Reader, locks: RunLocks, run_id: str
    ) -> None:
        self._connection, self._reader = connection, reader
        found = read_runs(connection, reader, locks, {"run_id": run_id}, 1)
        if not found:
            runs = {run.run_id: run for run in read_runs(connection, reader, locks, {}, -1)}
            raise InvalidValueError(
                f"the store has no run {shorten(run_id)}{suggest(run_id, runs)}"
            )
        self._run: StoredRun = found[0]
        self._lives = [number for (number,) in connection.execute(_LIVES, (run_id,))]
        self._last = self._lives[-1]

    def _in_lives(self, query: str, *more: object) -> Iterator[tuple[Any, ...]]:
        """Ask life by life; `query` begins with the first and the last id in it."""
        for life in self._lives:
            yield from self._connection.execute(query, (*ids_of(life), *more))

    # -- one task --------------------------------------------------------------------------

    def explain(self, task_id: str, graph: TaskGraph | None) -> Explanation:
        """Why a task ended as it did, or has not ended.

        Raises:
            InvalidValueError: The graph is not that of the run.
            UnknownTaskError: The run has no such task.
            StoreError: What is on record cannot be read.
        """
        if graph is not None and graph.graph_id != self._run.graph_id:
            raise InvalidValueError(
                f"run {shorten(self._run.run_id)} is one of graph {shorten(self._run.graph_id)}, "
                f"not of {shorten(graph.graph_id)}; give that graph, or another run"
            )
        ids = [number for (number,) in self._in_lives(_ENDS_OF_TASK, task_id)]
        if not ids:
            causes = tuple(self._no_end(task_id, graph))
            return Explanation(task_id=task_id, state=TaskState.PENDING, causes=causes)
        state = self._state(self._end(ids[-1]))
        causes = (*self._chain(ids[-1]), *self._since(ids[-1], state), *self._earlier(ids))
        return Explanation(task_id=task_id, state=state, causes=causes)

    def _chain(self, last: int) -> Iterator[TaskCause]:
        """How the task ended, then the one that it blames, and so on to the root."""
        chain, blamed = [last], self._end(last).blamed
        left: dict[str, tuple[int, str | None]] = {}
        if blamed is not None:
            ids = ids_of(last >> INCARNATION_BITS)
            rows = self._connection.execute(_UNSUCCESSFUL_IN_LIFE, ids)
            left = {name: (number, whom) for name, number, whom in rows if number != last}
        # Each is taken out: somebody may have made it a circle.
        while blamed is not None and (found := left.pop(blamed, None)) is not None:
            number, blamed = found
            chain.append(number)
        return tell_chain(chain, lambda one: self._tell(self._end(one)))

    def _since(self, last: int, state: TaskState) -> Iterator[TaskCause]:
        """What became of the run, where the end of the task is that of an earlier life."""
        if last >> INCARNATION_BITS == self._last:
            return
        if state is TaskState.SUCCEEDED:
            text = "that was in an earlier life of this run, and is not done again"
        else:
            says = run_says(self._run.state)
            text = f"the run was resumed since; {says}, and this task has not ended again"
        yield TaskCause(kind=why.RUN, text=text)

    def _earlier(self, ids: list[int]) -> Iterator[TaskCause]:
        for number in ids[:-1][-MOST_EARLIER:][::-1]:
            end = self._tell(self._end(number))
            text = f"in an earlier life of this run {end.text}"
            yield TaskCause(kind=why.EARLIER, text=text, subject=end.subject, tasks=end.tasks)

    def _tell(self, end: TaskExecution) -> TaskCause:
        state = self._state(end)
        # Of the FAILED only those that followed equal work blame another.
        return tell_end(end, state, end.blamed, same_work=state is TaskState.FAILED)

    def _end(self, number: int) -> TaskExecution:
        filters = {"run_id": self._run.run_id, "id": number}
        (end,) = read_executions(self._connection, self._reader, filters, 1)
        return end

    def _state(self, end: TaskExecution) -> TaskState:
        return self._reader.state(end.state, owner_of(end.run_id, end.task_id))

    # -- a task without an end -------------------------------------------------------------

    def _no_end(self, task_id: str, graph: TaskGraph | None) -> Iterator[TaskCause]:
        states = {name: (state, number) for name, state, number in self._in_lives(_STATES)}
        known = {} if graph is None else graph.nodes
        started = self._connection.execute(_STARTED, (self._last, task_id)).fetchone()[0]
        if not started and task_id not in known and self._has_all(states, graph):
            raise UnknownTaskError(
                f"run {shorten(self._run.run_id)} has no task {shorten(task_id)}"
                f"{suggest(task_id, known, states)}"
            )
        yield TaskCause(kind=why.RUN, text=f"{run_says(self._run.state)}, and {_NO_END}")
        if started:
            text = "it was in flight" if self._run.state == CRASHED else "it is in flight"
            yield TaskCause(kind=why.IN_FLIGHT, text=text)
        elif graph is None:
            text = (
                "stores keep no graphs: the graph would tell whether there is such a task, and "
                f"what it waits for{suggest(task_id, states)}"
            )
            yield TaskCause(kind=why.RUN, text=text)
        if task_id in known:
            yield from self._dependencies(known[task_id].dependencies, states)

    def _has_all(self, states: dict[str, Any], graph: TaskGraph | None) -> bool:
        """Is every task of the run known?"""
        ended = self._run.state not in (RUNNING, CRASHED)
        return graph is not None or ended or len(states) >= self._run.total_tasks

    def _dependencies(
        self, names: tuple[str, ...], states: dict[str, tuple[str, int]]
    ) -> Iterator[TaskCause]:
        found = 0
        for name in names:
            text = "has not ended"
            if name in states:
                raw, number = states[name]
                state = self._reader.state(raw, owner_of(self._run.run_id, name))
                if state is TaskState.SUCCEEDED:
                    continue
                text = VERBS[state]
                if number >> INCARNATION_BITS != self._last:
                    text += " in an earlier life of this run, and has not ended since"
            found += 1
            text = f"dependency {shorten(name)} {text}"
            yield TaskCause(kind=why.DEPENDENCY, text=text, subject=name, tasks=(name,))
        if not found:
            text = "all that it depends on has succeeded" if names else "it depends on nothing"
            yield TaskCause(kind=why.TURN, text=text)

    # -- all of them -------------------------------------------------------------------------

    def root_failures(self) -> list[RootFailure]:
        """The tasks without success that blame nobody for it, those that took most along first.

        To be skipped is no failure. O(ends on record).
        """
        rows: dict[str, tuple[Any, ...]] = {}
        for row in self._in_lives(_ENDS):
            rows.pop(row[0], None)  # of a task the last end counts, also for the order
            if row[2] != _SUCCEEDED:
                rows[row[0]] = row
        blamed = {task_id: row[3] for task_id, row in rows.items()}
        taken: dict[str, list[str]] = defaultdict(list)
        roots_of = find_roots(blamed)
        for task_id in blamed:
            if (root := roots_of.get(task_id, task_id)) != task_id:
                taken[root].append(task_id)
        harmful = {
            roots_of.get(task_id, task_id) for task_id, row in rows.items() if row[2] != _SKIPPED
        }
        roots = [
            self._root(row, taken[row[0]])
            for row in rows.values()
            if row[3] is None and row[0] in harmful
        ]
        return sorted(roots, key=lambda root: -root.took_along)

    def _root(self, row: tuple[Any, ...], taken: list[str]) -> RootFailure:
        task_id, number, state, _, attempts, error = row
        return RootFailure(
            task_id=task_id,
            state=self._reader.state(state, owner_of(self._run.run_id, task_id)),
            attempts=attempts,
            error=error or "",
            took_along=len(taken),
            tasks=tuple(taken[:MOST_NAMED]),
            earlier=number >> INCARNATION_BITS != self._last,
        )


def run_says(state: str) -> str:
    """What became of a run that did not bring a task to its end."""
    return _RUN_SAYS.get(state, f"the run was {state}")


def find_roots(blamed: dict[str, str | None]) -> dict[str, str]:
    """The root of each task. What blames one that has succeeded since, or a circle, has none."""
    roots: dict[str, str] = {}
    for task_id in blamed:
        path: dict[str, None] = {}
        one: str | None = task_id
        while one is not None and one in blamed and one not in roots and one not in path:
            path[one] = None
            one = blamed[one]
        root = next(reversed(path), None) if one is None else roots.get(one)
        if root is not None:
            roots.update(dict.fromkeys(path, root))
    return roots
