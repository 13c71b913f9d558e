"""The timers of a run."""

from __future__ import annotations

import math

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio._timekeeper import Timekeeper

from .runs import counting_turns


class Log:
    """Timers that write down when they acted."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.started = 0
        self.timers = Timekeeper(self._start)
        self.acted: list[tuple[float, str]] = []
        self._nursery = nursery

    def _start(self, timers: Timekeeper) -> None:
        self.started += 1
        self._nursery.start_soon(timers.run)

    def set(self, when: float, name: str = ""):  # type: ignore[no-untyped-def]
        return self.timers.at(when, lambda: self.acted.append((trio.current_time(), name)))


async def test_timers_act_in_time_order_and_equal_ones_in_the_order_they_were_set(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        log = Log(nursery)
        for when, name in ((5, "c"), (2, "a"), (5, "d"), (2, "b"), (9, "e")):
            log.set(when, name)
        assert len(log.timers) == 5
        await trio.sleep(10)
        assert log.acted == [(2, "a"), (2, "b"), (5, "c"), (5, "d"), (9, "e")]
        assert len(log.timers) == 0
        nursery.cancel_scope.cancel()
    assert log.started == 1


async def test_without_timers_nothing_is_started(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        log = Log(nursery)
        await trio.sleep(1)
        assert log.started == 0
        assert not nursery.child_tasks


async def test_an_earlier_timer_wakes_the_sleeper(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        log = Log(nursery)
        log.set(100, "late")
        await trio.sleep(1)
        log.set(3, "early")
        log.set(0.5, "already past")
        await trio.sleep(1)
        assert log.acted == [(1, "already past")]
        await trio.sleep(200)
        assert log.acted[1:] == [(3, "early"), (100, "late")]
        nursery.cancel_scope.cancel()


async def test_a_cancelled_timer_does_not_act(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        log = Log(nursery)
        first, second = log.set(1, "first"), log.set(2, "second")
        log.timers.cancel(first)
        log.timers.cancel(first)
        assert len(log.timers) == 1
        await trio.sleep(5)
        log.timers.cancel(second)  # it has acted
        assert log.acted == [(2, "second")]
        assert len(log.timers) == 0
        nursery.cancel_scope.cancel()


async def test_a_timer_may_set_and_cancel_others(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        log = Log(nursery)
        victim = log.set(2, "victim")

        def act() -> None:
            log.timers.cancel(victim)
            log.set(1, "at once")
            log.set(3, "later")

        log.timers.at(1, act)
        await trio.sleep(5)
        assert log.acted == [(1, "at once"), (3, "later")]
        nursery.cancel_scope.cancel()


async def test_timers_far_away_cost_no_turns(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        log = Log(nursery)
        for n in range(100):
            log.set(1e9 + n)
        log.set(math.inf)
        await trio.sleep(1)
        with counting_turns() as counter:
            await trio.sleep(1e8)
        assert counter.turns <= 2
        nursery.cancel_scope.cancel()


def test_due_timers_can_be_served_at_once() -> None:
    acted: list[int] = []
    timers = Timekeeper(lambda timers: None)
    for n in range(5):
        timers.at(n, lambda n=n: acted.append(n))  # type: ignore[misc]
    timers.act_until(2)
    assert acted == [0, 1, 2]
    assert len(timers) == 2
    timers.act_until(1)
    assert acted == [0, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=300))
def test_cancelled_timers_are_forgotten_in_bulk(plan: list[tuple[int, bool]]) -> None:
    acted: list[int] = []
    timers = Timekeeper(lambda timers: None)
    made = [timers.at(when, lambda n=n: acted.append(n)) for n, (when, _) in enumerate(plan)]  # type: ignore[misc]
    for timer, (_, cancelled) in zip(made, plan, strict=True):
        if cancelled:
            timers.cancel(timer)
    kept = [n for n, (_, cancelled) in enumerate(plan) if not cancelled]
    assert len(timers) == len(kept)
    timers.act_until(25)
    timers.act_until(100)
    assert acted == sorted(kept, key=lambda n: (plan[n][0], n))
    assert len(timers) == 0
