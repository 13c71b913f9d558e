"""What the page knows of each task, as one JSON document that its scripts read."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from .._states import FAILED, STATES
from ._failures import Failures
from ._folding import Fold
from ._lives import BINS, Totals
from ._signals import Cause
from ._text import MOST, WAITED_FOR, cause_text, cut, visible
from .critical_path import Step
from .history import IN_FLIGHT, History

MOST_TASKS = 20_000  # of which the page knows each one
MOST_EDGES = 300_000
FINENESS = 2_000  # parts of a life that are shorter than this part of the run are left out

_STATE_NAMES = [state.value for state in STATES]


def chosen_tasks(history: History, path: Sequence[Step]) -> list[int]:
    """The tasks that the page knows: all, or of many the telling ones and every so many-th."""
    record = history.record
    total = len(record)
    if total <= MOST_TASKS:
        return list(range(total))
    telling = [place for place, state in enumerate(record.states) if state == FAILED]
    chosen = set(telling[: MOST_TASKS // 4])
    chosen.update([record.index[step.task_id] for step in path][: MOST_TASKS // 4])
    chosen.update(range(0, total, total // (MOST_TASKS // 2) + 1))
    return sorted(chosen)


class PageData:
    """The document.

    Args:
        history: Of the run.
        totals: What its tasks add up to.
        failures: What went wrong.
        path: The critical path.
        fold: How the graph is drawn.
        levels: Of all tasks.
        dependencies: Of all tasks.
    """

    def __init__(
        self,
        history: History,
        totals: Totals,
        failures: Failures,
        path: Sequence[Step],
        fold: Fold,
        levels: Sequence[int],
        dependencies: Sequence[Sequence[int]],
    ) -> None:
        self._history, self._totals, self._failures = history, totals, failures
        self._path, self._fold, self._levels = path, fold, levels
        self._dependencies = dependencies
        self.chosen = chosen_tasks(history, path)
        self.rows = {place: row for row, place in enumerate(self.chosen)}
        self._causes: dict[Cause, int] = {IN_FLIGHT: 0}
        self._shortest = (history.ended - history.started) / FINENESS

    def document(self) -> dict[str, Any]:
        """Columns by row: a row is a task that the page knows."""
        tasks = self._tasks()
        return {
            "length": _micros(self._history.ended - self._history.started),
            "states": _STATE_NAMES,
            "kinds": WAITED_FOR,
            "tasks": tasks,
            "causes": [[kind, cause_text((kind, subject))] for kind, subject in self._causes],
            "path": self._steps(),
            "graph": self._graph(),
            "curves": self._curves(),
        }

    def _since_start(self, at: float) -> int:
        return -1 if math.isnan(at) else _micros(max(at - self._history.started, 0))

    def _tasks(self) -> dict[str, Any]:
        record, chosen = self._history.record, self.chosen
        names: dict[str, int] = {}
        actions = [names.setdefault(record.nodes[n].action_name, len(names)) for n in chosen]
        counts, untils, whats = self._lives()
        return {
            "ids": [_name(record.nodes[n].task_id) for n in chosen],
            "actions": [_name(name) for name in names],
            "action": actions,
            "state": [record.states[n] for n in chosen],
            "ready": [self._since_start(record.ready[n]) for n in chosen],
            "ended": [self._since_start(record.ended[n]) for n in chosen],
            "level": [self._levels[n] for n in chosen],
            "node": [self._fold.node_of[n] for n in chosen],
            "parts": counts,
            "until": untils,
            "what": whats,
            "before": self._befores(),
            "errors": self._errors(),
        }

    def _lives(self) -> tuple[list[int], list[int], list[int]]:
        """How many parts each life has; until when each part is, and what it is."""
        counts: list[int] = []
        untils, whats = array("q"), array("i")
        for place in self.chosen:
            first = len(untils)
            for at, until, cause, _ in self._history.life(place):
                what = self._causes.setdefault(cause, len(self._causes))
                until_then = self._since_start(until)
                if len(untils) > first and (whats[-1] == what or self._is_short(until - at, what)):
                    untils[-1] = until_then
                else:
                    untils.append(until_then)
                    whats.append(what)
            counts.append(len(untils) - first)
        return counts, list(untils), list(whats)

    def _is_short(self, seconds: float, what: int) -> bool:
        return what > 0 and seconds < self._shortest

    def _befores(self) -> list[list[int]] | None:
        """The dependencies as rows; None if they are too many."""
        if sum(len(self._dependencies[n]) for n in self.chosen) > MOST_EDGES:
            return None
        rows = self.rows
        return [[rows[b] for b in self._dependencies[n] if b in rows] for n in self.chosen]

    def _errors(self) -> dict[int, str]:
        errors = ((self.rows.get(n), text) for n, text in self._failures.errors.items())
        return {row: cut(visible(text), 500) for row, text in errors if row is not None and text}

    def _steps(self) -> list[list[int]]:
        """Row (-1: unknown), begin, end, what."""
        index, rows = self._history.record.index, self.rows
        return [
            [
                rows.get(index[step.task_id], -1),
                self._since_start(step.begin),
                self._since_start(step.end),
                self._causes.setdefault((step.kind, step.subject), len(self._causes)),
            ]
            for step in self._path[:MOST_TASKS]
        ]

    def _graph(self) -> dict[str, Any]:
        fold, record, totals = self._fold, self._history.record, self._totals
        along = [fold.node_of[record.index[step.task_id]] for step in self._path]
        states = [[0] * len(STATES) for _ in fold.labels]
        worked, waited = [0.0] * len(states), [0.0] * len(states)
        for place, node in enumerate(fold.node_of):
            states[node][record.states[place]] += 1
            worked[node] += totals.worked[place]
            waited[node] += totals.waited[place]
        return {
            "folded": fold.folded,
            "labels": [_name(label) for label in fold.labels],
            "levels": fold.levels,
            "states": states,
            "worked": [_micros(seconds) for seconds in worked],
            "waited": [_micros(seconds) for seconds in waited],
            "edges": fold.edges,
            "leftOut": fold.left_out,
            "path": sorted(set(along)),
            "pathEdges": sorted({pair for pair in pairwise(along) if pair[0] != pair[1]}),
        }

    def _curves(self) -> dict[str, Any]:
        kinds = [kind for kind in WAITED_FOR if kind in self._totals.by_kind]
        return {
            "bins": BINS,
            "running": _rounded(self._totals.in_flight.means()),
            "waiting": [[kind, _rounded(self._totals.by_kind[kind].means())] for kind in kinds],
            "limit": self._history.info.max_parallel,
        }


def _name(text: str) -> str:
    return cut(visible(text), MOST)


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)


def _rounded(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
