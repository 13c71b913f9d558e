"""Puts a worker's Trio task in order after an action that left something of it entered or held.

Workers are reused, so what an action leaves open would fall on the tasks after it:
a cancel scope or a nursery that it entered by hand and never left, a lock that it
never released. Trio offers no public way to see or to leave the scopes of a Trio
task, hence `_cancel_status` and `_nested_child_finished`; tests pin both.
"""

from __future__ import annotations

import logging
from typing import Any

import trio

_log = logging.getLogger("tgtrio")

# Which Trio task holds which locks. Without such a record held locks go unnoticed.
LOCKS: dict[trio.lowlevel.Task, list[trio.lowlevel.ParkingLot]] = getattr(
    trio._core._parking_lot, "GLOBAL_PARKING_LOT_BREAKER", {}
)


def without_cancelled(error: BaseException | None) -> BaseException | None:
    """What is left of an exception, or a group of them, once `trio.Cancelled` is taken out."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1]
    return None if isinstance(error, trio.Cancelled) else error


def what_is_left(trio_task: Any, home: object) -> str:
    """What is still entered or held, in words; "" if the Trio task is as it was.

    Args:
        trio_task: The Trio task of the worker.
        home: Its cancel status inside the worker's own scope.
    """
    nurseries = len(trio_task.child_nurseries)
    scopes = 0
    status = trio_task._cancel_status
    while status is not home and status is not None:
        scopes += 1
        status = status.parent
    left = {
        "nursery": nurseries,
        "cancel scope": scopes - nurseries,  # each nursery has one
        "lock": len(LOCKS.get(trio_task, ())),
    }
    return ", ".join(f"{count} {name}" for name, count in left.items() if count > 0)


async def put_in_order(trio_task: Any, home: object) -> None:
    """Leave and release it all, the innermost first.

    A nursery is cancelled and its children are waited for. Locks are broken, as Trio does
    when a Trio task exits that holds some.

    Raises: What a child of a nursery raised, if it is no `Exception`: KeyboardInterrupt, say.
    """
    fatal: list[BaseException] = []
    for nursery in trio_task.child_nurseries:
        nursery.cancel_scope.cancel()
    while (status := trio_task._cancel_status) is not home:
        nurseries = trio_task.child_nurseries
        if nurseries and nurseries[-1].cancel_scope is status._scope:
            errors = without_cancelled(await nurseries[-1]._nested_child_finished(None))
            if isinstance(errors, Exception):  # the task that they belong to has ended
                _log.error("raised in a nursery that an action left open", exc_info=errors)
            elif errors is not None:
                fatal.append(errors)
        status._scope.__exit__(None, None, None)
        if trio_task._cancel_status is status:
            break  # it would not close; the worker's own scope will complain
    for lot in LOCKS.pop(trio_task, []):
        lot.break_lot(trio_task)
    if fatal:
        raise BaseExceptionGroup("raised in nurseries that an action left open", fatal)
