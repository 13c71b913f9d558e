"""Runs cases, each in a fresh process, in rounds, so that a busy minute hits all alike."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from .cases import Case, Outcome, Sample

ROOT = Path(__file__).parents[1]


def sample(case: Case, patience: float) -> Sample:
    """Measure once.

    Args:
        case: What.
        patience: How many seconds the process may take; then it is killed, with its children.
    """
    command = [sys.executable, "-m", "benchmarks.worker", msgspec.json.encode(case).decode()]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        answer, complaints = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        return Sample(title=case.name, error=f"took more than {patience:.0f} s")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # servers that a peer started
        process.communicate()
    try:
        return msgspec.json.decode(answer, type=Sample)
    except msgspec.DecodeError:
        last = complaints.decode(errors="replace").strip().rpartition("\n")[2]
        return Sample(title=case.name, error=f"ended with {process.returncode}: {last}"[:200])


def measure(
    cases: Sequence[Case],
    *,
    rounds: int,
    budget: float,
    patience: float,
    say: Callable[[str], None],
) -> dict[str, Outcome]:
    """Measure each case in turn, again and again.

    Args:
        cases: What; their names differ.
        rounds: How often.
        budget: A case that has used up so many seconds is not measured again.
        patience: How many seconds one measurement may take.
        say: Is told what is going on.
    """
    samples: dict[str, list[Sample]] = {case.name: [] for case in cases}
    spent = dict.fromkeys(samples, 0.0)
    for number in range(rounds):
        for case in cases:
            so_far = samples[case.name]
            if (so_far and not so_far[-1].figures) or (number and spent[case.name] > budget):
                continue
            say(f"round {number + 1} of {rounds}: {case.name}")
            start = time.monotonic()
            so_far.append(sample(case, patience))
            spent[case.name] += time.monotonic() - start
    return {case.name: Outcome(case, samples[case.name]) for case in cases}
