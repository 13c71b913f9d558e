"""The compiled pump. What each method promises stands in `_pump.pyi`.

No Python code but the actions' and the host's runs between taking a task from the
queue and telling it the end, so Ctrl-C cannot land between the two: a signal
handler runs in Python code only, and the host's methods are protected by Trio.
"""

from cpython.contextvars cimport PyContext_Copy
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from cpython.time cimport perf_counter

from ._event_log cimport STARTS, log_add
from ._slots cimport get_slot, slot_offset

from ._plan import EXPIRES as _EXPIRES
from ._plan import INPUTS as _INPUTS
from ._plan import TIMED as _TIMED

cdef extern from "Python.h":
    ctypedef int PySendResult
    int PYGEN_RETURN, PYGEN_NEXT
    PySendResult PyIter_Send(object iterator, object value, PyObject** result) except -1
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    bint PyCoro_CheckExact(object coroutine) noexcept

cdef enum Bits:
    INPUTS_ = 1
    TIMED_ = 2
    EXPIRES_ = 4
    FOREIGN_ = 8
    INLINE_ = 16
    PREPARED_ = 32
    REPORTED_ = 64
    THREADED_ = 128
    CONTEXT_ = 256
    SLOW_ = EXPIRES_ | FOREIGN_ | PREPARED_
    WATCHED = TIMED_ | EXPIRES_

cdef enum Why:
    IDLE_ = 0
    SLICE_ = 1
    RENEW_ = 2

assert (_INPUTS, _TIMED, _EXPIRES) == (INPUTS_, TIMED_, EXPIRES_)
FOREIGN, INLINE, PREPARED, REPORTED = FOREIGN_, INLINE_, PREPARED_, REPORTED_
THREADED, CONTEXT, SLOW = THREADED_, CONTEXT_, SLOW_
IDLE, SLICE, RENEW = IDLE_, SLICE_, RENEW_

cdef double SLICE_SECONDS = 0.001
cdef int SLICE_TASKS = 1000
cdef enum:
    SUCCEEDED = 3  # `_states.SUCCEEDED`
    LATE = 1  # `_columns.LATE`


cdef class Dispatch:
    def __init__(
        self,
        host,
        ReadyQueue queue not None,
        plan,
        functions,
        kinds,
        flags,
        columns,
        context,
        clock,
        system_offset,
        locks,
    ):
        self.host = host
        self.queue = queue
        self.bind(plan, functions, kinds, flags, columns)
        self.context = context
        self.clock = clock
        self.system_clock = system_offset is not None
        self.system_offset = system_offset or 0.0
        self.locks = locks
        self.batch_began()

    def bind(self, plan, functions, kinds, flags, columns):
        self.functions = list(functions)
        self.kinds = kinds
        self.flags = flags
        self.action = plan.action
        self.args = plan.args
        self.responses = columns.responses
        self.started = columns.started
        self.finished = columns.finished
        self.attempts = columns.attempts
        self.marks = columns.marks
        if plan.timeouts is not None:
            self.timeouts = plan.timeouts

    def batch_began(self):
        self.slice_end = -1.0
        self.slice_left = SLICE_TASKS

    cdef double now(self) except -1:
        if self.system_clock:
            return self.system_offset + perf_counter()
        return self.clock()

    cdef bint slice_spent(self, double now) noexcept:
        """By time under the system clock; by count under others, so that they stay exact."""
        if not self.system_clock:
            self.slice_left -= 1
            return self.slice_left < 0
        if self.slice_end < 0:
            self.slice_end = now + SLICE_SECONDS
        return now >= self.slice_end


cdef class Pump:
    def __init__(self, Dispatch dispatch not None, trio_task):
        self.dispatch = dispatch
        self.trio_task = trio_task
        self.task = -1

    def enter(self, scope):
        self.scope = scope
        self.doom = 0
        self.why = IDLE_
        # Private to Trio: the only way to see a scope that was entered and not left.
        self.home = getattr(self.trio_task, "_cancel_status", None)
        self.cancelled_at = _slot_of(self.home, "effectively_cancelled")
        self.status_at = _slot_of(self.trio_task, "_cancel_status")

    def forget(self):
        cdef int32_t task = self.task
        self.leave()
        return task

    # -- the awaitable ---------------------------------------------------------

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.drive(None, None)

    def send(self, value):
        return self.drive(value, None)

    def throw(self, error, value=None, traceback=None):
        if not isinstance(error, BaseException):  # the old signature: type, value, traceback
            error = value if isinstance(value, BaseException) else error()
        return self.drive(None, error)

    def close(self):
        if self.action is not None and hasattr(self.action, "close"):
            self.action.close()

    @property
    def cr_frame(self):  # Trio's stack dumps show the action
        return getattr(self.action, "cr_frame", getattr(self.action, "gi_frame", None))

    @property
    def cr_await(self):
        return getattr(self.action, "cr_await", getattr(self.action, "gi_yieldfrom", None))

    # -- the loop --------------------------------------------------------------

    cdef object drive(self, object value, object error):
        """Resume the action in flight; then run others, until one suspends or it is time to stop.

        Returns what an action yields to Trio. Raises StopIteration when the pump stops.
        """
        cdef bint returned = False
        cdef double now = -1
        while True:
            if self.action is not None:
                try:
                    value = self.step(value, error, &returned)
                except BaseException as raised:
                    if not isinstance(raised, Exception):
                        self.action = None
                        raise  # Cancelled belongs to a scope, KeyboardInterrupt to the program
                    now = self.fail(raised)
                else:
                    if not returned:
                        if not self.suspended:
                            self.on_suspended()
                        return value
                    now = self.succeed(value)
                if self.why == RENEW_:
                    raise StopIteration
            elif error is not None:
                raise error
            value = error = None
            if not self.begin(now):
                raise StopIteration

    cdef object step(self, object value, object error, bint* returned):
        """One step of the action, in its context: what it yields or, if `returned`, its value."""
        cdef PyObject* out = NULL
        cdef PySendResult what
        cdef object result
        PyContext_Enter(self.context)
        try:
            if error is None:
                what = PyIter_Send(self.action, value, &out)
                result = <object>out
                Py_DECREF(result)  # `out` was ours; `result` has its own reference
            else:
                what = PYGEN_NEXT
                try:
                    result = _throw(self.action, error)
                except StopIteration as stop:
                    what = PYGEN_RETURN
                    result = stop.value
        finally:
            PyContext_Exit(self.context)
        returned[0] = what == PYGEN_RETURN
        return result

    cdef bint begin(self, double now) except -1:
        """Put the next task in flight; False, with `why`, when the pump is to stop."""
        cdef Dispatch d = self.dispatch
        cdef int32_t task
        if now < 0:  # no attempt ended just now, which would have noticed a cancellation
            if self.cancelled():
                self.why = SLICE_  # the worker's checkpoint raises
                return False
            now = d.now()
        while True:
            if d.slice_spent(now):
                self.why = SLICE_
                return False
            task = d.queue.next()
            if task < 0:
                self.why = IDLE_
                return False
            self.kind = d.kinds[d.action[task]] | d.flags[task]
            self.task = task
            if self.kind & THREADED_ and not self.kind & SLOW_:
                d.queue.give_back(task)
                self.task = -1
                self.why = IDLE_
                d.host.call_lane()
                return False
            if self.kind & SLOW_:
                self.action = d.host.prepare(self)
                if self.action is None:
                    self.task = -1
                    continue
                if self.action is True:  # a plain call, with `args`
                    self.action = None
                if self.task != task:  # another one has taken over
                    task = self.task
                    self.kind = d.kinds[d.action[task]] | d.flags[task]
            elif self.kind & INPUTS_:
                self.args = d.host.arguments(task)
            else:
                self.args = d.args[task]
            self.generation = d.generation
            self.why = IDLE_
            self.suspended = False
            self.context = PyContext_Copy(d.context)
            d.started[task] = now
            d.attempts[task] += 1
            # What was prepared may begin later; the host knows when.
            if d.queue.log.wanted & STARTS and self.action is None:
                log_add(&d.queue.log, task, d.attempts[task] - 1, now)
            try:
                if self.call():
                    return True
            except Exception as raised:
                now = self.fail(raised)
            else:
                now = d.finished[task]
            if self.why == RENEW_:
                return False

    cdef bint call(self) except -1:
        """Call the action; True if that left something to be sent its steps."""
        cdef Dispatch d = self.dispatch
        cdef object function, context, result
        if self.action is not None:  # prepared
            self.action = _steps(self.action)
            return True
        function = d.functions[d.action[self.task]]
        context = d.host.context(self.task, self.args) if self.kind & CONTEXT_ else None
        if not self.kind & INLINE_:
            result = function(self.args) if context is None else function(self.args, context)
            self.action = result if PyCoro_CheckExact(result) else _steps(result)
            return True
        PyContext_Enter(self.context)
        try:
            result = function(self.args) if context is None else function(self.args, context)
        finally:
            PyContext_Exit(self.context)
        if is_awaitable(result):
            self.action = _steps(result)  # a lambda around an async function, say
            return True
        self.succeed(result)
        return False

    cdef int on_suspended(self) except -1:
        self.suspended = True
        if self.kind & WATCHED:
            self.watched = True
            self.dispatch.host.watch(self)
        if not self.dispatch.looking and self.dispatch.queue.startable():
            self.dispatch.host.wake()
        return 0

    # -- the end of an attempt -----------------------------------------------------

    cdef double succeed(self, object value) except -2:
        """Returns the instant."""
        cdef Dispatch d = self.dispatch
        cdef int32_t task = self.task
        cdef double now = d.now()
        if self.cancelled():
            d.host.cancelled(self)
        if self.untidy():
            self.why = RENEW_
            leak = d.host.leaked(self)
            if leak is not None:
                return self.fail(leak)
        d.responses[task] = value
        d.finished[task] = now
        if self.doom or d.ended or (
            self.kind & TIMED_ and now - d.started[task] > d.timeouts[task]
        ):
            d.marks[task] |= LATE
        if self.doom:
            self.why = RENEW_
        if (d.kinds[d.action[task]] | d.flags[task]) & REPORTED_ and not d.host.succeeded(self):
            self.leave()
            return now
        self.leave()
        d.queue.complete(task, SUCCEEDED)
        return now

    cdef double fail(self, object error) except -2:
        """Returns the instant."""
        cdef Dispatch d = self.dispatch
        cdef double now = d.now()
        d.finished[self.task] = now
        if self.cancelled():
            d.host.cancelled(self)
        if self.doom:
            self.why = RENEW_
        if self.untidy():
            self.why = RENEW_
            d.host.leaked(self)
        d.host.fail(self, error)
        self.leave()
        return now

    cdef int leave(self) except -1:
        if self.watched or self.kind & FOREIGN_:
            self.watched = False
            self.dispatch.host.leave(self)
        self.action = None
        self.context = None
        self.args = None
        self.task = -1
        return 0

    cdef bint cancelled(self) except -1:
        """Is the worker cancelled, from wherever?"""
        if self.home is None:
            return False
        if self.cancelled_at < 0:
            return self.home.effectively_cancelled
        return get_slot(self.home, self.cancelled_at)

    cdef object status(self):
        """The cancel status of the worker now."""
        if self.status_at < 0:
            return self.trio_task._cancel_status
        return get_slot(self.trio_task, self.status_at)

    cdef bint untidy(self) except -1:
        """Has the action left the Trio task in another state than it found it?"""
        if self.home is not None and self.status() is not self.home:
            return True
        return len(self.dispatch.locks) > 0 and self.trio_task in self.dispatch.locks


cdef Py_ssize_t _slot_of(object instance, str name) except -2:
    """The offset of a slot; -1 if the field is no slot, in a Trio that is built otherwise."""
    try:
        return slot_offset(type(instance), name)
    except (KeyError, TypeError):
        return -1


cdef object _steps(object awaitable):
    """The iterator behind whatever an action returned."""
    if PyCoro_CheckExact(awaitable):
        return awaitable
    if not is_awaitable(awaitable):
        raise TypeError(
            f"the action returned a {type(awaitable).__name__}, which cannot be awaited"
        )
    return awaitable.__await__()


cdef object _throw(object iterator, object error):
    if not hasattr(iterator, "throw"):
        raise error
    return iterator.throw(error)
