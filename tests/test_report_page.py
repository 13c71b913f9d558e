"""The report of a run: what is in it, whatever the run and its names are."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgtrio import (
    AbortConditionMonitor,
    InvalidTypeError,
    InvalidValueError,
    MissingExtraError,
    RunFinishedError,
    TaskGraph,
    open_run,
    run_graph,
)
from tgtrio.report import History, Report, write_report
from tgtrio.report import _data as data

from .reports import HOSTILE, failing_graph, read, reported
from .runs import graph_of, nap, raises, returns, sleeps, task

pytest.importorskip("jinja2", reason="jinja2 is not installed: no reports")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.html"


# What it says


async def test_a_run_in_which_all_went_well(path: Path, autojump_clock: MockClock) -> None:
    graph = graph_of("a", task("b", "a"), "c", max_parallel=1)
    page, _ = await reported(path, graph, {"work": nap})
    assert "All 3 tasks succeeded in 3 s." in page.text
    assert "3 succeeded" in page.text
    assert "Why it failed" not in page.text
    assert page.lives() == {
        "a": [(1_000_000, "in_flight")],
        "b": [(2_000_000, "in_flight")],
        "c": [(2_000_000, "max_parallel"), (3_000_000, "in_flight")],
    }


async def test_a_run_with_failures_says_why_first(path: Path, autojump_clock: MockClock) -> None:
    graph, actions = failing_graph()
    page, result = await reported(path, graph, actions, seed=1)
    assert not result.ok
    assert "1 task failed and took 2 along; 7 of 10 succeeded, in" in page.text
    assert "1 task of fetch: fetch 2 Because of it 2 more did not run." in page.text
    assert page.text.index("ConnectionError: no route to") < page.text.index("Slowest tasks")
    assert "Traceback (most recent call last)" in page.text
    assert "1 of 7 in the budget of the graph were used" in page.text
    assert "TimeoutError: slow" in page.text


async def test_what_a_breaker_refuses_comes_after_what_opened_it(
    path: Path, autojump_clock: MockClock
) -> None:
    graph = graph_of(*(f"t{n}" for n in range(20)), max_parallel=1)
    page, _ = await reported(path, graph, {"work": raises()}, when_open="fail")
    assert page.text.index("ValueError: broken") < page.text.index("CircuitOpenError")
    assert "Circuit breakers" in page.text


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("cancel", "The run was ended after 1 s; 0 of 3 tasks had succeeded."),
        ("abort", "A safety rule stopped the run after 1 s: too dear"),
        ("time", "The run was out of time after 1 s; 0 of 3 tasks had succeeded."),
        ("outside", "The run was ended after 1 s"),
    ],
)
async def test_a_run_that_was_cut_short(
    path: Path, autojump_clock: MockClock, how: str, says: str
) -> None:
    monitor = AbortConditionMonitor(rules=())
    timeout = 1000 if how == "time" else None
    graph = graph_of("a", "b", task("c", "a"), graph_timeout_ms=timeout)
    with trio.CancelScope() as outside:
        async with open_run(
            graph, {"work": sleeps(9)}, instruments=[Report(path)], abort_monitor=monitor
        ) as run:
            await trio.sleep(1)
            if how == "cancel":
                run.cancel()
            elif how == "abort":
                monitor.trip("too dear")
            elif how == "outside":
                outside.cancel()
            await run.wait()
    assert says in read(path).text


async def test_a_run_that_raises_is_reported_all_the_same(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        await run_graph(
            graph_of("a"), {"work": raises(KeyboardInterrupt)}, instruments=[Report(path)]
        )
    assert "1 cancelled" in read(path).text


async def test_a_run_without_tasks(path: Path) -> None:
    page, _ = await reported(path, TaskGraph("g"), {})
    assert "The graph has no tasks." in page.text


async def test_tasks_that_take_no_time(path: Path, autojump_clock: MockClock) -> None:
    page, _ = await reported(path, graph_of("a", task("b", "a")), {"work": returns()})
    assert "All 2 tasks succeeded in 0 s." in page.text
    assert page.data["tasks"]["ids"] == ["a", "b"]


async def test_orders_to_the_run_are_told(path: Path, autojump_clock: MockClock) -> None:
    async with open_run(graph_of("a"), {"work": nap}, instruments=[Report(path)]) as run:
        await trio.sleep(0.5)
        run.set_max_parallel(7)
    row = ["set_max_parallel", "the run", "7"]
    assert "".join(row) in read(path).text


# What nothing in it may do


async def test_names_and_errors_are_text_and_never_markup(
    path: Path, autojump_clock: MockClock
) -> None:
    graph, actions = failing_graph()
    page, _ = await reported(path, graph, actions)
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"img", "iframe", "object", "link", "base"})
    assert not [about for _, about in page.elements if any(name.startswith("on") for name in about)]
    assert "\x00" not in page.source
    assert "\u202e" not in page.source
    assert "{{ 7*7 }}" in page.text
    assert "&amp;" in page.text
    shown = HOSTILE.replace("\u202e", "\\u202e").replace("\x00", "\\x00")
    assert f"parse 0 {shown}" in page.data["tasks"]["ids"]


async def test_it_asks_nothing_of_a_network(path: Path, autojump_clock: MockClock) -> None:
    graph, actions = failing_graph()
    page, _ = await reported(path, graph, actions)
    assert not [
        about
        for tag, about in page.elements
        if {"src", "srcset", "action"} & set(about)
        or (tag == "a" and not str(about["href"]).startswith("#"))
    ]
    (policy,) = (a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy
    assert "url(" not in page.source.split("</style>")[0]


async def test_ids_and_labels_are_whole(path: Path, autojump_clock: MockClock) -> None:
    graph, actions = failing_graph()
    page, _ = await reported(path, graph, actions)
    ids = [about["id"] for _, about in page.elements if "id" in about]
    assert len(ids) == len(set(ids))
    links = {str(about["href"])[1:] for tag, about in page.elements if tag == "a"}
    labels = {about["aria-labelledby"] for _, about in page.elements if "aria-labelledby" in about}
    assert links | (labels - {"story-title"}) <= set(ids)  # the dialog brings its own


# How much of it


async def test_of_very_many_tasks_those_are_shown_that_tell_most(
    path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "MOST_TASKS", 20)
    names = [f"t{n}" for n in range(200)]
    graph = graph_of(task("bad", action_name="bad"), *names, max_parallel=3)
    page, _ = await reported(path, graph, {"work": nap, "bad": raises()})
    ids = page.data["tasks"]["ids"]
    assert "bad" in ids
    assert len(ids) <= 25
    assert "The figures count all 201 tasks" in page.text


async def test_many_failures_are_shown_once_for_each_kind(
    path: Path, autojump_clock: MockClock
) -> None:
    graph = graph_of(*(f"t{n}" for n in range(300)))
    page, _ = await reported(path, graph, {"work": raises()}, breaker=None)
    assert "300 tasks of work" in page.text
    assert sum(about.get("class") == "failure" for _, about in page.elements) == 100
    assert "and 200 more; find them by name above" in page.text


async def test_an_error_that_names_its_task_is_one_kind(
    path: Path, autojump_clock: MockClock
) -> None:
    tasks = [task(f"t{n}", max_retries=1, task_timeout_ms=50) for n in range(30)]
    page, _ = await reported(path, graph_of(*tasks), {"work": sleeps(9)}, breaker=None)
    assert "task ...: attempt 2 timed out after 50 ms 30 tasks of work" in page.text
    retries = page.text[page.text.rindex("Retries") :]
    assert retries.count("task ...: attempt 1 timed out after 50 ms") == 1


async def test_a_traceback_is_not_endless(path: Path) -> None:
    async def work(args: dict[str, Any]) -> None:
        raise ValueError("x" * 1_000_000)

    page, _ = await reported(path, graph_of("a"), {"work": work})
    assert len(page.source) < 250_000
    assert "characters are left out" in page.text


# The file


async def test_what_is_there_is_replaced(path: Path) -> None:
    await reported(path, graph_of("before"), {"work": returns()})
    await reported(path, graph_of("a"), {"work": returns()})
    assert read(path).data["tasks"]["ids"] == ["a"]
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("wrong", ["", None, 3, b"x"])
def test_a_path_that_is_none(wrong: Any) -> None:
    with pytest.raises(InvalidTypeError, match="must be a str or a Path"):
        Report(wrong)


def test_a_path_where_no_file_can_be(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="it is a directory"):
        Report(tmp_path)
    with pytest.raises(InvalidValueError, match="there is no directory"):
        Report(tmp_path / "none" / "run.html")


def test_only_a_report_is_replaced(path: Path) -> None:
    path.touch()  # an empty file holds nothing to lose
    for _ in range(2):
        trio.run(lambda: run_graph(graph_of("a"), {"work": returns()}, instruments=[Report(path)]))
    path.write_text("<!DOCTYPE html><title>a page of somebody else")
    with pytest.raises(InvalidValueError, match="no report of tgtrio; remove it"):
        Report(path)
    assert "somebody else" in path.read_text()


async def test_a_file_that_cannot_be_written_in_the_end_is_logged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = Report(path)
    os.mkdir(path)
    with caplog.at_level(logging.ERROR, "tgtrio"):
        result = await run_graph(graph_of("a"), {"work": returns()}, instruments=[report])
    assert result.ok
    assert not report.written
    assert "run_ended failed" in caplog.text


def test_without_jinja2_it_says_what_to_install(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'tgtrio[report]'")):
        Report(path)


async def test_a_history_can_be_reported_later(path: Path) -> None:
    history = History()
    result = await run_graph(graph_of("a"), {"work": returns()}, instruments=[history])
    write_report(path, result, history)
    assert "1 task succeeded" in read(path).text
    with pytest.raises(RunFinishedError):
        write_report(path, result, History())
