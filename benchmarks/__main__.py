"""`python -m benchmarks`: how fast tgtrio is, beside what one would write by hand, and libraries.

Prints Markdown; what is going on goes to standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import attrs
import msgspec

from . import machine, picture, processes, real_graphs, report
from .cases import Outcome, Section
from .peers import BY_HAND, LIBRARIES, OURS, Absent
from .sections import all_sections

PICTURED = "run-10k"
STARTED = time.monotonic()
BUDGET = 15.0  # seconds: a case that has used them up is not measured again


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="smaller sizes, fewer rounds, no libraries"
    )
    parser.add_argument("--peers", type=_names, help="these beside tgtrio, or: all, by-hand")
    parser.add_argument("--sections", type=_names, help="these only, by their keys")
    parser.add_argument("--list", action="store_true", help="name the peers and the sections")
    parser.add_argument("--size", type=int, help="so many tasks in every section, to try it out")
    parser.add_argument(
        "--rounds", type=int, help="how often each is measured (as the section says)"
    )
    parser.add_argument(
        "--clock",
        choices=("wall", "processor"),
        default="wall",
        help="which time ratios and bars are of; the processor's, where others use the machine too",
    )
    parser.add_argument("--patience", type=float, default=180.0, help="seconds a process may take")
    parser.add_argument("--graphs", type=Path, help="the folder of recorded graphs")
    parser.add_argument("--json", type=Path, help="write every sample here")
    parser.add_argument("--picture", type=Path, help="write bars here, .png or .svg")
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def chosen_peers(options: argparse.Namespace) -> set[str]:
    """tgtrio and the peers that were asked for. Raises SystemExit for an unknown one."""
    asked = options.peers or (["by-hand"] if options.quick else ["all"])
    peers = set(OURS)
    for name in asked:
        if name in ("all", "by-hand"):
            peers |= {*BY_HAND, *(LIBRARIES if name == "all" else ())}
        elif name in BY_HAND or name in LIBRARIES or name in OURS:
            peers.add(name)
        else:
            sys.exit(f"no peer {name!r}; there are: {', '.join([*BY_HAND, *LIBRARIES])}")
    return peers


def chosen_sections(options: argparse.Namespace) -> list[Section]:
    """The sections, with the rows of the chosen peers. Raises SystemExit for an unknown one."""
    sections = all_sections(options.quick)
    keys = [section.key for section in sections]
    for name in options.sections or ():
        if name not in keys:
            sys.exit(f"no section {name!r}; there are: {', '.join(keys)}")
    peers, lasting = chosen_peers(options), 0.3 if options.quick else 1.0
    if options.clock == "processor":
        sections = [section.by_processor() for section in sections]
    return [
        attrs.evolve(
            section,
            cases=[
                attrs.evolve(case, size=options.size or case.size, seconds=lasting)
                for case in section.cases
                if case.peer in peers
            ],
            goals=() if options.size else section.goals,  # they are for the sizes as they are
        )
        for section in sections
        if not options.sections or section.key in options.sections
    ]


def measure(section: Section, options: argparse.Namespace) -> dict[str, Outcome]:
    rounds = options.rounds or section.rounds or (1 if options.quick else 5)
    return processes.measure(
        section.cases,
        rounds=rounds,
        budget=BUDGET,
        patience=options.patience,
        say=lambda text: say(f"{section.key}: {text}"),
    )


def say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:4.0f} s  {text}", file=sys.stderr, flush=True)


def draw(path: Path, measured: Mapping[str, tuple[Section, Mapping[str, Outcome]]]) -> None:
    section, outcomes = measured.get(PICTURED) or next(iter(measured.values()))
    try:
        picture.draw(path, section, outcomes)
    except Absent as absence:
        print(absence, file=sys.stderr)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    sections = chosen_sections(options)
    if options.list:
        print("peers:", *BY_HAND, *LIBRARIES)
        print("sections:", *(section.key for section in sections))
        return
    if options.graphs:
        os.environ[real_graphs.VARIABLE] = str(options.graphs.resolve())
    where = machine.describe(["trio", *sorted({p for _, ps in LIBRARIES.values() for p in ps})])
    print(report.heading(where), flush=True)
    measured = {}
    for section in sections:
        outcomes = measure(section, options)
        measured[section.key] = section, outcomes
        print(f"\n{report.section(section, outcomes)}", flush=True)
    if options.json:
        data = msgspec.json.format(msgspec.json.encode(report.as_data(where, measured)))
        options.json.write_bytes(data + b"\n")
    if options.picture:
        draw(options.picture, measured)


if __name__ == "__main__":
    main()
