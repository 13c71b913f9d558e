"""One run of a graph, from the first task to the last result.

The engine owns what belongs to the run as a whole: the queue, the workers, the
timers, the tokens borrowed from others, and the cause that ends it. Whatever changes
something from outside a pump (a timer, a cancellation, a token that came free) ends
in `changed`, which wakes a worker if something may start, and notices the end.
"""

from __future__ import annotations

import functools
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import enable_ki_protection

from ._actions import Action
from ._attempts import STATE_CODE, Attempts, Doom
from ._backend import Pump, ReadyQueue
from ._borrowing import Borrowing
from ._columns import ClockMap, Columns, PastEnds, TaskResults
from ._dispatch import SliceClock, make_dispatch
from ._ends import Cause, End, raise_together
from ._errors import DeadlockError, GraphRunningError, shorten
from ._limits import UNBOUNDED, Gates, Limit
from ._outcome import Ending, Failure
from ._plan import EXPIRES, Plan
from ._results import GraphResult
from ._states import FIRST_TERMINAL, RUNNING, STATES, TaskState
from ._timekeeper import Timekeeper
from ._worker import work

if TYPE_CHECKING:
    from ._graph import TaskGraph


class PastRun:
    """What a graph keeps of a run that is over."""

    active = False

    def __init__(self, statistics: Mapping[str, Any]) -> None:
        self._statistics = statistics

    def statistics(self) -> dict[str, Any]:
        return {**self._statistics, "states": dict(self._statistics["states"])}


class Engine:
    """One run. Made outside of it; everything that can be refused has been.

    Args:
        graph: The graph; it counts as running from `claim` to the end of `execute`.
        actions: What does the work, by the plan's action numbers.
        gates: The caps and resource caps of this run.
        max_parallel: How many tasks may be in flight.
        run_id: The name of this run; None for a random one.
    """

    def __init__(
        self,
        graph: TaskGraph,
        plan: Plan,
        actions: list[Action],
        gates: Gates,
        max_parallel: Limit,
        run_id: str | None = None,
    ) -> None:
        self.graph, self.plan, self.gates = graph, plan, gates
        self.run_id = uuid.uuid4().hex if run_id is None else run_id
        self.active = False
        self.end: End | None = None
        self.fatal: list[BaseException] = []
        self.finished = trio.Event()
        self.result: GraphResult | None = None
        self._actions = actions
        self._limit = max_parallel if isinstance(max_parallel, int) else UNBOUNDED
        self._all_ended = trio.Event()
        self._pumps: list[Pump] = []
        self._idle = trio.lowlevel.ParkingLot()
        self._cancelled_outside = False
        self._waking = False  # a worker was woken or started and has not run since
        self._nursery: trio.Nursery | None = None

    # -- the life of a run ----------------------------------------------------------

    def claim(self) -> None:
        """The graph is running from now on. Raises GraphRunningError if it was already."""
        running = self.graph._run_state
        if running is not None and running.active:
            raise GraphRunningError(
                f"graph {shorten(self.graph.graph_id)} is running already; "
                "wait for its end, or describe it twice to run it twice at once"
            )
        self._set_up()
        self.active = True
        self.graph._run_state = self

    def _set_up(self) -> None:
        plan, gates = self.plan, self.gates
        self._started = trio.current_time()
        self._clock = ClockMap.starting_at(self._started)
        self.columns = Columns(len(plan))
        self.queue = ReadyQueue(
            plan.dependent_offsets,
            plan.dependents,
            plan.indegrees,
            plan.policies,
            self._limit,
            gates.lanes,
            gates.lane_gates,
            gates.capacities,
        )
        self.results = TaskResults(
            plan=plan, columns=self.columns, ends=self.queue, clock=self._clock
        )
        self._timers = Timekeeper(lambda timers: self._spawn(timers.run))
        self._borrowing = self._make_borrowing() if gates.limiters else None
        self._attempts = Attempts(
            graph_id=self.graph.graph_id,
            run_id=self.run_id,
            actions=self._actions,
            results=self.results,
            queue=self.queue,
            timers=self._timers,
            borrowing=self._borrowing,
            threads=trio.CapacityLimiter(self._limit),
            end_of_run=self._end_of_run,
            is_over=lambda: self.end is not None,
            wake=self.wake,
            outside=sys.exception(),
        )
        self._dispatch = make_dispatch(
            self._attempts, self.queue, plan, gates, self._actions, self.columns
        )

    def _make_borrowing(self) -> Borrowing:
        return Borrowing(
            self.plan,
            self.gates,
            self.queue,
            self.changed,
            lambda wait, gate: self._spawn(functools.partial(wait, gate)),
        )

    async def execute(self) -> GraphResult:
        """Run the claimed graph to its end, whatever that is.

        Raises what no action may swallow (KeyboardInterrupt, SystemExit and the like, bare
        when alone), and `Cancelled` from outside.
        """
        slices = SliceClock(self._dispatch)
        trio.lowlevel.add_instrument(slices)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await self._until_all_ended()
                nursery.cancel_scope.cancel()
        finally:
            trio.lowlevel.remove_instrument(slices)
            self._conclude()
        raise_together(self.fatal)
        if self._cancelled_outside:
            await trio.lowlevel.checkpoint_if_cancelled()
        assert self.result is not None
        return self.result

    async def _until_all_ended(self) -> None:
        try:
            await trio.lowlevel.checkpoint()  # also of a graph without tasks
            self._set_timers()
            if self.queue.unfinished and self.end is None:
                self._start_worker()
                await self._all_ended.wait()
        except trio.Cancelled:
            # From outside it is raised when nothing is left of the run.
            self.cancelled()
            self._cancelled_outside = self.end is None or self.end.cause is Cause.OUTSIDE
        except BaseException as error:
            self.interrupted(error)

    def _set_timers(self) -> None:
        timeout_ms = self.graph.graph_timeout_ms
        if timeout_ms is not None:
            reason = f"the graph timed out after {timeout_ms:g} ms"
            when = self._started + timeout_ms / 1000
            self._timers.at(when, lambda: self.cut_short(Cause.TIMED_OUT, reason))
        for rank, flags in enumerate(self.plan.flags):
            if flags & EXPIRES:
                deadline = self.plan.nodes[rank].deadline
                assert deadline is not None
                self._timers.at(self._clock.trio(deadline), functools.partial(self._expire, rank))
        self._timers.act_until(self._started)  # what is overdue must not start first

    def _expire(self, rank: int) -> None:
        self._attempts.expire(rank)
        self.changed()

    @enable_ki_protection
    def _conclude(self) -> None:
        """The nursery is closed, nothing runs: leave no task unfinished, and make the result."""
        for pump in self._pumps:
            if pump.task >= 0:  # an interrupt cut its worker short
                self._attempts.settle(pump, None, cancelled=True)
        if self._borrowing is not None:
            self._borrowing.release_all()
        if self.end is not None:
            self.queue.end_rest(STATE_CODE[self.end.fate.not_started])
        ended = trio.current_time()
        self.results.ended_at = ended
        self.results.ends = PastEnds(self.queue.states(), self.queue.parents())
        self.result = GraphResult(
            graph_id=self.graph.graph_id,
            run_id=self.run_id,
            total_tasks=len(self.plan),
            results=self.results,
            statistics=self.statistics(),
            elapsed_ms=(ended - self._started) * 1000,
            completed_at=self._clock.wall(ended).isoformat(),
            timed_out=self.end is not None and self.end.cause is Cause.TIMED_OUT,
            ok=self._all_well(),
        )
        self.active = False
        if self.graph._run_state is self:  # the graph must not keep all results alive
            self.graph._run_state = PastRun(self.statistics())
        self._nursery = None
        self._let_go()
        self.finished.set()

    def _let_go(self) -> None:
        """Break the cycles: a run that is over goes at once, not when the collector comes."""
        self._pumps.clear()
        del self._attempts, self._dispatch, self._timers, self._borrowing

    def _all_well(self) -> bool:
        counts = dict(zip(STATES, self.queue.counts(), strict=True))
        well = counts[TaskState.SUCCEEDED] + counts[TaskState.SKIPPED]
        return self.end is None and well == len(self.plan)

    # -- what ends it before its time ---------------------------------------------------

    @enable_ki_protection
    def cut_short(self, cause: Cause, reason: str) -> None:
        """End the run now: nothing starts any more, what is in flight is cancelled.

        The first cause wins. Does nothing once the last task has ended.
        """
        if self.end is not None or (self.queue.unfinished == 0 and cause is not Cause.INTERRUPTED):
            return
        self.end = End(cause, reason)
        self.results.end_reason = reason
        self._dispatch.ended = True
        self.queue.stop()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def cancelled(self) -> None:
        """Somebody of this run got `Cancelled`."""
        if self.queue.unfinished:
            self._end_of_run()

    def _end_of_run(self) -> End:
        """Why the run is cancelled. If nobody here did it, it was somebody outside."""
        if self.end is None:
            self.end = End(Cause.OUTSIDE, "the run was cancelled from outside")
            self.results.end_reason = self.end.reason
            self._dispatch.ended = True
            self.queue.stop()
        return self.end

    @enable_ki_protection
    def interrupted(self, error: BaseException) -> None:
        """Something that no action may swallow: end the run, and raise it from there."""
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]  # bare when it is alone
        self.fatal.append(error)
        self.cut_short(Cause.INTERRUPTED, f"the run was interrupted by {type(error).__name__}")

    def cancel_task(self, rank: int, reason: str) -> None:
        """Cancel one task; its dependents go by their policies."""
        if self.queue.unfinished == 0:
            return
        failure = Failure(reason)
        for pump in self._pumps:
            if pump.task == rank:
                self._attempts.doom(pump, Doom(Ending.CANCELLED, None, reason))
                return
        self._attempts.end_unstarted(rank, Ending.CANCELLED, failure)
        self.changed()

    # -- workers -------------------------------------------------------------------------

    def _spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._guarded, function)

    async def _guarded(self, function: Callable[[], Awaitable[None]]) -> None:
        """A defect of the engine ends the run bare, not in a group of the nursery's."""
        try:
            await function()
        except trio.Cancelled:
            raise
        except BaseException as error:
            self.interrupted(error)

    def _start_worker(self) -> None:
        self._waking = True
        self._spawn(self._work)

    async def _work(self) -> None:
        self._waking = False
        trio_task = trio.lowlevel.current_task()
        pump = Pump(self._dispatch, trio_task)
        self._pumps.append(pump)
        await work(self, pump, trio_task)

    def settle(self, pump: Pump, error: Exception | None, cancelled: bool) -> None:
        self._attempts.settle(pump, error, cancelled)

    async def rest(self) -> None:
        """Nothing may start now: park until something may."""
        if self._borrowing is not None:
            self._borrowing.release_spares()  # who could use them would not rest
        if self.queue.unfinished == 0:
            self._all_ended.set()
        elif self.queue.running == 0:
            self._refuse_to_hang()
        await self._idle.park()
        self._waking = False

    def _refuse_to_hang(self) -> None:
        awaited = len(self._timers) or (self._borrowing is not None and self._borrowing.waiting)
        if awaited or self._waking or self.end is not None or self.queue.startable():
            return
        unfinished = [
            self.plan.nodes[rank].task_id
            for rank in range(len(self.plan))
            if self.queue.state(rank) < FIRST_TERMINAL
        ]
        raise DeadlockError(
            f"graph {shorten(self.graph.graph_id)}: nothing runs, nothing can start, and "
            f"{len(unfinished)} tasks have not ended: {shorten(unfinished)}"
        )

    @enable_ki_protection
    def wake(self) -> None:
        """Wake one worker, or start one; it wakes the next if work is still ready."""
        if self._waking or self._nursery is None:
            return
        if self._idle:
            self._waking = True
            self._idle.unpark()
        elif len(self._pumps) < self._limit:
            self._start_worker()

    @enable_ki_protection
    def changed(self) -> None:
        """Something changed from outside a pump: see to it that it takes effect."""
        if self._borrowing is not None:
            self._borrowing.dismiss_idle_waiters()
        if self.queue.unfinished == 0:
            self._all_ended.set()
        elif self.queue.startable():
            self.wake()

    # -- figures ------------------------------------------------------------------------------

    def statistics(self) -> dict[str, Any]:
        """The figures of `TaskGraph.get_stats`, now."""
        counts = self.queue.counts()
        return {
            "total_tasks": len(self.plan),
            "running_tasks": counts[RUNNING],
            "states": {state.value: n for state, n in zip(STATES, counts, strict=True)},
            "retry_tokens_used": 0,
            "cached_tasks": 0,
            "breaker_states": {},
        }
