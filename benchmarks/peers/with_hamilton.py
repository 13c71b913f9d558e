"""Hamilton's async driver: one function a task, its parameters named after the dependencies."""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import Any

from hamilton import ad_hoc_utils, async_driver

from .peer import Action, Graph, Peer


def function(task: str, parents: list[str], action: Action) -> Any:
    async def call(**results: Any) -> int:
        return int(await action(task))

    parameters = [Parameter(name, Parameter.KEYWORD_ONLY, annotation=int) for name in parents]
    call.__signature__ = Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    call.__annotations__ = dict.fromkeys([*parents, "return"], int)
    call.__name__ = call.__qualname__ = task
    return call


def describe(graph: Graph, action: Action) -> tuple[list[str], Any]:
    functions = [
        function(f"task_{task}", [f"task_{parent}" for parent in graph[task]], action)
        for task in graph
    ]
    module = ad_hoc_utils.create_temporary_module(*functions)
    return [f"task_{task}" for task in graph], async_driver.Builder().with_modules(module)


async def run(work: tuple[list[str], Any]) -> dict[str, Any]:
    """The driver is built the first time, and kept."""
    names, builder = work
    if not hasattr(builder, "built"):
        builder.built = await builder.build()
    return dict(await builder.built.execute(names))


PEERS = {
    "hamilton": Peer(
        title="Hamilton, async driver", run=run, describe=describe, loop="asyncio", most=10_000
    )
}
