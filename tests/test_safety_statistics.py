"""The figures that rules judge: counters, and sliding windows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio import _safety_statistics
from tgtrio._errors import InvalidTypeError, InvalidValueError, TgtrioError
from tgtrio._safety import AbortConditionMonitor
from tgtrio._safety_statistics import GRAIN, HORIZON, Observation, SafetyStatistics

from .monitors import observe, watching


def test_every_figure() -> None:
    monitor = watching()
    observe(
        monitor,
        {"started": 9, "failed": 2, "succeeded": 1, "postponed": 1, "cancelled": 2, "retried": 3},
        now=2.5,
    )
    monitor.observe(Observation.FAILED, 4.0)
    monitor.spend(1.5)
    assert monitor.statistics.to_dict() == {
        "attempts": 4,
        "successes": 1,
        "failures": 3,
        "consecutive_failures": 1,
        "retries": 3,
        "in_flight": 2,
        "elapsed_s": 4.0,
        "spent": 1.5,
    }
    assert repr(monitor.statistics) == (
        "SafetyStatistics(attempts=4, successes=1, failures=3, consecutive_failures=1, "
        "retries=3, in_flight=2, elapsed_s=4, spent=1.5)"
    )


@pytest.mark.parametrize("name", watching().statistics.to_dict())
def test_a_figure_can_only_be_read(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(watching().statistics, name, 0)


def test_in_flight_is_never_below_nothing() -> None:
    monitor = watching()
    observe(monitor, {"cancelled": 1, "failed": 1})
    assert monitor.statistics.in_flight == 0


@pytest.mark.parametrize("event", ["fail", "", None, 3, [], "SUCCEEDED"])
def test_an_unknown_event_is_refused_and_changes_nothing(event: Any) -> None:
    monitor = watching()
    with pytest.raises(InvalidValueError, match=r"the event is .*; it must be one of started, "):
        monitor.observe(event, 9.0)
    assert set(monitor.statistics.to_dict().values()) == {0}


def test_observations_from_many_threads_are_all_counted() -> None:
    monitor = watching()

    def work() -> None:
        for _ in range(2_000):
            monitor.observe(Observation.STARTED, 1.0)
            monitor.observe(Observation.FAILED, 1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert monitor.statistics.failures == monitor.statistics.consecutive_failures == 8_000
    assert monitor.statistics.in_flight == 0


# Sliding windows

KINDS = ("succeeded", "failed", "retried", "started", "postponed", "cancelled")
# Multiples of 1/64 s are exact, so the law below is too.
steps = st.one_of(st.just(0), st.integers(0, 20), st.integers(0, 64 * 100)).map(lambda n: n / 64)
history = st.lists(st.tuples(steps, st.sampled_from(KINDS)), max_size=60)
windows = st.one_of(st.integers(1, 64), st.integers(1, 64 * 200)).map(lambda n: n / 64)


def check_window(
    statistics: SafetyStatistics, seen: list[tuple[float, str]], now: float, seconds: float
) -> None:
    """The law of a window, against a naive list of all that was observed."""

    def naive(kinds: tuple[str, ...], back: float) -> int:
        return sum(kind in kinds and at > now - back for at, kind in seen)

    counts: list[tuple[Callable[[float], int], tuple[str, ...]]] = [
        (statistics.attempts_in, ("succeeded", "failed")),
        (statistics.failures_in, ("failed",)),
        (statistics.retries_in, ("retried",)),
    ]
    for count, kinds in counts:
        assert naive(kinds, seconds) <= count(seconds) <= naive(kinds, seconds + GRAIN)


@given(history=history, rest=steps, seconds=windows, start=st.integers(0, 2**20))
def test_a_window_counts_what_a_list_would_within_one_grain(
    history: list[tuple[float, str]], rest: float, seconds: float, start: int
) -> None:
    monitor = AbortConditionMonitor(rules=())
    now = float(start)
    monitor.begin(now)
    seen: list[tuple[float, str]] = []
    for step, kind in history:
        now += step
        monitor.observe(kind, now)
        seen.append((now, kind))
    monitor.should_abort(now + rest)
    check_window(monitor.statistics, seen, now + rest, seconds)


@pytest.mark.parametrize("pause", [1, 3, 8, 9, 16])
def test_the_law_holds_at_every_edge(pause: int) -> None:
    monitor = watching()
    seen: list[tuple[float, str]] = []
    for n in range(0, 128, pause):
        monitor.observe(KINDS[n % 2], n / 64)
        seen.append((n / 64, KINDS[n % 2]))
        for seconds in range(1, 140):
            check_window(monitor.statistics, seen, n / 64, seconds / 64)


def test_the_marks_are_few_however_many_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_safety_statistics, "HORIZON", 10.0)
    monitor = watching()
    most = 0
    for n in range(20_000):
        monitor.observe("failed", n / 64)
        most = max(most, len(monitor.statistics._marks))
    assert most <= 2 * 10 / GRAIN + 2
    assert [len(column) for column in monitor.statistics._totals] == (
        [len(monitor.statistics._marks)] * 3
    )
    assert monitor.statistics.failures == 20_000
    assert 640 <= monitor.statistics.failures_in(10.0) <= 640 + 64 * GRAIN


def test_the_longest_window_is_whole_after_old_marks_are_gone() -> None:
    monitor = watching()
    for second in range(4 * int(HORIZON)):
        monitor.observe("failed", float(second))
        if second % 1_000 == 999:
            within = min(second + 1, int(HORIZON))
            # The one at the very start of the window is older by less than a grain.
            assert within <= monitor.statistics.failures_in(HORIZON) <= within + 1


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (0, InvalidValueError),
        (-1.0, InvalidValueError),
        (3_600.1, InvalidValueError),
        (float("nan"), InvalidValueError),
        ("60", InvalidTypeError),
        (None, InvalidTypeError),
        (True, InvalidTypeError),
    ],
)
def test_a_window_that_is_none_is_refused(seconds: Any, error: type[TgtrioError]) -> None:
    statistics = watching().statistics
    for count in (statistics.attempts_in, statistics.failures_in, statistics.retries_in):
        with pytest.raises(error, match="seconds is"):
            count(seconds)
    assert statistics.attempts_in(60) == 0
