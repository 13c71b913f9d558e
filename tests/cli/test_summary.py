"""What is told of a result, and how it looks."""

from __future__ import annotations

import io
import signal
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from tgtrio._results import GraphResult, TaskResult
from tgtrio._states import TaskState
from tgtrio.cli._digest import MOST_FAILURES, digest
from tgtrio.cli._errors import Outcome
from tgtrio.cli._summary import headline, print_summary

S = TaskState
HOSTILE = "[red]x[/]\x1b[2J\n\u202eevil\u200f :smile: " + "日本語の長い名前" * 12


def task(task_id: str, state: TaskState = S.SUCCEEDED, **fields: Any) -> TaskResult:
    if state is not S.SUCCEEDED:
        fields.setdefault("error", f"the error of {task_id}")
    if state in (S.SUCCEEDED, S.FAILED):
        fields = {"attempts": 1, "execution_time_ms": 10.0, **fields}
    return TaskResult(task_id=task_id, state=state, **fields)


def graph_result(*tasks: TaskResult, graph_id: str = "g", **fields: Any) -> GraphResult:
    states = {state.value: 0 for state in S}
    for one in tasks:
        states[one.state.value] += 1
    statistics = {"retry_tokens_used": 0, "cached_tasks": 0, "breaker_states": {}}
    return GraphResult(
        graph_id=graph_id,
        run_id="r",
        total_tasks=len(tasks),
        results={one.task_id: one for one in tasks},
        statistics={"states": states, **statistics, **fields.pop("statistics", {})},
        elapsed_ms=2_500.0,
        completed_at="2030-01-01T00:00:00+00:00",
        ok=all(one.state in (S.SUCCEEDED, S.SKIPPED) for one in tasks),
        **fields,
    )


def shown(result: GraphResult, width: int = 60, **options: Any) -> str:
    file = io.StringIO()
    print_summary(Console(file=file, width=width), Outcome(result), **options)
    return file.getvalue()


MIXED = graph_result(
    task("fetch", execution_time_ms=1_500.0),
    task("build", S.FAILED, error="CommandFailedError: exit code 2\nno rule", attempts=4),
    task("test", S.ABORTED, caused_by="build"),
    task("notes", S.SKIPPED, caused_by="build"),
    task("mail", execution_time_ms=20.0),
    statistics={
        "retry_tokens_used": 3,
        "cached_tasks": 1,
        "breaker_states": {"shell": {"state": "OPEN"}, "python": {"state": "CLOSED"}},
    },
)


def test_a_summary_in_a_narrow_terminal() -> None:
    assert (
        shown(MIXED)
        == """\
g: failed after 2.50 s

  succeeded  2  ████████████
  failed     1  ██████
  aborted    1  ██████
  skipped    1  ██████

Failed: 1 task
  build  4 attempts
      CommandFailedError: exit code 2
      no rule

Did not run: 2 tasks
  2  because of build (1 aborted, 1 skipped)
     test, notes

Slowest
  1.50 s  fetch
   20 ms  mail
   10 ms  build

5 tasks in 2.50 s, 6 attempts, 2.4/s, 3 retries, 1 task
served from cache, breaker of 'shell' OPEN
"""
    )


def test_a_quiet_summary_tells_what_went_wrong() -> None:
    text = shown(MIXED, quiet=True)
    assert text.startswith("Failed: 1 task\n")
    assert text.endswith("2  because of build (1 aborted, 1 skipped)\n     test, notes\n")
    assert shown(graph_result(task("a")), quiet=True) == ""


@pytest.mark.parametrize(
    ("fields", "ended", "line"),
    [
        ({}, {}, "g: done in 2.50 s"),
        ({}, {"signal": signal.SIGINT}, "g: interrupted after 2.50 s"),
        ({}, {"signal": signal.SIGTERM}, "g: terminated after 2.50 s"),
        ({}, {"store_error": "disk [b]full"}, "g: ended by its store after 2.50 s: disk [b]full"),
        ({"timed_out": True}, {}, "g: timed out after 2.50 s"),
        ({"aborted_reason": "too [b]many\n"}, {}, r"g: aborted after 2.50 s: too [b]many\n"),
    ],
)
def test_the_first_line_says_how_it_ended(
    fields: dict[str, Any], ended: dict[str, Any], line: str
) -> None:
    assert headline(Outcome(graph_result(task("a"), **fields), **ended)).plain == line


def test_the_run_is_named_below_the_first_line_and_how_to_go_on_is_the_last() -> None:
    text = shown(MIXED, origin="run \x1b[red] resumed", more=["To go on:", "  do [b]it\x1b"])
    assert text.splitlines()[:3] == ["g: failed after 2.50 s", r"run \x1b[red] resumed", ""]
    assert text.endswith("OPEN\n\nTo go on:\n  do [b]it\\x1b\n")


def test_an_empty_graph_has_a_summary() -> None:
    assert shown(graph_result()).splitlines()[0] == "g: done in 2.50 s"


@pytest.mark.parametrize("width", [40, 60, 100, 250])
def test_hostile_names_change_nothing_but_themselves(width: int) -> None:
    result = graph_result(
        task(HOSTILE, S.FAILED, error=HOSTILE * 3),
        task(f"b{HOSTILE}", S.ABORTED, caused_by=HOSTILE),
        task(f"c{HOSTILE}", S.CANCELLED, error=HOSTILE),
        task(f"d{HOSTILE}"),
        graph_id=HOSTILE,
    )
    text = shown(result, width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert all(char.isprintable() or char == "\n" for char in text)
    assert r"[red]x[/]\x1b[2J\n" in text
    assert ":smile:" in text.replace("\n", "")


def test_endless_names_and_errors_are_cut() -> None:
    endless = "x" * 10_000
    result = graph_result(
        task(endless, S.FAILED, error=endless),
        task(f"y{endless}", S.ABORTED, caused_by=endless),
        graph_id=endless,
        statistics={"breaker_states": {endless: {"state": "OPEN"}}},
    )
    assert len(shown(result).splitlines()) < 40


def test_of_many_failures_the_errors_are_told_shortly() -> None:
    tasks = [task(f"t{n}", S.FAILED, error=f"a\nb\nc\nd\ne\nf\ng{n}") for n in range(6)]
    assert "      b\n" in shown(graph_result(*tasks[:5]))
    assert "  t0\n      a\n      ... 5 more lines\n      g0\n  t1\n" in shown(graph_result(*tasks))


def test_tasks_that_the_end_of_the_run_cut_off_are_folded() -> None:
    tasks = [
        task(f"t{number}", S.CANCELLED, error="timed out", attempts=int(number < 3))
        for number in range(2_000)
    ]
    text = shown(graph_result(*tasks, timed_out=True))
    assert "Did not finish: 2,000 tasks\n" in text
    assert "  2,000  timed out (cancelled, 3 of them in flight)\n" in text


def test_of_many_failures_the_first_are_shown() -> None:
    tasks = [task(f"t{n}", S.FAILED, error=f"error {n}") for n in range(MOST_FAILURES + 5)]
    text = shown(graph_result(*tasks), 100)
    assert f"Failed: {MOST_FAILURES + 5} tasks" in text
    assert f"error {MOST_FAILURES - 1}\n" in text
    assert f"error {MOST_FAILURES}\n" not in text
    assert "  and 5 more; --json tells all\n" in text


def test_the_slowest_are_found_in_order_and_ties_go_by_age() -> None:
    times = [5, 9, 9, 1, 7, 3, 8]
    tasks = [task(f"t{n}", execution_time_ms=float(took)) for n, took in enumerate(times)]
    assert [one.task_id for one in digest(graph_result(*tasks)).slowest] == [
        "t1",
        "t2",
        "t6",
        "t4",
        "t0",
    ]


def test_attempts_and_oddities_are_counted() -> None:
    found = digest(
        graph_result(task("a", late=True), task("b", S.FAILED, attempts=3, deadline_missed=True))
    )
    assert (found.attempts, found.late, found.deadlines_missed) == (4, 1, 1)


def test_a_stream_that_is_not_unicode_gets_plain_characters() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    print_summary(Console(file=file, width=60), Outcome(MIXED))
    file.seek(0)
    assert "  failed     1  ######\n" in file.read()


def test_what_hung_is_named_before_what_waited_for_it() -> None:
    late = "the graph timed out after 50 ms"
    waited = [task(f"w{n}", S.CANCELLED, error=late) for n in range(4)]
    hung = task("h", S.CANCELLED, error=late, attempts=1)
    text = shown(graph_result(*waited, hung))
    assert "h, w0, w1 and 2 more" in text
