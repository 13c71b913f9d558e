"""What follows from an attempt, and what is kept of a failure."""

from __future__ import annotations

import gc
import random
import traceback
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tgtrio._actions import call_in_thread
from tgtrio._errors import TaskTimeoutError
from tgtrio._node import TaskNode
from tgtrio._outcome import (
    FINAL_STATE,
    MAY_BE_RETRIED,
    Decision,
    Ending,
    Failure,
    decide,
    describe_failure,
    expiry_error,
    timeout_error,
)
from tgtrio._retry import NonRetryable, RetryLater, RetryPolicy
from tgtrio._states import TaskState

from .test_retry import Longest

RNG = Longest()
POLICY = RetryPolicy()
FAILED = Decision(TaskState.FAILED)


# What follows


def test_every_ending_has_a_final_state() -> None:
    assert set(FINAL_STATE) == set(Ending)
    assert all(state.terminal for state in FINAL_STATE.values())


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        (Ending.VALUE, TaskState.SUCCEEDED),
        (Ending.EXPIRED, TaskState.FAILED),
        (Ending.CANCELLED, TaskState.CANCELLED),
        (Ending.ABORTED, TaskState.ABORTED),
    ],
)
@pytest.mark.parametrize("exception", [None, OSError(), RetryLater(1)])
def test_an_ending_that_is_final_is_never_retried(
    ending: Ending, state: TaskState, exception: Exception | None
) -> None:
    assert decide(ending, exception, POLICY, 0, RNG) == Decision(state)


@pytest.mark.parametrize(("used", "wait"), [(0, 1.0), (1, 2.0), (2, 4.0)])
def test_an_error_is_retried_after_a_back_off(used: int, wait: float) -> None:
    decision = decide(Ending.ERROR, OSError(), POLICY, used, RNG)
    assert decision == Decision(TaskState.FAILED, wait)


def test_the_retries_run_out() -> None:
    assert decide(Ending.ERROR, OSError(), POLICY, 3, RNG) == FAILED
    assert decide(Ending.ERROR, RetryLater(1), POLICY, 3, RNG) == FAILED
    assert decide(Ending.ERROR, OSError(), RetryPolicy(max_retries=0), 0, RNG) == FAILED


def test_without_a_policy_nothing_is_retried() -> None:
    assert decide(Ending.ERROR, RetryLater(1), None, 0, RNG) == FAILED
    assert decide(Ending.TIMEOUT, None, None, 0, RNG) == FAILED


def test_an_error_that_must_not_be_retried() -> None:
    assert decide(Ending.ERROR, TypeError(), POLICY, 0, RNG) == FAILED
    assert decide(Ending.ERROR, NonRetryable(), POLICY, 0, RNG) == FAILED


def test_the_action_may_ask_for_its_own_wait() -> None:
    decision = decide(Ending.ERROR, RetryLater(45), POLICY, 0, RNG)
    assert decision == Decision(TaskState.FAILED, 45.0, requested=True)


def test_in_a_group_the_largest_request_wins_and_a_veto_beats_it() -> None:
    asking = ExceptionGroup("", [OSError(), RetryLater(5), RetryLater(9)])
    assert decide(Ending.ERROR, asking, POLICY, 0, RNG).retry_after == 9.0
    vetoed = ExceptionGroup("", [asking, ExceptionGroup("", [NonRetryable()])])
    assert decide(Ending.ERROR, vetoed, POLICY, 0, RNG) == FAILED


@pytest.mark.parametrize("raised", [None, OSError(), TypeError("in the clean-up")])
def test_a_timeout_is_retried_whatever_its_cancellation_made_the_action_raise(
    raised: Exception | None,
) -> None:
    assert decide(Ending.TIMEOUT, raised, POLICY, 0, RNG) == Decision(TaskState.FAILED, 1.0)


def test_a_timeout_is_judged_as_a_timeout_error() -> None:
    only_timeouts = RetryPolicy(retry_on=TimeoutError)
    assert decide(Ending.TIMEOUT, None, only_timeouts, 0, RNG).retry_after == 1.0
    assert decide(Ending.TIMEOUT, None, RetryPolicy(retry_on=KeyError), 0, RNG) == FAILED


def test_the_actions_word_about_retries_holds_after_a_timeout_too() -> None:
    assert decide(Ending.TIMEOUT, NonRetryable(), POLICY, 0, RNG) == FAILED
    assert decide(Ending.TIMEOUT, RetryLater(7), POLICY, 0, RNG).retry_after == 7.0


@given(
    ending=st.sampled_from(Ending),
    exception=st.sampled_from([OSError(), TypeError(), NonRetryable(), RetryLater(500)]),
    max_retries=st.integers(0, 5),
    used=st.integers(0, 5),
    seed=st.integers(),
)
def test_the_laws_of_a_decision(
    ending: Ending, exception: Exception, max_retries: int, used: int, seed: int
) -> None:
    policy = RetryPolicy(max_retries=max_retries)
    decision = decide(ending, exception, policy, used, random.Random(seed))
    assert decision.state is FINAL_STATE[ending]
    if decision.retry_after is None:
        assert not decision.requested
        return
    assert ending in MAY_BE_RETRIED
    assert used < max_retries
    assert 0 <= decision.retry_after <= (300 if decision.requested else policy.cap)


# What is kept: the words


class Hostile(Exception):
    def __str__(self) -> NoReturn:
        raise ZeroDivisionError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("exception", "error"),
    [
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (ValueError("  "), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
        (RetryLater(3), "RetryLater: asked to be tried again in 3 s"),
        (ExceptionGroup("two", [OSError(), OSError()]), "ExceptionGroup: two (2 sub-exceptions)"),
        (Hostile(), "Hostile: <its __str__ raised ZeroDivisionError>"),
        (ValueError("lone \ud800"), "ValueError: lone \\ud800"),
    ],
)
def test_an_error_is_never_empty(exception: Exception, error: str) -> None:
    assert describe_failure(exception).error == error


def test_what_stopped_the_task_is_said_first() -> None:
    failure = describe_failure(OSError("in the clean-up"), reason="the run was cancelled")
    assert failure.error == (
        "the run was cancelled; while being stopped it raised OSError: in the clean-up"
    )


def test_the_words_of_a_timeout_and_of_an_expiry() -> None:
    node = TaskNode("t", "a", deadline=datetime(2030, 1, 1, tzinfo=UTC))
    assert str(timeout_error(node, 2, 50.0)) == "task 't': attempt 2 timed out after 50 ms"
    assert "task 't': not done by its deadline 2030-01-01" in str(expiry_error(node))
    assert isinstance(expiry_error(node), TaskTimeoutError)


def test_a_failure_without_an_exception_is_a_reason_alone() -> None:
    assert Failure("cancelled") == Failure("cancelled", None, "")


# What is kept: the traceback as text


def fail(exception: Exception) -> NoReturn:
    raise exception


def caught(function: Callable[[], object]) -> Exception:
    try:
        function()
    except Exception as exc:
        return exc
    raise AssertionError("it did not raise")


def test_the_text_shows_where_it_was_raised() -> None:
    text = describe_failure(caught(lambda: fail(ValueError("no")))).traceback
    assert text.startswith("Traceback (most recent call last):\n")
    assert "raise exception" in text
    assert text.endswith("ValueError: no\n")


def test_the_text_shows_causes_and_contexts_and_notes() -> None:
    def chained() -> None:
        try:
            fail(KeyError("first"))
        except KeyError as exc:
            try:
                raise OSError("second") from exc
            except OSError as second:
                second.add_note("a note")
                fail(ValueError("third"))

    text = describe_failure(caught(chained)).traceback
    assert text.index("KeyError: 'first'") < text.index("OSError: second\na note")
    assert text.index("OSError: second") < text.index("ValueError: third")


async def raised_in_a_thread(function: Callable[..., object], *args: object) -> Exception:
    """What it raises, with the frames that the engine adds and without those of the test."""
    with pytest.raises(Exception) as info:
        await call_in_thread(function, *args)
    assert isinstance(info.value, Exception)
    assert info.value.__traceback__ is not None
    return info.value.with_traceback(info.value.__traceback__.tb_next)


async def test_the_frames_of_the_engine_are_left_out() -> None:
    text = describe_failure(await raised_in_a_thread(fail, ValueError("no"))).traceback
    assert text.count("  File ") == 1
    assert "in fail\n" in text


async def test_of_an_action_that_is_a_function_of_trio_its_frames_are_shown() -> None:
    limiter = trio.CapacityLimiter(1)
    text = describe_failure(await raised_in_a_thread(limiter.release)).traceback
    assert "in release\n" in text
    assert "_actions.py" not in text


def test_what_only_the_engine_raised_has_no_frames() -> None:
    assert describe_failure(TaskTimeoutError("late")).traceback == "tgtrio.TaskTimeoutError: late\n"


def test_an_exception_that_cannot_be_printed_is_described_all_the_same() -> None:
    failure = describe_failure(caught(lambda: fail(Hostile())))
    assert "Hostile: <exception str() failed>" in failure.traceback


class Broken(Exception):
    @property
    def __notes__(self) -> NoReturn:  # type: ignore[override]
        raise ZeroDivisionError


def test_a_traceback_that_cannot_be_formatted_is_replaced_by_words() -> None:
    failure = describe_failure(Broken("no"))
    assert failure.error == "Broken: no"
    assert failure.traceback == ("Broken: no\n(its traceback cannot be shown: ZeroDivisionError)\n")


# What is kept: no frames


class Big:
    """Something that a local variable holds."""


def holding(exception: Exception, refs: list[weakref.ref[Big]]) -> NoReturn:
    local = Big()
    refs.append(weakref.ref(local))
    raise exception


@pytest.mark.parametrize("shape", ["alone", "cause", "context", "group", "deep"])
def test_a_described_exception_pins_no_locals(shape: str) -> None:
    refs: list[weakref.ref[Big]] = []

    def inner() -> Exception:
        return caught(lambda: holding(OSError("inner"), refs))

    def outer() -> None:
        if shape == "alone":
            holding(ValueError(), refs)
        elif shape == "cause":
            raise ValueError from inner()
        elif shape == "context":
            try:
                holding(OSError(), refs)
            except OSError:
                holding(ValueError(), refs)
        elif shape == "group":
            raise ExceptionGroup("", [inner(), ExceptionGroup("", [inner()])])
        else:
            error = inner()
            error.__cause__ = ExceptionGroup("", [inner()])
            error.__cause__.__context__ = inner()
            raise error

    failure = describe_failure(caught(outer))
    gc.collect()
    assert refs
    assert [ref() for ref in refs] == [None] * len(refs)
    assert failure.exception is not None
    assert failure.exception.__traceback__ is None


def test_frames_of_a_frozen_exception_are_dropped_too() -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: object) -> NoReturn:
            raise AttributeError(name)

    failure = describe_failure(caught(lambda: fail(Frozen())))
    assert failure.exception is not None
    assert failure.exception.__traceback__ is None


def test_a_cycle_of_contexts_ends() -> None:
    a, b, c = ValueError("a"), OSError("b"), KeyError("c")
    a.__context__, b.__context__, c.__cause__ = b, c, a
    failure = describe_failure(ExceptionGroup("", [a, b, c]))
    assert "ValueError: a" in failure.traceback


def test_a_chain_may_be_longer_than_the_stack() -> None:
    error: Exception = ValueError("first")
    for _ in range(5_000):
        following = ValueError("next")
        following.__context__ = error
        error = following
    assert describe_failure(error).error == "ValueError: next"
    while error.__context__ is not None:
        assert isinstance(error.__context__, Exception)
        error, error.__context__ = error.__context__, None


def test_groups_may_be_nested_deeper_than_the_stack() -> None:
    error: Exception = ValueError("innermost")
    for _ in range(5_000):
        error = ExceptionGroup("level", [error])
    failure = describe_failure(error)
    assert failure.error == "ExceptionGroup: level (1 sub-exception)"
    assert failure.traceback
    while isinstance(error, ExceptionGroup):
        failure = Failure("")
        error = error.exceptions[0]


def test_what_somebody_outside_handles_keeps_its_frames() -> None:
    """Tasks executed inside an `except` block, to clean up, must not spoil its `raise`."""

    def clean_up_and_raise_again() -> None:
        try:
            fail(KeyError("outside"))
        except KeyError as outside:
            inside = caught(lambda: fail(ValueError("inside")))
            describe_failure(inside, outside=outside)
            raise

    raised = traceback.extract_tb(caught(clean_up_and_raise_again).__traceback__)
    assert raised[-1].name == "fail"


def test_what_somebody_outside_handles_is_no_part_of_the_failure() -> None:
    outside = caught(lambda: fail(KeyError("outside")))
    inside = caught(lambda: fail(ValueError("inside")))
    inside.__context__ = between = caught(lambda: fail(OSError("between")))
    between.__context__ = outside
    text = describe_failure(inside, outside=outside).traceback
    assert (inside.__traceback__, between.__traceback__) == (None, None)
    assert inside.__context__ is between
    assert between.__context__ is None
    assert outside.__traceback__ is not None
    assert "between" in text
    assert "outside" not in text


def test_a_cause_from_outside_stays() -> None:
    outside = caught(lambda: fail(KeyError("outside")))
    inside = ValueError("inside")
    inside.__cause__ = outside
    assert "KeyError" in describe_failure(inside, outside=outside).traceback
    assert inside.__cause__ is outside
    assert outside.__traceback__ is not None
