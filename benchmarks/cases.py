"""What there is to be measured, and what came of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import attrs

Figures: TypeAlias = Mapping[str, float]
"""Name, with its unit, and value; smaller is better in all."""


@attrs.frozen
class Case:
    """One measurement, made in a process of its own, several times.

    Attributes:
        measure: Which of `measures`.
        peer: Whose.
        size: How many tasks.
        shape: A name that `graphs.make` knows.
        work: What each task does: a name of `actions.KINDS`, or what the measure takes.
        row: Its name in the section; the peer's if left out.
        seconds: A process that can repeat what it measures does so for about as long.
    """

    measure: str
    peer: str = "tgtrio"
    size: int = 10_000
    shape: str = "layered"
    work: str = "no-op"
    row: str = ""
    seconds: float = 1.0

    @property
    def name(self) -> str:
        return self.row or self.peer


@attrs.frozen
class Sample:
    """What one process found out.

    Attributes:
        figures: Its figures; empty if it failed.
        title: How the row is called in a table.
        size: How many tasks there really were.
        absent: What is missing, and how to get it; empty if nothing is.
        error: Why it failed; empty if it did not.
    """

    figures: dict[str, float] = attrs.field(factory=dict)
    title: str = ""
    size: int = 0
    absent: str = ""
    error: str = ""


@attrs.frozen
class Outcome:
    """All samples of one case."""

    case: Case
    samples: Sequence[Sample]

    @property
    def last(self) -> Sample:
        return self.samples[-1]

    @property
    def trouble(self) -> str:
        """Why there are no figures; empty if there are."""
        return self.last.absent or self.last.error

    @property
    def figures(self) -> dict[str, float]:
        """The median of each figure over the rounds."""
        good = [sample.figures for sample in self.samples if sample.figures]
        names = good[0] if good else {}
        return {name: statistics.median(figures[name] for figures in good) for name in names}


@attrs.frozen
class Goal:
    """A figure, or the ratio of two, and what it should be.

    Attributes:
        what: In words.
        row, figure: What is looked at.
        over: The row it is compared with; None for the figure itself. A bar `at_most` is for the
            quotient; one `at_least` for how many times smaller the figure of `row` is.
        at_most, at_least: The bar; one of them is given.
    """

    what: str
    row: str
    figure: str
    over: str | None = None
    at_most: float | None = None
    at_least: float | None = None

    def value(self, outcomes: Mapping[str, Outcome]) -> float | None:
        """What was measured; None if a part of it was not."""
        own = _figure(outcomes, self.row, self.figure)
        if self.over is None or own is None:
            return own
        other = _figure(outcomes, self.over, self.figure)
        if not other or not own:
            return None
        return other / own if self.at_least is not None else own / other

    def is_met_by(self, value: float) -> bool:
        if self.at_most is not None:
            return value <= self.at_most
        return self.at_least is None or value >= self.at_least


@attrs.frozen
class Section:
    """Cases that are measured in turn and stand in one table.

    Attributes:
        key: How it is asked for.
        title, note: What stands above its table.
        cases: Its rows. Ratios are to the first.
        main: The figure that the ratios are of; empty for no ratios.
        goals: What its figures should be.
        rounds: How often each case is measured at most; None for as often as asked for.
        by_shape: Is the table one of `main` alone, a line a shape and a column a peer?
    """

    key: str
    title: str
    cases: Sequence[Case]
    main: str = ""
    note: str = ""
    goals: Sequence[Goal] = ()
    rounds: int | None = None
    by_shape: bool = False

    def by_processor(self) -> Section:
        """The same, its ratios and bars of processor time. What sleeps stays as it is."""
        if any(case.measure != "phases" or case.work == "naps" for case in self.cases):
            return self
        return attrs.evolve(
            self,
            main=_of_processor(self.main),
            goals=[attrs.evolve(goal, figure=_of_processor(goal.figure)) for goal in self.goals],
        )


def _of_processor(figure: str) -> str:
    return "processor us" if figure == "run us" else figure


def _figure(outcomes: Mapping[str, Outcome], row: str, figure: str) -> float | None:
    return outcomes[row].figures.get(figure) if row in outcomes else None
