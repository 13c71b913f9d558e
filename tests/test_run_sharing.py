"""Equal work in one run is done once: leaders, followers, keys, and who opts out."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    GraphResult,
    RetryPolicy,
    TaskState,
    open_run,
    output_of,
    run_graph,
)
from tgtrio._actions import Actions
from tgtrio._context import TaskContext
from tgtrio._identity import idempotency_key

from .runs import Args, graph_of, nap, raises, sleeps, states, task


def same(*task_ids: str, **fields: Any) -> list[dict[str, Any]]:
    """Tasks that are one piece of work, unless the fields say otherwise."""
    return [
        task(task_id, **{"idempotent": None, "normalized_args": {"work": 1}, **fields})
        for task_id in task_ids
    ]


class Calls:
    """An action that notes when and for whom it is called.

    It sleeps a second for each call, or does what `script` says: a number is slept, an exception
    is raised after a second.
    """

    def __init__(self, *script: float | Exception) -> None:
        self.script = script
        self.tasks: list[str] = []
        self.at: list[float] = []
        self.keys: list[str | None] = []

    async def __call__(self, args: Args, context: TaskContext) -> object:
        number = len(self.tasks)
        self.tasks.append(context.task_id)
        self.at.append(trio.current_time())
        self.keys.append(context.idempotency_key)
        step = self.script[number] if number < len(self.script) else 1
        await trio.sleep(1 if isinstance(step, Exception) else step)
        if isinstance(step, Exception):
            raise step
        return {"by": context.task_id, **args}


def cached(result: GraphResult) -> set[str]:
    return {task_id for task_id, one in result.results.items() if one.cached}


# Once


@pytest.mark.parametrize("max_parallel", [1, 7, 1000])
async def test_a_thousand_equal_tasks_are_one_call(
    max_parallel: int, autojump_clock: MockClock
) -> None:
    calls = Calls()
    graph = graph_of(*same(*(f"t{n}" for n in range(1000))), max_parallel=max_parallel)
    result = await run_graph(graph, {"work": calls})
    assert calls.tasks == ["t0"]
    assert result.ok
    assert result.elapsed_ms == 1000
    assert result.statistics["cached_tasks"] == 999
    assert result.statistics["retry_tokens_used"] == 0
    assert cached(result) == {f"t{n}" for n in range(1, 1000)}
    assert {one.idempotency_key for one in result.results.values()} == {
        idempotency_key("work", {"work": 1}, [], "1")
    }


async def test_what_a_served_task_looks_like(
    autojump_clock: MockClock, wall_start: datetime
) -> None:
    served = (await run_graph(graph_of(*same("a", "b")), {"work": Calls()})).results["b"]
    assert dict(served) == {
        "task_id": "b",
        "state": TaskState.SUCCEEDED,
        "success": True,
        "response": {"by": "a", "work": 1},
        "error": "",
        "exception": None,
        "traceback": "",
        "attempts": 0,
        "cached": True,
        "late": False,
        "deadline_missed": False,
        "started_at": None,
        "finished_at": wall_start + timedelta(seconds=1),
        "execution_time_ms": None,
        "caused_by": None,
        "idempotency_key": idempotency_key("work", {"work": 1}, [], "1"),
    }


async def test_followers_own_no_slot(autojump_clock: MockClock) -> None:
    graph = graph_of(
        *same(*"abcdefgh", priority=1),
        *(task(f"other{n}", action_name="other") for n in range(3)),
        max_parallel=2,
    )
    async with open_run(graph, {"work": sleeps(10), "other": sleeps(1)}) as run:
        await trio.sleep(0.5)
        assert run.statistics()["running_tasks"] == 2
        await trio.sleep(4)
        assert run.statistics()["states"]["succeeded"] == 3  # the others, one after another
        assert run.statistics()["states"]["ready"] == 7
    assert (await run.wait()).elapsed_ms == 10_000


async def test_followers_need_no_place_in_a_cap(autojump_clock: MockClock) -> None:
    calls = Calls()
    graph = graph_of(*same(*"abc", resource_ids=["r"]), *same("d", version="2"))
    result = await run_graph(
        graph, {"work": calls}, per_action_caps={"work": 1}, resource_caps={"r": 1}
    )
    assert calls.tasks == ["a", "d"]
    assert result.elapsed_ms == 2000


async def test_who_comes_when_the_work_is_done_is_served_at_once(
    autojump_clock: MockClock,
) -> None:
    calls = Calls()
    graph = graph_of(
        *same("a"),
        task("pause", action_name="pause"),
        *same("b", dependencies=["pause"]),
        task("after", "b", action_name="pause"),
    )
    result = await run_graph(graph, {"work": calls, "pause": sleeps(5)})
    assert calls.tasks == ["a"]
    assert cached(result) == {"b"}
    assert result.elapsed_ms == 10_000


async def test_what_depends_on_a_served_task_runs_after_it(autojump_clock: MockClock) -> None:
    graph = graph_of(
        *same("a", "b"),
        task("after", "b", normalized_args={"value": output_of("b")}),
        task("never", "b", on_dep_fail="on_failure"),
    )
    calls = Calls()
    result = await run_graph(graph, {"work": calls})
    assert calls.tasks == ["a", "after"]
    assert calls.at == [0, 1]
    assert result.results["after"].response["value"] == {"by": "a", "work": 1}
    assert result.results["never"].state is TaskState.SKIPPED


async def test_a_chain_of_equal_tasks_is_one_call(autojump_clock: MockClock) -> None:
    calls = Calls()
    chain = [same(f"t{n}", dependencies=[f"t{n - 1}"] if n else [])[0] for n in range(50)]
    result = await run_graph(graph_of(*chain), {"work": calls})
    assert calls.tasks == ["t0"]
    assert result.statistics["cached_tasks"] == 49


async def test_a_second_run_of_the_graph_does_it_again(autojump_clock: MockClock) -> None:
    calls, graph = Calls(), graph_of(*same("a", "b"))
    for _ in range(2):
        result = await run_graph(graph, {"work": calls})
        assert cached(result) == {"b"}
    assert calls.tasks == ["a", "a"]


async def test_plain_functions_share_too(patient_clock: MockClock) -> None:
    called: list[Args] = []

    def work(args: Args) -> int:
        called.append(args)
        return len(called)

    result = await run_graph(graph_of(*same(*"abc")), {"work": work})
    assert [one.response for one in result.results.values()] == [1, 1, 1]
    assert len(called) == 1


# Opting out


async def test_a_task_may_opt_out(autojump_clock: MockClock) -> None:
    calls = Calls()
    graph = graph_of(*same("a", "b"), *same("x", "y", idempotent=False))
    result = await run_graph(graph, {"work": calls})
    assert sorted(calls.tasks) == ["a", "x", "y"]
    assert cached(result) == {"b"}
    assert [result.results[name].idempotency_key for name in "xy"] == [None, None]
    assert sorted(map(str, calls.keys)) == sorted(
        ["None", "None", str(result.results["a"].idempotency_key)]
    )


async def test_an_action_may_opt_out(autojump_clock: MockClock) -> None:
    calls, others = Calls(), Calls()
    actions = Actions()
    actions.register("work", calls, idempotent=False)
    actions.register("other", others)
    graph = graph_of(*same("a", "b"), *same("c", "d", action_name="other"))
    result = await run_graph(graph, actions)
    assert calls.tasks == ["a", "b"]
    assert calls.keys == [None, None]
    assert others.tasks == ["c"]
    assert cached(result) == {"d"}


async def test_a_run_may_opt_out_whatever_its_tasks_say(autojump_clock: MockClock) -> None:
    calls = Calls()
    graph = graph_of(*same("a", "b", idempotent=True), *same("c", "d"))
    result = await run_graph(graph, {"work": calls}, idempotent=False)
    assert calls.tasks == ["a", "b", "c", "d"]
    assert calls.keys == [None] * 4
    assert result.statistics["cached_tasks"] == 0


# The warning


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


async def test_many_tasks_without_args_that_collapse_are_worth_a_warning(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    names = [f"t{n}" for n in range(40)]
    graph = graph_of(
        *same(*names, normalized_args={}),
        *same(*(f"v{name}" for name in names), normalized_args={}, version="2"),
        *same("x", "y", normalized_args={}, action_name="few"),
    )
    await run_graph(graph, {"work": Calls(), "few": Calls()})
    (warning,) = warnings(caplog)
    assert "action 'work': 78 tasks without arguments" in warning


@pytest.mark.parametrize(
    "fields",
    [
        {"normalized_args": {"x": 1}},
        {"normalized_args": {}, "idempotent": False},
        {"normalized_args": {}, "max_retries": 0, "action_name": "fail"},
    ],
)
async def test_nothing_to_warn_of(
    fields: dict[str, Any], caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    graph = graph_of(*same(*(f"t{n}" for n in range(40)), **fields))
    await run_graph(graph, {"work": Calls(), "fail": raises()}, breaker=None)
    assert warnings(caplog) == []


# Policies


async def test_the_leaders_policies_rule(autojump_clock: MockClock) -> None:
    calls = Calls(9, OSError())
    graph = graph_of(
        *same("a", priority=1, task_timeout_ms=2_000, max_retries=2),
        *same("b", task_timeout_ms=100, max_retries=0),
        *same("c", max_retries=7),
    )
    result = await run_graph(
        graph, {"work": calls}, retry=RetryPolicy(base=1e-9, cap=1e-9), breaker=None
    )
    assert calls.tasks == ["a", "a", "a"]
    assert [one.attempts for one in result.results.values()] == [3, 0, 0]
    assert result.statistics["retry_tokens_used"] == 2
    assert cached(result) == {"b", "c"}
    assert states(result) == dict.fromkeys("abc", "succeeded")


async def test_nap_is_no_shared_work_by_default(autojump_clock: MockClock) -> None:
    """The helpers of these tests opt out unless told otherwise."""
    result = await run_graph(graph_of("a", "b", max_parallel=1), {"work": nap})
    assert result.elapsed_ms == 2000
