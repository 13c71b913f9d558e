"""Reads recorded task graphs from the folder that `TGTRIO_GRAPHS` names.

A file `NAME.jsonl.gz` holds one JSON object a line: `{"name": ..., "tasks": [{"id": ...,
"dependencies": [id, ...]}, ...]}`. The graphs are not part of the project.
"""

from __future__ import annotations

import graphlib
import gzip
import os
from pathlib import Path

import msgspec

from .peers.peer import Absent, Graph

VARIABLE = "TGTRIO_GRAPHS"


class _Task(msgspec.Struct):
    id: str
    dependencies: list[str]


class _Record(msgspec.Struct):
    name: str
    tasks: list[_Task]


def load(name: str) -> Graph:
    """The largest graph of a file, in topological order.

    Raises:
        Absent: The folder was not named, or has no such file.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise Absent(
            f"recorded graphs are not part of tgtrio; --graphs or {VARIABLE} names a folder"
        )
    path = Path(folder, f"{name}.jsonl.gz")
    if not path.is_file():
        raise Absent(f"no {path.name} in the folder of recorded graphs")
    with gzip.open(path, "rb") as lines:
        records = (msgspec.json.decode(line, type=_Record) for line in lines)
        largest = max(records, key=lambda record: len(record.tasks))
    unordered = {task.id: task.dependencies for task in largest.tasks}
    return {task: unordered[task] for task in graphlib.TopologicalSorter(unordered).static_order()}
