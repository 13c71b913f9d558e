"""The scheduler: graphs and stored tasks, with the actions they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tgtrio._actions import Actions
from tgtrio._context import TaskContext
from tgtrio._definitions import TaskDefinition
from tgtrio._errors import (
    DuplicateTaskError,
    GraphRunningError,
    InvalidTypeError,
    InvalidValueError,
    TgtrioError,
    UnknownActionError,
    UnknownTaskError,
)
from tgtrio._executor import TaskExecutor
from tgtrio._graph import TaskGraph
from tgtrio._retry import RetryPolicy
from tgtrio._scheduler import TaskScheduler, create_task_scheduler
from tgtrio._states import TaskState

from .test_retry import Longest


@pytest.fixture
def scheduler(tmp_path: Path) -> TaskScheduler:
    return create_task_scheduler(tmp_path / "space", actions=ACTIONS)


ACTIONS = Actions()


@ACTIONS.register
async def double(args: Any) -> Any:
    return args["n"] * 2


@ACTIONS.register
async def fail(args: Any) -> None:
    raise OSError("unreachable")


@ACTIONS.register
async def sleep(args: Any) -> str:
    await trio.sleep(args["seconds"])
    return "awake"


class Persona:
    """A service as the guide has it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def collect(self, args: Any, context: TaskContext) -> str:
        return f"{args['source']} for {context.task_id}"

    async def generate_response(self, **asked: Any) -> tuple[str, dict[str, int]]:
        self.asked.append(asked)
        return f"re: {asked['user_message']}", {"tokens": 3}


# Graphs


async def test_a_graph_is_executed_with_the_schedulers_actions_and_the_service(
    scheduler: TaskScheduler,
) -> None:
    graph = TaskGraph(graph_id="my_workflow")
    graph.add_task("gather", "collect", {"source": "database"})
    graph.add_task("double", "double", {"n": 21}, dependencies=["gather"])
    graph.add_task("chat", "chat", {"prompt": "hello"}, dependencies=["gather"])
    result = await scheduler.execute_graph(
        graph=graph, persona_service=Persona(), max_parallel=10, per_action_caps={"double": 2}
    )
    assert result["graph_id"] == "my_workflow"
    assert result["total_tasks"] == 3
    assert result["statistics"]["states"]["succeeded"] == 3
    assert {key: one["response"] for key, one in result["results"].items()} == {
        "gather": "database for gather",
        "double": 42,
        "chat": "re: hello",
    }


async def test_a_mapping_does_the_work_as_well(tmp_path: Path) -> None:
    scheduler = create_task_scheduler(tmp_path)
    graph = TaskGraph("g")
    graph.add_task("t", "double", {"n": 1})
    assert (await scheduler.execute_graph(graph, ACTIONS)).results["t"].response == 2
    assert (await scheduler.execute_graph(graph, {"double": double})).ok


async def test_the_limits_of_the_call_hold(
    scheduler: TaskScheduler, autojump_clock: trio.testing.MockClock
) -> None:
    graph = TaskGraph("g", max_parallel=10)
    for number in range(4):
        graph.add_task(f"t{number}", "sleep", {"seconds": 1 + number / 1024})
    await scheduler.execute_graph(graph, max_parallel=1)
    assert trio.current_time() == 4 + 6 / 1024


async def test_an_unknown_action_is_refused_before_anything_runs(
    scheduler: TaskScheduler,
) -> None:
    persona = Persona()
    graph = TaskGraph("g")
    graph.add_task("chat", "chat", {"prompt": "hello"})
    graph.add_task("t", "duoble")
    with pytest.raises(UnknownActionError, match=r"task 't': .*'duoble'; did you mean 'double'"):
        await scheduler.execute_graph(graph, persona)
    assert persona.asked == []
    assert graph.get_stats()["states"]["pending"] == 2


async def test_a_graph_runs_once_at_a_time(
    scheduler: TaskScheduler, autojump_clock: trio.testing.MockClock
) -> None:
    graph = TaskGraph("g")
    graph.add_task("t", "sleep", {"seconds": 5})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scheduler.execute_graph, graph)
        await trio.sleep(1)
        with pytest.raises(GraphRunningError):
            await scheduler.execute_graph(graph)
    assert graph.get_stats()["states"]["succeeded"] == 1


@pytest.mark.parametrize("graph", [None, "g", {"graph_id": "g", "tasks": []}, TaskGraph])
async def test_what_is_no_graph_is_refused(scheduler: TaskScheduler, graph: Any) -> None:
    with pytest.raises(InvalidTypeError, match="is no TaskGraph"):
        await scheduler.execute_graph(graph)


async def test_an_unknown_option_is_refused(scheduler: TaskScheduler) -> None:
    with pytest.raises(TypeError, match="per_action_cap"):
        await scheduler.execute_graph(TaskGraph("g"), per_action_cap={})  # type: ignore[call-arg]


# Stored tasks


async def test_a_stored_task_is_executed_each_time(scheduler: TaskScheduler) -> None:
    persona = Persona()
    definition = TaskDefinition("t", "chat", {"top_k": 2}, prompt="hello")
    scheduler.add_task(definition)
    assert scheduler.get_task("t") == definition
    for _ in range(2):
        result = await scheduler.execute_task_with_retry(task_id="t", persona_service=persona)
        assert (result.success, result.response, result.cached) == (True, "re: hello", False)
    assert persona.asked == 2 * [{"user_message": "hello", "retrieve_memories": True, "top_k": 2}]


async def test_an_action_of_the_scheduler_needs_no_service(scheduler: TaskScheduler) -> None:
    scheduler.add_task(TaskDefinition("t", "double", {"n": 4}))
    assert (await scheduler.execute_task_with_retry("t")).response == 8


async def test_a_stored_task_is_there_for_the_next_scheduler(
    scheduler: TaskScheduler, tmp_path: Path
) -> None:
    scheduler.add_task(TaskDefinition("t", "double", {"n": 4}))
    other = create_task_scheduler(str(tmp_path / "space"))
    assert other.list_tasks() == scheduler.list_tasks()
    assert (await other.execute_task_with_retry("t", {"double": double})).response == 8


@pytest.mark.parametrize(
    ("of_definition", "of_call", "attempts"),
    [(None, None, 4), (1, None, 2), (1, 5, 6), (None, 0, 1)],
)
async def test_the_number_of_retries_of_the_call_goes_first(
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    of_definition: int | None,
    of_call: int | None,
    attempts: int,
) -> None:
    scheduler = create_task_scheduler(tmp_path, actions=ACTIONS)
    scheduler.add_task(TaskDefinition("t", "fail", max_retries=of_definition))
    result = await scheduler.execute_task_with_retry("t", max_retries=of_call)
    assert (result.state, result.attempts) == (TaskState.FAILED, attempts)
    assert result.error == "OSError: unreachable"


async def test_the_timeout_of_the_call_goes_first(
    scheduler: TaskScheduler, autojump_clock: trio.testing.MockClock
) -> None:
    definition = TaskDefinition("t", "sleep", {"seconds": 3}, task_timeout_ms=1_000)
    scheduler.add_task(definition)
    result = await scheduler.execute_task_with_retry("t", max_retries=0)
    assert result.error == "TaskTimeoutError: task 't': attempt 1 timed out after 1000 ms"
    result = await scheduler.execute_task_with_retry("t", max_retries=0, timeout_ms=60_000)
    assert result.response == "awake"
    assert trio.current_time() == 1 + 3


async def test_the_executor_and_the_policy_may_be_given(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    definition = TaskDefinition("t", "fail")
    executor = TaskExecutor(retry=RetryPolicy(max_retries=1, base=8.0))
    executor._rng = Longest()
    given = create_task_scheduler(tmp_path, task_executor=executor, actions=ACTIONS)
    given.add_task(definition)
    assert (await given.execute_task_with_retry("t")).attempts == 2
    assert trio.current_time() == 8
    never = create_task_scheduler(tmp_path, retry=None, actions=ACTIONS)
    assert (await never.execute_task_with_retry("t")).attempts == 1


async def test_executing_a_stored_task_is_a_checkpoint(scheduler: TaskScheduler) -> None:
    scheduler.add_task(TaskDefinition("t", "double", {"n": 4}))
    with trio.testing.assert_checkpoints():
        await scheduler.execute_task_with_retry("t")


async def test_a_stored_task_that_cannot_be_executed_is_refused(
    scheduler: TaskScheduler,
) -> None:
    scheduler.add_task(TaskDefinition("t", "nothing"))
    with pytest.raises(UnknownTaskError, match="no task 'u' is stored"):
        await scheduler.execute_task_with_retry("u")
    with pytest.raises(UnknownActionError, match=r"task 't': .*'nothing'"):
        await scheduler.execute_task_with_retry("t", Persona())
    with pytest.raises(InvalidValueError, match="'t': max_retries is -1"):
        await scheduler.execute_task_with_retry("t", max_retries=-1)
    with pytest.raises(InvalidValueError, match="'t': timeout_ms is 0"):
        await scheduler.execute_task_with_retry("t", {"nothing": double}, timeout_ms=0)


def test_tasks_are_added_listed_and_deleted(scheduler: TaskScheduler) -> None:
    for task_id in ("b", "a"):
        scheduler.add_task(TaskDefinition(task_id, "double"))
    assert [definition.task_id for definition in scheduler.list_tasks()] == ["a", "b"]
    with pytest.raises(DuplicateTaskError):
        scheduler.add_task(TaskDefinition("a", "fail"))
    scheduler.add_task(TaskDefinition("a", "fail"), replace=True)
    assert scheduler.get_task("a").action_name == "fail"
    scheduler.delete_task("a")
    with pytest.raises(UnknownTaskError, match="no task 'a'"):
        scheduler.get_task("a")
    with pytest.raises(UnknownTaskError):
        scheduler.delete_task("a")
    with pytest.raises(InvalidTypeError):
        scheduler.add_task("c")  # type: ignore[arg-type]


# Making one


def test_nothing_is_written_before_a_task_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scheduler = create_task_scheduler()
    assert scheduler.list_tasks() == []
    assert list(tmp_path.iterdir()) == []
    scheduler.add_task(TaskDefinition("t", "double"))
    assert [path.name for path in tmp_path.iterdir()] == ["persona_space"]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"persona_space_path": 5}, InvalidTypeError, "path is 5"),
        ({"persona_space_path": ""}, InvalidValueError, "path is ''"),
        ({"actions": [double]}, InvalidTypeError, "actions is"),
        ({"actions": double}, InvalidTypeError, "actions is"),
        ({"retry": 3}, InvalidTypeError, "retry is 3"),
        ({"task_executor": object()}, InvalidTypeError, "task_executor is"),
        ({"task_executor": TaskExecutor}, InvalidTypeError, "task_executor is"),
    ],
)
def test_bad_options_are_refused(
    options: dict[str, Any], error: type[TgtrioError], text: str
) -> None:
    with pytest.raises(error, match=text):
        create_task_scheduler(**options)
