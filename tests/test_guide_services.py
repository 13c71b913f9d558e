"""What the usage guide passes as `persona_service`: all kinds of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgtrio import (
    TaskGraph,
    TaskScheduler,
    UnknownActionError,
    create_task_scheduler,
)

from .runs import returns

Args = dict[str, Any]

SERVICE = {"data_collection": returns(3), "data_processing": returns("processed")}


@pytest.fixture
def scheduler(tmp_path: Path) -> TaskScheduler:
    return create_task_scheduler(persona_space_path=tmp_path)


class Persona:
    """An object with methods named like actions."""

    async def collect(self, args: Args) -> str:
        return f"from {args['source']}"

    def summarise(self, args: Args) -> bool:
        on_the_event_loop = threading.current_thread() is threading.main_thread()
        return not on_the_event_loop and args == {}


async def test_methods_of_an_object_do_the_work(scheduler: TaskScheduler) -> None:
    graph = TaskGraph(graph_id="g")
    graph.add_task("gather", "collect", {"source": "database"})
    graph.add_task("sum", "summarise")
    result = await scheduler.execute_graph(graph, Persona())
    assert result["results"]["gather"]["response"] == "from database"
    assert result["results"]["sum"]["response"] is True  # a plain function: in a thread


class Asked:
    """What the services below were asked, all of them."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []


class AsyncText(Asked):
    async def generate_response(self, **asked: Any) -> str:
        self.calls.append(asked)
        return "re: " + str(asked["user_message"])


class SyncText(Asked):
    def generate_response(self, **asked: Any) -> str:
        self.calls.append(asked)
        return "re: " + str(asked["user_message"])


class AsyncPair(Asked):
    async def generate_response(self, **asked: Any) -> tuple[str, dict[str, int]]:
        self.calls.append(asked)
        return "re: " + str(asked["user_message"]), {"tokens": 7}


class SyncPair(Asked):
    def generate_response(
        self, user_message: str, retrieve_memories: bool, top_k: int
    ) -> tuple[str, None]:
        self.calls.append(
            {"user_message": user_message, "retrieve_memories": retrieve_memories, "top_k": top_k}
        )
        return "re: " + user_message, None


@pytest.mark.parametrize("kind", [AsyncText, SyncText, AsyncPair, SyncPair])
async def test_a_service_answers_the_tasks_that_carry_a_prompt(
    scheduler: TaskScheduler, kind: Callable[[], Asked]
) -> None:
    service = kind()
    graph = TaskGraph(graph_id="g")
    graph.add_task("chat", "llm_call", {"prompt": "hello"})
    result = await scheduler.execute_graph(graph=graph, persona_service=service)
    assert result["results"]["chat"]["response"] == "re: hello"
    (asked,) = service.calls
    assert set(asked) == {"user_message", "retrieve_memories", "top_k"}
    assert asked["user_message"] == "hello"


async def test_the_schedulers_own_actions_go_first(tmp_path: Path) -> None:
    scheduler = create_task_scheduler(tmp_path, actions={"who": returns("registry")})
    graph = TaskGraph(graph_id="g")
    graph.add_task("t", "who")
    result = await scheduler.execute_graph(graph, {"who": returns("service")})
    assert result["results"]["t"]["response"] == "registry"


async def test_an_action_may_take_its_context(scheduler: TaskScheduler) -> None:
    async def action(args: Args, context: Any) -> list[object]:
        return [context.task_id, context.action_name, context.attempt]

    graph = TaskGraph(graph_id="g")
    graph.add_task("t", "act")
    result = await scheduler.execute_graph(graph, {"act": action})
    assert result["results"]["t"]["response"] == ["t", "act", 0]


@pytest.mark.parametrize("service", [Persona(), AsyncText(), {}, None])
async def test_an_unknown_action_is_refused_before_anything_runs(
    tmp_path: Path, service: object
) -> None:
    ran: list[Args] = []

    async def known(args: Args) -> None:
        ran.append(args)

    scheduler = create_task_scheduler(tmp_path, actions={"known": known})
    graph = TaskGraph(graph_id="g")
    graph.add_task("first", "known")
    graph.add_task("second", "no_such_action")
    with pytest.raises(UnknownActionError, match=r"'second'.*'no_such_action'"):
        await scheduler.execute_graph(graph, service)
    assert ran == []
    assert graph.get_stats()["states"]["pending"] == 2


async def test_the_nearest_known_action_is_named(scheduler: TaskScheduler) -> None:
    graph = TaskGraph(graph_id="g")
    graph.add_task("t", "data_colection")
    with pytest.raises(UnknownActionError, match=r"'t'.*'data_colection'.*'data_collection'"):
        await scheduler.execute_graph(graph, SERVICE)
