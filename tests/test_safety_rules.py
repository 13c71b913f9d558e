"""The ready-made rules on their edges, and the time that they go by."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tgtrio._errors import InvalidTypeError, InvalidValueError, TgtrioError
from tgtrio._safety_rules import (
    DEFAULT_RULES,
    MaxConsecutiveFailures,
    MaxFailureRate,
    RetryStorm,
    Rule,
    SpendBudget,
    TimeBudget,
)

from .monitors import observe, watching


def verdict(rule: Rule, now: float = 0.0, **counts: int) -> str | None:
    """What a rule says after these observations."""
    monitor = watching(rule)
    observe(monitor, counts, now)
    return monitor.check_abort_conditions(now)[1]


# Failures


def test_a_failure_rate_names_its_figures() -> None:
    assert verdict(MaxFailureRate(), succeeded=15, failed=25) == (
        "25 of the last 40 attempts in 60 s failed (62.5 %), more than 50 %"
    )


@pytest.mark.parametrize(
    ("succeeded", "failed", "trips"),
    [(10, 10, False), (9, 11, True), (0, 19, False), (0, 20, True), (1_000, 999, False)],
)
def test_a_failure_rate_is_exceeded_from_enough_attempts_on(
    succeeded: int, failed: int, trips: bool
) -> None:
    rule = MaxFailureRate(share=0.5, window_s=60.0, at_least=20)
    assert (verdict(rule, succeeded=succeeded, failed=failed) is not None) == trips


@pytest.mark.parametrize(("failed", "trips"), [(0, False), (1, True)])
def test_a_share_of_nothing_allows_no_failure(failed: int, trips: bool) -> None:
    rule = MaxFailureRate(share=0, at_least=1)
    assert (verdict(rule, succeeded=500, failed=failed) is not None) == trips


def test_old_failures_leave_the_window() -> None:
    monitor = watching(MaxFailureRate(share=0.5, window_s=60.0, at_least=1))
    observe(monitor, {"succeeded": 50}, 0.0)
    observe(monitor, {"failed": 40}, 30.0)
    observe(monitor, {"succeeded": 1}, 59.0)
    assert not monitor.should_abort(60.0)  # 40 of 91
    assert monitor.should_abort(60.5)  # 40 of 41
    monitor.reset()
    monitor.begin(0.0)
    observe(monitor, {"failed": 10}, 0.0)
    assert not monitor.should_abort(61.0)


@pytest.mark.parametrize(("row", "trips"), [(10, False), (11, True)])
def test_failures_in_a_row_are_counted_over_all_tasks(row: int, trips: bool) -> None:
    monitor = watching(MaxConsecutiveFailures(10))
    observe(monitor, {"failed": 9})
    observe(monitor, {"succeeded": 1})
    observe(monitor, {"failed": row})
    assert monitor.should_abort() == trips
    if trips:
        assert monitor.get_abort_reason() == "11 attempts in a row failed, more than 10"


@pytest.mark.parametrize("event", ["cancelled", "postponed", "retried", "started"])
def test_what_is_neither_success_nor_failure_does_not_end_a_row(event: str) -> None:
    monitor = watching(MaxConsecutiveFailures(3))
    observe(monitor, {"failed": 3, event: 5})
    assert not monitor.should_abort()
    observe(monitor, {"failed": 1})
    assert monitor.should_abort()


# Retries


@pytest.mark.parametrize(("retried", "trips"), [(100, False), (101, True)])
def test_a_storm_of_retries_with_little_success(retried: int, trips: bool) -> None:
    assert (verdict(RetryStorm(), retried=retried, succeeded=3) is not None) == trips


def test_a_storm_names_its_figures() -> None:
    assert verdict(RetryStorm(5, 10.0), retried=9, succeeded=2, failed=9) == (
        "9 retries and 2 successes in 10 s, more than 5 retries and 1 for each success"
    )
    assert verdict(RetryStorm(5, 10.0, per_success=0), retried=6, succeeded=2) == (
        "6 retries and 2 successes in 10 s, more than 5 retries"
    )


@pytest.mark.parametrize(
    ("per_success", "retried", "trips"),
    [(1.0, 200, False), (1.0, 201, True), (0.5, 100, False), (0.5, 101, True), (0.0, 101, True)],
)
def test_many_retries_are_no_storm_among_as_many_successes(
    per_success: float, retried: int, trips: bool
) -> None:
    rule = RetryStorm(100, 60.0, per_success)
    assert (verdict(rule, retried=retried, succeeded=200) is not None) == trips


def test_old_retries_leave_the_window() -> None:
    monitor = watching(RetryStorm(10, 60.0))
    observe(monitor, {"retried": 10}, 0.0)
    observe(monitor, {"retried": 10}, 61.0)
    assert not monitor.should_abort(61.0)
    observe(monitor, {"retried": 1}, 61.0)
    assert monitor.should_abort(61.0)


# Budgets


@pytest.mark.parametrize(("now", "trips"), [(59.999, False), (60.0, True), (1e9, True)])
def test_a_budget_of_time_counts_from_the_first_run(now: float, trips: bool) -> None:
    monitor = watching(TimeBudget(60))
    monitor.begin(30.0)  # another run of the same program
    assert monitor.should_abort(now) == trips


def test_a_budget_of_time_names_its_figures() -> None:
    assert verdict(TimeBudget(60), 60.25) == "60.25 s have passed; the budget is 60 s"


def test_a_budget_of_time_counts_anew_from_the_first_run_after_a_reset() -> None:
    monitor = watching(TimeBudget(60))
    assert monitor.should_abort(100.0)
    monitor.reset()
    monitor.begin(5_000.0)
    assert not monitor.should_abort(5_059.0)
    assert monitor.should_abort(5_060.0)


@pytest.mark.parametrize("again", [3.0, 50.0, 900_000.0])
def test_a_run_under_another_clock_goes_on_where_the_last_one_was(again: float) -> None:
    """Each `trio.run` has a clock of its own, which starts anywhere."""
    monitor = watching(TimeBudget(60))
    monitor.begin(1_000.0, clock="first")
    monitor.observe("failed", 1_040.0)
    monitor.begin(again, clock="second")
    assert monitor.statistics.elapsed_s == 40.0
    assert not monitor.should_abort(again + 19.5)
    assert monitor.statistics.failures_in(20.0) == 1
    assert monitor.should_abort(again + 20.0)


def test_a_clock_that_was_set_back_goes_on_where_it_was() -> None:
    monitor = watching(TimeBudget(60))
    monitor.observe("started", 50.0)
    monitor.observe("started", 20.0)
    assert monitor.statistics.elapsed_s == 50.0
    assert not monitor.should_abort(29.0)
    assert monitor.should_abort(30.0)


def test_runs_in_two_threads_share_the_time_and_not_the_clock() -> None:
    monitor = watching(TimeBudget(60))

    def run() -> None:
        monitor.begin(500_000.0, clock="there")
        monitor.observe("started", 500_010.0)

    monitor.observe("started", 30.0)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert monitor.statistics.elapsed_s == 40.0
    monitor.observe("started", 45.0)
    assert monitor.statistics.elapsed_s == 45.0


@pytest.mark.parametrize(("spent", "trips"), [(9.99, False), (10.0, False), (10.01, True)])
def test_a_budget_may_be_spent_and_not_overspent(spent: float, trips: bool) -> None:
    monitor = watching(SpendBudget(10))
    monitor.spend(spent)
    assert monitor.should_abort() == trips


def test_the_error_of_a_sum_is_not_overspent() -> None:
    monitor = watching(SpendBudget(0.3))
    for _ in range(3):
        monitor.spend(0.1)
    assert monitor.statistics.spent > 0.3
    assert not monitor.should_abort()


def test_nothing_may_be_spent_of_nothing() -> None:
    monitor = watching(SpendBudget(0))
    monitor.spend(0)
    assert not monitor.should_abort()
    monitor.spend(1e-9)
    assert monitor.should_abort()


# The defaults


@pytest.mark.parametrize(
    "counts",
    [
        {"failed": 19, "retried": 19},  # a small one that fails
        {"succeeded": 100, "failed": 100, "retried": 100},  # a hiccup of all that run at once
        {"postponed": 90, "retried": 90},  # a busy service
        {"cancelled": 100_000},
    ],
)
def test_the_defaults_leave_these_runs_alone(counts: dict[str, int]) -> None:
    monitor = watching(*DEFAULT_RULES)
    observe(monitor, counts)
    assert monitor.check_abort_conditions() == (False, None)


def test_the_defaults_leave_a_large_run_alone_that_limps() -> None:
    monitor = watching(*DEFAULT_RULES)
    for _ in range(1_000):
        observe(monitor, {"succeeded": 6, "failed": 4, "retried": 4})
        assert not monitor.should_abort()


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"failed": 20}, "20 of the last 20 attempts"),
        ({"succeeded": 500, "failed": 101}, "101 attempts in a row"),
        ({"postponed": 101, "retried": 101}, "101 retries and 0 successes"),
    ],
)
def test_the_defaults_stop_these_runs(counts: dict[str, int], words: str) -> None:
    monitor = watching(*DEFAULT_RULES)
    observe(monitor, counts)
    assert words in str(monitor.check_abort_conditions()[1])


# Bad input


@pytest.mark.parametrize(
    ("make", "field", "value", "error"),
    [
        (MaxFailureRate, "share", 1, InvalidValueError),
        (MaxFailureRate, "share", -0.1, InvalidValueError),
        (MaxFailureRate, "share", float("nan"), InvalidValueError),
        (MaxFailureRate, "share", "50 %", InvalidTypeError),
        (MaxFailureRate, "window_s", 0, InvalidValueError),
        (MaxFailureRate, "window_s", 3_601, InvalidValueError),
        (MaxFailureRate, "window_s", None, InvalidTypeError),
        (MaxFailureRate, "at_least", 0, InvalidValueError),
        (MaxFailureRate, "at_least", 1.5, InvalidTypeError),
        (MaxConsecutiveFailures, "failures", -1, InvalidValueError),
        (MaxConsecutiveFailures, "failures", True, InvalidTypeError),
        (RetryStorm, "retries", -1, InvalidValueError),
        (RetryStorm, "retries", "many", InvalidTypeError),
        (RetryStorm, "window_s", float("inf"), InvalidValueError),
        (RetryStorm, "per_success", -1, InvalidValueError),
        (RetryStorm, "per_success", None, InvalidTypeError),
        (TimeBudget, "seconds", 0, InvalidValueError),
        (TimeBudget, "seconds", float("inf"), InvalidValueError),
        (TimeBudget, "seconds", "60", InvalidTypeError),
        (SpendBudget, "amount", -1, InvalidValueError),
        (SpendBudget, "amount", None, InvalidTypeError),
    ],
)
def test_a_bad_argument_is_refused_by_name(
    make: Any, field: str, value: Any, error: type[TgtrioError]
) -> None:
    with pytest.raises(error, match=f"rule '{make.__name__}': {field} is "):
        make(**{field: value})


def test_rules_are_records() -> None:
    assert MaxFailureRate() == MaxFailureRate(share=0.5, window_s=60.0, at_least=20)
    assert RetryStorm() == RetryStorm(retries=100, window_s=60.0, per_success=1.0)
    assert (MaxFailureRate(), MaxConsecutiveFailures(100), RetryStorm()) == DEFAULT_RULES
    assert hash(TimeBudget(60)) == hash(TimeBudget(60))
