"""How an attempt ended, what follows from it, and what is kept of a failure.

Three questions, answered in this order:

1. How did the attempt end? One of `Ending`; who ran the attempt knows.
2. What follows? `decide`: the task is done in a state, or another attempt may follow after
   some seconds. `FINAL_STATE` is the whole table.
3. What is kept? `describe_failure`: words, the exception, and its traceback as text.

The run and the executor differ only in how they wait: the run holds the task in its queue,
the executor sleeps.
"""

from __future__ import annotations

import enum
import random
import traceback
from types import TracebackType

import attrs

from ._errors import DeadlineExpiredError, TaskTimeoutError, shorten
from ._node import TaskNode
from ._retry import NonRetryable, RetryLater, RetryPolicy, leaves, requested_delay
from ._states import TaskState


class Ending(enum.Enum):
    """How an attempt ended.

    An attempt that was cancelled has the cause of the cancellation as its ending, also if the
    action raised something else meanwhile; but a value is a value, however late.
    """

    VALUE = "value"  # the action returned
    ERROR = "error"  # it raised an Exception
    TIMEOUT = "timeout"  # the attempt ran out of time
    EXPIRED = "expired"  # the deadline of a task with `expire_at_deadline` passed
    CANCELLED = "cancelled"  # the task, the run or the surrounding scope was cancelled
    ABORTED = "aborted"  # a safety rule stopped it


FINAL_STATE = {
    Ending.VALUE: TaskState.SUCCEEDED,
    Ending.ERROR: TaskState.FAILED,
    Ending.TIMEOUT: TaskState.FAILED,
    Ending.EXPIRED: TaskState.FAILED,
    Ending.CANCELLED: TaskState.CANCELLED,
    Ending.ABORTED: TaskState.ABORTED,
}
MAY_BE_RETRIED = (Ending.ERROR, Ending.TIMEOUT)


@attrs.frozen
class Decision:
    """What follows from an attempt.

    Attributes:
        state: The state of the task if no other attempt follows.
        retry_after: Seconds until another attempt may start; None if none may.
        requested: True if the action itself asked for that wait, by `RetryLater`.
    """

    state: TaskState
    retry_after: float | None = None
    requested: bool = False


def decide(
    ending: Ending,
    exception: Exception | None,
    policy: RetryPolicy | None,
    retries_used: int,
    rng: random.Random,
) -> Decision:
    """Decide what follows from an attempt.

    Args:
        ending: How it ended.
        exception: What the action raised, if it did.
        policy: The policy of this task (`policy_for`); None for no retries.
        retries_used: How many attempts came before this one.
        rng: Draws the back-off; used only if the answer is a retry with one.
    """
    state = FINAL_STATE[ending]
    if ending not in MAY_BE_RETRIED or policy is None or retries_used >= policy.max_retries:
        return Decision(state)
    if not policy.retries(_judged(ending, exception)):
        return Decision(state)
    if (requested := requested_delay(exception)) is not None:
        return Decision(state, requested, requested=True)
    return Decision(state, policy.delay(retries_used, rng))


def _judged(ending: Ending, exception: Exception | None) -> Exception:
    """The exception that the policy judges.

    What an action raises because its timeout cancels it is an echo of the timeout, unless it
    is a word about retries.
    """
    if exception is not None and (
        ending is Ending.ERROR
        or any(isinstance(leaf, NonRetryable | RetryLater) for leaf in leaves(exception))
    ):
        return exception
    return TaskTimeoutError("the attempt ran out of time")


def timeout_error(node: TaskNode, attempt: int, timeout_ms: float) -> TaskTimeoutError:
    """What an attempt (from 1) that ran out of time fails with."""
    return TaskTimeoutError(
        f"task {shorten(node.task_id)}: attempt {attempt} timed out after {timeout_ms:g} ms"
    )


def expiry_error(node: TaskNode) -> DeadlineExpiredError:
    """What a task with `expire_at_deadline` fails with at its deadline."""
    return DeadlineExpiredError(
        f"task {shorten(node.task_id)}: not done by its deadline {node.deadline}"
    )


# What is kept of a failure


@attrs.frozen
class Failure:
    """What is kept of a failure.

    Attributes:
        error: The reason in words, never empty.
        exception: The exception, if there is one; its traceback frames are dropped.
        traceback: Its formatted traceback, or "".
    """

    error: str
    exception: Exception | None = attrs.field(default=None, eq=False)
    traceback: str = attrs.field(default="", repr=False)


def after_setback(failure: Failure, setback: Failure | None) -> Failure:
    """What a task ends with that was to be tried again: its last attempt is not forgotten."""
    if setback is None:
        return failure
    return Failure(
        f"{failure.error}; its last attempt failed with {setback.error}",
        failure.exception or setback.exception,
        failure.traceback or setback.traceback,
    )


def describe_failure(
    exception: Exception, *, reason: str = "", outside: BaseException | None = None
) -> Failure:
    """Write down an exception, and let go of all frames that it holds.

    A stored exception pins every local of every frame of its traceback, of its causes and
    contexts, and of the members of a group. The text is all that is left of them.

    Args:
        exception: What an action raised, or what this library fails the task with.
        reason: Why the task was stopped, where the action raised only because of that.
        outside: What `sys.exception()` was before the attempt. Somebody outside is handling it
            and may raise it again, so it keeps its frames; and it is no part of this failure,
            though Python made it the `__context__` of all that was raised meanwhile.
    """
    error = _sentence(exception)
    if reason:
        error = f"{reason}; while being stopped it raised {error}"
    tree = _tree(exception, outside)
    text = _format(exception)
    for item in tree:
        # Not `item.__traceback__ = None`, which a frozen class of exceptions refuses.
        BaseException.with_traceback(item, None)
    return Failure(_encodable(error), exception, _encodable(text))


def _tree(exception: BaseException, outside: BaseException | None) -> list[BaseException]:
    """The exception, its causes and contexts, and the members of groups; cut off at `outside`."""
    seen = set() if outside is None else {id(outside)}
    stack, tree = [exception], []
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        tree.append(item)
        if item.__cause__ is not None:
            stack.append(item.__cause__)
        if item.__context__ is not None and item.__context__ is outside:
            BaseException.__setattr__(item, "__context__", None)
        elif item.__context__ is not None:
            stack.append(item.__context__)
        if isinstance(item, BaseExceptionGroup):
            stack.extend(item.exceptions)
    return tree


def _sentence(exception: BaseException) -> str:
    """`TypeName: message`."""
    name = type(exception).__name__
    try:
        message = str(exception)
    except Exception as exc:  # a broken __str__ must not hide the failure
        message = f"<its __str__ raised {type(exc).__name__}>"
    return f"{name}: {message}" if message.strip() else name


def _format(exception: BaseException) -> str:
    frames = _without_engine(exception.__traceback__)
    try:
        report = traceback.TracebackException(type(exception), exception, frames, compact=True)
        return "".join(report.format())
    except Exception as exc:  # hostile attributes, or groups nested too deep to be printed
        return f"{_sentence(exception)}\n(its traceback cannot be shown: {type(exc).__name__})\n"


_OURS = __name__.partition(".")[0]
_ENGINE = (_OURS, "trio", "outcome")  # of the way into a thread


def _without_engine(frames: TracebackType | None) -> TracebackType | None:
    """Leave out the frames above the action's own, which belong to this library or to Trio.

    Where no other follow, the action is one of Trio's: what comes after our last is its own.
    """
    after_ours = frames
    while frames is not None and (package := _package(frames)) in _ENGINE:
        frames = frames.tb_next
        if package == _OURS:
            after_ours = frames
    return after_ours if frames is None else frames


def _package(frames: TracebackType) -> object:
    # By module and not by file: compiled code has no file that could be found.
    module = frames.tb_frame.f_globals.get("__name__")
    return module.partition(".")[0] if isinstance(module, str) else None


def _encodable(text: str) -> str:
    """The text without lone surrogates, which no file and no store can hold."""
    return text.encode("utf-8", "backslashreplace").decode()
