"""The ready queues and a naive model, driven side by side through random histories."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tgtrio._states import (
    ABORT,
    ALWAYS,
    CONTINUE_IF_ANY,
    ON_FAILURE,
    PENDING,
    READY,
    RUNNING,
    SKIP,
    SUCCEEDED,
    effective_policy,
)

from .naive_queue import NaiveQueue
from .queues import TERMINAL, Setup, Shape, build, queue_classes

MOST_TASKS = 14
MOST_ADDED = 12
MOST_GATES = 4
MOST_LANES = 8


limits = st.sampled_from([1, 2, 3, MOST_TASKS, MOST_TASKS, MOST_TASKS])


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    crowded = draw(st.booleans())  # little depends on anything, and all press through the gates
    total = draw(st.integers(0, MOST_TASKS))
    gates = draw(st.integers(2, 3) if crowded else st.integers(0, MOST_GATES))

    def of_each_task(numbers: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(numbers, min_size=total, max_size=total))

    numbers = draw(st.permutations(range(total)))  # dispatch order is not the order of the graph
    dependencies = {}
    for place, task in enumerate(numbers):
        some = st.lists(st.sampled_from(numbers[:place] or [-1]), unique=True, max_size=4)
        few = st.sampled_from([[], [], numbers[:place][-1:]])
        dependencies[task] = draw(few if crowded else some) if place else []
    needs = st.sets(st.sampled_from(range(gates)), min_size=1) if gates else st.just(set[int]())
    lane_gates = [(), *map(tuple, draw(st.lists(needs, min_size=2 * crowded, max_size=5)))]
    return Setup(
        dependencies,
        dict(enumerate(of_each_task(st.just(ALWAYS) if crowded else st.sampled_from(range(5))))),
        draw(limits),
        of_each_task(st.sampled_from(range(len(lane_gates)))),
        lane_gates,
        draw(st.lists(st.integers(1, 2), min_size=gates, max_size=gates)),
    )


choices = st.integers(0, 10_000)
ends = st.sampled_from([SUCCEEDED, SUCCEEDED, *TERMINAL])


def some_are(*states: int) -> Callable[[Any], bool]:
    return lambda machine: bool(machine.naive.tasks_in(*states))


class Lockstep(RuleBasedStateMachine):
    """Every rule asks all queues the same; every step ends in a comparison of all they show."""

    @initialize(setup=setups())
    def begin(self, setup: Setup) -> None:
        self.naive = NaiveQueue(*setup)
        self.shape = Shape.of(setup)
        self.queues = {
            name: build(queue_class, **setup._asdict())
            for name, queue_class in queue_classes().items()
        }
        self.ask("keep_log", False, True, True)
        self.ask("log_past")

    def ask(self, question: str, *arguments: Any) -> Any:
        expected = getattr(self.naive, question)(*arguments)
        for name, queue in self.queues.items():
            answer = getattr(queue, question)(*arguments)
            assert expected in (None, answer), (name, question, arguments, answer, expected)
        return expected

    def one(self, choice: int, *states: int) -> int:
        tasks = self.naive.tasks_in(*states)
        return tasks[choice % len(tasks)]

    @rule()
    def next(self) -> None:
        self.ask("next")

    @precondition(some_are(RUNNING))
    @rule(choice=choices, attempt=st.integers(0, 2))
    def log_start(self, choice: int, attempt: int) -> None:
        self.ask("log_start", self.one(choice, RUNNING), attempt, choice)

    @rule()
    def log_note(self) -> None:
        self.ask("log_note")

    @rule()
    def take_log(self) -> None:
        self.ask("take_log")

    @rule()
    def start_all(self) -> None:
        while self.ask("next") >= 0:
            pass

    @precondition(some_are(RUNNING))
    @rule(choice=choices, end=ends)
    def complete(self, choice: int, end: int) -> None:
        self.ask("complete", self.one(choice, RUNNING), end)

    @precondition(some_are(RUNNING))
    @rule(choice=choices, end=ends)
    def complete_and_next(self, choice: int, end: int) -> None:
        self.ask("complete_and_next", self.one(choice, RUNNING), end)

    @precondition(lambda self: self.naive.owning())
    @rule(choice=choices, what=st.sampled_from(["give_back", "hold", "detach"]))
    def leave(self, choice: int, what: str) -> None:
        owning = self.naive.owning()
        self.ask(what, owning[choice % len(owning)])

    @precondition(lambda self: self.naive.owning() and self.naive.queued())
    @rule(choice=choices, other=choices)
    def take_over(self, choice: int, other: int) -> None:
        owning, queued = self.naive.owning(), self.naive.queued()
        task, other = owning[choice % len(owning)], queued[other % len(queued)]
        if len({queue.lane(t) for queue in self.queues.values() for t in (task, other)}) == 1:
            self.ask("take_over", task, other)
            return
        for queue in self.queues.values():
            with pytest.raises(ValueError, match="different gates"):
                queue.take_over(task, other)

    @precondition(lambda self: self.shape.total)
    @rule(choice=choices)
    def let_go(self, choice: int) -> None:
        held = sorted(self.naive.held) or range(self.shape.total)
        self.ask("let_go", held[choice % len(held)])

    @precondition(some_are(PENDING, READY))
    @rule(choice=choices, end=ends)
    def end_one_that_waits(self, choice: int, end: int) -> None:
        self.ask("end", self.one(choice, PENDING, READY), end)

    @precondition(lambda self: self.shape.total)
    @rule(choice=choices, end=ends, no_end=st.sampled_from([PENDING, READY, RUNNING, 8]))
    def try_what_is_illegal(self, choice: int, end: int, no_end: int) -> None:
        task = choice % self.shape.total
        runs = self.naive.state(task) == RUNNING
        for queue in self.queues.values():
            with pytest.raises(ValueError, match="terminal" if runs else "not running"):
                queue.complete(task, no_end)
            if not runs:
                with pytest.raises(ValueError, match="not running"):
                    queue.complete_and_next(task, end)
                for leave in (queue.give_back, queue.hold, queue.detach):
                    with pytest.raises(ValueError, match="not running"):
                        leave(task)
            elif task in self.naive.detached:
                for leave in (queue.give_back, queue.hold, queue.detach):
                    with pytest.raises(ValueError, match="detached"):
                        leave(task)
        if self.naive.state(task) not in (PENDING, READY):
            self.ask("end", task, end)

    @precondition(lambda self: self.shape.gates)
    @rule(choice=choices)
    def close_gate(self, choice: int) -> None:
        self.ask("close_gate", choice % self.shape.gates)

    @precondition(lambda self: self.shape.gates)
    @rule(choice=choices)
    def open_gate(self, choice: int) -> None:
        self.ask("open_gate", choice % self.shape.gates)

    @precondition(lambda self: self.shape.gates)
    @rule(choice=choices, capacity=st.integers(1, 4))
    def set_capacity(self, choice: int, capacity: int) -> None:
        self.ask("set_capacity", choice % self.shape.gates, capacity)

    @precondition(lambda self: self.shape.total < self.shape.built + MOST_ADDED)
    @rule(
        data=st.data(),
        choices=st.lists(choices, max_size=4),
        policy=st.sampled_from([ABORT, ALWAYS, ALWAYS, SKIP, CONTINUE_IF_ANY, ON_FAILURE]),
        priority=st.sampled_from([0.0, 0.0, 1.0, -1.0, inf]),
        deadline=st.sampled_from([inf, inf, 0.0, 1.0]),
    )
    def add(
        self, data: st.DataObject, choices: list[int], policy: int, priority: float, deadline: float
    ) -> None:
        total = self.shape.total
        dependencies = list({choice % total for choice in choices}) if total else []
        arguments = (
            dependencies,
            effective_policy(policy, len(dependencies)),
            data.draw(st.integers(0, self.shape.lanes - 1), label="lane"),
            data.draw(st.integers(0, self.shape.built), label="position"),
            priority,
            deadline,
        )
        if self.naive.stopped:
            for queue in self.queues.values():
                with pytest.raises(ValueError, match="stopped"):
                    queue.add(*arguments)
            return
        assert self.ask("add", *arguments) == total
        self.shape.total += 1

    @precondition(lambda self: self.shape.gates < MOST_GATES)
    @rule(capacity=st.integers(1, 2))
    def add_gate(self, capacity: int) -> None:
        self.ask("add_gate", capacity)
        self.shape.gates += 1

    @precondition(lambda self: self.shape.lanes < MOST_LANES)
    @rule(gates=st.sets(choices, max_size=2))
    def add_lane(self, gates: set[int]) -> None:
        self.ask(
            "add_lane", sorted({gate % self.shape.gates for gate in gates if self.shape.gates})
        )
        self.shape.lanes += 1

    @rule(data=st.data())
    def relane(self, data: st.DataObject) -> None:
        lanes = st.integers(0, self.shape.lanes - 1)
        total = self.shape.total
        drawn = data.draw(st.lists(lanes, min_size=total, max_size=total), label="lanes")
        self.ask("relane", array("i", drawn))

    @rule(limit=limits)
    def set_limit(self, limit: int) -> None:
        self.ask("set_limit", limit)

    @rule(pause=st.sampled_from([False, False, True]))
    def pause_or_resume(self, pause: bool) -> None:
        self.ask("pause" if pause else "resume")

    @rule(sure=st.integers(0, 9), end=st.sampled_from([None, *TERMINAL]))
    def stop(self, sure: int, end: int | None) -> None:
        if sure:
            return  # little of interest happens once a queue has stopped
        if end is None:
            self.ask("stop")
        else:
            self.ask("end_rest", end)

    @invariant()
    def all_show_the_same(self) -> None:
        for question in ("counts", "logged", "ready_in_lanes"):
            self.ask(question)
        for task in range(self.shape.total):
            for question in ("state", "waiting_for", "parent", "lane", "blocking_gates", "is_held"):
                self.ask(question, task)
        for gate in range(self.shape.gates):
            for question in ("taken", "wanted", "queued_at"):
                self.ask(question, gate)
        for queue in self.queues.values():
            for name in ("running", "unfinished", "stopped"):
                assert getattr(queue, name) == getattr(self.naive, name), name
            assert queue.startable() or not self.naive.startable()

    @invariant()
    def all_are_sound(self) -> None:
        for queue in self.queues.values():
            queue.validate()


TestLockstep = Lockstep.TestCase
