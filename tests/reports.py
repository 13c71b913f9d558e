"""Runs to report on, in virtual time, and what is in their reports."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

from tgtrio import GraphResult, TaskContext, TaskGraph, run_graph
from tgtrio.report import History, Report

HOSTILE = '</script><img src=x onerror="document.title=1">\u202e\x00{{ 7*7 }}&amp;'


class Page(HTMLParser):
    """A report, parsed: its text, its elements, its data."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source, self.text, self.elements = source, "", list[tuple[str, dict[str, Any]]]()
        self._silent = 0
        self.feed(source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text += data

    @property
    def data(self) -> dict[str, Any]:
        """What the scripts read."""
        found = re.search(r'<script type="application/json" id="data">(.*?)</script>', self.source)
        assert found is not None
        data: dict[str, Any] = json.loads(found[1])
        return data

    def lives(self) -> dict[str, list[tuple[int, str]]]:
        """By task until when it did what, in microseconds."""
        tasks, causes = self.data["tasks"], self.data["causes"]
        parts = iter(zip(tasks["until"], tasks["what"], strict=True))
        return {
            task_id: [(until, causes[what][0]) for until, what in (next(parts) for _ in range(n))]
            for task_id, n in zip(tasks["ids"], tasks["parts"], strict=True)
        }


def read(path: Path) -> Page:
    """The report in a file."""
    return Page(path.read_text(encoding="utf-8"))


async def reported(
    path: Path, graph: TaskGraph, actions: object, **options: Any
) -> tuple[Page, GraphResult]:
    """Run a graph; its report and its result."""
    report = Report(path)
    result = await run_graph(graph, actions, instruments=[report], **options)
    return read(path), result


def remembered(graph: TaskGraph, actions: object, **options: Any) -> tuple[History, GraphResult]:
    """Run a graph in virtual time; its history and its result."""
    history = History()

    async def main() -> GraphResult:
        return await run_graph(graph, actions, instruments=[history], **options)

    return history, trio.run(main, clock=MockClock(autojump_threshold=0))


def with_estimates(record: dict[str, Any]) -> Callable[..., Awaitable[None]]:
    """An action that takes as long as the tasks of a recorded graph did."""
    runtimes = {task["id"]: task["runtime_s"] for task in record["tasks"]}

    async def work(args: dict[str, Any], context: TaskContext) -> None:
        await trio.sleep(runtimes[context.task_id])

    return work


def failing_graph() -> tuple[TaskGraph, dict[str, Any]]:
    """A graph with retries, failures, what they take along, and names that nobody should have."""

    async def fetch(args: dict[str, Any], context: TaskContext) -> str:
        await trio.sleep(1 + args["n"])
        if args["n"] == 2:
            raise ConnectionError(f"no route to {HOSTILE}\ud800")
        if args["n"] == 1 and not context.attempt:
            raise TimeoutError("slow")
        return "page"

    async def parse(args: dict[str, Any]) -> None:
        await trio.sleep(1)

    graph = TaskGraph(f"crawl {HOSTILE}", max_parallel=2, max_retry_tokens=7)
    for n in range(4):
        graph.add_task(f"fetch {n}", "fetch", {"n": n}, max_retries=2 * (n == 1))
        graph.add_task(f"parse {n} {HOSTILE}", HOSTILE, {"n": n}, dependencies=[f"fetch {n}"])
    after = [f"parse {n} {HOSTILE}" for n in range(4)]
    graph.add_task("index", "fetch", {"n": 9}, dependencies=after)
    graph.add_task("clean up", "fetch", {"n": 8}, dependencies=["index"], on_dep_fail="always")
    return graph, {"fetch": fetch, HOSTILE: parse}
