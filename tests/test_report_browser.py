"""The report in a real browser: what it shows, and how it is used without a mouse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tgtrio import TaskGraph
from tgtrio.report import write_report

from . import real_graphs
from .browsers import CHROMIUM, Browser, browsing
from .reports import HOSTILE, failing_graph, remembered, with_estimates
from .runs import graph_of, nap, task

pytest.importorskip("jinja2", reason="jinja2 is not installed: no reports")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

ESCAPE, ENTER, TAB = ("Escape", 27), ("Enter", 13, "\r"), ("Tab", 9)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


def write(path: Path, graph: TaskGraph, actions: object, **options: Any) -> Path:
    history, result = remembered(graph, actions, **options)
    write_report(path, result, history)
    return path


@pytest.fixture(scope="module")
def failing(folder: Path) -> Path:
    """The report of a run with failures and with names that nobody should have."""
    return write(folder / "failing.html", *failing_graph(), seed=1)


@pytest.fixture(scope="module")
def montage(folder: Path, shared_data: Path) -> Path:
    """The report of a recorded run of 1,738 tasks."""
    record = next(
        one
        for one in real_graphs.load(shared_data / "wfinstances.jsonl.gz")
        if one["name"] == "montage-chameleon-2mass-05d-001"
    )
    graph = TaskGraph(record["name"], max_parallel=24)
    graph.add_tasks({**fields, "idempotent": False} for fields in real_graphs.graph_of(record))
    actions = dict.fromkeys({one["action"] for one in record["tasks"]}, with_estimates(record))
    return write(folder / "montage.html", graph, actions, per_action_caps={"mDiffFit": 10})


@pytest.fixture(params=["light", "dark"])
def page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A browser in each colour scheme, which at the end has nothing to complain of."""
    chromium.show(dark=request.param == "dark")
    yield from complaining_of_nothing(chromium)


@pytest.fixture
def light(chromium: Browser) -> Iterator[Browser]:
    chromium.show()
    yield from complaining_of_nothing(chromium)


def complaining_of_nothing(browser: Browser) -> Iterator[Browser]:
    browser.complaints.clear()
    browser.requests.clear()
    yield browser
    assert browser.complaints == []
    assert {address.split(":")[0] for address in browser.requests} <= {"file"}


def text(browser: Browser, selector: str) -> str:
    found: str = browser.evaluate(f"document.querySelector({selector!r}).textContent.trim()")
    return found


def count(browser: Browser, selector: str) -> int:
    found: int = browser.evaluate(f"document.querySelectorAll({selector!r}).length")
    return found


def focused(browser: Browser, what: str = "id") -> str:
    found: str = browser.evaluate(f"document.activeElement.{what}")
    return found


# What it shows


def test_a_small_run_is_drawn_task_by_task(page: Browser, folder: Path) -> None:
    graph = graph_of("a", task("b", "a"), task("c", "a"), task("d", "b", "c"), max_parallel=1)
    page.open(write(folder / "small.html", graph, {"work": nap}))
    assert page.evaluate("document.title") == "✓ g: run report"
    assert "All 4 tasks succeeded in 4 s." in text(page, "h1")
    assert count(page, "#drawing .node") == 4
    assert count(page, "#drawing .edge:not(.hop)") == 4
    assert count(page, ".gantt-names button.task") == 4


def test_a_large_run_is_drawn_by_action_and_level(page: Browser, montage: Path) -> None:
    page.open(montage)
    assert "All 1,738 tasks succeeded" in text(page, "h1")
    assert 5 <= count(page, "#drawing .node") <= 20
    assert "1,242 tasks" in text(page, "#drawing")
    assert count(page, ".gantt-names button.group") == 8
    page.evaluate("document.querySelectorAll('.gantt-names .group')[1].click()")
    page.settle()
    assert 10 <= count(page, ".gantt-names button") <= 30  # not one for each of the 1,242


def test_hostile_names_are_shown_and_do_nothing(page: Browser, failing: Path) -> None:
    page.open(failing)
    assert page.evaluate("document.title").endswith("run report")
    assert page.evaluate("document.images.length") == 0
    assert HOSTILE.split("\u202e")[0] in text(page, "#why")
    page.evaluate("document.querySelector('.gantt-names .task').click()")
    assert page.evaluate("document.images.length") == 0


@pytest.mark.parametrize("width", [1280, 800, 390])
def test_nothing_stands_over_the_edge(light: Browser, failing: Path, width: int) -> None:
    light.show(width=width)
    light.open(failing)
    assert light.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_drawn_has_the_colours_of_the_scheme(chromium: Browser, failing: Path) -> None:
    chromium.show()
    chromium.open(failing)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = chromium.evaluate(ground)
    chromium.evaluate("document.getElementById('theme').click()")
    chromium.settle()
    assert chromium.evaluate(ground) != light
    chromium.evaluate("document.getElementById('theme').click()")
    assert chromium.evaluate(ground) == light


def test_text_can_be_told_from_its_ground(page: Browser, failing: Path) -> None:
    """WCAG AA: a contrast of 4.5 for text."""
    page.open(failing)
    for name in ("text", "muted", "failed", "accent"):
        for ground in ("ground", "raised"):
            ratio = page.evaluate(_CONTRAST % (name, ground))
            assert ratio >= 4.5, (name, ground)


_CONTRAST = """(() => {
  const light = (name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3);
    probe.remove();
    const [r, g, b] = parts.map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [a, b] = [light("%s"), light("%s")].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
})()"""


# How it is used


def test_a_task_is_found_by_typing(light: Browser, failing: Path) -> None:
    light.open(failing)
    light.press("/", 191, "/")
    assert focused(light) == "find"
    for letter in "fetch":
        light.press(letter, ord(letter.upper()), letter)
    assert count(light, "#found [role=option]") == 4
    light.press("ArrowDown", 40)
    light.press(*ENTER)
    assert text(light, "#story-title") == "fetch 1"
    story = text(light, "#story")
    assert "attempt 1, failed" in story
    assert "waited: back-off" in story
    assert "What depends on it (1)" in story
    light.press(*ESCAPE)
    assert not light.evaluate("document.getElementById('story').open")


def test_a_name_that_there_is_not(light: Browser, failing: Path) -> None:
    light.open(failing)
    light.press("/", 191, "/")
    light.press("§", 0, "§")
    assert "No task has that in its name." in text(light, "#found")


def test_everything_can_be_reached_by_tab(light: Browser, failing: Path) -> None:
    light.open(failing)
    light.press(*TAB)
    assert focused(light, "textContent") == "Skip to the summary"
    seen = set()
    for _ in range(150):
        light.press(*TAB)
        seen.add(focused(light, "className.baseVal ?? document.activeElement.className"))
        seen.add(focused(light))
    assert {"find", "theme", "drawing", "gantt-lines", "rows", "sort"} <= seen
    assert any(name.startswith("node") for name in seen)
    assert any(name.startswith("task") for name in seen)


def test_a_node_opens_the_story_of_its_task(light: Browser, failing: Path) -> None:
    light.open(failing)
    light.evaluate("document.querySelector('.node').focus()")
    light.press(*ENTER)
    assert light.evaluate("document.getElementById('story').open")
    assert text(light, "#story-title") == "fetch 0"


def test_a_box_tells_its_tasks(light: Browser, montage: Path) -> None:
    light.open(montage)
    light.evaluate("document.querySelectorAll('.node')[1].focus()")
    light.press(*ENTER)
    assert text(light, "#story-title") == "mDiffFit"
    assert count(light, "#story button.task") == 200
    assert "and 1,042 more" in text(light, "#story")


def test_time_is_zoomed_and_moved_by_keys(light: Browser, failing: Path) -> None:
    light.open(failing)
    light.evaluate("document.querySelector('.gantt-lines').focus()")
    assert text(light, "#time-note") == ""
    light.press("+", 187, "+")
    shown = text(light, "#time-note")
    assert shown.startswith("+")
    light.press("ArrowRight", 39)
    assert text(light, "#time-note") != shown
    light.press("0", 48, "0")
    assert text(light, "#time-note") == ""


def test_a_table_is_sorted_by_its_heads(light: Browser, failing: Path) -> None:
    light.open(failing)
    rows = "[...document.querySelectorAll('#tasks tbody tr')]"
    values = f"{rows}.map((row) => Number(row.cells[3].dataset.value))"
    down = light.evaluate(values)
    assert down == sorted(down, reverse=True)
    light.evaluate("document.querySelectorAll('#tasks button.sort')[3].click()")
    assert light.evaluate(values) == sorted(down)
    assert light.evaluate(
        "document.querySelectorAll('#tasks th')[3].getAttribute('aria-sort')"
    ) == ("ascending")
    light.evaluate("document.querySelectorAll('#tasks button.sort')[0].click()")
    shown = light.evaluate(f"{rows}.map((row) => row.cells[0].innerText)")
    assert [name for name in shown if name.startswith("fetch")] == [f"fetch {n}" for n in range(4)]


def test_rows_can_be_ordered_by_the_critical_path(light: Browser, failing: Path) -> None:
    light.open(failing)
    light.evaluate(
        "(s => { s.value = 'path'; s.dispatchEvent(new Event('change')); })"
        "(document.getElementById('rows'))"
    )
    light.settle()
    rows = count(light, ".gantt-names button")
    assert 2 <= rows < 10
    assert rows == light.evaluate("new Set(page.data.path.map(([row]) => row)).size")
