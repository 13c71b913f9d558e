"""What goes into a store comes out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tgtrio._errors import InvalidArgumentError
from tgtrio._states import TaskState
from tgtrio._store import RawStore
from tgtrio._store_records import StoredRun, TaskExecution

from .stores import NOON, execute, open_journal, row, run_once

HOSTILE_IDS = {
    "parent folders": "../../etc/passwd",
    "NUL": "a\0b\0",
    "only NUL": "\0",
    "long": "x" * 10_000,
    "right to left": "\u202egnp.exe \u05d0\u200f",
    "SQL": "'; DROP TABLE runs; --\"",
    "HTML": "<script>alert('1')</script>&amp;",
    "JSON": '{"a": [null, "\\u0000"]}',
    "blank": " \t\r\n ",
    "the highest": "\U0010ffff\uffff\ufffe\ufeff",
    "a number": "007",
    "parameters": "? ?1 :a @b $c",
}

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def store(path: Path) -> Iterator[RawStore]:
    with RawStore(path) as store:
        yield store


# Ends of tasks


def test_an_end_of_a_task_comes_back_as_it_was(store: RawStore) -> None:
    run_id = run_once(
        store,
        row("t", attempts=2, late=True, idempotency_key="k", response={"a": [1, True, None, 2.5]}),
    )
    assert store.list_task_executions() == [
        TaskExecution(
            run_id=run_id,
            graph_id="g",
            task_id="t",
            action_name="act",
            idempotency_key="k",
            state="succeeded",
            attempts=2,
            cached=False,
            late=True,
            started_at=datetime.fromtimestamp(NOON, UTC),
            finished_at=datetime.fromtimestamp(NOON + 1, UTC),
            execution_time_ms=1_000.0,
            response={"a": [1, True, None, 2.5]},
            error="",
            traceback="",
        )
    ]


def test_a_failure_keeps_its_reason(store: RawStore) -> None:
    run_once(store, row("t", "failed", error="ValueError: no", traceback="Traceback\n  ..."))
    (found,) = store.list_task_executions()
    assert (found.state, found.response) == ("failed", None)
    assert (found["error"], found["traceback"]) == ("ValueError: no", "Traceback\n  ...")


def test_a_task_that_never_ran_has_no_start(store: RawStore) -> None:
    run_once(store, row("t", "skipped", attempts=0, started_at=None, execution_ms=None))
    (found,) = store.list_task_executions()
    assert (found.started_at, found.execution_time_ms, found.attempts) == (None, None, 0)


def test_a_task_that_another_kept_from_success_names_it(store: RawStore) -> None:
    run_once(store, row("a", "failed"), row("b", "aborted", blamed="a"), row("c"))
    assert [one.blamed for one in store.list_task_executions()] == [None, "a", None]


@pytest.mark.parametrize("name", HOSTILE_IDS.values(), ids=HOSTILE_IDS.keys())
def test_no_id_is_too_odd(store: RawStore, path: Path, name: str) -> None:
    files = set(os.listdir(path.parent))
    run_once(
        store,
        row(name, action_name=name, idempotency_key=name, response=name),
        graph_id=name,
        run_id=name,
    )
    (found,) = store.list_task_executions(name, graph_id=name, task_id=name)
    assert [found.run_id, found.graph_id, found.task_id, found.action_name] == [name] * 4
    assert found.response == found.idempotency_key == name
    assert [run.run_id for run in store.list_runs(name)] == [name]
    assert store.lookup([name])[name].task_id == name
    assert set(os.listdir(path.parent)) - files <= {"s.db-wal", "s.db-shm"}


@given(st.lists(st.tuples(names, names, names, json_data), min_size=1, max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_whatever_is_written_is_read(
    store: RawStore, tasks: list[tuple[str, str, str, Any]]
) -> None:
    run_id = run_once(
        store,
        *(row(a, action_name=b, error=c, traceback=c, response=d) for a, b, c, d in tasks),
        graph_id=tasks[0][0],
    )
    found = store.list_task_executions(run_id)
    assert [(one.task_id, one.action_name, one.error, one.traceback) for one in found] == [
        (a, b, c, c) for a, b, c, _ in tasks
    ]
    # As text, for 1 == 1.0 == True.
    assert [repr(one.response) for one in found] == [repr(d) for *_, d in tasks]


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 256, 257, 2_047, 2_048, 2_049, 20_001, 45_000])
def test_any_number_of_rows_is_written_in_order(store: RawStore, path: Path, count: int) -> None:
    run_once(store, *(row(f"t{n}", response=n) for n in range(count)))
    found = execute(path, "SELECT id, task_id, response FROM executions ORDER BY id")
    assert [one[1:] for one in found] == [(f"t{n}", str(n)) for n in range(count)]
    assert found[-1][0] - found[0][0] == count - 1
    assert found[0][0] == 1 << 32


def test_large_responses_are_not_one_statement(store: RawStore) -> None:
    text = "x" * 3_000_000
    run_once(store, *(row(f"t{n}", response=text + str(n)) for n in range(10)))
    found = store.list_task_executions()
    assert [one.response == text + str(n) for n, one in enumerate(found)] == [True] * 10


def test_the_latest_are_listed_with_a_limit_in_the_order_of_their_ends(store: RawStore) -> None:
    run_once(store, *(row(f"t{n}") for n in range(9)))
    assert [one.task_id for one in store.list_task_executions(limit=3)] == ["t6", "t7", "t8"]


def test_executions_are_found_by_run_graph_task_and_state(store: RawStore) -> None:
    first = run_once(store, row("a"), row("b", "failed"), graph_id="one")
    second = run_once(store, row("a"), row("b"), graph_id="two")

    def found(**filters: Any) -> list[tuple[str, str]]:
        return [(one.run_id, one.task_id) for one in store.list_task_executions(**filters)]

    assert found(run_id=first) == found(graph_id="one") == [(first, "a"), (first, "b")]
    assert found(task_id="a") == [(first, "a"), (second, "a")]
    assert found(state="failed") == found(state=TaskState.FAILED) == [(first, "b")]
    assert found(run_id=second, task_id="b", state="succeeded") == [(second, "b")]
    assert found(run_id=first, graph_id="two") == []


# Runs


def test_a_run_is_listed_from_its_beginning_to_its_end(store: RawStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    journal = open_journal(store, total_tasks=7)
    (run,) = store.list_runs()
    assert (run.state, run.finished_at, run.statistics) == ("running", None, None)
    assert (run.graph_id, run.total_tasks, run.resumptions) == ("g", 7, 0)

    journal.put(row("a"))
    journal.finish("finished", {"states": {"succeeded": 1, "skipped": 6}, "retries": 2})
    journal.close()
    (run,) = store.list_runs()
    assert isinstance(run, StoredRun)
    assert run["state"] == "finished"
    assert run.statistics == {"states": {"succeeded": 1, "skipped": 6}, "retries": 2}
    assert {state: n for state, n in run.states.items() if n} == {"succeeded": 1, "skipped": 6}
    assert set(run.states) == {state.value for state in TaskState}
    assert run.finished_at is not None
    assert before < run.started_at <= run.finished_at < datetime.now(UTC) + timedelta(seconds=1)


def test_a_run_without_an_end_counts_the_latest_end_of_each_task(store: RawStore) -> None:
    run_once(store, row("a"), row("b", "cancelled"), row("c", "failed"), state="cancelled")
    run_once(store, row("b"), state=None)
    (run,) = store.list_runs()
    assert (run.state, run.resumptions) == ("crashed", 1)
    assert {state: n for state, n in run.states.items() if n} == {"succeeded": 2, "failed": 1}


def test_a_run_began_when_it_was_first_taken_up(store: RawStore, path: Path) -> None:
    for number in (1, 2, 3):
        run_once(store, state="cancelled")
        execute(
            path,
            "UPDATE incarnations SET started_at = ?1, finished_at = ?1 + 5, total_tasks = ?1"
            " WHERE number = ?1",
            number,
        )
    (run,) = store.list_runs()
    assert (run.started_at.second, run.finished_at and run.finished_at.second) == (1, 8)
    assert (run.total_tasks, run.resumptions) == (3, 2)


def test_runs_are_listed_newest_first(store: RawStore) -> None:
    ids = [run_once(store, graph_id=graph) for graph in "aba"]
    assert [run.run_id for run in store.list_runs()] == ids[::-1]
    assert [run.run_id for run in store.list_runs("a")] == [ids[2], ids[0]]
    assert [run.run_id for run in store.list_runs("a", limit=1)] == [ids[2]]
    assert store.list_runs("c") == []


# Look-ups


def test_the_latest_success_under_a_key_is_found_over_all_runs(store: RawStore) -> None:
    run_once(
        store,
        row("new", idempotency_key="k", response=1, finished_at=NOON + 9),
        row("failed", "failed", idempotency_key="k", finished_at=NOON + 99),
        row("served", cached=True, idempotency_key="k", response=1, finished_at=NOON + 99),
        run_id="first",
    )
    run_once(store, row("old", idempotency_key="k", response=2, finished_at=NOON), run_id="second")
    run_once(store, row("none", response=3, finished_at=NOON + 99))
    for n in (3, 5, 4):
        run_once(store, row(f"t{n}", idempotency_key="j", response=n, finished_at=NOON + n))
    found = store.lookup(["k", "unknown", "j"])
    assert set(found) == {"k", "j"}
    assert (found["j"].task_id, found["j"].response) == ("t5", b"5")
    assert (found["k"].run_id, found["k"].task_id) == ("first", "new")
    assert found["k"].response == b"1"
    assert found["k"].at == datetime.fromtimestamp(NOON + 9, UTC)


def test_what_is_too_old_is_not_found(store: RawStore) -> None:
    run_once(store, row("t", idempotency_key="k", finished_at=NOON))
    assert store.lookup(["k"], since=NOON)
    assert not store.lookup(["k"], since=NOON + 0.001)


def test_thousands_of_keys_are_looked_up_at_once(store: RawStore) -> None:
    run_once(store, *(row(f"t{n}", idempotency_key=f"k{n}", response=n) for n in range(2_000)))
    keys = [f"k{n}" for n in range(1, 4_000, 2)]
    found = store.lookup(keys)
    assert {key: msgspec.json.decode(one.response) for key, one in found.items()} == {
        f"k{n}": n for n in range(1, 2_000, 2)
    }


def test_a_look_up_needs_no_walk_over_the_rows(store: RawStore, path: Path) -> None:
    run_once(store, row("t", idempotency_key="k"))
    store.lookup([])
    plan = execute(
        path,
        "EXPLAIN QUERY PLAN SELECT max(finished_at) FROM executions WHERE idempotency_key IN (?)"
        " AND state = 'succeeded' AND NOT cached GROUP BY idempotency_key",
        "k",
    )
    assert "executions_by_key" in str(plan)


def test_executions_of_a_run_need_no_walk_over_all_rows(store: RawStore, path: Path) -> None:
    from tgtrio._store_queries import _LIST_EXECUTIONS

    query = _LIST_EXECUTIONS.format(where="WHERE run.run_id = 'x'").replace("?", "9")
    steps = [step for *_, step in execute(path, f"EXPLAIN QUERY PLAN {query}")]
    assert [step.split(" USING")[0] for step in steps if "SEARCH" in step] == [
        "SEARCH run",
        "SEARCH incarnation",
        "SEARCH execution",
    ]
    assert not [step for step in steps if "SCAN" in step]


# Events


def test_events_come_back_in_order(store: RawStore) -> None:
    store.record_event("breaker", {"action": "a", "to": "OPEN"})
    store.record_event("trip", {"reason": "\0 too many"})
    store.record_event("breaker", {"action": "a", "to": "CLOSED"})
    assert [(event.kind, event.data) for event in store.list_events()] == [
        ("breaker", {"action": "a", "to": "OPEN"}),
        ("trip", {"reason": "\0 too many"}),
        ("breaker", {"action": "a", "to": "CLOSED"}),
    ]
    assert [event.data["to"] for event in store.list_events("breaker", limit=1)] == ["CLOSED"]
    assert all(event.at.tzinfo is UTC for event in store.list_events())


def test_an_event_is_json_data(store: RawStore) -> None:
    with pytest.raises(InvalidArgumentError, match=r"data\['x'\]"):
        store.record_event("trip", {"x": float("nan")})
    assert store.list_events() == []


def test_closing_writes_the_events(path: Path) -> None:
    with RawStore(path) as store:
        store.record_event("trip", {})
    with RawStore(path) as store:
        assert len(store.list_events()) == 1
