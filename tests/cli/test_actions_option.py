"""`--actions` of modules that hold a registry, and of what was nearly meant."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from .conftest import Command, Write

SHOP = """
    from tgtrio import Actions

    actions = Actions()
    same = actions

    @actions.register(retry=None)
    def fail(args):
        raise ValueError("no")

    @actions.register
    def double(args):
        return args["n"] * 2
"""
SHOPS = """
    from shop import actions

    others = type(actions)()
"""
BARE = """
    def double(args):
        return args["n"] * 2
"""


@pytest.fixture(autouse=True)
def modules(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's modules, in the current directory."""
    for name, text in {"shop": SHOP, "shops": SHOPS, "bare": BARE}.items():
        (here / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.mark.parametrize("path", ["shop", "shop:actions", "shop:same", "shops:actions", "bare"])
def test_a_registry_or_else_the_functions_of_a_module(
    tgtrio: Command, graph_file: Write, path: str
) -> None:
    task = {"task_id": "a", "action_name": "double", "normalized_args": {"n": 7}}
    ended = tgtrio("run", graph_file(task), "--actions", path, "--json")
    assert ended.document["results"]["a"]["response"] == 14


def test_a_module_alone_has_the_policies_of_its_registry(
    tgtrio: Command, graph_file: Write
) -> None:
    path = graph_file({"task_id": "a", "action_name": "fail"})
    ended = tgtrio("run", path, "--actions", "shop", "--json")
    assert ended.document["results"]["a"]["attempts"] == 1


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ("shops", "it holds several tgtrio.Actions; name one: shops:actions, shops:others"),
        ("shop.py", "neither in the current directory nor installed; write shop:actions"),
        ("shop.py:same", "nor installed; write shop:same"),
        ("./shop.py:same", "there is no module './shop.py', "),
        ("./shop.py:same", "nor installed; write shop:same"),
        ("/srv/shop.py", "nor installed; write shop"),
        ("bare.py", "nor installed; write bare"),
        ("shop.actions", "nor installed; did you mean shop:actions?"),
        ("bare.actions", "there is no module 'bare.actions', neither"),
    ],
)
def test_what_was_meant_is_told(
    tgtrio: Command, graph_file: Write, actions: str, message: str
) -> None:
    path = graph_file({"task_id": "a", "action_name": "double", "normalized_args": {"n": 7}})
    ended = tgtrio("run", path, "--actions", actions)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"tgtrio: --actions {actions}: ")
    assert message in ended.err
