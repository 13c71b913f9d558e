"""The public functions of `tgtrio.drawing`."""

from __future__ import annotations

import inspect
from typing import Any, assert_type

import pytest

import tgtrio
from tgtrio import drawing

from .drawings import graph_of
from .test_public_names import section


@pytest.mark.parametrize("name", drawing.__all__)
def test_a_public_name_lives_in_the_package_itself(name: str) -> None:
    public: Any = getattr(drawing, name)
    assert public.__module__ == "tgtrio.drawing"
    assert name not in tgtrio.__all__


@pytest.mark.parametrize("name", [name for name in drawing.__all__ if name[0].islower()])
def test_the_documented_arguments_are_those_of_the_signature(name: str) -> None:
    public: Any = getattr(drawing, name)
    doc = inspect.getdoc(public) or ""
    assert section("Args", doc).keys() == inspect.signature(public).parameters.keys()
    for error in ",".join(section("Raises", doc)).split(","):
        assert issubclass(getattr(tgtrio, error), tgtrio.TgtrioError)


def test_the_fields_of_the_figures_are_documented() -> None:
    figures = drawing.measure(graph_of({"a": []}))
    assert section("Attributes", inspect.getdoc(figures) or "").keys() == figures.keys()


def test_types() -> None:
    graph = graph_of({"a": []})
    assert_type(drawing.draw_tree(graph), str)
    assert_type(drawing.to_dot(graph, limit=None), str)
    assert_type(drawing.measure(graph).widths, tuple[int, ...])
    assert drawing.measure(graph).widths == (1,)
