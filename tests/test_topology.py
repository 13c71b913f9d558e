"""Orders and cycles, against an oracle that searches everything each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio._order_list import OrderList
from tgtrio._topology import MOST_CYCLES, Topology, find_order

Edges = list[tuple[int, int]]  # (dependency, dependent)


def depends(edges: Edges, task: int, on: int) -> bool:
    """Does a task depend on another, directly or not? Depth first over all edges."""
    todo, seen = [task], set[int]()
    while todo:
        now = todo.pop()
        if now == on:
            return True
        if now not in seen:
            seen.add(now)
            todo += [before for before, after in edges if after == now]
    return False


def assert_is_cycle(cycle: list[int], edges: Edges) -> None:
    assert len(set(cycle)) == len(cycle)
    for task, before in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
        assert (before, task) in edges


def edges_among(count: int) -> st.SearchStrategy[Edges]:
    task = st.integers(0, count - 1)
    return st.lists(st.tuples(task, task), max_size=3 * count)


GRAPHS = st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), edges_among(n)))


def by_task(count: int, edges: Edges) -> list[list[int]]:
    dependencies: list[list[int]] = [[] for _ in range(count)]
    for before, after in edges:
        dependencies[after].append(before)
    return dependencies


@given(GRAPHS)
def test_edges_are_taken_unless_they_close_a_cycle(graph: tuple[int, Edges]) -> None:
    count, edges = graph
    topology = Topology()
    topology.extend([[] for _ in range(count)])
    taken: Edges = []
    for before, after in edges:
        order = topology.order()
        cycle = topology.add_edge(before, after)
        assert bool(cycle) == depends(taken, before, after)
        if cycle:
            assert cycle[0] == after
            assert_is_cycle(cycle, [*taken, (before, after)])
            assert topology.order() == order
        else:
            taken.append((before, after))
        topology.validate()


@given(GRAPHS)
def test_find_order_finds_an_order_or_the_cycles(graph: tuple[int, Edges]) -> None:
    count, edges = graph
    order, cycles = find_order(count, by_task(count, edges).__getitem__)
    knots = [
        {b for b in range(count) if depends(edges, a, b) and depends(edges, b, a)}
        for a in range(count)
    ]
    on_cycles = {a for a in range(count) if len(knots[a]) > 1 or (a, a) in edges}
    assert bool(cycles) == bool(on_cycles)
    for cycle in cycles:
        assert_is_cycle(cycle, edges)
    for task in on_cycles:
        assert any(knots[task] & set(cycle) for cycle in cycles)
    if not cycles:
        assert sorted(order) == list(range(count))
        assert all(order.index(before) < order.index(after) for before, after in edges)


@given(GRAPHS, GRAPHS)
def test_extending_in_any_order_keeps_the_invariant(
    old: tuple[int, Edges], new: tuple[int, Edges]
) -> None:
    topology = Topology()
    if topology.extend(by_task(*old)):
        assert len(topology) == 0
        return
    shifted = [[before + old[0] for before in task] for task in by_task(*new)]
    shifted[0].append(old[0] - 1)  # and one edge from the old tasks to the new ones
    cycle = topology.extend(shifted)
    assert len(topology) == old[0] + (0 if cycle else new[0])
    assert all(task >= old[0] for task in cycle)
    topology.validate()


def edges_of(count: int) -> Topology:
    topology = Topology()
    topology.extend([[] for _ in range(count)])
    return topology


def test_a_forward_edge_moves_nothing() -> None:
    topology = edges_of(3)
    assert topology.add_edge(0, 2) == []
    assert topology.order() == [0, 1, 2]


@pytest.mark.parametrize(
    ("edges", "order"),
    [
        ([(3, 1)], [0, 2, 3, 1, 4]),  # the later end moves if neither side is smaller
        ([(1, 2), (1, 4), (3, 1)], [0, 3, 1, 2, 4]),  # three stand behind 1, nothing before 3
        ([(0, 3), (2, 3), (3, 1)], [0, 2, 3, 1, 4]),
    ],
)
def test_only_the_smaller_side_of_an_edge_moves(edges: Edges, order: list[int]) -> None:
    topology = edges_of(5)
    for before, after in edges:
        assert topology.add_edge(before, after) == []
    assert topology.order() == order


@pytest.mark.parametrize("step", [1, -1])
def test_a_chain_is_tied_backwards_without_a_long_search(step: int) -> None:
    count = 20_000  # looking at what is tied already would take minutes
    topology = edges_of(count)
    for task in range(count - 1)[::step]:
        assert topology.add_edge(task + 1, task) == []
    assert topology.order() == list(range(count))[::-1]


MOVES = st.lists(
    st.tuples(st.lists(st.integers(0, 7), unique=True), st.integers(0, 7), st.booleans()),
    max_size=200,
)


@given(MOVES)
def test_the_order_list_moves_like_a_list(moves: list[tuple[list[int], int, bool]]) -> None:
    items = OrderList()
    items.extend(range(5))
    items.extend(range(5, 8))
    model = list(range(8))
    for moved, anchor, before in moves:
        if anchor in moved:
            continue
        model = [item for item in model if item not in moved]
        place = model.index(anchor) + (not before)
        model[place:place] = moved
        (items.move_before if before else items.move_after)(moved, anchor)
        assert list(items) == model
        assert sorted(model, key=items.label.__getitem__) == model
        assert len({items.label[item] for item in model}) == 8


def test_the_order_list_never_runs_out_of_room() -> None:
    items = OrderList()
    items.extend(range(4))
    for turn in range(1000):
        items.move_after([1 + turn % 2], 0)
        assert list(items) == [0, 1 + turn % 2, 2 - turn % 2, 3]
        assert sorted(items, key=items.label.__getitem__) == list(items)


def test_a_task_on_itself_is_a_cycle() -> None:
    topology = Topology()
    topology.extend([[]])
    assert topology.add_edge(0, 0) == [0]
    assert find_order(1, lambda _: [0]) == ([0], [[0]])


def test_cycles_come_as_each_task_waits_for_the_next() -> None:
    # 0 waits for 1, 1 for 2, 2 for 0
    _, cycles = find_order(3, [[1], [2], [0]].__getitem__)
    assert cycles == [[0, 1, 2]]


def test_no_more_cycles_than_a_message_can_show() -> None:
    pairs = [[i + 1] if i % 2 == 0 else [i - 1] for i in range(100)]
    _, cycles = find_order(100, pairs.__getitem__)
    assert len(cycles) == MOST_CYCLES


@pytest.mark.parametrize("count", [100_000])
def test_no_chain_is_too_deep(count: int) -> None:
    order, cycles = find_order(count, lambda task: [task + 1] if task + 1 < count else [])
    assert cycles == []
    assert order == list(range(count - 1, -1, -1))
    _, cycles = find_order(count, lambda task: [(task + 1) % count])
    assert cycles == [list(range(count))]
    topology = Topology()
    topology.extend([[task - 1] if task else [] for task in range(count)])
    assert topology.add_edge(count - 1, 0) == [0, *range(count - 1, 0, -1)]
