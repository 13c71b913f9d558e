"""What is said of all tasks of an action while a run goes on.

Its gate in the queue, and who keeps it closed; its bits for the pump, and who has set them.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ._backend import ReadyQueue

# Who closes the gate of an action.
BREAKER = "breaker"
COOLING = "cooling"  # a RetryLater asked for peace


class ActionHolds:
    """The gates of the actions of one run; a gate is open when nobody keeps it closed.

    Args:
        queue: Its gates are closed and opened.
        gates: The gate of each action of the plan; -1 for none.
    """

    def __init__(self, queue: ReadyQueue, gates: Sequence[int]) -> None:
        self._queue, self._gates = queue, gates
        self._closed: dict[int, set[str]] = {}  # by action

    def gate(self, action: int) -> int:
        """The gate of an action."""
        return self._gates[action]

    def close(self, action: int, cause: str) -> None:
        """Let no task of the action start, until the same cause opens it again."""
        self._closed.setdefault(action, set()).add(cause)
        self._queue.close_gate(self._gates[action])

    def open(self, action: int, cause: str) -> None:
        """Undo `close`; does nothing if this cause has not closed it."""
        causes = self._closed.get(action, set())
        if cause in causes:
            causes.remove(cause)
            if not causes:
                del self._closed[action]
                self._queue.open_gate(self._gates[action])


class ActionBits:
    """The bits that tell the pump what the tasks of each action need.

    Args:
        kinds: The bits that each action has by itself; changed in place, and shared with the pumps.
    """

    def __init__(self, kinds: array[int]) -> None:
        self._kinds, self._plain = kinds, list(kinds)
        self._added: dict[str, dict[int, int]] = {}  # by who added them, by action

    def set(self, action: int, who: str, bits: int) -> None:
        """Add bits to an action, in place of those that the same one has added before."""
        self._added.setdefault(who, {})[action] = bits
        kind = self._plain[action]
        for added in self._added.values():
            kind |= added.get(action, 0)
        self._kinds[action] = kind

    def set_all(self, who: str, bits: int) -> None:
        """`set` for every action."""
        for action in range(len(self._kinds)):
            self.set(action, who, bits)
