"""Task states, dependency policies, and the tables that decide between them.

The queue works on the small integers defined here. A state's code is its place
in `TaskState`, a policy's its place in `DependencyPolicy`.

What a dependent learns of a dependency that ended is its *standing*: it
succeeded, it failed (FAILED, ABORTED and CANCELLED alike) or it was skipped.
Two tables then decide, and nothing else does:

* `EARLY[policy][standing]`: does this one dependency settle the matter at once?
* `FINAL[policy][seen]`: when all dependencies have ended, what follows from the
  set of standings seen (a bit mask of `1 << standing`)?
"""

from __future__ import annotations

import enum


class TaskState(enum.Enum):
    """Where a task is in its life. The last five are terminal and never change."""

    PENDING = "pending"  # waits for dependencies
    READY = "ready"  # may start; a cap or another hold may still keep it
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return STATES.index(self) >= FIRST_TERMINAL


class DependencyPolicy(enum.Enum):
    """What a task does once its dependencies have ended, or one of them has."""

    ABORT = "abort"
    SKIP = "skip"
    CONTINUE_IF_ANY = "continue_if_any"
    ALWAYS = "always"
    ON_FAILURE = "on_failure"


STATES = tuple(TaskState)
PENDING, READY, RUNNING, SUCCEEDED, FAILED, ABORTED, SKIPPED, CANCELLED = range(len(STATES))
FIRST_TERMINAL = SUCCEEDED

POLICIES = tuple(DependencyPolicy)
ABORT, SKIP, CONTINUE_IF_ANY, ALWAYS, ON_FAILURE = range(len(POLICIES))

# Standings, and the standing that each terminal state gives.
GOOD, BAD, PASSED_OVER = range(3)
STANDING = {SUCCEEDED: GOOD, FAILED: BAD, ABORTED: BAD, CANCELLED: BAD, SKIPPED: PASSED_OVER}

# EARLY[policy] = (after a success, after a failure, after a skip); PENDING = go on waiting.
EARLY: tuple[tuple[int, int, int], ...] = (
    (PENDING, ABORTED, PENDING),  # ABORT
    (PENDING, SKIPPED, SKIPPED),  # SKIP
    (PENDING, PENDING, PENDING),  # CONTINUE_IF_ANY
    (PENDING, PENDING, PENDING),  # ALWAYS
    (PENDING, PENDING, PENDING),  # ON_FAILURE
)

# FINAL[policy][seen]; seen = 1 if one succeeded, + 2 if one failed, + 4 if one was skipped.
# Column 0 is a task without dependencies.
_R, _A, _S = READY, ABORTED, SKIPPED
FINAL: tuple[tuple[int, ...], ...] = (
    # none  s   f   sf  k   sk  fk  sfk
    (_R, _R, _A, _A, _S, _S, _A, _A),  # ABORT
    (_R, _R, _S, _S, _S, _S, _S, _S),  # SKIP
    (_R, _R, _A, _R, _S, _R, _A, _R),  # CONTINUE_IF_ANY
    (_R, _R, _R, _R, _R, _R, _R, _R),  # ALWAYS
    (_S, _S, _R, _R, _S, _S, _R, _R),  # ON_FAILURE
)


def effective_policy(policy: int, dependencies: int) -> int:
    """The policy that the queue applies.

    CONTINUE_IF_ANY with exactly one dependency is the fallback pattern: it runs
    once that dependency finished, whatever its outcome, which is ALWAYS.
    """
    return ALWAYS if policy == CONTINUE_IF_ANY and dependencies == 1 else policy
