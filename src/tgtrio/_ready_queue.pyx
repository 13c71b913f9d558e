"""The compiled ready queue. What each method promises stands in `_ready_queue.pyi`.

Lanes and gates
---------------
A lane with ready tasks shows one of them, its head, in one place: in `front`
(LISTED), or in the heap of one gate that let nobody through when it was tried
(PARKED). `next` takes the smallest member of `front`; a head that its gates do
not let through is parked on the way. So a task that a gate holds back is moved
once when held and once when let go, however many there are.

When a gate has room again, only the parked lane with the smallest head is
listed. That this is enough is the invariant (checked by `validate`): if a gate
has room and lanes are parked at it, then some LISTED lane that needs this gate
has a head smaller than all of theirs. Whatever could break it (a lane parked
elsewhere, emptied, or with a later head) ends in `_offer_gates`, which lists the
next lane of each gate that still has room.

Every public method is one compiled call, so Ctrl-C cannot land inside one.
"""

from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport calloc, free, realloc

from ._event_log cimport ENDED, ENDS, NOTED, READIED, READIES, STARTS, log_add
from ._gates cimport EMPTY, LISTED, PARKED, Gate, Lane, heap_add, heap_remove, heap_sift, shut
from ._rank_set cimport (
    RankSet,
    rank_set_add,
    rank_set_discard,
    rank_set_free,
    rank_set_has,
    rank_set_init,
    rank_set_smallest,
)

from . import _states

# The tables of `_states`, in C.
cdef enum:
    PENDING = 0
    READY = 1
    RUNNING = 2
    FIRST_TERMINAL = 3
    POLICIES = 5
    GOOD = 0
    BAD = 1

cdef enum Aside:
    NOT_ASIDE
    HELD  # READY, and in no lane until somebody lets it go
    DETACHED  # RUNNING, and owns neither a slot nor a gate

cdef uint8_t[STATES] STANDING
cdef uint8_t[POLICIES][3] EARLY
cdef uint8_t[POLICIES][8] FINAL


def _load_tables():
    assert (_states.PENDING, _states.READY, _states.RUNNING) == (PENDING, READY, RUNNING)
    assert (_states.FIRST_TERMINAL, len(_states.STATES)) == (FIRST_TERMINAL, STATES)
    assert (_states.GOOD, _states.BAD, len(_states.POLICIES)) == (GOOD, BAD, POLICIES)
    for state, standing in _states.STANDING.items():
        STANDING[state] = standing
    for policy in range(POLICIES):
        for standing in range(3):
            EARLY[policy][standing] = _states.EARLY[policy][standing]
        for seen in range(8):
            FINAL[policy][seen] = _states.FINAL[policy][seen]


_load_tables()


cdef void* _allocate(Py_ssize_t count, Py_ssize_t size) except NULL:
    """Zeroed memory; one item at least, so that NULL always means failure."""
    cdef void* block = calloc(count if count else 1, size)
    if block is NULL:
        raise MemoryError()
    return block


cdef int _check_terminal(int state) except -1:
    if not FIRST_TERMINAL <= state < STATES:
        raise ValueError(f"{state} is not the code of a terminal state")
    return 0


cdef int _refuse_misfits(
    const int32_t[::1] offsets, const int32_t[::1] dependents, const uint8_t[::1] policies
) except -1:
    """Numbers taken on trust would lead out of the memory of the queue."""
    cdef Py_ssize_t n = policies.shape[0], i
    if offsets.shape[0] != n + 1 or offsets[0] != 0 or offsets[n] != dependents.shape[0]:
        raise ValueError("the buffers describe different numbers of tasks or edges")
    for i in range(n):
        if offsets[i] > offsets[i + 1]:
            raise ValueError(f"the dependents of task {i} end before they begin")
        if policies[i] >= POLICIES:
            raise ValueError(f"task {i} has the unknown policy {policies[i]}")
    for i in range(dependents.shape[0]):
        if not 0 <= dependents[i] < n:
            raise ValueError(f"no dependent {dependents[i]} among {n} tasks")
    return 0


cdef class ReadyQueue:
    def __init__(
        self,
        const int32_t[::1] dependent_offsets not None,
        const int32_t[::1] dependents not None,
        const int32_t[::1] indegrees not None,
        const uint8_t[::1] policies not None,
        int32_t limit,
        const int32_t[::1] lanes=None,
        lane_gates=((),),
        capacities=(),
    ):
        if self.nodes is not NULL:
            raise ValueError("the queue has been built already")
        cdef Py_ssize_t n = indegrees.shape[0]
        if policies.shape[0] != n or (lanes is not None and lanes.shape[0] != n):
            raise ValueError("the buffers describe different numbers of tasks")
        _refuse_misfits(dependent_offsets, dependents, policies)
        self.set_limit(limit)
        self.total = self.unfinished = <int32_t>n
        self.offsets = dependent_offsets
        self.dependents = dependents
        self.nodes = <Node*>_allocate(n, sizeof(Node))
        cdef Py_ssize_t i
        for i in range(n):
            self.nodes[i].waiting = indegrees[i]
            self.nodes[i].policy = policies[i]
        self.tally[PENDING] = self.total
        rank_set_init(&self.front, n)
        self._build_gates(capacities)
        if not lane_gates or len(lane_gates[0]):
            raise ValueError("lane 0 comes first and needs no gate")
        if lanes is not None:
            self._build_lanes(lanes, lane_gates)
        self._settle_roots()

    def _build_gates(self, capacities):
        self.gates = <Gate*>_allocate(len(capacities), sizeof(Gate))
        self.gate_count = len(capacities)
        for gate, capacity in enumerate(capacities):
            self.set_capacity(gate, capacity)

    def _build_lanes(self, const int32_t[::1] lane_of, lane_gates):
        cdef int32_t count = len(lane_gates), k, i, gate
        cdef int32_t* sizes = <int32_t*>_allocate(count, sizeof(int32_t))
        cdef int32_t* members
        cdef int32_t* gates
        self.lanes = <Lane*>_allocate(count, sizeof(Lane))
        self.lane_count = count
        self.place = <int32_t*>_allocate(self.total, sizeof(int32_t))
        members = self.lane_members = <int32_t*>_allocate(self.total, sizeof(int32_t))
        gates = self.lane_gates = <int32_t*>_allocate(sum(map(len, lane_gates)), sizeof(int32_t))
        try:
            for i in range(self.total):
                if not 0 <= lane_of[i] < count:
                    raise ValueError(f"task {i} is in lane {lane_of[i]} of {count}")
                self.place[i] = sizes[lane_of[i]]
                sizes[lane_of[i]] += 1
            for k in range(count):
                self.lanes[k].head = -1
                self.lanes[k].members = members
                self.lanes[k].gates = gates
                if len(set(lane_gates[k])) != len(lane_gates[k]):
                    raise ValueError(f"lane {k} needs a gate twice: {lane_gates[k]}")
                for gate in lane_gates[k]:
                    if not 0 <= gate < self.gate_count:
                        raise ValueError(f"lane {k} needs gate {gate} of {self.gate_count}")
                    gates[0] = gate
                    gates += 1
                self.lanes[k].gate_count = <int32_t>(gates - self.lanes[k].gates)
                members += sizes[k]
                if k:  # the tasks of lane 0 stand in `front` themselves
                    rank_set_init(&self.lanes[k].ready, sizes[k])
            for i in range(self.total):
                self.lanes[lane_of[i]].members[self.place[i]] = i
        finally:
            free(sizes)
        self.lane_of = lane_of

    def __dealloc__(self):
        cdef int32_t k
        for k in range(self.lane_count):
            rank_set_free(&self.lanes[k].ready)
        for k in range(self.gate_count):
            free(self.gates[k].parked)
        rank_set_free(&self.front)
        free(self.nodes)
        free(self.parent_of)
        free(self.told)
        free(self.log.events)
        free(self.place)
        free(self.lanes)
        free(self.gates)
        free(self.lane_members)
        free(self.lane_gates)

    # -- the hot path --------------------------------------------------------

    cpdef int32_t next(self) except -2:
        cdef int32_t task, gate
        cdef Lane* lane
        if self.stopped or self.paused:
            return -1
        while self.running < self.limit:
            task = rank_set_smallest(&self.front)
            if task < 0:
                return -1
            if self.lanes is NULL or self.lane_of[task] == 0:
                rank_set_discard(&self.front, task)
            else:
                lane = &self.lanes[self.lane_of[task]]
                gate = self._shut_gate(lane)
                if gate >= 0:
                    self._park(lane, gate)
                    continue
                self._claim(lane)
            self._move(task, RUNNING)
            self.running += 1
            return task
        return -1

    cpdef int complete(self, int32_t task, int state) except -1:
        self._check_running(task)
        _check_terminal(state)
        if self.nodes[task].aside == DETACHED:
            self.nodes[task].aside = NOT_ASIDE
        else:
            self._leave(task)
        return self._finish(task, state)

    cpdef int32_t complete_and_next(self, int32_t task, int state) except -2:
        self.complete(task, state)
        return self.next()

    cpdef bint startable(self) noexcept:
        return (
            not self.stopped
            and not self.paused
            and self.running < self.limit
            and rank_set_smallest(&self.front) >= 0
        )

    # -- ends and their consequences ---------------------------------------

    cdef int _check(self, int32_t task) except -1:
        if not 0 <= task < self.total:
            raise IndexError(f"no task {task} among {self.total}")
        return 0

    cdef int _check_running(self, int32_t task) except -1:
        self._check(task)
        if self.nodes[task].state != RUNNING:
            raise ValueError(
                f"task {task} is {_states.STATES[self.nodes[task].state].value}, not running"
            )
        return 0

    cdef int _leave(self, int32_t task) except -1:
        """A RUNNING task gives up its slot and its gates."""
        self.running -= 1
        if self.lanes is not NULL:
            self._release(task)
        return 0

    cdef void _move(self, int32_t task, int state) noexcept:
        self.tally[self.nodes[task].state] -= 1
        self.tally[state] += 1
        self.nodes[task].state = <uint8_t>state

    cdef int _settle_roots(self) except -1:
        cdef int32_t task
        cdef int verdict
        for task in range(self.total):
            if self.nodes[task].waiting == 0 and self.nodes[task].state == PENDING:
                verdict = FINAL[self.nodes[task].policy][0]
                if verdict == READY:
                    self._make_ready(task)
                else:
                    self._finish(task, verdict)
        return 0

    cdef int _finish(self, int32_t task, int state) except -1:
        """A task has ended: tell its dependents, and theirs where that ended them too."""
        cdef Py_ssize_t told = 0, waiting = 0
        self._move(task, state)
        self.unfinished -= 1
        if self.log.wanted & ENDS:
            log_add(&self.log, task, ENDED, 0)
        if self.stopped:
            return 0
        waiting = self._tell(task, state, waiting)
        while told < waiting:
            task = self.told[told]
            told += 1
            waiting = self._tell(task, self.nodes[task].state, waiting)
        return 0

    cdef Py_ssize_t _tell(self, int32_t task, int state, Py_ssize_t waiting) except -1:
        """Tell the direct dependents; those that it ends are appended to `told`."""
        cdef int32_t edge, dependent
        cdef Node* node
        cdef uint8_t standing = STANDING[state], bit = <uint8_t>(1 << STANDING[state])
        cdef int verdict
        for edge in range(self.offsets[task], self.offsets[task + 1]):
            dependent = self.dependents[edge]
            node = &self.nodes[dependent]
            node.waiting -= 1
            if node.state != PENDING:
                continue  # settled before: by a policy, or ended from outside
            verdict = PENDING
            if standing != GOOD:
                self._set_parent(dependent, task, standing == BAD and not node.seen & (1 << BAD))
                verdict = EARLY[node.policy][standing]
            node.seen |= bit
            if verdict == PENDING and node.waiting == 0:
                verdict = FINAL[node.policy][node.seen]
            if verdict == PENDING:
                continue
            if verdict == READY:
                if self.log.wanted & READIES:
                    log_add(&self.log, dependent, READIED, task)
                self._make_ready(dependent)
                continue
            self._move(dependent, verdict)
            self.unfinished -= 1
            if self.log.wanted & ENDS:
                log_add(&self.log, dependent, ENDED, 0)
            if waiting == self.told_room:
                self._grow_told()
            self.told[waiting] = dependent
            waiting += 1
        return waiting

    def _grow_told(self):
        cdef Py_ssize_t room = 2 * self.told_room + 64
        cdef void* block = realloc(self.told, room * sizeof(int32_t))
        if block is NULL:
            raise MemoryError()
        self.told = <int32_t*>block
        self.told_room = room

    cdef int _set_parent(self, int32_t task, int32_t dependency, bint failed_first) except -1:
        cdef int32_t i
        if self.parent_of is NULL:
            self.parent_of = <int32_t*>_allocate(self.total, sizeof(int32_t))
            for i in range(self.total):
                self.parent_of[i] = -1
        if failed_first or self.parent_of[task] < 0:
            self.parent_of[task] = dependency
        return 0

    def end(self, int32_t task, int state):
        self._check(task)
        _check_terminal(state)
        if self.nodes[task].state not in (PENDING, READY):
            return False
        if self.nodes[task].state == READY:
            self._take_back(task)
        self._finish(task, state)
        return True

    def stop(self):
        self.stopped = True

    def end_rest(self, int state):
        cdef int32_t task
        _check_terminal(state)
        self.stopped = True
        for task in range(self.total):
            self.end(task, state)

    cpdef int give_back(self, int32_t task) except -1:
        self._check_owning(task)
        self._leave(task)
        self._make_ready(task)
        return 0

    # -- the log ---------------------------------------------------------------

    def keep_log(self, bint readies, bint starts, bint ends):
        self.log.wanted = (
            (READIES if readies else 0) | (STARTS if starts else 0) | (ENDS if ends else 0)
        )

    def log_past(self):
        cdef int32_t task
        cdef int state
        for task in range(self.total):
            state = self.nodes[task].state
            if state == READY and self.log.wanted & READIES:
                log_add(&self.log, task, READIED, -1)
            elif state >= FIRST_TERMINAL and self.log.wanted & ENDS:
                log_add(&self.log, task, ENDED, 0)

    def log_start(self, int32_t task, int32_t attempt, double at):
        if self.log.wanted & STARTS:
            log_add(&self.log, task, attempt, at)

    def log_note(self):
        log_add(&self.log, -1, NOTED, 0)

    def logged(self):
        return self.log.count

    def take_log(self):
        cdef Py_ssize_t i, count = self.log.count
        self.log.count = 0
        return [
            (self.log.events[i].task, self.log.events[i].what, self.log.events[i].at)
            for i in range(count)
        ]

    # -- set aside ---------------------------------------------------------------

    def _check_owning(self, int32_t task):
        self._check_running(task)
        if self.nodes[task].aside == DETACHED:
            raise ValueError(f"task {task} is detached")

    def hold(self, int32_t task):
        self._check_owning(task)
        self._leave(task)
        self._move(task, READY)
        self.nodes[task].aside = HELD

    def let_go(self, int32_t task):
        self._check(task)
        if self.nodes[task].aside != HELD:
            return False
        self.nodes[task].aside = NOT_ASIDE
        self._make_ready(task)
        return True

    def take_over(self, int32_t task, int32_t other):
        self._check_owning(task)
        self._check(other)
        if self.nodes[other].state != READY or self.nodes[other].aside == HELD:
            raise ValueError(f"task {other} is not waiting to start")
        if self.lanes is not NULL and self.lane_of[task] != self.lane_of[other]:
            raise ValueError(f"tasks {task} and {other} need different gates")
        self._take_back(other)
        self._move(other, RUNNING)
        self._move(task, READY)
        self.nodes[task].aside = HELD

    def detach(self, int32_t task):
        self._check_owning(task)
        self._leave(task)
        self.nodes[task].aside = DETACHED

    # -- lanes and gates -------------------------------------------------------

    cdef int _make_ready(self, int32_t task) except -1:
        cdef Lane* lane
        self._move(task, READY)
        if self.lanes is NULL or self.lane_of[task] == 0:
            rank_set_add(&self.front, task)
            return 0
        lane = &self.lanes[self.lane_of[task]]
        rank_set_add(&lane.ready, self.place[task])
        if lane.head < 0 or task < lane.head:
            self._set_head(lane, task)
        return 0

    cdef int _take_back(self, int32_t task) except -1:
        """Remove a READY task from where it waits."""
        cdef Lane* lane
        cdef int32_t place
        if self.nodes[task].aside == HELD:
            self.nodes[task].aside = NOT_ASIDE
            return 0
        if self.lanes is NULL or self.lane_of[task] == 0:
            rank_set_discard(&self.front, task)
            return 0
        lane = &self.lanes[self.lane_of[task]]
        rank_set_discard(&lane.ready, self.place[task])
        if task == lane.head:
            place = rank_set_smallest(&lane.ready)
            self._set_head(lane, lane.members[place] if place >= 0 else -1)
        return 0

    cdef int32_t _shut_gate(self, Lane* lane) noexcept:
        """The first gate of the lane that lets nobody through now, or -1."""
        cdef int32_t k
        cdef Gate* gate
        for k in range(lane.gate_count):
            gate = &self.gates[lane.gates[k]]
            if shut(gate):
                return lane.gates[k]
        return -1

    cdef int _claim(self, Lane* lane) except -1:
        """The head of a LISTED lane goes through all its gates."""
        cdef int32_t k
        for k in range(lane.gate_count):
            self.gates[lane.gates[k]].taken += 1
        return self._take_back(lane.head)

    cdef int _release(self, int32_t task) except -1:
        cdef int32_t k
        cdef Lane* lane = &self.lanes[self.lane_of[task]]
        for k in range(lane.gate_count):
            self.gates[lane.gates[k]].taken -= 1
        return self._offer_gates(lane)

    cdef int _set_head(self, Lane* lane, int32_t head) except -1:
        cdef int32_t before = lane.head
        lane.head = head
        if lane.status == PARKED:
            if head < 0:
                heap_remove(&self.gates[lane.parked_at], self.lanes, lane)
                lane.status = EMPTY
            else:
                heap_sift(&self.gates[lane.parked_at], self.lanes, lane.heap_place)
                self._list_next(lane.parked_at)
            return 0
        if lane.status == LISTED:
            rank_set_discard(&self.front, before)
            lane.status = EMPTY
        if head >= 0:
            self._list_or_park(lane)
        if before >= 0 and (lane.status != LISTED or head > before):
            self._offer_gates(lane)
        return 0

    cdef int _list_or_park(self, Lane* lane) except -1:
        cdef int32_t gate = self._shut_gate(lane)
        if gate >= 0:
            return self._park(lane, gate)
        lane.status = LISTED
        rank_set_add(&self.front, lane.head)
        return 0

    cdef int _park(self, Lane* lane, int32_t gate) except -1:
        cdef bint listed = lane.status == LISTED
        if listed:
            rank_set_discard(&self.front, lane.head)
        lane.status = PARKED
        lane.parked_at = gate
        heap_add(&self.gates[gate], self.lanes, lane)
        if listed:
            self._offer_gates(lane)
        return 0

    cdef int _offer_gates(self, Lane* lane) except -1:
        """The lane no longer vouches for its gates: let the next one try each that has room."""
        cdef int32_t k
        for k in range(lane.gate_count):
            self._list_next(lane.gates[k])
        return 0

    cdef int _list_next(self, int32_t number) except -1:
        cdef Gate* gate = &self.gates[number]
        cdef Lane* lane
        if gate.parked_count == 0 or shut(gate):
            return 0
        lane = &self.lanes[gate.parked[0]]
        heap_remove(gate, self.lanes, lane)
        lane.status = LISTED
        rank_set_add(&self.front, lane.head)
        return 0

    def _check_gate(self, int32_t gate):
        if not 0 <= gate < self.gate_count:
            raise IndexError(f"no gate {gate} among {self.gate_count}")

    def close_gate(self, int32_t gate):
        self._check_gate(gate)
        self.gates[gate].closed = True

    def open_gate(self, int32_t gate):
        self._check_gate(gate)
        self.gates[gate].closed = False
        self._list_next(gate)

    def set_capacity(self, int32_t gate, int32_t capacity):
        self._check_gate(gate)
        if capacity < 1:
            raise ValueError(f"gate {gate} needs a capacity of at least 1, not {capacity}")
        self.gates[gate].capacity = capacity
        self._list_next(gate)

    def set_limit(self, int32_t limit):
        if limit < 1:
            raise ValueError(f"the limit must be at least 1, not {limit}")
        self.limit = limit

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False

    # -- questions -----------------------------------------------------------

    def state(self, int32_t task):
        self._check(task)
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

    def parents(self):
        if self.parent_of is NULL:
            return {}
        return {
            task: self.parent_of[task] for task in range(self.total) if self.parent_of[task] >= 0
        }

    def waiting_for(self, int32_t task):
        self._check(task)
        return self.nodes[task].waiting

    def parent(self, int32_t task):
        self._check(task)
        return -1 if self.parent_of is NULL else self.parent_of[task]

    def lane(self, int32_t task):
        self._check(task)
        return 0 if self.lanes is NULL else self.lane_of[task]

    def taken(self, int32_t gate):
        self._check_gate(gate)
        return self.gates[gate].taken

    def wanted(self, int32_t gate):
        cdef int32_t k
        self._check_gate(gate)
        for k in range(1, self.lane_count):
            if self.lanes[k].head >= 0 and self._needs(&self.lanes[k], gate):
                return True
        return False

    def ready_in_lanes(self):
        cdef int32_t task
        ready = [0] * max(self.lane_count, 1)
        for task in range(self.total):
            if self.nodes[task].state == READY and self.nodes[task].aside != HELD:
                ready[self.lane(task)] += 1
        return ready

    def is_held(self, int32_t task):
        self._check(task)
        return self.nodes[task].aside == HELD

    def queued_at(self, int32_t gate):
        cdef int32_t task
        self._check_gate(gate)
        return [
            task
            for task in range(self.total)
            if self.nodes[task].state == READY
            and self.nodes[task].aside != HELD
            and self.lanes is not NULL
            and self._needs(&self.lanes[self.lane_of[task]], gate)
        ]

    cdef bint _needs(self, Lane* lane, int32_t gate) noexcept:
        cdef int32_t k
        for k in range(lane.gate_count):
            if lane.gates[k] == gate:
                return True
        return False

    def blocking_gates(self, int32_t task):
        cdef Lane* lane
        cdef Gate* gate
        if self.lane(task) == 0:
            return []
        lane = &self.lanes[self.lane_of[task]]
        blocking = []
        for k in range(lane.gate_count):
            gate = &self.gates[lane.gates[k]]
            if shut(gate):
                blocking.append(lane.gates[k])
        return blocking

    # -- self-check ---------------------------------------------------------------

    def validate(self):
        states = [self.nodes[i].state for i in range(self.total)]
        assert self.counts() == [states.count(s) for s in range(STATES)], "tally"
        aside = [self.nodes[i].aside for i in range(self.total)]
        assert self.running == states.count(RUNNING) - aside.count(DETACHED), "running"
        for task in range(self.total):
            expected = {HELD: READY, DETACHED: RUNNING}.get(aside[task], states[task])
            assert states[task] == expected, f"task {task} is set aside"
        assert self.unfinished == sum(s < FIRST_TERMINAL for s in states), "unfinished"
        if not self.stopped:
            self._validate_edges(states)
        self._validate_lanes(states)

    def _validate_edges(self, states):
        pending = [0] * self.total
        for task in range(self.total):
            for edge in range(self.offsets[task], self.offsets[task + 1]):
                pending[self.dependents[edge]] += states[task] < FIRST_TERMINAL
        for task in range(self.total):
            assert self.nodes[task].waiting == pending[task], f"task {task} waits for others"
            assert (states[task] == PENDING) <= (pending[task] > 0), f"task {task} is forgotten"

    def _validate_lanes(self, states):
        cdef int32_t task
        cdef Lane* lane
        cdef Gate* gate
        inside = [0] * self.gate_count
        for task in range(self.total):
            ready = states[task] == READY and self.nodes[task].aside != HELD
            if self.lane(task) == 0:
                assert rank_set_has(&self.front, task) == ready, f"task {task} in front"
                continue
            lane = &self.lanes[self.lane_of[task]]
            assert rank_set_has(&lane.ready, self.place[task]) == ready, f"task {task} in its lane"
            shown = lane.status == LISTED and lane.head == task
            assert rank_set_has(&self.front, task) == shown, f"head {task} in front"
            assert not ready or 0 <= lane.head <= task, f"task {task} before its head"
            if states[task] == RUNNING and self.nodes[task].aside != DETACHED:
                for k in range(lane.gate_count):
                    inside[lane.gates[k]] += 1
        for number in range(self.gate_count):
            gate = &self.gates[number]
            assert gate.taken == inside[number], f"gate {number}"
            self._validate_parked(number)
        for k in range(1, self.lane_count):
            assert (self.lanes[k].head < 0) == (self.lanes[k].status == EMPTY), f"lane {k}"

    def _validate_parked(self, number):
        cdef Gate* gate = &self.gates[number]
        heads = []
        for i in range(gate.parked_count):
            lane = gate.parked[i]
            assert self.lanes[lane].status == PARKED, f"lane {lane} parked"
            assert self.lanes[lane].parked_at == number, f"lane {lane} parked elsewhere"
            assert self.lanes[lane].heap_place == i, f"lane {lane} has lost its place"
            heads.append(self.lanes[lane].head)
            assert heads[(i - 1) // 2 if i else 0] <= heads[i], f"heap of gate {number}"
        if not heads or shut(gate):
            return
        vouching = [
            self.lanes[k].head
            for k in range(1, self.lane_count)
            if self.lanes[k].status == LISTED
            and number in [self.lanes[k].gates[j] for j in range(self.lanes[k].gate_count)]
        ]
        assert vouching and min(vouching) < heads[0], f"gate {number} has room and nobody tries it"
