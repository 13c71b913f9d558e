"""The display of a run on the command line; it also tells what becomes of a wish to end it."""

from __future__ import annotations

from collections.abc import Mapping

from ..instruments import Progress
from ._output import console
from ._stopping import Stopping


class RunProgress(Progress):
    """Shows a run, on standard error.

    Args:
        stopping: The end of the run on request.
    """

    def __init__(self, stopping: Stopping) -> None:
        super().__init__(console(stderr=True))
        self._stopping = stopping

    def notice(self, states: Mapping[str, int]) -> str:
        return self._stopping.notice(states)

    async def noticing(self) -> None:
        await self._stopping.change()
