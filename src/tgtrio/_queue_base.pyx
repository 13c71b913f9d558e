"""What can be asked of the compiled ready queue, and its switches: see `_queue_base.pyi`."""

from libc.stdint cimport int32_t, uint8_t

from ._blocks cimport block_free
from ._dispatch_order cimport Added
from ._edges cimport edges_free
from ._front cimport (
    claim,
    front_add,
    gated_lane,
    lane_first,
    lane_put,
    list_next,
    list_or_park,
    needs,
)
from ._gates cimport LISTED, Lane, shut
from ._lane_layout cimport check_capacity, ensure_lanes, front_free, lay, new_gate, new_lane
from ._rank_set cimport rank_set_count
from ._states cimport RUNNING, STATES


cdef class QueueBase:
    def __cinit__(self):
        self.stopped = True  # until it has been built

    def __dealloc__(self):
        front_free(&self.front)
        edges_free(&self.later)
        block_free(self.nodes)
        block_free(self.blames)

    # -- tasks ---------------------------------------------------------------

    def state(self, int32_t task):
        check_task(self, task)
        return self.nodes[task].state

    def counts(self):
        return [self.tally[k] for k in range(STATES)]

    def states(self):
        cdef int32_t task
        cdef bytearray states = bytearray(self.total)
        cdef uint8_t[::1] view = states
        for task in range(self.total):
            view[task] = self.nodes[task].state
        return bytes(states)

    def waiting_for(self, int32_t task):
        check_task(self, task)
        return self.nodes[task].waiting

    def parent(self, int32_t task):
        check_task(self, task)
        return -1 if self.blames is NULL else self.blames[task].parent - 1

    def parents(self):
        cdef int32_t task
        if self.blames is NULL:
            return {}
        return {
            task: self.blames[task].parent - 1
            for task in range(self.total)
            if self.blames[task].parent
        }

    def is_held(self, int32_t task):
        check_task(self, task)
        return self.nodes[task].aside == HELD

    # -- lanes and gates -----------------------------------------------------

    def lane(self, int32_t task):
        check_task(self, task)
        return 0 if self.front.lanes is NULL else self.front.lane_of[task]

    def ready_in_lanes(self):
        cdef int32_t k, listed = 0
        cdef Lane* lane
        ready = [0]
        for k in range(1, self.front.lane_count):
            lane = &self.front.lanes[k]
            listed += lane.status == LISTED
            ready.append(rank_set_count(&lane.ready) + lane.side.count)
        ready[0] = rank_set_count(&self.front.listed) + self.front.side.count - listed
        return ready

    def taken(self, int32_t gate):
        self._check_gate(gate)
        return self.front.gates[gate].taken

    def wanted(self, int32_t gate):
        cdef int32_t k
        self._check_gate(gate)
        for k in range(1, self.front.lane_count):
            if self.front.lanes[k].head >= 0 and needs(&self.front.lanes[k], gate):
                return True
        return False

    def queued_at(self, int32_t gate):
        cdef int32_t task
        self._check_gate(gate)
        if self.front.lanes is NULL:
            return []
        queued = [
            task
            for task in range(self.total)
            if is_queued(self, task) and needs(&self.front.lanes[self.front.lane_of[task]], gate)
        ]
        if self.front.order.added is not NULL:
            queued.sort(key=self._place_in_order)
        return queued

    def _place_in_order(self, int32_t task):
        cdef Added* added
        if task < self.front.order.built:
            return task, 1
        added = &self.front.order.added[task - self.front.order.built]
        return added.position, 0, -added.priority, added.deadline, task

    def blocking_gates(self, int32_t task):
        cdef Lane* lane
        cdef int32_t k
        if self.lane(task) == 0:
            return []
        lane = &self.front.lanes[self.front.lane_of[task]]
        return [
            lane.gates[k]
            for k in range(lane.gate_count)
            if shut(&self.front.gates[lane.gates[k]])
        ]

    def _check_gate(self, int32_t gate):
        if not 0 <= gate < self.front.gate_count:
            raise IndexError(f"no gate {gate} among {self.front.gate_count}")

    # -- switches ------------------------------------------------------------

    def add_gate(self, int32_t capacity):
        return new_gate(&self.front, capacity)

    def add_lane(self, gates):
        ensure_lanes(&self.front, self.room)
        return new_lane(&self.front, tuple(gates))

    def relane(self, const int32_t[::1] lanes not None):
        cdef int32_t task, k
        cdef Lane* lane
        if lanes.shape[0] != self.total:
            raise ValueError(f"{lanes.shape[0]} lanes for {self.total} tasks")
        if self.total == 0:
            return
        ensure_lanes(&self.front, self.room)
        lay(&self.front, &lanes[0], self.total, self.room)
        for task in range(self.total):
            lane = gated_lane(&self.front, task)
            if is_queued(self, task):
                if lane is NULL:
                    front_add(&self.front, task)
                else:
                    lane_put(&self.front, lane, task)
            elif lane is not NULL and self.nodes[task].state == RUNNING:
                if self.nodes[task].aside != DETACHED:
                    claim(&self.front, lane)
        for k in range(1, self.front.lane_count):
            lane = &self.front.lanes[k]
            lane.head = lane_first(&self.front, lane)
            if lane.head >= 0:
                list_or_park(&self.front, lane)

    def close_gate(self, int32_t gate):
        self._check_gate(gate)
        self.front.gates[gate].closed = True

    def open_gate(self, int32_t gate):
        self._check_gate(gate)
        self.front.gates[gate].closed = False
        list_next(&self.front, &self.front.gates[gate])

    def set_capacity(self, int32_t gate, int32_t capacity):
        self._check_gate(gate)
        check_capacity(gate, capacity)
        self.front.gates[gate].capacity = capacity
        list_next(&self.front, &self.front.gates[gate])

    def set_limit(self, int32_t limit):
        if limit < 1:
            raise ValueError(f"the limit must be at least 1, not {limit}")
        self.limit = limit

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False

    def validate(self):
        from ._queue_check import validate

        validate(self)
