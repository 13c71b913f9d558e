"""The hooks of instruments: which are called, what becomes of those that raise, what is refused."""

from __future__ import annotations

import gc
import inspect
import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    BreakerPolicy,
    GraphResult,
    Instrument,
    InvalidTypeError,
    InvalidValueError,
    TaskState,
    create_task_scheduler,
    open_run,
    run_graph,
)
from tgtrio._instrument import HOOKS as ALL_HOOKS

from .diaries import Diary
from .runs import graph_of, nap, raises, returns, sleeps, task

# Those that are called in a run in which tasks fail and are tried again.
HOOKS = [n for n in ALL_HOOKS if n not in ("beside", "action_cooling", "run_steered")]


def only(name: str, hook: Callable[..., object]) -> Instrument:
    """An instrument that overrides one hook."""
    instrument = Instrument()
    setattr(instrument, name, hook)
    return instrument


async def test_a_hook_that_is_not_overridden_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in HOOKS:
        monkeypatch.setattr(Instrument, name, lambda *args, name=name: called.append(name))
    heard: list[object] = []
    await run_graph(
        graph_of("a"), {"work": returns()}, instruments=[only("task_ended", heard.append)]
    )
    assert called == []


async def test_nothing_is_logged_for_hooks_that_are_not_there() -> None:
    lengths: list[int] = []

    async def work(args: dict[str, Any]) -> None:
        parts = graph._run_state.parts  # type: ignore[union-attr]
        lengths.append(parts.queue.logged())

    graph = graph_of("a", "b", "c")
    await run_graph(graph, {"work": work})
    await run_graph(graph, {"work": work}, instruments=[only("run_ended", lambda result: None)])
    assert lengths == [0] * 6


async def test_several_instruments_hear_in_their_order() -> None:
    heard: list[str] = []
    instruments = [only("task_ended", lambda *_, name=name: heard.append(name)) for name in "abc"]
    await run_graph(graph_of("x", "y"), {"work": returns()}, instruments=instruments)
    assert heard == ["a", "b", "c"] * 2


def broken(*about: object) -> None:
    raise ValueError("out of order")


@pytest.mark.parametrize("name", HOOKS)
async def test_a_hook_that_raises_is_logged_once_and_its_instrument_dropped(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    class Broken(Diary):
        pass

    setattr(Broken, name, lambda self, *about: broken())
    bad, good = Broken(), Diary()
    graph = graph_of(*(task(f"t{n}", max_retries=1) for n in range(9)))
    options: dict[str, Any] = {"breaker": BreakerPolicy(window=2), "max_parallel": 1, "seed": 1}
    result = await run_graph(graph, {"work": raises()}, instruments=[bad, good], **options)
    good.check(result)
    (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert record.name == "tgtrio"
    assert name in record.message
    assert "Broken" in record.message
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "out of order"
    assert ("run ended",) not in bad.pages


async def test_one_function_that_is_several_hooks_may_raise_as_well() -> None:
    class Both(Instrument):
        task_started = staticmethod(broken)  # type: ignore[assignment]
        task_ended = staticmethod(broken)  # type: ignore[assignment]

    diary = Diary()
    result = await run_graph(
        graph_of("a", task("b", "a")), {"work": returns()}, instruments=[Both(), diary]
    )
    assert result.ok
    assert diary.of("b") == [("started", 0), ("ended", TaskState.SUCCEEDED)]


@pytest.mark.parametrize("name", HOOKS)
async def test_a_hook_that_raises_an_interrupt_ends_the_run(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    def stop(*about: object) -> None:
        raise KeyboardInterrupt

    diary = Diary()
    graph = graph_of(*(task(f"t{n}", max_retries=1) for n in range(9)), max_parallel=1)
    with pytest.raises(KeyboardInterrupt):
        await run_graph(
            graph,
            {"work": raises()},
            instruments=[only(name, stop), diary],
            breaker=BreakerPolicy(window=2),
        )
    assert diary.result is not None
    diary.check(diary.result)
    assert caplog.records == []


async def test_a_hook_may_use_the_run(autojump_clock: MockClock) -> None:
    diary = Diary()
    stopper = only("task_started", lambda *about: run.cancel())
    graph = graph_of(*(f"t{n}" for n in range(5)), max_parallel=2)
    async with open_run(graph, {"work": sleeps(100)}, instruments=[stopper, diary]) as run:
        pass
    diary.check(await run.wait())
    assert trio.current_time() == 0
    assert set(diary.ends().values()) == {TaskState.CANCELLED}


async def test_a_hook_may_wake_a_trio_task_while_all_others_sleep() -> None:
    started = trio.Event()
    graph = graph_of("t")
    instruments = [only("task_started", lambda *about: started.set())]
    with trio.fail_after(10):
        async with open_run(graph, {"work": sleeps(1000)}, instruments=instruments) as run:
            await started.wait()
            run.cancel()


async def test_the_scheduler_takes_instruments_too(tmp_path: Any) -> None:
    diary = Diary()
    scheduler = create_task_scheduler(tmp_path, actions={"work": returns()})
    diary.check(await scheduler.execute_graph(graph_of("a"), instruments=[diary]))


async def test_a_run_that_is_over_leaves_no_cycle_behind() -> None:
    class Value:
        pass

    values: list[weakref.ref[Value]] = []

    async def work(args: dict[str, Any]) -> Value:
        values.append(weakref.ref(value := Value()))
        return value

    gc.disable()
    try:
        await run_graph(graph_of("a"), {"work": work}, instruments=[Uninterested()])
        assert values[0]() is None
    finally:
        gc.enable()


class Uninterested(Instrument):
    """Hears of everything, and keeps nothing."""

    def task_started(self, task_id: str, attempt: int, at: float) -> None:
        pass

    def task_ended(self, task_id: str, state: TaskState, at: float) -> None:
        pass


class Async(Instrument):
    async def run_ended(self, result: GraphResult) -> None:  # type: ignore[override]
        pass


@pytest.mark.parametrize(
    ("value", "about"),
    [
        (Instrument(), "must be a list"),
        (None, "must be a list"),
        ([print], r"instruments\[0\].*no Instrument"),
        ([Instrument], "not the class"),
        ([Async()], "run_ended must be a plain function"),
        ([only("beside", print)], "beside must be an async function"),
    ],
)
async def test_what_is_no_list_of_instruments_is_refused(value: Any, about: str) -> None:
    with pytest.raises(InvalidTypeError, match=about):
        await run_graph(graph_of("a"), {"work": nap}, instruments=value)


async def test_an_instrument_that_is_there_twice_is_refused() -> None:
    one = Instrument()
    with pytest.raises(InvalidValueError, match="twice"):
        await run_graph(graph_of("a"), {"work": nap}, instruments=[one, one])


async def test_the_hooks_of_the_base_do_nothing() -> None:
    for name in ALL_HOOKS:
        hook = getattr(Instrument(), name)
        answer = hook(*inspect.signature(hook).parameters)
        assert (await answer if name == "beside" else answer) is None
