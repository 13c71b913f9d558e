"""What is said of a whole run, or of all tasks of an action, while the run goes on.

Whether anything may start, and who says no; the gate of an action in the queue, and who keeps it
closed; its bits for the pump, and who has set them.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ._backend import ReadyQueue

# Who closes the gate of an action.
BREAKER = "breaker"
COOLING = "cooling"  # a RetryLater asked for peace

# Who pauses a whole run.
USER = "user"
STORE = "store"  # too much waits to be written


class Pauses:
    """Who wants that nothing starts; in flight goes on.

    Args:
        queue: It is paused while somebody does.
    """

    def __init__(self, queue: ReadyQueue) -> None:
        self._queue = queue
        self.who: set[str] = set()

    def pause(self, who: str) -> None:
        """Let nothing start until the same one resumes."""
        self.who.add(who)
        self._queue.pause()

    def resume(self, who: str) -> None:
        """Undo `pause`; the queue goes on once nobody wants it paused."""
        self.who.discard(who)
        if not self.who:
            self._queue.resume()


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

    def causes(self, action: int) -> frozenset[str]:
        """Who keeps the gate of an action closed."""
        return frozenset(self._closed.get(action, ()))

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

    Attributes:
        kinds: The bits that each action has.
    """

    def __init__(self, kinds: array[int]) -> None:
        self.kinds, self._plain = kinds, list(kinds)
        self._added: dict[str, dict[int, int]] = {}  # by who added them, by action
        self._of_all: dict[str, int] = {}  # by who

    def set(self, action: int, who: str, bits: int) -> None:
        """Add bits to an action, in place of those that the same one has added before."""
        self._added.setdefault(who, {})[action] = bits
        kind = self._plain[action]
        for added in self._added.values():
            kind |= added.get(action, 0)
        self.kinds[action] = kind

    def set_all(self, who: str, bits: int) -> None:
        """`set` for every action."""
        self._of_all[who] = bits
        for action in range(len(self._plain)):
            self.set(action, who, bits)

    def add(self, kind: int) -> None:
        """One more action. Its array is another one then: the pumps must be told.

        Args:
            kind: The bits that it has by itself.
        """
        action = len(self._plain)
        self._plain.append(kind)
        self.kinds = array("H", [*self.kinds[:action], kind])
        for who, bits in self._of_all.items():
            self.set(action, who, bits)
