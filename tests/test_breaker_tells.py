"""What a circuit breaker tells: moves, changes, figures, refusals."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from tgtrio._breaker import CircuitBreaker, Permit
from tgtrio._breaker_policy import BreakerState, Move
from tgtrio._errors import CircuitOpenError

from .breakers import Clock, Scene, seen

CLOSED, OPEN, HALF_OPEN = BreakerState


@pytest.fixture
def scene() -> Scene:
    return Scene()


# What it says


def test_each_move_is_told_with_its_reason(scene: Scene) -> None:
    scene.record("..")
    scene.half_open()
    scene.probe().failed()
    scene.clock.now += 30
    scene.probe().succeeded()
    assert scene.moves == [
        Move(CLOSED, OPEN, "5 of the last 7 attempts failed", 1_000),
        Move(OPEN, HALF_OPEN, "30 s have passed", 1_030),
        Move(HALF_OPEN, OPEN, "the probe failed", 1_030),
        Move(OPEN, HALF_OPEN, "30 s have passed", 1_060),
        Move(HALF_OPEN, CLOSED, "the probe succeeded", 1_060),
    ]
    assert scene.breaker.reason == "the probe succeeded"


def test_listeners_are_told_once_of_each_visible_change_and_of_no_other(scene: Scene) -> None:
    def changes(act: Callable[[], object]) -> int:
        before = scene.told
        act()
        return scene.told - before

    breaker, clock = scene.breaker, scene.clock

    def later() -> None:
        clock.now += 30
        breaker.wake()

    assert changes(lambda: scene.record("...")) == 0
    assert changes(lambda: scene.record("x")) == 1  # no longer quiet
    assert changes(lambda: scene.record("x.x.x")) == 0
    assert changes(lambda: scene.record("x")) == 1  # open
    assert changes(breaker.wake) == 0
    assert changes(later) == 1  # half-open
    assert changes(breaker.try_acquire) == 1  # the probe is taken
    assert changes(breaker.try_acquire) == 0
    assert changes(later) == 1  # it is overdue
    assert changes(later) == 0
    assert changes(scene.probe().released) == 1
    clock.now = 0
    assert changes(breaker.wake) == 0  # the clock was set back, and nobody waits
    assert changes(scene.probe().failed) == 1
    clock.now = -1
    assert changes(breaker.wake) == 1  # and somebody waits
    clock.now = -2
    assert changes(breaker.try_acquire) == 1
    clock.now += 30
    assert changes(breaker.try_acquire) == 1  # half-open and taken in one


def test_a_listener_hears_no_more_after_it_unsubscribed(scene: Scene) -> None:
    heard: list[str] = []
    ends = [scene.breaker.subscribe(lambda _, n=n: heard.append(n)) for n in "abb"]  # type: ignore[misc]
    scene.record("x")
    ends[1]()
    ends[1]()
    scene.breaker.close()
    assert heard == ["a", "b", "b", "a", "b"]


def test_a_listener_may_unsubscribe_another_while_it_hears(scene: Scene) -> None:
    heard: list[str] = []
    scene.breaker.subscribe(lambda _: end())
    end = scene.breaker.subscribe(lambda _: heard.append("too late"))
    scene.record("x")
    assert heard == []


def test_a_callback_may_call_the_breaker_and_all_hear_the_moves_in_order() -> None:
    heard: list[object] = []

    def on_move(breaker: CircuitBreaker, move: Move) -> None:
        if move.reason == "first":
            breaker.close("second")
        heard.append(move.reason)

    def listen(breaker: CircuitBreaker) -> None:
        if breaker.generation == 2:
            breaker.isolate("third")
        heard.append(breaker.generation)

    breaker = CircuitBreaker("api", clock=Clock(), on_move=on_move)
    breaker.subscribe(listen)
    breaker.isolate("first")
    assert heard == ["first", "second", 3, "third", 3]


def test_a_listener_may_take_the_probe(scene: Scene) -> None:
    taken: list[Permit | None] = []

    def take(breaker: CircuitBreaker) -> None:
        if breaker.state is HALF_OPEN and breaker.admits():
            taken.append(breaker.try_acquire())

    scene.breaker.subscribe(take)
    scene.half_open()
    assert not scene.breaker.admits()
    assert [permit is not None and permit.is_probe for permit in taken] == [True]


def test_a_listener_sees_the_breaker_as_it_is_after_the_change(scene: Scene) -> None:
    views: list[tuple[Any, ...]] = []
    scene.breaker.subscribe(lambda breaker: views.append(seen(breaker)))
    scene.half_open()
    scene.probe()
    scene.clock.now += 30
    scene.probe().succeeded()
    assert views == [
        (CLOSED, False, True, None),
        (OPEN, False, False, 1_030),
        (HALF_OPEN, False, True, None),
        (HALF_OPEN, False, False, 1_060),
        (HALF_OPEN, False, False, 1_090),
        (CLOSED, True, True, None),
    ]


def test_a_callback_that_raises_is_logged_once_and_not_called_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []

    def bad(*_: object) -> None:
        calls.append("bad")
        raise ValueError("a slip")

    breaker = CircuitBreaker("api", clock=Clock(), on_move=bad)
    breaker.subscribe(bad)
    breaker.subscribe(lambda _: calls.append("good"))
    with caplog.at_level(logging.WARNING, "tgtrio"):
        breaker.isolate()
        breaker.close()
    assert calls == ["bad", "bad", "good", "good"]
    assert len(caplog.records) == 2
    assert "breaker 'api': <function" in caplog.text
    assert "ValueError: a slip" in caplog.text


class Interrupted(BaseException):
    pass


def test_an_interrupt_in_a_callback_passes_and_the_breaker_still_tells() -> None:
    heard: list[int] = []

    def listen(breaker: CircuitBreaker) -> None:
        heard.append(breaker.generation)
        if len(heard) == 1:
            raise Interrupted

    breaker = CircuitBreaker("api", clock=Clock())
    breaker.subscribe(listen)
    with pytest.raises(Interrupted):
        breaker.isolate()
    breaker.close()
    assert heard == [1, 2]


def test_statistics_give_the_instants_by_its_clock(scene: Scene) -> None:
    assert scene.breaker.statistics() == {
        "state": "CLOSED",
        "opens_at": None,
        "half_open_at": None,
        "isolated": False,
        "failures": 0,
        "recorded": 0,
    }
    scene.record(".xx.xxx")
    opened = {"opens_at": 1_000, "half_open_at": 1_030, "failures": 5, "recorded": 7}
    assert scene.breaker.statistics() == {"state": "OPEN", "isolated": False} | opened
    scene.clock.now = 1_031
    assert scene.breaker.statistics() == {"state": "HALF_OPEN", "isolated": False} | opened
    scene.breaker.isolate()
    assert scene.breaker.statistics()["state"] == "OPEN"
    assert scene.breaker.statistics()["opens_at"] == 1_031
    assert scene.breaker.statistics()["half_open_at"] is None


def refusal(scene: Scene) -> str:
    with pytest.raises(CircuitOpenError) as refused:
        scene.breaker.acquire()
    return str(refused.value)


def test_a_refusal_says_since_when_why_and_until_when(scene: Scene) -> None:
    scene.open()
    scene.clock.now = 1_012
    opened = "breaker 'api': open since 1000 (5 of the last 5 attempts failed)"
    assert refusal(scene) == f"{opened}; half-opens at 1030, in 18 s"
    scene.clock.now = 1_031
    scene.probe()
    assert refusal(scene) == (
        "breaker 'api': half-open, its probe under way since 1031; "
        "lets another pass at 1061, in 30 s"
    )
    scene.breaker.isolate("too dear")
    assert refusal(scene) == (
        "breaker 'api': isolated, open since 1031 (too dear); only close() ends that"
    )


def test_a_long_reason_is_cut_in_a_refusal(scene: Scene) -> None:
    scene.breaker.isolate("x" * 10_000)
    assert f"({'x' * 200})" in refusal(scene)


def test_its_repr_does_not_look_at_the_clock(scene: Scene) -> None:
    scene.open()
    scene.clock.now += 100
    assert repr(scene.breaker) == "<CircuitBreaker 'api' OPEN>"
