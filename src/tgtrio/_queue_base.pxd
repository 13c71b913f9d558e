"""The fields of the compiled ready queue that can be asked for."""

from libc.stdint cimport int32_t, uint8_t

from ._blocks cimport block_new
from ._edges cimport Edges
from ._front cimport Front
from ._states cimport READY, STATES

cdef enum Aside:
    NOT_ASIDE
    HELD  # READY, and in no lane until somebody lets it go
    DETACHED  # RUNNING, and owns neither a slot nor a gate


ctypedef struct Node:  # what an edge touches: one word of 8 bytes a task
    int32_t waiting  # dependencies that have not ended
    uint8_t policy
    uint8_t seen  # standings of the dependencies that ended, a bit each
    uint8_t state
    uint8_t aside


ctypedef struct Blame:
    int32_t parent  # number + 1 of the dependency that kept the task from running, or 0
    int32_t turn  # of a task that did not succeed: its place among those, from 1


cdef class QueueBase:
    cdef readonly int32_t total, running, unfinished
    cdef readonly bint stopped
    cdef bint paused
    cdef int32_t limit
    cdef int32_t room  # the blocks that have an item a task have room for so many
    cdef int32_t[STATES] tally  # tasks in each state

    cdef Node* nodes
    cdef Blame* blames  # made at the first failure or skip
    cdef Edges later  # to tasks that were added
    cdef Front front


cdef inline int check_task(QueueBase queue, int32_t task) except -1:
    return 0 if 0 <= task < queue.total else _no_task(queue, task)


cdef inline int _no_task(QueueBase queue, int32_t task) except -1:
    raise IndexError(f"no task {task} among {queue.total}")


cdef inline bint is_queued(QueueBase queue, int32_t task) noexcept:
    """Is it READY, and not held?"""
    return queue.nodes[task].state == READY and queue.nodes[task].aside != HELD


cdef inline int make_blames(QueueBase queue) except -1:
    if queue.blames is NULL:
        queue.blames = <Blame*>block_new(queue.room, sizeof(Blame))
    return 0
