"""The pure Python twins, chosen by the environment, run a graph like the compiled modules."""

from __future__ import annotations

import pytest

from .runs import run_script

SCRIPT = """
import trio, trio.testing
from tgtrio import TaskGraph, open_run, output_of
from tgtrio._backend import COMPILED

async def main():
    graph = TaskGraph("g", max_parallel=4)
    rules = dict(max_retries=0, idempotent=False)
    for n in range(20):
        graph.add_task(f"n{n}", "nap", {"n": n}, ["r"], priority=n % 3, **rules)
    graph.add_task("sum", "add", {"of": [output_of(f"n{n}") for n in range(20)]}, **rules)
    graph.add_task("bad", "bad", **rules)
    graph.add_task("after", "nap", {"n": 0}, dependencies=["bad"], **rules)
    graph.add_task("slow", "nap", {"n": 99}, task_timeout_ms=2500, **rules)
    graph.add_task("cancelled", "nap", {"n": 99}, **rules)

    async def nap(args):
        await trio.sleep(args["n"] / 8)
        return args["n"]

    async def add(args):
        return sum(args["of"])

    async def bad(args):
        raise ValueError("bad")

    caps = dict(resource_caps={"r": 2}, per_action_caps={"add": trio.CapacityLimiter(1)})
    async with open_run(graph, {"nap": nap, "add": add, "bad": bad}, **caps) as run:
        await trio.sleep(2)
        run.cancel("cancelled")
    result = await run.wait()
    print(COMPILED, result.elapsed_ms)
    for one in result.results.values():
        print(one.task_id, one.state.value, one.response, one.execution_time_ms, one.error)

trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
"""


@pytest.fixture(scope="module")
def pure_output() -> str:
    done = run_script(SCRIPT, TGTRIO_PURE="1")
    assert done.stderr == ""
    return done.stdout


def test_the_twins_are_chosen_and_work(pure_output: str) -> None:
    assert pure_output.startswith("False ")
    assert "sum succeeded 190" in pure_output
    assert "bad failed None 0.0 ValueError: bad" in pure_output
    assert "after aborted" in pure_output
    assert "cancelled cancelled None" in pure_output
    assert "slow failed None 2500.0" in pure_output


def test_the_compiled_modules_say_the_same(pure_output: str) -> None:
    done = run_script(SCRIPT, TGTRIO_PURE="0")
    assert done.stderr == ""
    assert done.stdout.split("\n", 1)[1] == pure_output.split("\n", 1)[1]
