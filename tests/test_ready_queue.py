"""What the ready queue promises of order, policies and cascades, on both classes."""

from __future__ import annotations

import itertools
import random
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

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
from .queues import TERMINAL, build, drive, run_all, start_all, states

if TYPE_CHECKING:
    from .queues import QueueClass

MILLION = 1_000_000


# Order


def test_tasks_start_by_their_number(ReadyQueue: QueueClass) -> None:
    assert run_all(build(ReadyQueue, 5)) == [0, 1, 2, 3, 4]


def test_a_task_starts_after_its_dependencies(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [2, 3], 1: [0], 2: [3], 3: []})
    assert states(queue) == [PENDING, PENDING, PENDING, READY]
    assert run_all(queue) == [3, 2, 0, 1]


def test_a_smaller_number_that_gets_ready_later_overtakes(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [1], 1: [], 2: [], 3: []})
    assert run_all(queue) == [1, 0, 2, 3]


def test_the_order_is_total_across_lanes(ReadyQueue: QueueClass) -> None:
    lanes = [0, 1, 2, 3, 2, 1, 0, 3]
    queue = build(ReadyQueue, 8, lanes=lanes, lane_gates=[(), (0,), (1,), ()], capacities=[9, 9])
    assert start_all(queue) == list(range(8))
    queue.validate()


def test_nothing_to_do(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, 0)
    assert (queue.total, queue.running, queue.unfinished, queue.next()) == (0, 0, 0, -1)
    assert queue.counts() == [0] * 8
    assert not queue.startable()
    queue.end_rest(CANCELLED)
    queue.validate()


# Policies

EXAMPLES = [
    # policy, states of the dependencies, what follows: the documented table, read aloud
    (ABORT, [SUCCEEDED, SUCCEEDED], READY),
    (ABORT, [SUCCEEDED, FAILED], ABORTED),
    (ABORT, [SKIPPED, ABORTED], ABORTED),
    (ABORT, [SKIPPED, SUCCEEDED], SKIPPED),
    (SKIP, [SUCCEEDED, SUCCEEDED], READY),
    (SKIP, [SUCCEEDED, CANCELLED], SKIPPED),
    (SKIP, [SKIPPED, SUCCEEDED], SKIPPED),
    (CONTINUE_IF_ANY, [FAILED], READY),
    (CONTINUE_IF_ANY, [SKIPPED], READY),
    (CONTINUE_IF_ANY, [FAILED, SUCCEEDED, SKIPPED], READY),
    (CONTINUE_IF_ANY, [FAILED, SKIPPED], ABORTED),
    (CONTINUE_IF_ANY, [FAILED, FAILED], ABORTED),
    (CONTINUE_IF_ANY, [SKIPPED, SKIPPED], SKIPPED),
    (ALWAYS, [FAILED, SKIPPED], READY),
    (ON_FAILURE, [SUCCEEDED, FAILED], READY),
    (ON_FAILURE, [SUCCEEDED, SKIPPED], SKIPPED),
]


@pytest.mark.parametrize(("policy", "ends", "expected"), EXAMPLES)
def test_the_policies_by_example(
    ReadyQueue: QueueClass, policy: int, ends: list[int], expected: int
) -> None:
    last = len(ends)
    graph = {task: list(range(last)) if task == last else [] for task in range(last + 1)}
    queue = build(ReadyQueue, graph, policies={last: policy})
    for task, end in enumerate(ends):
        drive(queue, task, end)
    assert queue.state(last) == expected


@pytest.mark.parametrize("policy", [ABORT, SKIP, CONTINUE_IF_ANY, ALWAYS, ON_FAILURE])
@pytest.mark.parametrize("total", [1, 2, 3])
def test_the_whole_table_in_every_order(ReadyQueue: QueueClass, policy: int, total: int) -> None:
    """Whatever ends first: the state is right after each end, and final as soon as it can be."""
    graph = {task: list(range(total)) if task == total else [] for task in range(total + 1)}
    for ends in itertools.product(TERMINAL, repeat=total):
        for order in itertools.permutations(range(total)):
            queue = build(ReadyQueue, graph, policies={total: policy})
            assert start_all(queue) == list(range(total))
            expected, known = PENDING, []
            for task in order:
                queue.complete(task, ends[task])
                known.append(ends[task])
                if expected == PENDING:
                    expected = verdict(policy, known, total)
                assert queue.state(total) == expected, (ends, order)
            assert expected != PENDING
            queue.validate()


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        *((policy, READY) for policy in (ABORT, SKIP, CONTINUE_IF_ANY, ALWAYS)),
        (ON_FAILURE, SKIPPED),
    ],
)
def test_a_task_without_dependencies_is_settled_at_once(
    ReadyQueue: QueueClass, policy: int, expected: int
) -> None:
    assert states(build(ReadyQueue, 1, policies=policy)) == [expected]


def test_the_constructor_cascades(ReadyQueue: QueueClass) -> None:
    graph = {0: [1], 1: [3], 2: [1], 3: [], 4: [2]}
    queue = build(ReadyQueue, graph, policies={3: ON_FAILURE, 2: ALWAYS, 0: SKIP})
    assert states(queue) == [SKIPPED, SKIPPED, READY, SKIPPED, PENDING]
    assert (queue.unfinished, queue.parent(1), queue.parent(0)) == (2, 3, 1)
    assert run_all(queue) == [2, 4]


# Cascades


@pytest.mark.parametrize(
    ("policy", "outcome", "rest"),
    [(ABORT, FAILED, ABORTED), (SKIP, CANCELLED, SKIPPED), (ABORT, SKIPPED, SKIPPED)],
)
def test_a_chain_of_a_million_ends_at_once(
    ReadyQueue: QueueClass, policy: int, outcome: int, rest: int
) -> None:
    offsets = array("i", [*range(MILLION), MILLION - 1])
    indegrees = array("i", [0] + [1] * (MILLION - 1))
    links = array("i", range(1, MILLION))
    queue = ReadyQueue(offsets, links, indegrees, bytes([policy]) * MILLION, 1)
    drive(queue, 0, outcome)
    counts = queue.counts()
    assert (counts[outcome], counts[rest], sum(counts)) == (
        (MILLION, MILLION, MILLION) if outcome == rest else (1, MILLION - 1, MILLION)
    )
    assert (queue.unfinished, queue.parent(MILLION - 1)) == (0, MILLION - 2)


def test_one_failure_ends_a_hundred_thousand_dependents(ReadyQueue: QueueClass) -> None:
    graph = {task: [0] if task else [] for task in range(100_000)}
    queue = build(ReadyQueue, graph)
    drive(queue, 0, FAILED)
    assert queue.counts()[ABORTED] == 99_999


def test_a_cascade_goes_on_through_a_task_that_runs_after_all(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [0], 2: [1], 3: [2]}, policies={2: ALWAYS})
    drive(queue, 0, FAILED)
    assert states(queue) == [FAILED, ABORTED, READY, PENDING]
    assert run_all(queue) == [2, 3]


def test_a_task_that_ended_hears_of_its_other_dependencies(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [], 2: [0, 1]})
    drive(queue, 0, FAILED)
    assert (queue.state(2), queue.waiting_for(2)) == (ABORTED, 1)
    drive(queue, 1, SUCCEEDED)
    assert (queue.state(2), queue.waiting_for(2)) == (ABORTED, 0)


# Parents


@pytest.mark.parametrize(
    ("policy", "ends", "expected"),
    [
        (ABORT, [SUCCEEDED, SUCCEEDED], -1),
        (ABORT, [SUCCEEDED, FAILED], 1),
        (ABORT, [SKIPPED, SUCCEEDED], 0),
        (ABORT, [SKIPPED, FAILED], 1),
        (ALWAYS, [SKIPPED, SKIPPED], 0),
        (ALWAYS, [FAILED, FAILED], 0),
        (ALWAYS, [FAILED, SKIPPED], 0),
        (ALWAYS, [SKIPPED, SUCCEEDED, ABORTED, CANCELLED], 2),
        # settled by the first; what comes later is not to blame
        (SKIP, [SKIPPED, FAILED], 0),
        (ABORT, [FAILED, CANCELLED], 0),
    ],
)
def test_the_parent_is_the_first_that_failed_or_else_was_skipped(
    ReadyQueue: QueueClass, policy: int, ends: list[int], expected: int
) -> None:
    last = len(ends)
    graph = {task: list(range(last)) if task == last else [] for task in range(last + 1)}
    queue = build(ReadyQueue, graph, policies={last: policy})
    assert queue.parent(last) == -1
    for task, end in enumerate(ends):
        drive(queue, task, end)
    assert queue.parent(last) == expected


def test_the_parent_stays_when_the_task_was_ended_from_outside(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [], 2: [0, 1]}, policies=ALWAYS)
    assert queue.end(2, CANCELLED)
    drive(queue, 0, FAILED)
    assert queue.parent(2) == -1


def test_parents_lead_to_the_root(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [3], 2: [1], 3: [0]})
    drive(queue, 0, FAILED)
    assert [queue.parent(task) for task in (2, 1, 3, 0)] == [1, 3, 0, -1]


# Questions


def test_counts_add_up(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [0], 2: [], 3: [], 4: [], 5: [], 6: [4], 7: [5], 8: []})
    for task, end in [(0, SUCCEEDED), (1, SKIPPED), (2, FAILED)]:
        drive(queue, task, end)
    assert [queue.next(), queue.next()] == [3, 4]
    assert queue.end(5, CANCELLED)
    assert queue.counts() == [1, 1, 2, 1, 1, 1, 1, 1]
    assert (queue.total, queue.running, queue.unfinished) == (9, 2, 4)


def test_waiting_for_counts_down(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [], 2: [], 3: [0, 1, 2]}, policies=ALWAYS)
    seen = [queue.waiting_for(3)]
    for task, end in enumerate([SUCCEEDED, FAILED, SKIPPED]):
        drive(queue, task, end)
        seen.append(queue.waiting_for(3))
    assert seen == [3, 2, 1, 0]


# The words of the compiled class's bit maps hold 64 tasks, then 64 words, then 64 of those


BOUNDARIES = [1, 63, 64, 65, 4095, 4096, 4097, 262_143, 262_144, 262_145]


@pytest.mark.parametrize("lane", [0, 1])
@pytest.mark.parametrize("total", BOUNDARIES)
def test_every_task_is_found_at_the_boundaries(
    ReadyQueue: QueueClass, total: int, lane: int
) -> None:
    queue = build(ReadyQueue, total, lanes=lane, lane_gates=[(), (0,)], capacities=[MILLION])
    assert start_all(queue) == list(range(total))
    again = sorted({*random.Random(total).sample(range(total), min(total, 50)), 0, total - 1})
    for task in reversed(again):
        queue.give_back(task)
    assert start_all(queue) == again
    assert queue.running == total


@pytest.mark.parametrize("lane", [0, 1])
@pytest.mark.parametrize("total", BOUNDARIES)
def test_few_tasks_are_found_among_many_that_ended(
    ReadyQueue: QueueClass, total: int, lane: int
) -> None:
    queue = build(ReadyQueue, total, lanes=lane, lane_gates=[(), (0,)], capacities=[1])
    few = {e + d for e in [0, *BOUNDARIES, total] for d in (-2, -1, 0, 1)} & set(range(total))
    for task in set(range(total)) - few:
        queue.end(task, CANCELLED)
    assert run_all(queue) == sorted(few)
    queue.validate()


def layers(width: int, depth: int) -> Iterator[tuple[int, list[int]]]:
    for task in range(width * depth):
        above = task - task % width - width
        yield task, [above + task % width, above + (task + 1) % width] if above >= 0 else []


def test_a_queue_of_many_layers_runs_dry(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, dict(layers(50, 40)), limit=7)
    running: set[int] = set(start_all(queue))
    chance = random.Random(1)
    done = 0
    while running:
        task = chance.choice(sorted(running))
        running.remove(task)
        queue.complete(task, SUCCEEDED)
        running.update(start_all(queue))
        done += 1
    assert (done, queue.unfinished) == (2000, 0)
    queue.validate()
