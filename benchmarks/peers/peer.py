"""What a peer is: one way to run a graph of tasks, as the measurements see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Graph: TypeAlias = Mapping[str, Sequence[str]]
"""The dependencies of each task; a task stands after all that it depends on."""

Action: TypeAlias = Callable[[Any], Any]
"""What each task does: called with the name of its task where the peer passes names on."""

Loop: TypeAlias = Literal["trio", "asyncio", None]


class Absent(Exception):
    """What is to be measured is not here; the text says how to get it."""


def as_it_is(graph: Graph, action: Action) -> tuple[Graph, Action]:
    """The description of a peer that takes the graph as it comes."""
    return graph, action


def same(description: Any) -> Any:
    """The freezing of a peer that does nothing of the kind before it runs."""
    return description


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One way to run a graph.

    Attributes:
        title: Its name in a table.
        run: Runs what `freeze` returned, and returns what it kept: a result for each task. A
            coroutine function if there is a `loop`.
        describe: Makes the peer's own description of a graph. It is not timed as part of `run`.
        freeze: Whatever can be done once for many runs.
        loop: The event loop that `run` is awaited in; None if it is a plain function.
        threads: Are the actions plain functions, called in worker threads?
        most: The largest size that ends in reasonable time; larger ones are cut to it.
        set_up: A context manager around everything, not timed: servers, clusters.
    """

    title: str
    run: Callable[[Any], Any]
    describe: Callable[[Graph, Action], Any] = as_it_is
    freeze: Callable[[Any], Any] = same
    loop: Loop = None
    threads: bool = False
    most: int = 10_000_000
    set_up: Callable[[], Any] | None = None
