"""Whether tasks may still be added to a run that has none left.

The run of an `open_run` block is open while the block is. It ends with its last task once the
block has ended, or somebody waits for the end (`wait`, `drain`, `events`), for who waits inside
the block would wait for ever. Who adds tasks while others wait says so with `staying_open`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Openness:
    """Who keeps a run open, and who waits for its end.

    Args:
        block: Is it a run with a block?
        changed: Called when the run may be over.
    """

    def __init__(self, block: bool, changed: Callable[[], object]) -> None:
        self._block, self._changed = block, changed
        self._waiting = self._keeping = 0

    def __bool__(self) -> bool:
        return self._keeping > 0 or (self._block and not self._waiting)

    def end_block(self) -> None:
        """The block has ended."""
        self._block = False
        self._changed()

    def close(self) -> None:
        """The run was told to end."""
        self._keeping = 0
        self.end_block()

    def let_go(self) -> None:
        """The run is over: forget it."""
        self._changed = _nothing

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Somebody waits for the end."""
        self._waiting += 1
        self._changed()
        try:
            yield
        finally:
            self._waiting -= 1

    @contextmanager
    def staying_open(self) -> Iterator[None]:
        """Somebody will add tasks."""
        self._keeping += 1
        try:
            yield
        finally:
            if self._keeping:
                self._keeping -= 1
                self._changed()


def _nothing() -> None:
    """The run is over: nobody need know."""
