"""Gates and lanes, and the heap of the lanes that are parked at a gate.

How they work together stands at the top of `_ready_queue.pyx`.
"""

from libc.stdint cimport int32_t
from libc.stdlib cimport realloc

from ._rank_set cimport RankSet


ctypedef struct Gate:
    int32_t capacity
    int32_t taken  # RUNNING tasks inside
    bint closed
    int32_t* parked  # the lanes that wait for this gate: a heap, smallest head first
    int32_t parked_count
    int32_t parked_room


cdef enum LaneStatus:
    EMPTY  # no ready task
    LISTED  # its head stands in `front`
    PARKED  # its head waits in the heap of one gate


ctypedef struct Lane:
    int32_t* gates
    int32_t gate_count
    int32_t* members  # its tasks, ascending; `place` is the way back
    RankSet ready  # places of its ready tasks
    int32_t head  # its smallest ready task, or -1
    LaneStatus status
    int32_t parked_at  # the gate, while PARKED
    int32_t heap_place


cdef inline bint shut(const Gate* gate) noexcept nogil:
    """Would it let nobody through now?"""
    return gate.closed or gate.taken >= gate.capacity


# The heap of a gate: lanes by their heads, the smallest first. `heap_place` is the way back.


cdef inline void heap_put(Gate* gate, Lane* lanes, int32_t lane, int32_t place) noexcept:
    gate.parked[place] = lane
    lanes[lane].heap_place = place


cdef inline void heap_sift(Gate* gate, Lane* lanes, int32_t place) noexcept:
    """Move the lane at `place` up or down to where its head belongs."""
    cdef int32_t lane = gate.parked[place], head = lanes[lane].head, parent, child
    while place > 0:
        parent = (place - 1) >> 1
        if lanes[gate.parked[parent]].head <= head:
            break
        heap_put(gate, lanes, gate.parked[parent], place)
        place = parent
    while True:
        child = 2 * place + 1
        if child >= gate.parked_count:
            break
        if (
            child + 1 < gate.parked_count
            and lanes[gate.parked[child + 1]].head < lanes[gate.parked[child]].head
        ):
            child += 1
        if lanes[gate.parked[child]].head >= head:
            break
        heap_put(gate, lanes, gate.parked[child], place)
        place = child
    heap_put(gate, lanes, lane, place)


cdef inline int heap_add(Gate* gate, Lane* lanes, Lane* lane) except -1:
    cdef void* block
    if gate.parked_count == gate.parked_room:
        block = realloc(gate.parked, (2 * gate.parked_room + 4) * sizeof(int32_t))
        if block is NULL:
            raise MemoryError()
        gate.parked = <int32_t*>block
        gate.parked_room = 2 * gate.parked_room + 4
    heap_put(gate, lanes, <int32_t>(lane - lanes), gate.parked_count)
    gate.parked_count += 1
    heap_sift(gate, lanes, gate.parked_count - 1)
    return 0


cdef inline void heap_remove(Gate* gate, Lane* lanes, Lane* lane) noexcept:
    cdef int32_t place = lane.heap_place
    gate.parked_count -= 1
    if place < gate.parked_count:
        heap_put(gate, lanes, gate.parked[gate.parked_count], place)
        heap_sift(gate, lanes, place)
