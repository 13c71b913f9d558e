"""`tgtrio validate`: everything that is wrong with a graph file, before anything runs."""

from __future__ import annotations

import sys
from typing import Any

from .._errors import CycleError, TgtrioError
from .._wording import counted, visible
from ._action_check import action_problems
from ._errors import ExitCode
from ._graph_check import check_graph_file
from ._load import importable_here
from ._output import print_json, reserved_stdout


def validate(path: str, actions: str | None, *, json: bool) -> ExitCode:
    """Print what is wrong with a graph file, and return the exit code."""
    with importable_here(), reserved_stdout():  # modules that are imported may print
        checked = check_graph_file(path)
        problems = [*checked.problems, *action_problems(checked.nodes, actions)]
    tasks, dependencies = len(checked.nodes), sum(len(n.dependencies) for n in checked.nodes)
    if json:
        print_json(
            {
                "valid": not problems,
                "tasks": tasks,
                "dependencies": dependencies,
                "problems": [_plain(problem) for problem in problems],
            }
        )
    else:
        lines = [" ".join(str(problem).splitlines()) for problem in problems]
        lines.append(f"{path}: {_verdict(len(problems), tasks, dependencies)}")
        sys.stdout.write("".join(f"{visible(line)}\n" for line in lines))
    return ExitCode.USAGE if problems else ExitCode.OK


def _verdict(problems: int, tasks: int, dependencies: int) -> str:
    if problems:
        return counted(problems, "problem")
    return f"{counted(tasks, 'task')}, {counted(dependencies, 'dependency')}: valid"


def _plain(problem: TgtrioError) -> dict[str, Any]:
    plain: dict[str, Any] = {"kind": type(problem).__name__, "message": str(problem)}
    if isinstance(problem, CycleError):
        plain["path"] = list(problem.path)
    return plain
