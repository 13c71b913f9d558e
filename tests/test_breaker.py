"""The circuit breaker: when it opens, whom it lets through, and what counts."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio._breaker import CircuitBreaker
from tgtrio._breaker_policy import BreakerPolicy, BreakerState, Move, is_failure
from tgtrio._errors import CircuitOpenError, InvalidTypeError, InvalidValueError
from tgtrio._retry import NonRetryable, RetryLater

from .breakers import Clock, Scene, seen

CLOSED, OPEN, HALF_OPEN = BreakerState


@pytest.fixture
def scene() -> Scene:
    return Scene()


# When it opens


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ("", CLOSED),
        ("xxxx", CLOSED),
        ("xxxxx", OPEN),
        (".xx.xx.x", OPEN),
        ("xxxx" + "." * 6, CLOSED),
        ("xxxx" + "." * 5 + "x", OPEN),
        ("xxxx" + "." * 6 + "x", CLOSED),  # the first failure has left the window
        ("x.." * 10, CLOSED),
        ("x." * 4 + "x", OPEN),
    ],
)
def test_it_opens_when_five_of_the_last_ten_failed(
    scene: Scene, outcomes: str, state: BreakerState
) -> None:
    scene.record(outcomes)
    assert scene.breaker.state is state


@pytest.mark.parametrize(
    ("window", "threshold", "failures"),
    [
        (10, 0.5, 5),
        (10, 0.41, 5),
        (10, 0.01, 1),
        (10, 1e-300, 1),
        (1, 1, 1),
        (3, 0.5, 2),
        (100, 0.07, 7),
        (100, 0.29, 29),
        (10, Fraction(1, 3), 4),
        (1_000_000, 1, 1_000_000),
    ],
)
def test_the_threshold_is_a_part_of_the_whole_window(
    window: int, threshold: float, failures: int
) -> None:
    assert BreakerPolicy(window, threshold).failures_to_open == failures


def test_it_is_quiet_until_a_failure_comes_and_after_it_has_left_the_window() -> None:
    scene = Scene(window=3, threshold=1)
    assert scene.breaker.quiet
    scene.record("..x")
    assert not scene.breaker.quiet
    scene.record("..")
    assert not scene.breaker.quiet
    scene.record(".")
    assert scene.breaker.quiet
    assert not scene.open().quiet


def test_open_it_lets_nobody_through_until_its_time_is_over(scene: Scene) -> None:
    breaker = scene.open()
    assert (breaker.opened_at, breaker.half_open_at, breaker.next_change) == (1_000, 1_030, 1_030)
    scene.clock.now = 1_029.999
    assert breaker.try_acquire() is None
    assert not breaker.admits()
    scene.clock.now = 1_030
    assert breaker.admits()
    assert breaker.state is HALF_OPEN
    assert (breaker.opened_at, breaker.half_open_at, breaker.next_change) == (1_000, 1_030, None)


# The probe


def test_of_a_hundred_who_ask_one_gets_the_probe(scene: Scene) -> None:
    breaker = scene.half_open()
    assert [breaker.try_acquire() is not None for _ in range(100)].count(True) == 1
    assert breaker.next_change == 1_060


def test_a_good_probe_closes_it_with_an_empty_window(scene: Scene) -> None:
    breaker = scene.half_open()
    scene.probe().succeeded()
    assert breaker.state is CLOSED
    assert breaker.quiet
    assert (breaker.opened_at, breaker.half_open_at, breaker.next_change) == (None, None, None)
    scene.record("xxxx")
    assert breaker.state is CLOSED
    scene.record("x")
    assert breaker.state is OPEN


def test_a_failed_probe_opens_it_for_as_long_again(scene: Scene) -> None:
    breaker = scene.half_open()
    scene.clock.now = 1_041
    probe = scene.probe()
    scene.clock.now = 1_050
    probe.failed()
    assert breaker.state is OPEN
    assert (breaker.opened_at, breaker.half_open_at) == (1_050, 1_080)


def test_a_released_probe_is_there_again_at_once(scene: Scene) -> None:
    breaker = scene.half_open()
    for _ in range(20):
        scene.probe().released()
    assert breaker.state is HALF_OPEN
    assert breaker.probes_failed == 0


def test_a_probe_that_never_returns_lets_one_more_through_after_a_while(scene: Scene) -> None:
    breaker = scene.half_open()
    kept = [scene.probe()]
    for _ in range(3):
        scene.clock.now += 29
        assert breaker.try_acquire() is None
        scene.clock.now += 1
        kept.append(scene.probe())
        assert breaker.try_acquire() is None
    kept[-1].succeeded()
    assert breaker.state is CLOSED


def test_a_forgotten_probe_is_replaced_too(scene: Scene) -> None:
    breaker = scene.half_open()
    scene.probe()
    gc.collect()
    assert breaker.try_acquire() is None
    scene.clock.now += 30
    scene.probe().succeeded()
    assert breaker.state is CLOSED


@pytest.mark.parametrize(("success", "state"), [(True, CLOSED), (False, OPEN)])
def test_a_late_probe_decides_and_the_one_after_it_does_not(
    scene: Scene, success: bool, state: BreakerState
) -> None:
    breaker = scene.half_open()
    late = scene.probe()
    scene.clock.now += 30
    newer = scene.probe()
    late.succeeded() if success else late.failed()
    assert breaker.state is state
    generation = breaker.generation
    newer.failed() if success else newer.succeeded()
    assert (breaker.state, breaker.generation) == (state, generation)
    assert breaker.quiet == success


def test_a_late_probe_that_is_released_gives_back_only_its_own_place(scene: Scene) -> None:
    breaker = scene.half_open()
    late = scene.probe()
    scene.clock.now += 30
    newer = scene.probe()
    late.released()
    assert breaker.try_acquire() is None
    newer.released()
    scene.probe()


def test_a_late_probe_whom_nobody_has_replaced_can_be_released(scene: Scene) -> None:
    scene.half_open()
    late = scene.probe()
    scene.clock.now += 100
    late.released()
    scene.probe()
    assert scene.breaker.try_acquire() is None


# What counts


def test_a_stale_success_does_not_close_a_breaker_that_opened_again(scene: Scene) -> None:
    breaker = scene.breaker
    while_closed, generation = breaker.acquire(), breaker.generation
    scene.half_open()
    first = scene.probe()
    scene.clock.now += 30
    scene.probe().failed()
    scene.clock.now += 30
    assert breaker.state is HALF_OPEN
    before = breaker.generation
    first.succeeded()
    while_closed.succeeded()
    breaker.record(generation, True)
    assert (breaker.state, breaker.generation) == (HALF_OPEN, before)


def test_stale_failures_do_not_open_a_breaker_that_closed_again(scene: Scene) -> None:
    breaker = scene.breaker
    permits = [breaker.acquire() for _ in range(9)]
    scene.half_open()
    scene.probe().succeeded()
    for permit in permits:
        permit.failed()
    assert breaker.quiet


def test_an_outcome_without_a_permit_counts_only_while_closed(scene: Scene) -> None:
    scene.half_open()
    scene.record(".x")  # in this very generation
    assert scene.breaker.state is HALF_OPEN
    scene.probe().failed()
    scene.record("." * 20)
    assert scene.breaker.state is OPEN
    assert scene.breaker.statistics()["recorded"] == 5


class Interrupted(BaseException):
    pass


COUNTED: list[Exception] = [OSError(), NonRetryable(), TypeError(), TimeoutError()]
NOT_COUNTED: list[BaseException] = [
    RetryLater(1),
    CircuitOpenError(),
    KeyboardInterrupt(),
    SystemExit(),
    GeneratorExit(),
    Interrupted(),
    ExceptionGroup("", [RetryLater(1), ExceptionGroup("", [CircuitOpenError()])]),
    BaseExceptionGroup("", [Interrupted(), OSError()]),
]
MIXED: list[Exception] = [ExceptionGroup("", [RetryLater(1), ExceptionGroup("", [OSError()])])]


def names(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("error", COUNTED + MIXED, ids=names)
def test_an_exception_is_a_failure(scene: Scene, error: Exception) -> None:
    assert is_failure(error)
    for _ in range(5):
        with pytest.raises(type(error)), scene.breaker.acquire():
            raise error
    assert scene.breaker.state is OPEN


@pytest.mark.parametrize("error", NOT_COUNTED, ids=names)
def test_what_says_nothing_of_the_call_counts_nothing_and_leaks_no_permit(
    scene: Scene, error: BaseException
) -> None:
    assert not is_failure(error)
    for _ in range(5):
        with pytest.raises(type(error)), scene.breaker.acquire():
            raise error
    assert scene.breaker.statistics()["recorded"] == 0
    scene.half_open()
    with pytest.raises(type(error)), scene.breaker.acquire():
        raise error
    assert scene.breaker.admits()


async def test_a_cancelled_call_is_no_failure_and_gives_its_permit_back(
    autojump_clock: MockClock,
) -> None:
    breaker = CircuitBreaker("api", clock=trio.current_time)
    for _ in range(10):
        with trio.move_on_after(1), breaker.acquire():
            await trio.sleep_forever()
    assert breaker.quiet
    for _ in range(5):
        breaker.record(breaker.generation, False)
    await trio.sleep(30)
    with trio.move_on_after(1), breaker.acquire() as probe:
        assert probe.is_probe
        await trio.sleep_forever()
    assert breaker.admits()


def test_a_permit_is_settled_once(scene: Scene) -> None:
    permit = scene.breaker.acquire()
    assert not permit.is_probe
    for _ in range(10):
        permit.failed()
    assert scene.breaker.statistics()["failures"] == 1
    scene.half_open()
    with scene.breaker.acquire() as probe:
        probe.released()
        another = scene.probe()
        probe.succeeded()
    assert scene.breaker.state is HALF_OPEN
    another.succeeded()
    assert scene.breaker.state is CLOSED


# The clock


def test_a_clock_set_back_begins_the_wait_again(scene: Scene) -> None:
    breaker = scene.open()
    scene.clock.now = 10
    assert breaker.state is OPEN
    assert (breaker.opened_at, breaker.half_open_at, breaker.next_change) == (10, 40, 40)
    scene.clock.now = 39
    assert not breaker.admits()
    scene.clock.now = 40
    assert breaker.admits()


def test_a_clock_set_back_begins_the_wait_for_a_probe_again(scene: Scene) -> None:
    breaker = scene.half_open()
    late = scene.probe()
    scene.clock.now = 10
    assert breaker.next_change == 40
    assert (breaker.opened_at, breaker.half_open_at) == (10, 10)
    scene.clock.now = 39
    assert not breaker.admits()
    scene.clock.now = 40
    assert breaker.admits()
    late.succeeded()
    assert breaker.state is CLOSED


def test_a_clock_set_back_a_little_changes_nothing_of_what_began_before(scene: Scene) -> None:
    breaker = scene.half_open()
    scene.clock.now = 1_045
    scene.probe()
    scene.clock.now = 1_040
    assert breaker.next_change == 1_070
    assert (breaker.opened_at, breaker.half_open_at) == (1_000, 1_030)


def test_nothing_is_said_to_have_happened_in_the_future(scene: Scene) -> None:
    breaker = scene.half_open()
    scene.clock.now = 1_020
    assert (breaker.opened_at, breaker.half_open_at, breaker.next_change) == (1_000, 1_020, None)
    breaker.isolate()
    scene.clock.now = 1_010
    assert (breaker.opened_at, breaker.half_open_at, breaker.next_change) == (1_010, None, None)


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (lambda b: b.state, OPEN),
        (lambda b: b.opened_at, 10),
        (lambda b: b.half_open_at, 40),
        (lambda b: b.next_change, 40),
        (lambda b: b.admits(), False),
        (lambda b: b.statistics()["opens_at"], 10),
    ],
)
def test_whatever_is_asked_is_answered_as_of_now(
    scene: Scene, look: Callable[[CircuitBreaker], object], expected: object
) -> None:
    scene.open()
    scene.clock.now = 10
    assert look(scene.breaker) == expected
    scene.clock.now = 40
    assert scene.breaker.state is HALF_OPEN


def test_a_clock_that_runs_ahead_opens_the_door(scene: Scene) -> None:
    breaker = scene.open()
    scene.clock.now = 1e9
    assert breaker.state is HALF_OPEN
    assert breaker.half_open_at == 1_030


def test_a_clock_that_cannot_be_read_leaves_everything_as_it_was() -> None:
    def unreadable() -> float:
        raise RuntimeError("no run")

    breaker = CircuitBreaker("api", clock=unreadable)
    assert breaker.state is CLOSED
    breaker.acquire().succeeded()
    with pytest.raises(RuntimeError, match="no run"):
        breaker.isolate()
    assert (breaker.state, breaker.generation) == (CLOSED, 0)


@given(
    now=st.floats(-1e308, 1e308),
    open_for=st.floats(0, 1e308, exclude_min=True),
    late=st.floats(0, 1e6),
)
def test_who_comes_when_it_is_time_finds_that_it_is_time(
    now: float, open_for: float, late: float
) -> None:
    scene = Scene(now, open_for=open_for, threshold=0.1)
    scene.record("x")
    for _ in range(3):  # opened, a probe out, another out
        due = scene.breaker.next_change
        if due is None or due == math.inf:
            return
        scene.clock.now = due + late
        assert scene.breaker.admits()
        assert scene.breaker.next_change is None
        scene.probe()


# Giving up


def fail_probe(scene: Scene) -> Move:
    scene.clock.now += 30
    scene.probe().failed()
    return scene.moves[-1]


def test_it_gives_up_after_five_failed_probes_in_a_row_and_counts_anew(scene: Scene) -> None:
    breaker = scene.open()
    gave_up = [fail_probe(scene).gave_up for _ in range(11)]
    assert gave_up == [False] * 4 + [True] + [False] * 4 + [True] + [False]
    assert breaker.give_ups == 2
    assert breaker.probes_failed == 1
    assert breaker.state is OPEN
    assert breaker.half_open_at == scene.clock.now + 30
    assert not any(move.gave_up for move in scene.moves if move.after is HALF_OPEN)


def test_closing_forgets_the_failed_probes(scene: Scene) -> None:
    scene.open()
    for _ in range(4):
        fail_probe(scene)
    scene.clock.now += 30
    scene.probe().succeeded()
    assert not scene.moves[-1].gave_up
    assert (scene.breaker.probes_failed, scene.breaker.give_ups) == (0, 0)
    scene.open()
    assert not any(fail_probe(scene).gave_up for _ in range(4))
    assert fail_probe(scene).gave_up


def test_released_probes_neither_count_nor_begin_the_count_anew(scene: Scene) -> None:
    scene.open()
    for n in range(5):
        scene.clock.now += 30
        scene.probe().released()
        scene.probe().failed()
        assert scene.moves[-1].gave_up == (n == 4)


# By hand


@pytest.mark.parametrize("prepare", ["record", "open", "half_open"])
def test_isolated_it_is_open_until_it_is_closed_by_hand(scene: Scene, prepare: str) -> None:
    breaker = scene.breaker
    scene.record("xxx") if prepare == "record" else getattr(scene, prepare)()
    before, generation = breaker.state, breaker.generation
    permit = breaker.try_acquire()
    breaker.isolate("maintenance")
    assert breaker.state is OPEN
    assert breaker.isolated
    assert breaker.generation == generation + 1
    assert scene.moves[-1] == Move(before, OPEN, "maintenance", scene.clock.now)
    scene.clock.now += 1e9
    if permit is not None:
        permit.succeeded()
    assert breaker.try_acquire() is None
    assert (breaker.half_open_at, breaker.next_change) == (None, None)
    breaker.close("done")
    assert seen(breaker) == (CLOSED, True, True, None)
    assert not breaker.isolated
    assert scene.moves[-1] == Move(OPEN, CLOSED, "done", scene.clock.now)
    assert breaker.statistics()["recorded"] == 0


def test_closed_by_hand_it_forgets_what_was_under_way(scene: Scene) -> None:
    breaker = scene.half_open()
    probe = scene.probe()
    breaker.close()
    probe.failed()
    assert seen(breaker) == (CLOSED, True, True, None)
    assert scene.moves[-1].reason == "closed by hand"


def test_closing_a_closed_breaker_only_empties_its_window(scene: Scene) -> None:
    scene.record("xxxx")
    told, generation = scene.told, scene.breaker.generation
    scene.breaker.close()
    assert scene.breaker.quiet
    assert scene.told == told + 1
    assert (scene.moves, scene.breaker.generation) == ([], generation)
    scene.record("xxxx")
    assert scene.breaker.state is CLOSED


def isolated(scene: Scene) -> None:
    scene.breaker.isolate()


@pytest.mark.parametrize(
    ("prepare", "act"),
    [
        (Scene.open, lambda b: b.record(b.generation, True)),
        (Scene.open, lambda b: b.record(b.generation, False)),
        (Scene.open, lambda b: b.try_acquire()),
        (Scene.half_open, lambda b: b.record(b.generation, False)),
        (isolated, lambda b: b.record(b.generation, True)),
        (isolated, lambda b: b.isolate("again")),
        (isolated, lambda b: b.try_acquire()),
        (lambda scene: None, lambda b: b.close()),
        (lambda scene: None, lambda b: b.record(b.generation - 1, False)),
        (lambda scene: None, lambda b: b.record(b.generation + 1, False)),
        (lambda scene: None, lambda b: b.acquire().released()),
    ],
)
def test_an_illegal_move_changes_nothing(
    scene: Scene, prepare: Callable[[Scene], object], act: Callable[[CircuitBreaker], object]
) -> None:
    prepare(scene)
    breaker = scene.breaker
    before = (breaker.generation, breaker.statistics(), list(scene.moves), scene.told)
    act(breaker)
    assert (breaker.generation, breaker.statistics(), scene.moves, scene.told) == before


# Bad arguments


def test_the_defaults() -> None:
    assert BreakerPolicy() == BreakerPolicy(10, 0.5, 30.0, 5)
    assert CircuitBreaker(clock=Clock()).policy == BreakerPolicy()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("window", 0, "0; it must be at least 1"),
        ("window", 1_000_001, "1000001; it must be at most 1000000"),
        ("window", 10**400, "0...; it must be at most 1000000"),
        ("threshold", 0, "0; it must be above 0 and at most 1"),
        ("threshold", 50, "50; it must be above 0 and at most 1"),
        ("threshold", -0.1, "-0.1; it must be above 0 and at most 1"),
        ("threshold", math.nan, "nan; it must be a finite number"),
        ("open_for", 0, "0; it must be above 0 seconds"),
        ("open_for", -30.0, "-30.0; it must be above 0 seconds"),
        ("open_for", math.inf, "inf; it must be a finite number"),
        ("give_up_after", 0, "0; it must be at least 1"),
    ],
)
def test_a_bad_value_in_a_policy_is_refused(field: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        BreakerPolicy(**{field: value})
    assert str(refused.value).startswith(f"option 'breaker': {field} is ")
    assert str(refused.value).endswith(said)


@pytest.mark.parametrize("field", ["window", "threshold", "open_for", "give_up_after"])
@pytest.mark.parametrize("value", ["1", None, True, [1]])
def test_a_bad_type_in_a_policy_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidTypeError, match=f"'breaker': {field} is .*, of type"):
        BreakerPolicy(**{field: value})


@pytest.mark.parametrize("value", [1.5, 3.0])
def test_a_count_must_be_an_int(value: Any) -> None:
    with pytest.raises(InvalidTypeError, match="window is"):
        BreakerPolicy(window=value)


@pytest.mark.parametrize(
    ("field", "value"), [("name", 5), ("policy", None), ("clock", 0.0), ("on_move", "print")]
)
def test_a_bad_argument_of_a_breaker_is_refused(field: str, value: Any) -> None:
    arguments: dict[str, Any] = {"name": "api", "clock": Clock()} | {field: value}
    with pytest.raises(InvalidTypeError, match=f"^breaker .*: {field} is .*; it must be a "):
        CircuitBreaker(**arguments)


@pytest.mark.parametrize(
    ("method", "field"), [("isolate", "reason"), ("close", "reason"), ("subscribe", "listener")]
)
def test_a_bad_argument_of_a_method_is_refused(scene: Scene, method: str, field: str) -> None:
    with pytest.raises(InvalidTypeError, match=f"^breaker 'api': {field} is 5, of type int"):
        getattr(scene.breaker, method)(5)
    assert scene.breaker.generation == 0


def test_any_real_number_is_a_number(scene: Scene) -> None:
    scene = Scene(open_for=Fraction(5, 2))
    scene.half_open()
    assert scene.breaker.half_open_at == 1_002.5


# Alone in a Trio program


async def test_a_hundred_trio_tasks_call_through_one_breaker(autojump_clock: MockClock) -> None:
    """A service that is down for 100 s is called by nobody but the probes meanwhile."""
    breaker = CircuitBreaker("api", clock=trio.current_time)
    started = trio.current_time()
    calls: list[float] = []
    done: list[float] = []

    async def call() -> None:
        while True:
            try:
                with breaker.acquire():
                    calls.append(trio.current_time() - started)
                    await trio.sleep(1 / 8)
                    if trio.current_time() - started < 100:
                        raise OSError("down")
            except (OSError, CircuitOpenError):
                await trio.sleep(1)
            else:
                done.append(trio.current_time() - started)
                return

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(call)
    assert calls[:100] == [0] * 100
    assert calls[100:104] == [30.125, 60.25, 90.375, 120.5]
    assert calls[104:] == [121.125] * 99
    assert done == [120.625] + [121.25] * 99
    assert breaker.quiet
