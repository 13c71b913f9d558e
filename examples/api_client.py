"""A client of an API that has limits, bad moments, and an outage.

    python examples/api_client.py

The API (a stand-in, in this program) serves three calls at once, twenty in half a second, loses a
few, and is down for a second in the middle. Watch what the client makes of it: the breaker opens,
one probe at a time asks whether it is back, and a second service is not held up meanwhile.
"""

from __future__ import annotations

import random
import sys
from collections import deque

import trio

from tgtrio import (
    Actions,
    BreakerPolicy,
    BreakerState,
    GraphResult,
    Instrument,
    NonRetryable,
    RetryLater,
    RetryPolicy,
    RunInfo,
    TaskGraph,
    TaskState,
    run_graph,
)

QUESTIONS = 120
DOWN = (1.0, 2.0)  # seconds from the start


# -- the service --------------------------------------------------------------------------


class Api:
    """Stands for an HTTP client and the server behind it: a status, and what comes with it."""

    AT_ONCE, CALLS, WINDOW = 3, 20, 0.5

    def __init__(self) -> None:
        self.start = trio.current_time()
        self.rng = random.Random(7)
        self.recent: deque[float] = deque()
        self.inside = self.most = self.calls = self.while_down = 0

    async def ask(self, question: int) -> tuple[int, object]:
        self.calls += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await trio.sleep(0.01)
            return self.answer(question)
        finally:
            self.inside -= 1

    def answer(self, question: int) -> tuple[int, object]:
        now = trio.current_time() - self.start
        if DOWN[0] <= now < DOWN[1]:
            self.while_down += 1
            return 503, None
        while self.recent and self.recent[0] <= now - self.WINDOW:
            self.recent.popleft()
        if len(self.recent) >= self.CALLS:
            return 429, self.recent[0] + self.WINDOW - now
        self.recent.append(now)
        if question % 40 == 39:
            return 400, "that is no question"
        if self.rng.random() < 0.05:
            return 500, None
        return 200, question * question


# -- the client ---------------------------------------------------------------------------


def actions_for(api: Api) -> Actions:
    actions = Actions()

    @actions.register(
        retry=RetryPolicy(max_retries=8, base=0.1, cap=0.5),
        breaker=BreakerPolicy(window=10, threshold=0.5, open_for=0.3, give_up_after=10),
    )
    async def ask(args):
        status, body = await api.ask(args["question"])
        if status == 429:
            raise RetryLater(body)  # holds all questions as long
        if status >= 500:
            raise ConnectionError(f"status {status}")
        if status != 200:
            raise NonRetryable(f"status {status}: {body}")
        return body

    @actions.register
    async def mail(args):  # of another service, which is well
        await trio.sleep(0.2)

    return actions


def graph_of_questions() -> TaskGraph:
    graph = TaskGraph("questions", max_parallel=50, max_retry_tokens=200)
    for n in range(QUESTIONS):
        graph.add_task(f"ask-{n}", "ask", {"question": n})
    for n in range(60):
        graph.add_task(f"mail-{n}", "mail", {"to": n}, priority=-1)
    return graph


class Diary(Instrument):
    """Tells what happens, as it happens."""

    def __init__(self) -> None:
        self.started = self.last_mail = 0.0

    def run_started(self, info: RunInfo) -> None:
        self.started = info.started

    def breaker_moved(
        self, action: str, before: BreakerState, after: BreakerState, at: float
    ) -> None:
        print(f"  {at - self.started:4.1f} s  the breaker of {action!r} is {after.name}")

    def task_ended(self, task_id: str, state: TaskState, at: float) -> None:
        if task_id.startswith("mail"):
            self.last_mail = at - self.started


def tell(api: Api, diary: Diary, result: GraphResult) -> None:
    asked = [t for t in result.results.values() if t.task_id.startswith("ask")]
    answered = sum(task.success for task in asked)
    print(f"\n{answered} of {QUESTIONS} questions answered in {result.elapsed_ms / 1000:.1f} s")
    for task in asked:
        if not task.success:
            print(f"  {task.task_id}: {task.error}")
    tokens = result.statistics["retry_tokens_used"]
    print(f"{api.calls} calls, at most {api.most} at once, {tokens} retries")
    print(f"{api.while_down} of them while it was down")
    print(f"all mails were out after {diary.last_mail:.1f} s, as if nothing had been")


async def main() -> int:
    api, diary = Api(), Diary()
    print(f"{QUESTIONS} questions; the API is down from {DOWN[0]} s to {DOWN[1]} s")
    result = await run_graph(
        graph_of_questions(),
        actions_for(api),
        per_action_caps={"ask": Api.AT_ONCE, "mail": 5},
        instruments=[diary],
    )
    tell(api, diary, result)
    failed = [task.task_id for task in result.results.values() if not task.success]
    expected = [f"ask-{n}" for n in range(QUESTIONS) if n % 40 == 39]
    return 0 if failed == expected and api.most <= Api.AT_ONCE else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
