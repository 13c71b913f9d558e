"""What the benchmarks of pieces share, and what they may write down about the machine."""

from __future__ import annotations

from typing import Any

import pytest

import tgtrio

from .. import graphs
from ..peers import Graph
from ..peers.ours import task_graph

SIZE = 10_000
KEPT = ("machine", "python_implementation", "python_version", "system")


@pytest.fixture(scope="session")
def shape() -> Graph:
    """A layered graph of 10,000 tasks."""
    return graphs.layered(SIZE)


@pytest.fixture(scope="session")
def graph(shape: Graph) -> tgtrio.TaskGraph:
    """The same, described and frozen."""
    described = task_graph(shape)
    described.freeze()
    return described


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Keep what figures depend on: no host name, no serial numbers."""
    processor = machine_info.get("cpu", {})
    kept = {name: machine_info[name] for name in KEPT if name in machine_info}
    machine_info.clear()
    machine_info.update(kept)
    machine_info["cpu"] = {
        name: processor[name] for name in ("brand_raw", "count") if name in processor
    }


def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    """Keep which commit it was: no name of a folder, no author."""
    kept: dict[str, Any] = {
        name: commit_info[name] for name in ("id", "time", "dirty") if name in commit_info
    }
    commit_info.clear()
    commit_info.update(kept)
