"""The compiled ready queue: the fields that its working needs beside those of the base."""

cimport cython
from libc.stdint cimport int32_t

from ._dispatch_order cimport Added
from ._event_log cimport EventLog
from ._queue_base cimport Node, QueueBase


@cython.final
cdef class ReadyQueue(QueueBase):
    cdef const int32_t[::1] offsets  # CSR of the dependents
    cdef const int32_t[::1] dependents
    cdef const int32_t* edges  # the same
    cdef int32_t turns  # tasks that did not succeed, and whose dependents know it
    cdef int32_t* told  # tasks that ended without running, whose dependents are to be told: FIFO
    cdef int32_t told_room
    cdef EventLog log

    cpdef int32_t next(self) except -2
    cpdef int complete(self, int32_t task, int state) except -1
    cpdef int32_t complete_and_next(self, int32_t task, int state) except -2
    cpdef bint startable(self) noexcept
    cpdef int give_back(self, int32_t task) except -1

    cdef inline int _check_running(self, int32_t task) except -1
    cdef int32_t _take_gated(self, int32_t task) noexcept
    cdef inline void _leave(self, int32_t task) noexcept
    cdef int _settle_roots(self) except -1
    cdef int _finish(self, int32_t task, int state) except -1
    cdef Py_ssize_t _tell(self, int32_t task, int state, Py_ssize_t waiting) except -1
    cdef Py_ssize_t _tell_later(self, int32_t task, int standing, Py_ssize_t waiting) except -1
    cdef inline Py_ssize_t _hear(
        self, int32_t dependent, int32_t task, int standing, Py_ssize_t waiting
    ) except -1
    cdef void _make_ready(self, int32_t task) noexcept
    cdef void _move(self, int32_t task, int state) noexcept

    cdef int _enter(
        self, tuple numbers, int32_t lane, Node node, Added added, int32_t parent
    ) except -1
