"""What happens in a run, as a stream of records: `Run.events`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import attrs
import trio

from ._breaker_policy import BreakerState
from ._instrument import Instrument, RunInfo
from ._records import Record
from ._results import GraphResult
from ._states import TaskState

ROOM = 10_000  # events that an iterator keeps

EVENTS = (
    "run_started",
    "task_ready",
    "task_started",
    "task_retried",
    "task_ended",
    "action_cooling",
    "breaker_moved",
    "run_steered",
    "run_ended",
    "events_lost",
)


@attrs.frozen(kw_only=True)
class Event(Record):
    """One thing that happened in a run.

    Attributes:
        kind: The name of the hook of `Instrument` that is told the same, or "events_lost".
        at: When (aware, UTC).
        task_id: The task that it is about; "" where it is about none.
        action: The action that it is about alone; "" where it is about a task, or the run.
        details: What else the hook is told, as plain data: `attempt`, `state`, `error`,
            `delay` (seconds), `until`, `before`, `after`, `command`, `value`, `ok`,
            `total_tasks`; of "events_lost", `count`.
    """

    kind: str
    at: datetime
    task_id: str = ""
    action: str = ""
    details: dict[str, Any] = attrs.field(factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """One flat dict of JSON data, the details beside the rest; what is empty is left out."""
        data: dict[str, Any] = {"kind": self.kind, "at": self.at.isoformat()}
        if self.task_id:
            data["task_id"] = self.task_id
        if self.action:
            data["action"] = self.action
        data.update(self.details)
        return data


class EventSource(Instrument):
    """Makes an `Event` of each hook; subclass it and override `emit`."""

    _info: RunInfo

    def emit(self, event: Event) -> None:
        """Something has happened."""
        raise NotImplementedError

    def listen_to(self, info: RunInfo) -> None:
        """Know the run, where `run_started` has been told already."""
        self._info = info

    def _emit(
        self, kind: str, at: float, *, task_id: str = "", action: str = "", **details: Any
    ) -> None:
        self.emit(
            Event(
                kind=kind, at=self._info.wall(at), task_id=task_id, action=action, details=details
            )
        )

    def run_started(self, info: RunInfo) -> None:
        self.listen_to(info)
        about = {key: getattr(info, key) for key in ("graph_id", "run_id", "total_tasks")}
        self._emit("run_started", info.started, **about)

    def task_ready(self, task_id: str, at: float) -> None:
        self._emit("task_ready", at, task_id=task_id)

    def task_started(self, task_id: str, attempt: int, at: float) -> None:
        self._emit("task_started", at, task_id=task_id, attempt=attempt)

    def task_ended(self, task_id: str, state: TaskState, at: float) -> None:
        self._emit("task_ended", at, task_id=task_id, state=state.value)

    def task_retried(self, task_id: str, attempt: int, error: str, delay: float, at: float) -> None:
        self._emit("task_retried", at, task_id=task_id, attempt=attempt, error=error, delay=delay)

    def action_cooling(self, action: str, until: float, at: float) -> None:
        self._emit("action_cooling", at, action=action, until=self._info.wall(until).isoformat())

    def breaker_moved(
        self, action: str, before: BreakerState, after: BreakerState, at: float
    ) -> None:
        self._emit("breaker_moved", at, action=action, before=before.value, after=after.value)

    def run_steered(self, command: str, subject: str, value: object, at: float) -> None:
        task = subject in self._info.graph.nodes and command in ("cancel", "add_task")
        about = {"task_id" if task else "action": subject}
        self._emit("run_steered", at, **about, command=command, value=value)

    def run_ended(self, result: GraphResult) -> None:
        at = self._info.started + result.elapsed_ms / 1000
        self._emit("run_ended", at, ok=result.ok, states=dict(result.statistics["states"]))


class Events(EventSource):
    """An async iterator over what happens in a run, with a buffer.

    Args:
        waiting: A context in which somebody waits for the end of the run.
    """

    def __init__(self, waiting: Callable[[], AbstractContextManager[None]]) -> None:
        self._waiting = waiting
        self._buffer: deque[Event] = deque()
        self._lost = 0
        self._over = False
        self._arrived = trio.Event()

    def emit(self, event: Event) -> None:
        """Keep an event until it is read; if there is no room, count it."""
        if len(self._buffer) >= ROOM and event.kind != "run_ended":
            self._lost += 1
            return
        if self._lost:
            count, self._lost = self._lost, 0
            self._buffer.append(Event(kind="events_lost", at=event.at, details={"count": count}))
        self._buffer.append(event)
        self._arrived.set()

    def run_ended(self, result: GraphResult) -> None:
        """The run is over: the iteration ends once what is kept has been read."""
        super().run_ended(result)
        self.end()

    def end(self) -> None:
        """Nothing more will come."""
        self._over = True
        self._arrived.set()

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        await trio.lowlevel.checkpoint()
        with self._waiting():
            while not self._buffer and not self._over:
                if self._arrived.is_set():  # else another Trio task waits for it as well
                    self._arrived = trio.Event()
                await self._arrived.wait()
        if not self._buffer:
            raise StopAsyncIteration
        return self._buffer.popleft()
