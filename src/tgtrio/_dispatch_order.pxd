"""Which of two tasks comes first, and heaps of the tasks that were added to a queue.

The tasks that a queue was built with come in the order of their numbers. An added
one stands before the built-with task of its `position`; among those of the same
position the higher priority comes first, then the earlier deadline, then the
smaller number.
"""

from libc.stdint cimport int32_t

from ._blocks cimport block_free, block_reserve

cdef enum Place:
    IN_FRONT
    IN_LANE
    PLACES


ctypedef struct Added:
    double priority
    double deadline
    int32_t position
    int32_t[PLACES] place  # in the heap of the front, and in that of its lane


ctypedef struct Order:
    int32_t built  # so many tasks the queue was built with
    Added* added  # the others; NULL: there are none
    int32_t room


ctypedef struct SideHeap:  # ready tasks that were added, the first in the order first
    int32_t* tasks
    int32_t count
    int32_t room
    int kind  # which of the places is in it


cdef inline bint before(const Order* order, int32_t a, int32_t b) noexcept nogil:
    if order.added is NULL:
        return a < b
    return before_or_after(order, a, b)


cdef inline bint before_or_after(const Order* order, int32_t a, int32_t b) noexcept nogil:
    cdef const Added* one
    cdef const Added* other
    if a < order.built:
        return a < (b if b < order.built else order.added[b - order.built].position)
    one = &order.added[a - order.built]
    if b < order.built:
        return one.position <= b
    other = &order.added[b - order.built]
    if one.position != other.position:
        return one.position < other.position
    if one.priority != other.priority:
        return one.priority > other.priority
    if one.deadline != other.deadline:
        return one.deadline < other.deadline
    return a < b


cdef inline int32_t earlier(const Order* order, int32_t a, const SideHeap* heap) noexcept nogil:
    """The first of `a` (-1: nobody) and of all in the heap."""
    if heap.count == 0 or (a >= 0 and before(order, a, heap.tasks[0])):
        return a
    return heap.tasks[0]


cdef inline void side_put(
    SideHeap* self, const Order* order, int32_t task, int32_t place
) noexcept nogil:
    self.tasks[place] = task
    order.added[task - order.built].place[self.kind] = place


cdef inline void side_sift(SideHeap* self, const Order* order, int32_t place) noexcept nogil:
    """Move the task at `place` up or down to where it belongs."""
    cdef int32_t task = self.tasks[place], parent, child
    while place > 0:
        parent = (place - 1) >> 1
        if not before(order, task, self.tasks[parent]):
            break
        side_put(self, order, self.tasks[parent], place)
        place = parent
    while True:
        child = 2 * place + 1
        if child >= self.count:
            break
        if child + 1 < self.count and before(order, self.tasks[child + 1], self.tasks[child]):
            child += 1
        if before(order, task, self.tasks[child]):
            break
        side_put(self, order, self.tasks[child], place)
        place = child
    side_put(self, order, task, place)


cdef inline void side_add(SideHeap* self, const Order* order, int32_t task) noexcept nogil:
    """There is room for it: see `side_reserve`."""
    self.tasks[self.count] = task
    self.count += 1
    side_sift(self, order, self.count - 1)


cdef inline void side_remove(SideHeap* self, const Order* order, int32_t task) noexcept nogil:
    cdef int32_t place = order.added[task - order.built].place[self.kind]
    self.count -= 1
    if place < self.count:
        self.tasks[place] = self.tasks[self.count]
        side_sift(self, order, place)


cdef inline bint side_has(const SideHeap* self, const Order* order, int32_t task) noexcept nogil:
    cdef int32_t place = order.added[task - order.built].place[self.kind]
    return 0 <= place < self.count and self.tasks[place] == task


cdef inline int side_reserve(SideHeap* self, Py_ssize_t count) except -1:
    if count:
        self.tasks = <int32_t*>block_reserve(self.tasks, &self.room, count, sizeof(int32_t))
    return 0


cdef inline void side_free(SideHeap* self) noexcept nogil:
    block_free(self.tasks)
