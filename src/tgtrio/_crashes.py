"""Tasks that were in flight each time the program crashed are not tried again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ._endings import Endings
from ._errors import CrashLoopError, shorten
from ._identity import key_of
from ._outcome import Ending
from ._plan import Plan

MOST_CRASHES = 10  # in a row, without progress, until a task that was in flight is given up


class CrashLoops:
    """Fails what has crashed the program too often, and what is the same work.

    Args:
        plan: The graph.
        crashes: At how many crashes in a row tasks were in flight, by task id.
        shares: May the work of a task be that of another one?
        endings: Of the run.
    """

    def __init__(
        self,
        plan: Plan,
        crashes: Mapping[str, int],
        shares: Callable[[int], bool],
        endings: Endings,
    ) -> None:
        self._plan, self._shares, self._endings = plan, shares, endings
        self._often = {task: count for task, count in crashes.items() if count >= MOST_CRASHES}
        self._crashers: dict[str, str] = {}  # by key

    def give_up(self, ranks: Sequence[int]) -> None:
        """Look at these tasks, before any of them starts."""
        if not self._often:
            return
        nodes = [self._plan.nodes[rank] for rank in ranks]
        keys = [
            key_of(node) if self._shares(rank) else None
            for rank, node in zip(ranks, nodes, strict=True)
        ]
        for key, node in zip(keys, nodes, strict=True):
            if key is not None and node.task_id in self._often:
                self._crashers[key] = node.task_id
        for rank, key, node in zip(ranks, keys, nodes, strict=True):
            name = node.task_id
            one = name if name in self._often else self._crashers.get(key or "")
            if one is not None:
                failure = self._endings.describe(_crash_loop(name, one, self._often[one]))
                self._endings.unstarted(rank, Ending.ERROR, failure, for_good=True)


def _crash_loop(task_id: str, crasher: str, count: int) -> CrashLoopError:
    who = "it" if crasher == task_id else f"task {shorten(crasher)}, which is the same work,"
    return CrashLoopError(
        f"task {shorten(task_id)}: {who} was in flight at {count} crashes of the program in a row, "
        "without any progress between them; it is not tried again in this run. Mend it, and begin "
        "a new run with run_id="
    )
