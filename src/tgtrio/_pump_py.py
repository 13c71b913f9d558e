"""The pure Python twin of the pump. What each method promises stands in `_pump.pyi`.

Ctrl-C can land between any two bytecodes here. The methods that ask the queue and
tell it are therefore protected, and only those: an action must stay interruptible.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from trio.lowlevel import enable_ki_protection

from ._columns import LATE, Columns
from ._plan import EXPIRES, INPUTS, TIMED, Plan
from ._states import SUCCEEDED

if TYPE_CHECKING:
    import trio
    from typing_extensions import Buffer

    from ._ready_queue import ReadyQueue

FOREIGN, INLINE, PREPARED, REPORTED, THREADED, CONTEXT = 8, 16, 32, 64, 128, 256
SLOW = EXPIRES | FOREIGN | PREPARED
WATCHED = TIMED | EXPIRES

IDLE, SLICE, RENEW = range(3)

SLICE_SECONDS = 0.001
SLICE_TASKS = 1000


class Dispatch:
    def __init__(
        self,
        host: Any,
        queue: ReadyQueue,
        plan: Plan,
        functions: Sequence[Callable[..., Any]],
        kinds: Buffer,
        flags: Buffer,
        columns: Columns,
        context: Context,
        clock: Callable[[], float],
        system_offset: float | None,
        locks: Mapping[trio.lowlevel.Task, object],
    ) -> None:
        self.host, self.queue = host, queue
        self.bind(plan, functions, kinds, flags, columns)
        self.context, self.clock, self.locks = context, clock, locks
        self.system_offset = system_offset
        self.ended = False
        self.looking = 0
        self.generation = 0
        self.batch_began()

    def bind(
        self,
        plan: Plan,
        functions: Sequence[Callable[..., Any]],
        kinds: Buffer,
        flags: Buffer,
        columns: Columns,
    ) -> None:
        self.plan, self.columns = plan, columns
        self.functions = list(functions)
        self.kinds, self.flags = memoryview(kinds), memoryview(flags)

    def batch_began(self) -> None:
        self.slice_end = -1.0
        self.slice_left = SLICE_TASKS

    def now(self) -> float:
        if self.system_offset is None:
            return self.clock()
        return self.system_offset + perf_counter()

    def slice_spent(self, now: float) -> bool:
        """By time under the system clock; by count under others, so that they stay exact."""
        if self.system_offset is None:
            self.slice_left -= 1
            return self.slice_left < 0
        if self.slice_end < 0:
            self.slice_end = now + SLICE_SECONDS
        return now >= self.slice_end


class Pump:
    timer: Any = None
    scope: trio.CancelScope

    def __init__(self, dispatch: Dispatch, trio_task: trio.lowlevel.Task) -> None:
        self._dispatch = dispatch
        self._trio_task = trio_task
        self.home: object = None
        self._action: Any = None
        self.args: Any = None
        self._context: Context | None = None
        self._suspended = self._watched = False
        self.task, self.kind, self.why, self.doom, self.generation = -1, 0, IDLE, 0, 0

    def enter(self, scope: trio.CancelScope) -> None:
        self.scope = scope
        self.doom = 0
        self.why = IDLE
        self.home = getattr(self._trio_task, "_cancel_status", None)

    def forget(self) -> int:
        task = self.task
        self._leave()
        return task

    # -- the awaitable ---------------------------------------------------------

    def __await__(self) -> Self:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self._drive(None, None)

    def send(self, value: Any) -> Any:
        return self._drive(value, None)

    def throw(self, error: Any, value: Any = None, _traceback: Any = None) -> Any:
        if not isinstance(error, BaseException):  # the old signature: type, value, traceback
            error = value if isinstance(value, BaseException) else error()
        return self._drive(None, error)

    def close(self) -> None:
        if hasattr(self._action, "close"):
            self._action.close()

    @property
    def cr_frame(self) -> Any:
        return getattr(self._action, "cr_frame", getattr(self._action, "gi_frame", None))

    @property
    def cr_await(self) -> Any:
        return getattr(self._action, "cr_await", getattr(self._action, "gi_yieldfrom", None))

    # -- the loop --------------------------------------------------------------

    def _drive(self, value: Any, error: BaseException | None) -> Any:
        if self._action is None and error is not None:
            raise error
        while self._action is not None or self._begin():
            try:
                if self._action is not _NOT_CALLED or not self._call_ended():
                    value = self._step(value, error)
                    if not self._suspended:
                        self._on_suspended()
                    return value
            except _Returned as returned:
                self._succeed(returned.value)
            except Exception as raised:
                self._fail(raised)
            except BaseException:
                self._action = None
                raise
            value = error = None
            if self.why == RENEW:
                break
        raise StopIteration

    def _call_ended(self) -> bool:
        """Call the action; False if that left something to be sent its steps."""
        d = self._dispatch
        function = d.functions[d.plan.action[self.task]]
        given = [self.args]
        if self.kind & CONTEXT:
            given.append(d.host.context(self.task, self.args))
        if self.kind & INLINE:
            assert self._context is not None
            result = self._context.run(function, *given)
            if not hasattr(type(result), "__await__"):
                self._succeed(result)
                return True
        else:
            result = function(*given)
        self._action = _steps(result)
        return False

    def _step(self, value: Any, error: BaseException | None) -> Any:
        """One step of the action, in its context: what it yields."""
        assert self._context is not None
        try:
            if error is None:
                return self._context.run(self._action.send, value)
            if not hasattr(self._action, "throw"):
                raise error
            return self._context.run(self._action.throw, error)
        except StopIteration as stop:
            raise _Returned(stop.value) from None

    @enable_ki_protection
    def _begin(self) -> bool:
        d = self._dispatch
        while True:
            now = d.now()
            if d.slice_spent(now) or self._cancelled():  # then the worker's checkpoint raises
                self.why = SLICE
                return False
            task = d.queue.next()
            if task < 0:
                self.why = IDLE
                return False
            self.kind = d.kinds[d.plan.action[task]] | d.flags[task]
            action: Any = _NOT_CALLED
            self.task = task
            if self.kind & SLOW:
                awaitable = d.host.prepare(self)
                if awaitable is None:
                    self.task = -1
                    continue
                if awaitable is not True:  # else it is a plain call, with `args`
                    action = _steps(awaitable)
                task = self.task  # another one may have taken over
                self.kind = d.kinds[d.plan.action[task]] | d.flags[task]
            elif self.kind & INPUTS:
                self.args = d.host.arguments(task)
            else:
                self.args = d.plan.args[task]
            self._action = action
            self.generation = d.generation
            self.why = IDLE
            self._suspended = False
            self._context = d.context.copy()
            d.columns.started[task] = now
            d.columns.attempts[task] += 1
            if action is _NOT_CALLED:  # what was prepared may begin later; the host knows when
                d.queue.log_start(task, d.columns.attempts[task] - 1, now)
            return True

    @enable_ki_protection
    def _on_suspended(self) -> None:
        self._suspended = True
        if self.kind & WATCHED:
            self._watched = True
            self._dispatch.host.watch(self)
        if not self._dispatch.looking and self._dispatch.queue.startable():
            self._dispatch.host.wake()

    # -- the end of an attempt -----------------------------------------------------

    @enable_ki_protection
    def _succeed(self, value: Any) -> None:
        d, task = self._dispatch, self.task
        now = d.now()
        if self._cancelled():
            d.host.cancelled(self)
        if self._untidy():
            self.why = RENEW
            leak = d.host.leaked(self)
            if leak is not None:
                self._fail(leak)
                return
        d.columns.responses[task] = value
        d.columns.finished[task] = now
        timeouts = d.plan.timeouts
        overdue = timeouts is not None and now - d.columns.started[task] > timeouts[task]
        if self.doom or d.ended or overdue:
            d.columns.marks[task] |= LATE
        if self.doom:
            self.why = RENEW
        kind = d.kinds[d.plan.action[task]] | d.flags[task]
        done = not kind & REPORTED or d.host.succeeded(self)
        self._leave()
        if done:
            d.queue.complete(task, SUCCEEDED)

    @enable_ki_protection
    def _fail(self, error: Exception) -> None:
        d = self._dispatch
        d.columns.finished[self.task] = d.now()
        if self._cancelled():
            d.host.cancelled(self)
        if self.doom:
            self.why = RENEW
        if self._untidy():
            self.why = RENEW
            d.host.leaked(self)
        d.host.fail(self, error)
        self._leave()

    def _leave(self) -> None:
        if self._watched or self.kind & FOREIGN:
            self._watched = False
            self._dispatch.host.leave(self)
        self._action = self._context = self.args = None
        self.task = -1

    def _cancelled(self) -> bool:
        """Is the worker cancelled, from wherever?"""
        home: Any = self.home
        return home is not None and bool(home.effectively_cancelled)

    def _untidy(self) -> bool:
        if self.home is not None and self._trio_task._cancel_status is not self.home:
            return True
        return self._trio_task in self._dispatch.locks


class _Returned(Exception):
    """An action returned; a StopIteration that its call raised would look the same."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


_NOT_CALLED: Any = object()  # in place of an action whose function is still to be called


def _steps(awaitable: Any) -> Any:
    if inspect.iscoroutine(awaitable):
        return awaitable
    if not hasattr(type(awaitable), "__await__"):
        raise TypeError(
            f"the action returned a {type(awaitable).__name__}, which cannot be awaited"
        )
    return awaitable.__await__()
