"""Pictures of large graphs: nothing is lost, and they keep within their limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio import TaskState
from tgtrio._backend import COMPILED
from tgtrio.drawing._folding import picture_of
from tgtrio.drawing._picture import ARROWS_A_BOX, Picture

from .drawings import ended, graph_of, graphs, layers
from .runs import run_script


def folded(graph: Any, limit: int | None, result: Any = None, few_arrows: bool = True) -> Picture:
    return picture_of(graph, result, limit, few_arrows=few_arrows)


def test_what_fits_is_not_folded() -> None:
    assert not folded(layers([10, 10]), 20).folded
    assert folded(layers([10, 10]), 19).folded
    assert not folded(layers([10, 10]), None).folded


def test_tasks_of_one_action_and_level_are_one_box() -> None:
    graph = graph_of({"a-1": [], "a-2": [], "b-1": [], "a-3": ["a-1", "b-1"]})
    picture = folded(graph, 3)
    assert [(box.node.task_id, box.size) for box in picture.boxes] == [
        ("a-1", 2),
        ("b-1", 1),
        ("a-3", 1),
    ]
    assert [list(picture.after.of(box)) for box in range(3)] == [[2], [2], []]


def test_too_many_levels_are_folded_by_twos_and_fours() -> None:
    picture = folded(layers([1] * 64), 20)
    assert [(box.first_level, box.last_level) for box in picture.boxes] == [
        (first, first + 3) for first in range(0, 64, 4)
    ]
    assert picture.inside == 48


def test_too_many_actions_are_folded_by_level() -> None:
    graph = graph_of({f"{n}": [f"{n - 50}"] if n >= 50 else [] for n in range(100)})
    picture = folded(graph, 10)
    assert [(box.size, box.actions) for box in picture.boxes] == [(50, 50), (50, 50)]


def test_too_many_arrows_are_reason_enough() -> None:
    graph = graph_of(
        {
            **{f"a-{n}": [] for n in range(20)},
            **{f"b-{n}": [f"a-{m}" for m in range(20)] for n in range(20)},
        }
    )
    assert not folded(graph, 40, few_arrows=False).folded
    picture = folded(graph, 40)
    assert picture.weights == {(0, 1): 400}


def test_a_box_counts_how_its_tasks_ended() -> None:
    graph = layers([30])
    result = ended(graph, {"0.1": TaskState.FAILED, "0.2": TaskState.FAILED})
    (box,) = folded(graph, 5, result).boxes
    assert box.states == {TaskState.SUCCEEDED: 28, TaskState.FAILED: 2}


@given(graph=graphs(), limit=st.integers(1, 12), few_arrows=st.booleans())
def test_nothing_is_lost(graph: Any, limit: int, few_arrows: bool) -> None:
    picture = folded(graph, limit, few_arrows=few_arrows)
    assert len(picture.boxes) <= limit
    assert sum(box.size for box in picture.boxes) == picture.tasks == len(graph)
    arrows = [(a, b) for a in range(len(picture.boxes)) for b in picture.after.of(a)]
    back = [(a, b) for b in range(len(picture.boxes)) for a in picture.before.of(b)]
    assert sorted(arrows) == sorted(back)
    assert all(a != b for a, b in arrows)
    assert not few_arrows or len(arrows) <= limit * ARROWS_A_BOX
    drawn = sum(picture.weights.get(arrow, 1) for arrow in arrows)
    assert drawn + picture.inside == picture.dependencies == len(graph.freeze().dependencies)


CHAIN = 200_000 if COMPILED else 50_000
SCRIPT = """
import json
from tgtrio import TaskGraph, drawing
count = {count}
graph = TaskGraph("chain")
graph.add_tasks(
    dict(task_id=str(n), action_name="work", dependencies=[str(n - 1)] if n else [])
    for n in range(count)
)
tree = drawing.draw_tree(graph, limit=None).splitlines()
assert max(map(len, tree)) < 100
figures = drawing.measure(graph)
print(json.dumps([
    len(tree), drawing.to_dot(graph).count("label="), drawing.to_mermaid(graph).count("-->"),
    figures.depth, len(figures.critical_path.task_ids), len(drawing.summarize(graph)) < 1_000,
]))
"""


@pytest.mark.parametrize("count", [CHAIN])
def test_no_chain_is_too_deep(count: int) -> None:
    done = run_script(SCRIPT.replace("{count}", str(count)), timeout=300)
    assert done.returncode == 0, done.stderr
    lines, labels, arrows, depth, critical, short = json.loads(done.stdout)
    assert lines == 2 + count + (count - 2) // 16
    assert (1 < labels <= 201, 1 < arrows <= 200, short) == (True, True, True)
    assert (depth, critical) == (count, count)
