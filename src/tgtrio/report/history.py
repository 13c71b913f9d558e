"""`History`: what happened in a run, and who waited for what."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from functools import partial

import attrs

from .. import _explanation as why
from .._breaker_policy import BreakerState
from .._errors import RunFinishedError, UnknownTaskError, shorten
from .._instrument import Instrument, RunInfo
from .._problems import suggest
from .._results import GraphResult
from .._states import STATES, TaskState
from ._leaders import Leaders
from ._record import READIED, RETRIED, Aside, Log, Record
from ._signals import BLINK, Cause, Signals

# A part of the life of a task: its begin and end in seconds of the Trio clock, what it waited for
# (or `IN_FLIGHT`), and the attempt if it is one, else -1.
Part = tuple[float, float, Cause, int]
IN_FLIGHT: Cause = (why.IN_FLIGHT, "")

_OK = -STATES.index(TaskState.SUCCEEDED)


@attrs.frozen
class Wait:
    """A time in which a task was ready, and did not run.

    Attributes:
        begin, end: In seconds of the Trio clock.
        kind: What held it: one of the words of `tgtrio.CAUSES`.
        subject: The action, resource or task that it is about; "" where there is none.
    """

    begin: float
    end: float
    kind: str
    subject: str = ""


@attrs.frozen
class Attempt:
    """One call of an action.

    Attributes:
        number: From 0.
        begin, end: In seconds of the Trio clock.
        retried: Was there to be another one?
    """

    number: int
    begin: float
    end: float
    retried: bool


@attrs.frozen
class Retry:
    """An attempt that failed, and was to be repeated. Its fields are those of `task_retried`."""

    task_id: str
    attempt: int
    error: str
    delay: float
    at: float


@attrs.frozen
class BreakerMove:
    """A move of a circuit breaker. Its fields are those of `breaker_moved`."""

    action: str
    before: BreakerState
    after: BreakerState
    at: float


@attrs.frozen
class Cooling:
    """A `RetryLater`. Its fields are those of `action_cooling`."""

    action: str
    until: float
    at: float


@attrs.frozen
class Steered:
    """An order to the handle of the run. Its fields are those of `run_steered`."""

    command: str
    subject: str
    value: object
    at: float


class History(Instrument):
    """Keeps what happens in a run; once that is over it tells who waited for what.

    It may be given to one run after another, and knows the last one. During the run it writes
    down 16 bytes and a reference for each thing that happens; everything else is worked out when
    somebody asks for it first. The engine does not note down why a task does not start, so that
    is derived: from when limits were reached, breakers open, the run paused.

    Attributes:
        info: What the run is.
        result: How it ended.
        retries, moves, coolings, orders: What is rare, as it came.
    """

    info: RunInfo
    result: GraphResult | None = None

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.result = None
        self.retries: list[Retry] = []
        self.moves: list[BreakerMove] = []
        self.coolings: list[Cooling] = []
        self.orders: list[Steered] = []
        self._log = Log()
        self._sealed: tuple[Record, Signals, Leaders] | None = None
        self._add_id = self._log.task_ids.append
        self._add_kind, self._add_instant = self._log.kinds.append, self._log.instants.append

    # -- hooks -------------------------------------------------------------------------------

    def run_started(self, info: RunInfo) -> None:
        self._clear()
        self.info = info

    def task_ready(self, task_id: str, at: float) -> None:
        self._add_id(task_id)
        self._add_kind(READIED)
        self._add_instant(at)

    def task_started(self, task_id: str, attempt: int, at: float) -> None:
        self._add_id(task_id)
        self._add_kind(attempt)
        self._add_instant(at)

    def task_ended(self, task_id: str, state: TaskState, at: float) -> None:
        self._add_id(task_id)
        self._add_kind(_OK if state is TaskState.SUCCEEDED else -STATES.index(state))
        self._add_instant(at)

    def task_retried(self, task_id: str, attempt: int, error: str, delay: float, at: float) -> None:
        self.retries.append(Retry(task_id, attempt, error, delay, at))
        self._log.delays[len(self._log.kinds)] = delay
        self._add_id(task_id)
        self._add_kind(RETRIED)
        self._add_instant(at)

    def action_cooling(self, action: str, until: float, at: float) -> None:
        self.coolings.append(Cooling(action, until, at))

    def breaker_moved(
        self, action: str, before: BreakerState, after: BreakerState, at: float
    ) -> None:
        self.moves.append(BreakerMove(action, before, after, at))

    def run_steered(self, command: str, subject: str, value: object, at: float) -> None:
        self.orders.append(Steered(command, subject, value, at))

    def run_ended(self, result: GraphResult) -> None:
        self.result = result

    # -- the run as a whole --------------------------------------------------------------------

    @property
    def started(self) -> float:
        """When the run started, in seconds of the Trio clock."""
        return self.info.started

    @property
    def ended(self) -> float:
        """When the run ended, in seconds of the Trio clock."""
        return self.info.started + self._over().elapsed_ms / 1000

    @property
    def record(self) -> Record:
        """The columns."""
        return self._seal()[0]

    @property
    def signals(self) -> Signals:
        """What held tasks back, and when."""
        return self._seal()[1]

    def _over(self) -> GraphResult:
        if self.result is None:
            raise RunFinishedError("a history tells of a run that is over; this one is not")
        return self.result

    def _seal(self) -> tuple[Record, Signals, Leaders]:
        if self._sealed is None:
            result, signals = self._over(), Signals(self.info)
            signals.expect(order.subject for order in self.orders if order.command == "set_cap")
            record = Record(self.info, self._log, signals, self._asides(signals))
            self._sealed = record, signals, Leaders(record, result.results)
            self._log = Log()  # its entries are in the columns now
        return self._sealed

    def _asides(self, signals: Signals) -> list[Aside]:
        """What is not of a single task, by time."""
        moved, cooling, steered = signals.breaker_moved, signals.cooling, signals.steered
        asides: list[Aside] = [(m.at, partial(moved, m.action, m.after, m.at)) for m in self.moves]
        asides += [(c.at, partial(cooling, c.action, c.until, c.at)) for c in self.coolings]
        asides += [
            (o.at, partial(steered, o.command, o.subject, o.value, o.at)) for o in self.orders
        ]
        return sorted(asides, key=lambda aside: aside[0])

    # -- a task ----------------------------------------------------------------------------------

    def ready(self, task_id: str) -> float | None:
        """When a task had what it depends on; None if it never had."""
        at = self.record.ready[self.place(task_id)]
        return None if math.isnan(at) else at

    def end(self, task_id: str) -> tuple[TaskState, float]:
        """How and when a task ended."""
        record, task = self.record, self.place(task_id)
        return STATES[record.states[task]], record.ended[task]

    def attempts(self, task_id: str) -> tuple[Attempt, ...]:
        """The attempts of a task."""
        record = self.record
        return tuple(
            Attempt(record.number[n], record.begin[n], record.end[n], record.delay[n] >= 0)
            for n in record.attempts(self.place(task_id))
        )

    def waits(self, task_id: str) -> tuple[Wait, ...]:
        """When a task was ready and did not run, and the first cause of that, by time.

        With the attempts they cover all from when it was ready to its end. Several causes often
        hold at once; the first of these is told: back-off, equal work under way, an open
        breaker, a `RetryLater`, a pause, the cap of its action, that of a resource,
        `max_parallel`, a limiter that the run shares with others, its turn.

        Raises:
            UnknownTaskError: The run had no such task.
        """
        return tuple(self.waits_at(self.place(task_id)))

    def waits_at(self, task: int) -> Iterator[Wait]:
        """`waits` of the task at a place in the order of the graph."""
        for begin, end, cause, attempt in self.life(task):
            if attempt < 0:
                yield Wait(begin, end, *cause)

    def life(self, task: int) -> Iterator[Part]:
        """The life of the task at a place in the order of the graph: its waits and attempts.

        They follow each other without gaps, from when it was ready to its end.
        """
        record = self.record
        at = record.ready[task]
        if record.last[task] < 0 and math.isnan(at):
            return
        delay = math.nan
        for attempt in record.attempts(task):
            begin, end = record.begin[attempt], record.end[attempt]
            if at < begin:
                yield from self._wait(task, at, begin, delay)
            yield begin, end, IN_FLIGHT, attempt
            at, delay = end, record.delay[attempt]
        if at < record.ended[task]:
            yield from self._wait(task, at, record.ended[task], delay)

    def _wait(self, task: int, begin: float, end: float, delay: float) -> Iterator[Part]:
        """One wait, by its causes."""
        _, signals, leaders = self._seal()
        if delay > 0:
            due = begin + delay
            due = end if end - due < BLINK else due
            yield begin, due, (why.BACK_OFF, ""), -1
            begin = due
        if not begin < end:
            return
        if leaders.follows(task):
            yield begin, end, (why.LEADER, self._name(leaders.leader_of(task))), -1
            return
        for at, until, cause in signals.causes(self.record.nodes[task], begin, end):
            yield at, until, cause, -1

    def place(self, task_id: str) -> int:
        """Where a task is in the order of the graph. Raises UnknownTaskError."""
        index = self.record.index
        try:
            return index[task_id]
        except (KeyError, TypeError):
            raise UnknownTaskError(
                f"no task {shorten(task_id)} was part of the run{suggest(task_id, index)}"
            ) from None

    def _name(self, task: int) -> str:
        return "" if task < 0 else self.record.nodes[task].task_id

    # -- over time -------------------------------------------------------------------------------

    def running(self) -> tuple[array[float], array[int]]:
        """How many tasks were in flight: instants, and the count from each on."""
        record = self.record
        return _count(record.begin, record.end)

    def waiting(self) -> tuple[array[float], array[int]]:
        """How many were ready and not in flight: instants, and the count from each on."""
        record, begins, ends = self.record, array("d"), array("d")
        for task, at in enumerate(record.ready):
            if math.isnan(at):
                continue
            for attempt in record.attempts(task):
                begins.append(at)
                ends.append(record.begin[attempt])
                at = record.end[attempt]
            begins.append(at)
            ends.append(record.ended[task])
        return _count(begins, ends)


def _count(begins: array[float], ends: array[float]) -> tuple[array[float], array[int]]:
    changes = [(at, 1) for at in begins] + [(at, -1) for at in ends]
    changes.sort()
    instants, counts, count = array("d"), array("i"), 0
    for at, change in changes:
        count += change
        if instants and instants[-1] == at:
            counts[-1] = count
        else:
            instants.append(at)
            counts.append(count)
    return instants, counts
