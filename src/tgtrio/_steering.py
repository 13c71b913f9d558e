"""What the handle of a run asks of it, and changes in it while it goes on."""

from __future__ import annotations

from collections.abc import Iterator

import trio
from trio.lowlevel import enable_ki_protection

from ._attempts import Doom
from ._breaker import CircuitBreaker
from ._ends import Cause
from ._engine import Engine
from ._errors import (
    GraphRunningError,
    InvalidTypeError,
    InvalidValueError,
    RunFinishedError,
    UnknownActionError,
    nearest,
    shorten,
)
from ._events import Events
from ._explain import Explainer, explain_ended
from ._explanation import Explanation
from ._growing_plan import GrowingPlan
from ._growth import Growth
from ._holds import USER
from ._layout import lay_anew
from ._limits import UNBOUNDED, check_limit
from ._node import TaskNode
from ._outcome import Ending, Failure
from ._parts import Parts
from ._states import FIRST_TERMINAL, RUNNING
from ._waiters import Waiters


class Steering:
    """The controls of one run.

    Args:
        engine: The run.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._growth: Growth | None = None
        self._waiters: Waiters | None = None

    @property
    def _parts(self) -> Parts:
        """The parts of a run that goes on. Raises RunFinishedError."""
        if self._engine.parts is None:
            raise RunFinishedError(
                f"the run of graph {shorten(self._engine.graph.graph_id)} is over, "
                "and takes no more orders"
            )
        return self._engine.parts

    def _told(self, command: str, subject: str = "", value: object = None) -> None:
        reporter = self._parts.reporter
        if reporter is not None:
            reporter.steered(command, subject, value or None)

    # -- to see --------------------------------------------------------------------------

    def explain(self, rank: int) -> Explanation:
        """Why a task does not run, or why it ended as it did."""
        if self._engine.parts is None:
            return explain_ended(self._engine.results, rank)
        return self._explainer(self._engine.parts).explain(rank)

    def holds(self) -> dict[tuple[str, str], int]:
        """How many READY tasks do not start, by kind of cause and its subject."""
        parts = self._engine.parts
        return {} if parts is None else self._explainer(parts).holds()

    def running(self, limit: int) -> list[tuple[str, int, float]]:
        """The tasks in flight for longest: their ids, attempts and seconds."""
        parts = self._engine.parts
        return [] if parts is None else self._explainer(parts).running(limit)

    def _explainer(self, parts: Parts) -> Explainer:
        engine = self._engine
        return Explainer(engine.plan, engine.gates, parts, engine.crew, self.limit, engine.end)

    def events(self) -> Events:
        """What happens from now on."""
        events, parts = Events(self._engine.openness.waiting), self._engine.parts
        if parts is None or parts.reporter is None or self._engine.result is not None:
            events.end()  # also for a hook that is told of the end in this moment
        else:
            parts.reporter.add(events)
        return events

    def end_of(self, rank: int) -> trio.Event | None:
        """What is set when a task has ended; None if it has."""
        parts = self._engine.parts
        if parts is None or parts.reporter is None or parts.queue.state(rank) >= FIRST_TERMINAL:
            return None
        if self._waiters is None:
            self._waiters = Waiters()
            parts.reporter.add(self._waiters)
        return self._waiters.event(self._engine.plan.nodes[rank].task_id)

    # -- how much runs at once ---------------------------------------------------------

    @property
    def limit(self) -> int:
        """How many tasks may be in flight."""
        limit = self._engine.max_parallel
        return limit if isinstance(limit, int) else UNBOUNDED

    @property
    def paused(self) -> bool:
        """Has `pause` been called?"""
        parts = self._engine.parts
        return parts is not None and USER in parts.pauses.who

    def pause(self) -> None:
        """Let nothing start; in flight goes on."""
        pauses = self._parts.pauses
        if not self.paused:
            pauses.pause(USER)
            self._told("pause")

    def resume(self) -> None:
        """Undo `pause`."""
        pauses = self._parts.pauses
        if self.paused:
            pauses.resume(USER)
            self._told("resume")
            self._engine.changed()

    @enable_ki_protection
    def set_max_parallel(self, limit: object) -> None:
        """Change how many tasks may be in flight."""
        limit = _check_int("max_parallel", limit)
        parts = self._parts
        if isinstance(self._engine.max_parallel, trio.CapacityLimiter):
            raise _is_shared("max_parallel")
        self._engine.max_parallel = limit
        parts.queue.set_limit(limit)
        parts.attempts.threads.total_tokens = limit
        self._engine.crew.set_limit(limit)
        self._told("set_max_parallel", value=limit)
        self._engine.changed()

    @enable_ki_protection
    def set_cap(self, action: str, limit: object) -> None:
        """Change how many tasks of an action may be in flight; None for no bound."""
        capacity = UNBOUNDED if limit is None else _check_int(f"the cap of {action!r}", limit)
        if action not in self._engine.plan.actions and self._is_provided(action):
            self._engine.gates.set_cap(action, capacity)
            self._told("set_cap", action, limit)
            return
        number = self.action(action)
        if any(
            ("action", action) in self._engine.gates.owners[gate]
            for gate in self._engine.gates.limiters
        ):
            raise _is_shared(f"the cap of action {shorten(action)}")
        gate = self._engine.gates.of_action[number]
        if gate < 0:
            gate = self._add_gate(number, action)
        self._parts.queue.set_capacity(gate, capacity)
        self._engine.gates.capacities[gate] = capacity
        self._told("set_cap", action, limit)
        self._engine.changed()

    def _is_provided(self, action: str) -> bool:
        """Could a task with this action be added?"""
        if not isinstance(action, str) or not action:
            return False
        try:
            self._engine.resolve(TaskNode(action, action, {"prompt": ""}))
        except UnknownActionError:
            return False
        return True

    def _add_gate(self, number: int, action: str) -> int:
        """Give an action a gate that nothing has bounded or held back so far. O(n)."""
        gate = self._engine.gates.add_hold(number, action)
        lanes = lay_anew(self._engine.plan, self._engine.gates)
        self._engine.gates.tell(self._parts.queue)
        self._parts.queue.relane(lanes)
        return gate

    # -- breakers ------------------------------------------------------------------------

    def isolate(self, action: str, reason: str) -> None:
        """Open the breaker of an action until `close_breaker`."""
        self._breaker(action).isolate(reason)
        self._told("isolate", action, reason)

    def close_breaker(self, action: str, reason: str) -> None:
        """Close the breaker of an action."""
        self._breaker(action).close(reason)
        self._told("close_breaker", action, reason)

    def _breaker(self, action: str) -> CircuitBreaker:
        breaker = self._parts.guards.breaker(self.action(action))
        if breaker is None:
            raise InvalidValueError(
                f"action {shorten(action)} has no circuit breaker; the run, or the action, was "
                "given breaker=None"
            )
        return breaker

    def action(self, name: str) -> int:
        """The number of an action. Raises UnknownActionError."""
        try:
            return self._engine.plan.actions.index(name)
        except ValueError:
            raise UnknownActionError(
                f"no task of the run has the action {shorten(name)}"
                f"{nearest(name, self._engine.plan.actions) if isinstance(name, str) else ''}"
            ) from None

    # -- more tasks ----------------------------------------------------------------------

    @enable_ki_protection
    def add_task(self, node: TaskNode) -> TaskNode:
        """Add a task to the graph and to this run of it."""
        engine = self._engine
        if not engine.takes_tasks():
            raise RunFinishedError(
                f"the run of graph {shorten(engine.graph.graph_id)} is over, or being ended; "
                f"task {shorten(node.task_id)} cannot be added to it"
            )
        if not isinstance(engine.plan, GrowingPlan):
            raise GraphRunningError(
                f"graph {shorten(engine.graph.graph_id)} is running, and only a run of open_run "
                f"takes more tasks; task {shorten(node.task_id)} cannot be added to it"
            )
        action = engine.resolve(node)
        engine.graph._append_while_running(node)
        self._grow().add(node, action)
        self._told("add_task", node.task_id)
        engine.changed()
        return node

    def _grow(self) -> Growth:
        if self._growth is None:
            engine = self._engine
            assert isinstance(engine.plan, GrowingPlan)
            self._growth = Growth(
                engine.plan,
                engine.gates,
                self._parts,
                engine.crew,
                engine.actions,
                engine.breakers,
                engine.graph.expire_at_deadline,
                engine.expire,
            )
        return self._growth

    # -- ending --------------------------------------------------------------------------

    def drain(self, reason: str) -> None:
        """Let nothing start any more."""
        if self._engine.parts is not None and self._engine.goes_on():
            self._told("drain", value=reason)
        self._engine.drain(f"the run was drained{_because(reason)}")

    def cancel_all(self, reason: str) -> None:
        """Cancel the run."""
        if self._engine.parts is not None and not self._engine.is_over():
            self._told("cancel", value=reason)
        self._engine.cut_short(Cause.CANCELLED, f"the run was cancelled{_because(reason)}")

    def cancel(self, rank: int, reason: str, *, branch: bool) -> None:
        """Cancel a task, or it and all that depend on it."""
        if self._engine.parts is None:
            return
        self._told("cancel", self._engine.plan.nodes[rank].task_id, reason)
        reason = f"the task was cancelled{_because(reason)}"
        # Who depends on a task ends before it: its own policy must not get there first.
        for one in list(self._branch(rank)) if branch else [rank]:
            self._cancel(one, reason)
        self._engine.changed()

    def _cancel(self, rank: int, reason: str) -> None:
        parts = self._parts
        if parts.queue.state(rank) >= FIRST_TERMINAL:
            return
        doom = Doom(Ending.CANCELLED, None, reason)
        if not self._doomed(rank, doom):
            parts.endings.unstarted(rank, Ending.CANCELLED, Failure(reason))
            self._doomed(rank, doom)  # a thread lane may have taken it meanwhile

    def _doomed(self, rank: int, doom: Doom) -> bool:
        """Cancel a task that is in flight; False if it is not. O(1) unless it is."""
        parts = self._parts
        if parts.queue.state(rank) != RUNNING:
            return False
        for pump in self._engine.crew.pumps:
            if pump.task == rank:
                parts.attempts.doom(pump, doom)
                return True
        return parts.lanes is not None and parts.lanes.cancel(rank, doom)

    def _branch(self, rank: int) -> Iterator[int]:
        """A task and all that depend on it, each after those that depend on it. O(edges)."""
        seen, stack = {rank}, [(rank, iter(self._engine.plan.dependents_of(rank)))]
        while stack:
            task, dependents = stack[-1]
            for dependent in dependents:
                if dependent not in seen:
                    seen.add(dependent)
                    stack.append((dependent, iter(self._engine.plan.dependents_of(dependent))))
                    break
            else:
                stack.pop()
                yield task


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _check_int(name: str, limit: object) -> int:
    if isinstance(limit, trio.CapacityLimiter):
        raise InvalidTypeError(
            f"{name} is {shorten(limit)}; a run that goes on takes an int of at least 1"
        )
    if isinstance(limit, int) and limit < 1:
        raise InvalidValueError(f"{name} is {shorten(limit)}; it must be at least 1")
    checked = check_limit(name, limit)
    assert isinstance(checked, int)
    return checked


def _is_shared(name: str) -> InvalidValueError:
    return InvalidValueError(
        f"{name} is a trio.CapacityLimiter that the run was given; set its total_tokens"
    )
