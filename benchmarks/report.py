"""Tables in Markdown, and the same as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from .cases import Goal, Outcome, Section

CAVEATS = """\
* Each measurement runs in a fresh process; peers take turns, round by round; figures are medians.
* On a machine that others use too only the ratios mean something.
* A no-op task shows what a scheduler costs and nothing else: tasks of 10 ms hide all of it.
* The loops by hand neither time out, retry, report nor cancel a single task. A library may offer
  what tgtrio does not: many processes or machines, a user interface, a history of years.
* What only computes is measured in processor time: describe, freeze, the queue, METG, holds.
* The processor time of a run is that of all threads. Where it is less than the time of the run and
  nothing sleeps, other programs had the processor too, and long runs lost more than short ones.
* Peak memory is the growth of the process from the description to the end of the first run."""


def heading(machine: Mapping[str, str]) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    return f"# Benchmarks\n\n{facts}\n\n{CAVEATS}"


def number(value: float) -> str:
    """Three digits that count, no more than that."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section(what: Section, outcomes: Mapping[str, Outcome]) -> str:
    """One section: its table, what is missing from it, and how it stands to its bars."""
    parts = [f"## {what.title} (`{what.key}`)", what.note]
    good = [outcome for outcome in outcomes.values() if outcome.figures]
    if good:
        parts.append(_by_shape(what, good) if what.by_shape else _figures(what, good))
    parts.append("\n".join(f"* {line}" for line in troubles(outcomes)))
    if what.goals:
        parts.append(_goals(what.goals, outcomes))
    return "\n\n".join(part for part in parts if part)


def troubles(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Which rows have no figures, and why: a line for each reason."""
    rows: dict[str, list[str]] = {}
    for name, outcome in outcomes.items():
        if outcome.trouble:
            kind = "absent" if outcome.last.absent else "failed"
            rows.setdefault(f"{kind}, {outcome.trouble}", []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in rows.items()]


def _figures(what: Section, good: Sequence[Outcome]) -> str:
    columns = list(dict.fromkeys(name for outcome in good for name in outcome.figures))
    first = good[0] if good[0].case.name == what.cases[0].name else None
    base = first.figures.get(what.main) if first else None
    rows = []
    for outcome in good:
        figures = outcome.figures
        row = [outcome.last.title, f"{outcome.last.size:,}"]
        row += [number(figures[name]) if name in figures else "" for name in columns]
        if base:
            row.append(number(figures[what.main] / base))
        rows.append(row)
    return table(["", "tasks", *columns, *[f"ratio ({what.main})"] * bool(base)], rows)


def _by_shape(what: Section, good: Sequence[Outcome]) -> str:
    """With each peer's figure its ratio to that of the first one."""
    peers = list(dict.fromkeys(case.peer for case in what.cases))
    found = {(outcome.case.shape, outcome.case.peer): outcome for outcome in good}
    rows = []
    for shape in dict.fromkeys(outcome.case.shape for outcome in good):
        line = [found.get((shape, peer)) for peer in peers]
        values = [outcome.figures.get(what.main) if outcome else None for outcome in line]
        sizes = [f"{outcome.last.size:,}" for outcome in line if outcome and outcome.figures]
        rows.append([shape, sizes[0], *(_with_ratio(value, values[0]) for value in values)])
    return table(["", "tasks", *peers], rows)


def _with_ratio(value: float | None, base: float | None) -> str:
    if value is None:
        return ""
    ratio = f" ({number(value / base)})" if base and value != base else ""
    return number(value) + ratio


def _goals(goals: Sequence[Goal], outcomes: Mapping[str, Outcome]) -> str:
    rows = []
    for goal in goals:
        value = goal.value(outcomes)
        met = "not measured" if value is None else "yes" if goal.is_met_by(value) else "**no**"
        rows.append([goal.what, "" if value is None else number(value), _bar(goal), met])
    return table(["bar", "is", "should be", "met"], rows)


def _bar(goal: Goal) -> str:
    if goal.at_most is not None:
        return f"<= {goal.at_most:g}"
    return f">= {goal.at_least:g}"


def as_data(
    machine: Mapping[str, str], measured: Mapping[str, tuple[Section, Mapping[str, Outcome]]]
) -> dict[str, Any]:
    """Everything that was measured, sample by sample, as plain data."""
    return {
        "machine": dict(machine),
        "sections": {
            key: {
                "title": what.title,
                "rows": {
                    name: {
                        "case": attrs.asdict(outcome.case),
                        "title": outcome.last.title,
                        "size": outcome.last.size,
                        "trouble": outcome.trouble,
                        "figures": outcome.figures,
                        "samples": [sample.figures for sample in outcome.samples],
                    }
                    for name, outcome in outcomes.items()
                },
                "bars": [
                    {"what": goal.what, "is": value, "should be": _bar(goal)}
                    | ({} if value is None else {"met": goal.is_met_by(value)})
                    for goal in what.goals
                    for value in [goal.value(outcomes)]
                ],
            }
            for key, (what, outcomes) in measured.items()
        },
    }
