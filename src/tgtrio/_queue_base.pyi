"""What can be asked of a ready queue, and its switches; the base of `ReadyQueue`.

Every question takes tasks that were added like those that the queue was built with.
"""

from collections.abc import Iterable

from typing_extensions import Buffer

class QueueBase:
    total: int
    """How many tasks there are: n, and those that were added."""
    running: int
    """How many tasks own a slot: those that are RUNNING and not detached."""
    unfinished: int
    """How many tasks are not terminal yet."""
    stopped: bool
    """True after `stop`."""

    def state(self, task: int) -> int:
        """The state of a task, as a code of `_states`."""

    def counts(self) -> list[int]:
        """How many tasks are in each state, in the order of `_states.STATES`."""

    def states(self) -> bytes:
        """The state of every task, a byte each."""

    def waiting_for(self, task: int) -> int:
        """How many dependencies of the task have not ended."""

    def parent(self, task: int) -> int:
        """The dependency whose end kept the task from running, or -1.

        The first that failed, else the first that was skipped. Known also for a
        task that ran in spite of it.
        """

    def parents(self) -> dict[int, int]:
        """`parent` of every task that has one."""

    def is_held(self, task: int) -> bool:
        """Is the task held, by `hold`?"""

    def lane(self, task: int) -> int:
        """The lane of a task."""

    def ready_in_lanes(self) -> list[int]:
        """How many READY tasks that are not held each lane has. O(lanes + n / 64)."""

    def taken(self, gate: int) -> int:
        """How many tasks own the gate."""

    def wanted(self, gate: int) -> bool:
        """Is a READY task left that needs the gate and is not held? O(lanes)."""

    def queued_at(self, gate: int) -> list[int]:
        """The READY tasks that need the gate and are not held, in dispatch order. O(n).

        With tasks that were added: O(n log n).
        """

    def blocking_gates(self, task: int) -> list[int]:
        """The gates of the task's lane that would let nobody through now."""

    def add_gate(self, capacity: int) -> int:
        """A gate more; its number is the former number of gates. Amortised O(1).

        Raises: ValueError if the capacity is less than 1.
        """

    def add_lane(self, gates: Iterable[int]) -> int:
        """A lane more, without tasks; its number is the former number of lanes. O(gates).

        Amortised, except that the first lane of a queue without any costs O(n).

        Args:
            gates: The numbers of the gates that its tasks need, each once.
        Raises: ValueError for a gate that there is not, or that is named twice.
        """

    def relane(self, lanes: Buffer) -> None:
        """Put every task into a lane, wherever it was. O(n + lanes).

        READY tasks wait from now on for the gates of their new lane. RUNNING ones that are not
        detached own these, even where that is more than the capacity. What a gate lets through
        and whether it is closed stays.

        Args:
            lanes: int32[total], the lane of each task, those that were added included.
        Raises: ValueError, before anything has changed, if the length is another one or there
            is no such lane.
        """

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
