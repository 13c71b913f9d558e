"""One run with its display, and what it is taken for when it has ended."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from tgtrio import GraphResult, RawStore, TaskGraph
from tgtrio.cli._errors import Outcome
from tgtrio.cli._execute import _cause_in, execute

from ..stores import execute as execute_sql


def test_ctrl_c_comes_before_all_else() -> None:
    nested = BaseExceptionGroup("inner", [KeyboardInterrupt()])
    group = BaseExceptionGroup("outer", [SystemExit(3), ValueError(), nested])
    assert isinstance(_cause_in(group), KeyboardInterrupt)


def test_an_exit_counts_where_nothing_worse_happened() -> None:
    first = SystemExit(3)
    assert _cause_in(BaseExceptionGroup("", [first, SystemExit(4)])) is first
    both = BaseExceptionGroup("", [first, ValueError()])
    assert _cause_in(both) is both


def test_a_lone_error_comes_out_of_its_group() -> None:
    error = ValueError()
    assert _cause_in(BaseExceptionGroup("", [error])) is error


def ended(**fields: Any) -> GraphResult:
    return GraphResult(
        graph_id="g",
        run_id="r",
        total_tasks=0,
        results={},
        statistics={},
        elapsed_ms=0.0,
        completed_at="",
        **fields,
    )


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(ended()), 0),
        (Outcome(ended(ok=False)), 1),
        (Outcome(ended(ok=False, timed_out=True)), 3),
        (Outcome(ended(ok=False, aborted_reason="")), 3),
        (Outcome(ended(ok=False), store_error="full"), 3),
        (Outcome(ended(ok=False, timed_out=True), signal.SIGINT), 130),
        (Outcome(ended(ok=False), signal.SIGTERM, "full"), 143),
    ],
)
def test_the_exit_code_says_how_a_run_ended(outcome: Outcome, code: int) -> None:
    assert outcome.code == code


def test_a_store_that_fails_ends_the_run_with_a_result(tmp_path: Path) -> None:
    store = RawStore(tmp_path / "s.db")

    async def spoil(args: object) -> None:
        execute_sql(tmp_path / "s.db", "DROP TABLE executions")

    async def never(args: object) -> None:
        raise AssertionError

    graph = TaskGraph("g")
    graph.add_task("a", "spoil")
    graph.add_task("wait", "sleep", dependencies=["a"])
    graph.add_task("b", "never", dependencies=["wait"])
    actions = {"spoil": spoil, "sleep": forever, "never": never}
    with store:
        outcome = execute(graph, actions, quiet=True, store=store)
    assert outcome.code == 3
    assert "no such table" in outcome.store_error
    assert outcome.end == "ended by its store"
    assert outcome.result.results["b"].state.value == "cancelled"


async def forever(args: object) -> None:
    await trio.sleep(math.inf)
