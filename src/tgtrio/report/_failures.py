"""What went wrong in a run: the failures that have no other cause, and what they took along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs

from .._errors import CircuitOpenError
from .._results import GraphResult, TaskResult
from .._states import ABORTED, CANCELLED, FAILED, SKIPPED, TaskState
from .._wording import nameless
from ._text import cut, plural, printable, visible
from .history import History

MOST_SHOWN = 100  # failed tasks that are shown with all that is known of them
LONGEST = 10_000  # characters of a traceback


@attrs.frozen
class Failed:
    """A task that failed by itself.

    Attributes:
        place: Where it is in the order of the graph.
        result: What is known of it.
        took_along: How many tasks did not run because of it.
    """

    place: int
    result: TaskResult
    took_along: int

    @property
    def refused(self) -> bool:
        """Was it a breaker that failed it?"""
        return isinstance(self.result.exception, CircuitOpenError)

    @property
    def traceback(self) -> str:
        """The traceback; of a long one the end."""
        text = self.result.traceback
        if len(text) > LONGEST:
            text = f"(the first {len(text) - LONGEST:,} characters are left out)\n{text[-LONGEST:]}"
        return printable(text.rstrip())


@attrs.frozen
class Reason:
    """Root failures of one action with one error, whatever it calls them.

    Attributes:
        action, error: What they have in common.
        tasks: Some of them.
        count: How many there are.
        took_along: How many tasks did not run because of them.
        refused: Did a breaker fail them? What opened it says more.
    """

    action: str
    error: str
    tasks: list[tuple[int, str]]
    count: int
    took_along: int
    refused: bool


class Failures:
    """What went wrong.

    Attributes:
        roots: The tasks that failed by themselves, those that took most along first, those that
            a breaker failed last.
        reasons: The same by action and error.
        errors: The errors of tasks that did not succeed, by place.
        took_along: How many tasks did not run because of the roots.
    """

    def __init__(self, history: History, result: GraphResult) -> None:
        record = history.record
        bad = [
            place
            for place, state in enumerate(record.states)
            if state in (FAILED, ABORTED, SKIPPED, CANCELLED)
        ]
        self.errors: dict[int, str] = {}
        blamed: Counter[str] = Counter()
        roots: list[tuple[int, TaskResult]] = []
        for place in bad:
            one = result.results[record.nodes[place].task_id]
            self.errors[place] = one.error
            if one.caused_by is not None:
                blamed[one.caused_by] += 1
            elif one.state is TaskState.FAILED:
                roots.append((place, one))
        found = [Failed(place, one, blamed[one.task_id]) for place, one in roots]
        self.roots = sorted(found, key=lambda failed: (failed.refused, -failed.took_along))
        self.took_along = sum(failed.took_along for failed in found)
        self.reasons = self._gather(history)

    def _gather(self, history: History) -> list[Reason]:
        found: dict[tuple[str, str], list[Failed]] = {}
        for failed in self.roots:
            action = history.record.nodes[failed.place].action_name
            alike = nameless(failed.result.error, failed.result.task_id)
            found.setdefault((action, alike), []).append(failed)
        reasons = [
            Reason(
                action=cut(visible(action)),
                error=cut(visible(" ".join(_error_of(group, alike).split())), 300),
                tasks=[(one.place, one.result.task_id) for one in group[:5]],
                count=len(group),
                took_along=sum(one.took_along for one in group),
                refused=group[0].refused,
            )
            for (action, alike), group in found.items()
        ]
        return sorted(reasons, key=lambda one: (one.refused, -one.took_along, -one.count))


def _error_of(group: list[Failed], alike: str) -> str:
    """The error of tasks; without their ids where it names several of them."""
    first = group[0].result.error
    return first if all(one.result.error == first for one in group) else alike


def outcome(result: GraphResult, failures: Failures, took: str) -> str:
    """How a run ended, in one sentence."""
    states: Mapping[str, int] = result.statistics["states"]
    total, good = result.total_tasks, states["succeeded"]
    if result.aborted_reason is not None:
        reason = cut(visible(" ".join(result.aborted_reason.split())))
        return f"A safety rule stopped the run after {took}: {reason}"
    if result.timed_out:
        return f"The run was out of time after {took}; {good:,} of {total:,} tasks had succeeded."
    if failures.roots:
        along = f" and took {failures.took_along:,} along" if failures.took_along else ""
        failed = plural(len(failures.roots), "task")
        return f"{failed} failed{along}; {good:,} of {total:,} succeeded, in {took}."
    if not result.ok:
        return f"The run was ended after {took}; {good:,} of {total:,} tasks had succeeded."
    if good == total:
        return (
            f"All {plural(total, 'task')} succeeded in {took}." if total else "There was no task."
        )
    return f"{good:,} of {total:,} tasks succeeded, the others were skipped, in {took}."
