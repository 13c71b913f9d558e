"""Many plain random histories of the two real ready queues, which must agree.

They press harder on the gates than Hypothesis does: a lane that vouched for a gate and was then
held by another one was found here.
"""

from __future__ import annotations

import random
from array import array
from math import inf
from typing import Any

import pytest

from tgtrio._states import ABORT, ALWAYS, CANCELLED, CONTINUE_IF_ANY, FAILED, SUCCEEDED

from .queues import Setup, Shape, build, queue_classes


def random_setup(chance: random.Random, total: int, gates: int) -> Setup:
    numbers = chance.sample(range(total), total)
    dependencies = {
        task: chance.sample(numbers[max(0, place - 40) : place], min(place, chance.randrange(4)))
        for place, task in enumerate(numbers)
    }
    needs = [chance.sample(range(gates), chance.randint(1, 2)) for _ in range(3 * gates)]
    return Setup(
        dependencies,
        {task: chance.choice([ABORT, CONTINUE_IF_ANY, *[ALWAYS] * 6]) for task in range(total)},
        chance.choice([10, total]),
        [chance.randrange(len(needs) + 1) for _ in range(total)],
        [(), *map(tuple, needs)],
        [chance.randint(1, 2) for _ in range(gates)],
    )


def disturb(chance: random.Random, shape: Shape, running: list[int]) -> tuple[str, list[Any]]:
    """An order to a queue, and its arguments."""
    kind = chance.random()
    if kind < 0.5:
        return "next", []
    if kind < 0.7 and running:
        task = running.pop(chance.randrange(len(running)))
        end = FAILED if chance.random() < 0.1 else SUCCEEDED
        leave = chance.choice(["give_back", "hold"])
        return (leave, [task]) if chance.random() < 0.4 else ("complete", [task, end])
    if kind < 0.71:
        return "let_go", [chance.randrange(shape.total)]
    if kind < 0.72:
        return "end", [chance.randrange(shape.total), CANCELLED]
    if kind < 0.77:
        return enlarge(chance, shape)
    gate = chance.randrange(shape.gates)
    if kind < 0.82:
        return "set_capacity", [gate, chance.randint(1, 3)]
    return ("close_gate" if kind < 0.88 else "open_gate"), [gate]


def enlarge(chance: random.Random, shape: Shape) -> tuple[str, list[Any]]:
    """More of something, or all tasks in other lanes."""
    kind = chance.random()
    if kind < 0.05:
        return "relane", [array("i", [chance.randrange(shape.lanes) for _ in range(shape.total)])]
    if kind < 0.07:
        shape.gates += 1
        return "add_gate", [chance.randint(1, 2)]
    if kind < 0.1:
        shape.lanes += 1
        return "add_lane", [chance.sample(range(shape.gates), chance.randint(1, 2))]
    dependencies = chance.sample(range(shape.total), min(shape.total, chance.randrange(3)))
    shape.total += 1
    lane, position = chance.randrange(shape.lanes), chance.randint(0, shape.built)
    order = [float(chance.randrange(3)), chance.choice([inf, chance.random()])]
    return "add", [dependencies, chance.choice([ABORT, ALWAYS, ALWAYS]), lane, position, *order]


def compare_histories(setup: Setup, chance: random.Random, steps: int, every: int) -> None:
    compiled, pure = (build(each, **setup._asdict()) for each in queue_classes().values())
    running: list[int] = []
    shape = Shape.of(setup)
    for queue in (compiled, pure):
        queue.keep_log(True, False, True)
        queue.log_past()
    for step in range(steps):
        order, arguments = disturb(chance, shape, running)
        expected = getattr(pure, order)(*arguments)
        answer = getattr(compiled, order)(*arguments)
        assert expected in (None, answer), (step, order, arguments, answer, expected)
        if order == "next" and answer >= 0:
            running.append(answer)
        if step % every == 0:
            assert compiled.startable() or not pure.startable(), (step, order, arguments)
            assert compiled.take_log() == pure.take_log(), (step, order, arguments)
            compiled.validate()
            pure.validate()
    for question in (pure.state, pure.parent, pure.waiting_for, pure.blocking_gates):
        other = getattr(compiled, question.__name__)
        assert all(question(task) == other(task) for task in range(pure.total)), question.__name__
    for gate in range(shape.gates):
        assert pure.queued_at(gate) == compiled.queued_at(gate)
    assert pure.ready_in_lanes() == compiled.ready_in_lanes()
    assert pure.counts() == compiled.counts()


@pytest.mark.parametrize(
    ("total", "gates", "histories", "every"), [(14, 2, 200, 1), (40, 3, 150, 2), (600, 12, 6, 50)]
)
def test_random_histories_agree(total: int, gates: int, histories: int, every: int) -> None:
    if len(queue_classes()) < 2:
        pytest.skip("tgtrio._ready_queue is not compiled here")
    for seed in range(histories):
        chance = random.Random(seed)
        try:
            compare_histories(random_setup(chance, total, gates), chance, 8 * total, every)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
