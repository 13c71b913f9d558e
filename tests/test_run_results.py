"""What a run reports, and when."""

from __future__ import annotations

import json
import traceback
from datetime import datetime, timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    GraphResult,
    GraphRunningError,
    TaskGraph,
    TaskResult,
    TaskState,
    _engine,
    _parts,
    open_run,
    output_of,
    run_graph,
)

from .runs import graph_of, nap, raises, returns, sleeps, states, task

STATES = [state.value for state in TaskState]
FIGURES = {
    "total_tasks",
    "running_tasks",
    "states",
    "retry_tokens_used",
    "cached_tasks",
    "breaker_states",
}


async def mixed() -> GraphResult:
    graph = graph_of(
        "ok",
        task("failed", action_name="fail"),
        task("aborted", "failed"),
        task("skipped", "failed", on_dep_fail="skip"),
        task("cancelled", action_name="forever"),
        graph_id="mixed",
    )
    actions = {"work": sleeps(1, {"n": 1}), "fail": raises(), "forever": sleeps(1000)}
    async with open_run(graph, actions) as run:
        await trio.sleep(2)
        run.cancel("cancelled")
    return await run.wait()


async def test_results_are_complete_and_in_the_order_of_insertion() -> None:
    graph = graph_of(*(task(str(n), priority=n % 4) for n in range(20)))
    result = await run_graph(graph, {"work": returns()})
    assert list(result.results) == list(map(str, range(20)))
    assert len(result.results) == result.total_tasks == 20
    assert all(name == one.task_id for name, one in result.results.items())
    assert "3" in result.results
    assert "x" not in result.results
    with pytest.raises(KeyError):
        result.results["x"]


async def test_a_result_is_attributes_and_mapping_at_once(autojump_clock: MockClock) -> None:
    result = await mixed()
    assert result["graph_id"] == result.graph_id == "mixed"
    assert result["total_tasks"] == result.total_tasks == 5
    assert result["elapsed_ms"] == result.elapsed_ms == 2000
    assert result["completed_at"] == result.completed_at
    assert result["statistics"]["states"]["succeeded"] == 1
    assert result["results"]["ok"]["success"] is True
    assert result["results"]["ok"]["response"] == {"n": 1}
    assert result["results"]["ok"].get("execution_time_ms") == 1000
    assert not result["results"]["ok"].get("error")
    assert "broken" in result["results"]["failed"].get("error")
    assert result["results"]["ok"].get("no such key") is None
    assert "error" in result["results"]["ok"]
    assert dict(result) == {name: getattr(result, name) for name in result}
    with pytest.raises(KeyError):
        result["no such key"]
    with pytest.raises(KeyError):
        result["to_dict"]


async def test_results_cannot_be_changed(autojump_clock: MockClock) -> None:
    result: Any = await mixed()
    with pytest.raises(AttributeError):
        result.ok = True
    with pytest.raises(AttributeError):
        result.results["ok"].response = 2
    with pytest.raises(TypeError):
        result["ok"] = True
    with pytest.raises(TypeError):
        result.results["new"] = None


async def test_the_fields_of_every_end(autojump_clock: MockClock) -> None:
    result = await mixed()
    assert states(result) == {
        name: name if name != "ok" else "succeeded" for name in result.results
    }
    for one in result.results.values():
        assert isinstance(one, TaskResult)
        assert one.success is (one.state is TaskState.SUCCEEDED)
        assert bool(one.error) is not one.success
        assert (one.exception is None) is (one.task_id != "failed")
        assert bool(one.traceback) is (one.task_id == "failed")
        ran = one.task_id in ("ok", "failed", "cancelled")
        assert one.attempts == int(ran)
        assert (one.started_at is not None) is ran
        assert (one.finished_at is not None) is ran
        assert (one.execution_time_ms is not None) is ran
        assert one.caused_by == (None if ran else "failed")
        assert (one.cached, one.late, one.deadline_missed) == (False, False, False)


async def test_instants_are_aware_and_follow_the_clock_of_the_run(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    await trio.sleep(17)
    result = await run_graph(graph_of("a", task("b", "a")), {"work": sleeps(1.5)})
    second = result.results["b"]
    assert second.started_at == wall_start + timedelta(seconds=1.5)
    assert second.finished_at == wall_start + timedelta(seconds=3)
    assert second.started_at.tzinfo is not None
    assert datetime.fromisoformat(result.completed_at) == second.finished_at
    assert datetime.fromisoformat(result.completed_at).utcoffset() == timedelta(0)
    assert (second.execution_time_ms, result.elapsed_ms) == (1500, 3000)


async def test_as_plain_data_it_is_json(autojump_clock: MockClock) -> None:
    result = await mixed()
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["graph_id"] == "mixed"
    assert plain["results"]["ok"]["response"] == {"n": 1}
    assert plain["results"]["failed"]["state"] == "failed"
    assert "exception" not in plain["results"]["failed"]
    assert plain["results"]["aborted"]["caused_by"] == "failed"
    assert plain["statistics"]["states"]["skipped"] == 1
    assert set(plain["results"]) == set(result.results)


async def test_the_statistics_have_all_keys_and_states() -> None:
    graph = graph_of("a")
    for figures in (
        graph.get_stats(),
        (await run_graph(graph, {"work": returns()})).statistics,
        graph.get_stats(),
    ):
        assert set(figures) == FIGURES
        assert list(figures["states"]) == STATES
        assert sum(figures["states"].values()) == figures["total_tasks"] == 1


async def test_the_figures_before_during_and_after_a_run(autojump_clock: MockClock) -> None:
    graph = graph_of("a", "b", task("c", "a"), "d", max_parallel=2)
    assert graph.get_stats()["states"]["pending"] == 4
    async with open_run(graph, {"work": nap}) as run:
        await trio.sleep(0.5)
        during = graph.get_stats()
        assert during == run.statistics()
        assert during["running_tasks"] == during["states"]["running"] == 2
        assert during["states"]["ready"] == 1
        assert during["states"]["pending"] == 1
        await trio.sleep(1)
        assert graph.get_stats()["states"]["succeeded"] == 2
    after = graph.get_stats()
    assert after == run.statistics() == (await run.wait()).statistics
    assert after["states"]["succeeded"] == 4
    assert after["running_tasks"] == 0
    graph.add_task("e", "work")
    assert graph.get_stats()["states"]["pending"] == 5


async def test_ok_and_raise_for_failures() -> None:
    good = await run_graph(graph_of("a"), {"work": returns()})
    assert good.ok
    good.raise_for_failures()

    first, second = ValueError("1"), LookupError("2")
    graph = graph_of(
        task("a", action_name="one"),
        task("b", action_name="two"),
        task("c", "a"),
        task("d", "b", on_dep_fail="skip"),
        "e",
    )
    bad = await run_graph(
        graph, {"work": returns(), "one": raises(lambda: first), "two": raises(lambda: second)}
    )
    assert not bad.ok
    for _ in range(2):
        with pytest.raises(ExceptionGroup) as raised:
            bad.raise_for_failures()
        assert raised.value.exceptions == (first, second)
        assert "'g'" in str(raised.value)
        for error, name in ((first, "a"), (second, "b")):
            assert [note for note in error.__notes__ if repr(name) in note] == error.__notes__
            assert len(error.__notes__) == 1


async def test_what_is_raised_for_failures_says_where_it_was_raised() -> None:
    async def work(args: dict[str, Any]) -> None:
        deep_down()

    def deep_down() -> None:
        raise ValueError("deep")

    result = await run_graph(graph_of("a"), {"work": work})
    with pytest.raises(ExceptionGroup) as raised:
        result.raise_for_failures()
    assert "in deep_down" in "".join(traceback.format_exception(raised.value))


async def test_a_result_is_short_to_read() -> None:
    result = await run_graph(graph_of("a", "b"), {"work": returns("x" * 1000)})
    assert repr(result) == "<GraphResult 'g': 2 succeeded>"
    assert repr(await run_graph(TaskGraph("e"), {})) == "<GraphResult 'e': no tasks>"


async def test_one_exception_that_fails_two_tasks_names_both() -> None:
    error = ValueError("shared")
    graph = graph_of("a", "b")
    result = await run_graph(graph, {"work": raises(lambda: error)})
    with pytest.raises(ExceptionGroup) as raised:
        result.raise_for_failures()
    assert len(raised.value.exceptions) == 2
    assert ["'a'" in "".join(error.__notes__), "'b'" in "".join(error.__notes__)] == [True, True]


async def test_an_exception_that_takes_no_notes_can_be_raised_for() -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

        def add_note(self, note: str) -> None:
            raise AttributeError("add_note")

    result = await run_graph(graph_of("a"), {"work": raises(Frozen)})
    with pytest.raises(ExceptionGroup) as raised:
        result.raise_for_failures()
    assert isinstance(raised.value.exceptions[0], Frozen)


async def test_skipped_tasks_do_not_spoil_a_run() -> None:
    graph = graph_of("a", task("b", "a", on_dep_fail="on_failure"))
    result = await run_graph(graph, {"work": returns()})
    assert states(result) == {"a": "succeeded", "b": "skipped"}
    assert result.ok
    result.raise_for_failures()


async def test_a_run_that_was_cut_short_is_not_ok_and_raises_only_for_failures(
    autojump_clock: MockClock,
) -> None:
    result = await run_graph(graph_of("a", graph_timeout_ms=10), {"work": nap})
    assert not result.ok
    result.raise_for_failures()


async def test_an_empty_graph_has_an_empty_result(autojump_clock: MockClock) -> None:
    result = await run_graph(TaskGraph("empty"), {})
    assert result.ok
    assert dict(result.results) == {}
    assert (result.total_tasks, result.elapsed_ms) == (0, 0)
    assert sum(result.statistics["states"].values()) == 0
    json.dumps(result.to_dict())
    async with open_run(TaskGraph("empty"), {}) as run:
        assert (await run.wait()).ok


async def test_runs_have_names_of_their_own() -> None:
    graph = graph_of("a")
    names = {(await run_graph(graph, {"work": returns()})).run_id for _ in range(5)}
    assert len(names) == 5
    assert (await run_graph(graph, {"work": returns()}, run_id="mine")).run_id == "mine"


async def test_a_result_outlives_changes_and_further_runs_of_the_graph() -> None:
    graph = graph_of("a", task("b", priority=1))
    first = await run_graph(graph, {"work": returns("first")})
    graph.add_task("c", "work", max_retries=0, priority=9)
    graph.add_dependency("c", "a")
    second = await run_graph(graph, {"work": raises()})
    assert states(first) == {"a": "succeeded", "b": "succeeded"}
    assert first.results["a"].response == "first"
    assert "c" not in first.results
    assert states(second) == {"a": "failed", "b": "failed", "c": "aborted"}


async def test_a_graph_cannot_be_changed_while_it_runs(autojump_clock: MockClock) -> None:
    graph = graph_of("a", "b")
    async with open_run(graph, {"work": nap}) as run:
        for change in (
            lambda: graph.add_task("c", "work"),
            lambda: graph.add_tasks([]),
            lambda: graph.add_dependency("b", "a"),
        ):
            with pytest.raises(GraphRunningError):
                change()
        with pytest.raises(GraphRunningError):
            await run_graph(graph, {"work": nap})
        assert run.graph is graph
    assert list((await run.wait()).results) == ["a", "b"]
    graph.add_task("c", "work")


async def test_a_refused_second_run_does_not_disturb_the_first(autojump_clock: MockClock) -> None:
    graph = graph_of("a")
    async with open_run(graph, {"work": nap}) as run:
        await trio.sleep(0.5)
        with pytest.raises(GraphRunningError):
            async with open_run(graph, {"work": nap}):
                pass
        assert graph.get_stats()["running_tasks"] == 1
    assert (await run.wait()).ok


async def test_tasks_with_outputs_have_no_key_of_their_own() -> None:
    graph = graph_of(
        {**task("a"), "idempotent": True},
        {**task("b"), "idempotent": True, "normalized_args": {"x": output_of("a")}},
        task("c"),
    )
    result = await run_graph(graph, {"work": returns()})
    assert result.results["a"].idempotency_key
    assert result.results["c"].idempotency_key is None


async def test_figures_may_be_asked_for_at_any_moment_by_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread can come between any two steps; so they are asked for between them."""
    seen: list[int] = []

    def ask(*_: object) -> None:
        seen.append(sum(graph.get_stats()["states"].values()))

    for name in ("Parts", "Crew"):
        original = getattr(_engine, name)

        def asked(*args: Any, original: Any = original) -> Any:
            ask()
            made = original(*args)
            ask()
            return made

        monkeypatch.setattr(_engine, name, asked)
    dissolve = _parts.Parts.dissolve
    engines: list[Any] = []

    def asked_while_it_goes(parts: Any) -> None:
        dissolve(parts)
        seen.append(sum(engines[0].statistics()["states"].values()))

    monkeypatch.setattr(_parts.Parts, "dissolve", asked_while_it_goes)
    graph = graph_of("a", "b")

    async def work(args: dict[str, Any]) -> None:
        engines.append(graph._run_state)

    await run_graph(graph, {"work": work})
    assert seen == [2] * 5
