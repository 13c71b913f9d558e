"""The columns of a plan, each a pass over its tasks. Nothing here changes a task.

`nodes` are by rank if nothing else is said. Arrays are int32
(`array("i")`). What buffers hold is checked, so that no wrong number leads out of them.
"""

from array import array

from typing_extensions import Buffer

from ._node import TaskNode

def dispatch_order(nodes: list[TaskNode]) -> array[int] | None:
    """Places by rank, of nodes in order of insertion, or None for the identity. O(n log n).

    A higher priority comes first, then an earlier deadline (none is last), then the
    smaller place.
    """

def inverse(order: Buffer) -> array[int]:
    """Ranks by place, of places by rank."""

def look_up(nodes: list[TaskNode], index: dict[str, int]) -> array[int]:
    """The place of each dependency of each task in turn. Raises KeyError for what has none."""

def edges(
    nodes: list[TaskNode], places: Buffer, order: Buffer | None, ranks: Buffer | None
) -> tuple[array[int], array[int], array[int]]:
    """The dependencies in CSR form, by rank: offsets, targets, and how many each task has.

    Args:
        nodes: The tasks in order of insertion.
        places: What `look_up` finds of them.
        order: Places by rank; None for the identity.
        ranks: The inverse.

    Raises:
        ValueError: The buffers describe other tasks.
    """

def transpose(offsets: Buffer, targets: Buffer) -> tuple[array[int], array[int]]:
    """The same edges from the other end, sources in ascending order: a counting sort by target."""

def arguments(nodes: list[TaskNode]) -> list[dict[str, object]]:
    """The arguments of each task."""

def actions(nodes: list[TaskNode]) -> tuple[list[str], array[int]]:
    """The action names in order of first appearance, and the number of each task's."""

def policies(nodes: list[TaskNode]) -> bytes:
    """The effective policy of each task, see `_states`."""

def flags(nodes: list[TaskNode], expire_at_deadline: bool) -> bytes:
    """INPUTS, TIMED and EXPIRES of each task; `expire_at_deadline` holds where it says nothing."""

def timeouts(nodes: list[TaskNode]) -> array[float] | None:
    """Seconds (float64), inf for none; None if no task has one."""

def resource_sets(nodes: list[TaskNode]) -> tuple[list[tuple[str, ...]], array[int] | None]:
    """The distinct sets, sorted, the empty one first; and the number of each task's set.

    None in place of the numbers if no task names a resource.
    """
