"""What a store costs: runs of 1,000 tasks that are kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

import tgtrio

from .. import graphs
from ..actions import no_op
from ..peers.ours import task_graph

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

SIZE = 1_000


@pytest.mark.parametrize("durability", ["batch", "task"])
def test_commit_of_a_run(benchmark: BenchmarkFixture, tmp_path: Path, durability: Any) -> None:
    graph = task_graph(graphs.layered(SIZE))
    with tgtrio.RawStore(tmp_path / "runs.db", durability=durability) as store:

        async def main() -> tgtrio.GraphResult:
            return await tgtrio.run_graph(graph, {"work": no_op}, store=store, idempotent=False)

        assert benchmark.pedantic(trio.run, (main,), rounds=10).ok


def test_opening_and_closing(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    def once() -> None:
        with tgtrio.RawStore(tmp_path / "runs.db"):
            pass

    benchmark(once)
