"""The parts of one run, put together.

They are made in the order in which they need each other. Where two need each other, the
first one gets a callable that looks the second up.
"""

from __future__ import annotations

import contextvars
import functools
import random
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import trio

from ._actions import Action
from ._admission import Admission
from ._attempts import Attempts
from ._backend import PREPARED, REPORTED, THREADED, ReadyQueue
from ._borrowing import Borrowing
from ._breaker import CircuitBreaker
from ._breakers import Breakers
from ._cache import CacheOfExecutor, CacheOfPast, ResponseCache
from ._chronicle import Chronicle
from ._columns import ClockMap, Columns, TaskResults
from ._crashes import CrashLoops
from ._dispatch import flags_of, kinds_of, make_dispatch
from ._durable import Durable
from ._endings import Endings
from ._ends import End
from ._graph import TaskGraph
from ._guards import Guards
from ._holds import ActionBits, ActionHolds, Pauses
from ._identity import record_key
from ._instrument import HookIndex, RunInfo
from ._lanes import Lanes
from ._layout import Gates
from ._limits import UNBOUNDED, Limit
from ._lookups import CacheOfStore
from ._plan import Plan
from ._recorder import Recorder
from ._reporter import Reporter
from ._retries import Retries
from ._settings import Settings
from ._sharing import Cache, Sharing
from ._store_journal import Journal
from ._timekeeper import Timekeeper
from ._watch import Watch


class Run(Protocol):
    """The run, as its parts see it."""

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Start a Trio task of the run."""

    def wake(self) -> None:
        """Wake a worker, or start one."""

    def resting(self) -> None:
        """Nobody may start now: see whether that is right."""

    def interrupted(self, error: BaseException) -> None:
        """Something that no action may swallow: end the run, and raise it from there."""

    def changed(self) -> None:
        """Something changed from outside a pump: see to it that it takes effect."""

    def end_of_run(self) -> End:
        """Why the run is cancelled."""

    def is_over(self) -> bool:
        """Was the run cut short, so that what is in flight is cancelled?"""

    def goes_on(self) -> bool:
        """May anything still start?"""

    def abort(self, reason: str) -> None:
        """A safety rule ends the run."""

    def hold_back(self, wanted: bool) -> None:
        """Nothing may start for now, or it may again."""


class Parts:
    """The parts of one run.

    Args:
        run: The run.
        graph, run_id: What it is a run of, and its name.
        plan, actions, gates, limit: What is run, by what, and within which limits.
        settings: The options.
        breakers: Of the scheduler, the executor, or this run alone.
        cache: Of the executor; None if the run does not use it.
        durable: The store, and the run taken up in it; None if there is none.
        chronicle: Where what happens rarely is written down.
        live: Has somebody the handle of the run?
    """

    def __init__(
        self,
        run: Run,
        graph: TaskGraph,
        run_id: str,
        plan: Plan,
        actions: list[Action],
        gates: Gates,
        limit: int,
        settings: Settings,
        breakers: Breakers,
        cache: ResponseCache | None,
        durable: Durable | None,
        chronicle: Chronicle,
        live: bool,
    ) -> None:
        self._run, self._plan, self._actions, self._settings = run, plan, actions, settings
        self._context = contextvars.copy_context()
        self.started = trio.current_time()
        self.clock = ClockMap.starting_at(self.started)
        self.columns = Columns(len(plan))
        self.queue = _make_queue(plan, gates, limit)
        self.results = TaskResults(
            plan=plan, columns=self.columns, ends=self.queue, clock=self.clock
        )
        watched = live or settings.instruments
        self.reporter = self._make_reporter(graph, run_id, limit) if watched else None
        self.timers = Timekeeper(lambda timers: run.spawn(timers.run))
        self.borrowing = self._make_borrowing(gates) if gates.limiters or live else None
        self.flags = flags_of(plan, gates)
        self.bits = ActionBits(kinds_of(actions))
        self.holds = ActionHolds(self.queue, gates.of_action)
        self.pauses = Pauses(self.queue)
        note = functools.partial(
            chronicle.note,
            "retry_budget",
            graph_id=graph.graph_id,
            run_id=run_id,
            budget=graph.max_retry_tokens,
        )
        self.retries = Retries(
            plan,
            actions,
            settings.retry,
            graph.max_retry_tokens,
            random.Random(settings.seed),
            note,
        )
        self.watch = self._make_watch()
        journal = None if durable is None else durable.journal
        self.recorder = None if journal is None else self._make_recorder(journal)
        self.guards = self._make_guards(breakers)
        self._opted_out = [
            not (settings.idempotent and action.policies.idempotent) for action in actions
        ]
        self.lookups = self._make_lookups(durable)
        self.results.opted_out = self._opted_out
        self._caches = self._make_caches(cache, journal)
        self.sharing = self._make_sharing()
        self.endings = self._make_endings()
        self.crash_loops = None if journal is None else self._make_crash_loops(journal)
        self.admission = self._make_admission(self._mark_keyed(self.flags, journal))
        self.attempts = self._make_attempts(graph.graph_id, run_id, limit)
        self.dispatch = make_dispatch(
            self.attempts, self.queue, plan, actions, self.columns, self.bits.kinds, self.flags
        )
        self.lanes: Lanes | None = None
        self._make_lanes()

    @property
    def awaited(self) -> bool:
        """Will something happen, or may it, although nothing is in flight and nothing can start?"""
        return bool(
            len(self.timers)
            or (self.borrowing is not None and self.borrowing.waiting)
            or (self.recorder is not None and self.recorder.waiting)
            or self.guards.isolated
            or self.pauses.who
            or (self.lookups is not None and self.lookups.waiting)
        )

    def add_action(self, number: int, action: Action, breaker: CircuitBreaker | None) -> None:
        """One more action, the next by number."""
        self._opted_out.append(not (self._settings.idempotent and action.policies.idempotent))
        self.bits.add(kinds_of([action])[0])
        self.retries.add(action)
        self.guards.add(number, breaker)
        self._make_lanes()

    def add_task(self, flags: int) -> bool:
        """One more task. True: arrays that others work on have moved.

        Args:
            flags: Its own.
        """
        rank = len(self._plan) - 1
        moved = self.columns.add()
        if rank >= len(self.flags):
            room = len(self.columns.attempts) - len(self.flags)
            self.flags = self.attempts.flags = self.flags + bytes(room)
            moved = True
        self.flags[rank] = flags
        if self.recorder is not None:
            self.recorder.add()
        return moved

    def _make_lanes(self) -> None:
        """Have thread lanes, if an action needs them."""
        if self.lanes is None and any(kind & THREADED for kind in self.bits.kinds):
            self.lanes = self._context.run(
                Lanes, self._run, self.dispatch, self.attempts, self._limit()
            )

    def dissolve(self) -> None:
        """Let go of all parts, which know each other."""
        vars(self).clear()

    def _make_reporter(self, graph: TaskGraph, run_id: str, limit: int) -> Reporter:
        settings = self._settings
        info = RunInfo(
            graph_id=graph.graph_id,
            run_id=run_id,
            total_tasks=len(self._plan),
            started=self.started,
            graph=graph,
            max_parallel=None if limit == UNBOUNDED else limit,
            per_action_caps=_plain(settings.per_action_caps),
            resource_caps=_plain(settings.resource_caps),
            clock=self.clock,
        )
        hooks = HookIndex(self._settings.instruments)
        return Reporter(self._run, hooks, info, self.queue, self.results)

    def _make_borrowing(self, gates: Gates) -> Borrowing:
        return Borrowing(
            self._plan,
            gates,
            self.queue,
            self._run.changed,
            lambda wait, gate: self._run.spawn(functools.partial(wait, gate)),
        )

    def _make_watch(self) -> Watch | None:
        monitor = self._settings.abort_monitor
        if monitor is None:
            return None
        self.bits.set_all("monitor", PREPARED | REPORTED)
        return Watch(monitor, self._run.abort, self.timers)

    def _make_recorder(self, journal: Journal) -> Recorder:
        assert self._settings.store is not None
        self.bits.set_all("store", REPORTED)
        self.bits.set_all("starts", PREPARED)
        return Recorder(
            journal,
            self.results,
            self.queue,
            self._record_key,
            lambda rank: self.sharing.shares(rank),
            wait_for_each=self._settings.store.durability == "task",
            hold_back=self._run.hold_back,
            completed=lambda rank: self.endings.completed(rank),
            progressed=lambda: self.bits.set_all("starts", 0),
        )

    def _record_key(self, rank: int) -> str | None:
        node = self._plan.nodes[rank]
        if node.inputs and rank in self.columns.failures:
            return self.results.key(rank)
        return record_key(node, self.admission.arguments(rank), shared=self.sharing.shares(rank))

    def _make_guards(self, breakers: Breakers) -> Guards:
        names = self._plan.actions
        return Guards(
            [
                breakers.of(name, action.policies.breaker)
                for name, action in zip(names, self._actions, strict=True)
            ],
            self.holds,
            self.timers,
            self.bits,
            self._settings.fail_when_open,
            lambda action, error: self.endings.give_up(action, error),
            self._run.changed,
            self.reporter,
        )

    def _make_lookups(self, durable: Durable | None) -> CacheOfStore | None:
        if self._settings.reuse != "store" or durable is None:
            return None
        return CacheOfStore(
            durable,
            self._unix_now,
            self._settings.reuse_ttl,
            self._run.spawn,
            lambda rank: self.endings.released(rank),
        )

    def _make_caches(self, cache: ResponseCache | None, journal: Journal | None) -> list[Cache]:
        past: list[Cache] = []
        if journal is not None and journal.committed:
            past.append(CacheOfPast.of(journal))
        return past + self._make_shared_caches(cache)

    def _make_shared_caches(self, cache: ResponseCache | None) -> list[Cache]:
        if self.lookups is not None:
            return [self.lookups]
        if self._settings.reuse == "executor" and cache is not None:
            return [CacheOfExecutor(cache, self._unix_now, self._settings.reuse_ttl)]
        return []

    def _unix_now(self) -> float:
        return trio.current_time() + self.clock.unix

    def _make_sharing(self) -> Sharing:
        recorder = self.recorder
        return Sharing(
            self._plan,
            self.queue,
            self.columns,
            self._opted_out,
            trio.current_time,
            self._caches,
            past=recorder.past if recorder is not None else _nothing,
            served=lambda rank: self.endings.served(rank),
            spoilt=lambda rank, error: self.endings.spoilt(rank, error),
            completed=lambda rank: self.endings.completed(rank),
            failed=recorder.ended if recorder is not None else _nothing,
        )

    def _make_endings(self) -> Endings:
        return Endings(
            results=self.results,
            queue=self.queue,
            timers=self.timers,
            holds=self.holds,
            retries=self.retries,
            guards=self.guards,
            sharing=self.sharing,
            watch=self.watch,
            recorder=self.recorder,
            reporter=self.reporter,
            arguments=lambda rank: self.admission.arguments(rank),
            may_retry=self._run.goes_on,
            changed=self._run.changed,
            outside=sys.exception(),
        )

    def _make_crash_loops(self, journal: Journal) -> CrashLoops:
        return CrashLoops(self._plan, journal.crashes, self.sharing.shares, self.endings)

    def _make_admission(self, keyed: bytearray) -> Admission:
        return Admission(
            results=self.results,
            queue=self.queue,
            watch=self.watch,
            keyed=keyed,
            sharing=self.sharing,
            recorder=self.recorder,
            borrowing=self.borrowing,
            guards=self.guards,
            endings=self.endings,
        )

    def _make_attempts(self, graph_id: str, run_id: str, limit: int) -> Attempts:
        return Attempts(
            graph_id=graph_id,
            run_id=run_id,
            actions=self._actions,
            results=self.results,
            queue=self.queue,
            timers=self.timers,
            borrowing=self.borrowing,
            threads=trio.CapacityLimiter(limit),
            admission=self.admission,
            endings=self.endings,
            recorder=self.recorder,
            end_of_run=self._run.end_of_run,
            is_over=self._run.is_over,
            wake=self._run.wake,
            call_lane=lambda: self._lanes().call(),
            flags=self.flags,
        )

    def _lanes(self) -> Lanes:
        assert self.lanes is not None
        return self.lanes

    def _limit(self) -> int:
        return int(self.attempts.threads.total_tokens)

    def _mark_keyed(self, flags: bytearray, journal: Journal | None) -> bytearray:
        """Which tasks may be served from others; the pump is told to ask for them."""
        size = len(self._plan)
        if self._caches or (journal is not None and journal.committed):
            self.bits.set_all("keys", PREPARED | REPORTED)
            return bytearray(b"\1" * size)
        if all(self._opted_out):
            return bytearray(size)
        keyed = bytearray(self._plan.shared_work())
        if 1 in keyed:
            out = self._opted_out
            for rank, shared in enumerate(keyed):
                if shared and out[self._plan.action[rank]]:
                    keyed[rank] = 0
                elif shared:
                    flags[rank] |= PREPARED | REPORTED
        return keyed


def _make_queue(plan: Plan, gates: Gates, limit: int) -> ReadyQueue:
    return ReadyQueue(
        plan.dependent_offsets,
        plan.dependents,
        plan.indegrees,
        plan.policies,
        limit,
        gates.lanes,
        gates.lane_gates,
        gates.capacities,
    )


def _plain(limits: Mapping[str, Limit]) -> dict[str, int | None]:
    return {name: limit if isinstance(limit, int) else None for name, limit in limits.items()}


def _nothing(rank: int) -> None:
    """There is no store: it knows of no past, and hears of no failure."""
