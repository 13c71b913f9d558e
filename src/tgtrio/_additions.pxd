"""What goes before a task is added to a queue that is at work; nothing of the queue changes yet."""

from libc.stdint cimport int32_t, uint8_t

from ._blocks cimport block_reserve, block_resize, more_room
from ._dispatch_order cimport Added, Order, side_reserve
from ._edges cimport edges_reserve
from ._front cimport Front
from ._queue_base cimport NOT_ASIDE, Blame, Node, QueueBase, make_blames
from ._states cimport BAD, FIRST_TERMINAL, GOOD, PENDING, Tables


cdef inline Node first_node(
    QueueBase queue, tuple dependencies, int policy, const Tables* tables, int32_t* parent
) except *:
    """The task as it will be once it knows of the dependencies that have ended.

    It hears of them in the order of their ends. Only that of those that did not succeed matters.
    """
    cdef Node node = Node(0, <uint8_t>policy, 0, PENDING, NOT_ASIDE)
    cdef int32_t dependency
    cdef int standing
    ended = []
    for dependency in dependencies:
        if queue.nodes[dependency].state < FIRST_TERMINAL:
            node.waiting += 1
        elif tables.standing[queue.nodes[dependency].state] == GOOD:
            node.seen |= 1 << GOOD
        else:
            ended.append((queue.blames[dependency].turn, dependency))
    for _, dependency in sorted(ended):
        standing = tables.standing[queue.nodes[dependency].state]
        if parent[0] == 0 or (standing == BAD and not node.seen & (1 << BAD)):
            parent[0] = dependency + 1
        node.seen |= <uint8_t>(1 << standing)
        node.state = tables.early[policy][standing]
        if node.state != PENDING:
            return node
    if node.waiting == 0:
        node.state = tables.final[policy][node.seen]
    return node


cdef inline int reserve_task(QueueBase queue, int32_t lane, const Node* node) except -1:
    """All the memory of the queue that the task may ever need."""
    cdef Order* order = &queue.front.order
    cdef Py_ssize_t added = queue.total - order.built + 1
    if queue.total == queue.room:
        _enlarge(queue, more_room(queue.room, order.built + added))
    order.added = <Added*>block_reserve(order.added, &order.room, added, sizeof(Added))
    side_reserve(&queue.front.side, added)
    if lane:
        side_reserve(&queue.front.lanes[lane].side, queue.front.lanes[lane].added + 1)
    if node.waiting:
        edges_reserve(&queue.later, node.waiting, queue.room)
    if node.state >= FIRST_TERMINAL:
        make_blames(queue)
    return 0


cdef inline int _enlarge(QueueBase queue, int32_t room) except -1:
    cdef Front* front = &queue.front
    queue.nodes = <Node*>block_resize(queue.nodes, room, sizeof(Node))
    if front.lane_of is not NULL:
        front.lane_of = <int32_t*>block_resize(front.lane_of, room, sizeof(int32_t))
    if queue.blames is not NULL:
        queue.blames = <Blame*>block_resize(queue.blames, room, sizeof(Blame))
    if queue.later.last is not NULL:
        queue.later.last = <int32_t*>block_resize(queue.later.last, room, sizeof(int32_t))
    queue.room = room
    return 0
