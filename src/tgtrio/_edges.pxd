"""Edges that were added to a graph: the dependents of a task in a ring, in the order of adding."""

from libc.stdint cimport int32_t

from ._blocks cimport block_free, block_new, block_reserve


ctypedef struct Edge:
    int32_t dependent
    int32_t next  # of the same task; of the last edge the first one


ctypedef struct Edges:
    int32_t* last  # the last edge of each task, or 0; NULL: there are no edges
    Edge* edges  # from 1
    int32_t count
    int32_t room


cdef inline int edges_reserve(Edges* self, Py_ssize_t more, Py_ssize_t task_room) except -1:
    """See that so many edges find room, among so many tasks."""
    self.edges = <Edge*>block_reserve(
        self.edges, &self.room, self.count + more + 1, sizeof(Edge)
    )
    if self.last is NULL:
        self.last = <int32_t*>block_new(task_room, sizeof(int32_t))
    return 0


cdef inline void edges_add(Edges* self, int32_t task, int32_t dependent) noexcept nogil:
    cdef int32_t last = self.last[task], edge = self.count + 1
    self.edges[edge].dependent = dependent
    self.edges[edge].next = self.edges[last].next if last else edge
    if last:
        self.edges[last].next = edge
    self.last[task] = self.count = edge


cdef inline void edges_free(Edges* self) noexcept nogil:
    block_free(self.last)
    block_free(self.edges)
