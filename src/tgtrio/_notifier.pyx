"""The compiled notifier. What each method promises stands in `_notifier.pyi`."""

cimport cython
from libc.stdint cimport int32_t
from libc.stdlib cimport free

from ._event_log cimport ENDED, NOTED, READIED, Event, EventLog
from ._ready_queue cimport ReadyQueue

from . import _states

cdef tuple STATES = _states.STATES
cdef enum:
    SUCCEEDED = 3  # `_states.SUCCEEDED`


@cython.final
cdef class Notifier:
    cdef public tuple on_ready
    cdef public tuple on_start
    cdef public tuple on_end
    cdef ReadyQueue queue
    cdef list nodes
    cdef const double[::1] finished
    cdef object end_of, note, failed
    cdef double began
    cdef Event* spare  # a second buffer: the queue writes on while this one is read
    cdef Py_ssize_t spare_room
    cdef bint busy

    def __init__(
        self, ReadyQueue queue not None, list nodes, finished, double began, end_of, note, failed
    ):
        self.queue = queue
        self.bind(nodes, finished)
        self.began = began
        self.end_of = end_of
        self.note = note
        self.failed = failed
        self.on_ready = self.on_start = self.on_end = ()

    def bind(self, list nodes, finished):
        self.nodes = nodes
        self.finished = finished

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
        if what == NOTED:
            self.note()
        elif what == ENDED:
            self.call(
                self.on_end,
                self.nodes[task].task_id,
                STATES[self.queue.nodes[task].state],
                self.ended(task),
            )
        elif what == READIED:
            self.call_ready(self.nodes[task].task_id, self.ended(<int32_t>at))
        else:
            self.call(self.on_start, self.nodes[task].task_id, what, at)
        return 0

    cdef double ended(self, int32_t task) except? -1:
        if task < 0:
            return self.began
        if self.queue.nodes[task].state == SUCCEEDED:
            return self.finished[task]
        return self.end_of(task)

    cdef int call(self, tuple hooks, object task_id, object what, object at) except -1:
        for hook in hooks:
            try:
                hook(task_id, what, at)
            except BaseException as error:  # whatever it is, the others must hear all the same
                self.failed(hook, error)
        return 0

    cdef int call_ready(self, object task_id, object at) except -1:
        for hook in self.on_ready:
            try:
                hook(task_id, at)
            except BaseException as error:
                self.failed(hook, error)
        return 0
