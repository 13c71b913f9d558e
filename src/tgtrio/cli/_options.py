"""The options of `tgtrio run`, and what they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import attrs
from cyclopts import Parameter, Token

from .._errors import nearest, shorten
from .._graph import TaskGraph
from .._plan import Order
from .._retry import RetryPolicy
from ._errors import UsageError
from ._stopping import GRACE


def _read_limit(_type: object, tokens: Sequence[Token]) -> int:
    """Cyclopts would make a 2 of 2.5."""
    return _whole_number(tokens[0].keyword or "", tokens[0].value)


def _read_count(_type: object, tokens: Sequence[Token]) -> int:
    return _whole_number(tokens[0].keyword or "", tokens[0].value, least=0)


Limit = Annotated[int | None, Parameter(converter=_read_limit)]
Count = Annotated[int | None, Parameter(converter=_read_count)]


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class RunOptions:
    """The options as they are written on the command line.

    Parameters
    ----------
    actions
        MODULE:OBJECT, what does the work: a mapping of names to functions, an object with
        methods, or a tgtrio.Actions. MODULE alone: the one tgtrio.Actions in it, or, where there
        is none, its functions. The current directory is searched first.
    max_parallel
        How many tasks run at once, instead of the graph's own limit.
    cap
        ACTION=NUMBER, how many tasks of an action run at once. May be repeated.
    resource_cap
        RESOURCE=NUMBER, how many tasks that use a resource run at once. May be repeated.
    order
        What decides between ready tasks of one priority and deadline. priority: who was added
        first. critical_path: the longest way to the end of the graph, by `estimate_ms`.
    timeout
        Seconds after which the run is ended, instead of the graph's own timeout.
    max_retries
        How often a failed task is tried again if neither it nor its action says so. By default
        3 times; shell and python never.
    store
        FILE in which the run is kept. A run of the graph that did not come to its end is
        resumed: what has succeeded in it is not done again.
    durability
        batch: what ended is on disk within 50 ms. task: a success is on disk before anything
        that depends on it starts. By default batch.
    run_id
        The name of the run to begin or to resume, instead of a new one or the latest.
    reuse
        Whose responses are served for equal work. run: of this run alone. store: of any run in
        the store. By default run; shell and python are called each time.
    grace
        Seconds that what is in flight may go on after Ctrl-C, SIGTERM or SIGHUP, before it is
        cancelled. By default 10.
    report
        FILE to which the report of the run is written, an HTML page: what failed and why, the
        graph, a timeline, what was waited for, the critical path.
    timeline
        FILE to which the run is written as a trace, for ui.perfetto.dev or chrome://tracing. A
        name that ends in .gz is compressed.
    events
        FILE to which is added what happens, as lines of JSON.
    verbose
        Log what happens on standard error: starts and ends of tasks, failures, retries, breakers.
    json
        Print the result as one JSON document; everything else goes to standard error.
    quiet
        No progress, and of the summary only what went wrong.
    """

    actions: str | None = None
    max_parallel: Limit = None
    cap: list[str] = attrs.field(factory=list)
    resource_cap: list[str] = attrs.field(factory=list)
    order: Order = "priority"
    timeout: float | None = None
    max_retries: Count = None
    store: str | None = None
    durability: Literal["batch", "task"] | None = None
    run_id: str | None = None
    reuse: Literal["run", "store"] = "run"
    grace: float = GRACE
    report: str | None = None
    timeline: str | None = None
    events: str | None = None
    verbose: Annotated[bool, Parameter(name=("--verbose", "-v"))] = False
    json: bool = False
    quiet: bool = False


def read_options(options: RunOptions) -> dict[str, Any]:
    """What is asked for as options of a run; the names in it are not checked yet.

    Raises:
        UsageError: An option has a value that it cannot have.
    """
    if options.timeout is not None and not 0 < options.timeout < math.inf:
        raise UsageError(f"--timeout: {shorten(options.timeout)} is no number of seconds above 0")
    if not 0 <= options.grace < math.inf:
        raise UsageError(f"--grace: {shorten(options.grace)} is no number of seconds")
    needy = {
        "--durability": options.durability,
        "--reuse": None if options.reuse == "run" else options.reuse,
        "--run-id": options.run_id,
    }
    for option, value in needy.items() if options.store is None else ():
        if value is not None:
            raise UsageError(f"{option} {value}: there is no store; add --store FILE")
    settings: dict[str, Any] = {
        "run_id": options.run_id,
        "reuse": options.reuse,
        "order": options.order,
        "per_action_caps": _read_limits("--cap", options.cap),
        "resource_caps": _read_limits("--resource-cap", options.resource_cap),
    }
    if options.max_parallel is not None:
        settings["max_parallel"] = options.max_parallel
    if options.max_retries is not None:
        settings["retry"] = RetryPolicy(max_retries=options.max_retries)
    return settings


def check_limits(graph: TaskGraph, settings: dict[str, Any]) -> None:
    """Refuse limits on what the graph does not use."""
    nodes = graph.nodes.values()
    actions = list(dict.fromkeys(node.action_name for node in nodes))
    resources = list(dict.fromkeys(name for node in nodes for name in node.resource_ids))
    _check_names("--cap", settings["per_action_caps"], actions, "action")
    _check_names("--resource-cap", settings["resource_caps"], resources, "resource")


def _read_limits(option: str, items: Sequence[str]) -> dict[str, int]:
    """`["a=1", "b=2"]` as `{"a": 1, "b": 2}`."""
    limits: dict[str, int] = {}
    for item in items:
        name, equals, number = item.rpartition("=")
        if not equals or not name:
            raise UsageError(f"{option} {item}: write NAME=NUMBER")
        if name in limits:
            raise UsageError(f"{option} {item}: {shorten(name)} was given a limit already")
        limits[name] = _whole_number(f"{option} {item}", number)
    return limits


def _whole_number(option: str, text: str, least: int = 1) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19) or int(text) < least:
        raise UsageError(f"{option}: {shorten(text)} is no whole number of at least {least}")
    return int(text)


def _check_names(option: str, limits: Mapping[str, int], known: Sequence[str], kind: str) -> None:
    """Refuse a limit on something that no task of the graph uses: it would bound nothing."""
    for name, limit in limits.items():
        if name not in known:
            raise UsageError(
                f"{option} {name}={limit}: no task of the graph uses the {kind} "
                f"{shorten(name)}{nearest(name, known)}"
            )
