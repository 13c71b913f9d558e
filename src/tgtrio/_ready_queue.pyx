"""The compiled ready queue. What each method promises stands in `_ready_queue.pyi`.

What can merely be asked stands in `_queue_base.pyx`, how ready tasks wait for their
gates in `_front.pxd`.

What the end of a task touches lies far apart in memory where tasks are numbered by
priorities: the offsets of its dependents, these, and their nodes. Each is fetched
ahead, the first two when it becomes READY and when it starts.

Every public method is one compiled call, so Ctrl-C cannot land inside one.
"""

from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport free

from ._additions cimport first_node, reserve_task
from ._blocks cimport block_free, block_new, block_reserve, prefetch
from ._dispatch_order cimport Added
from ._edges cimport edges_add
from ._event_log cimport ENDED, ENDS, NOTED, READIED, READIES, STARTS, log_add, log_grow
from ._front cimport (
    front_add,
    front_first,
    front_release,
    front_remove,
    front_take,
    gated_lane,
    strike,
)
from ._lane_layout cimport ensure_lanes, front_init, lay, new_gate, new_lane
from ._misfits cimport refuse_addition, refuse_idle, refuse_misfits
from ._queue_base cimport DETACHED, HELD, NOT_ASIDE, Blame, Node, check_task, is_queued, make_blames
from ._states cimport BAD, FIRST_TERMINAL, GOOD, PENDING, READY, RUNNING
from ._states cimport Tables, check_terminal, load_tables

cdef Tables TABLES
load_tables(&TABLES)


cdef class ReadyQueue(QueueBase):
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
        cdef Py_ssize_t n = indegrees.shape[0], i
        if policies.shape[0] != n or (lanes is not None and lanes.shape[0] != n):
            raise ValueError("the buffers describe different numbers of tasks")
        refuse_misfits(dependent_offsets, dependents, policies)
        self.set_limit(limit)
        self.offsets = dependent_offsets
        self.dependents = dependents
        self.edges = &dependents[0] if dependents.shape[0] else NULL
        self.nodes = <Node*>block_new(n, sizeof(Node))
        for i in range(n):
            self.nodes[i].waiting = indegrees[i]
            self.nodes[i].policy = policies[i]
        self.room = <int32_t>n
        front_init(&self.front, self.room)
        for capacity in capacities:
            new_gate(&self.front, capacity)
        self._build_lanes(lanes, lane_gates)
        self.total = self.unfinished = self.tally[PENDING] = self.room
        self.stopped = False
        self._settle_roots()

    def _build_lanes(self, const int32_t[::1] lanes, lane_gates):
        if not lane_gates or len(lane_gates[0]):
            raise ValueError("lane 0 comes first and needs no gate")
        if lanes is None and len(lane_gates) == 1:
            return  # all that follows is for others
        ensure_lanes(&self.front, self.room)
        for gates in lane_gates[1:]:
            new_lane(&self.front, tuple(gates))
        if lanes is not None and self.room:
            lay(&self.front, &lanes[0], self.room, self.room)

    def __dealloc__(self):
        block_free(self.told)
        free(self.log.events)

    # -- the hot path --------------------------------------------------------

    cpdef int32_t next(self) except -2:
        cdef int32_t task
        if self.stopped or self.paused or self.running >= self.limit:
            return -1
        task = front_first(&self.front)
        if task >= 0 and gated_lane(&self.front, task) is NULL:
            strike(&self.front, task)
        else:
            task = self._take_gated(task)
        if task >= 0:
            self._move(task, RUNNING)
            self.running += 1
            if task < self.front.order.built:
                prefetch(self.edges + self.offsets[task])
        return task

    cdef int32_t _take_gated(self, int32_t task) noexcept:  # apart, to keep `next` small
        return front_take(&self.front, task)

    cpdef int complete(self, int32_t task, int state) except -1:
        self._check_running(task)
        check_terminal(state)
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
            and front_first(&self.front) >= 0
        )

    # -- ends and their consequences ---------------------------------------

    cdef inline int _check_running(self, int32_t task) except -1:
        check_task(self, task)
        return 0 if self.nodes[task].state == RUNNING else refuse_idle(self, task)

    cdef inline void _leave(self, int32_t task) noexcept:
        """A RUNNING task gives up its slot and its gates."""
        self.running -= 1
        if self.front.lanes is not NULL:
            front_release(&self.front, &self.front.lanes[self.front.lane_of[task]])

    cdef void _move(self, int32_t task, int state) noexcept:
        self.tally[self.nodes[task].state] -= 1
        self.tally[state] += 1
        self.nodes[task].state = <uint8_t>state

    cdef void _make_ready(self, int32_t task) noexcept:
        self._move(task, READY)
        front_add(&self.front, task)
        if task < self.front.order.built:
            prefetch(&self.offsets[task])

    cdef int _settle_roots(self) except -1:
        cdef int32_t task
        cdef int verdict
        for task in range(self.total):
            if self.nodes[task].waiting == 0 and self.nodes[task].state == PENDING:
                verdict = TABLES.final[self.nodes[task].policy][0]
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
        cdef int32_t edge
        cdef int standing = TABLES.standing[state]
        if standing != GOOD:
            make_blames(self)
            self.turns += 1
            self.blames[task].turn = self.turns
        if task < self.front.order.built:
            for edge in range(self.offsets[task] + 1, self.offsets[task + 1]):
                prefetch(&self.nodes[self.dependents[edge]])
            for edge in range(self.offsets[task], self.offsets[task + 1]):
                waiting = self._hear(self.dependents[edge], task, standing, waiting)
        if self.later.last is not NULL:
            waiting = self._tell_later(task, standing, waiting)
        return waiting

    cdef Py_ssize_t _tell_later(self, int32_t task, int standing, Py_ssize_t waiting) except -1:
        """Tell the dependents that were added."""
        cdef int32_t last = self.later.last[task], edge = last
        while edge:
            edge = self.later.edges[edge].next
            waiting = self._hear(self.later.edges[edge].dependent, task, standing, waiting)
            if edge == last:
                break
        return waiting

    cdef inline Py_ssize_t _hear(
        self, int32_t dependent, int32_t task, int standing, Py_ssize_t waiting
    ) except -1:
        cdef Node* node = &self.nodes[dependent]
        cdef int verdict = PENDING
        node.waiting -= 1
        if node.state != PENDING:
            return waiting  # settled before: by a policy, or ended from outside
        if standing != GOOD:
            if self.blames[dependent].parent == 0 or (
                standing == BAD and not node.seen & (1 << BAD)
            ):
                self.blames[dependent].parent = task + 1
            verdict = TABLES.early[node.policy][standing]
        node.seen |= <uint8_t>(1 << standing)
        if verdict == PENDING and node.waiting == 0:
            verdict = TABLES.final[node.policy][node.seen]
        if verdict == PENDING:
            return waiting
        if verdict == READY:
            if self.log.wanted & READIES:
                log_add(&self.log, dependent, READIED, task)
            self._make_ready(dependent)
            return waiting
        self._move(dependent, verdict)
        self.unfinished -= 1
        if self.log.wanted & ENDS:
            log_add(&self.log, dependent, ENDED, 0)
        if waiting == self.told_room:
            self.told = <int32_t*>block_reserve(
                self.told, &self.told_room, waiting + 1, sizeof(int32_t)
            )
        self.told[waiting] = dependent
        return waiting + 1

    def end(self, int32_t task, int state):
        check_task(self, task)
        check_terminal(state)
        if self.nodes[task].state not in (PENDING, READY):
            return False
        if self.nodes[task].aside == HELD:
            self.nodes[task].aside = NOT_ASIDE
        elif self.nodes[task].state == READY:
            front_remove(&self.front, task)
        self._finish(task, state)
        return True

    def stop(self):
        self.stopped = True

    def end_rest(self, int state):
        cdef int32_t task
        check_terminal(state)
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
        check_task(self, task)
        if self.nodes[task].aside != HELD:
            return False
        self.nodes[task].aside = NOT_ASIDE
        self._make_ready(task)
        return True

    def take_over(self, int32_t task, int32_t other):
        self._check_owning(task)
        check_task(self, other)
        if not is_queued(self, other):
            raise ValueError(f"task {other} is not waiting to start")
        if self.lane(task) != self.lane(other):
            raise ValueError(f"tasks {task} and {other} need different gates")
        front_remove(&self.front, other)
        self._move(other, RUNNING)
        self._move(task, READY)
        self.nodes[task].aside = HELD

    def detach(self, int32_t task):
        self._check_owning(task)
        self._leave(task)
        self.nodes[task].aside = DETACHED

    # -- additions ---------------------------------------------------------------

    def add(
        self,
        dependencies,
        int policy,
        int32_t lane,
        int32_t position,
        double priority,
        double deadline,
    ):
        cdef tuple numbers = tuple(dependencies)
        cdef int32_t parent = 0
        cdef Added added = Added(priority, deadline, position, [0, 0])
        cdef Node node
        refuse_addition(self, numbers, policy, lane, &added)
        node = first_node(self, numbers, policy, &TABLES, &parent)
        reserve_task(self, lane, &node)
        if node.state >= FIRST_TERMINAL and self.log.wanted & ENDS:
            if self.log.count == self.log.room:
                log_grow(&self.log)
        self._enter(numbers, lane, node, added, parent)
        return self.total - 1

    cdef int _enter(
        self, tuple numbers, int32_t lane, Node node, Added added, int32_t parent
    ) except -1:
        cdef int32_t dependency, task = self.total
        cdef int verdict = node.state
        node.state = PENDING
        self.nodes[task] = node
        self.front.order.added[task - self.front.order.built] = added
        if self.front.lane_of is not NULL:
            self.front.lane_of[task] = lane
            self.front.lanes[lane].added += 1
        if self.blames is not NULL:
            self.blames[task] = Blame(parent, 0)
        if self.later.last is not NULL:
            self.later.last[task] = 0
        for dependency in numbers:
            if self.nodes[dependency].state < FIRST_TERMINAL:
                edges_add(&self.later, dependency, task)
        self.tally[PENDING] += 1
        self.total += 1
        self.unfinished += 1
        if verdict == READY:
            self._make_ready(task)
        elif verdict != PENDING:
            self._finish(task, verdict)
        return 0
