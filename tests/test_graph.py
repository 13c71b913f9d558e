"""Building a graph. What it refuses is in test_bad_input."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tgtrio import _graph
from tgtrio._arguments import output_of
from tgtrio._errors import (
    CycleError,
    GraphRunningError,
    InvalidArgumentError,
    InvalidGraphError,
    TgtrioError,
    UnknownDependencyError,
    UnknownTaskError,
)
from tgtrio._graph import TaskGraph
from tgtrio._node import TaskNode
from tgtrio._states import DependencyPolicy, TaskState


def task(task_id: str, *dependencies: str) -> dict[str, Any]:
    return {"task_id": task_id, "action_name": "act", "dependencies": list(dependencies)}


def graph_of(*tasks: Mapping[str, Any]) -> TaskGraph:
    graph = TaskGraph("g")
    graph.add_tasks(tasks)
    return graph


class Run:
    """Stands for a run of the graph."""

    def __init__(self, active: bool) -> None:
        self.active = active

    def statistics(self) -> dict[str, Any]:
        return {"total_tasks": 7}


def test_the_options_and_their_defaults() -> None:
    graph = TaskGraph("g")
    assert graph.graph_id == "g"
    assert graph.max_parallel == 100
    assert graph.max_retry_tokens == 100
    assert graph.graph_timeout_ms is None
    assert graph.expire_at_deadline is False
    graph = TaskGraph(
        graph_id="h",
        max_parallel=1,
        max_retry_tokens=0,
        graph_timeout_ms=5,
        expire_at_deadline=True,
    )
    assert graph.max_parallel == 1
    assert graph.max_retry_tokens == 0
    assert graph.graph_timeout_ms == 5.0
    assert graph.expire_at_deadline is True


def test_a_capacity_limiter_is_a_max_parallel() -> None:
    limiter = trio.CapacityLimiter(3)
    assert TaskGraph("g", max_parallel=limiter).max_parallel is limiter


def test_add_task_returns_the_node_and_keeps_it() -> None:
    graph = TaskGraph("g")
    first = graph.add_task("a", "act", {"x": 1}, ["r"], "2", priority=5)
    second = graph.add_task(
        task_id="b", action_name="act", dependencies=["a"], on_dep_fail=DependencyPolicy.SKIP
    )
    assert first == TaskNode("a", "act", {"x": 1}, ["r"], "2", priority=5)
    assert graph.nodes["a"] is first
    assert graph.nodes["b"] is second
    assert len(graph) == 2
    assert "a" in graph
    assert "c" not in graph
    assert repr(graph) == "<TaskGraph 'g': 2 tasks>"


def test_nodes_is_a_live_view_in_the_order_of_insertion() -> None:
    graph = TaskGraph("g")
    nodes = graph.nodes
    graph.add_tasks([task("z", "a"), task("a"), task("m")])
    graph.add_task("b", "act")
    assert list(nodes) == ["z", "a", "m", "b"]
    assert [node.task_id for node in nodes.values()] == ["z", "a", "m", "b"]
    assert dict(nodes.items())["m"] is nodes["m"]
    assert len(nodes) == 4
    assert "m" in nodes
    assert nodes.get("x") is None
    assert not hasattr(nodes, "__setitem__")
    with pytest.raises(UnknownTaskError, match="'x'"):
        nodes["x"]
    with pytest.raises(KeyError):
        nodes["x"]


def test_add_tasks_takes_mappings_and_nodes_in_any_order() -> None:
    graph = graph_of(task("old"))
    node = TaskNode("b", "act", {"x": output_of("a")})
    items: list[Any] = [task("c", "b", "old"), node, task("a")]
    graph.add_tasks(item for item in items)
    assert [node.dependencies for node in graph.nodes.values()] == [(), ("b", "old"), ("a",), ()]
    graph.validate()


def test_add_tasks_of_nothing_changes_nothing() -> None:
    graph = TaskGraph("g")
    graph.add_tasks([])
    assert len(graph) == 0


def test_what_the_iterable_raises_passes_through_and_nothing_is_added() -> None:
    def half() -> Iterator[dict[str, Any]]:
        yield task("a")
        raise ZeroDivisionError

    graph = TaskGraph("g")
    with pytest.raises(ZeroDivisionError):
        graph.add_tasks(half())
    assert graph.to_dict() == TaskGraph("g").to_dict()


def test_an_iterable_that_adds_to_the_graph_itself() -> None:
    graph = TaskGraph("g")

    def items(extra: str) -> Iterator[dict[str, Any]]:
        yield task("a", "side")
        graph.add_task(extra, "act")
        yield task("b", "a")

    graph.add_tasks(items("side"))
    assert list(graph.nodes) == ["side", "a", "b"]
    graph = graph_of(task("side"))
    with pytest.raises(TgtrioError, match="task 'b'"):
        graph.add_tasks(items("b"))
    assert list(graph.nodes) == ["side", "b"]


def test_several_problems_come_together() -> None:
    graph = graph_of(task("old"))
    batch: list[Any] = [
        task("old"),
        task("a", "b"),
        task("b", "a"),
        task("c", "odl"),
        {"task_id": "d", "action_name": "act", "priority": "high"},
        task("e", "d"),  # not called wrong because of d
        17,
    ]
    with pytest.raises(InvalidGraphError) as caught:
        graph.add_tasks(batch)
    text = str(caught.value)
    assert text.startswith("graph 'g': 5 problems")
    assert len(caught.value.problems) == 5
    assert {type(problem).__name__ for problem in caught.value.problems} == {
        "DuplicateTaskError",
        "CycleError",
        "UnknownDependencyError",
        "InvalidTypeError",
    }
    for words in ("task 'old'", "a -> b -> a", "did you mean 'old'?", "priority is 'high'", "17"):
        assert words in text
    assert list(graph.nodes) == ["old"]


def test_one_problem_comes_as_itself() -> None:
    with pytest.raises(UnknownDependencyError):
        graph_of(task("a"), task("b", "c"))


def test_the_text_lists_twenty_problems_and_the_error_holds_all() -> None:
    with pytest.raises(InvalidGraphError) as caught:
        graph_of(*(task(f"t{i}", "nowhere") for i in range(1000)))
    assert len(caught.value.problems) == 1000
    assert str(caught.value).count("\n  - ") == 20
    assert "980 more" in str(caught.value)


def test_dependencies_can_be_added_later() -> None:
    graph = graph_of(task("a"), task("b"), task("c", "b"))
    graph.add_dependency("b", "a")
    graph.add_dependency("c", "a")
    graph.add_dependency("c", "a")
    assert graph.nodes["b"].dependencies == ("a",)
    assert graph.nodes["c"].dependencies == ("b", "a")
    graph.validate()


def test_edges_against_the_order_of_insertion_are_searched() -> None:
    graph = graph_of(task("a"), task("b"), task("c"))
    graph.add_dependency("a", "b")
    graph.add_dependency("b", "c")
    with pytest.raises(CycleError) as caught:
        graph.add_dependency("c", "a")
    assert caught.value.path == ("c", "a", "b", "c")
    assert "c -> a -> b -> c" in str(caught.value)
    assert graph.nodes["c"].dependencies == ()
    graph.add_task("d", "act", dependencies=["a"])
    graph.add_tasks([task("e", "f"), task("f", "d")])
    with pytest.raises(CycleError):
        graph.add_dependency("c", "e")
    graph.validate()


EDITS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=40)


@given(EDITS)
def test_a_graph_accepts_exactly_the_edges_that_a_batch_would(
    edits: list[tuple[int, int, bool]],
) -> None:
    graph = graph_of(*(task(str(i)) for i in range(10)))
    edges: dict[str, list[str]] = {str(i): [] for i in range(10)}
    for after, before, look in edits:
        trial = {name: list(names) for name, names in edges.items()}
        trial[str(after)].append(str(before))
        try:
            graph_of(*(task(name, *names) for name, names in reversed(trial.items())))
        except (CycleError, InvalidGraphError):  # one cycle, or several
            with pytest.raises(CycleError):
                graph.add_dependency(str(after), str(before))
        else:
            graph.add_dependency(str(after), str(before))
            edges = trial
        if look:
            assert set(graph.nodes[str(after)].dependencies) == set(edges[str(after)])
    graph.validate()
    assert {n.task_id: set(n.dependencies) for n in graph.nodes.values()} == {
        name: set(names) for name, names in edges.items()
    }


def test_validate_says_nothing_about_a_good_graph() -> None:
    graph = graph_of(task("b", "a"), task("a"))
    graph.validate()


def test_validate_finds_what_was_changed_behind_the_graph() -> None:
    graph = graph_of(task("a"), task("b", "a"), task("c", "b"))
    graph.nodes["a"].normalized_args["x"] = {1, 2}
    graph.nodes["c"].normalized_args["x"] = output_of("a")
    graph._nodes[0] = graph._nodes[0].with_dependencies(("b", "bb"))
    with pytest.raises(InvalidGraphError) as caught:
        graph.validate()
    kinds = [type(problem) for problem in caught.value.problems]
    assert kinds == [InvalidArgumentError, UnknownDependencyError, InvalidArgumentError, CycleError]


def test_freeze_keeps_its_plan_until_the_graph_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[list[tuple[str, ...]]] = []

    def freeze(graph: TaskGraph, order: None) -> object:
        frozen.append([node.dependencies for node in graph._nodes])
        return object()

    monkeypatch.setattr(_graph, "freeze", freeze)
    graph = graph_of(task("a"), task("b"))
    plan = graph.freeze()
    assert graph.freeze() is plan
    with pytest.raises(UnknownDependencyError):
        graph.add_task("c", "act", dependencies=["x"])
    assert graph.freeze() is plan
    graph.add_dependency("b", "a")
    plan = graph.freeze()
    assert frozen == [[(), ()], [(), ("a",)]]
    graph.add_dependency("b", "a")  # is there already
    assert graph.freeze() is plan
    graph.add_task("c", "act")
    assert graph.freeze() is not plan
    plan = graph.freeze()
    graph.add_tasks([task("d")])
    assert graph.freeze() is not plan


def test_stats_without_a_run() -> None:
    stats = graph_of(task("a"), task("b")).get_stats()
    assert stats["total_tasks"] == 2
    assert stats["running_tasks"] == 0
    assert stats["states"] == {s.value: 2 if s is TaskState.PENDING else 0 for s in TaskState}
    assert stats["retry_tokens_used"] == 0
    assert stats["cached_tasks"] == 0
    assert stats["breaker_states"] == {}


def test_stats_are_those_of_the_latest_run_until_the_graph_changes() -> None:
    graph = graph_of(task("a"))
    graph._run_state = Run(active=False)
    assert graph.get_stats() == {"total_tasks": 7}
    graph.add_task("b", "act")
    assert graph.get_stats()["total_tasks"] == 2


def test_a_running_graph_cannot_be_changed() -> None:
    graph = graph_of(task("a"), task("b"))
    graph._run_state = Run(active=True)
    with pytest.raises(GraphRunningError, match="graph 'g'"):
        graph.add_task("c", "act")
    with pytest.raises(GraphRunningError):
        graph.add_tasks([task("c")])
    with pytest.raises(GraphRunningError):
        graph.add_dependency("b", "a")
    graph.validate()
    assert graph.get_stats() == {"total_tasks": 7}
    assert list(graph.nodes) == ["a", "b"]


@pytest.mark.parametrize("count", [20_000])
def test_chains_and_stars_of_any_size_build_without_recursion(count: int) -> None:
    def chain() -> Iterator[dict[str, Any]]:
        for i in range(count):
            yield task(f"t{i}", *([f"t{i - 1}"] if i else []))

    forward, backward = graph_of(*chain()), graph_of(*reversed(list(chain())))
    star = graph_of(task("hub"), *(task(f"t{i}", "hub") for i in range(count)))
    sink = graph_of(*(task(f"t{i}") for i in range(count)), task("sink"))
    for i in range(count):
        sink.add_dependency("sink", f"t{i}")
    for graph in (forward, backward, star, sink):
        graph.validate()
        assert TaskGraph.from_dict(graph.to_dict()).to_dict() == graph.to_dict()
    assert len(sink.nodes["sink"].dependencies) == count
    with pytest.raises(CycleError) as caught:
        forward.add_dependency("t0", f"t{count - 1}")
    assert len(caught.value.path) == count + 1
    assert len(str(caught.value)) < 1000


def test_a_subclass_comes_back_from_its_dict() -> None:
    class Mine(TaskGraph):
        pass

    assert type(Mine.from_dict({"graph_id": "g"})) is Mine


def test_its_public_name() -> None:
    assert TaskGraph.__module__ == "tgtrio"


def test_a_graph_that_is_let_go_is_gone_at_once() -> None:
    """Its nodes are none of the collector's business, so it must not wait for the collector."""
    gc.disable()
    try:
        graph = TaskGraph("g")
        graph.add_tasks([{"task_id": "a", "action_name": "f"}])
        graph.freeze()
        assert list(graph.nodes.items())
        gone = weakref.ref(graph)
        del graph
        assert gone() is None
    finally:
        gc.enable()
