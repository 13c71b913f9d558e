"""The public names: all of them, under one roof, documented, and typed as they are used."""

from __future__ import annotations

import builtins
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, assert_type

import pytest
import trio

import tgtrio
from tgtrio import (
    DependencyPolicy,
    GraphResult,
    OutputOf,
    RetryPolicy,
    Run,
    TaskDefinition,
    TaskExecutor,
    TaskGraph,
    TaskNode,
    TaskResult,
    TaskScheduler,
    TaskState,
    TgtrioError,
    create_task_scheduler,
    open_run,
    output_of,
    run_graph,
)

NAMES = [name for name in tgtrio.__all__ if callable(getattr(tgtrio, name))]
CLASSES = [name for name in NAMES if inspect.isclass(getattr(tgtrio, name))]


def members() -> Iterator[Any]:
    """Every public function, and every public method of a public class."""
    for name in NAMES:
        public = getattr(tgtrio, name)
        if not inspect.isclass(public):
            yield pytest.param(public, id=name)
            continue
        for attribute, value in vars(public).items():
            function = inspect.unwrap(getattr(value, "__func__", value))
            if inspect.isfunction(function) and not attribute.startswith("_"):
                yield pytest.param(function, id=f"{name}.{attribute}")


def documented() -> Iterator[Any]:
    """The same and the classes, with what their docstrings describe: a signature."""
    yield from members()
    yield from (pytest.param(getattr(tgtrio, name), id=name) for name in CLASSES)


def section(title: str, doc: str) -> dict[str, str]:
    """The entries of a section of a docstring: names, and what is said of them."""
    found = re.search(rf"^{title}:\n((?:    .*\n|\n)+)", doc + "\n", re.MULTILINE)
    entries: dict[str, str] = {}
    for names, text in re.findall(r"^    (\w[\w, .*]*): (.+)", found[1] if found else "", re.M):
        entries |= dict.fromkeys(re.split(r", *", names), text)
    return entries


# The list


def test_all_that_the_package_shows_is_listed_once() -> None:
    shown = {
        name
        for name, value in vars(tgtrio).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert len(tgtrio.__all__) == len(set(tgtrio.__all__))
    assert set(tgtrio.__all__) == shown - {"annotations"} | {"__version__"}


def test_what_says_that_it_is_public_is() -> None:
    for module in private_modules():
        for name, value in vars(module).items():
            made_here = inspect.isclass(value) or inspect.isfunction(value)
            if made_here and not name.startswith("_") and value.__module__ == "tgtrio":
                assert getattr(tgtrio, name, None) is value, f"{module.__name__}.{name}"


def private_modules() -> Iterator[Any]:
    for info in pkgutil.iter_modules(tgtrio.__path__):
        if info.name != "cli":
            yield importlib.import_module(f"tgtrio.{info.name}")


def test_every_error_is_public() -> None:
    def below(kind: type[TgtrioError]) -> set[type[TgtrioError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    private = {
        kind.__name__
        for kind in below(TgtrioError)
        if kind.__module__.startswith("tgtrio") and ".cli" not in kind.__module__
    }
    assert private <= set(tgtrio.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_lives_in_the_package_itself(name: str) -> None:
    public = getattr(tgtrio, name)
    assert public.__module__ == "tgtrio"
    assert public.__name__ == public.__qualname__ == name


def test_tracebacks_and_reprs_say_so() -> None:
    assert repr(TgtrioError) == "<class 'tgtrio.TgtrioError'>"
    assert repr(TaskGraph) == "<class 'tgtrio.TaskGraph'>"


# The docstrings


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_documented(name: str) -> None:
    own = vars(getattr(tgtrio, name)).get("__doc__")
    assert own
    assert own.strip()[-1] in ".`"


@pytest.mark.parametrize("function", list(members()))
def test_a_function_is_documented(function: Callable[..., object]) -> None:
    assert function.__doc__
    first, *_ = function.__doc__.strip().splitlines()
    assert re.search(r"[.:]$", first) or len(first) > 60  # a sentence, or the start of one


@pytest.mark.parametrize(
    "function", [p for p in members() if inspect.iscoroutinefunction(p.values[0])]
)
def test_what_is_async_says_what_cancellation_does(function: Callable[..., object]) -> None:
    assert "Cancellation:" in (function.__doc__ or "")


@pytest.mark.parametrize("public", list(documented()))
def test_the_documented_arguments_are_those_of_the_signature(public: Any) -> None:
    if not (entries := section("Args", inspect.getdoc(public) or "")):
        return
    parameters = inspect.signature(public).parameters.keys() - {"self", "cls"}
    assert entries.keys() == parameters


@pytest.mark.parametrize("public", list(documented()))
def test_the_documented_errors_exist(public: Any) -> None:
    for name in section("Raises", inspect.getdoc(public) or ""):
        error = getattr(tgtrio, name, None) or getattr(builtins, name, None)
        assert isinstance(error, type), name
        assert issubclass(error, BaseException)


@pytest.mark.parametrize("record", [TaskResult, GraphResult])
def test_the_documented_fields_of_a_record_are_its_items(record: Any) -> None:
    example = TaskResult(task_id="t", state=TaskState.SUCCEEDED)
    fields = {f.name for f in record.__attrs_attrs__}
    assert section("Attributes", inspect.getdoc(record) or "").keys() == fields
    if record is TaskResult:
        assert set(example) == fields


# The types. mypy checks the assertions, the test run that they hold for real values.


def test_types_of_a_description() -> None:
    graph = TaskGraph("g", max_parallel=trio.CapacityLimiter(3))
    node = graph.add_task("t", "act", {"n": 1}, priority=1, on_dep_fail="skip")
    assert_type(node, TaskNode)
    assert_type(graph.nodes, Mapping[str, TaskNode])
    assert_type(node.dependencies, tuple[str, ...])
    assert_type(node.on_dep_fail, DependencyPolicy)
    assert_type(graph.get_stats(), dict[str, Any])
    assert_type(output_of("t"), OutputOf)
    assert_type(TaskGraph.from_dict(graph_dict()), TaskGraph)
    assert node.on_dep_fail is DependencyPolicy.SKIP


def test_a_subclass_reads_files_as_itself() -> None:
    class MyGraph(TaskGraph):
        pass

    graph = MyGraph.from_dict(graph_dict())
    assert_type(graph, MyGraph)
    assert isinstance(graph, MyGraph)


def graph_dict() -> dict[str, Any]:
    return {"graph_id": "g", "tasks": [{"task_id": "t", "action_name": "act"}]}


async def act(args: dict[str, Any]) -> str:
    return "done"


async def test_types_of_a_run() -> None:
    graph = TaskGraph.from_dict(graph_dict())
    result = await run_graph(graph, {"act": act}, per_action_caps={"act": 1})
    assert_type(result, GraphResult)
    assert_type(result.results, Mapping[str, TaskResult])
    assert_type(result.results["t"].state, TaskState)
    assert_type(result.results["t"].success, bool)
    assert_type(result.results["t"].execution_time_ms, float | None)
    assert_type(result.elapsed_ms, float)
    assert_type(result.ok, bool)
    assert isinstance(result.results["t"].execution_time_ms, float)


async def test_types_of_a_live_run() -> None:
    graph = TaskGraph.from_dict(graph_dict())
    opened = open_run(graph, {"act": act})
    assert isinstance(opened, AbstractAsyncContextManager)
    async with opened as run:
        assert_type(run, Run)
        assert_type(run.run_id, str)
        assert_type(run.graph, TaskGraph)
        assert_type(run.statistics(), dict[str, Any])
        assert_type(await run.wait(), GraphResult)


async def test_types_of_a_scheduler(tmp_path: Path) -> None:
    scheduler = create_task_scheduler(tmp_path, actions={"act": act}, retry=RetryPolicy(base=0.5))
    assert_type(scheduler, TaskScheduler)
    scheduler.add_task(TaskDefinition("t", "act"))
    assert_type(scheduler.get_task("t"), TaskDefinition)
    assert_type(scheduler.list_tasks(), list[TaskDefinition])
    assert_type(await scheduler.execute_task_with_retry("t"), TaskResult)
    graph = TaskGraph.from_dict(graph_dict())
    assert_type(await scheduler.execute_graph(graph), GraphResult)


async def test_types_of_an_executor() -> None:
    result = await TaskExecutor(retry=None).execute(TaskNode("t", "act"), act)
    assert_type(result, TaskResult)
    assert_type(result.error, str)
    assert_type(result.exception, BaseException | None)
    assert result.error == ""


def test_the_package_declares_its_types() -> None:
    assert (Path(tgtrio.__file__).parent / "py.typed").exists()
