"""What the tasks of a benchmark do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import repeat
from typing import Any

import trio

from .peers.peer import Action, Loop, Peer

NAP = 0.01


async def no_op(task: Any) -> int:
    return 1


def plain_no_op(task: Any) -> int:
    return 1


async def suspends_in_trio(task: Any) -> int:
    await trio.sleep(0)
    return 1


async def suspends_in_asyncio(task: Any) -> int:
    await asyncio.sleep(0)
    return 1


async def naps_in_trio(task: Any) -> int:
    await trio.sleep(NAP)
    return 1


async def naps_in_asyncio(task: Any) -> int:
    await asyncio.sleep(NAP)
    return 1


def spin(iterations: int) -> None:
    """Useful work, as far as the interpreter knows any: so many turns of an empty loop."""
    for _ in repeat(None, iterations):
        pass


def spins(loop: Loop, iterations: int) -> Action:
    """An action that does so many turns, without a further call in it."""

    async def spin_async(task: Any) -> int:
        for _ in repeat(None, iterations):
            pass
        return 1

    def spin_plain(task: Any) -> int:
        for _ in repeat(None, iterations):
            pass
        return 1

    return spin_async if loop else spin_plain


KINDS: dict[str, dict[Loop, Callable[[Any], Any]]] = {
    "no-op": {None: plain_no_op, "trio": no_op, "asyncio": no_op},
    "suspends": {"trio": suspends_in_trio, "asyncio": suspends_in_asyncio},
    "naps": {"trio": naps_in_trio, "asyncio": naps_in_asyncio},
}


def choose(kind: str, peer: Peer) -> Action:
    """The action of a kind in the form that a peer runs."""
    return KINDS[kind][None if peer.threads else peer.loop]
