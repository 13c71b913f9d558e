"""What the page shows in figures and tables, ready for the template."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs

from .. import _explanation as why
from .._results import GraphResult
from .._states import STATES
from .._version import __version__
from .._wording import nameless
from ._failures import MOST_SHOWN, Failures, outcome
from ._lives import Curve, Totals
from ._signals import Cause
from ._text import cause_text, cut, duration, percent, plural, printable, visible
from .critical_path import Step
from .history import History

MOST_ROWS = 50  # of a table
FEW_ROWS = 12  # of a table, until all are asked for; `style.css` knows it too


@attrs.frozen(kw_only=True)
class Told:
    """All that is known of a run."""

    history: History
    result: GraphResult
    totals: Totals
    failures: Failures
    path: Sequence[Step]
    rows: dict[int, int]  # of the page, by place in the graph

    @property
    def length(self) -> float:
        """Seconds."""
        return self.history.ended - self.history.started

    def since_start(self, at: float) -> str:
        """An instant of the run."""
        return f"+{duration(max(at - self.history.started, 0))}"

    def task(self, place: int) -> dict[str, Any]:
        """How a task is named, and its row if the page knows it."""
        node = self.history.record.nodes[place]
        return {
            "id": cut(visible(node.task_id)),
            "row": self.rows.get(place),
            "action": cut(visible(node.action_name)),
            "state": STATES[self.history.record.states[place]].value,
        }


def view_of(told: Told) -> dict[str, Any]:
    """The variables of the template."""
    result, totals, failures = told.result, told.totals, told.failures
    states = {name: count for name, count in result.statistics["states"].items() if count}
    return {
        "title": cut(visible(result.graph_id), 120),
        "run_id": cut(visible(result.run_id)),
        "version": __version__,
        "ok": result.ok,
        "outcome": outcome(result, failures, duration(told.length)),
        "completed": datetime.fromisoformat(result.completed_at).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "total": result.total_tasks,
        "known": len(told.rows),
        "states": states,
        "tiles": _tiles(told),
        "reasons": failures.reasons[:MOST_ROWS],
        "more_reasons": max(len(failures.reasons) - MOST_ROWS, 0),
        "rows": told.rows,
        "waiting": _waiting(told),
        "waited": duration(sum(totals.waited)),
        "path": _path(told),
        "slowest": _slowest(told),
        "failed": [_failed(told, n) for n in range(min(len(failures.roots), MOST_SHOWN))],
        "few": FEW_ROWS,
        "more_failed": max(len(failures.roots) - MOST_SHOWN, 0),
        "retries": _retries(told),
        "limits": _limits(told),
        "breakers": _breakers(told),
        "orders": _orders(told),
    }


def _tiles(told: Told) -> list[dict[str, str]]:
    """The figures of the summary: what, how much, and a word to it."""
    totals, statistics, length = told.totals, told.result.statistics, told.length
    worked, waited = totals.in_flight.total, sum(totals.waited)
    limit = told.history.info.max_parallel
    top = max(totals.waiting.items(), key=lambda item: item[1].seconds, default=None)
    mean = worked / length if length > 0 else 0
    budget = told.history.info.graph.max_retry_tokens
    tiles = [
        ("elapsed", duration(length), f"{duration(worked)} of work"),
        (
            "at once",
            f"{mean:.1f}" if mean < 100 else f"{mean:,.0f}",
            f"in the mean; most {totals.peak:,}{f' of {limit:,}' if limit else ''}",
        ),
        (
            "waiting",
            duration(waited),
            f"mostly for {cause_text(top[0])}" if top and waited > 0 else "nothing was held back",
        ),
        ("retries", f"{statistics['retry_tokens_used']:,}", f"of {budget:,} in the budget"),
        ("served", f"{statistics['cached_tasks']:,}", "from equal work, not called"),
    ]
    return [dict(zip(("name", "figure", "note"), tile, strict=True)) for tile in tiles]


def _waiting(told: Told) -> list[dict[str, Any]]:
    """What was waited for, the most first."""
    whole = sum(told.totals.waited)
    ordered = sorted(told.totals.waiting.items(), key=lambda item: -item[1].seconds)
    return [
        {
            "kind": cause[0],
            "text": cause_text(cause),
            "seconds": waiting.seconds,
            "took": duration(waiting.seconds),
            "share": percent(waiting.seconds, whole),
            "part": waiting.seconds / whole if whole else 0,
            "tasks": waiting.tasks,
            "longest": waiting.longest[0],
            "longest_took": duration(waiting.longest[0]),
            "task": told.task(waiting.longest[1]),
        }
        for cause, waiting in ordered
        if waiting.seconds > 0
    ][:MOST_ROWS]


# -- the critical path ---------------------------------------------------------------------


def _path(told: Told) -> dict[str, Any]:
    index, length = told.history.record.index, told.length
    by_cause: dict[Cause, float] = {}
    for step in told.path:
        if step.kind == why.IN_FLIGHT:
            action = told.history.record.nodes[index[step.task_id]].action_name
            cause = (why.IN_FLIGHT, action)
        else:
            cause = (step.kind, step.subject if step.kind != why.LEADER else "")
        by_cause[cause] = by_cause.get(cause, 0) + step.end - step.begin
    running = sum(step.end - step.begin for step in told.path if step.kind == why.IN_FLIGHT)
    longest = heapq.nlargest(
        MOST_ROWS, range(len(told.path)), key=lambda n: told.path[n].end - told.path[n].begin
    )
    return {
        "steps": len(told.path),
        "tasks": len({step.task_id for step in told.path}),
        "running": percent(running, length),
        "took": duration(running),
        "waited": duration(length - running),
        "room": _room(told),
        "made_of": _made_of(by_cause, length),
        "longest": [_step(told, n) for n in sorted(longest)],
    }


def _room(told: Told) -> str:
    """How often a task of the path had waited for a limit, and for which one mostly."""
    limits = Counter(step.room for step in told.path if step.room is not None)
    if not limits:
        return ""
    ((cause, _),) = limits.most_common(1)
    times = limits.total()
    which = f"{'mostly ' if len(limits) > 1 else ''}{cause_text(cause)}"
    return f"{times:,} of its steps began when the step before made room ({which})."


def _made_of(by_cause: dict[Cause, float], length: float) -> list[dict[str, Any]]:
    return [
        {
            "kind": kind,
            "text": cut(visible(subject)) if kind == why.IN_FLIGHT else cause_text((kind, subject)),
            "took": duration(seconds),
            "share": percent(seconds, length),
            "part": seconds / length if length else 0,
        }
        for (kind, subject), seconds in sorted(by_cause.items(), key=lambda item: -item[1])
    ][:12]


def _step(told: Told, number: int) -> dict[str, Any]:
    step = told.path[number]
    place, seconds = told.history.record.index[step.task_id], step.end - step.begin
    runs, ended = step.kind == why.IN_FLIGHT, _attempt_ended(told, place, step.attempt)
    again = f", attempt {step.attempt + 1}" if step.attempt > 0 else ""
    again += f", {ended}" if ended else ""
    return {
        "task": told.task(place),
        "kind": step.kind,
        "ended": ended,
        "what": f"ran{again}" if runs else f"waited: {cause_text((step.kind, step.subject))}",
        "began": _began(told, number),
        "begin": step.begin,
        "at": told.since_start(step.begin),
        "seconds": seconds,
        "took": duration(seconds),
        "share": percent(seconds, told.length),
    }


def _attempt_ended(told: Told, place: int, attempt: int) -> str:
    """How an attempt ended, if not well."""
    record = told.history.record
    if attempt < 0:
        return ""
    if attempt < record.number[record.last[place]]:
        return "failed"
    state = STATES[record.states[place]].value
    return "" if state == "succeeded" else state


def _began(told: Told, number: int) -> str:
    """What let a step begin."""
    step = told.path[number]
    if number == 0:
        return "the run began"
    before = told.path[number - 1]
    name = cut(visible(before.task_id), 40)
    if step.room is not None:
        return f"{name} made room: {cause_text(step.room)}"
    if before.task_id != step.task_id:
        return f"{name} ended"
    return "the wait was over" if before.kind != why.IN_FLIGHT else "the attempt had failed"


# -- tasks ------------------------------------------------------------------------------------


def _slowest(told: Told) -> list[dict[str, Any]]:
    """The tasks that ran longest, with all their attempts."""
    worked, record = told.totals.worked, told.history.record
    slowest = heapq.nlargest(MOST_ROWS, range(len(worked)), key=worked.__getitem__)
    return [
        {
            "task": told.task(place),
            "attempts": record.number[record.last[place]] + 1,
            "begin": record.begin[record.attempts(place)[0]],
            "at": told.since_start(record.begin[record.attempts(place)[0]]),
            "worked": worked[place],
            "took": duration(worked[place]),
            "part": worked[place] / worked[slowest[0]] if worked[slowest[0]] else 0,
            "waited": told.totals.waited[place],
            "waited_took": duration(told.totals.waited[place]),
        }
        for place in slowest
        if record.last[place] >= 0
    ]


def _failed(told: Told, number: int) -> dict[str, Any]:
    failed = told.failures.roots[number]
    result = failed.result
    return {
        "task": told.task(failed.place),
        "error": cut(printable(result.error), 1_000),
        "line": cut(visible(" ".join(result.error.split())), 160),
        "attempts": plural(result.attempts, "attempt"),
        "took_along": failed.took_along,
        "at": told.since_start(told.history.record.ended[failed.place]),
        "traceback": failed.traceback,
    }


def _retries(told: Told) -> dict[str, Any]:
    retries = told.history.retries
    by_error: dict[tuple[str, str], list[float]] = {}
    texts: dict[tuple[str, str], str] = {}  # with the id, where it is always the same
    record = told.history.record
    for retry in retries:
        action = record.nodes[record.index[retry.task_id]].action_name
        key = action, nameless(retry.error, retry.task_id)
        by_error.setdefault(key, []).append(retry.delay)
        if texts.setdefault(key, retry.error) != retry.error:
            texts[key] = key[1]
    used = told.result.statistics["retry_tokens_used"]
    budget = told.history.info.graph.max_retry_tokens
    groups = sorted(by_error.items(), key=lambda item: -len(item[1]))
    return {
        "used": used,
        "budget": budget,
        "part": used / budget if budget else 1,
        "count": len(retries),
        "groups": [
            {
                "action": cut(visible(key[0])),
                "error": cut(visible(" ".join(texts[key].split())), 300),
                "count": len(delays),
                "seconds": sum(delays),
                "took": duration(sum(delays)),
            }
            for key, delays in groups[:MOST_ROWS]
        ],
        "more": max(len(groups) - MOST_ROWS, 0),
    }


# -- limits, breakers, orders -------------------------------------------------------------


def _limits(told: Told) -> list[dict[str, Any]]:
    """How much of each limit was used."""
    found: list[dict[str, Any]] = []
    for cause, limited in told.history.signals.limits.items():
        curve, limit = told.totals.by_limit.get(cause), limited.course[-1][1]
        if curve is None or all(value is None for _, value in limited.course):
            continue
        waiting = told.totals.waiting.get(cause)
        full = limited.seconds_on(told.history.ended)
        found.append(
            {
                "text": "max_parallel" if cause[0] == why.MAX_PARALLEL else cause_text(cause),
                "limit": limit,
                "peak": limited.peak,
                "mean": curve.total / told.length if told.length else 0,
                "full": full / told.length if told.length else 0,
                "full_share": percent(full, told.length),
                "waited": waiting.seconds if waiting else 0,
                "waited_took": duration(waiting.seconds) if waiting else "",
                "line": _line(curve, max(limit or 0, limited.peak, 1)),
            }
        )
    return sorted(found, key=lambda entry: -entry["full"])[:MOST_ROWS]


def _line(curve: Curve, most: int) -> str:
    """A curve as the path of an SVG that is 240 wide and 24 high."""
    points = [f"L{x},{24 - 24 * min(mean / most, 1):.1f}" for x, mean in enumerate(curve.means())]
    return f"M0,24{''.join(points)}L{len(points) - 1},24Z"


def _breakers(told: Told) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for move in told.history.moves:
        found.setdefault(move.action, []).append(
            {
                "before": move.before.value,
                "after": move.after.value,
                "at": told.since_start(move.at),
            }
        )
    waiting = told.totals.waiting
    return [
        {
            "action": cut(visible(action)),
            "moves": moves[:MOST_ROWS],
            "more": max(len(moves) - MOST_ROWS, 0),
            "state": moves[-1]["after"],
            "held": waiting[why.BREAKER, action].tasks if (why.BREAKER, action) in waiting else 0,
        }
        for action, moves in found.items()
    ]


def _orders(told: Told) -> list[dict[str, str]]:
    orders = told.history.orders
    return [
        {
            "at": told.since_start(order.at),
            "command": order.command,
            "subject": cut(visible(order.subject)),
            "value": "" if order.value is None else cut(visible(str(order.value))),
        }
        for order in orders[: 2 * MOST_ROWS]
    ]
