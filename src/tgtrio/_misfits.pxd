"""What a ready queue refuses to be built with, to take in later, or to be told."""

from libc.stdint cimport int32_t, uint8_t

from ._dispatch_order cimport Added
from ._queue_base cimport QueueBase, check_task
from ._states cimport POLICIES


cdef inline int refuse_misfits(
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


cdef inline int refuse_addition(
    QueueBase queue, tuple dependencies, int policy, int32_t lane, const Added* added
) except -1:
    cdef int32_t lanes = max(queue.front.lane_count, 1), built = queue.front.order.built
    if queue.stopped:
        raise ValueError("a queue that is stopped takes no more tasks")
    for dependency in dependencies:
        check_task(queue, dependency)
    if len(set(dependencies)) != len(dependencies):
        raise ValueError(f"a dependency is named twice: {dependencies}")
    if not 0 <= policy < POLICIES:
        raise ValueError(f"the task has the unknown policy {policy}")
    if not 0 <= lane < lanes:
        raise ValueError(f"the task is in lane {lane} of {lanes}")
    if not 0 <= added.position <= built:
        raise ValueError(f"no position {added.position} among {built} tasks")
    if added.priority != added.priority or added.deadline != added.deadline:
        raise ValueError("neither priority nor deadline may be NaN")
    return 0


cdef inline int refuse_idle(QueueBase queue, int32_t task) except -1:
    from tgtrio._states import STATES

    raise ValueError(f"task {task} is {STATES[queue.nodes[task].state].value}, not running")
