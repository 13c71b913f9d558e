"""`RawStore.explain` and `root_failures`: why a task of a stored run ended as it did."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio import (
    CAUSES,
    Explanation,
    GraphResult,
    InvalidValueError,
    RawStore,
    RetryPolicy,
    StoreError,
    TaskGraph,
    TaskState,
    UnknownTaskError,
    open_run,
    run_graph,
)
from tgtrio._store_journal import Row

from .runs import Args, graph_of, raises, returns, task
from .stores import execute, open_journal, row, run_once


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def store(path: Path) -> Iterator[RawStore]:
    with RawStore(path) as store:
        yield store


def kinds(explanation: Explanation) -> list[str]:
    return [cause.kind for cause in explanation.causes]


def texts(explanation: Explanation) -> list[str]:
    return [cause.text for cause in explanation.causes]


def blames(task_id: str, whom: str, state: str = "aborted") -> Row:
    return row(task_id, state, attempts=0, started_at=None, execution_ms=None, blamed=whom)


# Of a task that has ended


async def test_it_is_told_as_the_live_handle_tells_it(
    patient_clock: MockClock, store: RawStore
) -> None:
    graph = graph_of(
        task("a", max_retries=2),
        task("b", "a"),
        task("c", "b"),
        task("d", "c", on_dep_fail="skip"),
        task("fine", action_name="fine", idempotent=True),
        task("served", action_name="fine", idempotent=True),
        task("leader", action_name="bad", idempotent=True),
        task("follower", action_name="bad", idempotent=True),
    )
    actions = {"work": raises(), "bad": raises(), "fine": returns(1)}
    async with open_run(graph, actions, store=store, retry=RetryPolicy(base=0)) as run:
        await run.wait()
    for task_id in graph.nodes:
        live, stored = run.explain(task_id), store.explain(run.run_id, task_id)
        assert stored == live
        assert str(stored) == str(live)
    assert [cause.subject for cause in store.explain(run.run_id, "d").causes] == list("dcba")
    assert "'leader' did not succeed at the same work" in str(store.explain(run.run_id, "follower"))


def test_the_chain_to_the_root(store: RawStore) -> None:
    run_id = run_once(
        store,
        row("a", "failed", error="ValueError: no", attempts=3, execution_ms=2_000.0),
        blames("b", "a"),
        blames("c", "b", "skipped"),
    )
    why = store.explain(run_id, "c")
    assert (why.task_id, why.state) == ("c", TaskState.SKIPPED)
    assert str(why) == (
        "task 'c' was skipped:\n"
        "  'c' was skipped, because 'b' did not succeed\n"
        "  'b' was aborted, because 'a' did not succeed\n"
        "  'a' failed after 3 attempts, the last one took 2.0 s: ValueError: no"
    )
    assert texts(store.explain(run_id, "a")) == texts(why)[2:]


def test_a_long_chain_is_cut_in_the_middle(store: RawStore) -> None:
    chain = [row("t0", "failed", error="ValueError: no")]
    chain += [blames(f"t{n}", f"t{n - 1}") for n in range(1, 3_000)]
    run_id = run_once(store, *chain)
    why = store.explain(run_id, "t2999")
    assert len(why.causes) == 12
    assert why.causes[10].text == "and so on, through 2,989 tasks"
    assert why.causes[11].text.endswith("ValueError: no")


def test_a_row_of_an_older_format_names_the_root_in_its_error(store: RawStore) -> None:
    run_id = run_once(
        store,
        row("a", "failed", error="ValueError: no"),
        row("b", "aborted", error="dependency 'a' failed: ValueError: no", attempts=0),
    )
    assert "dependency 'a' failed: ValueError: no" in str(store.explain(run_id, "b"))


# Of a run that was resumed


def test_the_last_end_counts_and_earlier_ones_are_mentioned(store: RawStore) -> None:
    run_once(store, row("a", "failed", error="first"), blames("b", "a"), run_id="r")
    run_once(store, row("a", "failed", error="second"), blames("b", "a"), run_id="r")
    run_once(store, row("a"), row("b", "failed", error="third"), run_id="r")
    assert texts(store.explain("r", "b")) == [
        "'b' failed after 1.0 s: third",
        "in an earlier life of this run 'b' was aborted, because 'a' did not succeed",
        "in an earlier life of this run 'b' was aborted, because 'a' did not succeed",
    ]
    why = store.explain("r", "a")
    assert (why.state, kinds(why)) == (TaskState.SUCCEEDED, ["ended", "earlier", "earlier"])
    assert ["second" in text for text in texts(why)] == [False, True, False]


def test_a_success_of_an_earlier_life_is_not_done_again(store: RawStore) -> None:
    run_once(store, row("a"), row("b", "failed"), run_id="r", state="drained")
    run_once(store, row("b"), run_id="r")
    assert texts(store.explain("r", "a"))[1:] == [
        "that was in an earlier life of this run, and is not done again"
    ]


def test_the_chain_stays_in_the_life_of_the_end(store: RawStore) -> None:
    run_once(store, row("a", "failed", error="first"), blames("b", "a"), run_id="r")
    run_once(store, row("a"), run_id="r", state=None)  # crashed before it came to b
    why = store.explain("r", "b")
    assert (why.state, kinds(why)) == (TaskState.ABORTED, ["ended", "ended", "run"])
    assert "first" in why.causes[1].text
    assert texts(why)[2] == (
        "the run was resumed since; the process that executed the run crashed, and this task has "
        "not ended again"
    )


def test_at_most_three_earlier_ends_are_mentioned(store: RawStore) -> None:
    for n in range(6):
        run_once(store, row("a", "failed", error=f"error {n}"), run_id="r")
    why = store.explain("r", "a")
    assert [text[-1] for text in texts(why)] == ["5", "4", "3", "2"]


# Of a task without an end


@pytest.fixture
def graph() -> TaskGraph:
    return graph_of("fetch", task("parse", "fetch"), task("load", "parse", "fetch"), "free")


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (None, "the process that executed the run crashed"),
        ("drained", "the run was drained"),
        ("timed_out", "the run timed out"),
        ("finished", "the run came to its end"),
    ],
)
def test_the_state_of_the_run_says_why(
    store: RawStore, graph: TaskGraph, state: str | None, says: str
) -> None:
    run_once(store, row("fetch"), run_id="r", state=state)
    why = store.explain("r", "load", graph)
    assert (why.state, kinds(why)) == (TaskState.PENDING, ["run", "dependency"])
    assert str(why) == (
        "task 'load' has not ended:\n"
        f"  {says}, and no end of this task is on record\n"
        "  dependency 'parse' has not ended"
    )


def test_a_run_that_is_on(store: RawStore, graph: TaskGraph) -> None:
    with contextlib.closing(open_journal(store, run_id="r")) as journal:
        journal.put(row("fetch", "failed"))
        journal.wait()
        why = store.explain("r", "parse", graph)
    assert texts(why) == [
        "the run is being executed, and no end of this task is on record",
        "dependency 'fetch' failed",
    ]


@pytest.mark.parametrize(
    ("task_id", "says"),
    [("parse", "all that it depends on has succeeded"), ("free", "it depends on nothing")],
)
def test_nothing_but_the_run_kept_it(
    store: RawStore, graph: TaskGraph, task_id: str, says: str
) -> None:
    run_once(store, row("fetch"), run_id="r", state=None)
    assert texts(store.explain("r", task_id, graph))[1:] == [says]


def test_a_dependency_that_failed_before_the_run_was_resumed(
    store: RawStore, graph: TaskGraph
) -> None:
    run_once(store, row("fetch", "failed"), run_id="r", state=None)
    run_once(store, run_id="r", state=None)
    assert texts(store.explain("r", "parse", graph))[1:] == [
        "dependency 'fetch' failed in an earlier life of this run, and has not ended since"
    ]


def test_a_task_in_flight_when_the_process_crashed(store: RawStore) -> None:
    run_once(store, run_id="r", state=None, starts=("boom",))
    assert kinds(store.explain("r", "boom")) == ["run", "in_flight"]
    assert texts(store.explain("r", "boom"))[1] == "it was in flight"


def test_without_the_graph_nobody_knows_whether_there_is_such_a_task(store: RawStore) -> None:
    run_once(store, row("fetch"), run_id="r", state=None)
    why = store.explain("r", "fetsh")
    assert kinds(why) == ["run", "run"]
    assert "stores keep no graphs" in texts(why)[1]
    assert texts(why)[1].endswith("; did you mean 'fetch'?")


# What is refused


@pytest.mark.parametrize("given", [False, True])
def test_an_unknown_task_is_told_with_the_nearest(
    store: RawStore, graph: TaskGraph, given: bool
) -> None:
    run_once(store, *map(row, graph.nodes), run_id="r")
    with pytest.raises(UnknownTaskError, match=r"run 'r' has no task 'prase'; did .* 'parse'"):
        store.explain("r", "prase", graph if given else None)


def test_a_crashed_run_of_which_all_tasks_are_known(store: RawStore) -> None:
    run_once(store, row("a"), row("b"), row("c"), run_id="r", state=None)  # of three
    with pytest.raises(UnknownTaskError, match="has no task 'd'"):
        store.explain("r", "d")


def test_an_unknown_run_is_told_with_the_nearest(store: RawStore) -> None:
    run_once(store, row("a"), run_id="monday")
    for ask in (lambda: store.explain("munday", "a"), lambda: store.root_failures("munday")):
        with pytest.raises(InvalidValueError, match=r"no run 'munday'; did you mean 'monday'"):
            ask()


def test_a_graph_of_another_name(store: RawStore) -> None:
    run_once(store, row("a"), run_id="r")
    with pytest.raises(InvalidValueError, match="run 'r' is one of graph 'g', not of 'other'"):
        store.explain("r", "a", TaskGraph("other"))


# What somebody has changed


def test_tasks_that_blame_each_other_end_the_chain(store: RawStore) -> None:
    run_id = run_once(store, blames("a", "b"), blames("b", "a"), blames("c", "a"))
    assert [cause.subject for cause in store.explain(run_id, "a").causes] == ["a", "b"]
    assert [cause.subject for cause in store.explain(run_id, "c").causes] == ["c", "a", "b"]
    assert store.root_failures(run_id) == []


def test_one_that_blames_itself_or_nobody_known(store: RawStore) -> None:
    run_id = run_once(store, blames("a", "a"), blames("b", "gone"))
    assert len(store.explain(run_id, "a").causes) == 1
    assert texts(store.explain(run_id, "b")) == ["'b' was aborted, because 'gone' did not succeed"]


def test_a_state_that_is_none(store: RawStore, path: Path) -> None:
    run_once(store, row("a", "failed"), run_id="r")
    execute(path, "UPDATE executions SET state = 'odd'")
    for ask in (lambda: store.explain("r", "a"), lambda: store.root_failures("r")):
        with pytest.raises(StoreError, match=r"run 'r', task 'a': state cannot be read"):
            ask()


# Root failures


def test_roots_come_with_what_they_took_along(store: RawStore) -> None:
    run_id = run_once(
        store,
        row("fine"),
        row("small", "failed", error="ValueError: no", attempts=4),
        row("big", "failed", error="x" * 5_000),
        blames("of small", "small"),
        *(blames(f"b{n}", f"b{n - 1}" if n else "big") for n in range(30)),
    )
    big, small = store.root_failures(run_id)
    assert (big.task_id, big.took_along, big.tasks) == (
        "big",
        30,
        tuple(f"b{n}" for n in range(10)),
    )
    assert big.error == "x" * 2_000
    assert dict(small) == {
        "task_id": "small",
        "state": TaskState.FAILED,
        "attempts": 4,
        "error": "ValueError: no",
        "took_along": 1,
        "tasks": ("of small",),
        "earlier": False,
    }


def test_roots_of_the_last_ends_only(store: RawStore) -> None:
    run_once(store, row("a", "failed"), blames("b", "a"), row("c", "failed"), run_id="r")
    run_once(store, row("a"), run_id="r", state=None)
    (root,) = store.root_failures("r")
    assert (root.task_id, root.took_along, root.earlier) == ("c", 0, True)


def test_what_was_skipped_for_good_reason_is_none(store: RawStore) -> None:
    skipped = row("fallback", "skipped", attempts=0, error="no dependency failed")
    run_id = run_once(store, row("a"), skipped, blames("b", "fallback", "skipped"))
    assert store.root_failures(run_id) == []


def test_a_run_without_failures_has_none(store: RawStore) -> None:
    run_once(store, row("a"), run_id="r")
    assert store.root_failures("r") == []


# The laws


async def work(args: Args) -> None:
    if args["fails"]:
        raise ValueError("broken")


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    policies = ["abort", "skip", "always", "continue_if_any", "on_failure"]
    tasks = []
    for n in range(draw(st.integers(1, 14))):
        before = draw(st.lists(st.integers(0, max(n - 1, 0)), unique=True, max_size=min(n, 3)))
        args = {"fails": draw(st.integers(0, 3)) == 0, "n": draw(st.integers(0, 2))}
        tasks.append(
            task(
                f"t{n}",
                *(f"t{d}" for d in before),
                normalized_args=args,
                on_dep_fail=draw(st.sampled_from(policies)),
                idempotent=draw(st.booleans()),
            )
        )
    return tasks


@settings(max_examples=30, deadline=None)
@given(tasks=graphs())
def test_every_chain_of_a_real_run_ends_at_the_root_that_the_result_names(
    tasks: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with RawStore(tmp_path_factory.mktemp("s") / "s.db") as store:

        async def main() -> GraphResult:
            return await run_graph(graph_of(*tasks), {"work": work}, store=store)

        result = trio.run(main)
        took: dict[str, int] = {}
        failed: set[str] = set()  # and what is at the root of what failed
        for task_id, one in result.results.items():
            why = store.explain(result.run_id, task_id)
            assert why.state is one.state
            assert all(cause.kind in CAUSES for cause in why.causes)
            assert why.causes[-1].subject == (one.caused_by or task_id)
            if not one.success:
                root = one.caused_by or task_id
                took[root] = took.get(root, 0) + (root != task_id)
                failed |= {root} if one.state is not TaskState.SKIPPED else set()
        found = {root.task_id: root.took_along for root in store.root_failures(result.run_id)}
        assert found == {root: count for root, count in took.items() if root in failed}
