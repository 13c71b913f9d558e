"""Thread lanes, the compiled part. What each method promises stands in `_lane.pyi`.

Lanes tell the queue themselves, beside the event loop's thread. That is safe because every
method of the queue is one compiled call that never lets go of the GIL, and so is each step
here between two calls of Python code. What needs more than the queue is reported.

Who takes a task
----------------
While functions return without waiting, one lane alone runs them: handing tasks from thread to
thread costs far more. One more lane, the *spare*, stands by: it asks for the GIL, and gets it
as soon as a function waits for something. Then it takes a task, and the next lane becomes the
spare. If it had to insist on the GIL (the interpreter's switch interval went by), nobody waits,
and it stands by again; unless no function has begun for some time, and all are long.
"""

cimport cython
from cpython.contextvars cimport PyContext_Copy, PyContext_CopyCurrent
from cpython.time cimport perf_counter
from libc.stdint cimport int32_t, int64_t

from ._event_log cimport ENDS, STARTS, log_add
from ._pump cimport Dispatch, is_awaitable
from ._ready_queue cimport ReadyQueue

import sys
import threading
from math import inf

from ._plan import TIMED as _TIMED
from ._plan import INPUTS as _INPUTS
from ._pump import CONTEXT as _CONTEXT
from ._pump import REPORTED as _REPORTED
from ._pump import SLOW as _SLOW
from ._pump import THREADED as _THREADED

cdef extern from "Python.h":
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

cdef enum Bits:
    INPUTS_ = 1
    TIMED_ = 2
    REPORTED_ = 64
    THREADED_ = 128
    CONTEXT_ = 256

cdef int SLOW = _SLOW

assert (_INPUTS, _TIMED) == (INPUTS_, TIMED_)
assert (_REPORTED, _THREADED, _CONTEXT) == (REPORTED_, THREADED_, CONTEXT_)

cdef enum Found:
    TAKEN
    NOTHING
    OF_OTHERS  # the first task that may start is not for a lane

cdef enum:
    SUCCEEDED = 3  # `_states.SUCCEEDED`
    LATE = 1  # `_columns.LATE`

cdef double STAND_BY = 0.0001  # seconds without the GIL, before the spare asks for it again

cdef int MOST_LOGGED = 10_000  # entries, until Trio is called although it looks now and then

# Threads that ask for the GIL get it from Python code only, and a function need not be any.
cdef double HOLD_ON = 0.001  # seconds until they are asked whether they wait
cdef object let_others_run = eval("lambda: None")

cdef enum How:
    RETURNED_
    RAISED_
    AWAITABLE_

RETURNED, RAISED, AWAITABLE = RETURNED_, RAISED_, AWAITABLE_


@cython.final
cdef class LaneGroup:
    cdef Dispatch dispatch
    cdef object notify_trio
    cdef list idle  # lanes that have parked
    cdef list reports
    cdef Lane spare
    cdef bint notified
    cdef readonly bint closed
    cdef bint behind  # a failure has been reported that Trio has not settled yet
    cdef int in_flight
    cdef int64_t begun  # attempts
    cdef double switch_interval
    cdef double next_turn  # of the other threads, by the Trio clock
    cdef public double next_check
    cdef public bint wanted
    cdef public bint coming
    cdef public bint log_watched

    def __init__(self, Dispatch dispatch not None, notify):
        self.dispatch = dispatch
        self.notify_trio = notify
        self.idle = []
        self.reports = []
        self.next_check = inf
        self.switch_interval = sys.getswitchinterval()

    def take_reports(self):
        reports = self.reports
        self.reports = []
        self.notified = False
        if not reports:
            self.behind = False
        return reports

    def call(self):
        self.rouse()

    def close(self):
        self.closed = True
        for lane in self.idle:
            (<Lane>lane).bell.release()
        self.idle = []

    cdef int rouse(self) except -1:
        """Have a spare, if there is none."""
        cdef Lane lane
        if self.spare is not None or self.coming or self.closed:
            return 0
        if self.idle:
            self.wanted = False
            lane = self.idle.pop()
            self.spare = lane
            lane.bell.release()
        elif not self.wanted:
            self.wanted = True
            self.notify()
        return 0

    cdef int has_logged(self) except -1:
        """The queue has something for Trio to read, which may be asleep."""
        if not self.log_watched or self.dispatch.queue.log.count > MOST_LOGGED:
            self.log_watched = True
            self.notify()
        return 0

    cdef int notify(self) except -1:
        """Have Trio look at the reports, and at the run as a whole."""
        if not self.notified:
            self.notified = True
            self.notify_trio()
        return 0


@cython.final
cdef class Lane:
    cdef LaneGroup group
    cdef object bell  # a lock; released to wake the lane
    cdef object home  # the context of the thread
    cdef object context  # of the attempt
    cdef readonly int32_t task
    cdef readonly int64_t generation
    cdef readonly int doom
    cdef public object scope

    def __init__(self, LaneGroup group not None):
        self.group = group
        self.task = -1
        self.bell = threading.Lock()
        self.bell.acquire()

    def condemn(self, int32_t task):
        if self.task != task or self.doom:
            return False
        self.doom = 1
        return True

    def run(self):
        cdef LaneGroup group = self.group
        cdef Found found
        cdef double now
        self.home = PyContext_CopyCurrent()
        self.doom = 0
        group.coming = False
        if group.spare is None:
            group.spare = self
        while not group.closed:
            if group.spare is self and not self.is_needed():
                self.park(NOTHING)
                continue
            if group.spare is self:
                group.spare = None
            now = group.dispatch.now()
            while True:
                found = self.begin(now)
                if found != TAKEN:
                    break
                if group.dispatch.queue.startable():
                    group.rouse()
                now = self.attempt()
                if now >= group.next_turn or not group.dispatch.system_clock:
                    group.next_turn = now + HOLD_ON
                    let_others_run()
                if self.doom:
                    return True
            self.park(found)
        if group.spare is self:
            group.spare = None
        return False

    cdef bint is_needed(self) except -1:
        """Stand by until a task is to be taken here; False if there is none."""
        cdef LaneGroup group = self.group
        cdef int64_t begun = group.begun
        cdef double before, waited, since = perf_counter()
        while not group.closed and group.dispatch.queue.startable():
            if group.in_flight == 0:
                return True
            before = perf_counter()
            self.bell.acquire(True, STAND_BY)
            waited = perf_counter() - before - STAND_BY
            if waited < 0.8 * group.switch_interval:
                return True  # nobody was calculating: they all wait
            if group.begun != begun:
                begun = group.begun
                since = before
            elif before - since > 2 * group.switch_interval:
                return True  # they calculate, and for long
        return False

    cdef int park(self, Found found) except -1:
        """Wait until somebody calls."""
        cdef LaneGroup group = self.group
        cdef ReadyQueue queue = group.dispatch.queue
        if group.spare is self:
            group.spare = None
        if group.closed:
            return 0
        group.idle.append(self)  # before anybody else gets the GIL
        if found == OF_OTHERS or queue.running == 0:
            group.notify()
        self.bell.acquire()
        return 0

    cdef Found begin(self, double now) except *:
        """Put the next task in flight, if it is for a lane."""
        cdef LaneGroup group = self.group
        cdef Dispatch d = group.dispatch
        cdef int32_t task = d.queue.next()
        cdef int kind
        if task < 0:
            return NOTHING
        kind = d.kinds[d.action[task]] | d.flags[task]
        if not kind & THREADED_ or kind & SLOW:
            d.queue.give_back(task)
            return OF_OTHERS
        self.task = task
        self.generation = d.generation
        d.started[task] = now
        d.attempts[task] += 1
        group.in_flight += 1
        group.begun += 1
        if d.queue.log.wanted & STARTS:
            log_add(&d.queue.log, task, d.attempts[task] - 1, now)
            group.has_logged()
        if kind & TIMED_ and now + d.timeouts[task] < group.next_check:
            group.next_check = now + d.timeouts[task]
            group.notify()
        return TAKEN

    cdef double attempt(self) except -2:
        """Call the function of the task in flight; returns the instant of the end."""
        cdef Dispatch d = self.group.dispatch
        cdef int32_t task = self.task
        cdef object function = d.functions[d.action[task]], args, context, result
        self.context = PyContext_Copy(self.home)
        try:
            args = d.host.arguments(task) if d.flags[task] & INPUTS_ else d.args[task]
            context = d.host.context(task, args) if d.kinds[d.action[task]] & CONTEXT_ else None
            PyContext_Enter(self.context)
            try:
                result = function(args) if context is None else function(args, context)
            finally:
                PyContext_Exit(self.context)
        except BaseException as error:
            return self.end(RAISED_, error)
        if is_awaitable(result):
            return self.end(AWAITABLE_, result)
        return self.end(RETURNED_, result)

    cdef double end(self, How how, object value) except -2:
        """The attempt is over: tell the queue, or Trio where it takes more."""
        cdef LaneGroup group = self.group
        cdef Dispatch d = group.dispatch
        cdef int32_t task = self.task
        cdef double now = d.now()
        cdef bint told
        self.context = None
        d.finished[task] = now
        if how == RETURNED_:
            d.responses[task] = value
            if self.doom or d.ended or (
                d.flags[task] & TIMED_ and now - d.started[task] > d.timeouts[task]
            ):
                d.marks[task] |= LATE
        if how == RAISED_:
            group.behind = True
        told = (
            how != RETURNED_
            or group.behind  # a circuit breaker counts attempts as they end
            or self.doom
            or (d.kinds[d.action[task]] | d.flags[task]) & REPORTED_
        )
        self.task = -1
        group.in_flight -= 1
        if told:
            group.reports.append((task, self.generation, self.doom, <int>how, value))
            group.notify()
        else:
            d.queue.complete(task, SUCCEEDED)
            if d.queue.log.wanted & ENDS:
                group.has_logged()
        return now
