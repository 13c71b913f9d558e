"""What has happened to tasks since somebody last asked, in order: a buffer that grows.

Nothing of it is there, and nothing is written, unless somebody wants to know.
"""

from libc.stdint cimport int32_t
from libc.stdlib cimport realloc

cdef enum Wanted:
    STARTS = 1
    ENDS = 2
    READIES = 4

cdef enum What:  # or the number of an attempt that began, from 0
    ENDED = -1
    NOTED = -2  # something that is written down elsewhere
    READIED = -3

ctypedef struct Event:
    double at  # of a start; of READIED, the task whose end let it start, or -1
    int32_t task
    int32_t what

ctypedef struct EventLog:
    Event* events
    Py_ssize_t count
    Py_ssize_t room
    int wanted


cdef inline int log_add(EventLog* self, int32_t task, int32_t what, double at) except -1:
    if self.count == self.room:
        log_grow(self)
    self.events[self.count].at = at
    self.events[self.count].task = task
    self.events[self.count].what = what
    self.count += 1
    return 0


cdef inline int log_grow(EventLog* self) except -1:
    cdef Py_ssize_t room = 2 * self.room + 256
    cdef void* block = realloc(self.events, room * sizeof(Event))
    if block is NULL:
        raise MemoryError()
    self.events = <Event*>block
    self.room = room
    return 0
