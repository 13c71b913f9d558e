"""The safety monitor: who may trip it, who hears of it, and what it keeps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tgtrio._errors import InvalidTypeError
from tgtrio._ledger import IdentityLedger
from tgtrio._safety import AbortConditionMonitor
from tgtrio._safety_rules import (
    DEFAULT_RULES,
    MaxConsecutiveFailures,
    MaxFailureRate,
    SpendBudget,
)
from tgtrio._safety_statistics import Observation, SafetyStatistics


def never(statistics: SafetyStatistics) -> None:
    return None


def alarm(statistics: SafetyStatistics) -> str:
    return "alarm"


def telling(monitor: AbortConditionMonitor) -> list[str]:
    """What a listener of the monitor hears."""
    heard: list[str] = []
    monitor.subscribe(heard.append)
    return heard


class Recorder:
    """A ledger and a store in one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.appended: list[Any] = []
        self.recorded: list[tuple[str, Any]] = []

    def append(self, event: Any) -> None:
        self.appended.append(event)
        if self.error is not None:
            raise self.error

    def record_event(self, kind: str, data: Any) -> None:
        self.recorded.append((kind, data))
        if self.error is not None:
            raise self.error


# Tripping


def test_a_new_monitor_stops_nothing() -> None:
    monitor = AbortConditionMonitor()
    assert not monitor.should_abort()
    assert monitor.get_abort_reason() is None
    assert monitor.check_abort_conditions() == (False, None)
    assert repr(monitor) == "<AbortConditionMonitor armed>"


def test_a_trip_stops_everything_and_the_first_reason_holds() -> None:
    monitor = AbortConditionMonitor(rules=[alarm])
    heard = telling(monitor)
    monitor.trip("first")
    monitor.trip("second")
    assert monitor.should_abort()
    assert monitor.get_abort_reason() == "first"
    assert monitor.check_abort_conditions() == (True, "first")
    assert heard == ["first"]
    assert repr(monitor) == "<AbortConditionMonitor tripped: 'first'>"


def test_a_trip_says_so_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    AbortConditionMonitor().trip("too hot")
    assert caplog.messages == ["safety: everything is aborted: too hot"]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (OSError("x"), "OSError('x')"),
        (None, "None"),
        ("", "no reason was given"),
        (" \n", "no reason was given"),
        ("\ud800!", "\\ud800!"),
        (42, "42"),
    ],
)
def test_a_brake_that_is_pulled_the_wrong_way_brakes(reason: Any, words: str) -> None:
    monitor = AbortConditionMonitor()
    monitor.trip(reason)
    assert monitor.get_abort_reason() == words


def test_a_reset_arms_again() -> None:
    monitor = AbortConditionMonitor()
    heard = telling(monitor)
    monitor.trip("one")
    monitor.reset()
    assert monitor.check_abort_conditions() == (False, None)
    monitor.trip("two")
    assert heard == ["one", "two"]
    assert monitor.get_abort_reason() == "two"


def test_a_reset_forgets_the_figures_that_tripped_it() -> None:
    monitor = AbortConditionMonitor(rules=[MaxConsecutiveFailures(0), SpendBudget(1)])
    monitor.observe("failed", 5.0)
    monitor.spend(2)
    assert monitor.should_abort()
    monitor.reset()
    assert not monitor.should_abort()
    assert set(monitor.statistics.to_dict().values()) == {0}
    assert monitor.statistics.failures_in(60.0) == 0


def test_a_reset_does_not_forget_what_is_in_flight() -> None:
    monitor = AbortConditionMonitor()
    monitor.observe("started", 0.0)
    monitor.reset()
    assert monitor.statistics.in_flight == 1
    monitor.observe("cancelled", 0.0)
    assert monitor.statistics.in_flight == 0


# Listening


def test_listeners_are_called_in_the_thread_of_the_trip_before_it_returns() -> None:
    monitor = AbortConditionMonitor()
    threads: list[object] = []
    monitor.subscribe(lambda reason: threads.append(threading.current_thread()))
    thread = threading.Thread(target=monitor.trip, args=["from a thread"])
    thread.start()
    thread.join()
    assert threads == [thread]
    assert monitor.get_abort_reason() == "from a thread"


def test_of_many_threads_one_trips_and_each_listener_hears_it_once() -> None:
    for _ in range(20):
        monitor = AbortConditionMonitor()
        first, second = telling(monitor), telling(monitor)
        together = threading.Barrier(8)

        def pull(n: int, monitor: AbortConditionMonitor = monitor) -> None:
            together.wait()  # noqa: B023
            monitor.trip(str(n))

        threads = [threading.Thread(target=pull, args=[n]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert first == second == [monitor.get_abort_reason()]


def test_a_listener_that_raises_does_not_keep_the_others_from_hearing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    monitor = AbortConditionMonitor()

    def deaf(reason: str) -> None:
        raise RuntimeError("deaf")

    monitor.subscribe(deaf)
    heard = telling(monitor)
    monitor.trip("fire")
    assert heard == ["fire"]
    (record,) = [record for record in caplog.records if record.exc_info]
    assert "a listener failed" in record.message
    assert "deaf" in caplog.text


def test_after_a_keyboard_interrupt_in_a_listener_the_others_still_hear() -> None:
    recorder = Recorder()
    monitor = AbortConditionMonitor(ledger=recorder)

    def interrupted(reason: str) -> None:
        raise KeyboardInterrupt

    monitor.subscribe(interrupted)
    heard = telling(monitor)
    with pytest.raises(KeyboardInterrupt):
        monitor.trip("fire")
    assert heard == ["fire"]
    assert len(recorder.appended) == 1


def test_who_has_unsubscribed_hears_nothing() -> None:
    monitor = AbortConditionMonitor()
    heard: list[str] = []
    stop = monitor.subscribe(heard.append)
    kept = telling(monitor)
    stop()
    stop()
    monitor.trip("x")
    assert (heard, kept) == ([], ["x"])


def test_who_subscribes_late_is_not_told_of_what_has_been() -> None:
    monitor = AbortConditionMonitor()
    monitor.trip("x")
    assert telling(monitor) == []


def test_a_listener_may_use_the_monitor_also_from_another_thread() -> None:
    """It is called outside the lock."""
    monitor = AbortConditionMonitor()
    seen: list[object] = []

    def curious(reason: str) -> None:
        stop()
        monitor.trip("again")
        thread = threading.Thread(target=lambda: seen.append(monitor.statistics.retries_in(1.0)))
        thread.start()
        thread.join(10)
        seen.append(monitor.get_abort_reason())
        monitor.reset()

    stop = monitor.subscribe(curious)
    monitor.trip("x")
    assert seen == [0, "x"]
    assert not monitor.should_abort()


def test_what_listens_must_be_callable() -> None:
    with pytest.raises(InvalidTypeError, match="listener is None"):
        AbortConditionMonitor().subscribe(None)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no signals")
def test_a_signal_handler_may_trip_in_the_middle_of_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monitor = AbortConditionMonitor()
    heard = telling(monitor)
    before = signal.signal(signal.SIGTERM, lambda *_: monitor.trip("SIGTERM"))
    real = SafetyStatistics._observe

    def interrupted(self: SafetyStatistics, event: Observation, now: float) -> None:
        signal.raise_signal(signal.SIGTERM)  # while the lock is held
        real(self, event, now)

    monkeypatch.setattr(SafetyStatistics, "_observe", interrupted)
    try:
        monitor.observe("started", 0.0)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == ["SIGTERM"]


# What is recorded


def test_trips_and_resets_are_recorded(tmp_path: Path) -> None:
    ledger, store = IdentityLedger(tmp_path / "ledger"), Recorder()
    monitor = AbortConditionMonitor(ledger=ledger, raw_store=store)
    monitor.observe("failed", 3.0)
    monitor.trip("one")
    monitor.trip("two")
    monitor.reset()
    trip, reset = [entry.event for entry in ledger.entries()]
    assert (trip["kind"], trip["reason"]) == ("safety_trip", "one")
    assert trip["statistics"]["failures"] == 1
    assert reset == {"kind": "safety_reset", "reason": "one"}
    assert [(kind, data["reason"]) for kind, data in store.recorded] == [
        ("safety_trip", "one"),
        ("safety_reset", "one"),
    ]


def test_the_listeners_come_before_the_slow_disk() -> None:
    recorder = Recorder()
    monitor = AbortConditionMonitor(ledger=recorder)
    seen: list[int] = []
    monitor.subscribe(lambda reason: seen.append(len(recorder.appended)))
    monitor.trip("x")
    assert seen == [0]


def test_what_cannot_be_recorded_stops_everything_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder(OSError("disk full"))
    monitor = AbortConditionMonitor(ledger=recorder, raw_store=recorder)
    heard = telling(monitor)
    monitor.trip("x")
    assert heard == ["x"]
    assert monitor.should_abort()
    assert len(recorder.appended) == len(recorder.recorded) == 1
    assert len([record for record in caplog.records if record.exc_info]) == 2
    assert "disk full" in caplog.text
    monitor.reset()
    assert not monitor.should_abort()


@pytest.mark.parametrize("store", [object(), None, 3])
def test_a_store_that_records_no_events_is_left_alone(
    store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    AbortConditionMonitor(raw_store=store).trip("x")
    assert [record for record in caplog.records if record.exc_info] == []


# Bad input


async def asynchronous(statistics: SafetyStatistics) -> None:
    return None


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (None, "'rules' is None; it must be a list of callables"),
        ("rules", "'rules' is 'rules'"),
        (MaxConsecutiveFailures(3), r"write \[MaxConsecutiveFailures\(failures=3\)\]"),
        ([MaxFailureRate], r"it is a class; write MaxFailureRate\(\.\.\.\)"),
        ([never, "x"], r"'rules'\[1\] is 'x'; it must be a callable"),
        ([asynchronous], "it is async"),
        (3, "'rules' is 3"),
    ],
)
def test_rules_that_are_none_are_refused(rules: Any, text: str) -> None:
    with pytest.raises(InvalidTypeError, match=text):
        AbortConditionMonitor(rules=rules)


def test_rules_may_come_from_any_iterable() -> None:
    def some() -> Iterator[Callable[[SafetyStatistics], str]]:
        yield alarm

    assert AbortConditionMonitor(rules=some()).check_abort_conditions() == (True, "alarm")
    assert not AbortConditionMonitor(rules=()).should_abort()
    assert not AbortConditionMonitor(rules=list(DEFAULT_RULES)).should_abort()


def test_a_ledger_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTypeError, match=r"'ledger'.*has no append\(event\)"):
        AbortConditionMonitor(ledger=str(tmp_path))  # type: ignore[arg-type]
