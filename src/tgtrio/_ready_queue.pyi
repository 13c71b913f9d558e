"""The ready queue: who may start next? Integers only; no task object, no clock, no Trio.

Task i of n is the i-th in dispatch order: the plan numbers tasks by rank, so the
smallest ready number that nothing holds back is the one to start. Tasks that are
added later have the numbers that follow, and a place of their own in the order.

A *gate* is whatever lets only so many tasks through at once: a capped action, a
capped resource, the breaker of an action. A *lane* is the set of gates that a
task needs; lane 0 needs none. A task claims all gates of its lane or none.
"""

from collections.abc import Iterable, Sequence

from typing_extensions import Buffer

from ._queue_base import QueueBase

class ReadyQueue(QueueBase):
    def __init__(
        self,
        dependent_offsets: Buffer,
        dependents: Buffer,
        indegrees: Buffer,
        policies: Buffer,
        limit: int,
        lanes: Buffer | None = None,
        lane_gates: Sequence[Sequence[int]] = ((),),
        capacities: Sequence[int] = (),
    ) -> None:
        """Build the queue of one run and settle the tasks without dependencies. O(n + edges).

        Args:
            dependent_offsets: int32[n + 1]; the dependents of task i are
                `dependents[dependent_offsets[i]:dependent_offsets[i + 1]]`.
            dependents: int32[edges]; no task is named twice as a dependent of one task.
            indegrees: int32[n]; how many dependencies each task has.
            policies: uint8[n]; codes of `_states`, made effective already.
            limit: how many tasks may run at once, at least 1.
            lanes: int32[n], the lane of each task; None puts all in lane 0.
            lane_gates: the gates of each lane; `lane_gates[0]` is empty.
            capacities: how many tasks each gate lets through at once, at least 1 each.
        """

    def next(self) -> int:
        """Start the first ready task that nothing holds back: it is RUNNING and owns its gates.

        Returns its number, or -1: none may start now. O(log n), in words of 64.
        """

    def complete(self, task: int, state: int) -> None:
        """End a RUNNING task in a terminal state; free its gates; tell its dependents.

        Dependents become READY, ABORTED or SKIPPED by their policies, cascades
        included. After `stop` dependents are told nothing.
        Raises: ValueError if the task is not RUNNING or the state not terminal.
        """

    def complete_and_next(self, task: int, state: int) -> int:
        """`complete`, then `next`, in one call."""

    def end(self, task: int, state: int) -> bool:
        """End a task that is PENDING or READY, and tell its dependents.

        Returns False, and does nothing, if the task runs or has ended already.
        """

    def stop(self) -> None:
        """From now on nothing starts, and nothing cascades. Running tasks may still complete."""

    def end_rest(self, state: int) -> None:
        """Put every PENDING or READY task into a terminal state, without cascades. Stops first."""

    def keep_log(self, readies: bool, starts: bool, ends: bool) -> None:
        """From now on write down which tasks become READY, which start, and which end.

        A task that is READY as soon as it is added is not written down.
        """

    def log_past(self) -> None:
        """Write down, as far as wanted, which tasks are READY and which have ended. O(n).

        Meant for a queue of which nothing has started.
        """

    def log_start(self, task: int, attempt: int, at: float) -> None:
        """An attempt begins; written down if starts are wanted.

        It is told from outside, since `next` can be undone.

        Args:
            task: The task.
            attempt: Its number, from 0.
            at: The instant.
        """

    def log_note(self) -> None:
        """Something happens that somebody else writes down: keep its place among the rest."""

    def logged(self) -> int:
        """How many entries `take_log` would return."""

    def take_log(self) -> list[tuple[int, int, float]]:
        """What was written down since the last call, in order: task, what, and one number more.

        What: the number of the attempt that starts, with its instant; -1: the task has ended,
        once; -2: a note, whose task is -1; -3: the task is READY for the first time, with the
        dependency whose end it waited for, or -1.
        """

    def give_back(self, task: int) -> None:
        """Undo `next`: the RUNNING task is READY again in its place, its gates are free."""

    def hold(self, task: int) -> None:
        """The RUNNING task is READY, its slot and gates are free; it starts only after `let_go`."""

    def let_go(self, task: int) -> bool:
        """Undo `hold`: the task may start. Returns False, and does nothing, if it is not held."""

    def take_over(self, task: int, other: int) -> None:
        """A READY task takes the slot and the gates of a RUNNING one, which is held from then on.

        Raises: ValueError if the other is held or not READY, or is of another lane.
        """

    def detach(self, task: int) -> None:
        """Free the slot and the gates of a RUNNING task, which stays RUNNING until `complete`."""

    def startable(self) -> bool:
        """Would `next` return a task? Starts nothing.

        May say True where `next` then finds only held tasks; never False where a
        task may start.
        """

    def add(
        self,
        dependencies: Iterable[int],
        policy: int,
        lane: int,
        position: int,
        priority: float,
        deadline: float,
    ) -> int:
        """A task more; its number is the former `total`.

        It hears at once of dependencies that have ended, in the order in which they did, and may
        so be READY, or have ended itself, when this returns. Its order is for ever: after the
        built-with task `position - 1` and before `position`; among the added tasks of the same
        position a higher priority comes first, then an earlier deadline, then the smaller number.
        O(dependencies + log added), amortised; O(d log d) in those that did not succeed.

        Args:
            dependencies: Numbers of tasks, each once; they may have been added themselves.
            policy: A code of `_states`, made effective already.
            lane: Its lane.
            position: How many of the n tasks that the queue was built with come before it.
            priority: Larger is earlier.
            deadline: Smaller is earlier; `inf`: none.
        Raises: all before anything has changed.
            IndexError for a dependency that there is not.
            ValueError if one is named twice, for a policy, lane or position that there is not,
                for a priority or deadline that is NaN, and after `stop`.
            MemoryError.
        """

    def validate(self) -> None:
        """Recount everything from scratch and compare. O(n + edges).

        Raises: AssertionError naming the first invariant that does not hold.
        """
