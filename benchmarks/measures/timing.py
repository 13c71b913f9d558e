"""Times calls: awaited in the peer's event loop, garbage collected before each."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import trio

from ..peers import Loop

MOST = 15  # calls
LEAST = 3  # calls, if they do not take too long
PATIENCE = 3.0  # seconds, for these


class Took(NamedTuple):
    """Seconds: on the wall clock, and of the processor, all threads of the process together.

    Where nothing sleeps and there is one thread both are the same, unless other programs took
    the processor away.
    """

    wall: float
    processor: float


async def seconds(call: Callable[[], Any], check: Callable[[Any], None], loop: Loop) -> Took:
    """How long one call takes."""
    gc.collect()
    processor, start = time.process_time(), time.perf_counter()
    result = call()
    if loop is not None:
        result = await result
    took = Took(time.perf_counter() - start, time.process_time() - processor)
    check(result)
    return took


async def median_seconds(
    call: Callable[[], Any], check: Callable[[Any], None], loop: Loop, enough: float
) -> Took:
    """The medians of as many calls as go into so many seconds, at least one, better three."""
    times: list[Took] = []
    spent = 0.0
    while len(times) < MOST and spent < (enough if len(times) >= LEAST else PATIENCE):
        times.append(await seconds(call, check, loop))
        spent += times[-1].wall
    return Took(*map(statistics.median, zip(*times, strict=True)))


def drive(main: Callable[[], Coroutine[Any, Any, Any]], loop: Loop) -> Any:
    """Run a coroutine function in an event loop; one that never suspends needs none."""
    if loop == "trio":
        return trio.run(main)
    if loop == "asyncio":
        return asyncio.run(main())
    coroutine = main()
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("a plain peer suspended")
