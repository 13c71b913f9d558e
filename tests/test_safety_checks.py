"""How a monitor asks its rules: what they may answer, and when they want to be asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tgtrio._errors import InvalidTypeError, InvalidValueError, TgtrioError
from tgtrio._safety import AbortConditionMonitor
from tgtrio._safety_rules import SpendBudget, TimeBudget
from tgtrio._safety_statistics import SafetyStatistics


def never(statistics: SafetyStatistics) -> None:
    return None


def failing(statistics: SafetyStatistics) -> str | None:
    raise OSError("disk on fire")


def telling(monitor: AbortConditionMonitor) -> list[str]:
    """What a listener of the monitor hears."""
    heard: list[str] = []
    monitor.subscribe(heard.append)
    return heard


def test_rules_are_asked_in_order_until_one_has_a_reason() -> None:
    asked: list[str] = []

    def rule(name: str, answer: str | None) -> Callable[[SafetyStatistics], str | None]:
        def ask(statistics: SafetyStatistics) -> str | None:
            asked.append(name)
            return answer

        return ask

    monitor = AbortConditionMonitor(rules=[rule("a", None), rule("b", "B"), rule("c", "C")])
    heard = telling(monitor)
    assert monitor.check_abort_conditions() == (True, "B")
    assert monitor.check_abort_conditions() == (True, "B")
    assert asked == ["a", "b"]
    assert heard == ["B"]


def test_a_rule_gets_the_live_statistics() -> None:
    seen: list[object] = []
    monitor = AbortConditionMonitor(rules=[lambda statistics: seen.append(statistics)])
    monitor.should_abort()
    monitor.observe("failed", 1.0)
    monitor.should_abort()
    assert seen == [monitor.statistics] * 2
    assert monitor.statistics.failures == 1


@pytest.mark.parametrize("answer", [None, False, ""])
def test_a_rule_has_ways_to_say_that_all_is_well(answer: Any) -> None:
    assert not AbortConditionMonitor(rules=[lambda _: answer]).should_abort()


async def too_late(statistics: SafetyStatistics) -> str | None:
    return None


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (failing, r"rule failing raised OSError('disk on fire')"),
        (lambda s: s.no_such_figure, "rule <lambda> raised AttributeError("),
        (lambda s: s.failures_in(-1), "rule <lambda> raised InvalidValueError("),
        (lambda s: True, "rule <lambda> says so"),
        (lambda s: 0, "rule <lambda> returned 0, which is neither str nor None"),
        (lambda s: ["a"], "rule <lambda> returned ['a'], which is neither"),
        (lambda s: too_late(s), "rule <lambda> returned <coroutine"),
        (lambda s: b"stop", "rule <lambda> returned b'stop'"),
    ],
)
def test_no_rule_fails_in_silence(rule: Any, reason: str) -> None:
    stop, words = AbortConditionMonitor(rules=[never, rule]).check_abort_conditions()
    assert stop
    assert words is not None
    assert words.startswith(reason)


def test_the_traceback_of_a_rule_that_raises_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    AbortConditionMonitor(rules=[failing]).should_abort()
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.message == "safety: rule failing failed"
    assert record.levelno == logging.ERROR


def test_a_rule_without_a_name_is_named_by_its_repr() -> None:
    class Strict:
        def __call__(self, statistics: SafetyStatistics) -> bool:
            return True

        def __repr__(self) -> str:
            return "Strict()"

    monitor = AbortConditionMonitor(rules=[Strict()])
    assert monitor.check_abort_conditions() == (True, "rule Strict() says so")


def test_an_interrupt_in_a_rule_is_no_reason() -> None:
    def interrupted(statistics: SafetyStatistics) -> str:
        raise KeyboardInterrupt

    monitor = AbortConditionMonitor(rules=[interrupted])
    with pytest.raises(KeyboardInterrupt):
        monitor.should_abort()
    assert monitor.get_abort_reason() is None


# Spending


def test_spending_asks_the_rules_at_once() -> None:
    monitor = AbortConditionMonitor(rules=[SpendBudget(10)])
    heard = telling(monitor)
    monitor.spend(10)
    assert heard == []
    monitor.spend(0.5)
    assert heard == ["10.5 was spent, more than the budget of 10"]


@pytest.mark.parametrize(
    ("amount", "error"),
    [
        (-1, InvalidValueError),
        (float("nan"), InvalidValueError),
        (float("inf"), InvalidValueError),
        ("1", InvalidTypeError),
        (True, InvalidTypeError),
        (None, InvalidTypeError),
    ],
)
def test_an_amount_that_is_none_is_refused(amount: Any, error: type[TgtrioError]) -> None:
    monitor = AbortConditionMonitor()
    with pytest.raises(error, match="amount is"):
        monitor.spend(amount)
    assert monitor.statistics.spent == 0


def test_a_sum_beyond_all_floats_is_still_one() -> None:
    monitor = AbortConditionMonitor(rules=[SpendBudget(1e308)])
    for _ in range(3):
        monitor.spend(1e308)
    assert monitor.should_abort()
    assert monitor.statistics.spent < float("inf")


# When to ask again


def test_without_budgets_of_time_nobody_wants_to_be_asked() -> None:
    monitor = AbortConditionMonitor()
    monitor.begin(5.0)
    assert monitor.next_check is None


def test_the_earliest_budget_of_time_says_when() -> None:
    monitor = AbortConditionMonitor(rules=[never, TimeBudget(60), TimeBudget(20)])
    assert monitor.next_check is None  # no run has begun
    monitor.begin(1_000.0)
    assert monitor.next_check == 1_020.0
    assert not monitor.should_abort(1_019.0)
    assert monitor.next_check == 1_020.0
    assert monitor.should_abort(1_020.0)
    assert monitor.next_check is None


@pytest.mark.parametrize("start", [0.0, 0.1, 1e-9, 123_456.789, 987_654.321, 1e9 + 0.1, 1e12])
@pytest.mark.parametrize("seconds", [0.001, 0.1, 1 / 3, 59.9, 1e5 + 0.7])
def test_asked_at_that_instant_a_budget_is_always_up(start: float, seconds: float) -> None:
    """Else a timer would be set for the same instant again and again."""
    monitor = AbortConditionMonitor(rules=[TimeBudget(seconds)])
    monitor.begin(start)
    for k in range(1, 4):
        monitor.observe("started", start + k * seconds / 7)
    due = monitor.next_check
    assert due is not None
    assert due == pytest.approx(start + seconds)
    assert monitor.should_abort(due)


def test_a_rule_of_ones_own_may_say_when() -> None:
    class Curfew:
        def __init__(self) -> None:
            self.at: Any = None

        def __call__(self, statistics: SafetyStatistics) -> str | None:
            return None

        def ask_at(self, statistics: SafetyStatistics) -> Any:
            return self.at

    rule = Curfew()
    monitor = AbortConditionMonitor(rules=[rule])
    monitor.begin(100.0)
    assert monitor.next_check is None
    rule.at = 7
    assert monitor.next_check == 107.0
    monitor.should_abort(107.0)
    assert monitor.next_check is None  # it was asked
    rule.at = "soon"
    assert monitor.next_check is None
    reason = monitor.get_abort_reason()
    assert reason is not None
    assert "Curfew" in reason
    assert "ask_at is 'soon'" in reason


def test_a_run_in_another_thread_asks_by_its_own_clock() -> None:
    monitor = AbortConditionMonitor(rules=[TimeBudget(60)])
    monitor.begin(1_000.0, clock="here")
    monitor.observe("started", 1_010.0)
    there: list[float | None] = [monitor.next_check]

    def run() -> None:
        there.append(monitor.next_check)
        monitor.begin(7.0, clock="there")
        there.append(monitor.next_check)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert there == [1_060.0, None, 57.0]
