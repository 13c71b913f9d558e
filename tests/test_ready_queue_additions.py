"""Tasks that are added to a queue that is at work, on both classes."""

from __future__ import annotations

import itertools
import random
from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest

from tgtrio._states import (
    ABORT,
    ABORTED,
    ALWAYS,
    CANCELLED,
    CONTINUE_IF_ANY,
    FAILED,
    ON_FAILURE,
    PENDING,
    READY,
    SKIP,
    SKIPPED,
    SUCCEEDED,
)

from .naive_queue import verdict
from .queues import TERMINAL, add, build, drive, run_all, start_all, states

if TYPE_CHECKING:
    from .queues import QueueClass

POLICIES = [ABORT, SKIP, CONTINUE_IF_ANY, ALWAYS, ON_FAILURE]


# Order


def test_an_added_task_has_the_next_number(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 2)
    assert [add(queue), add(queue)] == [2, 3]
    assert (queue.total, queue.unfinished) == (4, 4)
    assert queue.states() == bytes([READY] * 4)


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_an_added_task_comes_before_the_task_of_its_position(
    ReadyQueue: QueueClass, position: int
) -> None:
    queue = build(ReadyQueue, 3)
    assert add(queue, position=position) == 3
    order = [0, 1, 2]
    order.insert(position, 3)
    assert run_all(queue) == order


def test_added_tasks_of_one_position_come_by_priority_deadline_and_number(
    ReadyQueue: QueueClass,
) -> None:
    keys = list(itertools.product([-inf, -1, 0, 2.5], [inf, 3, -1], range(2)))
    random.Random(1).shuffle(keys)
    queue = build(ReadyQueue, 2)
    expected = []
    for priority, deadline, _ in keys:
        task = add(queue, position=1, priority=priority, deadline=deadline)
        expected.append((-priority, deadline, task))
    assert run_all(queue) == [0, *(task for *_, task in sorted(expected)), 1]


def test_position_decides_before_priority(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 2)
    late, soon = add(queue, position=2, priority=9), add(queue, position=0, priority=-9)
    assert run_all(queue) == [soon, 0, 1, late]


def test_a_queue_built_with_nothing_grows(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 0)
    assert queue.next() == -1
    first = add(queue)
    second = add(queue, [first], priority=1)
    assert run_all(queue) == [first, second]
    assert queue.unfinished == 0


def test_an_added_task_that_is_given_back_has_its_place_again(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 2)
    for priority in range(3):
        add(queue, position=1, priority=priority)
    order = start_all(queue)
    assert order == [0, 4, 3, 2, 1]
    for task in (2, 0, 4, 1, 3):
        queue.give_back(task)
    assert start_all(queue) == order


def test_added_tasks_can_be_ended_held_detached_and_taken_over(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 1, limit=1)
    for _ in range(4):
        add(queue, position=1)
    assert queue.end(2, CANCELLED)
    assert queue.next() == 0
    queue.take_over(0, 3)
    assert queue.is_held(0)
    queue.detach(3)
    assert queue.next() == 1
    queue.hold(1)
    assert queue.let_go(1)
    assert queue.complete_and_next(3, SUCCEEDED) == 1
    queue.end_rest(CANCELLED)
    queue.complete(1, FAILED)
    assert states(queue) == [CANCELLED, FAILED, CANCELLED, SUCCEEDED, CANCELLED]
    queue.validate()


def test_many_are_added_to_a_small_queue_and_start_in_order(ReadyQueue: QueueClass) -> None:
    chance = random.Random(3)
    queue = build(ReadyQueue, 5, lanes=1, lane_gates=[(), (0,)], capacities=[10_000])
    expected: list[tuple[float, ...]] = [(task, 1, 0, 0, task) for task in range(5)]
    for task in range(5, 5_000):
        position, priority = chance.randint(0, 5), float(chance.randrange(4))
        deadline = chance.choice([inf, 1.0, 2.0])
        assert queue.add([], ABORT, chance.randint(0, 1), position, priority, deadline) == task
        expected.append((position, 0, -priority, deadline, task))
    queue.validate()
    for gone in chance.sample(range(5_000), 2_000):
        queue.end(gone, CANCELLED)
        expected[gone] = (inf,)
    queue.validate()
    assert start_all(queue) == [int(key[-1]) for key in sorted(expected) if len(key) > 1]


def test_a_chain_that_is_added_link_by_link_runs_through(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 1)
    last = 0
    for _ in range(3_000):
        last = add(queue, [last])
    assert run_all(queue) == list(range(3_001))
    queue.validate()


def test_a_cascade_runs_through_what_was_added(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [0]})
    last = 1
    for _ in range(3_000):
        last = add(queue, [last])
    drive(queue, 0, FAILED)
    assert queue.counts()[ABORTED] == 3_001
    assert queue.parent(last) == last - 1
    assert queue.parents() == {task: task - 1 for task in range(1, queue.total)}
    queue.validate()


# Dependencies


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("total", [1, 2, 3])
def test_it_makes_no_difference_whether_dependencies_ended_before(
    ReadyQueue: QueueClass, policy: int, total: int
) -> None:
    """Every outcome of so many dependencies in every order, added at every instant."""
    graph = {task: list(range(total)) if task == total else [] for task in range(total + 1)}
    for ends in itertools.product(TERMINAL, repeat=total):
        for order in itertools.permutations(range(total)):
            model = build(ReadyQueue, graph, policies={total: policy})
            assert start_all(model) == list(range(total))
            for task in order:
                model.complete(task, ends[task])
            for instant in range(total + 1):
                late = build(ReadyQueue, total)
                assert start_all(late) == list(range(total))
                for task in order[:instant]:
                    late.complete(task, ends[task])
                assert add(late, range(total), total, policy=policy) == total
                for task in order[instant:]:
                    late.complete(task, ends[task])
                assert states(late) == states(model), (ends, order)
                assert late.parent(total) == model.parent(total), (ends, order)
                assert late.waiting_for(total) == 0
                late.validate()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("end", TERMINAL)
def test_one_dependency_that_has_ended_and_one_that_has_not(
    ReadyQueue: QueueClass, policy: int, end: int
) -> None:
    queue = build(ReadyQueue, 2)
    drive(queue, 0, end)
    task = add(queue, [1, 0], policy=policy)
    assert queue.waiting_for(task) == 1
    assert queue.state(task) == verdict(policy, [end], 2)
    assert queue.parent(task) == (-1 if end == SUCCEEDED else 0)
    drive(queue, 1, SUCCEEDED)
    assert queue.waiting_for(task) == 0
    queue.validate()


def test_a_task_that_ends_as_it_is_added_is_logged_and_counted(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 1)
    queue.keep_log(False, False, True)
    drive(queue, 0, FAILED)
    task = add(queue, [0])
    unwanted = add(queue, policy=ON_FAILURE)
    assert [task for task, *_ in queue.take_log()] == [0, task, unwanted]
    assert (queue.unfinished, queue.state(task), queue.state(unwanted)) == (0, ABORTED, SKIPPED)
    assert queue.state(add(queue, [unwanted], policy=ABORT)) == SKIPPED


def test_dependents_are_told_in_the_order_of_their_numbers(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [0], 2: [0]})
    added = [add(queue, [0]) for _ in range(3)]
    queue.keep_log(False, False, True)
    drive(queue, 0, FAILED)
    assert [task for task, *_ in queue.take_log()] == [0, 1, 2, *added]


def test_an_added_task_may_wait_for_another_one(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [0]})
    middle = add(queue, [0], 2)
    last = add(queue, [1, middle], 0)
    assert [queue.state(task) for task in (middle, last)] == [PENDING, PENDING]
    assert run_all(queue) == [0, 1, middle, last]


# Gates


def test_an_added_head_is_parked_at_its_gate_in_order(ReadyQueue: QueueClass) -> None:
    gates: Any = {"lanes": [1, 2, 1], "lane_gates": [(), (0,), (0,)], "capacities": [1]}
    queue = build(ReadyQueue, 3, **gates)
    assert queue.next() == 0
    late, soon = add(queue, [], 3, lane=1), add(queue, [], 1, lane=2)
    assert queue.queued_at(0) == [soon, 1, 2, late]
    assert queue.next() == -1
    queue.validate()
    assert run_all_from(queue, 0) == [soon, 1, 2, late]


def run_all_from(queue: Any, task: int) -> list[int]:
    order = []
    while (task := queue.complete_and_next(task, SUCCEEDED)) >= 0:
        order.append(task)
        queue.validate()
    return order


def test_an_added_task_overtakes_the_lane_that_vouches_for_a_gate(ReadyQueue: QueueClass) -> None:
    queue = build(
        ReadyQueue, 2, lanes=[1, 2], lane_gates=[(), (0, 1), (0,)], capacities=[1, 1], limit=1
    )
    queue.close_gate(1)
    assert queue.next() == 1
    first = add(queue, [], 0, lane=2)
    assert queue.complete_and_next(1, SUCCEEDED) == first
    second = add(queue, [], 0, lane=1)
    assert queue.complete_and_next(first, SUCCEEDED) == -1
    assert queue.blocking_gates(second) == [1]
    queue.open_gate(1)
    assert queue.next() == second
    queue.validate()


# Refusals


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([3], 0, 0, 0, 0.0, inf), IndexError, "no task 3 among 3"),
        (([-1], 0, 0, 0, 0.0, inf), IndexError, "no task -1"),
        (([0, 1, 0], 0, 0, 0, 0.0, inf), ValueError, "twice"),
        (([], 5, 0, 0, 0.0, inf), ValueError, "policy"),
        (([], -1, 0, 0, 0.0, inf), ValueError, "policy"),
        (([], 0, 2, 0, 0.0, inf), ValueError, "lane"),
        (([], 0, -1, 0, 0.0, inf), ValueError, "lane"),
        (([], 0, 0, 4, 0.0, inf), ValueError, "position"),
        (([], 0, 0, -1, 0.0, inf), ValueError, "position"),
        (([], 0, 0, 0, nan, inf), ValueError, "NaN"),
        (([], 0, 0, 0, 0.0, nan), ValueError, "NaN"),
        ((["0"], 0, 0, 0, 0.0, inf), TypeError, "integer"),
        ((None, 0, 0, 0, 0.0, inf), TypeError, "iterable"),
    ],
)
def test_an_addition_that_does_not_fit_changes_nothing(
    ReadyQueue: QueueClass, arguments: Any, error: type[Exception], words: str
) -> None:
    queue = build(ReadyQueue, 3, lanes=1, lane_gates=[(), (0,)], capacities=[1])
    with pytest.raises(error, match=words):
        queue.add(*arguments)
    assert (queue.total, queue.unfinished, queue.counts()[READY]) == (3, 3, 3)
    queue.validate()
    assert add(queue) == 3


def test_a_queue_without_lanes_has_lane_zero(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 3)
    with pytest.raises(ValueError, match="lane"):
        add(queue, lane=1)
    assert queue.lane(add(queue, lane=0)) == 0


def test_nothing_is_added_after_stop(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 1)
    queue.stop()
    with pytest.raises(ValueError, match="stopped"):
        add(queue)
    assert queue.total == 1
