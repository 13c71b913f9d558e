"""Tasks that are set aside: held, detached, or taken over by another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tgtrio._states import CANCELLED, READY, RUNNING, SUCCEEDED

from .queues import build, gate_of_one, run_all, start_all

if TYPE_CHECKING:
    from .queues import QueueClass


def test_a_held_task_is_ready_and_starts_only_once_it_is_let_go(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 2, limit=1)
    assert queue.next() == 0
    queue.hold(0)
    assert queue.state(0) == READY
    assert queue.is_held(0)
    assert queue.running == 0
    assert queue.complete_and_next(queue.next(), SUCCEEDED) == -1
    assert queue.let_go(0)
    assert queue.next() == 0


def test_a_held_task_occupies_neither_a_slot_nor_its_gates(ReadyQueue: QueueClass) -> None:
    queue = gate_of_one(ReadyQueue, 3)
    for task in range(3):
        assert queue.next() == task
        queue.hold(task)
        assert queue.taken(0) == 0
        assert not queue.is_held(task + 1) if task < 2 else True
    assert not queue.wanted(0)
    assert queue.queued_at(0) == []
    queue.let_go(2)
    assert queue.queued_at(0) == [2]
    assert queue.next() == 2


def test_a_task_that_is_let_go_takes_its_old_place(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 4)
    assert queue.next() == 0
    queue.hold(0)
    queue.let_go(0)
    assert run_all(queue) == [0, 1, 2, 3]


def test_letting_go_twice_or_what_is_not_held_does_nothing(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 2)
    assert queue.next() == 0
    assert not queue.let_go(0)
    queue.hold(0)
    assert queue.let_go(0)
    assert not queue.let_go(0)
    assert not queue.let_go(1)
    assert start_all(queue) == [0, 1]


def test_a_held_task_can_be_ended(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: (), 1: (0,)})
    queue.next()
    queue.hold(0)
    assert queue.end(0, CANCELLED)
    assert not queue.let_go(0)
    assert not queue.is_held(0)
    assert queue.unfinished == 0


def test_the_rest_is_ended_with_what_is_held(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 2)
    queue.next()
    queue.hold(0)
    queue.end_rest(CANCELLED)
    assert queue.states() == bytes([CANCELLED] * 2)
    queue.validate()


def test_a_detached_task_runs_on_without_a_slot_and_without_gates(ReadyQueue: QueueClass) -> None:
    queue = gate_of_one(ReadyQueue, 2)
    assert queue.next() == 0
    queue.detach(0)
    assert (queue.state(0), queue.running, queue.taken(0)) == (RUNNING, 0, 0)
    assert queue.next() == 1
    queue.complete(0, SUCCEEDED)
    assert (queue.running, queue.taken(0), queue.unfinished) == (1, 1, 1)


def test_dependents_of_a_detached_task_wait_for_its_end(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: (), 1: (0,)})
    queue.next()
    queue.detach(0)
    assert queue.next() == -1
    assert queue.complete_and_next(0, SUCCEEDED) == 1


@pytest.mark.parametrize("order", ["hold", "detach", "give_back"])
def test_a_detached_task_has_nothing_to_give_back(ReadyQueue: QueueClass, order: str) -> None:
    queue = build(ReadyQueue, 1)
    queue.next()
    queue.detach(0)
    with pytest.raises(ValueError, match="detached"):
        getattr(queue, order)(0)


def test_another_task_takes_over_the_slot_and_the_gates(ReadyQueue: QueueClass) -> None:
    queue = gate_of_one(ReadyQueue, 3)
    assert queue.next() == 0
    queue.take_over(0, 2)
    assert (queue.state(0), queue.state(2)) == (READY, RUNNING)
    assert queue.is_held(0)
    assert (queue.running, queue.taken(0)) == (1, 1)
    queue.complete(2, SUCCEEDED)
    assert queue.next() == 1
    queue.validate()


def test_only_a_task_that_waits_for_the_same_gates_takes_over(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 4, lanes=[0, 1, 0, 0], lane_gates=[(), (0,)], capacities=[1])
    assert queue.next() == 0
    with pytest.raises(ValueError, match="different gates"):
        queue.take_over(0, 1)
    assert queue.next() == 1
    assert queue.next() == 2
    queue.hold(2)
    for other in (1, 2):
        with pytest.raises(ValueError, match="not waiting to start"):
            queue.take_over(0, other)
    queue.validate()


def test_what_is_queued_at_a_gate_comes_in_order(ReadyQueue: QueueClass) -> None:
    queue = build(
        ReadyQueue, 5, lanes=[1, 0, 2, 1, 2], lane_gates=[(), (0,), (0, 1)], capacities=[1, 1]
    )
    assert queue.queued_at(0) == [0, 2, 3, 4]
    assert queue.queued_at(1) == [2, 4]
    assert queue.next() == 0
    assert queue.queued_at(0) == [2, 3, 4]
