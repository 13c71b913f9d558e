"""The peers by name. A library is imported when its peer is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from .peer import Absent, Action, Graph, Loop, Peer

__all__ = ["BY_HAND", "LIBRARIES", "Absent", "Action", "Graph", "Loop", "Peer", "find", "packages"]

OURS = ("tgtrio", "tgtrio-caps", "tgtrio-defaults", "tgtrio-unlimited", "tgtrio-threads")

BY_HAND = {
    "bare-loop": "by_hand_trio",
    "nursery": "by_hand_trio",
    "nursery-limiters": "by_hand_trio",
    "channel-workers": "by_hand_trio",
    "to-thread": "by_hand_trio",
    "graphlib-loop": "by_hand_plain",
    "graphlib-order": "by_hand_plain",
    "asyncio-taskgroup": "by_hand_plain",
    "thread-pool": "by_hand_plain",
}

# The module of each, and what `pip install` must have brought.
LIBRARIES = {
    "dask-threaded": ("with_dask", ("dask",)),
    "dask-synchronous": ("with_dask", ("dask",)),
    "dask-distributed": ("with_dask_distributed", ("distributed",)),
    "hamilton": ("with_hamilton", ("sf-hamilton",)),
    "aiodag": ("with_aiodag", ("aiodag",)),
    "prefect": ("with_prefect", ("prefect",)),
    "luigi": ("with_luigi", ("luigi",)),
    "taskflow": ("with_taskflow", ("taskflow",)),
    "networkx-order": ("with_networkx", ("networkx",)),
    "rustworkx-order": ("with_rustworkx", ("rustworkx",)),
}


def find(name: str) -> Peer:
    """The peer of a name.

    Raises:
        Absent: A library that it needs is not installed.
        KeyError: There is no such peer.
    """
    if name in LIBRARIES:
        module, needed = LIBRARIES[name]
        for package in needed:
            _check_installed(package)
    else:
        module = "ours" if name in OURS else BY_HAND[name]
    peer: Peer = import_module(f"{__name__}.{module}").PEERS[name]
    return peer


def packages(name: str) -> tuple[str, ...]:
    """The distributions that a peer needs beside tgtrio."""
    return LIBRARIES[name][1] if name in LIBRARIES else ()


def _check_installed(package: str) -> None:
    try:
        version(package)
    except PackageNotFoundError:
        raise Absent(f"pip install {package}") from None
