"""What the tests of plain functions in threads share."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio

from tgtrio import GraphResult, RetryPolicy, TaskGraph, run_graph

from .runs import Args

LONG = 20  # seconds until a test gives up
QUICK = RetryPolicy(base=0.0005)


async def run(graph: TaskGraph, actions: object, **options: Any) -> GraphResult:
    with trio.fail_after(LONG):
        return await run_graph(graph, actions, **options)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what a thread does."""
    with trio.fail_after(LONG):
        while not condition():  # noqa: ASYNC110 - a thread sets no trio.Event
            await trio.sleep(0.001)


def wait_until_cancelled() -> None:
    """Called in a thread of Trio's."""
    while True:
        trio.from_thread.check_cancelled()
        time.sleep(0.0005)


def keep_trio_busy(seconds: float) -> None:
    """Leave the processor to the threads, without a turn for any Trio task."""
    time.sleep(seconds)


@contextmanager
def switching_every(seconds: float) -> Iterator[None]:
    """Threads change places that often, if several have something to do."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class Gate:
    """A function that says when it is called and ends when it may.

    Args:
        make: Makes what it returns.
        error: What it raises instead.
    """

    def __init__(
        self, make: Callable[[], object] = lambda: None, error: Exception | None = None
    ) -> None:
        self._make, self._error = make, error
        self.called, self.may_end = threading.Event(), threading.Event()
        self.calls = 0

    def __call__(self, args: Args) -> object:
        self.calls += 1
        self.called.set()
        assert self.may_end.wait(LONG)
        if self._error is not None:
            raise self._error
        return self._make()

    async def until_called(self) -> None:
        await until(self.called.is_set)
