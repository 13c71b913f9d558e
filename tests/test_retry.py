"""When a failed attempt is tried again, and after how long."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio._errors import InvalidTypeError, InvalidValueError, TaskTimeoutError, TgtrioError
from tgtrio._retry import (
    NEVER_RETRIED,
    NonRetryable,
    RetryLater,
    RetryPolicy,
    leaves,
    policy_for,
    requested_delay,
)

RETRIED = (
    ValueError,
    KeyError,
    IndexError,
    OSError,
    TimeoutError,
    ConnectionResetError,
    RuntimeError,
    TaskTimeoutError,
    MemoryError,
)

durations = st.floats(0, 1e12)


class Longest(random.Random):
    """Always draws the end of the range."""

    def uniform(self, a: float, b: float) -> float:
        assert a == 0
        return b


def groups(leaf: st.SearchStrategy[Exception]) -> st.SearchStrategy[Exception]:
    return st.recursive(
        leaf,
        lambda inner: st.lists(inner, min_size=1, max_size=4).map(
            lambda items: ExceptionGroup("several", items)
        ),
        max_leaves=10,
    )


# The wait


@pytest.mark.parametrize(
    ("k", "longest"), [(0, 1.0), (1, 2.0), (2, 4.0), (4, 16.0), (5, 20.0), (60, 20.0)]
)
def test_the_longest_wait_doubles_up_to_the_cap(k: int, longest: float) -> None:
    assert RetryPolicy().delay(k, Longest()) == longest


@pytest.mark.parametrize("k", [1_023, 1_024, 10_000, 2**62])
def test_the_exponent_never_overflows(k: int) -> None:
    assert RetryPolicy(base=1e300, cap=5.0).delay(k, Longest()) == 5.0
    assert RetryPolicy(base=0.0).delay(k, Longest()) == 0.0


@given(base=durations, cap=durations, k=st.integers(0, 5_000), seed=st.integers())
def test_a_wait_is_never_negative_and_never_above_the_bound(
    base: float, cap: float, k: int, seed: int
) -> None:
    policy = RetryPolicy(base=base, cap=cap)
    wait = policy.delay(k, random.Random(seed))
    assert 0 <= wait <= policy.delay(k, Longest()) <= cap


def test_waits_are_spread_over_the_whole_range() -> None:
    rng = random.Random(1)
    waits = [RetryPolicy(base=8.0).delay(0, rng) for _ in range(2_000)]
    assert min(waits) < 0.1
    assert max(waits) > 7.9
    assert 3.8 < sum(waits) / len(waits) < 4.2


def test_a_seed_gives_the_same_waits() -> None:
    first, second = (
        [RetryPolicy().delay(k, rng) for k in range(9)]
        for rng in (random.Random(7), random.Random(7))
    )
    assert first == second


# What is retried


@pytest.mark.parametrize("kind", RETRIED)
def test_what_may_be_a_whim_of_the_world_is_retried(kind: type[Exception]) -> None:
    assert RetryPolicy().retries(kind("no"))


@pytest.mark.parametrize("kind", NEVER_RETRIED)
def test_what_is_wrong_for_good_is_not_retried(kind: type[Exception]) -> None:
    assert not RetryPolicy().retries(kind("no"))


def test_a_refusal_of_this_library_is_not_retried() -> None:
    assert not RetryPolicy().retries(InvalidTypeError("an action builds its own graph, wrongly"))


@pytest.mark.parametrize("retry_on", [OSError, (OSError, KeyError)])
def test_named_types_are_all_that_is_retried(retry_on: Any) -> None:
    policy = RetryPolicy(retry_on=retry_on)
    assert policy.retries(ConnectionResetError())
    assert not policy.retries(ValueError())


def test_a_named_type_is_retried_even_if_it_never_is_by_default() -> None:
    assert RetryPolicy(retry_on=TypeError).retries(TypeError())


def test_an_empty_tuple_retries_nothing() -> None:
    assert not RetryPolicy(retry_on=()).retries(OSError())


def test_a_predicate_has_the_word() -> None:
    policy = RetryPolicy(retry_on=lambda exc: "503" in str(exc))
    assert policy.retries(AttributeError("503"))
    assert not policy.retries(OSError("404"))


def test_a_predicate_that_raises_is_a_no_and_says_so() -> None:
    error = OSError("the real failure")
    assert not RetryPolicy(retry_on=lambda exc: exc.status == 503).retries(error)  # type: ignore[attr-defined]
    assert "retry_on raised AttributeError" in error.__notes__[0]


@pytest.mark.parametrize("retry_on", [None, Exception, (NonRetryable, RetryLater), lambda _: True])
def test_non_retryable_is_never_retried(retry_on: Any) -> None:
    assert not RetryPolicy(retry_on=retry_on).retries(NonRetryable("for good"))


@pytest.mark.parametrize("retry_on", [None, KeyError, (), lambda _: False])
def test_retry_later_is_always_retried(retry_on: Any) -> None:
    assert RetryPolicy(retry_on=retry_on).retries(RetryLater(1))


# Groups


leaf_kinds = [OSError, ValueError, TypeError, NonRetryable, AssertionError]
some_leaf = st.sampled_from(leaf_kinds).map(lambda kind: kind())
some_request = st.integers(0, 1_000).map(RetryLater)


@given(groups(st.one_of(some_leaf, some_request)))
def test_a_group_is_retried_exactly_if_each_leaf_is(error: Exception) -> None:
    policy = RetryPolicy()
    assert policy.retries(error) == all(map(policy.retries, leaves(error)))
    assert policy.retries(error) == (not any(isinstance(x, NEVER_RETRIED) for x in leaves(error)))


@given(groups(st.one_of(some_leaf, some_request)))
def test_the_largest_request_of_a_group_wins(error: Exception) -> None:
    asked = [leaf.seconds for leaf in leaves(error) if isinstance(leaf, RetryLater)]
    assert requested_delay(error) == (min(300.0, max(asked)) if asked else None)


def test_leaves_come_in_order_and_each_once() -> None:
    a, b = ValueError("a"), KeyError("b")
    inner = ExceptionGroup("inner", [b, a])
    assert list(leaves(ExceptionGroup("outer", [a, inner, inner]))) == [a, b]
    assert list(leaves(None)) == []


def test_groups_may_be_nested_deeper_than_the_stack() -> None:
    error: Exception = NonRetryable()
    for _ in range(20_000):
        error = ExceptionGroup("", [error])
    assert not RetryPolicy().retries(error)
    while isinstance(error, ExceptionGroup):  # let go level by level: so deep, C recursion crashes
        error = error.exceptions[0]


# RetryLater


def test_a_request_is_honoured_up_to_300_seconds() -> None:
    assert requested_delay(RetryLater(12.5)) == 12.5
    assert requested_delay(RetryLater(301)) == 300.0
    assert requested_delay(OSError()) is None
    assert requested_delay(None) is None


def test_a_request_says_what_it_wants() -> None:
    assert str(RetryLater(5)) == "asked to be tried again in 5 s"
    assert str(RetryLater(5, "429")) == "429"


@pytest.mark.parametrize("seconds", ["5", None, True, [5]])
def test_seconds_of_another_type_are_refused(seconds: Any) -> None:
    with pytest.raises(InvalidTypeError, match="'RetryLater': seconds is"):
        RetryLater(seconds)


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf, 10**400])
def test_seconds_that_are_no_duration_are_refused(seconds: Any) -> None:
    with pytest.raises(InvalidValueError, match="'RetryLater': seconds is"):
        RetryLater(seconds)


# The policy itself


def test_the_defaults() -> None:
    assert RetryPolicy() == RetryPolicy(max_retries=3, base=1.0, cap=20.0, retry_on=None)
    assert RetryPolicy.__module__ == RetryLater.__module__ == NonRetryable.__module__ == "tgtrio"


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("max_retries", -1, InvalidValueError),
        ("max_retries", 1.5, InvalidTypeError),
        ("max_retries", True, InvalidTypeError),
        ("max_retries", None, InvalidTypeError),
        ("base", -1, InvalidValueError),
        ("base", math.nan, InvalidValueError),
        ("base", "1", InvalidTypeError),
        ("cap", math.inf, InvalidValueError),
        ("cap", -0.5, InvalidValueError),
        ("cap", None, InvalidTypeError),
        ("retry_on", "OSError", InvalidTypeError),
        ("retry_on", [OSError], InvalidTypeError),
        ("retry_on", (OSError, "x"), InvalidTypeError),
        ("retry_on", KeyboardInterrupt, InvalidTypeError),
        ("retry_on", int, InvalidTypeError),
        ("retry_on", OSError("an instance"), InvalidTypeError),
    ],
)
def test_a_bad_argument_is_refused_by_name(
    field: str, value: Any, error: type[TgtrioError]
) -> None:
    with pytest.raises(error, match=field):
        RetryPolicy(**{field: value})


def test_a_task_may_have_its_own_number_of_retries() -> None:
    policy = RetryPolicy(max_retries=3, base=9.0)
    assert policy_for(policy, None) is policy
    assert policy_for(policy, 7) == RetryPolicy(max_retries=7, base=9.0)
    assert policy_for(None, 7) is None
