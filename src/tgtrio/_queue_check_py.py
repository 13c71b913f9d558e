"""The self-check of the ready queue in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ._states import FIRST_TERMINAL, PENDING, READY, RUNNING, STANDING

if TYPE_CHECKING:
    from ._ready_queue_py import ReadyQueue


def validate(queue: ReadyQueue) -> None:
    for problem in (*_wrong_totals(queue), *_wrong_lanes(queue), *_wrong_tasks(queue)):
        raise AssertionError(problem)


def _wrong_totals(queue: ReadyQueue) -> Iterator[str]:
    owning = queue._states.count(RUNNING) - len(queue._detached)
    if queue.running != owning:
        yield f"{owning} tasks own a slot, counted {queue.running}"
    for task in (*queue._held, *queue._detached):
        if queue._states[task] != (READY if task in queue._held else RUNNING):
            yield f"task {task} in state {queue._states[task]} is set aside"
    unfinished = sum(state < FIRST_TERMINAL for state in queue._states)
    if queue.unfinished != unfinished:
        yield f"{unfinished} tasks are unfinished, counted {queue.unfinished}"
    running = [t for t, state in enumerate(queue._states) if state == RUNNING]
    lanes = (queue._lanes[task] for task in running if task not in queue._detached)
    inside = Counter(gate for lane in lanes for gate in queue._gates[lane])
    for gate, taken in enumerate(queue._taken):
        if taken != inside[gate]:
            yield f"gate {gate} holds {inside[gate]} tasks, counted {taken}"


def _wrong_lanes(queue: ReadyQueue) -> Iterator[str]:
    queued = Counter(task for heap in queue._ready for task in heap)
    for task, state in enumerate(queue._states):
        ready = state == READY and task not in queue._held
        if (ready and queued[task] != 1) or (state <= READY and not ready and queued[task]):
            yield f"task {task} in state {state} is queued {queued[task]} times"
    for lane, heap in enumerate(queue._ready):
        if any(queue._lanes[task] != lane for task in heap):
            yield f"lane {lane} queues a task of another lane"
        if any(heap[(i - 1) // 2] > heap[i] for i in range(1, len(heap))):
            yield f"the tasks of lane {lane} are out of order"
        if bool(heap) != (lane in queue._busy):
            yield f"lane {lane} is wrongly marked"


def _wrong_tasks(queue: ReadyQueue) -> Iterator[str]:
    """Recount what each task has heard. After `stop` it may have heard less than happened."""
    waiting, seen = [0] * queue.total, [0] * queue.total
    for task, state in enumerate(queue._states):
        for dependent in queue._dependents_of(task):
            waiting[dependent] += state < FIRST_TERMINAL
            seen[dependent] |= 1 << STANDING[state] if state in STANDING else 0
    for task, state in enumerate(queue._states):
        if queue._waiting[task] < waiting[task] or (
            queue._waiting[task] > waiting[task] and not queue.stopped
        ):
            yield f"task {task} waits for {waiting[task]}, counted {queue._waiting[task]}"
        if state < FIRST_TERMINAL and queue._seen[task] != seen[task] and not queue.stopped:
            yield f"task {task} has seen {seen[task]:03b}, noted {queue._seen[task]:03b}"
        if (state == PENDING) == (not queue._waiting[task]) and state < FIRST_TERMINAL:
            yield f"task {task} in state {state} waits for {queue._waiting[task]}"
