"""Tasks that were in flight each time the program crashed are not tried again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ._endings import Endings
from ._errors import CrashLoopError, shorten
from ._identity import key_of
from ._outcome import Ending
from ._plan import Plan

MOST_CRASHES = 10  # in a row, without progress, until a task that was in flight is given up


def give_up_crashers(
    plan: Plan, crashes: Mapping[str, int], shares: Callable[[int], bool], endings: Endings
) -> None:
    """Fail them, and what is the same work.

    Args:
        plan: The graph.
        crashes: At how many crashes in a row tasks were in flight, by task id.
        shares: May the work of a task be that of another one?
        endings: Of the run.
    """
    often = {task_id: count for task_id, count in crashes.items() if count >= MOST_CRASHES}
    if not often:
        return
    keys = [key_of(node) if shares(rank) else None for rank, node in enumerate(plan.nodes)]
    equal = {
        key: node.task_id
        for key, node in zip(keys, plan.nodes, strict=True)
        if key is not None and node.task_id in often
    }
    for rank, (key, node) in enumerate(zip(keys, plan.nodes, strict=True)):
        one = node.task_id if node.task_id in often else equal.get(key or "")
        if one is not None:
            failure = endings.describe(_crash_loop(node.task_id, one, often[one]))
            endings.unstarted(rank, Ending.ERROR, failure, for_good=True)


def _crash_loop(task_id: str, crasher: str, count: int) -> CrashLoopError:
    who = "it" if crasher == task_id else f"task {shorten(crasher)}, which is the same work,"
    return CrashLoopError(
        f"task {shorten(task_id)}: {who} was in flight at {count} crashes of the program in a row, "
        "without any progress between them; it is not tried again in this run. Mend it, and begin "
        "a new run with run_id="
    )
