"""Reads the real task graphs that may lie beside the project, in ../shared/data."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

FILES = (
    "build-webrtc",
    "dask",
    "debian",
    "estee",
    "jobshop",
    "pegasus-dax",
    "stg50",
    "stg100",
    "stg300",
    "stg1000",
    "stgapp",
    "taskbench",
    "wfinstances",
)


def load(path: Path) -> Iterator[dict[str, Any]]:
    """The records of one file: name, tasks, and caps where there are some."""
    with gzip.open(path, "rb") as lines:
        yield from map(msgspec.json.decode, lines)


def graph_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks of a record, as `TaskGraph.add_tasks` takes them."""
    return [
        {
            "task_id": task["id"],
            "action_name": task["action"],
            "dependencies": task["dependencies"],
            "estimate_ms": task["runtime_s"] * 1000.0,
        }
        for task in record["tasks"]
    ]
