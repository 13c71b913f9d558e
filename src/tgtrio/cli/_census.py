"""A census of a source tree as a graph: a task for each file, each package and the whole.

A file that cannot be read as Python makes its task fail. The task of a package runs
whatever became of its files (`DependencyPolicy.ALWAYS`) and counts what it did not get.
"""

from __future__ import annotations

import ast
import io
import os
import sysconfig
import tokenize
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from .._arguments import Unavailable, output_of
from .._graph import TaskGraph
from .._states import DependencyPolicy
from ._errors import UsageError

LEFT_OUT = {"__pycache__", "site-packages", "dist-packages"}
TOTAL = "total"
# What is counted of a file; a package has the sums.
COUNTS = ("lines", "code", "comments", "tokens", "functions", "classes")

_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def count_file(args: dict[str, Any]) -> dict[str, int]:
    """Read and tokenise one file.

    Raises:
        SyntaxError: It is no Python, or does not say truly how it is encoded.
        OSError: It cannot be read.
    """
    with open(os.path.join(args["root"], args["path"]), "rb") as file:
        source = file.read()
    ast.parse(source, args["path"])
    numbers = dict.fromkeys(COUNTS, 0)
    code_lines: set[int] = set()
    count_code = code_lines.update
    words = {"def": 0, "class": 0}
    tokens = comments = last = 0
    for kind, text, (first, _), (last, _), _ in tokenize.tokenize(io.BytesIO(source).readline):
        tokens += 1
        if kind == tokenize.COMMENT:
            comments += 1
        elif kind not in _LAYOUT:
            count_code(range(first, last + 1))
            if text in words:
                words[text] += 1
    numbers.update(lines=len(source.splitlines()), code=len(code_lines), comments=comments)
    numbers.update(tokens=tokens, functions=words["def"], classes=words["class"])
    return numbers


async def sum_package(args: dict[str, Any]) -> dict[str, int]:
    """Add up the files and the packages of a package, and count the files that it lacks."""
    total = dict.fromkeys(("files", "broken", *COUNTS), 0)
    for part in [*args["files"], *args["packages"]]:
        if isinstance(part, Unavailable):
            total["broken"] += 1
            continue
        total["files"] += part.get("files", 1)
        for name in ("broken", *COUNTS):
            total[name] += part.get(name, 0)
    return total


ACTIONS: dict[str, Callable[..., Any]] = {"count_file": count_file, "sum_package": sum_package}


@attrs.define
class Package:
    """A directory with Python files in it or below it."""

    path: str  # relative to the root, with slashes; "" is the root
    files: list[str] = attrs.field(factory=list)
    packages: list[str] = attrs.field(factory=list)

    @property
    def task_id(self) -> str:
        return f"{self.path}/" if self.path else TOTAL


def standard_library() -> str:
    return sysconfig.get_path("stdlib")


def census_graph(root: str, max_parallel: int) -> TaskGraph:
    """The graph that counts a source tree.

    Raises:
        UsageError: There is no such directory, or no Python file in it.
    """
    if not os.path.isdir(root):
        problem = "is no directory" if os.path.exists(root) else "does not exist"
        raise UsageError(f"{root} {problem}")
    packages = find_packages(root)
    if not packages:
        raise UsageError(f"{root}: no Python file in it or below it")
    root = os.path.abspath(root)
    graph = TaskGraph(f"census of {os.path.basename(root) or root}", max_parallel=max_parallel)
    graph.add_tasks(_tasks(root, packages))
    return graph


def find_packages(root: str) -> list[Package]:
    """The packages of a tree, each after those below it."""
    found: dict[str, Package] = {}
    for directory, below, names in os.walk(root):
        below[:] = sorted(name for name in below if name not in LEFT_OUT and _nameable(name))
        path = os.path.relpath(directory, root).replace(os.sep, "/")
        path = "" if path == "." else path
        files = sorted(name for name in names if name.endswith(".py") and _nameable(name))
        found[path] = Package(path, [f"{path}/{name}".lstrip("/") for name in files])
    for package in reversed(found.values()):
        if package.path and (package.files or package.packages):
            found[package.path.rpartition("/")[0]].packages.append(package.task_id)
    kept = [package for package in found.values() if package.files or package.packages]
    return list(reversed(kept))


def _nameable(name: str) -> bool:
    """False if the name is not UTF-8: no task id can hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tasks(root: str, packages: list[Package]) -> Iterator[dict[str, Any]]:
    for package in packages:
        for path in package.files:
            yield {
                "task_id": path,
                "action_name": "count_file",
                "normalized_args": {"root": root, "path": path},
                "max_retries": 0,  # a broken file stays broken
            }
        yield {
            "task_id": package.task_id,
            "action_name": "sum_package",
            "normalized_args": {
                "files": [output_of(path) for path in package.files],
                "packages": [output_of(task_id) for task_id in package.packages],
            },
            "on_dep_fail": DependencyPolicy.ALWAYS,
            "priority": 1,  # sums are quick: what can be added up already, is
        }
