"""What the tests of drawings have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from tgtrio import GraphResult, TaskGraph, TaskResult, TaskState

# What is syntax, markup or trouble somewhere.
HOSTILE = (
    'a"b',
    "a\nb",
    "[x]",
    "a --> b",
    "<b>bold</b>",
    "</svg><script>alert(1)</script>",
    "&lt;",
    "#35;",
    "`code`",
    "**bold**",
    "1. list",
    "end",
    "graph",
    '%%{init: {"theme":"dark"}}%%',
    "style a fill:#f00;",
    "fa:fa-x",
    "$$x^2$$",
    "ﬂ°°35¶ß",
    "\u202eevil\u200b",
    "\x1b[2J\0",
    "a\\nb",
    "a\\",
    "\\N",
    "日本語",
    "x" * 10_000,
    "|",
    "  two  spaces ",
    "---\ntitle: x\n---",
    "\U0001f600",
)

IDS = st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=8).filter(
    lambda text: text.isascii() or not any(0xD800 <= ord(char) < 0xE000 for char in text)
)


def graph_of(edges: Mapping[str, Iterable[str]], graph_id: str = "g", **fields: Any) -> TaskGraph:
    """A graph of tasks and their dependencies; the action of `fetch-1` is `fetch`."""
    graph = TaskGraph(graph_id)
    graph.add_tasks(
        {
            "task_id": task_id,
            "action_name": task_id.rpartition("-")[0] or task_id,
            "dependencies": list(dependencies),
            **fields,
        }
        for task_id, dependencies in edges.items()
    )
    return graph


def layers(widths: Sequence[int], action: str = "work") -> TaskGraph:
    """Levels of so many tasks each; each task depends on one of the level above."""
    graph = TaskGraph("layers")
    for level, width in enumerate(widths):
        graph.add_tasks(
            {
                "task_id": f"{level}.{place}",
                "action_name": action,
                "dependencies": [f"{level - 1}.{place % widths[level - 1]}"] if level else [],
            }
            for place in range(width)
        )
    return graph


def ended(
    graph: TaskGraph, states: Mapping[str, TaskState] = {}, errors: Mapping[str, str] = {}
) -> GraphResult:
    """The result of a run in which the tasks that are not named succeeded."""
    results = {
        task_id: TaskResult(
            task_id=task_id,
            state=states.get(task_id, TaskState.SUCCEEDED),
            error=errors.get(task_id, ""),
        )
        for task_id in graph.nodes
    }
    numbers = [result.state for result in results.values()]
    return GraphResult(
        graph_id=graph.graph_id,
        run_id="r",
        total_tasks=len(results),
        results=results,
        statistics={"states": {state.value: numbers.count(state) for state in TaskState}},
        elapsed_ms=1.0,
        completed_at="2030-01-01T00:00:00+00:00",
    )


@st.composite
def graphs(draw: st.DrawFn, ids: st.SearchStrategy[str] = IDS) -> TaskGraph:
    """Small graphs of any shape and any names."""
    names = draw(st.lists(ids, unique=True, max_size=12))
    graph = TaskGraph(draw(ids))
    for place, name in enumerate(names):
        before = draw(st.sets(st.sampled_from(names[:place]), max_size=4)) if place else ()
        graph.add_task(name, draw(st.sampled_from("abc") | ids), dependencies=sorted(before))
    return graph
