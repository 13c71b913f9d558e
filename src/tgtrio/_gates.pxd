"""Gates and lanes, and the heap of the lanes that are parked at a gate.

How they work together stands at the top of `_front.pxd`.
"""

from libc.stdint cimport int32_t

from ._dispatch_order cimport Order, SideHeap, before
from ._rank_set cimport RankSet


ctypedef struct Gate:
    int32_t capacity
    int32_t taken  # RUNNING tasks inside
    bint closed
    int32_t* parked  # the lanes that wait for this gate: a heap, smallest head first
    int32_t parked_count
    int32_t parked_room  # for all lanes that need the gate, so that parking never fails
    int32_t lane_count  # so many lanes need it


cdef enum LaneStatus:
    EMPTY  # no ready task
    LISTED  # its head stands in `front`
    PARKED  # its head waits in the heap of one gate


ctypedef struct Lane:
    int32_t* gates
    int32_t gate_count
    int32_t* members  # its tasks that the queue was built with, ascending; `place`: the way back
    RankSet ready  # places of those that are ready
    SideHeap side  # its ready tasks that were added
    int32_t added  # so many tasks were added to it
    int32_t head  # its first ready task, or -1
    LaneStatus status
    int32_t parked_at  # the gate, while PARKED
    int32_t heap_place


cdef inline bint shut(const Gate* gate) noexcept nogil:
    """Would it let nobody through now?"""
    return gate.closed or gate.taken >= gate.capacity


# The heap of a gate: lanes by their heads, the first first. `heap_place` is the way back.


cdef inline void heap_put(Gate* gate, Lane* lanes, int32_t lane, int32_t place) noexcept:
    gate.parked[place] = lane
    lanes[lane].heap_place = place


cdef inline void heap_sift(
    Gate* gate, Lane* lanes, const Order* order, int32_t place
) noexcept:
    """Move the lane at `place` up or down to where its head belongs."""
    cdef int32_t lane = gate.parked[place], head = lanes[lane].head, parent, child
    while place > 0:
        parent = (place - 1) >> 1
        if not before(order, head, lanes[gate.parked[parent]].head):
            break
        heap_put(gate, lanes, gate.parked[parent], place)
        place = parent
    while True:
        child = 2 * place + 1
        if child >= gate.parked_count:
            break
        if child + 1 < gate.parked_count and before(
            order, lanes[gate.parked[child + 1]].head, lanes[gate.parked[child]].head
        ):
            child += 1
        if before(order, head, lanes[gate.parked[child]].head):
            break
        heap_put(gate, lanes, gate.parked[child], place)
        place = child
    heap_put(gate, lanes, lane, place)


cdef inline void heap_add(Gate* gate, Lane* lanes, const Order* order, int32_t lane) noexcept:
    gate.parked[gate.parked_count] = lane
    gate.parked_count += 1
    heap_sift(gate, lanes, order, gate.parked_count - 1)


cdef inline void heap_remove(Gate* gate, Lane* lanes, const Order* order, int32_t lane) noexcept:
    cdef int32_t place = lanes[lane].heap_place
    gate.parked_count -= 1
    if place < gate.parked_count:
        gate.parked[place] = gate.parked[gate.parked_count]
        heap_sift(gate, lanes, order, place)
