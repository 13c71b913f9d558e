"""The self-check of the compiled ready queue."""

from libc.stdint cimport int32_t

from ._dispatch_order cimport SideHeap, before, side_has
from ._front cimport Front
from ._gates cimport EMPTY, LISTED, PARKED, Gate, Lane, shut
from ._queue_base cimport DETACHED, HELD, is_queued
from ._rank_set cimport RankSet, rank_set_has
from ._ready_queue cimport ReadyQueue
from ._states cimport FIRST_TERMINAL, PENDING, READY, RUNNING, STATES


def validate(ReadyQueue queue not None):
    states = [queue.nodes[task].state for task in range(queue.total)]
    _check_counts(queue, states)
    if not queue.stopped:
        _check_edges(queue, states)
    _check_order(queue, &queue.front.side, "the front")
    _check_tasks(queue, states)
    _check_gates(queue, states)
    _check_lanes(queue)


cdef int _check_counts(ReadyQueue queue, list states) except -1:
    assert queue.counts() == [states.count(s) for s in range(STATES)], "tally"
    aside = [queue.nodes[task].aside for task in range(queue.total)]
    assert queue.running == states.count(RUNNING) - aside.count(DETACHED), "running"
    for task in range(queue.total):
        expected = {HELD: READY, DETACHED: RUNNING}.get(aside[task], states[task])
        assert states[task] == expected, f"task {task} is set aside"
    assert queue.unfinished == sum([s < FIRST_TERMINAL for s in states]), "unfinished"
    return 0


cdef int _check_edges(ReadyQueue queue, list states) except -1:
    cdef int32_t task, edge, last
    pending = [0] * queue.total
    for task in range(queue.total):
        unfinished = states[task] < FIRST_TERMINAL
        if task < queue.front.order.built:
            for edge in range(queue.offsets[task], queue.offsets[task + 1]):
                pending[queue.dependents[edge]] += unfinished
        edge = last = queue.later.last[task] if queue.later.last is not NULL else 0
        while edge:
            edge = queue.later.edges[edge].next
            pending[queue.later.edges[edge].dependent] += unfinished
            if edge == last:
                break
    for task in range(queue.total):
        assert queue.nodes[task].waiting == pending[task], f"task {task} waits for others"
        assert (states[task] == PENDING) <= (pending[task] > 0), f"task {task} is forgotten"
    return 0


cdef int _check_order(ReadyQueue queue, SideHeap* heap, str whose) except -1:
    cdef int32_t place
    for place in range(heap.count):
        assert side_has(heap, &queue.front.order, heap.tasks[place]), f"a place in {whose}"
        if place:
            assert before(
                &queue.front.order, heap.tasks[(place - 1) >> 1], heap.tasks[place]
            ), f"the order of those that were added in {whose}"
    return 0


cdef bint _is_among(
    ReadyQueue queue, RankSet* ranks, int32_t rank, SideHeap* heap, int32_t task
):
    if task < queue.front.order.built:
        return rank_set_has(ranks, rank)
    return side_has(heap, &queue.front.order, task)


cdef int _check_tasks(ReadyQueue queue, list states) except -1:
    """Every ready task that is not held is where it belongs, and no other one."""
    cdef int32_t task
    cdef Front* front = &queue.front
    cdef Lane* lane
    counts = [0] * max(front.lane_count, 1)
    for task in range(queue.total):
        ready, number = is_queued(queue, task), queue.lane(task)
        counts[number] += ready
        listed = _is_among(queue, &front.listed, task, &front.side, task)
        if number == 0:
            assert listed == ready, f"task {task} in front"
            continue
        lane = &front.lanes[front.lane_of[task]]
        place = front.place[task] if task < front.order.built else 0
        inside = _is_among(queue, &lane.ready, place, &lane.side, task)
        assert inside == ready, f"task {task} in its lane"
        assert listed == (lane.status == LISTED and lane.head == task), f"head {task} in front"
        if ready:
            assert lane.head >= 0, f"task {task} in a lane without head"
            assert not before(&front.order, task, lane.head), f"task {task} before its head"
    assert queue.ready_in_lanes() == counts, "ready in lanes"
    return 0


cdef int _check_lanes(ReadyQueue queue) except -1:
    cdef Lane* lane
    added = [0] * queue.front.lane_count
    if queue.front.lanes is not NULL:
        for task in range(queue.front.order.built, queue.total):
            added[queue.front.lane_of[task]] += 1
    for k in range(queue.front.lane_count):
        lane = &queue.front.lanes[k]
        assert (lane.head < 0) == (lane.status == EMPTY), f"lane {k}"
        assert k == 0 or lane.added == added[k], f"tasks that were added to lane {k}"
        assert k == 0 or lane.side.room >= lane.added, f"room in lane {k}"
        _check_order(queue, &lane.side, f"lane {k}")
    assert queue.front.side.room >= queue.total - queue.front.order.built, "room in front"
    return 0


cdef int _check_gates(ReadyQueue queue, list states) except -1:
    cdef Front* front = &queue.front
    cdef Lane* lane
    inside, needed = [0] * front.gate_count, [0] * front.gate_count
    for k in range(front.lane_count):
        for gate in _gates_of(queue, k):
            needed[gate] += 1
    for task in range(queue.total):
        if states[task] == RUNNING and queue.nodes[task].aside != DETACHED:
            for gate in _gates_of(queue, queue.lane(task)):
                inside[gate] += 1
    for number in range(front.gate_count):
        assert front.gates[number].taken == inside[number], f"gate {number}"
        assert front.gates[number].lane_count == needed[number], f"lanes at gate {number}"
        assert front.gates[number].parked_room >= needed[number], f"room at gate {number}"
        _check_parked(queue, number)
    return 0


cdef list _gates_of(ReadyQueue queue, int32_t lane):
    if queue.front.lanes is NULL:
        return []
    return [queue.front.lanes[lane].gates[j] for j in range(queue.front.lanes[lane].gate_count)]


cdef int _check_parked(ReadyQueue queue, int32_t number) except -1:
    cdef Front* front = &queue.front
    cdef Gate* gate = &front.gates[number]
    cdef Lane* lane
    cdef Lane* above
    cdef int32_t i, k
    for i in range(gate.parked_count):
        lane = &front.lanes[gate.parked[i]]
        above = &front.lanes[gate.parked[(i - 1) >> 1 if i else 0]]
        assert lane.status == PARKED, f"lane {gate.parked[i]} parked"
        assert lane.parked_at == number, f"lane {gate.parked[i]} parked elsewhere"
        assert lane.heap_place == i, f"lane {gate.parked[i]} has lost its place"
        assert not before(&front.order, lane.head, above.head), f"heap of gate {number}"
    if gate.parked_count == 0 or shut(gate):
        return 0
    above = &front.lanes[gate.parked[0]]
    for k in range(1, front.lane_count):
        lane = &front.lanes[k]
        if lane.status == LISTED and before(&front.order, lane.head, above.head):
            if number in _gates_of(queue, k):
                return 0
    raise AssertionError(f"gate {number} has room and nobody tries it")
