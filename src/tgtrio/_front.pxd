"""The ready tasks, and which of them may start first.

Lanes and gates
---------------
A lane with ready tasks shows one of them, its head, in one place: listed among
the tasks that may be tried (LISTED), or in the heap of one gate that let nobody
through when it was tried (PARKED). `front_take` tries the first that is listed; a
head that its gates do not let through is parked on the way. So a task that a gate
holds back is moved once when held and once when let go, however many there are.

When a gate has room again, only the parked lane with the first head is listed.
That this is enough is the invariant (checked by `validate`): if a gate has room
and lanes are parked at it, then some LISTED lane that needs this gate has a head
before all of theirs. Whatever could break it (a lane parked elsewhere, emptied, or
with a later head) ends in `offer_gates`, which lists the next lane of each gate
that still has room.

Nothing here can fail: the memory was reserved when the task or the lane came in.
"""

from libc.stdint cimport int32_t

from ._dispatch_order cimport Order, SideHeap, before, earlier, side_add, side_remove
from ._gates cimport (
    EMPTY,
    LISTED,
    PARKED,
    Gate,
    Lane,
    heap_add,
    heap_remove,
    heap_sift,
    shut,
)
from ._rank_set cimport RankSet, rank_set_add, rank_set_discard, rank_set_smallest


ctypedef struct Front:
    Order order
    # Ready tasks of lane 0 and the heads of the LISTED lanes, those that were added apart. A
    # lane's head stands here on trust: `front_take` finds out whether its gates let it through.
    RankSet listed
    SideHeap side
    Lane* lanes  # NULL: all tasks are in lane 0
    int32_t* lane_of
    int32_t* place
    int32_t* members  # of all lanes, one lane after the other
    Gate* gates
    int32_t lane_count
    int32_t lane_room
    int32_t gate_count
    int32_t gate_room


# One task among those that are listed


cdef inline int32_t front_first(Front* self) noexcept:
    """The first that is listed, or -1."""
    cdef int32_t task = rank_set_smallest(&self.listed)
    if self.side.count:
        return earlier(&self.order, task, &self.side)
    return task


cdef inline void enlist(Front* self, int32_t task) noexcept:
    if task < self.order.built:
        rank_set_add(&self.listed, task)
    else:
        side_add(&self.side, &self.order, task)


cdef inline void strike(Front* self, int32_t task) noexcept:
    if task < self.order.built:
        rank_set_discard(&self.listed, task)
    else:
        side_remove(&self.side, &self.order, task)


# Ready tasks come and go


cdef inline Lane* gated_lane(Front* self, int32_t task) noexcept:
    """The lane of a task, or NULL if it is lane 0."""
    if self.lanes is NULL or self.lane_of[task] == 0:
        return NULL
    return &self.lanes[self.lane_of[task]]


cdef inline int32_t front_take(Front* self, int32_t task) noexcept:
    """Take the first task that its gates let through; it owns them now. -1: there is none.

    Args:
        task: `front_first`, or -1.
    """
    cdef int32_t gate
    cdef Lane* lane
    while task >= 0:
        lane = gated_lane(self, task)
        if lane is NULL:
            strike(self, task)
            return task
        gate = shut_gate(self, lane)
        if gate < 0:
            claim(self, lane)
            take_out(self, lane, task)
            return task
        park(self, lane, gate)
        task = front_first(self)
    return -1


cdef inline void front_add(Front* self, int32_t task) noexcept:
    """A task is ready."""
    cdef Lane* lane = gated_lane(self, task)
    if lane is NULL:
        enlist(self, task)
        return
    lane_put(self, lane, task)
    if lane.head < 0 or before(&self.order, task, lane.head):
        set_head(self, lane, task)


cdef inline void front_remove(Front* self, int32_t task) noexcept:
    """A task that is ready is so no longer, or is set aside."""
    cdef Lane* lane = gated_lane(self, task)
    if lane is NULL:
        strike(self, task)
    else:
        take_out(self, lane, task)


cdef inline void front_release(Front* self, const Lane* lane) noexcept:
    """A task of the lane leaves the gates that it owns."""
    cdef int32_t k
    for k in range(lane.gate_count):
        self.gates[lane.gates[k]].taken -= 1
    offer_gates(self, lane)


# One lane


cdef inline void lane_put(Front* self, Lane* lane, int32_t task) noexcept:
    if task < self.order.built:
        rank_set_add(&lane.ready, self.place[task])
    else:
        side_add(&lane.side, &self.order, task)


cdef inline int32_t lane_first(Front* self, Lane* lane) noexcept:
    cdef int32_t place = rank_set_smallest(&lane.ready)
    return earlier(&self.order, lane.members[place] if place >= 0 else -1, &lane.side)


cdef inline void take_out(Front* self, Lane* lane, int32_t task) noexcept:
    if task < self.order.built:
        rank_set_discard(&lane.ready, self.place[task])
    else:
        side_remove(&lane.side, &self.order, task)
    if task == lane.head:
        set_head(self, lane, lane_first(self, lane))


cdef inline void set_head(Front* self, Lane* lane, int32_t head) noexcept:
    cdef int32_t former = lane.head, number = <int32_t>(lane - self.lanes)
    cdef Gate* gate
    lane.head = head
    if lane.status == PARKED:
        gate = &self.gates[lane.parked_at]
        if head < 0:
            heap_remove(gate, self.lanes, &self.order, number)
            lane.status = EMPTY
        else:
            heap_sift(gate, self.lanes, &self.order, lane.heap_place)
            list_next(self, gate)
        return
    if lane.status == LISTED:
        strike(self, former)
        lane.status = EMPTY
    if head >= 0:
        list_or_park(self, lane)
    if former >= 0 and (lane.status != LISTED or before(&self.order, former, head)):
        offer_gates(self, lane)


cdef inline void list_or_park(Front* self, Lane* lane) noexcept:
    """An EMPTY lane has a head now."""
    cdef int32_t gate = shut_gate(self, lane)
    if gate >= 0:
        park(self, lane, gate)
    else:
        lane.status = LISTED
        enlist(self, lane.head)


# Lanes and gates


cdef inline bint needs(const Lane* lane, int32_t gate) noexcept:
    cdef int32_t k
    for k in range(lane.gate_count):
        if lane.gates[k] == gate:
            return True
    return False


cdef inline int32_t shut_gate(Front* self, const Lane* lane) noexcept:
    """The first gate of the lane that lets nobody through now, or -1."""
    cdef int32_t k
    for k in range(lane.gate_count):
        if shut(&self.gates[lane.gates[k]]):
            return lane.gates[k]
    return -1


cdef inline void claim(Front* self, const Lane* lane) noexcept:
    cdef int32_t k
    for k in range(lane.gate_count):
        self.gates[lane.gates[k]].taken += 1


cdef inline void park(Front* self, Lane* lane, int32_t gate) noexcept:
    cdef bint listed = lane.status == LISTED
    if listed:
        strike(self, lane.head)
    lane.status = PARKED
    lane.parked_at = gate
    heap_add(&self.gates[gate], self.lanes, &self.order, <int32_t>(lane - self.lanes))
    if listed:
        offer_gates(self, lane)


cdef inline void offer_gates(Front* self, const Lane* lane) noexcept:
    """The lane no longer vouches for its gates: let the next one try each that has room."""
    cdef int32_t k
    for k in range(lane.gate_count):
        list_next(self, &self.gates[lane.gates[k]])


cdef inline void list_next(Front* self, Gate* gate) noexcept:
    cdef int32_t lane
    if gate.parked_count == 0 or shut(gate):
        return
    lane = gate.parked[0]
    heap_remove(gate, self.lanes, &self.order, lane)
    self.lanes[lane].status = LISTED
    enlist(self, self.lanes[lane].head)
