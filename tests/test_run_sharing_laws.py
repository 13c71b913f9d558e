"""Laws of shared work, in random graphs in which everything fails and is cancelled at random."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio import BreakerPolicy, GraphResult, RetryLater, RetryPolicy, Run, TaskState, open_run
from tgtrio._columns import ClockMap
from tgtrio._context import TaskContext

from .runs import Args, graph_of, nap

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEYS = 3
OUTCOMES = ["value", "value", "error", "later", "late"]


@attrs.frozen
class Scenario:
    """A graph, what the calls come to (by key, in order), and what happens meanwhile."""

    tasks: list[dict[str, Any]]
    script: dict[int, list[tuple[int, str]]]
    cancels: list[tuple[float, str]]
    options: dict[str, Any]
    limiter: bool
    kept: tuple[int, int]  # when somebody else has the limiter


def _tasks(draw: st.DrawFn) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = []
    for n in range(draw(st.integers(2, 14))):
        before = [one["task_id"] for one in tasks]
        naps = draw(st.integers(0, 3)) == 0
        deadline = draw(st.none() | st.integers(1, 12))
        tasks.append(
            {
                "task_id": f"t{n}",
                "action_name": "nap" if naps else "work",
                "normalized_args": {"seconds": draw(st.sampled_from([0.25, 1.25, 3.25]))}
                if naps
                else {"key": draw(st.integers(0, KEYS - 1))},
                "dependencies": draw(st.lists(st.sampled_from(before), max_size=2, unique=True))
                if before
                else [],
                "on_dep_fail": draw(st.sampled_from(["abort", "always", "continue_if_any"])),
                "priority": draw(st.integers(0, 3)),
                "max_retries": draw(st.integers(0, 2)),
                "idempotent": False if naps else draw(st.sampled_from([None, None, None, False])),
                "deadline": deadline and NOON + timedelta(seconds=deadline + 0.125),
                "expire_at_deadline": bool(deadline) and draw(st.booleans()),
            }
        )
    return tasks


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    tasks = _tasks(draw)
    call = st.tuples(st.sampled_from([0, 1, 2]), st.sampled_from(OUTCOMES))
    some = st.sampled_from([one["task_id"] for one in tasks])
    begins = draw(st.integers(0, 4))
    return Scenario(
        tasks,
        {key: draw(st.lists(call, max_size=4)) for key in range(KEYS)},
        draw(st.lists(st.tuples(st.integers(0, 24).map(lambda n: n / 2 + 0.0625), some))),
        {
            "max_parallel": draw(st.sampled_from([1, 2, 100])),
            "breaker": draw(
                st.none() | st.builds(BreakerPolicy, window=st.just(2), open_for=st.just(5.0))
            ),
            "retry": RetryPolicy(base=1.5, cap=1.5),
            "seed": 1,
        },
        draw(st.booleans()),
        (begins, begins + draw(st.integers(0, 6))),
    )


class Witness:
    """Watches the calls of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.run: Run | None = None
        self.calls: Counter[int] = Counter()
        self.inside: Counter[int] = Counter()
        self.done: set[int] = set()
        self.alone = {one["task_id"] for one in scenario.tasks if one["idempotent"] is False}

    async def work(self, args: Args, context: TaskContext) -> object:
        self.validate()
        key, number = args["key"], self.calls[args["key"]]
        self.calls[key] += 1
        script = self.scenario.script[key]
        seconds, outcome = script[number] if number < len(script) else (1, "value")
        if context.task_id in self.alone:
            assert context.idempotency_key is None
            return await self.attempt(seconds, outcome, (key, number))
        assert not self.inside[key], "two calls of one key at once"
        assert key not in self.done, "a call of a key that has succeeded"
        self.inside[key] += 1
        try:
            value = await self.attempt(seconds, outcome, (key, number))
            self.done.add(key)
            return value
        finally:
            self.inside[key] -= 1

    async def attempt(self, seconds: int, outcome: str, value: object) -> object:
        try:
            await trio.sleep(seconds)
        except trio.Cancelled:
            if outcome == "late":
                return value
            raise
        if outcome == "error":
            raise OSError("broken")
        if outcome == "later":
            raise RetryLater(2)
        return value

    def validate(self) -> None:
        assert self.run is not None
        self.run._engine.queue.validate()


async def play(scenario: Scenario, witness: Witness) -> GraphResult:
    graph = graph_of(*scenario.tasks)
    limiter = trio.CapacityLimiter(1)
    options = {**scenario.options, "per_action_caps": {"work": limiter} if scenario.limiter else {}}
    actions = {"work": witness.work, "nap": nap}
    async with (
        trio.open_nursery() as nursery,
        open_run(graph, actions, **options) as witness.run,
    ):
        nursery.start_soon(keep, limiter, *scenario.kept)
        began = trio.current_time()
        for when, name in sorted(scenario.cancels):
            await trio.sleep_until(began + when)
            witness.run.cancel(name)
            witness.validate()
    return await witness.run.wait()


async def keep(limiter: trio.CapacityLimiter, begins: float, ends: float) -> None:
    await trio.sleep(begins + 0.03125)
    async with limiter:
        await trio.sleep(max(ends - begins, 0.015625))


@given(scenarios())
def test_the_laws_of_shared_work(scenario: Scenario) -> None:
    witness = Witness(scenario)
    at_noon = classmethod(lambda cls, now: cls(now, NOON))
    with mock.patch.object(ClockMap, "starting_at", at_noon):
        result = trio.run(play, scenario, witness, clock=MockClock(autojump_threshold=0))
    results = result.results.values()
    assert all(one.state.value not in ("pending", "ready", "running") for one in results)
    obey_the_figures(result)
    by_key: dict[str, set[object]] = {}
    for one in results:
        check(one.task_id, result, witness)
        if one.success and one.idempotency_key:
            by_key.setdefault(one.idempotency_key, set()).add(one.response)
    assert all(len(responses) == 1 for responses in by_key.values())


def obey_the_figures(result: GraphResult) -> None:
    results = result.results.values()
    assert result.statistics["cached_tasks"] == sum(one.cached for one in results)
    assert result.statistics["retry_tokens_used"] >= sum(
        max(one.attempts - 1, 0) for one in results
    )


def check(task_id: str, result: GraphResult, witness: Witness) -> None:
    one = result.results[task_id]
    assert (one.error == "") is one.success
    assert one.success or one.response is None
    if task_id in witness.alone:
        assert not one.cached
        assert one.idempotency_key is None
    if one.cached:
        assert (one.success, one.attempts) == (True, 0)
    if one.state is TaskState.FAILED and one.caused_by:
        leader = result.results[one.caused_by]
        assert (leader.state, leader.error) == (TaskState.FAILED, one.error)
        assert leader.idempotency_key == one.idempotency_key
        assert (leader.caused_by, one.attempts) == (None, 0)
