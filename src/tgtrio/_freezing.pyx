"""The columns of a plan, made in C. What each function promises stands in `_freezing.pyi`."""

from array import array

from cython cimport boundscheck
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport free, malloc, qsort

from ._slots cimport check_instance, get_slot, slot_offset

from ._node import EXPIRES as _EXPIRES
from ._node import INPUTS as _INPUTS
from ._node import TIMED as _TIMED
from ._node import TaskNode
from ._states import ALWAYS, CONTINUE_IF_ANY, POLICIES

cdef type NODE = TaskNode
cdef Py_ssize_t ACTION_NAME = slot_offset(NODE, "action_name")
cdef Py_ssize_t NORMALIZED_ARGS = slot_offset(NODE, "normalized_args")
cdef Py_ssize_t RESOURCE_IDS = slot_offset(NODE, "resource_ids")
cdef Py_ssize_t DEPENDENCIES = slot_offset(NODE, "dependencies")
cdef Py_ssize_t ON_DEP_FAIL = slot_offset(NODE, "on_dep_fail")
cdef Py_ssize_t PRIORITY = slot_offset(NODE, "priority")
cdef Py_ssize_t DEADLINE = slot_offset(NODE, "deadline")
cdef Py_ssize_t TASK_TIMEOUT_MS = slot_offset(NODE, "task_timeout_ms")
cdef Py_ssize_t EXPIRE_AT_DEADLINE = slot_offset(NODE, "expire_at_deadline")
cdef Py_ssize_t INPUTS = slot_offset(NODE, "inputs")
cdef uint8_t HAS_INPUTS = _INPUTS, HAS_TIMEOUT = _TIMED, EXPIRING = _EXPIRES

ctypedef struct Urgency:
    double urgency
    double deadline
    int32_t place


@boundscheck(True)  # code of others may run meanwhile, as that of a time zone
cdef inline object _get(list nodes, Py_ssize_t i, Py_ssize_t field):
    node = nodes[i]
    check_instance(node, NODE)
    return get_slot(node, field)


cdef object _int32(Py_ssize_t count):
    return array("i", bytes(4 * count))


cdef int _compare(const void* a, const void* b) noexcept nogil:
    """Urgency, deadline, and the order of insertion, which makes the order total."""
    x, y = <const Urgency*>a, <const Urgency*>b
    if x.urgency != y.urgency:
        return -1 if x.urgency < y.urgency else 1
    if x.deadline != y.deadline:
        return -1 if x.deadline < y.deadline else 1
    return -1 if x.place < y.place else 1


def dispatch_order(list nodes not None):
    cdef Py_ssize_t n = len(nodes), i
    cdef bint in_order = True
    cdef int32_t[::1] order
    keys = <Urgency*>malloc((n + 1) * sizeof(Urgency))
    if keys is NULL:
        raise MemoryError()
    try:
        for i in range(n):
            deadline = _get(nodes, i, DEADLINE)
            keys[i].urgency = -<double>_get(nodes, i, PRIORITY)
            keys[i].deadline = INFINITY if deadline is None else deadline.timestamp()
            keys[i].place = <int32_t>i
            if i and _compare(&keys[i - 1], &keys[i]) > 0:
                in_order = False
        if in_order:
            return None
        qsort(keys, n, sizeof(Urgency), _compare)
        result = _int32(n)
        order = result
        for i in range(n):
            order[i] = keys[i].place
        return result
    finally:
        free(keys)


def inverse(const int32_t[::1] order not None):
    cdef Py_ssize_t n = order.shape[0], rank
    result = _int32(n)
    cdef int32_t[::1] ranks = result
    for rank in range(n):
        ranks[_checked(order[rank], n)] = <int32_t>rank
    return result


@boundscheck(True)
def look_up(list nodes not None, dict index not None):
    cdef Py_ssize_t n = len(nodes), total = 0, i
    cdef tuple names
    for i in range(n):
        total += len(<tuple?>_get(nodes, i, DEPENDENCIES))
    result = _int32(total)
    cdef int32_t[::1] places = result
    total = 0
    for i in range(n):
        names = _get(nodes, i, DEPENDENCIES)
        for name in names:
            places[total] = index[name]
            total += 1
    return result


def edges(
    list nodes not None,
    const int32_t[::1] places not None,
    const int32_t[::1] order,
    const int32_t[::1] ranks,
):
    cdef Py_ssize_t n = len(nodes), rank, k, at = 0
    cdef int32_t place
    starts, dependencies = _starts(nodes, places), _int32(places.shape[0])
    cdef const int32_t[::1] start = starts
    cdef int32_t[::1] target = dependencies, offset
    if order is None or ranks is None:
        target[:] = places
        return starts, dependencies, _differences(starts)
    offsets = _int32(n + 1)
    offset = offsets
    if order.shape[0] != n or ranks.shape[0] != n:
        raise ValueError(f"{order.shape[0]} places and {ranks.shape[0]} ranks for {n} tasks")
    for rank in range(n):
        place = _checked(order[rank], n)
        if ranks[place] != rank:
            raise ValueError("the ranks are not the inverse of the order")
        for k in range(start[place], start[place + 1]):
            target[at] = ranks[_checked(places[k], n)]
            at += 1
        offset[rank + 1] = <int32_t>at
    return offsets, dependencies, _differences(offsets)


cdef object _starts(list nodes, const int32_t[::1] places):
    """Where in `places` the dependencies of each task begin; at the end, how many there are."""
    cdef Py_ssize_t n = len(nodes), total = 0, i
    result = _int32(n + 1)
    cdef int32_t[::1] start = result
    for i in range(n):
        total += len(<tuple?>_get(nodes, i, DEPENDENCIES))
        if total > places.shape[0]:
            break
        start[i + 1] = <int32_t>total
    if total != places.shape[0]:
        raise ValueError(f"{places.shape[0]} places are not one for each dependency")
    return result


cdef object _differences(const int32_t[::1] offsets):
    cdef Py_ssize_t n = offsets.shape[0] - 1, i
    result = _int32(n)
    cdef int32_t[::1] counts = result
    for i in range(n):
        counts[i] = offsets[i + 1] - offsets[i]
    return result


cdef inline int32_t _checked(int32_t number, Py_ssize_t below) except -1:
    if not 0 <= number < below:
        raise ValueError(f"no task {number} among {below}")
    return number


def transpose(const int32_t[::1] offsets not None, const int32_t[::1] targets not None):
    cdef Py_ssize_t n = offsets.shape[0] - 1, source, k
    cdef int32_t target
    reversed_offsets, sources = _int32(n + 1), _int32(targets.shape[0])
    cdef int32_t[::1] ends = reversed_offsets, found = sources, cursor = _int32(n)
    if n < 0 or offsets[0] != 0 or offsets[n] != targets.shape[0]:
        raise ValueError("the offsets are not those of the targets")
    for source in range(n):
        if offsets[source] > offsets[source + 1]:
            raise ValueError(f"the targets of task {source} end before they begin")
    for target in targets:
        ends[_checked(target, n) + 1] += 1
    for source in range(n):
        cursor[source] = ends[source]
        ends[source + 1] += ends[source]
    for source in range(n):
        for k in range(offsets[source], offsets[source + 1]):
            target = targets[k]
            found[cursor[target]] = <int32_t>source
            cursor[target] += 1
    return reversed_offsets, sources


def arguments(list nodes not None):
    cdef Py_ssize_t i
    return [_get(nodes, i, NORMALIZED_ARGS) for i in range(len(nodes))]


def actions(list nodes not None):
    cdef Py_ssize_t n = len(nodes), i
    cdef dict numbers = {}
    cdef int32_t number = -1
    result = _int32(n)
    cdef int32_t[::1] action = result
    last = None
    for i in range(n):
        name = _get(nodes, i, ACTION_NAME)
        if name is not last:
            number = numbers.setdefault(name, len(numbers))
            last = name
        action[i] = number
    return list(numbers), result


def policies(list nodes not None):
    cdef Py_ssize_t n = len(nodes), i
    cdef uint8_t code
    result = bytearray(n)
    cdef uint8_t[::1] codes = result
    for i in range(n):
        policy = _get(nodes, i, ON_DEP_FAIL)
        code = 0
        while POLICIES[code] is not policy:
            code += 1
        if code == CONTINUE_IF_ANY and len(<tuple?>_get(nodes, i, DEPENDENCIES)) == 1:
            code = ALWAYS
        codes[i] = code
    return bytes(result)


def flags(list nodes not None, bint expire_at_deadline):
    cdef Py_ssize_t n = len(nodes), i
    cdef uint8_t bits
    result = bytearray(n)
    cdef uint8_t[::1] all_bits = result
    for i in range(n):
        bits = HAS_INPUTS if _get(nodes, i, INPUTS) else 0
        if _get(nodes, i, TASK_TIMEOUT_MS) is not None:
            bits |= HAS_TIMEOUT
        if _get(nodes, i, DEADLINE) is not None:
            expires = _get(nodes, i, EXPIRE_AT_DEADLINE)
            if expire_at_deadline if expires is None else expires:
                bits |= EXPIRING
        all_bits[i] = bits
    return bytes(result)


def timeouts(list nodes not None):
    cdef Py_ssize_t n = len(nodes), i
    cdef double[::1] seconds
    result = None
    for i in range(n):
        limit = _get(nodes, i, TASK_TIMEOUT_MS)
        if limit is not None:
            if result is None:
                result = array("d", [INFINITY]) * n
                seconds = result
            seconds[i] = <double>limit / 1000
    return result


def resource_sets(list nodes not None):
    cdef Py_ssize_t n = len(nodes), i
    cdef dict numbers = {(): 0}, known = {(): 0}
    cdef int32_t[::1] number
    result = None
    for i in range(n):
        ids = _get(nodes, i, RESOURCE_IDS)
        if not ids:
            continue
        if result is None:
            result = _int32(n)
            number = result
        if ids not in known:
            known[ids] = numbers.setdefault(tuple(sorted(ids)), len(numbers))
        number[i] = known[ids]
    return list(numbers), result
