"""What can be wrong between tasks, and how it is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from ._arguments import check_arguments
from ._errors import (
    CycleError,
    InvalidArgumentError,
    InvalidGraphError,
    TgtrioError,
    UnknownDependencyError,
    nearest,
    shorten,
)
from ._node import TaskNode
from ._topology import find_order

MOST_SHOWN = 20
MOST_CANDIDATES = 500


def suggest(name: str, *known: Mapping[str, object]) -> str:
    """`nearest` among the oldest and the youngest 500 ids of each mapping: never O(N)."""
    candidates: dict[str, None] = {}
    for ids in known:
        candidates.update(dict.fromkeys(islice(ids, MOST_CANDIDATES)))
        if len(ids) > MOST_CANDIDATES and isinstance(ids, dict):
            candidates.update(dict.fromkeys(islice(reversed(ids), MOST_CANDIDATES)))
    return nearest(name, candidates)


def unknown_dependency(task_id: str, dependency: str, hint: str) -> UnknownDependencyError:
    return UnknownDependencyError(
        f"task {shorten(task_id)}: dependency {shorten(dependency)} is unknown{hint}"
    )


def cycle_error(path: Sequence[str]) -> CycleError:
    """`path` names each task of the cycle once: each waits for the next, the last for the first."""
    whole = (*path, path[0])
    names = [_plain(name) for name in (whole[:10] + whole[-5:] if len(whole) > 16 else whole)]
    if len(whole) > 16:
        names.insert(10, f"... {len(whole) - 15} more ...")
    return CycleError(
        f"task {shorten(path[0])}: its dependencies form a cycle: {' -> '.join(names)} "
        "(each task waits for the next)",
        whole,
    )


def _plain(name: str) -> str:
    """An id as it is if it reads well, else quoted."""
    return name if len(name) <= 60 and name.isprintable() and "->" not in name else shorten(name)


def find_cycles(nodes: Sequence[TaskNode], index: Mapping[str, int]) -> list[TgtrioError]:
    """The cycles among tasks; `index` gives their places, and ids not in it are left out."""
    _, cycles = find_order(
        len(nodes), lambda task: [index[d] for d in nodes[task].dependencies if d in index]
    )
    return [cycle_error([nodes[task].task_id for task in cycle]) for cycle in cycles]


def find_problems(nodes: Sequence[TaskNode], index: Mapping[str, int]) -> list[TgtrioError]:
    """Everything that is wrong with the tasks of a graph. O(tasks + edges)."""
    problems: list[TgtrioError] = []
    in_order = True
    for place, node in enumerate(nodes):
        problems += _changed_arguments(node)
        for dependency in node.dependencies:
            before = index.get(dependency)
            if before is None:
                hint = suggest(dependency, index) if len(problems) < MOST_SHOWN else ""
                problems.append(unknown_dependency(node.task_id, dependency, hint))
            elif before >= place:
                in_order = False
    return problems if in_order else problems + find_cycles(nodes, index)


def _changed_arguments(node: TaskNode) -> Iterable[TgtrioError]:
    try:
        _, inputs = check_arguments(node.task_id, node.normalized_args)
    except InvalidArgumentError as exc:
        return (exc,)
    if inputs == node.inputs:
        return ()
    return (
        InvalidArgumentError(
            f"task {shorten(node.task_id)}: the output_of in normalized_args were changed after "
            "the task was made",
            "normalized_args",
        ),
    )


def raise_problems(graph_id: str, problems: Sequence[TgtrioError]) -> None:
    """Raise one problem as it is, several in an `InvalidGraphError`, none not at all."""
    if not problems:
        return
    if len(problems) == 1:
        raise problems[0]
    lines = [f"graph {shorten(graph_id)}: {len(problems)} problems"]
    lines += [f"  - {problem}" for problem in problems[:MOST_SHOWN]]
    if len(problems) > MOST_SHOWN:
        lines.append(f"  ... and {len(problems) - MOST_SHOWN} more, see .problems")
    raise InvalidGraphError("\n".join(lines), tuple(problems))
