"""Kills a durable run again and again: `python -m tests.kill_nine [--kills 200] [--seed N]`.

A run of `tests/crash_run.py` is killed with SIGKILL at a random instant, uniform over the time
that is left to it. After each kill the file is examined, and the run is resumed: it is killed
again, or at the latest after `IN_A_ROW` kills left alone until it is done. Then another begins.

It prints a table of figures, and exits with 1 if the store broke a promise.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

import tgtrio
from tgtrio._store import RawStore

from . import crash_run
from .stores import execute, is_whole

ROOT = Path(__file__).parents[1]
IN_A_ROW = 3
LONGEST = 120.0  # seconds; a run that takes longer hangs, and is killed
MODES = ("task", "batch")

# What must never happen.
DAMAGED = "the file is damaged"
LOST = "a committed success is gone"
INVENTED = "a success is on disk of a task that did not run"
REPEATED = "a committed success was repeated"
EARLY = "a task started, a dependency not being on disk"
DISORDER = "a task ended before a dependency"
UNTOLD = "the store does not say how the run ended"
UNDONE = "not all is done at the end"
PROMISES = (DAMAGED, LOST, INVENTED, REPEATED, EARLY, DISORDER, UNTOLD, UNDONE)


@attrs.define
class Snapshot:
    """What is on disk at some instant."""

    log: list[str]
    committed: set[str]


# -- the promises ------------------------------------------------------------------------


def violations(
    before: Snapshot, after: Snapshot, needs: Mapping[str, Iterable[str]], durability: str
) -> Iterator[str]:
    """The promises that were broken between two looks at a run."""
    if before.committed - after.committed or after.log[: len(before.log)] != before.log:
        yield LOST
    if after.committed - set(after.log):
        yield INVENTED
    for line in after.log[len(before.log) :]:
        if line.startswith("early") and durability == "task":
            yield EARLY
        elif line in before.committed:
            yield REPEATED
    done: set[str] = set()
    for line in after.log:
        if not done.issuperset(needs.get(line, ())):
            yield DISORDER
        done.add(line)
    if durability == "task":
        ran = set(after.log) & needs.keys()
        yield from (EARLY for task in ran if not after.committed.issuperset(needs[task]))


# -- the processes -----------------------------------------------------------------------


class Victim:
    """A run in a folder of its own, and the processes that execute it."""

    def __init__(self, folder: Path, durability: str) -> None:
        self.store, self.log, self.durability = folder / "s.db", folder / "log", durability

    def run(self, most: float) -> tuple[bool, float, bytes]:
        """Execute it, and kill it after so many seconds.

        Returns:
            Whether it was killed, the seconds it took, and what it printed at its end.
        """
        with self._start() as process:
            began = time.perf_counter()
            try:
                process.wait(most)
                killed = False
            except subprocess.TimeoutExpired:
                process.kill()
                killed = process.wait() != 0
            assert process.stdout is not None
            return killed, time.perf_counter() - began, process.stdout.read()

    def _start(self) -> subprocess.Popen[bytes]:
        """A process that is just about to run the graph."""
        sources = [str(Path(tgtrio.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        process = subprocess.Popen(
            [sys.executable, "-m", crash_run.__name__, self.store, self.log, self.durability],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sources))},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def look(self) -> Snapshot:
        log = self.log.read_text().splitlines() if self.log.exists() else []
        query = "SELECT task_id FROM executions WHERE state = 'succeeded'"
        return Snapshot(log, {task for (task,) in execute(self.store, query)})

    def states(self) -> list[str]:
        """Of the runs in the store."""
        with RawStore(self.store) as store:
            return [run.state for run in store.list_runs()]


# -- one run, killed and resumed ---------------------------------------------------------


@attrs.define
class Figures:
    """What happened in one mode."""

    duration: float  # of a run that nobody kills, in seconds; kept up to date
    kills: int = 0
    instants: list[float] = attrs.field(factory=list)  # shares of the time it would have taken
    found: list[int] = attrs.field(factory=list)  # successes on disk after each kill
    runs: int = 0
    resumes: int = 0
    calls: int = 0
    repeated: int = 0  # calls of a task again, as its success had not been committed
    violations: Counter[str] = attrs.field(factory=Counter)

    def torture(self, victim: Victim, most: int, rng: random.Random) -> None:
        """Kill one run at most so many times, and see it through."""
        before = Snapshot([], set())
        self.runs += 1
        for attempt in itertools.count():
            share = rng.random() if attempt < most else math.inf
            left = 1 - len(before.committed) / crash_run.TASKS
            killed, seconds, printed = victim.run(min(share * self.duration * left, LONGEST))
            self.resumes += attempt > 0
            before = self._examine(victim, before)
            if killed:
                self.kills += 1
                self.instants.append(share)
                self.found.append(len(before.committed))
            elif left > 0.5:
                self.duration = seconds / left
            states = victim.states()
            if not killed or states == ["finished"]:  # it can be killed between its end and exit
                break
            self._expect(states == ["crashed"] or not (states or before.log), UNTOLD)
        self.calls += len(before.log)
        self._expect(killed or int(printed) == crash_run.TASKS, UNDONE)
        self._expect(before.committed == set(crash_run.task_ids()), UNDONE)
        self._expect(states == ["finished"], UNTOLD)

    def _examine(self, victim: Victim, before: Snapshot) -> Snapshot:
        self._expect(is_whole(victim.store), DAMAGED)
        after = victim.look()
        needs = crash_run.dependencies()
        self.violations.update(violations(before, after, needs, victim.durability))
        self.repeated += len(set(before.log) & set(after.log[len(before.log) :]))
        return after

    def _expect(self, held: bool, otherwise: str) -> None:
        if not held:
            self.violations[otherwise] += 1


def torture_many(durability: str, kills: int, rng: random.Random) -> Figures:
    """Kill so many times, in as many runs as it takes."""
    with tempfile.TemporaryDirectory() as folder:
        _, duration, _ = Victim(Path(folder), durability).run(LONGEST)
    figures = Figures(duration)
    while figures.kills < kills:
        with tempfile.TemporaryDirectory() as folder:
            most = min(IN_A_ROW, kills - figures.kills)
            figures.torture(Victim(Path(folder), durability), most, rng)
        broken = figures.violations.total()
        print(f"{durability}: {figures.kills} of {kills} kills, {broken} broken", file=sys.stderr)
    return figures


# -- the table ---------------------------------------------------------------------------


def describe(figures: Figures) -> dict[str, object]:
    instants, found = sorted(figures.instants), figures.found
    quarters = [sum(q <= 4 * share < q + 1 for share in instants) for q in range(4)]
    return {
        "kills": figures.kills,
        "of them in each quarter of a run": " ".join(map(str, quarters)),
        "first, last instant (share of a run)": f"{instants[0]:.3f}, {instants[-1]:.3f}",
        f"successes on disk after a kill, of {crash_run.TASKS}": f"{min(found)} to {max(found)}",
        "runs, all seen through": figures.runs,
        "resumes": figures.resumes,
        "calls of actions": figures.calls,
        "repeated, not committed before": figures.repeated,
        **{promise: figures.violations[promise] for promise in PROMISES},
    }


def print_table(columns: Mapping[str, Figures]) -> None:
    described = {name: describe(figures) for name, figures in columns.items()}
    rows = next(iter(described.values()))
    print("".join([f"{'durability':<55}", *(f"{name:>16}" for name in described)]))
    for row in rows:
        print("".join([f"{row:<55}", *(f"{column[row]!s:>16}" for column in described.values())]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kill_nine", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many, over all modes")
    parser.add_argument("--durability", choices=[*MODES, "both"], default="both")
    parser.add_argument("--seed", type=int, default=None, help="of the instants")
    options = parser.parse_args(arguments)
    modes = MODES if options.durability == "both" else (options.durability,)
    rng = random.Random(options.seed)
    columns = {mode: torture_many(mode, -(-options.kills // len(modes)), rng) for mode in modes}
    print_table(columns)
    return int(any(figures.violations for figures in columns.values()))


if __name__ == "__main__":
    sys.exit(main())
