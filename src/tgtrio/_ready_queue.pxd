"""The fields of the compiled ready queue. What each method promises stands in the .pyi."""

cimport cython
from libc.stdint cimport int32_t, uint8_t

from ._event_log cimport EventLog
from ._gates cimport Gate, Lane
from ._rank_set cimport RankSet

cdef enum:
    STATES = 8


ctypedef struct Node:  # what an edge touches: one word of 8 bytes a task
    int32_t waiting  # dependencies that have not ended
    uint8_t policy
    uint8_t seen  # standings of the dependencies that ended, a bit each
    uint8_t state
    uint8_t aside  # NOT_ASIDE, HELD or DETACHED


@cython.final
cdef class ReadyQueue:
    cdef readonly int32_t total, running, unfinished
    cdef readonly bint stopped
    cdef bint paused
    cdef int32_t limit
    cdef int32_t[STATES] tally  # tasks in each state

    cdef Node* nodes
    cdef const int32_t[::1] offsets  # CSR of the dependents
    cdef const int32_t[::1] dependents
    cdef int32_t* parent_of  # made at the first failure or skip
    cdef int32_t* told  # tasks that ended without running, whose dependents are to be told: FIFO
    cdef Py_ssize_t told_room
    cdef EventLog log

    # Ready tasks of lane 0 and the heads of the LISTED lanes. A lane's head stands
    # here on trust: `next` finds out whether its gates let it through.
    cdef RankSet front
    cdef const int32_t[::1] lane_of  # set where there are lanes
    cdef int32_t* place
    cdef Lane* lanes  # NULL: all tasks are in lane 0
    cdef int32_t lane_count
    cdef Gate* gates
    cdef int32_t gate_count
    cdef int32_t* lane_members
    cdef int32_t* lane_gates

    cpdef int32_t next(self) except -2
    cpdef int complete(self, int32_t task, int state) except -1
    cpdef int32_t complete_and_next(self, int32_t task, int state) except -2
    cpdef bint startable(self) noexcept
    cpdef int give_back(self, int32_t task) except -1

    cdef int _check(self, int32_t task) except -1
    cdef int _check_running(self, int32_t task) except -1
    cdef int _leave(self, int32_t task) except -1
    cdef int _settle_roots(self) except -1
    cdef int _finish(self, int32_t task, int state) except -1
    cdef Py_ssize_t _tell(self, int32_t task, int state, Py_ssize_t waiting) except -1
    cdef int _set_parent(self, int32_t task, int32_t dependency, bint failed_first) except -1
    cdef void _move(self, int32_t task, int state) noexcept

    cdef int _make_ready(self, int32_t task) except -1
    cdef int _take_back(self, int32_t task) except -1
    cdef bint _needs(self, Lane* lane, int32_t gate) noexcept
    cdef int32_t _shut_gate(self, Lane* lane) noexcept
    cdef int _claim(self, Lane* lane) except -1
    cdef int _release(self, int32_t task) except -1
    cdef int _set_head(self, Lane* lane, int32_t head) except -1
    cdef int _list_or_park(self, Lane* lane) except -1
    cdef int _park(self, Lane* lane, int32_t gate) except -1
    cdef int _list_next(self, int32_t gate) except -1
    cdef int _offer_gates(self, Lane* lane) except -1
