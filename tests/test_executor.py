"""One task through its attempts, alone."""

from __future__ import annotations

import gc
import math
import threading
import traceback
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
import trio.testing

from tgtrio._actions import make_action
from tgtrio._arguments import output_of
from tgtrio._context import TaskContext
from tgtrio._errors import (
    InvalidArgumentError,
    InvalidTypeError,
    InvalidValueError,
    TgtrioError,
)
from tgtrio._executor import TaskExecutor
from tgtrio._identity import idempotency_key
from tgtrio._node import TaskNode
from tgtrio._retry import NonRetryable, RetryLater, RetryPolicy
from tgtrio._states import TaskState

from .test_retry import Longest

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def slow_clock() -> trio.testing.MockClock:
    """Jumps only when nothing happened for a while: a thread must have time to answer."""
    return trio.testing.MockClock(autojump_threshold=0.2)


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The wall clock says noon whenever an execution starts."""

    class Wall(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return NOON.astimezone(tz)

    monkeypatch.setattr("tgtrio._columns.datetime", Wall)
    return NOON


def task(**fields: Any) -> TaskNode:
    return TaskNode("t", "act", **fields)


def executor(**fields: Any) -> TaskExecutor:
    """Its back-offs are as long as they can be: 1, 2, 4, 8, 16, 20, 20, ... seconds."""
    made = TaskExecutor(**fields)
    made._rng = Longest()
    return made


class Action:
    """Does a thing for each attempt: raises it, sleeps so long, or returns it."""

    def __init__(self, *script: Any) -> None:
        self.script = script
        self.starts: list[float] = []

    async def __call__(self, _args: Any, context: TaskContext) -> Any:
        assert context.attempt == len(self.starts)
        self.starts.append(trio.current_time())
        step = self.script[min(context.attempt, len(self.script) - 1)]
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, float):
            await trio.sleep(step)
        return step


async def ok(args: Any) -> str:
    return "ok"


def seconds(start: datetime | None, end: datetime | None) -> float:
    assert start is not None
    assert end is not None
    return (end - start).total_seconds()


# Success


async def test_a_success(autojump_clock: trio.testing.MockClock, noon: datetime) -> None:
    node = task(normalized_args={"a": 1}, resource_ids=["r"])
    await trio.sleep(100)

    async def action(args: Any) -> Any:
        await trio.sleep(1.5)
        return args["a"] + 1

    result = await TaskExecutor().execute(node, action)
    assert dict(result) == {
        "task_id": "t",
        "state": TaskState.SUCCEEDED,
        "success": True,
        "response": 2,
        "error": "",
        "exception": None,
        "traceback": "",
        "attempts": 1,
        "cached": False,
        "late": False,
        "deadline_missed": False,
        "started_at": noon,
        "finished_at": noon + timedelta(seconds=1.5),
        "execution_time_ms": 1500.0,
        "caused_by": None,
        "idempotency_key": idempotency_key("act", {"a": 1}, ["r"], "1"),
    }
    assert trio.current_time() == 101.5


async def test_what_the_guide_shows() -> None:
    def fn(args: Any) -> str:
        return f"{args['who']} in {threading.current_thread().name}"

    result = await TaskExecutor().execute(
        node=TaskNode(
            task_id="t1",
            action_name="a",
            normalized_args={"who": "me"},
            resource_ids=["r"],
            version="1.0",
        ),
        task_callable=fn,
    )
    assert result["success"]
    assert result["response"].startswith("me in ")
    assert threading.current_thread().name not in result["response"]


async def test_an_action_may_know_what_it_works_for() -> None:
    seen: list[TaskContext] = []

    async def action(args: Any, context: TaskContext) -> None:
        seen.append(context)

    node = task(normalized_args={"a": 1}, deadline=NOON)
    result = await TaskExecutor().execute(node, action)
    (context,) = seen
    assert (context.task_id, context.action_name, context.attempt) == ("t", "act", 0)
    assert (context.graph_id, context.run_id, context.deadline) == (None, None, NOON)
    assert context.idempotency_key == result.idempotency_key


async def test_a_task_that_is_not_idempotent_has_no_key() -> None:
    assert (await TaskExecutor().execute(task(idempotent=False), ok)).idempotency_key is None


async def test_an_action_that_says_inline_runs_inline() -> None:
    action = make_action("act", lambda _: threading.get_ident(), inline=True)
    assert (await TaskExecutor().execute(task(), action)).response == threading.get_ident()


async def test_executing_is_a_checkpoint() -> None:
    with trio.testing.assert_checkpoints():
        await TaskExecutor().execute(task(), ok)


async def test_nothing_starts_in_a_cancelled_scope() -> None:
    action = Action("never")
    with trio.CancelScope() as scope:
        scope.cancel()
        await TaskExecutor().execute(task(), action)
    assert scope.cancelled_caught
    assert action.starts == []


async def test_many_at_the_same_time(autojump_clock: trio.testing.MockClock) -> None:
    shared = executor(breaker=None)
    results = []

    async def one(number: int) -> None:
        results.append(
            await shared.execute(
                task(normalized_args={"n": number}), Action(OSError(), float(number))
            )
        )

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(one, number)
    assert sorted(result.response for result in results) == list(map(float, range(50)))
    assert trio.current_time() == 1 + 49


# Retries


async def test_back_offs_grow_and_the_attempts_are_counted(
    autojump_clock: trio.testing.MockClock, noon: datetime
) -> None:
    action = Action(OSError(1), OSError(2), OSError(3), 0.5)
    result = await executor().execute(task(), action)
    assert result.success
    assert (result.attempts, result.error, result.exception) == (4, "", None)
    assert action.starts == [0, 1, 3, 7]
    assert result.started_at == noon + timedelta(seconds=7)
    assert result.finished_at == noon + timedelta(seconds=7.5)
    assert result.execution_time_ms == 500.0


async def test_the_last_error_stays_when_the_retries_run_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    errors = [OSError(f"attempt {k}") for k in range(4)]
    result = await executor().execute(task(), Action(*errors))
    assert result.state is TaskState.FAILED
    assert not result.success
    assert (result.attempts, result.response) == (4, None)
    assert result.error == "OSError: attempt 3"
    assert result.exception is errors[3]
    assert "in __call__" in result.traceback
    assert "OSError: attempt 3" in result.traceback
    assert trio.current_time() == 1 + 2 + 4


@pytest.mark.parametrize(("policy", "own", "attempts"), [(3, 0, 1), (0, 2, 3), (5, None, 6)])
async def test_a_tasks_own_number_of_retries_goes_before_the_policys(
    autojump_clock: trio.testing.MockClock, policy: int, own: int | None, attempts: int
) -> None:
    result = await executor(retry=RetryPolicy(max_retries=policy)).execute(
        task(max_retries=own), Action(OSError())
    )
    assert result.attempts == attempts


async def test_without_a_policy_nothing_is_retried() -> None:
    result = await executor(retry=None).execute(task(max_retries=5), Action(OSError()))
    assert (result.state, result.attempts) == (TaskState.FAILED, 1)


@pytest.mark.parametrize(
    "error", [TypeError("no"), NonRetryable("no"), ExceptionGroup("no", [OSError(), TypeError()])]
)
async def test_what_must_not_be_retried_is_not(error: Exception) -> None:
    result = await executor().execute(task(), Action(error))
    assert (result.attempts, result.exception) == (1, error)
    assert result.error.startswith(f"{type(error).__name__}: no")


async def test_an_action_may_ask_for_its_own_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    action = Action(RetryLater(30), OSError(), RetryLater(1_000), "done")
    result = await executor().execute(task(), action)
    assert result.response == "done"
    assert action.starts == [0, 30, 30 + 2, 30 + 2 + 300]


async def test_a_seed_makes_the_back_offs_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    starts = []
    for seed in (5, 5, 6):
        action = Action(OSError())
        await TaskExecutor(seed=seed).execute(task(), action)
        starts.append([start - action.starts[0] for start in action.starts])
    assert starts[0] == pytest.approx(starts[1])
    assert starts[0] != pytest.approx(starts[2])


# What a result holds on to


class Big:
    """Something that a local variable holds."""


async def test_a_result_pins_no_locals() -> None:
    refs: list[weakref.ref[Big]] = []

    async def action(args: Any) -> None:
        local = Big()
        refs.append(weakref.ref(local))
        raise TypeError("no")

    result = await executor().execute(task(), action)
    gc.collect()
    assert [ref() for ref in refs] == [None]
    assert "in action" in result.traceback
    assert result.traceback.count("  File ") == 1


async def test_an_error_that_is_being_handled_outside_is_not_spoiled() -> None:
    """A clean-up in an `except` block; Python makes the error the context of its failures."""

    def fail() -> None:
        raise KeyError("outside")

    async def clean_up() -> None:
        try:
            fail()
        except KeyError:
            result = await executor(retry=None).execute(task(), Action(OSError()))
            assert result.exception is not None
            assert result.exception.__context__ is None
            raise

    with pytest.raises(KeyError) as info:
        await clean_up()
    assert traceback.extract_tb(info.value.__traceback__)[-1].name == "fail"


# Refusals


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: TaskExecutor(retry=3), InvalidTypeError, "retry is 3"),  # type: ignore[arg-type]
        (lambda: TaskExecutor(seed="x"), InvalidTypeError, "seed is 'x'"),  # type: ignore[arg-type]
        (lambda: TaskExecutor(seed=True), InvalidTypeError, "seed is True"),
    ],
)
def test_an_executor_refuses_bad_options(
    make: Callable[[], object], error: type[TgtrioError], text: str
) -> None:
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("node", "action", "timeout_ms", "error", "text"),
    [
        ("t", ok, None, InvalidTypeError, "'t' is no TaskNode"),
        (None, ok, None, InvalidTypeError, "None is no TaskNode"),
        (task(), None, None, InvalidTypeError, "'act': None is not callable"),
        (task(), "ok", None, InvalidTypeError, "'act': 'ok' is not callable"),
        (task(), lambda: 1, None, InvalidTypeError, "'act': .* has the signature"),
        (task(), ok, 0, InvalidValueError, "'t': timeout_ms is 0"),
        (task(), ok, -5, InvalidValueError, "'t': timeout_ms is -5"),
        (task(), ok, math.inf, InvalidValueError, "'t': timeout_ms is inf"),
        (task(), ok, "5", InvalidTypeError, "'t': timeout_ms is '5'"),
        (task(), ok, True, InvalidTypeError, "'t': timeout_ms is True"),
        (
            task(normalized_args={"x": [output_of("u")]}),
            ok,
            None,
            InvalidArgumentError,
            "'t' takes the output of task 'u'",
        ),
    ],
)
async def test_a_call_that_makes_no_sense_is_refused(
    node: Any, action: Any, timeout_ms: Any, error: type[TgtrioError], text: str
) -> None:
    with pytest.raises(error, match=text):
        await TaskExecutor().execute(node, action, timeout_ms)
