"""The codes of `_states` in C, and its tables."""

from libc.stdint cimport uint8_t

cdef enum:
    PENDING = 0
    READY = 1
    RUNNING = 2
    FIRST_TERMINAL = 3
    STATES = 8
    POLICIES = 5
    GOOD = 0
    BAD = 1

ctypedef struct Tables:
    uint8_t[STATES] standing
    uint8_t[POLICIES][3] early
    uint8_t[POLICIES][8] final


cdef inline int load_tables(Tables* tables) except -1:
    from tgtrio import _states

    assert (_states.PENDING, _states.READY, _states.RUNNING) == (PENDING, READY, RUNNING)
    assert (_states.FIRST_TERMINAL, len(_states.STATES)) == (FIRST_TERMINAL, STATES)
    assert (_states.GOOD, _states.BAD, len(_states.POLICIES)) == (GOOD, BAD, POLICIES)
    for state, standing in _states.STANDING.items():
        tables.standing[state] = standing
    for policy in range(POLICIES):
        for standing in range(3):
            tables.early[policy][standing] = _states.EARLY[policy][standing]
        for seen in range(8):
            tables.final[policy][seen] = _states.FINAL[policy][seen]
    return 0


cdef inline int check_terminal(int state) except -1:
    return 0 if FIRST_TERMINAL <= state < STATES else _not_terminal(state)


cdef inline int _not_terminal(int state) except -1:
    raise ValueError(f"{state} is not the code of a terminal state")
