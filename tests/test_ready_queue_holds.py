"""What keeps a ready task from starting, and what ends a task from outside, on both classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tgtrio._states import (
    ABORTED,
    ALWAYS,
    CANCELLED,
    FAILED,
    PENDING,
    READY,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
)

from .queues import TERMINAL, build, drive, gate_of_one, run_all, start_all, states

if TYPE_CHECKING:
    from .queues import QueueClass


# The limit, pause and resume


def test_the_limit_bounds_what_runs(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 5, limit=2)
    assert start_all(queue) == [0, 1]
    assert (queue.running, queue.startable()) == (2, False)
    assert queue.complete_and_next(0, SUCCEEDED) == 2


def test_the_limit_may_change(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 9, limit=3)
    assert start_all(queue) == [0, 1, 2]
    queue.set_limit(1)
    assert queue.complete_and_next(0, SUCCEEDED) == -1
    assert queue.complete_and_next(1, SUCCEEDED) == -1
    assert queue.complete_and_next(2, SUCCEEDED) == 3
    queue.set_limit(4)
    assert start_all(queue) == [4, 5, 6]


def test_nothing_starts_while_paused(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [0], 2: []}, limit=1)
    assert queue.next() == 0
    queue.pause()
    queue.pause()
    assert queue.complete_and_next(0, SUCCEEDED) == -1
    assert (states(queue), queue.startable()) == ([SUCCEEDED, READY, READY], False)
    queue.resume()
    assert queue.startable()
    assert run_all(queue) == [1, 2]


# Gates


def test_a_gate_bounds_its_tasks_and_delays_no_others(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 6, lanes=[1, 1, 1, 0, 1, 0], lane_gates=[(), (0,)], capacities=[2])
    assert start_all(queue) == [0, 1, 3, 5]
    assert (queue.taken(0), queue.blocking_gates(2), queue.blocking_gates(3)) == (2, [0], [])
    assert queue.complete_and_next(3, SUCCEEDED) == -1
    assert queue.complete_and_next(0, SUCCEEDED) == 2
    assert queue.complete_and_next(2, FAILED) == 4
    queue.validate()


def test_lanes_share_a_gate_in_the_order_of_their_tasks(ReadyQueue: QueueClass) -> None:
    lanes = [1, 3, 2, 1, 2, 3, 2, 1]
    gates = [(), (0,), (0,), (0,)]
    queue = build(ReadyQueue, 8, lanes=lanes, lane_gates=gates, capacities=[1])
    assert run_all(queue) == list(range(8))


def test_a_task_claims_all_its_gates_or_none(ReadyQueue: QueueClass) -> None:
    gates = [(), (0, 1, 2), (0,), (1,)]
    queue = build(ReadyQueue, 4, lanes=[2, 1, 3, 2], lane_gates=gates, capacities=[1, 1, 1])
    assert start_all(queue) == [0, 2]
    assert queue.blocking_gates(1) == [0, 1]
    assert [queue.taken(gate) for gate in range(3)] == [1, 1, 0]
    queue.complete(0, SUCCEEDED)
    assert queue.next() == 3, "the gate that task 1 cannot use yet is not kept for it"
    queue.complete(2, SUCCEEDED)
    assert queue.blocking_gates(1) == [0]
    assert queue.complete_and_next(3, SUCCEEDED) == 1
    assert [queue.taken(gate) for gate in range(3)] == [1, 1, 1]


def test_a_freed_gate_goes_to_the_first_that_can_use_it(ReadyQueue: QueueClass) -> None:
    """Task 1 needs a second gate that is shut; it neither blocks nor loses its place."""
    gates = [(), (0,), (0, 1)]
    queue = build(ReadyQueue, 5, lanes=[1, 2, 1, 2, 1], lane_gates=gates, capacities=[1, 1])
    queue.close_gate(1)
    assert start_all(queue) == [0]
    assert queue.complete_and_next(0, SUCCEEDED) == 2
    queue.open_gate(1)
    assert queue.complete_and_next(2, SUCCEEDED) == 1
    assert queue.complete_and_next(1, SUCCEEDED) == 3
    assert queue.complete_and_next(3, SUCCEEDED) == 4


def test_a_new_first_task_that_is_held_hides_nobody_behind_its_lane(
    ReadyQueue: QueueClass,
) -> None:
    """Gate 0 opens while lane 1 stands first at it; then lane 1 is held by gate 1 instead."""
    graph = {0: [], 1: [0], 2: [], 3: [], 4: []}
    gates = [(), (0, 1), (0,), (1,)]
    queue = build(ReadyQueue, graph, lanes=[0, 1, 3, 1, 2], lane_gates=gates, capacities=[1, 1])
    queue.close_gate(0)
    assert start_all(queue) == [0, 2]
    queue.open_gate(0)
    queue.complete(0, SUCCEEDED)
    queue.validate()
    assert queue.startable()
    assert queue.next() == 4


def test_the_end_of_the_first_in_a_lane_lets_others_through(ReadyQueue: QueueClass) -> None:
    gates = [(), (0, 1), (0,)]
    queue = build(ReadyQueue, 3, lanes=[1, 1, 2], lane_gates=gates, capacities=[1, 1])
    queue.close_gate(1)
    queue.close_gate(0)
    assert queue.next() == -1
    queue.open_gate(0)
    assert queue.end(0, CANCELLED)
    assert queue.end(1, CANCELLED)
    queue.validate()
    assert queue.next() == 2


def test_a_closed_gate_lets_nobody_in_and_sends_nobody_out(ReadyQueue: QueueClass) -> None:
    queue = gate_of_one(ReadyQueue, 4, capacity=3)
    assert queue.next() == 0
    queue.close_gate(0)
    queue.close_gate(0)
    assert (queue.next(), queue.running, queue.taken(0)) == (-1, 1, 1)
    assert queue.blocking_gates(1) == [0]
    queue.complete(0, SUCCEEDED)
    assert (queue.next(), queue.taken(0)) == (-1, 0)
    queue.open_gate(0)
    assert start_all(queue) == [1, 2, 3]


def test_a_capacity_may_change(ReadyQueue: QueueClass) -> None:
    queue = gate_of_one(ReadyQueue, 9, capacity=3)
    assert start_all(queue) == [0, 1, 2]
    queue.set_capacity(0, 1)
    assert (queue.running, queue.taken(0)) == (3, 3)
    queue.validate()
    assert queue.complete_and_next(0, SUCCEEDED) == -1
    assert queue.complete_and_next(1, SUCCEEDED) == -1
    assert queue.complete_and_next(2, SUCCEEDED) == 3
    queue.set_capacity(0, 4)
    assert start_all(queue) == [4, 5, 6]


def test_a_capacity_of_a_closed_gate_opens_nothing(ReadyQueue: QueueClass) -> None:
    queue = gate_of_one(ReadyQueue, 2)
    queue.close_gate(0)
    queue.set_capacity(0, 5)
    assert queue.next() == -1


def test_a_gate_is_wanted_while_a_ready_task_needs_it(ReadyQueue: QueueClass) -> None:
    gates = [(), (0,), (0, 1)]
    queue = build(ReadyQueue, {0: [], 1: [0]}, lanes=[1, 2], lane_gates=gates, capacities=[1, 1])
    assert [queue.wanted(0), queue.wanted(1)] == [True, False]
    assert queue.next() == 0
    assert [queue.wanted(0), queue.wanted(1)] == [False, False]
    queue.close_gate(1)
    queue.complete(0, SUCCEEDED)
    assert queue.next() == -1
    assert [queue.wanted(0), queue.wanted(1)] == [True, True]
    assert queue.end(1, CANCELLED)
    assert [queue.wanted(0), queue.wanted(1)] == [False, False]


def test_a_lane_may_need_no_gate(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 2, lanes=[1, 0], lane_gates=[(), ()])
    assert (queue.lane(0), queue.lane(1), queue.blocking_gates(0)) == (1, 0, [])
    assert run_all(queue) == [0, 1]


# Giving back


def test_a_task_given_back_has_its_place_again(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 4, lanes=[0, 1, 1, 0], lane_gates=[(), (0,)], capacities=[1])
    assert start_all(queue) == [0, 1, 3]
    queue.give_back(1)
    assert (queue.state(1), queue.running, queue.taken(0)) == (READY, 2, 0)
    queue.validate()
    queue.give_back(0)
    assert start_all(queue) == [0, 1]
    queue.give_back(1)
    queue.close_gate(0)
    assert queue.next() == -1
    queue.open_gate(0)
    assert queue.next() == 1


def test_giving_back_lets_a_smaller_one_pass(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [2], 1: [], 2: []}, limit=1, policies=ALWAYS)
    assert queue.next() == 1
    queue.give_back(1)
    assert queue.end(2, SUCCEEDED)
    assert run_all(queue) == [0, 1]


# Ending from outside


def test_end_settles_what_has_not_started(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [0], 2: [1], 3: [], 4: [3]}, policies={4: ALWAYS})
    assert queue.end(1, CANCELLED)
    assert states(queue) == [READY, CANCELLED, ABORTED, READY, PENDING]
    assert queue.end(3, FAILED)
    assert run_all(queue) == [0, 4]
    assert queue.unfinished == 0
    queue.validate()


@pytest.mark.parametrize("state", TERMINAL)
def test_end_leaves_alone_what_runs_or_has_ended(ReadyQueue: QueueClass, state: int) -> None:
    queue = build(ReadyQueue, 2)
    assert queue.next() == 0
    assert queue.end(0, state) is False
    assert queue.state(0) == RUNNING
    queue.complete(0, state)
    assert queue.end(0, CANCELLED) is False
    assert (queue.state(0), queue.unfinished) == (state, 1)


def test_a_ready_task_that_was_ended_never_starts(ReadyQueue: QueueClass) -> None:
    queue = gate_of_one(ReadyQueue, 4)
    assert queue.next() == 0
    assert queue.end(1, CANCELLED)
    assert queue.end(3, SKIPPED)
    assert queue.complete_and_next(0, SUCCEEDED) == 2
    assert queue.complete_and_next(2, SUCCEEDED) == -1
    assert not queue.startable()


# Stop


def test_after_stop_nothing_starts_and_nothing_cascades(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [0], 2: [0], 3: [], 4: [3]}, policies={2: ALWAYS})
    assert queue.next() == 0
    queue.stop()
    assert queue.stopped
    assert (queue.next(), queue.startable()) == (-1, False)
    assert queue.complete_and_next(0, FAILED) == -1
    assert queue.end(3, CANCELLED)
    assert states(queue) == [FAILED, PENDING, PENDING, CANCELLED, PENDING]
    assert [queue.parent(task) for task in range(5)] == [-1] * 5
    assert (queue.running, queue.unfinished) == (0, 3)
    queue.validate()


def test_end_rest_stops_and_ends_what_has_not_started(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [], 2: [1], 3: [2]}, limit=1, policies={3: ALWAYS})
    drive(queue, 0, FAILED)
    assert queue.next() == 1
    queue.end_rest(CANCELLED)
    assert queue.stopped
    assert states(queue) == [FAILED, RUNNING, CANCELLED, CANCELLED]
    queue.complete(1, SUCCEEDED)
    assert (queue.unfinished, queue.counts()[CANCELLED]) == (0, 2)
    queue.validate()


def test_a_task_given_back_after_stop_is_among_the_rest(ReadyQueue: QueueClass) -> None:
    queue = gate_of_one(ReadyQueue, 2)
    assert queue.next() == 0
    queue.stop()
    queue.give_back(0)
    assert (queue.state(0), queue.next()) == (READY, -1)
    queue.end_rest(ABORTED)
    assert (states(queue), queue.taken(0)) == ([ABORTED, ABORTED], 0)
    queue.validate()
