"""What else happens in a run: holds, threads, sleep, other Trio tasks, the disk, ends."""

from __future__ import annotations

from collections.abc import Iterator

from .cases import Case, Goal, Section


def life(quick: bool) -> Iterator[Section]:
    yield _held(quick)
    yield from _actions()
    yield _ticker()
    yield _features(10_000 if quick else 100_000)
    yield Section(
        "hook",
        "One active hook of an instrument (processor time)",
        [Case("hook", size=100_000)],
        goals=[
            Goal(
                "us more with a hook for each task", "tgtrio", "more with task_ended", at_most=0.1
            ),
            Goal("us more with a hook for the run", "tgtrio", "more with run_ended", at_most=0.01),
            Goal("a display", "tgtrio", "times as long with Progress", at_most=1.05),
        ],
        rounds=1,
    )
    yield Section(
        "report",
        "The report of a run",
        [Case("page", size=10_000)],
        note="Chromium opens it, if it is there: from the start of the navigation to the first "
        "picture of all that is drawn.",
        goals=[
            Goal("MB", "tgtrio", "MB", at_most=8),
            Goal("ms to open", "tgtrio", "ms to open", at_most=2_000),
        ],
        rounds=1 if quick else 3,
    )
    yield _cancel()
    yield Section(
        "naps",
        "Naps of 10 ms in virtual time",
        [Case("naps", size=10_000)],
        goals=[Goal("against what it must take", "tgtrio", "ratio", at_most=1.001)],
        rounds=1,
    )


def _held(quick: bool) -> Section:
    return Section(
        "held",
        "No-op tasks beside 10,000 held ones",
        [Case("held", size=100_000, work=work, row=work) for work in ("cap", "breaker")],
        goals=[
            Goal("behind a full cap", "cap", "ratio", at_most=1.1),
            Goal("behind an open breaker", "breaker", "ratio", at_most=1.1),
        ],
        rounds=1 if quick else 2,
    )


def _ticker() -> Section:
    return Section(
        "ticker",
        "A ticker of 1 ms in the same program: how late it comes",
        [
            Case("ticker", work="alone", row="alone"),
            Case("ticker", "tgtrio", 100_000),
            Case("ticker", "bare-loop", 10_000),
            Case("ticker", "nursery", 10_000),
        ],
        note="The loops by hand run 10,000 tasks at a time, and let the ticker have a turn after "
        "each such run; the bare loop at no other time.",
        goals=[Goal("ms late, p99", "tgtrio", "p99 ms", at_most=1.5)],
    )


def _features(size: int) -> Section:
    return Section(
        "features",
        "No-op tasks, layered, with more and more of what an engine must do",
        [
            Case("durable", size=size, work=work, row=work)
            for work in ("bare", "defaults", "batch", "task")
        ],
        main="run us",
    )


def _cancel() -> Section:
    return Section(
        "cancel",
        "From `cancel()` of a run to its result, ms",
        [Case("cancelling", size=1_000, work=work, row=work) for work in ("asleep", "flat out")],
        goals=[
            Goal("ms, 1,000 asleep", "asleep", "ms", at_most=50),
            Goal("ms, among tasks that never block", "flat out", "ms", at_most=50),
        ],
    )


def _actions() -> Iterator[Section]:
    size = 10_000
    yield Section(
        "threads",
        "Plain no-op functions in worker threads, layered",
        [Case("phases", name, size) for name in ("tgtrio-threads", "to-thread", "thread-pool")],
        main="run us",
        goals=[
            Goal("us a task", "tgtrio-threads", "run us", at_most=0.6),
            _faster("one to_thread.run_sync each", "tgtrio-threads", "to-thread", 100),
            _faster("a thread pool", "tgtrio-threads", "thread-pool", 12),
        ],
    )
    names = ("tgtrio", "nursery", "channel-workers", "asyncio-taskgroup")
    yield Section(
        "suspends",
        "Tasks that suspend once (`sleep(0)`), layered",
        [Case("phases", name, size, work="suspends") for name in names],
        main="run us",
        goals=[
            Goal("us a task", "tgtrio", "run us", at_most=4),
            _faster("the nursery", "tgtrio", "nursery", 2),
            _faster("channel workers", "tgtrio", "channel-workers", 1.3),
        ],
    )
    unlimited = ("tgtrio-unlimited", "nursery", "asyncio-taskgroup")
    yield Section(
        "sleepers",
        "Naps of 10 ms, all at once (of 10,000 35 us each are 0.35 s)",
        [Case("phases", name, size, "wide", work="naps") for name in unlimited],
        main="run us",
        goals=[Goal("us a task", "tgtrio-unlimited", "run us", at_most=35)],
    )


def _faster(than: str, row: str, over: str, at_least: float) -> Goal:
    return Goal(f"faster than {than}", row, "run us", over, at_least=at_least)
