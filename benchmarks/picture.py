"""One picture: a bar for each peer, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .cases import Outcome, Section
from .peers import Absent
from .report import number

OURS, OTHERS = "#c2410c", "#64748b"


def draw(path: Path, section: Section, outcomes: Mapping[str, Outcome]) -> None:
    """Draw the main figure of a section. Writes a PNG or an SVG, by the suffix of the path.

    Raises:
        Absent: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise Absent("no picture: pip install matplotlib") from None
    bars = sorted(
        (outcome for outcome in outcomes.values() if section.main in outcome.figures),
        key=lambda outcome: outcome.figures[section.main],
        reverse=True,
    )
    figure = Figure(figsize=(9, 0.8 + 0.36 * len(bars)), layout="constrained")
    axes = figure.add_subplot(
        xscale="log", xlabel=f"{section.main} a task, on a logarithmic scale", title=section.title
    )
    drawn = axes.barh(
        [_label(outcome) for outcome in bars],
        [outcome.figures[section.main] for outcome in bars],
        color=[OURS if outcome.case.peer == "tgtrio" else OTHERS for outcome in bars],
    )
    axes.bar_label(drawn, [number(outcome.figures[section.main]) for outcome in bars], padding=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def _label(outcome: Outcome) -> str:
    small = outcome.last.size < outcome.case.size
    return outcome.last.title + (f" ({outcome.last.size:,} tasks)" if small else "")
