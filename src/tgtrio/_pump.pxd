"""The fields of the compiled pump. What each method promises stands in the .pyi."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t

from ._ready_queue cimport ReadyQueue

cdef extern from *:
    """
    static int tgtrio_is_awaitable(PyObject *value) {
        PyAsyncMethods *methods = Py_TYPE(value)->tp_as_async;
        return methods != NULL && methods->am_await != NULL;
    }
    """
    # Has its type an `__await__`? `hasattr` takes ten times as long to say no.
    bint is_awaitable "tgtrio_is_awaitable" (object value) noexcept


@cython.final
cdef class Dispatch:
    cdef object host
    cdef ReadyQueue queue
    cdef list functions  # by action
    cdef const uint16_t[::1] kinds  # by action; the host changes them while the run goes on
    cdef const uint8_t[::1] flags  # by task, like all that follows
    cdef const int32_t[::1] action
    cdef list args
    cdef list responses
    cdef double[::1] started, finished
    cdef double[::1] timeouts  # seconds; set where a task has one
    cdef int32_t[::1] attempts
    cdef uint8_t[::1] marks
    cdef object context
    cdef object clock
    cdef bint system_clock
    cdef double system_offset
    cdef double slice_end  # of the time slice in this batch; negative: not begun
    cdef int slice_left  # under other clocks: tasks that may start in this batch
    cdef dict locks
    cdef public bint ended
    cdef public int looking
    cdef public int64_t generation

    cdef double now(self) except -1
    cdef bint slice_spent(self, double now) noexcept


@cython.final
cdef class Pump:
    cdef Dispatch dispatch
    cdef object trio_task
    cdef readonly object home  # the cancel status of the worker inside its own scope
    cdef Py_ssize_t cancelled_at, status_at  # offsets of slots of Trio's; -1: found by name
    cdef object action  # the iterator of the action in flight; None between attempts
    cdef object context  # its context
    cdef public object args  # what it is called with
    cdef public int32_t task
    cdef readonly int kind
    cdef readonly int64_t generation
    cdef readonly int why
    cdef public int doom
    cdef readonly object scope
    cdef public object timer
    cdef bint suspended  # the action in flight has suspended before
    cdef bint watched

    cdef object drive(self, object value, object error)
    cdef object step(self, object value, object error, bint* returned)
    cdef bint begin(self, double now) except -1
    cdef bint call(self) except -1
    cdef int on_suspended(self) except -1
    cdef double succeed(self, object value) except -2
    cdef double fail(self, object error) except -2
    cdef int leave(self) except -1
    cdef bint cancelled(self) except -1
    cdef object status(self)
    cdef bint untidy(self) except -1
