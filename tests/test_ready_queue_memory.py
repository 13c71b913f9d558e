"""Memory of the compiled ready queue: what follows when there is none, and that it is returned."""

from __future__ import annotations

import gc
import tracemalloc
from array import array
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from tgtrio._states import ABORT, FAILED, ON_FAILURE, SUCCEEDED

from .queues import add, build, drive, queue_classes, run_all, start_all

if TYPE_CHECKING:
    from tgtrio._ready_queue import ReadyQueue

_testcapi: Any = pytest.importorskip("_testcapi")

Change = Callable[["ReadyQueue"], object]


@pytest.fixture
def compiled() -> Any:
    classes = queue_classes()
    if "compiled" not in classes:
        pytest.skip("tgtrio._ready_queue is not compiled here")
    return classes["compiled"]


def shown(queue: ReadyQueue) -> list[object]:
    return [
        queue.total,
        queue.running,
        queue.unfinished,
        queue.states(),
        queue.counts(),
        queue.parents(),
        queue.ready_in_lanes(),
        [queue.lane(task) for task in range(queue.total)],
        [queue.waiting_for(task) for task in range(queue.total)],
    ]


CHANGES: dict[str, Change] = {
    "a ready task": lambda queue: queue.add((), ABORT, 1, 1, 0.0, inf),
    "a waiting task": lambda queue: queue.add((2, 3), ABORT, 1, 1, 0.0, inf),
    "a task that ends at once": lambda queue: queue.add((0,), ABORT, 1, 1, 0.0, inf),
    "an unwanted task": lambda queue: queue.add((), ON_FAILURE, 1, 1, 0.0, inf),
    "a gate": lambda queue: queue.add_gate(1),
    "a lane": lambda queue: queue.add_lane((0, 1)),
    "other lanes": lambda queue: queue.relane(array("i", [2, 1, 0, 2])),
}


def make(compiled: Any, laned: bool) -> ReadyQueue:
    gates: dict[str, Any] = {"lanes": 1} if laned else {}
    gates |= {"lane_gates": [(), (0,), (1,)], "capacities": [2] * 8}  # the next gate needs memory
    queue = build(compiled, 4, **gates)
    queue.keep_log(False, False, True)
    drive(queue, 0, FAILED if laned else SUCCEEDED)
    assert queue.next() == 1
    return queue


@pytest.mark.parametrize("laned", [True, False])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_happens_or_changes_nothing(compiled: Any, change: Change, laned: bool) -> None:
    """Each allocation on the way fails once."""
    failures, done = 0, False
    while not done:
        queue = make(compiled, laned)
        before = shown(queue)
        _testcapi.set_nomemory(failures, failures + 1)
        try:
            change(queue)
            done = True
        except MemoryError:
            failures += 1
        finally:
            _testcapi.remove_mem_hooks()
        queue.validate()
        if not done:
            assert shown(queue) == before
            change(queue)  # now there is memory
            queue.validate()
        start_all(queue)
        queue.validate()
    assert failures


def test_the_first_lane_comes_or_nothing_has_changed(compiled: Any) -> None:
    for failure in range(20):
        queue = build(compiled, 3, capacities=[1])
        assert queue.next() == 0
        before = shown(queue)
        _testcapi.set_nomemory(failure, failure + 1)
        try:
            queue.add_lane((0,))
        except MemoryError:
            pass
        else:
            assert failure
            break
        finally:
            _testcapi.remove_mem_hooks()
        queue.validate()
        assert shown(queue) == before
        assert queue.add_lane((0,)) == 1
        queue.complete(0, SUCCEEDED)
        queue.validate()


def test_growing_fails_without_harm_and_goes_on(compiled: Any) -> None:
    queue = build(compiled, 4, lanes=1, lane_gates=[(), (0,)], capacities=[3])
    refused = 0
    for step in range(300):
        before = queue.total
        _testcapi.set_nomemory(step % 7, step % 7 + 1)
        try:
            queue.add((step % before,), ABORT, step % 2, 0, 0.0, inf)
        except MemoryError:
            refused += 1
            assert queue.total == before
        finally:
            _testcapi.remove_mem_hooks()
    assert 0 < refused < 300
    queue.validate()
    assert len(run_all(queue)) == queue.total


def live(compiled: Any) -> None:
    queue = build(
        compiled, 50, lanes=[k % 3 for k in range(50)], lane_gates=[(), (0,), (0, 1)],
        capacities=[1, 1],
    )  # fmt: skip
    for task in range(200):
        add(queue, [task], lane=task % 3, priority=task % 5)
    queue.add_lane([queue.add_gate(1), 0])
    queue.relane(array("i", [task % 4 for task in range(queue.total)]))
    for task in start_all(queue):
        queue.complete(task, FAILED)


def test_all_memory_is_given_back(compiled: Any) -> None:
    live(compiled)
    gc.collect()
    tracemalloc.start()
    try:
        live(compiled)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            live(compiled)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 2_000  # one queue of these takes more than 10,000 bytes


def test_a_queue_that_was_refused_gives_back_what_it_had(compiled: Any) -> None:
    def refused() -> None:
        for bad in ({"lanes": 9}, {"lane_gates": [(), (7,)]}, {"capacities": [1, 0]}):
            gates: dict[str, Any] = {"lanes": 1, "lane_gates": [(), (0,)], "capacities": [1]}
            with pytest.raises(ValueError):
                build(compiled, 1_000, **(gates | bad))

    refused()
    tracemalloc.start()
    try:
        refused()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            refused()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 5_000  # the nodes alone of one take 8,000


def test_a_queue_is_built_once(compiled: Any) -> None:
    queue = build(compiled, 2)
    add(queue)
    empty = array("i", [0]), array("i"), array("i"), b"", 1
    with pytest.raises(ValueError, match="built already"):
        queue.__init__(*empty)  # type: ignore[misc]
    queue.validate()
    assert run_all(queue) == [2, 0, 1]


def test_a_queue_that_was_not_built_starts_nothing_and_takes_nothing(compiled: Any) -> None:
    queue = compiled.__new__(compiled)
    assert (queue.next(), queue.startable(), queue.total) == (-1, False, 0)
    with pytest.raises(ValueError, match="stopped"):
        add(queue)
    with pytest.raises(IndexError):
        queue.complete(0, SUCCEEDED)
