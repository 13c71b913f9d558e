"""The table of dependency policies, through whole runs."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import DependencyPolicy, GraphResult, TaskState, open_run, run_graph

from .runs import graph_of, nap, raises, returns, sleeps, states, task

ENDS = ("succeeded", "failed", "aborted", "skipped", "cancelled")
FAILED_ENDS = ("failed", "aborted", "cancelled")
POLICIES = [policy.value for policy in DependencyPolicy]

# What the dependencies of the task under test are made of: a task for each end.
MAKERS: dict[str, dict[str, Any]] = {
    "succeeded": {},
    "failed": {"action_name": "fail"},
    "aborted": {"dependencies": ["root"]},
    "skipped": {"dependencies": ["root"], "on_dep_fail": "skip"},
    "cancelled": {"action_name": "forever"},
}


def expected_end(policy: str, ends: tuple[str, ...]) -> str:
    """The sentences of the documentation."""
    every_success = all(end == "succeeded" for end in ends)
    any_failure = any(end in FAILED_ENDS for end in ends)
    runs = {
        "abort": every_success,
        "skip": every_success,
        "continue_if_any": "succeeded" in ends or len(ends) == 1,
        "always": True,
        "on_failure": any_failure,
    }[policy]
    if runs:
        return "succeeded"
    if policy == "abort":
        return "aborted" if any_failure else "skipped"
    if policy == "continue_if_any":
        return "skipped" if all(end == "skipped" for end in ends) else "aborted"
    return "skipped"


async def run_with(policy: str, ends: tuple[str, ...]) -> GraphResult:
    dependencies = [{**task(f"{n}-{end}"), **MAKERS[end]} for n, end in enumerate(ends)]
    names = [one["task_id"] for one in dependencies]
    graph = graph_of(
        task("root", action_name="fail"),
        *dependencies,
        task("subject", *names, on_dep_fail=policy),
    )
    actions = {"work": returns(1), "fail": raises(), "forever": nap_forever}
    async with open_run(graph, actions) as run:
        await trio.sleep(1)
        for name, end in zip(names, ends, strict=True):
            if end == "cancelled":
                run.cancel(name)
    result = await run.wait()
    assert [states(result)[name] for name in names] == list(ends)
    return result


async def nap_forever(args: dict[str, Any]) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "ends",
    [(end,) for end in ENDS] + list(combinations_with_replacement(ENDS, 2)),
    ids="+".join,
)
async def test_each_policy_does_what_the_table_says(
    policy: str, ends: tuple[str, ...], autojump_clock: MockClock
) -> None:
    subject = (await run_with(policy, ends)).results["subject"]
    assert subject.state.value == expected_end(policy, ends)
    assert subject.attempts == (1 if subject.success else 0)
    assert bool(subject.error) is not subject.success


@pytest.mark.parametrize("policy", ["abort", "skip"])
@pytest.mark.parametrize(
    ("end", "root"),
    [
        ("failed", "1-failed"),
        ("aborted", "root"),
        ("skipped", "root"),
        ("cancelled", "1-cancelled"),
    ],
)
async def test_a_task_that_never_ran_names_the_root_of_it(
    policy: str, end: str, root: str, autojump_clock: MockClock
) -> None:
    subject = (await run_with(policy, ("succeeded", end))).results["subject"]
    assert subject.caused_by == root
    assert repr(root) in subject.error
    assert (subject.attempts, subject.response, subject.exception) == (0, None, None)
    assert (subject.started_at, subject.finished_at, subject.execution_time_ms) == (None,) * 3


async def test_the_reason_of_the_root_stands_in_the_errors_after_it() -> None:
    graph = graph_of(task("a", action_name="fail"), task("b", "a"), task("c", "b"))
    result = await run_graph(graph, {"work": returns(), "fail": raises()})
    assert result.results["a"].caused_by is None
    for name in "bc":
        assert result.results[name].caused_by == "a"
        assert "ValueError: broken" in result.results[name].error
    assert "'b'" in result.results["c"].error


async def test_the_root_is_found_through_aborts_and_skips_alike() -> None:
    graph = graph_of(
        task("a", action_name="fail"),
        task("b", "a", on_dep_fail="skip"),
        task("c", "b"),
        task("d", "c", on_dep_fail="skip"),
    )
    result = await run_graph(graph, {"work": returns(), "fail": raises()})
    assert states(result) == {"a": "failed", "b": "skipped", "c": "skipped", "d": "skipped"}
    assert {result.results[name].caused_by for name in "bcd"} == {"a"}


async def test_a_task_that_ran_in_spite_of_a_failure_is_caused_by_nothing() -> None:
    graph = graph_of(
        task("a", action_name="fail"), task("b", "a", on_dep_fail="always", action_name="fail")
    )
    result = await run_graph(graph, {"fail": raises()})
    assert result.results["b"].state is TaskState.FAILED
    assert result.results["b"].caused_by is None


async def test_the_root_of_a_chain_ends_at_the_last_task_that_ran() -> None:
    graph = graph_of(
        task("a", action_name="fail"),
        task("b", "a", on_dep_fail="always", action_name="fail"),
        task("c", "b"),
    )
    result = await run_graph(graph, {"fail": raises(), "work": returns()})
    assert result.results["c"].caused_by == "b"


async def test_on_failure_without_a_failure_is_skipped_by_itself() -> None:
    graph = graph_of("a", task("b", "a", on_dep_fail="on_failure"), task("c", "b"))
    result = await run_graph(graph, {"work": returns()})
    assert states(result) == {"a": "succeeded", "b": "skipped", "c": "skipped"}
    assert result.results["b"].caused_by is None
    assert result.results["b"].error
    assert result.results["c"].caused_by == "b"


async def test_on_failure_without_dependencies_has_nothing_to_run_after() -> None:
    result = await run_graph(graph_of(task("a", on_dep_fail="on_failure")), {"work": returns()})
    assert states(result) == {"a": "skipped"}
    assert result.results["a"].error


@pytest.mark.parametrize(
    ("policy", "settled_at"),
    [("abort", 1), ("skip", 1), ("continue_if_any", 5), ("always", 5), ("on_failure", 5)],
)
async def test_abort_and_skip_settle_as_soon_as_one_failed(
    policy: str, settled_at: float, autojump_clock: MockClock
) -> None:
    started: list[float] = []

    async def note(args: dict[str, Any]) -> None:
        started.append(trio.current_time())

    async def fail(args: dict[str, Any]) -> None:
        await trio.sleep(1)
        raise ValueError

    graph = graph_of(
        task("early", action_name="fail"),
        task("late", action_name="late"),
        task("subject", "early", "late", on_dep_fail=policy),
        task("observer", "subject", on_dep_fail="always", action_name="note"),
    )
    actions = {"fail": fail, "late": sleeps(5), "work": returns(), "note": note}
    await run_graph(graph, actions)
    assert started == [settled_at]


async def test_cleanup_under_continue_if_any_does_not_run_when_all_failed() -> None:
    graph = graph_of(
        task("a", action_name="fail"),
        task("b", action_name="fail"),
        task("cleanup", "a", "b", on_dep_fail="continue_if_any"),
        task("always", "a", "b", on_dep_fail="always"),
    )
    result = await run_graph(graph, {"work": returns(), "fail": raises()})
    assert result.results["cleanup"].state is TaskState.ABORTED
    assert result.results["cleanup"].caused_by in ("a", "b")
    assert result.results["always"].success


@pytest.mark.parametrize("primary", ["work", "fail"])
async def test_a_fallback_runs_after_success_and_failure(primary: str) -> None:
    graph = graph_of(
        task("primary", action_name=primary),
        task("fallback", "primary", on_dep_fail=DependencyPolicy.CONTINUE_IF_ANY),
    )
    result = await run_graph(graph, {"work": returns(), "fail": raises()})
    assert result.results["fallback"].success


async def test_a_diamond_aborts_its_join_once() -> None:
    graph = graph_of(
        task("top", action_name="fail"),
        task("left", "top"),
        task("right", "top"),
        task("join", "left", "right"),
    )
    result = await run_graph(graph, {"work": returns(), "fail": raises()})
    assert result.statistics["states"]["aborted"] == 3
    assert result.results["join"].caused_by == "top"


async def test_the_end_of_a_very_long_chain_names_its_root() -> None:
    length = 20_000
    chain = [task(str(n), str(n - 1)) for n in range(1, length)]
    graph = graph_of(task("0", action_name="fail"), *chain)
    result = await run_graph(graph, {"work": returns(), "fail": raises()})
    assert result.statistics["states"]["aborted"] == length - 1
    assert result.results[str(length - 1)].caused_by == "0"
    assert {one.caused_by for one in result.results.values()} == {None, "0"}


async def test_a_cancelled_task_counts_as_failed_for_its_dependents(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of("a", task("b", "a"), task("c", "a", on_dep_fail="on_failure"))
    async with open_run(graph, {"work": nap}) as run:
        await trio.sleep(0.5)
        run.cancel("a", reason="not needed")
    result = await run.wait()
    assert states(result) == {"a": "cancelled", "b": "aborted", "c": "succeeded"}
    assert result.results["b"].caused_by == "a"
    assert "not needed" in result.results["b"].error
