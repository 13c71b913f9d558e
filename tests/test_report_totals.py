"""What the tasks of a run add up to, and the graph made small enough to be drawn."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio import TaskGraph
from tgtrio.report._folding import MOST_NODES, fold, levels_of, places_of
from tgtrio.report._lives import BINS, Curve, Totals
from tgtrio.report._text import duration, percent, visible
from tgtrio.report.history import IN_FLIGHT

from . import real_graphs
from .reports import remembered, with_estimates

# Totals


@given(
    spans=st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)).map(sorted), max_size=20),
)
def test_a_curve_holds_all_that_was_added(spans: list[list[float]]) -> None:
    curve = Curve(0, 10)
    for begin, end in spans:
        curve.add(begin, end)
    area = sum(curve.means()) * 10 / BINS
    assert area == pytest.approx(sum(end - begin for begin, end in spans), abs=1e-6)
    assert curve.total == pytest.approx(area, abs=1e-6)
    assert all(-1e-6 <= mean <= len(spans) + 1e-6 for mean in curve.means())


def test_a_curve_of_a_run_that_took_no_time() -> None:
    curve = Curve(5, 5)
    curve.add(5, 5)
    assert curve.total == 0
    assert all(math.isfinite(mean) for mean in curve.means())


def test_totals_of_a_real_graph(shared_data: Path) -> None:
    record = next(
        one
        for one in real_graphs.load(shared_data / "wfinstances.jsonl.gz")
        if one["name"] == "montage-chameleon-2mass-05d-001"
    )
    graph = TaskGraph(record["name"], max_parallel=24)
    graph.add_tasks({**fields, "idempotent": False} for fields in real_graphs.graph_of(record))
    actions = dict.fromkeys({one["action"] for one in record["tasks"]}, with_estimates(record))
    history, _ = remembered(graph, actions, per_action_caps={"mDiffFit": 10})
    totals = Totals(history)
    work = sum(task["runtime_s"] for task in record["tasks"])
    assert totals.in_flight.total == pytest.approx(work)
    assert sum(totals.worked) == pytest.approx(work)
    assert sum(w.seconds for w in totals.waiting.values()) == pytest.approx(sum(totals.waited))
    assert totals.peak == 24
    assert totals.by_limit["cap", "mDiffFit"].total == pytest.approx(
        sum(task["runtime_s"] for task in record["tasks"] if task["action"] == "mDiffFit")
    )
    for task in range(0, len(history.record), 50):
        *_, (begin, end, cause, attempt) = history.life(task)
        assert (end, cause) == (history.record.ended[task], IN_FLIGHT)
        assert begin == history.record.begin[attempt]


# The graph


@st.composite
def drawn_graphs(draw: st.DrawFn) -> TaskGraph:
    graph = TaskGraph("g")
    size = draw(st.integers(1, 300))
    actions, reach = draw(st.integers(1, 90)), draw(st.integers(1, 30))
    random = draw(st.randoms(use_true_random=False))
    for n in range(size):
        below = range(max(0, n - reach), n)
        befores = random.sample(below, min(len(below), random.randint(0, 3)))
        graph.add_task(f"t{n}", f"a{n % actions}", dependencies=[f"t{m}" for m in befores])
    return graph


@given(graph=drawn_graphs())
def test_a_folded_graph_is_small_and_leads_downwards(graph: TaskGraph) -> None:
    nodes = list(graph.nodes.values())
    dependencies = places_of(nodes, {node.task_id: n for n, node in enumerate(nodes)})
    levels = levels_of(dependencies)
    folded = fold(nodes, dependencies, levels)
    assert len(folded.labels) <= MOST_NODES
    assert set(folded.node_of) == set(range(len(folded.labels)))
    assert folded.folded == (len(nodes) > MOST_NODES)
    for task, node in enumerate(folded.node_of):
        first, last = folded.levels[node]
        assert first <= levels[task] <= last
    for a, b, count in folded.edges:
        assert folded.levels[a][1] < folded.levels[b][0]
        assert count > 0


@given(graph=drawn_graphs())
def test_lines_that_are_left_out_follow_from_others(graph: TaskGraph) -> None:
    nodes = list(graph.nodes.values())
    dependencies = places_of(nodes, {node.task_id: n for n, node in enumerate(nodes)})
    folded = fold(nodes, dependencies, levels_of(dependencies))
    after: dict[int, set[int]] = {}
    for a, b, _ in folded.edges:
        after.setdefault(a, set()).add(b)

    def reached(start: int) -> set[int]:
        seen, todo = set[int](), [start]
        while todo:
            for node in after.get(todo.pop(), set()) - seen:
                seen.add(node)
                todo.append(node)
        return seen

    reach = [reached(node) for node in range(len(folded.labels))]
    for task, befores in enumerate(dependencies):
        for before in befores:
            a, b = folded.node_of[before], folded.node_of[task]
            if folded.levels[a][1] < folded.levels[b][0]:
                assert b in reach[a]


def test_levels_of_a_long_chain() -> None:
    chain = [[n - 1] if n else [] for n in range(100_000)]
    assert levels_of(chain)[-1] == 99_999


# Words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00001, "10 µs"),
        (0.0042, "4.2 ms"),
        (0.99999, "1 s"),
        (59.94, "59.9 s"),
        (59.99, "1 min 00 s"),
        (3_599.6, "60 min 00 s"),
        (7_384, "2 h 03 min"),
        (math.nan, ""),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_share_says_neither_all_nor_nothing_of_nearly_so() -> None:
    assert percent(999, 1000) == "99 %"
    assert percent(1000, 1000) == "100 %"
    assert percent(1, 1000) == "< 1 %"
    assert percent(0, 1000) == percent(0, 0) == "0 %"


def test_what_cannot_be_seen_is_written_out() -> None:
    assert visible("a\u202eb\x00\ud800é") == "a\\u202eb\\x00\\ud800é"
