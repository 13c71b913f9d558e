"""One run of a graph, from the first task to the last result.

The engine owns what belongs to the run as a whole: its parts, the workers, and the
cause that ends it. Whatever changes something from outside a pump (a timer, a
cancellation, a token that came free, a breaker, the store) ends in `changed`, which
wakes a worker if something may start, and notices the end.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import enable_ki_protection

from ._actions import Action
from ._backend import Pump
from ._breakers import Breakers
from ._cache import ResponseCache
from ._chronicle import Chronicle
from ._columns import PastEnds
from ._crew import Crew
from ._dispatch import SliceClock
from ._durable import Durable
from ._endings import STATE_CODE
from ._ends import STORED_STATES, Cause, End, raise_together
from ._errors import GraphRunningError, StoreError, shorten
from ._explain import Explainer, deadlock_error
from ._holds import STORE
from ._identity import key_of
from ._instrument import Watched
from ._interruptible import Interruptible
from ._layout import Gates
from ._limits import UNBOUNDED, Limit
from ._node import TaskNode
from ._openness import Openness
from ._outcome import Failure
from ._parts import Parts
from ._plan import Plan
from ._results import GraphResult, TaskResult
from ._settings import Settings
from ._states import FIRST_TERMINAL, RUNNING, STATES, TaskState

if TYPE_CHECKING:
    from ._graph import TaskGraph


class PastRun:
    """What a graph keeps of a run that is over."""

    active = False

    def __init__(self, statistics: Mapping[str, Any]) -> None:
        self._statistics = statistics

    def statistics(self) -> dict[str, Any]:
        return {**self._statistics, "states": dict(self._statistics["states"])}


class Engine(Interruptible):
    """One run. Made outside of it; everything that can be refused has been.

    Args:
        graph: The graph; it counts as running from `begin` to the end of `execute`.
        actions: What does the work, by the plan's action numbers.
        gates: The caps and resource caps of this run.
        max_parallel: How many tasks may be in flight.
        settings: The options.
        breakers: Of a scheduler or an executor, or of this run alone.
        cache: Of an executor.
        chronicle: Where what happens rarely is written down.
        handle: Makes a live handle of the run.
        resolve: Finds what does the work of a task that is added.
        live: Has somebody a handle, so that the run is open for more while they keep it so?
    """

    def __init__(
        self,
        graph: TaskGraph,
        plan: Plan,
        actions: list[Action],
        gates: Gates,
        max_parallel: Limit,
        settings: Settings,
        breakers: Breakers,
        cache: ResponseCache | None,
        chronicle: Chronicle,
        handle: Callable[[Engine], Watched],
        resolve: Callable[[TaskNode], Action],
        live: bool,
    ) -> None:
        self.graph, self.plan = graph, plan
        self.run_id = uuid.uuid4().hex if settings.run_id is None else settings.run_id
        self.active = False
        self.end: End | None = None
        self.fatal: list[BaseException] = []
        self.finished = trio.Event()
        self.result: GraphResult | None = None
        self.actions, self.gates, self._settings = actions, gates, settings
        self.breakers, self._cache, self._chronicle = breakers, cache, chronicle
        self.max_parallel = max_parallel
        self._durable: Durable | None = None
        self.parts: Parts | None = None
        self.handle, self.resolve, self._live = handle(self), resolve, live
        self.openness = Openness(live, self.changed)
        self._all_ended = trio.Event()
        self.token = trio.lowlevel.current_trio_token()
        self._cancelled_outside = False

    # -- before it ------------------------------------------------------------------

    async def begin(self) -> None:
        """The graph is running from now on. A checkpoint only if there is a store.

        Raises:
            GraphRunningError: It was already, here or in another process.
            StoreError: The store cannot be read or written.
        """
        before = self.graph._run_state
        if before is not None and before.active:
            raise GraphRunningError(
                f"graph {shorten(self.graph.graph_id)} is running already; "
                "wait for its end, or describe it twice to run it twice at once"
            )
        self.active = True
        self.graph._run_state = self
        try:
            if self._settings.store is not None:
                self._durable = Durable(
                    self._settings.store, self._store_written, self.store_failed
                )
                await self._open_store(self._durable)
            self._set_up()
        except BaseException:
            self.active = False
            self.graph._run_state = before
            if self._durable is not None:
                self._durable.let_go()
            raise

    async def _open_store(self, durable: Durable) -> None:
        journal = await durable.open(self.graph.graph_id, self._settings.run_id, len(self.plan))
        self.run_id = journal.run_id

    def _set_up(self) -> None:
        limit = self.max_parallel if isinstance(self.max_parallel, int) else UNBOUNDED
        parts = Parts(
            self,
            self.graph,
            self.run_id,
            self.plan,
            self.actions,
            self.gates,
            limit,
            self._settings,
            self.breakers,
            self._cache,
            self._durable,
            self._chronicle,
            self._live,
        )
        self.crew = Crew(self, parts.queue, parts.lanes, limit)
        self.queue, self.columns, self.results = parts.queue, parts.columns, parts.results
        self.parts = parts  # last: another thread may ask for figures at any time

    # -- the life of a run ----------------------------------------------------------

    async def execute(self) -> GraphResult:
        """Run the graph, after `begin`, to its end, whatever that is.

        Raises what no action may swallow (KeyboardInterrupt, SystemExit and the like, bare
        when alone), `StoreError`, and `Cancelled` from outside.
        """
        parts = self.parts
        assert parts is not None
        reporter = parts.reporter
        slices = SliceClock(parts.dispatch) if reporter is None else reporter.slices(parts.dispatch)
        trio.lowlevel.add_instrument(slices)
        try:
            async with trio.open_nursery() as nursery:
                self.crew.begin(nursery, parts.dispatch)
                await self._until_all_ended(parts)
                self.crew.cancel()
        finally:
            trio.lowlevel.remove_instrument(slices)
            self.crew.end()
            self._end_all(parts)
            try:
                await self._write_rest(parts)
            finally:
                self._conclude(parts)
        for error in self.fatal:
            if isinstance(error, StoreError):
                error.result = self.result
        raise_together(self.fatal)
        if self._cancelled_outside:
            await trio.lowlevel.checkpoint_if_cancelled()
        assert self.result is not None
        return self.result

    async def _until_all_ended(self, parts: Parts) -> None:
        try:
            if parts.reporter is not None:
                parts.reporter.begin(self.handle)
            await trio.lowlevel.checkpoint()  # also of a graph without tasks
            parts.admission.serve_past()
            self._set_timers(parts)
            parts.guards.attach(parts.dispatch)
            if parts.crash_loops is not None:
                parts.crash_loops.give_up(range(len(self.plan)))
            if parts.watch is not None:
                parts.watch.begin()
            await self._look_up_shared(parts)
            if self.end is None and not self._is_done():
                self.crew.start_worker()
                await self._all_ended.wait()
        except trio.Cancelled:
            # From outside it is raised when nothing is left of the run.
            self.cancelled()
            self._cancelled_outside = self.end is None or self.end.cause is Cause.OUTSIDE
        except BaseException as error:
            self.interrupted(error)
        finally:
            self._all_ended.set()  # no task is taken in any more

    def _set_timers(self, parts: Parts) -> None:
        timeout_ms = self.graph.graph_timeout_ms
        if timeout_ms is not None:
            reason = f"the graph timed out after {timeout_ms:g} ms"
            when = parts.started + timeout_ms / 1000
            parts.timers.at(when, lambda: self.cut_short(Cause.TIMED_OUT, reason))
        for rank in self.plan.expiring():
            deadline = self.plan.nodes[rank].deadline
            assert deadline is not None
            parts.timers.at(parts.clock.trio(deadline), functools.partial(self.expire, rank))
        parts.timers.act_until(parts.started)  # what is overdue must not start first

    def expire(self, rank: int) -> None:
        """The deadline of a task that fails at it has come."""
        assert self.parts is not None
        self.parts.attempts.expire(rank)
        self.changed()

    def _end_all(self, parts: Parts) -> None:
        """The nursery is closed, nothing runs: give back what the attempts had."""
        if parts.lanes is not None:
            parts.lanes.collect()
        parts.attempts.abandon()
        for pump in self.crew.pumps:
            if pump.task >= 0:  # an interrupt cut its worker short
                parts.attempts.settle(pump, None, cancelled=True)
        if parts.borrowing is not None:
            parts.borrowing.release_all()
        if parts.watch is not None:
            parts.watch.end()
        parts.guards.detach()

    async def _write_rest(self, parts: Parts) -> None:
        """Have everything on disk; what waited for that has succeeded then."""
        if self._durable is None:
            self._end_rest()
            return
        assert parts.recorder is not None
        try:
            await self._durable.flush()
            parts.recorder.all_written()
            self._end_rest()
            parts.results.ended_at = trio.current_time()
            parts.recorder.record_rest()
            state = "finished" if self.end is None else STORED_STATES[self.end.cause]
            await self._durable.close(state, self.statistics())
        except StoreError as error:
            self._durable.let_go()
            self.store_failed(error)
            self._end_rest()
        except BaseException as error:  # a second Ctrl-C, say: the next run must not find it locked
            self._durable.let_go()
            self.interrupted(error)
            self._end_rest()

    def _end_rest(self) -> None:
        """No state stays RUNNING, or waits to start."""
        if self.end is None:
            return
        fate = self.end.fate
        self.queue.end_rest(STATE_CODE[fate.not_started])
        for rank, state in enumerate(self.queue.states()):
            if state == RUNNING:  # its success did not get to the disk
                self.columns.failures[rank] = Failure(self.end.reason)
                self.columns.responses[rank] = None
                self.queue.complete(rank, STATE_CODE[fate.in_flight or fate.not_started])

    @enable_ki_protection
    def _conclude(self, parts: Parts) -> None:
        """Make the result, and let go of everything else."""
        ended = trio.current_time()
        parts.sharing.warn_of_collapse()
        self.results.ended_at = ended
        if parts.reporter is not None:
            parts.reporter.tell_rest()
        self.results.ends = PastEnds(self.queue.states(), self.queue.parents())
        statistics = self.statistics()
        self.result = GraphResult(
            graph_id=self.graph.graph_id,
            run_id=self.run_id,
            total_tasks=len(self.plan),
            results=self.results,
            statistics=statistics,
            elapsed_ms=(ended - parts.started) * 1000,
            completed_at=parts.clock.wall(ended).isoformat(),
            timed_out=self.end is not None and self.end.cause is Cause.TIMED_OUT,
            aborted_reason=self._aborted_reason(),
            ok=self._all_well(),
        )
        self.active = False
        if self.graph._run_state is self:  # the graph must not keep all results alive
            self.graph._run_state = PastRun(statistics)
        if parts.reporter is not None:
            parts.reporter.end(self.result)
        self._let_go()
        self.finished.set()

    def _aborted_reason(self) -> str | None:
        if self.end is None or self.end.cause is not Cause.ABORTED:
            return None
        return self.end.reason

    def _let_go(self) -> None:
        """Break the cycles: a run that is over goes at once, not when the collector comes."""
        self.crew.disband()
        self.openness.let_go()
        if self.parts is not None:
            self.parts.dissolve()
        self.parts = self._durable = None
        del self.handle, self.resolve

    def _is_done(self) -> bool:
        """Has every task ended, and will none be added?"""
        return self.queue.unfinished == 0 and (self.end is not None or not self.openness)

    def _all_well(self) -> bool:
        counts = dict(zip(STATES, self.queue.counts(), strict=True))
        well = counts[TaskState.SUCCEEDED] + counts[TaskState.SKIPPED]
        return self.end is None and well == len(self.plan)

    # -- the store -------------------------------------------------------------------------

    def _store_written(self, number: int) -> None:
        if self.parts is not None and self.parts.recorder is not None:
            self.parts.recorder.written(number)
            self.changed()

    def note_abort(self, reason: str) -> None:
        graph_id = self.graph.graph_id
        self._chronicle.note("run_abort", graph_id=graph_id, run_id=self.run_id, reason=reason)

    def hold_back(self, wanted: bool) -> None:
        """Nothing may start for now, or it may again."""
        if self.parts is None:
            return
        if wanted:
            self.parts.pauses.pause(STORE)
        else:
            self.parts.pauses.resume(STORE)
            self.changed()

    async def _look_up_shared(self, parts: Parts) -> None:
        """Ask the store for the work of all tasks whose keys are known, at once."""
        if parts.lookups is not None:
            shares = parts.sharing.shares
            nodes = [node for rank, node in enumerate(self.plan.nodes) if shares(rank)]
            await parts.lookups.look_up_all(filter(None, map(key_of, nodes)))

    def takes_tasks(self) -> bool:
        """May tasks be added still?"""
        return self.parts is not None and self.end is None and not self._all_ended.is_set()

    # -- the crew ------------------------------------------------------------------------

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Start a Trio task of the run."""
        self.crew.spawn(function)

    def wake(self) -> None:
        """Wake one worker, or start one."""
        self.crew.wake()

    def settle(self, pump: Pump, error: Exception | None, cancelled: bool) -> None:
        assert self.parts is not None
        self.parts.attempts.settle(pump, error, cancelled)

    def resting(self) -> None:
        """A worker is about to park: see whether that is right."""
        assert self.parts is not None
        if self.parts.borrowing is not None:
            self.parts.borrowing.release_spares()  # who could use them would not rest
        if self._is_done():
            self._all_ended.set()
        elif self.queue.running == 0 and self.queue.unfinished:
            self._refuse_to_hang(self.parts)

    def _refuse_to_hang(self, parts: Parts) -> None:
        left = self.queue.unfinished
        if (
            parts.awaited
            or self.crew.about_to_look
            or self.end is not None
            or self.queue.startable()
        ):
            return
        if self.queue.running or self.queue.unfinished != left:
            return  # a thread lane has taken a task meanwhile
        explainer = Explainer(self.plan, self.gates, parts, self.crew, UNBOUNDED, self.end)
        raise deadlock_error(explainer, self.graph.graph_id, self.queue.states())

    @enable_ki_protection
    def changed(self) -> None:
        """Something changed from outside a pump: see to it that it takes effect."""
        if self.parts is not None and self.parts.borrowing is not None:
            self.parts.borrowing.dismiss_idle_waiters()
        if self._is_done():
            self._all_ended.set()
        elif self.queue.startable():
            self.wake()

    # -- figures ------------------------------------------------------------------------------

    def result_at(self, rank: int) -> TaskResult | None:
        """The result of a task, if it has ended."""
        ended = self.results.ends.state(rank) >= FIRST_TERMINAL
        return self.results.at(rank) if ended else None

    def statistics(self) -> dict[str, Any]:
        """The figures of `TaskGraph.get_stats`, now. May be called in any thread."""
        parts = self.parts
        try:
            if self.result is None:
                return self._figures(parts)
        except AttributeError:  # the run has ended meanwhile, and let go of its parts
            if self.result is None:
                raise
        return {**self.result.statistics}

    def _figures(self, parts: Parts | None) -> dict[str, Any]:
        if parts is None:  # it is being set up
            return self.graph._pending_statistics()
        counts = self.queue.counts()
        return {
            "total_tasks": len(self.plan),
            "running_tasks": counts[RUNNING],
            "states": {state.value: n for state, n in zip(STATES, counts, strict=True)},
            "retry_tokens_used": parts.retries.used,
            "cached_tasks": parts.sharing.served,
            "breaker_states": parts.guards.statistics(parts.clock),
        }
