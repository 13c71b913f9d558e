"""`Timeline`: a run as a trace in the Trace Event Format."""

from __future__ import annotations

import gzip
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio import (
    BreakerPolicy,
    InvalidValueError,
    RetryLater,
    RetryPolicy,
    TaskGraph,
    open_run,
    run_graph,
)
from tgtrio.instruments import Timeline
from tgtrio.instruments import _trace as trace_module
from tgtrio.instruments._trace import IN_FLIGHT, RUN, WAITING, trace_events
from tgtrio.report.history import History

from .runs import graph_of, nap, raises, returns, sleeps, task

# Google, "Trace Event Format" (2016): what each phase of event must have, and of which type.
COMMON = {"ph": str, "pid": int, "tid": int, "name": str}
FORMAT: dict[str, dict[str, Any]] = {
    "X": {"ts": float, "dur": float, "cat": str, "args": dict},
    "i": {"ts": float, "s": str},
    "C": {"ts": float, "args": dict},
    "M": {"args": dict},
}
OPTIONAL = {"args", "cname"}
METADATA = {
    "process_name": "name",
    "process_sort_index": "sort_index",
    "thread_name": "name",
    "thread_sort_index": "sort_index",
}


class Trace:
    """A trace that has been read, and keeps to the format."""

    def __init__(self, content: bytes) -> None:
        document = json.loads(content)
        self.head = {key: value for key, value in document.items() if key != "traceEvents"}
        self.events: list[dict[str, Any]] = document["traceEvents"]
        for event in self.events:
            self._check(event)
        self._check_lanes()

    def _check(self, event: dict[str, Any]) -> None:
        wanted = {**COMMON, **FORMAT[event["ph"]]}
        assert event.keys() - OPTIONAL <= wanted.keys()
        for field, kind in wanted.items():
            assert isinstance(event[field], kind), event
        if event["ph"] == "M":
            assert event["args"].keys() == {METADATA[event["name"]]}
        elif event["ph"] == "C":
            assert all(type(value) is int for value in event["args"].values())
        elif event["ph"] == "i":
            assert event["s"] in "gpt"
        assert event.get("ts", 0) >= 0
        assert event.get("dur", 0) >= 0

    def _check_lanes(self) -> None:
        """Slices of a lane do not overlap, and every lane has a name."""
        lanes = defaultdict(list)
        for event in self.slices():
            if event["tid"] != RUN:
                lanes[event["pid"], event["tid"]].append(
                    (round(event["ts"] * 1000), round((event["ts"] + event["dur"]) * 1000))
                )
        for slices in lanes.values():
            slices.sort()
            assert all(end <= begin for (_, end), (begin, _) in pairwise(slices))
        assert lanes.keys() <= self.names().keys()

    def slices(self, pid: int | None = None) -> list[dict[str, Any]]:
        return [e for e in self.events if e["ph"] == "X" and pid in (None, e["pid"])]

    def told(self, pid: int) -> list[tuple[object, ...]]:
        """Of each slice its name, category, lane, begin and end in seconds."""
        return sorted(
            (e["name"], e["cat"], e["tid"], e["ts"] / 1e6, (e["ts"] + e["dur"]) / 1e6)
            for e in self.slices(pid)
            if e["tid"] != RUN
        )

    def names(self) -> dict[tuple[int, int], str]:
        return {
            (e["pid"], e["tid"]): e["args"]["name"]
            for e in self.events
            if e["ph"] == "M" and e["name"] == "thread_name"
        }

    def marks(self) -> list[tuple[str, float]]:
        return [(e["name"], e["ts"] / 1e6) for e in self.events if e["ph"] == "i"]

    def counter(self, name: str) -> list[tuple[float, int]]:
        return [
            (e["ts"] / 1e6, e["args"]["tasks"])
            for e in self.events
            if e["ph"] == "C" and e["name"] == name
        ]


async def trace_of(folder: Path, graph: TaskGraph, actions: object = None, **options: Any) -> Trace:
    path = folder / "run.json"
    actions = {"work": nap} if actions is None else actions
    await run_graph(graph, actions, instruments=[Timeline(path)], **options)
    return Trace(path.read_bytes())


# What is in it


async def test_attempts_are_slices_on_the_lowest_free_lane(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    graph = graph_of(
        {"task_id": "long", "normalized_args": {"seconds": 5}},
        {"task_id": "short", "normalized_args": {"seconds": 1}},
        task("next", "short"),
        task("more", "short"),
    )
    trace = await trace_of(tmp_path, graph)
    assert trace.told(IN_FLIGHT) == [
        ("long", "succeeded", 1, 0, 5),
        ("more", "succeeded", 3, 1, 2),
        ("next", "succeeded", 2, 1, 2),
        ("short", "succeeded", 2, 0, 1),
    ]
    assert trace.told(WAITING) == []
    assert trace.counter("running") == [(0, 2), (1, 3), (2, 1), (5, 0)]
    (run,) = (event for event in trace.slices() if event["tid"] == RUN)
    assert (run["name"], run["dur"]) == ("run of g", 5e6)
    assert run["args"] == {"ok": True, "succeeded": 4}


async def test_waits_are_named_by_what_held_the_task(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    graph = graph_of("a", "b", task("c", action_name="other"), max_parallel=2)
    actions = {"work": sleeps(2), "other": sleeps(1)}
    trace = await trace_of(tmp_path, graph, actions, per_action_caps={"work": 1})
    assert trace.told(WAITING) == [("cap of work", "cap", 1, 0, 2)]
    assert [event["args"] for event in trace.slices(WAITING)] == [{"task": "b"}]
    assert trace.counter("ready") == trace.counter("held") == [(0, 1), (2, 0)]


async def test_failures_tell_their_errors_and_retries_are_marked(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    graph = graph_of(task("t", max_retries=1))
    actions = {"work": raises(lambda: ValueError("no luck"))}
    trace = await trace_of(tmp_path, graph, actions, seed=1)
    first, last = (event for event in trace.slices(IN_FLIGHT) if event["tid"] != RUN)
    assert (first["cat"], last["cat"]) == ("retried", "failed")
    assert first["args"] == {"action": "work", "attempt": 0, "error": "ValueError: no luck"}
    assert last["args"] == {"action": "work", "attempt": 1, "error": "ValueError: no luck"}
    assert trace.told(WAITING) == [("back-off", "back_off", 1, 0, last["ts"] / 1e6)]
    ((mark, at),) = trace.marks()
    assert mark.startswith("retry in ")
    assert at == 0


async def test_what_is_rare_is_marked(autojump_clock: MockClock, tmp_path: Path) -> None:
    async def ask_for_peace(args: object) -> None:
        if not asked:
            asked.append(True)
            raise RetryLater(3)

    asked: list[bool] = []
    path = tmp_path / "run.json"
    graph = graph_of(
        task("f", action_name="fail", max_retries=9), task("p", action_name="peace", max_retries=1)
    )
    async with open_run(
        graph,
        {"fail": raises(), "peace": ask_for_peace},
        retry=RetryPolicy(base=0, cap=0),
        breaker=BreakerPolicy(window=2, give_up_after=1),
        instruments=[Timeline(path)],
    ) as run:
        await trio.sleep(1)
        run.pause()
        run.set_max_parallel(7)
        await trio.sleep(1)
        run.resume()
    marks = Trace(path.read_bytes()).marks()
    assert ("pause", 1) in marks
    assert ("set_max_parallel 7", 1) in marks
    assert ("resume", 2) in marks
    assert ("cooling of peace for 3.00 s", 0) in marks
    assert ("breaker of fail: OPEN", 0) in marks
    assert ("breaker of fail: HALF_OPEN", 30) in marks


async def test_a_graph_without_tasks(tmp_path: Path) -> None:
    trace = await trace_of(tmp_path, TaskGraph("g"))
    assert [event["name"] for event in trace.slices()] == ["run of g"]


@pytest.mark.parametrize("name", ['"\n\x00', "<b>\u202e日本", "x" * 10_000])
async def test_hostile_names(tmp_path: Path, name: str) -> None:
    graph = graph_of({"task_id": name, "action_name": name}, graph_id=name)
    actions = {name: raises(lambda: ValueError("\ud800" + name))}
    trace = await trace_of(tmp_path, graph, actions)
    (attempt,) = (event for event in trace.slices(IN_FLIGHT) if event["tid"] != RUN)
    assert attempt["name"].isprintable()
    assert len(attempt["name"]) <= 200
    assert len(json.dumps(trace.events)) < 10_000


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(0, 9), max_size=2), st.booleans()),
        max_size=10,
    ),
    st.integers(1, 3),
)
def test_slices_tell_all_that_happened_and_nothing_twice(
    tasks: list[tuple[int, list[int], bool]], cap: int
) -> None:
    async def work(args: dict[str, Any]) -> None:
        await trio.sleep(args["seconds"])
        if args["fails"]:
            raise ValueError

    graph = graph_of(
        *(
            task(
                f"t{place}",
                *{f"t{other}" for other in others if other < place},
                normalized_args={"seconds": seconds, "fails": fails},
                max_retries=1,
                on_dep_fail="always",
            )
            for place, (seconds, others, fails) in enumerate(tasks)
        )
    )
    history = History()

    async def main() -> None:
        await run_graph(
            graph,
            {"work": work},
            instruments=[history],
            per_action_caps={"work": cap},
            breaker=None,
            seed=1,
        )

    trio.run(main, clock=MockClock(autojump_threshold=0))
    trace = Trace(json.dumps({"traceEvents": list(trace_events(history))}).encode())
    ran = Counter(event["name"] for event in trace.slices(IN_FLIGHT) if event["tid"] != RUN)
    assert ran == {name: len(history.attempts(name)) for name in graph.nodes}
    waited = Counter[str]()
    for event in trace.slices(WAITING):
        waited[event["args"]["task"]] += round(event["dur"] * 1000)
    for name in graph.nodes:
        expected = sum(wait.end - wait.begin for wait in history.waits(name)) * 1e9
        assert waited[name] == pytest.approx(expected, abs=10)
    assert max([event["tid"] for event in trace.slices(IN_FLIGHT)]) <= cap
    for name in ("running", "ready", "held"):
        course = trace.counter(name)
        assert course[-1][1] == 0
        assert [at for at, _ in course] == sorted({at for at, _ in course})
        assert all(count >= 0 for _, count in course)
    assert all(count <= cap for _, count in trace.counter("running"))


async def test_of_very_many_that_wait_the_rest_is_counted_only(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_module, "MOST_WAITING", 3)
    graph = graph_of(*(f"t{number}" for number in range(9)), max_parallel=1)
    trace = await trace_of(tmp_path, graph)
    assert {event["tid"] for event in trace.slices(WAITING)} == {1, 2, 3}
    (name,) = (
        event["args"]["name"]
        for event in trace.events
        if event["name"] == "process_name" and event["pid"] == WAITING
    )
    assert name == "ready, waiting for (5 more are counted only)"
    assert trace.counter("held")[0] == (0, 8)


async def test_counters_of_long_runs_are_told_in_steps(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_module, "EXACT", 10)
    graph = graph_of(*(f"t{number}" for number in range(100)), max_parallel=1)
    trace = await trace_of(tmp_path, graph)
    assert len(trace.slices(IN_FLIGHT)) == 101
    held = trace.counter("held")
    assert held[0] == (0, 90)  # what is left at the end of the first tenth
    assert 10 <= len(held) <= 11
    assert held[-1][1] == 0


# The file


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


async def test_a_name_that_ends_in_gz_is_compressed(tmp_path: Path) -> None:
    path = tmp_path / "run.json.gz"
    await run_graph(graph_of("a"), {"work": returns()}, instruments=[Timeline(path)])
    assert Trace(gzip.decompress(path.read_bytes())).told(IN_FLIGHT)[0][:2] == ("a", "succeeded")
    assert names_in(tmp_path) == ["run.json.gz"]


async def test_each_run_replaces_the_file(tmp_path: Path) -> None:
    timeline = Timeline(str(tmp_path / "run.json"))
    for name in ("first", "second"):
        graph = graph_of("a", graph_id=name)
        await run_graph(graph, {"work": returns()}, instruments=[timeline])
        trace = Trace((tmp_path / "run.json").read_bytes())
        assert trace.head["otherData"]["graph_id"] == name


async def test_a_run_that_is_cut_short_is_written_too(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    graph = graph_of("a", task("b", "a"))
    with trio.move_on_after(3):
        await run_graph(graph, {"work": sleeps(9)}, instruments=[Timeline(path)])
    assert Trace(path.read_bytes()).told(IN_FLIGHT) == [("a", "cancelled", 1, 0, 3)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("no/such/run.json", "there is no such folder"), (".", "it is a folder"), ("a\0", "no such")],
)
def test_a_path_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(InvalidValueError, match=f"cannot be written: .*{reason}"):
        Timeline(f"{tmp_path}/{name}")
    assert names_in(tmp_path) == []


async def test_a_disk_that_fails_is_told_and_leaves_the_file_as_it_was(
    autojump_clock: MockClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*args: object) -> Iterator[object]:
        yield {}
        assert len(names_in(tmp_path)) == 2  # a draft is under way
        raise OSError(28, "No space left on device")

    path = tmp_path / "run.json"
    timeline = Timeline(path)
    path.write_text("as it was")
    monkeypatch.setattr("tgtrio.instruments._timeline.trace_events", full)
    assert (await run_graph(graph_of("a"), {"work": nap}, instruments=[timeline])).ok
    assert [one.levelno for one in caplog.records] == [logging.ERROR]
    assert path.read_text() == "as it was"
    assert names_in(tmp_path) == ["run.json"]


@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
async def test_only_a_trace_is_replaced(
    autojump_clock: MockClock, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.touch()  # an empty file holds nothing to lose
    for _ in range(2):
        assert (await run_graph(graph_of("a"), {"work": nap}, instruments=[Timeline(path)])).ok
    for foreign in (b'{"traceEvents": []}', b"\x1f\x8bcut short", b"SQLite format 3\0"):
        path.write_bytes(foreign)
        with pytest.raises(InvalidValueError, match="no trace of tgtrio; remove it"):
            Timeline(path)
        assert path.read_bytes() == foreign
