"""The columns of a plan: the compiled functions and their twins make the same ones."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime, timedelta, tzinfo
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio import DependencyPolicy, TaskNode, _freezing_py, output_of


def modules() -> dict[str, ModuleType]:
    """The modules that are there, by name."""
    found: dict[str, ModuleType] = {"pure": _freezing_py}
    try:
        from tgtrio import _freezing
    except ImportError:
        return found
    return {"compiled": _freezing} | found


MODULES = modules()
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return MODULES[request.param]


@pytest.fixture
def compiled() -> ModuleType:
    if "compiled" not in MODULES:
        pytest.skip("tgtrio._freezing is not compiled here")
    return MODULES["compiled"]


def int32(*numbers: int) -> array[int]:
    return array("i", numbers)


FIELDS = st.fixed_dictionaries(
    {
        "dependencies": st.sets(st.integers(0, 100), max_size=4),
        "action_name": st.sampled_from(["x", "y", "z"]),
        "resource_ids": st.lists(st.sampled_from(["r", "s", "t"]), max_size=3),
        "on_dep_fail": st.sampled_from(DependencyPolicy),
        "priority": st.sampled_from([0.0, -0.0, 1.0, -2.5]),
        "deadline": st.none() | st.integers(0, 3).map(lambda hours: NOON + timedelta(hours=hours)),
        "task_timeout_ms": st.sampled_from([None, None, 1.0, 2500.0]),
        "expire_at_deadline": st.sampled_from([None, False]),
        "normalized_args": st.sampled_from([{}, {"x": 1}, {"x": output_of("root")}]),
    }
)


def nodes_of(fields: list[dict[str, Any]]) -> list[TaskNode]:
    """Nodes that depend on older and on younger ones."""
    count = len(fields)
    nodes = [TaskNode("root", "x", priority=-1.0)]
    for n, one in enumerate(fields):
        names = {d % count for d in one["dependencies"]} - {n}
        nodes.append(TaskNode(str(n), **one | {"dependencies": [str(d) for d in sorted(names)]}))
    return nodes


def columns(module: ModuleType, nodes: list[TaskNode], expires: bool) -> list[Any]:
    index = {node.task_id: place for place, node in enumerate(nodes)}
    order = module.dispatch_order(nodes)
    ranks = None if order is None else module.inverse(order)
    places = module.look_up(nodes, index)
    edges = module.edges(nodes, places, order, ranks)
    return [
        order,
        ranks,
        places,
        edges,
        module.edges(nodes, places, None, None),
        module.transpose(*edges[:2]),
        module.arguments(nodes),
        module.actions(nodes),
        module.policies(nodes),
        module.flags(nodes, expires),
        module.timeouts(nodes),
        module.resource_sets(nodes),
    ]


@given(st.lists(FIELDS, max_size=20).map(nodes_of), st.booleans())
def test_all_of_any_graph_are_the_same(nodes: list[TaskNode], expires: bool) -> None:
    made = [columns(module, nodes, expires) for module in MODULES.values()]
    assert all(one == made[0] for one in made)
    assert [type(column) for column in made[0]] == [type(column) for column in made[-1]]


def test_the_order(module: ModuleType) -> None:
    def order(*fields: dict[str, Any]) -> Any:
        return module.dispatch_order([TaskNode(str(n), "f", **f) for n, f in enumerate(fields)])

    urgent, later = {"priority": 1}, {"deadline": NOON + timedelta(hours=1)}
    assert order() is None
    assert order({}, {}) is None
    assert order(urgent, later, {}) is None  # as they were added
    assert order({}, later, {"deadline": NOON}, urgent) == int32(3, 2, 1, 0)
    assert order({}, urgent, {}, urgent) == int32(1, 3, 0, 2)


def test_edges_by_rank(module: ModuleType) -> None:
    nodes = [TaskNode("a", "f"), TaskNode("b", "f"), TaskNode("c", "f", dependencies=["b", "a"])]
    places = module.look_up(nodes, {"a": 0, "b": 1, "c": 2})
    assert places == int32(1, 0)
    expected = int32(0, 2, 2, 2), int32(1, 2), int32(2, 0, 0)
    assert module.edges(nodes, places, int32(2, 1, 0), int32(2, 1, 0)) == expected
    offsets, targets, _ = module.edges(nodes, places, None, None)
    assert (offsets, targets) == (int32(0, 0, 0, 2), int32(1, 0))
    assert targets is not places  # which goes on growing with the graph
    assert module.transpose(offsets, targets) == (int32(0, 1, 2, 2), int32(2, 2))


def test_a_name_without_a_place(module: ModuleType) -> None:
    with pytest.raises(KeyError):
        module.look_up([TaskNode("a", "f", dependencies=["b"])], {"a": 0})


def test_places_of_other_tasks(module: ModuleType) -> None:
    nodes = [TaskNode("a", "f", dependencies=["b"])]
    for places in (int32(), int32(0, 0)):
        with pytest.raises(ValueError, match="not one for each dependency"):
            module.edges(nodes, places, None, None)


@pytest.mark.parametrize("wrong", [-1, 2, 2**31 - 1, -(2**31)])
def test_no_number_leads_out_of_a_buffer(compiled: ModuleType, wrong: int) -> None:
    nodes = [TaskNode("a", "f"), TaskNode("b", "f", dependencies=["a"])]
    with pytest.raises(ValueError):
        compiled.inverse(int32(0, wrong))
    with pytest.raises(ValueError):
        compiled.transpose(int32(0, 1, 1), int32(wrong))
    with pytest.raises(ValueError):
        compiled.transpose(int32(0, wrong, 1), int32(1))
    with pytest.raises(ValueError):
        compiled.transpose(int32(), int32())
    with pytest.raises(ValueError):
        compiled.edges(nodes, int32(wrong), int32(0, 1), int32(0, 1))
    with pytest.raises(ValueError):
        compiled.edges(nodes, int32(0), int32(0, wrong), int32(0, 1))
    with pytest.raises(ValueError):
        compiled.edges(nodes, int32(0), int32(0), int32(0))
    with pytest.raises(ValueError):
        compiled.edges(nodes, int32(0), int32(1, 1), int32(0, 1))


def test_only_nodes_are_read(compiled: ModuleType) -> None:
    for stranger in (None, "a", object()):
        with pytest.raises(TypeError, match="is no TaskNode"):
            compiled.arguments([stranger])
    with pytest.raises(AttributeError):
        compiled.arguments([object.__new__(TaskNode)])


def test_a_time_zone_may_change_the_graph_under_the_feet(compiled: ModuleType) -> None:
    class Zone(tzinfo):
        armed = False

        def utcoffset(self, when: datetime | None) -> timedelta:
            if self.armed:
                nodes.clear()
            return timedelta(0)

        def dst(self, when: datetime | None) -> timedelta:
            return timedelta(0)

        def tzname(self, when: datetime | None) -> str:
            return "zone"

    zone = Zone()
    deadline = datetime(2030, 1, 1, tzinfo=zone)
    nodes = [TaskNode(str(n), "f", deadline=deadline) for n in range(100)]
    zone.armed = True
    with pytest.raises(IndexError):
        compiled.dispatch_order(nodes)
