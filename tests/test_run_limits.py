"""Caps that are numbers: the run's, those of actions and of resources; and refusals."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    GraphRunningError,
    InvalidTypeError,
    InvalidValueError,
    TaskContext,
    TgtrioError,
    run_graph,
)

from .runs import Meter, graph_of, nap, returns, states, task


def tasks(count: int, name: str = "t", **fields: Any) -> list[dict[str, Any]]:
    return [task(f"{name}{n}", **fields) for n in range(count)]


async def test_the_graph_bounds_how_many_are_in_flight(autojump_clock: MockClock) -> None:
    meter = Meter()
    result = await run_graph(graph_of(*tasks(10), max_parallel=3), {"work": meter.naps()})
    assert meter.peak["all"] == 3
    assert result.elapsed_ms == 4000


@pytest.mark.parametrize("limit", [1, 4, 10, 1000, 10**30])
async def test_the_option_overrides_the_graph(limit: int, autojump_clock: MockClock) -> None:
    meter = Meter()
    graph = graph_of(*tasks(10), max_parallel=3)
    result = await run_graph(graph, {"work": meter.naps()}, max_parallel=limit)
    assert meter.peak["all"] == min(limit, 10)
    assert result.elapsed_ms == -(-10 // min(limit, 10)) * 1000


async def test_the_graph_bounds_the_next_run_again(autojump_clock: MockClock) -> None:
    graph = graph_of(*tasks(10), max_parallel=2)
    first = await run_graph(graph, {"work": nap}, max_parallel=10)
    second = await run_graph(graph, {"work": nap})
    assert (first.elapsed_ms, second.elapsed_ms) == (1000, 5000)


async def test_the_default_is_a_hundred_at_once(autojump_clock: MockClock) -> None:
    meter = Meter()
    await run_graph(graph_of(*tasks(250)), {"work": meter.naps()})
    assert meter.peak["all"] == 100


async def test_a_cap_bounds_its_action_alone(autojump_clock: MockClock) -> None:
    meter = Meter()
    graph = graph_of(*tasks(10, "a", action_name="a"), *tasks(10, "b", action_name="b"))
    actions = {"a": meter.naps("a"), "b": meter.naps("b")}
    result = await run_graph(graph, actions, per_action_caps={"a": 2})
    assert meter.peak == {"a": 2, "b": 10}
    assert result.elapsed_ms == 5000


async def test_held_tasks_take_no_slot_and_delay_nobody(autojump_clock: MockClock) -> None:
    meter = Meter()
    graph = graph_of(
        *tasks(100, "capped", action_name="capped", priority=9),
        *tasks(10, "free", action_name="free"),
    )
    starts: list[float] = []

    async def free(args: dict[str, Any]) -> None:
        starts.append(trio.current_time())
        await trio.sleep(1)

    began = trio.current_time()
    actions = {"capped": meter.naps(), "free": free}
    result = await run_graph(graph, actions, max_parallel=11, per_action_caps={"capped": 1})
    assert [start - began for start in starts] == [0] * 10
    assert result.elapsed_ms == 100_000


async def test_behind_a_cap_the_order_is_that_of_priority(autojump_clock: MockClock) -> None:
    order = []

    async def note(args: dict[str, Any], context: TaskContext) -> None:
        order.append(context.task_id)
        await trio.sleep(1)

    graph = graph_of(*(task(str(n), priority=n % 3) for n in range(6)))
    await run_graph(graph, {"work": note}, per_action_caps={"work": 1})
    assert order == ["2", "5", "1", "4", "0", "3"]


async def test_a_resource_bounds_the_tasks_that_name_it(autojump_clock: MockClock) -> None:
    meter = Meter()
    graph = graph_of(*tasks(4, "db", resource_ids=["db"]), *tasks(4, "x", action_name="free"))
    actions = {"work": meter.naps("db"), "free": meter.naps("free")}
    result = await run_graph(graph, actions, resource_caps={"db": 1})
    assert meter.peak == {"db": 1, "free": 4}
    assert result.elapsed_ms == 4000


async def test_a_resource_without_a_cap_bounds_nothing(autojump_clock: MockClock) -> None:
    result = await run_graph(graph_of(*tasks(9, resource_ids=["r"])), {"work": nap})
    assert result.elapsed_ms == 1000


async def test_resources_are_claimed_all_or_none(autojump_clock: MockClock) -> None:
    """Philosophers: each needs two forks, and whoever cannot have both holds none."""
    meter = Meter()
    forks = [f"fork{n}" for n in range(5)]

    async def eat(args: dict[str, Any]) -> None:
        with meter.count(*args["forks"]):
            await trio.sleep(1)

    def philosopher(n: int) -> dict[str, Any]:
        pair = [forks[n % 5], forks[(n + 1) % 5]]
        return task(f"p{n}", resource_ids=pair, normalized_args={"forks": pair})

    hungry = [philosopher(n) for n in range(50)]
    result = await run_graph(
        graph_of(*hungry), {"work": eat}, resource_caps=dict.fromkeys(forks, 1)
    )
    assert result.ok
    assert meter.peak == dict.fromkeys(forks, 1)
    # Two eat at once. Of two that end at one instant Trio may resume either first, and with
    # it goes the choice of who is next: there is no single makespan.
    assert 25_000 <= result.elapsed_ms <= 30_000


async def test_who_waits_for_two_resources_keeps_neither_from_others(
    autojump_clock: MockClock,
) -> None:
    args = {"seconds": 10}
    graph = graph_of(
        task("holds a", resource_ids=["a"], normalized_args=args, priority=3),
        task("wants both", resource_ids=["a", "b"], priority=2),
        task("wants b", resource_ids=["b"], priority=1),
    )
    result = await run_graph(graph, {"work": nap}, resource_caps={"a": 1, "b": 1})
    starts = {name: one.started_at for name, one in result.results.items()}
    assert starts["holds a"] == starts["wants b"]
    assert result.elapsed_ms == 11_000


async def test_caps_of_action_resource_and_run_hold_together(autojump_clock: MockClock) -> None:
    meter = Meter()

    async def work(args: dict[str, Any], context: TaskContext) -> None:
        with meter.count("all", context.action_name, *args["uses"]):
            await trio.sleep(args["seconds"])

    def one(n: int) -> dict[str, Any]:
        uses = [name for k, name in enumerate(("db", "gpu", "net")) if n >> k & 1]
        args = {"uses": uses, "seconds": 1 + n % 4}
        return task(str(n), action_name=f"a{n % 3}", resource_ids=uses, normalized_args=args)

    graph = graph_of(*map(one, range(200)))
    result = await run_graph(
        graph,
        {f"a{n}": work for n in range(3)},
        max_parallel=7,
        per_action_caps={"a0": 2, "a1": 3},
        resource_caps={"db": 1, "gpu": 2, "net": 4},
    )
    assert result.ok
    limits = {"all": 7, "a0": 2, "a1": 3, "a2": 7, "db": 1, "gpu": 2, "net": 4}
    assert all(meter.peak[name] <= limit for name, limit in limits.items())
    assert meter.peak["db"] == 1


async def test_a_cap_comes_free_whatever_the_end_of_a_task(autojump_clock: MockClock) -> None:
    async def fail(args: dict[str, Any]) -> None:
        await trio.sleep(1)
        if args["how"] == "raise":
            raise ValueError
        await trio.sleep_forever()

    graph = graph_of(
        *tasks(2, "raise", action_name="f", normalized_args={"how": "raise"}),
        *tasks(2, "hang", action_name="f", normalized_args={"how": ""}, task_timeout_ms=2000),
    )
    result = await run_graph(graph, {"f": fail}, per_action_caps={"f": 1})
    assert set(states(result).values()) == {"failed"}
    assert result.elapsed_ms == 6000


@pytest.mark.parametrize("option", ["per_action_caps", "resource_caps"])
async def test_limits_on_what_the_graph_does_not_have_are_harmless(option: str) -> None:
    options: dict[str, Any] = {option: {"elsewhere": 1}}
    assert (await run_graph(graph_of("a"), {"work": returns()}, **options)).ok


async def test_a_cap_that_looks_like_a_typo_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await run_graph(graph_of("a"), {"work": returns()}, per_action_caps={"wrok": 1})
    assert "'wrok'" in caplog.text
    assert "'work'" in caplog.text


async def test_a_resource_that_looks_like_a_typo_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    graph = graph_of(task("a", resource_ids=["database"]))
    with caplog.at_level(logging.WARNING):
        await run_graph(graph, {"work": returns()}, resource_caps={"databse": 1})
    assert "resource_caps['databse'] limits nothing" in caplog.text
    assert "'database'" in caplog.text


async def test_a_limit_that_serves_other_graphs_is_no_typo(
    caplog: pytest.LogCaptureFixture,
) -> None:
    graph = graph_of(task("a", resource_ids=["site 1"]))
    with caplog.at_level(logging.WARNING):
        await run_graph(graph, {"work": returns()}, resource_caps={"site 1": 1, "site 2": 1})
    assert caplog.text == ""


# refusals

BAD_LIMITS: list[tuple[object, type[Exception]]] = [
    (0, ValueError),
    (-1, ValueError),
    (True, TypeError),
    (False, TypeError),
    (1.0, TypeError),
    (1.5, TypeError),
    (float("nan"), TypeError),
    (float("inf"), TypeError),
    (Decimal(3), TypeError),
    ("3", TypeError),
    ([3], TypeError),
    (trio.Semaphore(3), TypeError),
]
OPTIONS: list[Callable[[object], dict[str, Any]]] = [
    lambda limit: {"max_parallel": limit},
    lambda limit: {"per_action_caps": {"work": limit}},
    lambda limit: {"per_action_caps": {"not in the graph": limit}},
    lambda limit: {"resource_caps": {"db": limit}},
]
NAMES = ["max_parallel", "per_action_caps['work']", "per_action_caps['not", "resource_caps['db']"]


@pytest.mark.parametrize(("limit", "builtin"), BAD_LIMITS, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize(("option", "name"), list(zip(OPTIONS, NAMES, strict=True)), ids=NAMES)
async def test_what_is_no_limit_is_refused(
    option: Callable[[object], dict[str, Any]], name: str, limit: object, builtin: type[Exception]
) -> None:
    graph = graph_of("a")
    with pytest.raises(builtin) as refusal:
        await run_graph(graph, {"work": returns()}, **option(limit))
    assert isinstance(refusal.value, TgtrioError)
    assert name in str(refusal.value)
    assert repr(limit)[:20] in str(refusal.value)
    assert (await run_graph(graph, {"work": returns()})).ok  # as if nothing had been


@pytest.mark.parametrize("option", ["per_action_caps", "resource_caps"])
@pytest.mark.parametrize(
    "caps", [{"work": None}, {1: 1}, {None: 1}, [("work", 1)], "work", 3], ids=str
)
async def test_what_are_no_limits_by_name_is_refused(option: str, caps: object) -> None:
    with pytest.raises(InvalidTypeError, match=option):
        await run_graph(graph_of("a"), {"work": returns()}, **{option: caps})  # type: ignore[arg-type]


async def test_a_refusal_comes_before_anything_runs() -> None:
    ran = []

    async def note(args: dict[str, Any]) -> None:
        ran.append(args)

    with pytest.raises(InvalidValueError):
        await run_graph(graph_of("a"), {"work": note}, per_action_caps={"work": 0})
    assert ran == []


async def test_a_graph_runs_once_at_a_time(autojump_clock: MockClock) -> None:
    graph = graph_of("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_graph, graph, {"work": nap})
        await trio.sleep(0.5)
        with pytest.raises(GraphRunningError, match="'g'"):
            await run_graph(graph, {"work": nap})
    assert (await run_graph(graph, {"work": nap})).ok
