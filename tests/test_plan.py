"""A graph frozen into arrays."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio import DependencyPolicy, TaskGraph, TgtrioError, output_of
from tgtrio._plan import EXPIRES, INPUTS, TIMED, Plan
from tgtrio._states import POLICIES

from .runs import graph_of, task

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def edges_of(plan: Plan, offsets: Any, targets: Any) -> set[tuple[str, str]]:
    names = [node.task_id for node in plan.nodes]
    return {
        (names[rank], names[target])
        for rank in range(len(plan))
        for target in targets[offsets[rank] : offsets[rank + 1]]
    }


def check(graph: TaskGraph) -> Plan:
    """Everything that must hold of any plan."""
    plan = graph.freeze()
    names = [node.task_id for node in plan.nodes]
    assert sorted(names) == sorted(graph.nodes)
    assert [names[rank] for rank in plan.in_insertion_order()] == list(graph.nodes)
    assert [plan.rank(name) for name in names] == list(range(len(plan)))
    expected = {
        (node.task_id, dependency)
        for node in graph.nodes.values()
        for dependency in node.dependencies
    }
    assert edges_of(plan, plan.dependency_offsets, plan.dependencies) == expected
    reverse = {(b, a) for a, b in expected}
    assert edges_of(plan, plan.dependent_offsets, plan.dependents) == reverse
    assert len(plan.dependencies) == len(plan.dependents) == len(expected)
    assert list(plan.indegrees) == [len(node.dependencies) for node in plan.nodes]
    for rank, node in enumerate(plan.nodes):
        before = plan.dependencies[plan.dependency_offsets[rank] :][: plan.indegrees[rank]]
        assert [names[dependency] for dependency in before] == list(node.dependencies)
        assert plan.args[rank] is node.normalized_args
        assert plan.actions[plan.action[rank]] == node.action_name
    return plan


def test_the_empty_graph() -> None:
    plan = check(graph_of())
    assert len(plan) == 0
    assert list(plan.dependent_offsets) == [0]


def test_one_plan_until_the_graph_changes() -> None:
    graph = graph_of("a", "b")
    plan = graph.freeze()
    assert graph.freeze() is plan
    graph.add_dependency("b", "a")
    changed = graph.freeze()
    assert changed is not plan
    assert list(plan.indegrees) == [0, 0]
    assert list(changed.indegrees) == [0, 1]
    graph.add_task("c", "work")
    assert len(graph.freeze()) == 3
    assert len(plan) == 2


def test_an_older_plan_does_not_know_younger_tasks() -> None:
    graph = graph_of("a")
    plan = graph.freeze()
    graph.add_task("b", "work")
    assert plan.rank("a") == 0
    with pytest.raises(KeyError):
        plan.rank("b")
    with pytest.raises(KeyError):
        plan.rank("c")


def test_a_batch_whose_iterable_adds_tasks_itself() -> None:
    graph = graph_of("first")

    def tasks() -> Iterator[dict[str, Any]]:
        yield task("a", "first", action_name="work")
        graph.add_task("own", "work", dependencies=["first"])
        yield task("b", "a", action_name="work")
        yield task("c", "own", action_name="work")

    graph.add_tasks(tasks())
    assert [node.task_id for node in check(graph).nodes] == ["first", "own", "a", "b", "c"]


def test_after_a_refusal_the_plan_is_that_of_what_was_added() -> None:
    graph = graph_of("a", task("b", "a"))
    with pytest.raises(TgtrioError):
        graph.add_task("c", "work", dependencies=["a", "b", "nobody"])
    with pytest.raises(TgtrioError):
        graph.add_tasks([task("c", "a", action_name="work"), task("d", "nobody", action_name="x")])
    graph.add_task("e", "work", dependencies=["b", "a"])
    assert list(check(graph).dependencies) == [0, 1, 0]


EDGES = st.lists(st.sets(st.integers(0, 100), max_size=4), max_size=12)


@given(EDGES, st.lists(st.integers(1, 4), min_size=12, max_size=12), st.randoms(), st.booleans())
def test_however_it_was_described(
    edges: list[set[int]], sizes: list[int], rng: random.Random, urgent: bool
) -> None:
    """One by one, in batches of any order, and with edges that come later."""
    names = [
        (str(n), [str(d) for d in sorted({d % n for d in e})] if n else [])
        for n, e in enumerate(edges)
    ]
    graph, late, start = TaskGraph("g"), [], 0
    for size in sizes:
        batch = []
        for name, before in names[start : start + size]:
            if before and rng.random() < 0.2:
                late.append((name, before.pop()))
            priority = rng.choice([0, 1]) if urgent else 0
            batch.append(task(name, *before, action_name="work", priority=priority))
        if len(batch) == 1:
            graph.add_task(**batch[0])
        else:
            rng.shuffle(batch)
            graph.add_tasks(batch)
        start += size
        if rng.random() < 0.2:
            check(graph)
    for name, dependency in late:
        graph.add_dependency(name, dependency)
    expected = {(str(n), str(d % n)) for n, e in enumerate(edges) if n for d in e}
    plan = check(graph)
    assert edges_of(plan, plan.dependency_offsets, plan.dependencies) == expected


def test_no_ranks_are_kept_where_insertion_is_the_order() -> None:
    assert check(graph_of("a", "b", task("c", "a"))).ranks is None
    assert check(graph_of(task("a", priority=5), task("b", priority=5))).ranks is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"priority": 1.0}, {}),
        ({}, {"priority": -0.5}),
        ({"deadline": NOON}, {}),
        ({"deadline": NOON}, {"deadline": NOON + timedelta(microseconds=1)}),
        ({"priority": 1, "deadline": NOON + timedelta(hours=1)}, {"deadline": NOON}),
        ({"priority": -0.0}, {"priority": 0.0}),
        ({"priority": 1e308}, {"priority": -1e308}),
    ],
)
def test_who_ranks_first(first: dict[str, Any], second: dict[str, Any]) -> None:
    plan = check(graph_of(task("first", **first), task("second", **second)))
    assert [node.task_id for node in plan.nodes] == ["first", "second"]
    if first != {"priority": -0.0}:
        plan = check(graph_of(task("second", **second), task("first", **first)))
        assert [node.task_id for node in plan.nodes] == ["first", "second"]


def test_flags_and_timeouts() -> None:
    deadline = NOON
    graph = graph_of(
        "plain",
        task("inputs", normalized_args={"x": output_of("plain")}),
        task("timed", task_timeout_ms=1500),
        task("expires", deadline=deadline, expire_at_deadline=True),
        task("refuses", deadline=deadline, expire_at_deadline=False),
        task("orders", deadline=deadline),
    )
    plan = check(graph)
    flags = {node.task_id: plan.flags[rank] for rank, node in enumerate(plan.nodes)}
    assert flags == {
        "plain": 0,
        "inputs": INPUTS,
        "timed": TIMED,
        "expires": EXPIRES,
        "refuses": 0,
        "orders": 0,
    }
    assert plan.timeouts is not None
    assert {plan.timeouts[plan.rank(name)] for name in flags if name != "timed"} == {math.inf}
    assert plan.timeouts[plan.rank("timed")] == 1.5
    assert check(graph_of("a")).timeouts is None


def test_the_graph_lends_expiry_to_tasks_with_a_deadline() -> None:
    graph = graph_of("none", task("has", deadline=NOON), expire_at_deadline=True)
    plan = check(graph)
    assert plan.flags[plan.rank("has")] == EXPIRES
    assert plan.flags[plan.rank("none")] == 0


def test_continue_if_any_with_one_dependency_always_runs() -> None:
    policy = DependencyPolicy.CONTINUE_IF_ANY
    graph = graph_of("a", "b", task("one", "a", on_dep_fail=policy))
    graph.add_task("two", "work", dependencies=["a", "b"], on_dep_fail=policy)
    plan = check(graph)
    assert POLICIES[plan.policies[plan.rank("one")]] is DependencyPolicy.ALWAYS
    assert POLICIES[plan.policies[plan.rank("two")]] is policy
    graph.add_dependency("one", "b")
    plan = check(graph)
    assert POLICIES[plan.policies[plan.rank("one")]] is policy


def test_sets_of_resources_are_shared() -> None:
    plan = check(
        graph_of("none", task("x", resource_ids=["b", "a"]), task("y", resource_ids=["a", "b"]))
    )
    assert plan.resource_sets[0] == ()
    assert plan.resource_set is not None
    assert plan.resource_set[1] == plan.resource_set[2]
    assert plan.resource_sets[plan.resource_set[1]] == ("a", "b")
    assert check(graph_of("none")).resource_set is None


def test_the_tasks_of_an_action() -> None:
    plan = check(graph_of("a", task("b", action_name="x"), task("c", priority=1)))
    assert [node.task_id for node in plan.nodes_of("work")] == ["c", "a"]
    assert [node.task_id for node in plan.nodes_of("x")] == ["b"]


@given(
    st.lists(
        st.tuples(
            st.sets(st.integers(0, 100), max_size=4),
            st.sampled_from([0.0, 1.0, -2.5]),
            st.none() | st.integers(0, 3),
            st.sampled_from("abc"),
        ),
        max_size=30,
    )
)
def test_any_graph(fields: list[tuple[set[int], float, int | None, str]]) -> None:
    tasks = [
        task(
            str(n),
            *{str(dependency % n) for dependency in dependencies if n},
            priority=priority,
            deadline=None if hour is None else NOON + timedelta(hours=hour),
            action_name=action,
        )
        for n, (dependencies, priority, hour, action) in enumerate(fields)
    ]
    plan = check(graph_of(*tasks))
    keys = [(-n.priority, n.deadline.timestamp() if n.deadline else math.inf) for n in plan.nodes]
    assert keys == sorted(keys)
    places = {name: place for place, name in enumerate(map(str, range(len(fields))))}
    for first, second in zip(plan.nodes, plan.nodes[1:], strict=False):
        if keys[plan.rank(first.task_id)] == keys[plan.rank(second.task_id)]:
            assert places[first.task_id] < places[second.task_id]
