"""The compiled lanes alone, in plain threads and without Trio: what they take and report."""

from __future__ import annotations

import operator
import os
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import pytest

from tgtrio._columns import Columns
from tgtrio._states import FAILED, PENDING, READY, RUNNING, SUCCEEDED

from .lanes import LONG, Gate, switching_every
from .runs import Args, graph_of, task

try:
    from tgtrio._lane import RAISED, RETURNED, Lane, LaneGroup
    from tgtrio._pump import THREADED, Dispatch
    from tgtrio._ready_queue import ReadyQueue
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    pytest.skip("tgtrio._lane is not compiled here", allow_module_level=True)


class Lanes:
    """What a run has for its lanes: the action `work` is theirs, all others are not."""

    def __init__(
        self, *tasks: str | dict[str, Any], work: Callable[[Args], object], limit: int = 9
    ) -> None:
        plan = graph_of(*tasks).freeze()
        self.columns = Columns(len(plan))
        self.queue = ReadyQueue(
            plan.dependent_offsets, plan.dependents, plan.indegrees, plan.policies, limit
        )
        dispatch = Dispatch(
            host=self,  # type: ignore[arg-type]  # lanes do not ask it here
            queue=self.queue,
            plan=plan,
            functions=[work] * len(plan.actions),
            kinds=array("H", [THREADED * (name == "work") for name in plan.actions]),
            flags=bytearray(plan.flags),
            columns=self.columns,
            context=copy_context(),
            clock=lambda: 0.0,
            system_offset=0.0,
            locks={},
        )
        self.heard = threading.Semaphore(0)
        self.group = LaneGroup(dispatch, self.heard.release)

    def hear(self) -> list[tuple[int, int, int, int, object]]:
        """Wait until the lanes say something; what they report then."""
        assert self.heard.acquire(timeout=LONG)
        return self.group.take_reports()

    def states(self) -> list[int]:
        return list(self.queue.states())

    @contextmanager
    def running(self) -> Iterator[tuple[Lane, list[bool]]]:
        """One lane in a thread of its own, and what its `run` has returned in the end."""
        lane, returned = Lane(self.group), list[bool]()
        thread = threading.Thread(target=lambda: returned.append(lane.run()))
        thread.start()
        try:
            yield lane, returned
        finally:
            self.group.close()
            thread.join(LONG)
        assert not thread.is_alive()


def test_it_runs_all_that_is_ready_in_order_tells_the_queue_and_returns_when_closed() -> None:
    lanes = Lanes("a", task("b", "a"), "c", work=lambda args: 7)
    with lanes.running() as (lane, returned):
        assert lanes.hear() == []
        assert lanes.states() == [SUCCEEDED] * 3
        assert lanes.columns.responses == [7] * 3
        assert lane.task == -1
        assert not returned
    assert returned == [False]


def test_what_is_not_for_a_lane_is_given_back_and_trio_told() -> None:
    lanes = Lanes("a", task("other", action_name="other"), "c", work=lambda args: 7, limit=1)
    with lanes.running():
        lanes.hear()
        assert lanes.states() == [SUCCEEDED, READY, READY]
        assert lanes.queue.next() == 1
        lanes.queue.complete(1, SUCCEEDED)
        lanes.group.call()
        lanes.hear()
        assert lanes.states() == [SUCCEEDED] * 3


def test_called_while_it_is_about_to_park_it_does_not_miss_the_work() -> None:
    """Async work and work for the lane take turns: each time it parks, and is called."""
    kinds = ("work", "other")
    chain = [
        task(str(n), *([str(n - 1)] if n else []), action_name=kinds[n % 2]) for n in range(400)
    ]
    lanes = Lanes(*chain, work=len)
    with switching_every(1e-6), lanes.running():
        for n in range(1, 400, 2):
            lanes.hear()
            assert lanes.queue.next() == n
            lanes.queue.complete(n, SUCCEEDED)
            lanes.group.call()
        assert lanes.states() == [SUCCEEDED] * 400


def test_what_raised_is_reported_and_everything_after_it_until_all_is_taken() -> None:
    def work(args: Args) -> int:
        if args["n"] in (1, 3):
            raise errors[args["n"]]
        return int(args["n"])

    errors = {1: ValueError(), 3: KeyboardInterrupt()}
    tasks = [task(str(n), normalized_args={"n": n}) for n in range(5)]
    later = task("later", "0", "2", "4", normalized_args={"n": 9})
    lanes = Lanes(*tasks, later, work=work)
    with lanes.running():
        reports: list[tuple[int, int, object]] = []
        while len(reports) < 4:
            reports += [(task, how, value) for task, _, _, how, value in lanes.hear()]
        assert reports == [
            (1, RAISED, errors[1]),
            (2, RETURNED, 2),
            (3, RAISED, errors[3]),
            (4, RETURNED, 4),
        ]
        assert lanes.states() == [SUCCEEDED, RUNNING, RUNNING, RUNNING, RUNNING, PENDING]
        for rank, how, _ in reports:
            lanes.queue.complete(rank, FAILED if how == RAISED else SUCCEEDED)
        assert lanes.group.take_reports() == []
        lanes.group.call()
        assert lanes.hear() == []
    assert lanes.states()[-1] == SUCCEEDED


def test_condemned_it_returns_after_the_attempt_and_reports_the_first_reason_alone() -> None:
    gate = Gate(lambda: "value")
    lanes = Lanes("a", "b", work=gate, limit=1)
    with lanes.running() as (lane, returned):
        assert gate.called.wait(LONG)
        assert lane.task == 0
        assert not lane.condemn(1)
        assert lane.condemn(0)
        assert not lane.condemn(0)
        gate.may_end.set()
        ((rank, _, doom, how, value),) = lanes.hear()
        assert (rank, doom, how, value) == (0, 1, RETURNED, "value")
        assert not lane.condemn(0)
        assert lanes.states() == [RUNNING, READY]
    assert returned == [True]


def test_a_spare_asks_for_another_lane_once_and_no_more_while_one_is_coming() -> None:
    gate = Gate()
    lanes = Lanes("a", "b", "c", work=gate)
    with lanes.running():
        assert gate.called.wait(LONG)
        lanes.hear()
        assert lanes.group.wanted
        lanes.group.wanted, lanes.group.coming = False, True
        lanes.group.call()
        assert not lanes.group.wanted
        gate.may_end.set()


def test_closed_it_returns_as_soon_as_the_queue_lets_nothing_start() -> None:
    gate = Gate()
    lanes = Lanes("a", "b", work=gate, limit=1)
    with lanes.running():
        assert gate.called.wait(LONG)
        lanes.queue.stop()
        lanes.group.close()
        gate.may_end.set()
    assert gate.calls == 1
    assert lanes.states() == [SUCCEEDED, READY]


def test_functions_that_are_no_python_code_leave_turns_to_other_threads() -> None:
    """Only Python code lets go of the GIL when others ask for it."""
    tasks = [task(str(n), normalized_args={"n": list(range(1000))}) for n in range(1000)]
    lanes = Lanes(*tasks, work=operator.methodcaller("__repr__"), limit=1)
    with switching_every(1e-4), lanes.running():
        while lanes.queue.unfinished == 1000:
            pass
        assert lanes.queue.unfinished > 0
