"""The ready queue: who may start next? Integers only; no task object, no clock, no Trio.

Task i of n is the i-th in dispatch order: the plan numbers tasks by rank, so the
smallest ready number that nothing holds back is the one to start.

A *gate* is whatever lets only so many tasks through at once: a capped action, a
capped resource, the breaker of an action. A *lane* is the set of gates that a
task needs; lane 0 needs none. A task claims all gates of its lane or none.
"""

from collections.abc import Sequence

from typing_extensions import Buffer

class ReadyQueue:
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

    total: int
    """n."""
    running: int
    """How many tasks own a slot: those that are RUNNING and not detached."""
    unfinished: int
    """How many tasks are not terminal yet."""
    stopped: bool
    """True after `stop`."""

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
        """From now on write down which tasks become READY, which start, and which end."""

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

    def close_gate(self, gate: int) -> None:
        """Let nobody through the gate, whatever its capacity. Tasks inside stay inside."""

    def open_gate(self, gate: int) -> None:
        """Undo `close_gate`."""

    def set_capacity(self, gate: int, capacity: int) -> None:
        """Change how many tasks the gate lets through; lowering it stops nothing that runs."""

    def set_limit(self, limit: int) -> None:
        """Change how many tasks may run at once; lowering it stops nothing that runs."""

    def pause(self) -> None:
        """Let nothing start until `resume`."""

    def resume(self) -> None:
        """Undo `pause`."""

    def startable(self) -> bool:
        """Would `next` return a task? Starts nothing.

        May say True where `next` then finds only held tasks; never False where a
        task may start.
        """

    def state(self, task: int) -> int:
        """The state of a task, as a code of `_states`."""

    def counts(self) -> list[int]:
        """How many tasks are in each state, in the order of `_states.STATES`."""

    def states(self) -> bytes:
        """The state of every task, a byte each."""

    def parents(self) -> dict[int, int]:
        """`parent` of every task that has one."""

    def waiting_for(self, task: int) -> int:
        """How many dependencies of the task have not ended."""

    def parent(self, task: int) -> int:
        """The dependency whose end kept the task from running, or -1.

        The first that failed, else the first that was skipped. Known also for a
        task that ran in spite of it.
        """

    def lane(self, task: int) -> int:
        """The lane of a task."""

    def taken(self, gate: int) -> int:
        """How many tasks own the gate."""

    def wanted(self, gate: int) -> bool:
        """Is a READY task left that needs the gate and is not held? O(lanes)."""

    def ready_in_lanes(self) -> list[int]:
        """How many READY tasks that are not held each lane has."""

    def is_held(self, task: int) -> bool:
        """Is the task held, by `hold`?"""

    def queued_at(self, gate: int) -> list[int]:
        """The READY tasks that need the gate and are not held, in order. O(n)."""

    def blocking_gates(self, task: int) -> list[int]:
        """The gates of the task's lane that would let nobody through now."""

    def validate(self) -> None:
        """Recount everything from scratch and compare. O(n + edges).

        Raises: AssertionError naming the first invariant that does not hold.
        """
