"""What the ready queue refuses, on both classes; a refusal changes nothing."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest

from tgtrio._states import CANCELLED, PENDING, READY, RUNNING, SUCCEEDED

from .queues import build, drive, gate_of_one, run_all, states

if TYPE_CHECKING:
    from .queues import QueueClass

NOT_TERMINAL = (PENDING, READY, RUNNING, -1, 8)


@pytest.mark.parametrize("state", NOT_TERMINAL)
def test_a_task_ends_only_in_a_terminal_state(ReadyQueue: QueueClass, state: int) -> None:
    queue = build(ReadyQueue, 2, limit=1)
    assert queue.next() == 0
    for illegal in (queue.complete, queue.complete_and_next, lambda _, s: queue.end(1, s)):
        with pytest.raises(ValueError, match=rf"^{state} is not the code of a terminal state"):
            illegal(0, state)
    with pytest.raises(ValueError, match="terminal"):
        queue.end_rest(state)
    assert (states(queue), queue.running, queue.stopped) == ([RUNNING, READY], 1, False)
    queue.validate()


def test_only_a_running_task_completes(ReadyQueue: QueueClass) -> None:
    queue = build(ReadyQueue, {0: [], 1: [0], 2: []}, limit=1)
    drive(queue, 0, SUCCEEDED)
    assert queue.end(1, CANCELLED)
    for task, word in enumerate(["succeeded", "cancelled", "ready"]):
        for illegal in (queue.complete, queue.complete_and_next):
            with pytest.raises(ValueError, match=rf"task {task} is {word}, not running"):
                illegal(task, SUCCEEDED)
        with pytest.raises(ValueError, match=rf"task {task} is {word}, not running"):
            queue.give_back(task)
    assert (states(queue), queue.running) == ([SUCCEEDED, CANCELLED, READY], 0)
    queue.validate()


@pytest.mark.parametrize("task", [-1, 3, 2_000_000_000])
def test_there_is_no_such_task(ReadyQueue: QueueClass, task: int) -> None:
    queue = gate_of_one(ReadyQueue, 3)
    asks = [queue.state, queue.waiting_for, queue.parent, queue.lane, queue.blocking_gates]
    for ask in [*asks, queue.give_back]:
        with pytest.raises(IndexError, match=f"no task {task}"):
            ask(task)
    for tell in (queue.complete, queue.complete_and_next, queue.end):
        with pytest.raises(IndexError, match=f"no task {task}"):
            tell(task, SUCCEEDED)


@pytest.mark.parametrize("gate", [-1, 1, 2_000_000_000])
def test_there_is_no_such_gate(ReadyQueue: QueueClass, gate: int) -> None:
    queue = gate_of_one(ReadyQueue, 3)
    asks = (queue.taken, queue.wanted, queue.close_gate, queue.open_gate)
    for ask in (*asks, lambda gate: queue.set_capacity(gate, 1)):
        with pytest.raises(IndexError, match=f"no gate {gate}"):
            ask(gate)


@pytest.mark.parametrize("number", [0, -1])
def test_limits_and_capacities_are_at_least_one(ReadyQueue: QueueClass, number: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        build(ReadyQueue, 1, limit=number)
    with pytest.raises(ValueError, match="at least 1"):
        gate_of_one(ReadyQueue, 1, capacity=number)
    queue = gate_of_one(ReadyQueue, 2)
    with pytest.raises(ValueError, match="at least 1"):
        queue.set_limit(number)
    with pytest.raises(ValueError, match="at least 1"):
        queue.set_capacity(0, number)
    assert run_all(queue) == [0, 1]


def ints(*numbers: int) -> array[int]:
    return array("i", numbers)


GOOD_BUFFERS = {
    "dependent_offsets": ints(0, 1, 1),
    "dependents": ints(1),
    "indegrees": ints(0, 1),
    "policies": bytes(2),
    "limit": 1,
    "lanes": ints(0, 1),
    "lane_gates": [(), (0,)],
    "capacities": [1],
}


def refused(queue_class: QueueClass, name: str, value: object) -> None:
    assert run_all(queue_class(**GOOD_BUFFERS)) == [0, 1]  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        queue_class(**GOOD_BUFFERS | {name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dependent_offsets", ints()),
        ("dependent_offsets", ints(0, 1)),
        ("dependent_offsets", ints(0, 1, 2)),
        ("dependents", ints()),
        ("dependents", bytes(4)),
        ("indegrees", ints(0, 1, 0)),
        ("policies", bytes(3)),
        ("policies", ints(0, 0)),
        ("lanes", ints(0)),
    ],
)
def test_buffers_that_do_not_fit(ReadyQueue: QueueClass, name: str, value: object) -> None:
    refused(ReadyQueue, name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dependent_offsets", ints(1, 1, 1)),
        ("dependent_offsets", ints(0, 5, 1)),
        ("dependents", ints(2)),
        ("dependents", ints(-1)),
        ("policies", bytes([0, 5])),
        ("lanes", ints(0, 2)),
        ("lanes", ints(0, -1)),
        ("lane_gates", [(0,), (0,)]),
        ("lane_gates", [(), (1,)]),
        ("lane_gates", [(), (-1,)]),
        ("lane_gates", [(), (0, 0)]),
    ],
)
def test_numbers_that_lead_nowhere(ReadyQueue: QueueClass, name: str, value: object) -> None:
    """Taken on trust they would lead the compiled class out of its memory, or over a cap."""
    refused(ReadyQueue, name, value)


def test_any_buffer_will_do(ReadyQueue: QueueClass) -> None:
    offsets, dependents = memoryview(ints(0, 1, 1)), memoryview(bytes(ints(1))).cast("i")
    queue = ReadyQueue(offsets, dependents, ints(0, 1), bytearray(2), 1)
    assert run_all(queue) == [0, 1]
