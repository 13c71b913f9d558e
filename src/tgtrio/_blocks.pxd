"""Blocks of memory for C structs, known to whatever traces Python's memory."""

from libc.stdint cimport INT32_MAX, int32_t

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define tgtrio_prefetch(place) __builtin_prefetch(place)
    #else
    #define tgtrio_prefetch(place) ((void)(place))
    #endif
    """
    # The processor fetches it while it goes on; any address will do.
    void prefetch "tgtrio_prefetch" (const void* place) noexcept nogil

cdef extern from "Python.h":
    void* PyMem_RawCalloc(size_t count, size_t size) noexcept nogil
    void* PyMem_RawRealloc(void* block, size_t size) noexcept nogil
    void block_free "PyMem_RawFree" (void* block) noexcept nogil


cdef inline void* block_new(Py_ssize_t count, Py_ssize_t size) except NULL:
    """Zeroed memory; one item at least, so that NULL always means failure."""
    cdef void* block = PyMem_RawCalloc(count if count else 1, size)
    if block is NULL:
        raise MemoryError()
    return block


cdef inline void* block_resize(void* block, Py_ssize_t count, Py_ssize_t size) except NULL:
    """More memory for the same items. After a failure the former block holds."""
    cdef void* bigger = PyMem_RawRealloc(block, count * size)
    if bigger is NULL:
        raise MemoryError()
    return bigger


cdef inline int32_t more_room(int32_t room, Py_ssize_t needed) except -1:
    """At least what is needed, and so much that growing costs O(1) an item."""
    cdef Py_ssize_t more = room + (room >> 1) + 8
    if needed > INT32_MAX:
        raise MemoryError()
    return <int32_t>min(max(more, needed), INT32_MAX)


cdef inline void* block_reserve(
    void* block, int32_t* room, Py_ssize_t needed, Py_ssize_t size
) except NULL:
    """The block, with room for so many items: at least one."""
    cdef int32_t more
    if needed > room[0]:
        more = more_room(room[0], needed)
        block = block_resize(block, more, size)
        room[0] = more
    return block
