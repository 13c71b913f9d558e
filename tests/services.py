"""Actions that fail on purpose, and breakers that several runs share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from tgtrio import INHERIT, BreakerPolicy, CircuitBreaker, GraphResult, RetryPolicy, Run, TaskGraph
from tgtrio._breakers import Breakers
from tgtrio._chronicle import Chronicle
from tgtrio._run import Shared, prepare

from .runs import Args, AsyncAction, raises, returns


class Service:
    """An action that does at each call what comes next, and knows when it was called for whom.

    Args:
        steps: What the first calls do, one after the other.
        then: What all later calls do.
    """

    def __init__(self, *steps: AsyncAction, then: AsyncAction | None = None) -> None:
        self._steps = list(reversed(steps))
        self._then = returns() if then is None else then
        self.calls: list[tuple[float, str]] = []

    async def __call__(self, args: Args) -> object:
        self.calls.append((trio.current_time(), args.get("id", "")))
        step = self._steps.pop() if self._steps else self._then
        return await step(args)

    @property
    def times(self) -> list[float]:
        """The instants of the calls."""
        return [when for when, _ in self.calls]

    @property
    def callers(self) -> list[str]:
        """The tasks that were worked for, in the order of the calls."""
        return [task_id for _, task_id in self.calls]


def following(outcomes: str) -> Service:
    """Calls that succeed (S) or fail (F) one after the other, and succeed from then on."""
    return Service(*(raises() if one == "F" else returns() for one in outcomes))


def after(delay: float, step: AsyncAction) -> AsyncAction:
    """A step that takes some seconds more."""

    async def action(args: Args) -> object:
        await trio.sleep(delay)
        return await step(args)

    return action


class Exactly(RetryPolicy):
    """Back-offs without jitter: a whole number of seconds each, so that instants are exact."""

    def delay(self, k: int, rng: Any) -> float:
        return min(self.base * float(2**k), self.cap)


def job(task_id: str, *dependencies: str, **fields: Any) -> dict[str, Any]:
    """A task that tells the action its id."""
    args = {"id": task_id, **fields.pop("normalized_args", {})}
    return {"task_id": task_id, "dependencies": dependencies, "normalized_args": args, **fields}


def jobs(count: int, prefix: str = "", **fields: Any) -> list[dict[str, Any]]:
    """That many tasks, from "0" on."""
    return [job(f"{prefix}{n}", **fields) for n in range(count)]


def make_breakers(policy: BreakerPolicy | None = None) -> Breakers:
    """Breakers that several runs may share, as those of a scheduler."""
    return Breakers(policy or BreakerPolicy(), Chronicle(None, None))


def breaker_of(breakers: Breakers, action: str = "work") -> CircuitBreaker:
    breaker = breakers.of(action, INHERIT)
    assert breaker is not None
    return breaker


@asynccontextmanager
async def running(
    breakers: Breakers, graph: TaskGraph, actions: object, **options: Any
) -> AsyncIterator[Run]:
    """`open_run` with breakers that others use too."""
    engine = prepare(graph, actions, options, Shared(breakers=breakers))
    await engine.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.execute)
        yield Run(engine)


async def run_with(
    breakers: Breakers, graph: TaskGraph, actions: object, **options: Any
) -> GraphResult:
    """`run_graph` with breakers that others use too."""
    async with running(breakers, graph, actions, **options) as run:
        return await run.wait()
