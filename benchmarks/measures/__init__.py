"""What can be measured, by name. Each runs in a process that does nothing else."""

from __future__ import annotations

from collections.abc import Callable

from ..cases import Case, Sample
from . import (
    costs,
    durable,
    endings,
    granularity,
    holds,
    hooks,
    phases,
    queue,
    reports,
    responsiveness,
)

MEASURES: dict[str, Callable[[Case], Sample]] = {
    "phases": phases.phases,
    "queue": queue.queue,
    "describing": costs.describing,
    "memory": costs.memory,
    "granularity": granularity.granularity,
    "held": holds.held,
    "hook": hooks.hook,
    "page": reports.page,
    "ticker": responsiveness.ticker,
    "naps": responsiveness.naps,
    "durable": durable.durable,
    "cancelling": endings.cancelling,
}
