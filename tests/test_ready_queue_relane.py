"""Gates and lanes that come in later, and tasks that change their lane, on both classes."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest

from tgtrio._states import CANCELLED, SUCCEEDED

from .queues import add, build, gate_of_one, start_all

if TYPE_CHECKING:
    from .queues import QueueClass


def ints(*numbers: int) -> array[int]:
    return array("i", numbers)


def test_gates_and_lanes_have_the_next_numbers(ReadyQueue: QueueClass) -> None:
    queue = gate_of_one(ReadyQueue, 2)
    assert [queue.add_gate(1), queue.add_gate(2)] == [1, 2]
    assert [queue.add_lane([1, 2]), queue.add_lane(())] == [2, 3]
    assert queue.ready_in_lanes() == [0, 2, 0, 0]
    queue.validate()


def test_a_queue_without_lanes_can_be_given_some(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 3)
    gate = queue.add_gate(1)
    assert (gate, queue.queued_at(gate), queue.wanted(gate)) == (0, [], False)
    lane = queue.add_lane([gate])
    assert (lane, queue.ready_in_lanes(), queue.lane(2)) == (1, [3, 0], 0)
    tasks = [add(queue, lane=lane) for _ in range(2)]
    assert queue.ready_in_lanes() == [3, 2]
    assert start_all(queue) == [tasks[0], 0, 1, 2]
    assert queue.blocking_gates(tasks[1]) == [gate]
    queue.validate()


@pytest.mark.parametrize("gates", [[1], [-1], [0, 0]])
def test_a_lane_that_leads_nowhere_is_refused(ReadyQueue: QueueClass, gates: list[int]) -> None:
    for queue in (gate_of_one(ReadyQueue, 1), build(ReadyQueue, 1, capacities=[1])):
        lanes = len(queue.ready_in_lanes())
        with pytest.raises(ValueError):
            queue.add_lane(gates)
        queue.validate()
        assert queue.add_lane([0]) == lanes


def test_a_gate_lets_at_least_one_through(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 1)
    with pytest.raises(ValueError, match="at least 1"):
        queue.add_gate(0)
    with pytest.raises(IndexError, match="no gate 0"):
        queue.taken(0)


def test_ready_tasks_wait_where_they_belong_from_now_on(ReadyQueue: QueueClass) -> None:
    """A cap on an action that had none."""
    queue = build(ReadyQueue, 4)
    added = add(queue, position=2)
    lane = queue.add_lane([queue.add_gate(1)])
    queue.relane(ints(lane, 0, lane, 0, lane))
    assert queue.ready_in_lanes() == [2, 3]
    assert queue.queued_at(0) == [0, added, 2]
    assert start_all(queue) == [0, 1, 3]
    queue.validate()
    assert queue.complete_and_next(0, SUCCEEDED) == added
    assert queue.complete_and_next(added, SUCCEEDED) == 2


def test_running_tasks_own_the_gates_of_their_new_lane(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 5, limit=3)
    assert start_all(queue) == [0, 1, 2]
    queue.detach(0)
    lane = queue.add_lane([queue.add_gate(1)])
    queue.relane(ints(*[lane] * 5))
    assert queue.taken(0) == 2  # more than it would let through
    assert queue.next() == -1
    queue.complete(0, SUCCEEDED)
    assert queue.complete_and_next(1, SUCCEEDED) == -1
    assert queue.complete_and_next(2, SUCCEEDED) == 3
    queue.relane(ints(*[0] * 5))
    assert (queue.taken(0), queue.next()) == (0, 4)
    queue.validate()


def test_held_and_pending_tasks_come_back_into_their_new_lane(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [2], 2: []}, lane_gates=[(), (0,)], capacities=[1])
    assert queue.next() == 0
    queue.hold(0)
    queue.relane(ints(1, 1, 0))
    assert queue.ready_in_lanes() == [1, 0]
    assert queue.next() == 2
    queue.let_go(0)
    queue.complete(2, SUCCEEDED)
    assert queue.queued_at(0) == [0, 1]
    assert start_all(queue) == [0]
    queue.validate()


def test_a_closed_gate_stays_closed_and_a_capacity_as_it_was(ReadyQueue: QueueClass) -> None:
    queue = gate_of_one(ReadyQueue, 3)
    queue.set_capacity(0, 2)
    queue.close_gate(0)
    queue.relane(ints(1, 1, 0))
    assert start_all(queue) == [2]
    queue.open_gate(0)
    assert start_all(queue) == [0, 1]


@pytest.mark.parametrize("lanes", [ints(0, 0), ints(0, 0, 0, 0), ints(0, 0, 2), ints(-1, 0, 0)])
def test_lanes_that_do_not_fit_change_nothing(ReadyQueue: QueueClass, lanes: array[int]) -> None:
    queue = gate_of_one(ReadyQueue, 2)
    add(queue, position=1, lane=1)
    assert queue.next() == 0
    with pytest.raises(ValueError):
        queue.relane(lanes)
    queue.validate()
    assert (queue.taken(0), queue.queued_at(0)) == (1, [2, 1])


def test_lanes_of_nothing(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 0)
    queue.relane(ints())
    lane = queue.add_lane([queue.add_gate(1)])
    queue.relane(ints())
    assert queue.next() == -1
    assert add(queue, lane=lane) == queue.next() == 0
    queue.validate()


@pytest.mark.parametrize("total", [1, 63, 64, 65, 4097, 262_145])
def test_ready_tasks_are_counted_at_the_boundaries(ReadyQueue: QueueClass, total: int) -> None:
    lanes = [task % 3 for task in range(total)]
    queue = build(ReadyQueue, total, lanes=lanes, lane_gates=[(), (0,), ()], capacities=[1])
    counts = [lanes.count(lane) for lane in range(3)]
    assert queue.ready_in_lanes() == counts
    for task in {0, total // 2, total - 1}:
        queue.end(task, CANCELLED)
        counts[task % 3] -= 1
        add(queue, lane=2)
        counts[2] += 1
    assert queue.ready_in_lanes() == counts
