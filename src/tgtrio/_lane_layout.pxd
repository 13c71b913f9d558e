"""Gates and lanes come in, and every task gets its lane.

A refusal, or memory that is not there, leaves the front as it was.
"""

from libc.stdint cimport int32_t
from libc.string cimport memset

from ._blocks cimport block_free, block_new, block_reserve
from ._dispatch_order cimport IN_FRONT, IN_LANE, side_free, side_reserve
from ._front cimport Front
from ._gates cimport EMPTY, Gate, Lane
from ._rank_set cimport RankSet, rank_set_clear, rank_set_free, rank_set_init


ctypedef struct Layout:  # where each task belongs
    int32_t* lane_of
    int32_t* place
    int32_t* members
    RankSet* ready  # of each lane
    int32_t lanes


cdef inline int front_init(Front* self, int32_t built) except -1:
    self.order.built = built
    self.side.kind = IN_FRONT
    return rank_set_init(&self.listed, built)


cdef inline void front_free(Front* self) noexcept:
    cdef int32_t k
    for k in range(self.lane_count):
        rank_set_free(&self.lanes[k].ready)
        side_free(&self.lanes[k].side)
        block_free(self.lanes[k].gates)
    for k in range(self.gate_count):
        block_free(self.gates[k].parked)
    rank_set_free(&self.listed)
    side_free(&self.side)
    block_free(self.order.added)
    block_free(self.lanes)
    block_free(self.lane_of)
    block_free(self.place)
    block_free(self.members)
    block_free(self.gates)


cdef inline int check_capacity(int32_t gate, int32_t capacity) except -1:
    if capacity < 1:
        raise ValueError(f"gate {gate} needs a capacity of at least 1, not {capacity}")
    return 0


cdef inline int32_t new_gate(Front* self, int32_t capacity) except -1:
    check_capacity(self.gate_count, capacity)
    self.gates = <Gate*>block_reserve(
        self.gates, &self.gate_room, self.gate_count + 1, sizeof(Gate)
    )
    self.gates[self.gate_count] = Gate(capacity, 0, False, NULL, 0, 0, 0)
    self.gate_count += 1
    return self.gate_count - 1


cdef inline int32_t new_lane(Front* self, tuple gates) except -1:
    """A lane without tasks."""
    cdef int32_t gate, k = 0
    cdef Lane lane
    _check_gates(self, gates)
    for gate in gates:
        _reserve_parking(&self.gates[gate])
    memset(&lane, 0, sizeof(Lane))
    lane.gate_count = len(gates)
    lane.side.kind = IN_LANE
    lane.head = -1
    try:
        rank_set_init(&lane.ready, 0)
        lane.gates = <int32_t*>block_new(lane.gate_count, sizeof(int32_t))
        self.lanes = <Lane*>block_reserve(
            self.lanes, &self.lane_room, self.lane_count + 1, sizeof(Lane)
        )
    except MemoryError:
        rank_set_free(&lane.ready)
        block_free(lane.gates)
        raise
    for gate in gates:
        lane.gates[k] = gate
        self.gates[gate].lane_count += 1
        k += 1
    self.lanes[self.lane_count] = lane
    self.lane_count += 1
    return self.lane_count - 1


cdef inline int _check_gates(Front* self, tuple gates) except -1:
    for gate in gates:
        if not 0 <= gate < self.gate_count:
            raise ValueError(f"lane {self.lane_count} needs gate {gate} of {self.gate_count}")
    if len(set(gates)) != len(gates):
        raise ValueError(f"lane {self.lane_count} needs a gate twice: {gates}")
    return 0


cdef inline int _reserve_parking(Gate* gate) except -1:
    gate.parked = <int32_t*>block_reserve(
        gate.parked, &gate.parked_room, gate.lane_count + 1, sizeof(int32_t)
    )
    return 0


cdef inline int ensure_lanes(Front* self, Py_ssize_t room) except -1:
    """Where there were no lanes all tasks are in lane 0.

    Args:
        room: For so many tasks there shall be memory.
    """
    if self.lanes is NULL:
        if self.lane_of is NULL:
            self.lane_of = <int32_t*>block_new(room, sizeof(int32_t))
        new_lane(self, ())
    return 0


# Every task gets its lane


cdef inline int lay(Front* self, const int32_t* lane_of, int32_t total, Py_ssize_t room) except -1:
    """Put every task into a lane. None of them is listed, and no gate owned, afterwards.

    Args:
        lane_of: The lane of each task.
        total: How many tasks there are.
        room: For so many of them there shall be memory.
    """
    cdef Layout layout = Layout(NULL, NULL, NULL, NULL, self.lane_count)
    cdef int32_t* sizes = <int32_t*>block_new(2 * self.lane_count, sizeof(int32_t))
    cdef int32_t* added = sizes + self.lane_count
    cdef int32_t task
    try:
        for task in range(total):
            if not 0 <= lane_of[task] < self.lane_count:
                raise ValueError(f"task {task} is in lane {lane_of[task]} of {self.lane_count}")
            if task < self.order.built:
                sizes[lane_of[task]] += 1
            else:
                added[lane_of[task]] += 1
        _make_layout(self, &layout, sizes, room)
        for k in range(1, self.lane_count):
            side_reserve(&self.lanes[k].side, added[k])
        for task in range(total):
            layout.lane_of[task] = lane_of[task]
        _swap_layout(self, &layout, sizes, added)
    finally:
        block_free(sizes)
        _free_layout(&layout)
    return 0


cdef inline int _make_layout(
    Front* self, Layout* layout, const int32_t* sizes, Py_ssize_t room
) except -1:
    cdef int32_t k
    layout.lane_of = <int32_t*>block_new(room, sizeof(int32_t))
    layout.place = <int32_t*>block_new(self.order.built, sizeof(int32_t))
    layout.members = <int32_t*>block_new(self.order.built, sizeof(int32_t))
    layout.ready = <RankSet*>block_new(self.lane_count, sizeof(RankSet))
    for k in range(self.lane_count):
        rank_set_init(&layout.ready[k], sizes[k] if k else 0)  # tasks of lane 0 are listed
    return 0


cdef inline void _swap_layout(
    Front* self, Layout* layout, int32_t* sizes, const int32_t* added
) noexcept:
    """The new layout holds, and the former one takes its place."""
    cdef int32_t k, task, end = 0
    cdef Lane* lane
    self.lane_of, layout.lane_of = layout.lane_of, self.lane_of
    self.place, layout.place = layout.place, self.place
    self.members, layout.members = layout.members, self.members
    for k in range(self.lane_count):
        lane = &self.lanes[k]
        lane.ready, layout.ready[k] = layout.ready[k], lane.ready
        lane.members = self.members + end
        end += sizes[k]
        lane.added = added[k]
        lane.side.count = 0
        lane.head = -1
        lane.status = EMPTY
    for task in range(self.order.built - 1, -1, -1):
        k = self.lane_of[task]
        sizes[k] -= 1
        self.place[task] = sizes[k]
        self.lanes[k].members[sizes[k]] = task
    rank_set_clear(&self.listed)
    self.side.count = 0
    for k in range(self.gate_count):
        self.gates[k].taken = self.gates[k].parked_count = 0


cdef inline void _free_layout(Layout* layout) noexcept:
    cdef int32_t k
    if layout.ready is not NULL:
        for k in range(layout.lanes):
            rank_set_free(&layout.ready[k])
    block_free(layout.lane_of)
    block_free(layout.place)
    block_free(layout.members)
    block_free(layout.ready)
