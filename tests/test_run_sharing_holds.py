"""Leaders that back off, or that caps, limiters and breakers hold: who waits, in whose place."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    BreakerPolicy,
    CircuitOpenError,
    RetryLater,
    RetryPolicy,
    Run,
    open_run,
    run_graph,
)

from .runs import Args, graph_of, nap, raises, states, task
from .test_retry import Longest
from .test_run_sharing import Calls, cached, same

FAST = RetryPolicy(base=1e-9, cap=1e-9)


@pytest.fixture
def long_back_offs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-offs are as long as they can be: 1, 2, 4, 8, ... seconds."""
    monkeypatch.setattr("tgtrio._parts.random.Random", lambda seed: Longest())


# Back-off, breakers, caps


async def test_followers_wait_while_the_leader_backs_off(
    autojump_clock: MockClock, long_back_offs: None
) -> None:
    calls = Calls(OSError(), OSError())
    graph = graph_of(*same("a", "b", max_retries=2))
    async with open_run(graph, {"work": calls}) as run:
        await trio.sleep(1.5)
        assert run.statistics()["running_tasks"] == 0
        assert run.statistics()["states"]["ready"] == 2
    assert calls.tasks == ["a", "a", "a"]
    assert calls.at == [0, 2, 5]
    assert (await run.wait()).statistics["retry_tokens_used"] == 2


async def test_a_leader_that_backs_off_is_cancelled(
    autojump_clock: MockClock, long_back_offs: None
) -> None:
    calls = Calls(OSError())
    async with open_run(graph_of(*same("a", "b", max_retries=2)), {"work": calls}) as run:
        await trio.sleep(1.5)
        run.cancel("a")
    result = await run.wait()
    assert calls.tasks == ["a", "b"]
    assert calls.at == [0, 1.5]  # it owes nothing to the back-off of another
    assert "OSError" in result.results["a"].error
    assert result.results["b"].attempts == 1


async def borrowed_order(
    run_options: dict[str, Any], meanwhile: Any = None, middle_comes_at: float = 1.5
) -> list[str]:
    """`low` leads and backs off from 1 to 2; `high`, `higher` and maybe `middle` come at 1.5."""
    order: list[str] = []

    async def work(args: Args, context: Any) -> None:
        order.append(context.task_id)
        await trio.sleep(1)
        if len(order) == 1:
            raise OSError

    graph = graph_of(
        *same("low", max_retries=1),
        task("p", action_name="nap", normalized_args={"seconds": 1.5}),
        task("q", action_name="nap", normalized_args={"seconds": middle_comes_at}),
        *same("high", dependencies=["p"], priority=9),
        *same("higher", dependencies=["p"], priority=10),
        task("middle", "q", priority=5),
    )
    async with open_run(graph, {"work": work, "nap": nap}, **run_options) as run:
        if meanwhile is not None:
            await meanwhile(run)
    result = await run.wait()
    assert result.statistics["states"]["failed"] == 0
    assert result.statistics["cached_tasks"] == len(cached(result))
    return order


async def test_it_borrows_in_a_capped_action(
    autojump_clock: MockClock, long_back_offs: None
) -> None:
    """`middle` has the place from 1.5 to 2.5; the leader is back at 2."""
    order = await borrowed_order({"per_action_caps": {"work": 1}})
    assert order == ["low", "middle", "low"]


@pytest.mark.parametrize("middle_comes_at", [1.5, 3])
async def test_it_borrows_while_somebody_elses_limiter_keeps_all_out(
    middle_comes_at: float, autojump_clock: MockClock, long_back_offs: None
) -> None:
    limiter = trio.CapacityLimiter(1)

    async def keep(run: Run) -> None:
        await trio.sleep(1.25)
        limiter.acquire_on_behalf_of_nowait("somebody else")
        await trio.sleep(10)
        limiter.release_on_behalf_of("somebody else")

    order = await borrowed_order({"per_action_caps": {"work": limiter}}, keep, middle_comes_at)
    assert order == ["low", "low", "middle"]


@pytest.mark.parametrize("gone", [["higher"], ["higher", "high"], ["high"]])
async def test_it_borrows_from_the_next_when_a_follower_is_cancelled(
    gone: list[str], autojump_clock: MockClock, long_back_offs: None
) -> None:
    limiter = trio.CapacityLimiter(1)

    async def keep(run: Run) -> None:
        await trio.sleep(1.25)
        limiter.acquire_on_behalf_of_nowait("somebody else")
        await trio.sleep(5)
        for name in gone:
            run.cancel(name)
        await trio.sleep(5)
        limiter.release_on_behalf_of("somebody else")

    order = await borrowed_order({"per_action_caps": {"work": limiter}}, keep)
    assert order == (["low", "middle", "low"] if len(gone) == 2 else ["low", "low", "middle"])


@pytest.mark.parametrize("where", ["max_parallel", "per_action_caps", "resource_caps"])
async def test_leaders_and_followers_under_somebody_elses_limiter(
    where: str, autojump_clock: MockClock
) -> None:
    limiter = trio.CapacityLimiter(1)
    options: dict[str, Any] = {
        where: {
            "max_parallel": limiter,
            "per_action_caps": {"work": limiter},
            "resource_caps": {"r": limiter},
        }[where]
    }
    calls = Calls()
    graph = graph_of(
        *same(*"abc", resource_ids=["r"]), *same("d", "e", resource_ids=["r"], version="2")
    )
    result = await run_graph(graph, {"work": calls}, **options)
    assert calls.tasks == ["a", "d"]
    assert calls.at == [0, 1]
    assert result.ok
    assert limiter.borrowed_tokens == 0


async def test_a_leader_behind_an_open_breaker_is_the_probe_in_the_followers_place(
    autojump_clock: MockClock,
) -> None:
    calls = Calls(OSError())
    graph = graph_of(
        *same("low", max_retries=1),
        task("p", action_name="nap", normalized_args={"seconds": 5}),
        *same("high", dependencies=["p"], priority=9),
        task("middle", "p", priority=5),
    )
    result = await run_graph(
        graph,
        {"work": calls, "nap": nap},
        retry=FAST,
        breaker=BreakerPolicy(window=1, threshold=1, open_for=30),
    )
    assert calls.tasks == ["low", "low", "middle"]
    assert calls.at == [0, 31, 32]
    assert cached(result) == {"high"}


async def test_a_breaker_that_gives_up_fails_them_all(autojump_clock: MockClock) -> None:
    """The probes are others; leader and followers wait behind the breaker."""
    graph = graph_of(
        *same("low", max_retries=3),
        task("p", action_name="nap", normalized_args={"seconds": 0.5}),
        *same("high", "higher", dependencies=["p"], priority=9),
        *(task(f"probe{n}", "p2", priority=20, normalized_args={"n": n}) for n in range(2)),
        task("p2", action_name="nap", normalized_args={"seconds": 5}),
    )
    result = await run_graph(
        graph,
        {"work": Calls(OSError(1), OSError(2), OSError(3)), "nap": nap},
        retry=FAST,
        breaker=BreakerPolicy(window=1, threshold=1, open_for=30, give_up_after=2),
    )
    names = ["low", "high", "higher"]
    for name in names:
        assert isinstance(result.results[name].exception, CircuitOpenError)
    assert [result.results[name].attempts for name in names] == [1, 0, 0]
    assert [result.results[name].caused_by for name in names] == [None, "low", "low"]


async def test_an_open_breaker_that_fails_at_once_fails_them_all(
    autojump_clock: MockClock,
) -> None:
    graph = graph_of(
        task("breaks", priority=9, normalized_args={"x": 1}),
        task("p", "breaks", on_dep_fail="always", action_name="nap"),
        *same("a", "b", dependencies=["p"]),
    )
    result = await run_graph(
        graph,
        {"work": raises(OSError), "nap": nap},
        breaker=BreakerPolicy(window=1, threshold=1),
        when_open="fail",
    )
    assert isinstance(result.results["a"].exception, CircuitOpenError)
    assert set(states(result).values()) == {"failed", "succeeded"}
    assert result.results["b"].attempts == 0


async def test_a_leader_that_asks_for_peace_holds_its_followers(
    autojump_clock: MockClock,
) -> None:
    calls = Calls(RetryLater(30))
    result = await run_graph(graph_of(*same("a", "b", max_retries=1)), {"work": calls})
    assert calls.at == [0, 31]
    assert cached(result) == {"b"}
    assert result.statistics["retry_tokens_used"] == 1
