"""A set of small integers that finds its smallest member in a few instructions.

A tree of 64-bit words: a bit of level 0 is a member, a bit of level k + 1 says
that the word below it is not empty. 262,144 ranks are three levels, 2**24 four.
Adding, discarding and finding the smallest touch one word a level.
"""

from libc.stdint cimport int32_t, uint64_t
from libc.string cimport memset

from ._blocks cimport block_free, block_new

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #include <intrin.h>
    static __inline int tgtrio_lowest_bit(unsigned __int64 word) {
        unsigned long index;
        _BitScanForward64(&index, word);
        return (int)index;
    }
    #define tgtrio_bits(word) ((int)__popcnt64(word))
    #else
    #define tgtrio_lowest_bit(word) __builtin_ctzll(word)
    #define tgtrio_bits(word) __builtin_popcountll(word)
    #endif
    """
    int lowest_bit "tgtrio_lowest_bit" (uint64_t word) noexcept nogil  # of a word that is not 0
    int bits "tgtrio_bits" (uint64_t word) noexcept nogil  # how many are set

cdef enum:
    MOST_LEVELS = 6  # 64**6 > 2**31

ctypedef struct RankSet:
    uint64_t* level[MOST_LEVELS]
    int levels
    Py_ssize_t words  # of all levels


cdef inline int rank_set_init(RankSet* self, Py_ssize_t size) except -1:
    """Make an empty set for members 0 <= m < size. All levels lie in one block."""
    cdef Py_ssize_t words[MOST_LEVELS]
    cdef Py_ssize_t total = 0, count = size
    cdef int depth = 0, k
    while True:
        count = (count + 63) >> 6
        if count == 0:
            count = 1
        words[depth] = count
        total += count
        depth += 1
        if count == 1:
            break
    cdef uint64_t* block = <uint64_t*>block_new(total, sizeof(uint64_t))
    for k in range(depth):
        self.level[k] = block
        block += words[k]
    self.levels = depth
    self.words = total
    return 0


cdef inline void rank_set_free(RankSet* self) noexcept nogil:
    block_free(self.level[0])
    self.level[0] = NULL


cdef inline void rank_set_clear(RankSet* self) noexcept nogil:
    memset(self.level[0], 0, self.words * sizeof(uint64_t))


cdef inline void rank_set_add(RankSet* self, int32_t member) noexcept nogil:
    cdef int k
    cdef uint64_t before
    cdef uint64_t* word
    for k in range(self.levels):
        word = self.level[k] + (member >> 6)
        before = word[0]
        word[0] = before | (<uint64_t>1 << (member & 63))
        if before:
            return  # the levels above know already
        member >>= 6


cdef inline void rank_set_discard(RankSet* self, int32_t member) noexcept nogil:
    cdef int k
    cdef uint64_t* word
    for k in range(self.levels):
        word = self.level[k] + (member >> 6)
        word[0] &= ~(<uint64_t>1 << (member & 63))
        if word[0]:
            return  # others are left below
        member >>= 6


cdef inline bint rank_set_has(RankSet* self, int32_t member) noexcept nogil:
    return (self.level[0][member >> 6] >> (member & 63)) & 1


cdef inline int32_t rank_set_smallest(RankSet* self) noexcept nogil:
    """The smallest member, or -1 of an empty set."""
    cdef int k = self.levels - 1
    cdef int32_t place = 0
    if self.level[k][0] == 0:
        return -1
    while k >= 0:
        place = (place << 6) + lowest_bit(self.level[k][place])
        k -= 1
    return place


cdef inline int32_t rank_set_count(const RankSet* self) noexcept nogil:
    """How many members there are, by a look at every word of the lowest level."""
    cdef int32_t count = 0
    cdef Py_ssize_t k, words = self.words
    if self.levels > 1:
        words = self.level[1] - self.level[0]
    for k in range(words):
        if self.level[0][k]:
            count += bits(self.level[0][k])
    return count
