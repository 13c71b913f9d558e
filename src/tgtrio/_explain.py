"""Finds every cause that keeps a task from running, and the chain to the root of how one ended."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator

import trio

from . import _explanation as why
from ._breaker_policy import BreakerState
from ._chain import tell_chain, tell_end, tell_seconds
from ._columns import TaskResults
from ._crew import Crew
from ._ends import End
from ._errors import DeadlockError, shorten
from ._explanation import Explanation, TaskCause
from ._holds import BREAKER, COOLING, STORE, USER
from ._layout import Gates
from ._parts import Parts
from ._plan import Plan
from ._states import FIRST_TERMINAL, PENDING, READY, RUNNING, STATES

NAMED = 10  # tasks that a cause names at most


class Explainer:
    """Explains the tasks of one run. It reads, and changes nothing.

    Args:
        plan, gates, parts, crew: Of the run.
        limit: How many tasks may be in flight.
        end: Why nothing may start any more, if that is so.
    """

    def __init__(
        self,
        plan: Plan,
        gates: Gates,
        parts: Parts,
        crew: Crew,
        limit: int,
        end: End | None,
    ) -> None:
        self._plan, self._gates, self._parts, self._crew = plan, gates, parts, crew
        self._limit, self._end = limit, end

    def explain(self, rank: int) -> Explanation:
        """Why this task does not run, or why it ended as it did."""
        state = self._parts.queue.state(rank)
        if state >= FIRST_TERMINAL:
            return explain_ended(self._parts.results, rank)
        return Explanation(
            task_id=self._plan.nodes[rank].task_id,
            state=STATES[state],
            causes=tuple(self._obstacles(rank, state)),
        )

    # -- of a task that has not ended ----------------------------------------------------

    def _obstacles(self, rank: int, state: int) -> Iterator[TaskCause]:
        if state == RUNNING:
            yield self._in_flight(rank)
            return
        if state == PENDING:
            yield from self._dependencies(rank)
        found = list(self._of_run())
        if state == READY:
            found += self._held(rank)
            found += self._behind_gates(rank)
            found += self._without_slot()
        yield from found
        if state == READY and not found:
            yield TaskCause(kind=why.TURN, text="nothing holds it: it is its turn, or about to be")

    def _in_flight(self, rank: int) -> TaskCause:
        columns, recorder = self._parts.columns, self._parts.recorder
        if recorder is not None and recorder.awaits(rank):
            return TaskCause(
                kind=why.STORE, text="it has succeeded, and waits until that is on disk"
            )
        if self._parts.attempts.not_begun(rank):
            return TaskCause(kind=why.STORE, text="its start must be on disk before it is called")
        attempt = columns.attempts[rank]
        seconds = trio.current_time() - columns.started[rank]
        return TaskCause(kind=why.IN_FLIGHT, text=f"attempt {attempt}, for {tell_seconds(seconds)}")

    def _dependencies(self, rank: int) -> Iterator[TaskCause]:
        for dependency in self._plan.dependencies_of(rank):
            state = self._parts.queue.state(dependency)
            if state < FIRST_TERMINAL:
                name = self._plan.nodes[dependency].task_id
                yield TaskCause(
                    kind=why.DEPENDENCY,
                    text=f"dependency {name!r} is {STATES[state].value}",
                    subject=name,
                    tasks=(name,),
                )

    def _of_run(self) -> Iterator[TaskCause]:
        if self._end is not None:
            yield TaskCause(kind=why.ENDING, text=f"the run is being ended: {self._end.reason}")
        if USER in self._parts.pauses.who:
            yield TaskCause(kind=why.PAUSED, text="the run is paused, until `resume`")
        if STORE in self._parts.pauses.who:
            yield TaskCause(kind=why.STORE, text="nothing starts while the store catches up")

    def _held(self, rank: int) -> Iterator[TaskCause]:
        parts = self._parts
        if not parts.queue.is_held(rank):
            return
        if (when := parts.endings.backs_off_until(rank)) is not None:
            failed = parts.columns.setbacks.get(rank)
            yield TaskCause(
                kind=why.BACK_OFF,
                text=f"attempt {parts.columns.attempts[rank]} failed"
                f"{f' ({failed.error})' if failed else ''}; the next begins {self._in(when)}",
                until=parts.clock.wall(when),
            )
        elif parts.recorder is not None and parts.recorder.awaits(rank):
            yield TaskCause(kind=why.STORE, text="it was served, and waits until that is on disk")
        elif (leader := parts.sharing.leader_of(rank)) >= 0:
            name = self._plan.nodes[leader].task_id
            state = STATES[parts.queue.state(leader)].value
            yield TaskCause(
                kind=why.LEADER,
                text=f"it is equal work to {name!r}, which is {state}, and is served its response",
                subject=name,
                tasks=(name,),
            )
        else:
            yield TaskCause(kind=why.STORE, text="the store is asked for equal work of other runs")

    def _without_slot(self) -> Iterator[TaskCause]:
        running, limit = self._parts.queue.running, self._limit
        if running >= limit:
            tasks = self._tasks(self._running())
            yield TaskCause(
                kind=why.MAX_PARALLEL,
                text=f"{running} of max_parallel={limit} in flight: {_names(tasks, running)}",
                tasks=tasks,
                taken=running,
                limit=limit,
            )

    # -- gates -----------------------------------------------------------------------------

    def _behind_gates(self, rank: int) -> Iterator[TaskCause]:
        queue, action = self._parts.queue, self._plan.action[rank]
        for gate in queue.blocking_gates(rank):
            if gate in self._gates.limiters:
                yield self._limiter(gate)
                continue
            ((what, name),) = self._gates.owners[gate]
            if what == "action" and (held := list(self._held_action(action))):
                yield from held
            if queue.taken(gate) >= self._gates.capacities[gate]:
                yield self._cap(gate, what, name)

    def _held_action(self, action: int) -> Iterator[TaskCause]:
        parts, name = self._parts, self._plan.actions[action]
        causes = parts.holds.causes(action)
        if BREAKER in causes:
            yield self._breaker(action)
        if COOLING in causes and (when := parts.endings.cools_until(action)) is not None:
            yield TaskCause(
                kind=why.COOLING,
                text=f"action {name!r} asked for peace (RetryLater), which ends {self._in(when)}",
                subject=name,
                until=parts.clock.wall(when),
            )

    def _breaker(self, action: int) -> TaskCause:
        breaker, name = self._parts.guards.breaker(action), self._plan.actions[action]
        assert breaker is not None
        text = f"the circuit breaker of action {name!r} is {breaker.state.value}"
        text += f" ({breaker.reason})" if breaker.reason else ""
        when = breaker.next_change
        if breaker.isolated:
            text += "; it stays so until `close_breaker`"
        elif breaker.state is BreakerState.HALF_OPEN:
            text += "; a probe is under way"
        elif when is not None:
            text += f"; it half-opens {self._in(when)}"
        until = None if when is None else self._parts.clock.wall(when)
        return TaskCause(kind=why.BREAKER, text=text, subject=name, until=until)

    def _cap(self, gate: int, what: str, name: str) -> TaskCause:
        taken, limit = self._parts.queue.taken(gate), self._gates.capacities[gate]
        tasks = self._tasks(self._running(gate))
        return TaskCause(
            kind=why.CAP if what == "action" else why.RESOURCE,
            text=f"{what} {name!r} is at its cap, {taken} of {limit} in flight: "
            f"{_names(tasks, taken)}",
            subject=name,
            tasks=tasks,
            taken=taken,
            limit=limit,
        )

    def _limiter(self, gate: int) -> TaskCause:
        limiter = self._gates.limiters[gate]
        owners = [
            f"{what} {name!r}" if name else "max_parallel"
            for what, name in self._gates.owners[gate]
        ]
        borrowed, total = limiter.borrowed_tokens, limiter.total_tokens
        return TaskCause(
            kind=why.LIMITER,
            text=f"the limiter shared for {', '.join(owners)} has no token free, "
            f"{borrowed} of {total} borrowed",
            subject=self._gates.owners[gate][0][1],
            taken=borrowed,
            limit=None if total == float("inf") else int(total),
        )

    def _running(self, gate: int = -1) -> Iterator[int]:
        """The tasks in flight, behind one gate or all; those that have given up their slots not."""
        queue, lane_gates = self._parts.queue, self._gates.lane_gates
        for task in self._with_workers():
            if gate < 0 or gate in lane_gates[queue.lane(task)]:
                yield task

    def _with_workers(self) -> Iterator[int]:
        queue, lanes = self._parts.queue, self._parts.lanes
        tasks = [pump.task for pump in self._crew.pumps if pump.task >= 0]
        tasks += lanes.in_flight() if lanes is not None else []
        return (task for task in tasks if queue.state(task) == RUNNING)

    def _tasks(self, ranks: Iterator[int]) -> tuple[str, ...]:
        first = sorted(ranks)[:NAMED]
        return tuple(self._plan.nodes[rank].task_id for rank in first)

    def _in(self, when: float) -> str:
        return f"in {tell_seconds(max(when - trio.current_time(), 0))}"

    # -- of all ------------------------------------------------------------------------------

    def running(self, limit: int) -> list[tuple[str, int, float]]:
        """The tasks in flight for longest: their ids, attempts and seconds. O(tasks in flight)."""
        columns, attempts, now = self._parts.columns, self._parts.attempts, trio.current_time()
        begun = (task for task in self._with_workers() if not attempts.not_begun(task))
        return [
            (self._plan.nodes[task].task_id, columns.attempts[task] - 1, now - since)
            for since, task in heapq.nsmallest(
                limit, ((columns.started[task], task) for task in begun)
            )
        ]

    def holds(self) -> dict[tuple[str, str], int]:
        """How many READY tasks do not start, by kind of cause and its subject; each counts once."""
        parts, rest = self._parts, 0
        found: Counter[tuple[str, str]] = Counter()
        lanes = parts.queue.ready_in_lanes()
        for lane, ready in enumerate(lanes):
            cause = self._first_shut(lane) if ready else None
            if cause is None:
                rest += ready
            else:
                found[cause] += ready
        found[self._whole_run()] += rest
        held = parts.queue.counts()[READY] - sum(lanes)
        backing_off, following = parts.endings.backing_off, parts.sharing.following
        found[(why.BACK_OFF, "")] = backing_off
        found[(why.LEADER, "")] = following
        found[(why.STORE, "")] += held - backing_off - following
        return dict(+found)

    def _whole_run(self) -> tuple[str, str]:
        """What holds a task that nothing else does."""
        if self._end is not None:
            return (why.ENDING, "")
        if self._parts.pauses.who:
            return (why.PAUSED if USER in self._parts.pauses.who else why.STORE, "")
        full = self._parts.queue.running >= self._limit
        return (why.MAX_PARALLEL if full else why.TURN, "")

    def _first_shut(self, lane: int) -> tuple[str, str] | None:
        queue = self._parts.queue
        for gate in self._gates.lane_gates[lane]:
            what, name = self._gates.owners[gate][0]
            if gate in self._gates.limiters:
                if self._parts.borrowing is not None and self._parts.borrowing.waits_at(gate):
                    return (why.LIMITER, name)
                continue
            if what == "action" and (causes := self._parts.holds.causes(self._number(name))):
                return (why.BREAKER if BREAKER in causes else why.COOLING, name)
            if queue.taken(gate) >= self._gates.capacities[gate]:
                return (why.CAP if what == "action" else why.RESOURCE, name)
        return None

    def _number(self, action: str) -> int:
        return self._plan.actions.index(action)


def deadlock_error(explainer: Explainer, graph_id: str, states: bytes) -> DeadlockError:
    """Nothing runs and nothing ever will: tell why each task waits, of the first ones.

    Args:
        states: Of all tasks, by rank.
    """
    left = [rank for rank, state in enumerate(states) if state < FIRST_TERMINAL]
    told = [str(explainer.explain(rank)) for rank in left[:NAMED]]
    if len(left) > NAMED:
        told.append(f"and {len(left) - NAMED:,} more")
    return DeadlockError(
        f"graph {shorten(graph_id)}: nothing runs, nothing can start, and {len(left):,} tasks "
        "have not ended; this is a defect of tgtrio:\n" + "\n".join(told)
    )


# -- of a task that has ended ---------------------------------------------------------------


def explain_ended(results: TaskResults, rank: int) -> Explanation:
    """Why a task ended as it did."""
    return Explanation(
        task_id=results.plan.nodes[rank].task_id,
        state=STATES[results.ends.state(rank)],
        causes=tuple(_story(results, rank)),
    )


def _story(results: TaskResults, rank: int) -> Iterator[TaskCause]:
    """How a task ended, then the one that it blames, and so on to the root. O(length)."""
    chain = [rank]
    while (blamed := results.blamed(chain[-1])) >= 0:
        chain.append(blamed)
    return tell_chain(chain, lambda one: _how(results, one))


def _how(results: TaskResults, rank: int) -> TaskCause:
    result, blamed = results.at(rank), results.blamed(rank)
    name = None if blamed < 0 else results.plan.nodes[blamed].task_id
    return tell_end(result, result.state, name, same_work=rank in results.columns.leaders)


def _names(tasks: tuple[str, ...], count: int) -> str:
    more = f" and {count - len(tasks):,} more" if count > len(tasks) else ""
    return ", ".join(map(repr, tasks)) + more
