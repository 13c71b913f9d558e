"""The benchmarks measure what they say: every peer does all the work, in a right order."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tgtrio
from benchmarks import graphs, patterns, peers, real_graphs, report
from benchmarks.cases import Case, Goal, Outcome, Sample, Section
from benchmarks.measures import MEASURES, granularity
from benchmarks.measures.phases import run_once
from benchmarks.peers import Graph
from benchmarks.pieces.conftest import KEPT
from benchmarks.processes import sample
from benchmarks.sections import all_sections
from benchmarks.worker import take

from . import real_graphs as recorded

ROOT = Path(__file__).parents[1]
NONE: st.SearchStrategy[list[int]] = st.just([])
ORDERS = ("graphlib-order",)
TOO_LARGE = ("held", "describe", "memory", "cancel", "ticker")  # they have sizes of their own
RUNNERS = [name for name in peers.BY_HAND if name not in ORDERS]


@st.composite
def random_graphs(draw: st.DrawFn, most: int = 30) -> Graph:
    """Each task depends on any of those before it."""
    graph: dict[str, list[str]] = {}
    for number in range(draw(st.integers(1, most))):
        before = st.lists(st.integers(0, number - 1), unique=True, max_size=4) if number else NONE
        graph[f"task {number}"] = [f"task {parent}" for parent in draw(before)]
    return graph


class PathCounter:
    """An action whose value can only be right if all dependencies of its task have ended."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[str, int] = {}

    def plain(self, task: str) -> int:
        assert task not in self.values, "done twice"
        self.values[task] = 1 + sum(self.values[parent] for parent in self.graph[task])
        return self.values[task]

    async def without_a_break(self, task: str) -> int:
        return self.plain(task)


def of_tgtrio(graph: Graph) -> dict[str, Any]:
    described = tgtrio.TaskGraph("paths")
    described.add_tasks(
        {"task_id": task, "action_name": "count", "dependencies": parents}
        for task, parents in graph.items()
    )
    counter = PathCounter(graph)

    async def count(args: object, context: tgtrio.TaskContext) -> int:
        return counter.plain(context.task_id)

    result = trio.run(lambda: tgtrio.run_graph(described, {"count": count}, idempotent=False))
    return {task: result.results[task].response for task in graph}


def of_peer(name: str, graph: Graph) -> Any:
    peer = peers.find(name)
    counter = PathCounter(graph)
    plain = peer.loop is None or peer.threads
    return run_once(peer, graph, counter.plain if plain else counter.without_a_break)


@pytest.mark.parametrize("name", RUNNERS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=random_graphs())
def test_a_peer_by_hand_does_what_tgtrio_does(name: str, graph: Graph) -> None:
    assert of_peer(name, graph) == of_tgtrio(graph)


@given(graph=random_graphs())
def test_an_order_alone_names_every_task_after_its_dependencies(graph: Graph) -> None:
    order = run_once(peers.find("graphlib-order"), graph, print)
    assert sorted(order) == sorted(graph)
    place = {task: number for number, task in enumerate(order)}
    assert all(place[parent] < place[task] for task in graph for parent in graph[task])


@pytest.mark.parametrize("name", peers.OURS)
def test_each_variant_of_ours_runs_every_task(name: str) -> None:
    peer, graph = peers.find(name), graphs.layered(50)
    counted: list[object] = []

    async def count(args: object) -> None:
        counted.append(args)

    results = run_once(peer, graph, counted.append if peer.threads else count)
    assert list(results) == list(graph)
    assert len(counted) == len(graph)


@pytest.mark.parametrize("name", peers.LIBRARIES)
def test_a_library_does_what_tgtrio_does_where_it_is_installed(name: str) -> None:
    answer = sample(Case("phases", name, 20), patience=120)
    assert answer.absent.startswith("pip install ") or answer.figures["run us"] > 0, answer.error


@pytest.mark.parametrize("shape", [*graphs.SHAPES, *(f"taskbench/{p}" for p in patterns.PATTERNS)])
def test_a_shape_is_a_graph_in_topological_order(shape: str) -> None:
    graph = graphs.make(shape, 640)
    assert len(graph) <= 640
    seen: set[str] = set()
    for task, parents in graph.items():
        assert set(parents) <= seen
        assert len(set(parents)) == len(parents)
        seen.add(task)


def test_the_patterns_are_those_of_task_bench(shared_data: Path) -> None:
    """All but the random one, whose generator is not ours."""
    for record in recorded.load(shared_data / "taskbench.jsonl.gz"):
        name = record["name"].split("-")[1]
        graph = patterns.make(name, steps=100, width=32)
        number = {task: str(place) for place, task in enumerate(graph)}
        made = {number[task]: {number[p] for p in parents} for task, parents in graph.items()}
        wanted = {task["id"]: set(task["dependencies"]) for task in record["tasks"]}
        assert made.keys() == wanted.keys()
        assert name == "random_nearest" or made == wanted, name


def test_recorded_graphs_are_read_from_the_folder_that_is_named(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(real_graphs.VARIABLE, str(shared_data))
    assert len(graphs.make("real/build-webrtc", 10)) == 3_225
    with pytest.raises(peers.Absent, match="no nothing"):
        graphs.make("real/nothing", 10)


def test_without_a_folder_recorded_graphs_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(real_graphs.VARIABLE, raising=False)
    with pytest.raises(peers.Absent, match="--graphs"):
        graphs.make("real/debian", 10)


def test_metg_is_where_half_of_the_time_is_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an overhead of 1 s a task and turns of 1 ms it is at tasks of 2 s."""
    monkeypatch.setattr(granularity, "seconds_a_turn", lambda: 0.001)
    monkeypatch.setattr(
        granularity, "seconds_a_task", lambda peer, graph, turns, enough: 1.0 + 0.001 * turns
    )
    assert granularity.metg(peers.find("bare-loop"), {}) == pytest.approx(2.0, rel=0.02)


# The harness


def outcome(row: str, *figures: dict[str, float], absent: str = "") -> Outcome:
    samples = [Sample(figures=found, title=row, size=10) for found in figures]
    return Outcome(
        Case("phases", row=row), [*samples, *([Sample(absent=absent)] if absent else [])]
    )


def test_figures_are_medians() -> None:
    assert outcome("a", {"us": 1.0}, {"us": 9.0}, {"us": 2.0}).figures == {"us": 2.0}


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (Goal("", "a", "us", at_most=3), 4.0, False),
        (Goal("", "a", "us", "b", at_most=0.5), 0.5, True),
        (Goal("", "a", "us", "b", at_least=3), 2.0, False),
        (Goal("", "b", "us", "a", at_least=0.5), 0.5, True),
    ],
)
def test_a_goal_is_a_figure_or_a_ratio(goal: Goal, value: float, met: bool) -> None:
    outcomes = {"a": outcome("a", {"us": 4.0}), "b": outcome("b", {"us": 8.0})}
    assert goal.value(outcomes) == value
    assert goal.is_met_by(value) is met


def section(*goals: Goal) -> Section:
    return Section("key", "Title", [Case("phases", row=row) for row in "abc"], "us", goals=goals)


def test_a_report_tells_figures_absence_and_bars() -> None:
    told = report.section(
        section(Goal("fast", "a", "us", at_most=5), Goal("faster", "a", "us", "c", at_least=2)),
        {
            "a": outcome("a", {"us": 4.0}),
            "b": outcome("b", {"us": 8.0}),
            "c": outcome("c", absent="pip install c"),
        },
    )
    assert "| b | 10 | 8.00 | 2.00 |" in told
    assert "* c: absent, pip install c" in told
    assert "| fast | 4.00 | <= 5 | yes |" in told
    assert "| faster |  | >= 2 | not measured |" in told


def test_ratios_can_be_of_processor_time() -> None:
    goal = Goal("", "a", "run us", "b", at_least=2)
    changed = section(goal).by_processor()
    assert [goal.figure for goal in changed.goals] == ["processor us"]
    asleep = attrs.evolve(section(goal), cases=[Case("phases", work="naps")])
    assert asleep.by_processor() is asleep


def test_without_the_first_row_there_are_no_ratios() -> None:
    outcomes = {"a": outcome("a", absent="pip install a"), "b": outcome("b", {"us": 8.0})}
    assert "| b | 10 | 8.00 |\n" in report.section(section(), outcomes)


@pytest.mark.parametrize("quick", [True, False])
def test_every_section_is_well_formed(quick: bool) -> None:
    sections = all_sections(quick)
    assert len({section.key for section in sections}) == len(sections)
    for section in sections:
        rows = [case.name for case in section.cases]
        assert len(set(rows)) == len(rows)
        assert {case.measure for case in section.cases} <= set(MEASURES)
        for goal in section.goals:
            assert {goal.row, goal.over or goal.row} <= set(rows)
            assert (goal.at_most is None) != (goal.at_least is None)


def test_a_measurement_that_fails_or_lasts_is_told_and_not_fatal() -> None:
    assert "KeyError" in sample(Case("phases", "nobody"), patience=60).error
    assert "took more than" in sample(Case("phases", size=10_000), patience=0.01).error


def harness(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_absent_library_is_told_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_here(package: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(peers, "version", not_here)
    assert take(Case("phases", "dask-threaded")).absent == "pip install dask"


def test_the_harness_end_to_end(tmp_path: Path) -> None:
    absent = next((name for name in peers.LIBRARIES if not installed(name)), "nursery")
    file = tmp_path / "figures.json"
    some = ("--peers", f"bare-loop,{absent}", "--sections", "run-10k", "--rounds", 2)
    done = harness("--size", 50, *some, "--json", file)
    assert done.returncode == 0, done.stderr
    assert "| tgtrio | 50 |" in done.stdout
    assert "run-10k: round 2 of 2: bare-loop" in done.stderr
    rows = json.loads(file.read_text())["sections"]["run-10k"]["rows"]
    assert rows.keys() == {"tgtrio", "bare-loop", absent}
    assert len(rows["bare-loop"]["samples"]) == 2
    assert rows["tgtrio"]["figures"]["run us"] > 0
    if absent != "nursery":
        assert f"* {absent}: absent, pip install" in done.stdout


def small_cases() -> list[Case]:
    """One of each kind, without libraries, and without those that have sizes of their own."""
    cases = {
        (case.measure, case.work): attrs.evolve(case, size=40, seconds=0)
        for section in all_sections(quick=True)
        for case in section.cases
        if section.key not in TOO_LARGE and case.peer == "tgtrio"
    }
    return [case for case in cases.values() if not case.shape.startswith("real/")]


@pytest.mark.parametrize("case", small_cases(), ids=lambda case: f"{case.measure}-{case.work}")
def test_each_kind_of_measurement_has_figures(case: Case) -> None:
    taken = take(case)
    assert taken.absent or taken.figures, taken.error
    assert all(map(math.isfinite, taken.figures.values()))  # differences may be negative


def pieces(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_piece_runs() -> None:
    done = pieces("benchmarks/pieces")
    assert done.returncode == 0, done.stdout


def test_what_a_baseline_says_of_the_machine_does_not_name_it(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    short = ("--benchmark-enable", "--benchmark-max-time=0.01", "--benchmark-min-rounds=1")
    piece = "benchmarks/pieces/test_description.py::test_key_of_one"
    done = pieces(piece, *short, f"--benchmark-json={file}")
    assert done.returncode == 0, done.stdout
    baseline = json.loads(file.read_text())
    assert baseline["benchmarks"]
    assert baseline["machine_info"].keys() <= {*KEPT, "cpu"}
    assert baseline["machine_info"]["cpu"].keys() <= {"brand_raw", "count"}
    assert baseline["commit_info"].keys() <= {"id", "time", "dirty"}


@pytest.mark.parametrize("wrong", [("--peers", "nobody"), ("--sections", "nothing")])
def test_the_harness_refuses_what_it_does_not_know(wrong: tuple[str, str]) -> None:
    done = harness(*wrong)
    assert done.returncode == 1
    assert f"{wrong[1]!r}; there are: " in done.stderr
    assert "Traceback" not in done.stderr


def installed(name: str) -> bool:
    try:
        return all(version(package) for package in peers.packages(name))
    except PackageNotFoundError:
        return False
