"""The compiled notifier. What each method promises stands in `_notifier.pyi`."""

cimport cython
from libc.stdint cimport int32_t
from libc.stdlib cimport free

from ._event_log cimport ENDED, NOTED, Event, EventLog
from ._ready_queue cimport ReadyQueue

from . import _states

cdef tuple STATES = _states.STATES
cdef enum:
    SUCCEEDED = 3  # `_states.SUCCEEDED`


@cython.final
cdef class Notifier:
    cdef public tuple on_start
    cdef public tuple on_end
    cdef ReadyQueue queue
    cdef list nodes
    cdef const double[::1] finished
    cdef object end_of, note, failed
    cdef Event* spare  # a second buffer: the queue writes on while this one is read
    cdef Py_ssize_t spare_room
    cdef bint busy

    def __init__(self, ReadyQueue queue not None, list nodes, finished, end_of, note, failed):
        self.queue = queue
        self.nodes = nodes
        self.finished = finished
        self.end_of = end_of
        self.note = note
        self.failed = failed
        self.on_start = self.on_end = ()

    def __dealloc__(self):
        free(self.spare)

    def notify(self):
        cdef EventLog* log = &self.queue.log
        cdef Event* events = log.events
        cdef Py_ssize_t count = log.count, room = log.room, i
        if count == 0 or self.busy:
            return False
        self.busy = True
        log.events, log.room, log.count = self.spare, self.spare_room, 0
        self.spare = NULL
        try:
            for i in range(count):
                self.tell(events[i].task, events[i].what, events[i].at)
        finally:
            self.spare, self.spare_room = events, room
            self.busy = False
        return True

    cdef int tell(self, int32_t task, int32_t what, double at) except -1:
        cdef int state
        if what == NOTED:
            self.note()
        elif what == ENDED:
            state = self.queue.nodes[task].state
            at = self.finished[task] if state == SUCCEEDED else self.end_of(task)
            self.call(self.on_end, self.nodes[task].task_id, STATES[state], at)
        else:
            self.call(self.on_start, self.nodes[task].task_id, what, at)
        return 0

    cdef int call(self, tuple hooks, object task_id, object what, object at) except -1:
        for hook in hooks:
            try:
                hook(task_id, what, at)
            except BaseException as error:  # whatever it is, the others must hear all the same
                self.failed(hook, error)
        return 0
