"""A run as trace events.

The format: "Trace Event Format", Google, 2016 (JSON object format; X slices, C counters, i
instants, M metadata). Instants and durations are microseconds from the start of the run.
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Iterator
from typing import Any, TypeAlias

from .. import _explanation as why
from .._states import STATES, TaskState
from .._wording import cut, duration
from ..report.history import History
from ._causes import in_words, shown

TraceEvent: TypeAlias = dict[str, Any]

IN_FLIGHT, WAITING = 1, 2  # processes, as the format calls them
RUN = 0  # the lane of what is about the run
MOST_WAITING = 500  # lanes; more would be nothing to look at
EXACT = 20_000  # changes of a counter that are all told; of more as many steps
MOST_OF_ERROR = 1_000  # characters

# The names of colours are those of chrome://tracing; Perfetto colours by name.
COLOURS = {
    "succeeded": "good",
    "retried": "bad",
    "failed": "terrible",
    "aborted": "cq_build_abandoned",
    "cancelled": "grey",
    why.BACK_OFF: "yellow",
    why.LEADER: "generic_work",
    why.BREAKER: "terrible",
    why.COOLING: "olive",
    why.PAUSED: "grey",
    why.CAP: "thread_state_iowait",
    why.RESOURCE: "rail_load",
    why.MAX_PARALLEL: "thread_state_runnable",
    why.LIMITER: "rail_idle",
    why.TURN: "white",
}


def head_of(history: History) -> dict[str, Any]:
    """What stands in a trace beside its events."""
    info = history.info
    return {
        "displayTimeUnit": "ms",
        "otherData": {
            "graph_id": shown(info.graph_id),
            "run_id": shown(info.run_id),
            "started": info.wall(info.started).isoformat(),
        },
    }


def trace_events(history: History) -> Iterator[TraceEvent]:
    """All events of a run that is over; one after the other, not ordered by time."""
    return _Trace(history).events()


class _Trace:
    def __init__(self, history: History) -> None:
        self._history, self._record = history, history.record
        self._started, self._end = history.started, history.ended
        self._errors = {(r.task_id, r.attempt): r.error for r in history.retries}
        size = len(self._record) + len(self._record.begin)
        step = 0.0 if size <= EXACT else (self._end - self._started) / EXACT
        self._running, self._ready, self._held = (_Counter(self._started, step) for _ in range(3))

    def events(self) -> Iterator[TraceEvent]:
        graph_id = shown(self._history.info.graph_id)
        yield from self._process(IN_FLIGHT, f"graph {graph_id}: in flight")
        yield self._meta(IN_FLIGHT, RUN, "thread_name", name="run")
        yield self._run()
        yield from self._attempts()
        yield from self._waits()
        yield from self._marks()
        for name, counter in (
            ("running", self._running),
            ("ready", self._ready),
            ("held", self._held),
        ):
            yield from self._counts(name, counter)

    # -- pieces ------------------------------------------------------------------------------

    def _ns(self, at: float) -> int:
        return round((at - self._started) * 1e9)

    def _slice(self, pid: int, tid: int, begin: float, end: float, name: str) -> TraceEvent:
        """In whole nanoseconds, so that neighbours on a lane do not overlap."""
        ts, until = self._ns(begin), self._ns(end)
        return {
            "ph": "X",
            "pid": pid,
            "tid": tid,
            "ts": ts / 1000,
            "dur": max(until - ts, 0) / 1000,
            "name": name,
        }

    def _mark(self, at: float, name: str, tid: int = RUN, **args: Any) -> TraceEvent:
        scope = "t" if tid else "g"
        ts = self._ns(at) / 1000
        mark = {"ph": "i", "s": scope, "pid": IN_FLIGHT, "tid": tid, "ts": ts, "name": name}
        return {**mark, "args": args} if args else mark

    def _process(self, pid: int, name: str) -> Iterator[TraceEvent]:
        yield self._meta(pid, 0, "process_name", name=name)
        yield self._meta(pid, 0, "process_sort_index", sort_index=pid)

    def _names_of(self, pid: int, what: str, count: int) -> Iterator[TraceEvent]:
        """The names of the lanes, which sort like their numbers."""
        width = len(str(count))
        for lane in range(1, count + 1):
            yield self._meta(pid, lane, "thread_name", name=f"{what} {lane:0{width}}")
            yield self._meta(pid, lane, "thread_sort_index", sort_index=lane)

    def _meta(self, pid: int, tid: int, kind: str, /, **args: object) -> TraceEvent:
        return {"ph": "M", "pid": pid, "tid": tid, "name": kind, "args": args}

    # -- what happened -----------------------------------------------------------------------

    def _run(self) -> TraceEvent:
        result = self._history.result
        assert result is not None
        states = {name: n for name, n in result.statistics["states"].items() if n}
        name = f"run of {shown(result.graph_id)}"
        event = self._slice(IN_FLIGHT, RUN, self._started, self._end, name)
        return {**event, "cat": "run", "args": {"ok": result.ok, **states}}

    def _attempts(self) -> Iterator[TraceEvent]:
        """In the order in which they began, each on the lowest lane that is free."""
        record, lanes = self._record, _Lanes()
        for attempt, begin in enumerate(record.begin):
            end = record.end[attempt]
            end = self._end if math.isnan(end) else end
            lane = lanes.take(begin, end)
            self._running.add(begin, end)
            yield from self._attempt(attempt, lane, begin, end)
        yield from self._names_of(IN_FLIGHT, "lane", lanes.count)

    def _attempt(self, attempt: int, lane: int, begin: float, end: float) -> Iterator[TraceEvent]:
        record, task = self._record, self._record.task[attempt]
        node, number, delay = record.nodes[task], record.number[attempt], record.delay[attempt]
        outcome = "retried" if delay >= 0 else STATES[record.states[task]].value
        args: dict[str, Any] = {"action": shown(node.action_name), "attempt": number}
        if error := self._error(node.task_id, number, outcome):
            args["error"] = error
        event = self._slice(IN_FLIGHT, lane, begin, end, shown(node.task_id))
        event["cat"] = outcome
        if outcome in COLOURS:
            event["cname"] = COLOURS[outcome]
        event["args"] = args
        yield event
        if delay >= 0:
            yield self._mark(end, f"retry in {duration(delay)}", lane, task=event["name"])

    def _error(self, task_id: str, number: int, outcome: str) -> str:
        if outcome == "retried":
            error = self._errors.get((task_id, number), "")
        elif outcome == TaskState.FAILED.value:
            assert self._history.result is not None
            error = self._history.result.results[task_id].error
        else:
            return ""
        return cut(error, MOST_OF_ERROR).encode("utf-8", "backslashreplace").decode()

    # -- what waited ---------------------------------------------------------------------------

    def _waits(self) -> Iterator[TraceEvent]:
        tasks, begins, ends = self._stretches()
        lanes, left_out = _Lanes(MOST_WAITING), 0
        for place in sorted(range(len(begins)), key=begins.__getitem__):
            begin, end = begins[place], ends[place]
            lane = lanes.take(begin, end)
            left_out += lane == 0
            self._ready.add(begin, end)
            yield from self._wait(tasks[place], lane, begin, end)
        if lanes.count:
            beyond = f" ({left_out:,} more are counted only)" if left_out else ""
            yield from self._process(WAITING, f"ready, waiting for{beyond}")
        yield from self._names_of(WAITING, "waiting", lanes.count)

    def _stretches(self) -> tuple[array[int], array[float], array[float]]:
        """From where tasks were ready, or an attempt had failed, to the next attempt or the end."""
        record = self._record
        tasks, begins, ends = array("i"), array("d"), array("d")
        for task, at in enumerate(record.ready):
            if math.isnan(at):
                continue
            for attempt in [*record.attempts(task), -1]:
                until = record.ended[task] if attempt < 0 else record.begin[attempt]
                if at < until:
                    tasks.append(task)
                    begins.append(at)
                    ends.append(until)
                at = record.end[attempt] if attempt >= 0 else until
        return tasks, begins, ends

    def _wait(self, task: int, lane: int, begin: float, end: float) -> Iterator[TraceEvent]:
        for wait in self._history.waits_at(task):
            if not begin <= wait.begin < end:
                continue
            if wait.kind != why.TURN:
                self._held.add(wait.begin, wait.end)
            if lane == 0:
                continue
            name = in_words(wait.kind, wait.subject)
            event = self._slice(WAITING, lane, wait.begin, wait.end, name)
            event["cat"] = wait.kind
            if wait.kind in COLOURS:
                event["cname"] = COLOURS[wait.kind]
            event["args"] = {"task": shown(self._record.nodes[task].task_id)}
            yield event

    # -- what is rare, and figures -------------------------------------------------------------

    def _marks(self) -> Iterator[TraceEvent]:
        history = self._history
        for move in history.moves:
            name = f"breaker of {shown(move.action)}: {move.after.value}"
            yield self._mark(move.at, name, before=move.before.value)
        for cooling in history.coolings:
            length = duration(cooling.until - cooling.at)
            yield self._mark(cooling.at, f"cooling of {shown(cooling.action)} for {length}")
        for order in history.orders:
            about = (str(one) for one in (order.subject, order.value) if one not in ("", None))
            yield self._mark(order.at, f"{order.command} {shown(', '.join(about))}".rstrip())

    def _counts(self, name: str, counter: _Counter) -> Iterator[TraceEvent]:
        for at, count in counter.course():
            yield {
                "ph": "C",
                "pid": IN_FLIGHT,
                "tid": 0,
                "ts": self._ns(at) / 1000,
                "name": name,
                "args": {"tasks": count},
            }


class _Lanes:
    """Gives everything the lowest lane that is free at its beginning; beginnings only grow.

    Args:
        limit: How many there may be; None for any number.

    Attributes:
        count: How many there are.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.count, self._limit = 0, limit
        self._free: list[int] = []
        self._busy: list[tuple[float, int]] = []

    def take(self, begin: float, end: float) -> int:
        """The number of the lane, from 1; 0 if none is free. O(log lanes)."""
        while self._busy and self._busy[0][0] <= begin:
            heapq.heappush(self._free, heapq.heappop(self._busy)[1])
        if self._free:
            lane = heapq.heappop(self._free)
        elif self.count == self._limit:
            return 0
        else:
            lane = self.count = self.count + 1
        heapq.heappush(self._busy, (end, lane))
        return lane


class _Counter:
    """How many of something there were in the course of time.

    Args:
        started: The first instant.
        step: Changes within so many seconds are told together; 0 for none.
    """

    def __init__(self, started: float, step: float) -> None:
        self._started, self._step = started, step
        self._changes = {started: 0}

    def add(self, begin: float, end: float) -> None:
        """One more from an instant to another one."""
        self._change(begin, 1)
        self._change(end, -1)

    def _change(self, at: float, by: int) -> None:
        if self._step:
            at = self._started + (at - self._started) // self._step * self._step
        self._changes[at] = self._changes.get(at, 0) + by

    def course(self) -> Iterator[tuple[float, int]]:
        """The first instant and those of changes, and the count from each on."""
        count = 0
        for at in sorted(self._changes):
            change = self._changes[at]
            count += change
            if change or at == self._started:
                yield at, count
