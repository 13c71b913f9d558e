"""Fixtures that many tests use."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from trio.testing import MockClock

from tgtrio._columns import ClockMap

from .queues import queue_classes

if TYPE_CHECKING:
    from .queues import QueueClass

# `--hypothesis-profile=thorough` looks for what the default does not find in seconds.
settings.register_profile("default", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=5_000, stateful_step_count=100)
settings.load_profile("default")


@pytest.fixture(scope="session", autouse=True)
def _signals_are_heard() -> None:
    """Also where the tests run in the background of a shell, which has SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(params=["compiled", "pure"])
def ReadyQueue(request: pytest.FixtureRequest) -> QueueClass:
    """Each class of the ready queue in turn; both pass the same tests."""
    classes = queue_classes()
    if request.param not in classes:
        missing = "tgtrio._ready_queue is not compiled here"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return classes[request.param]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real task graphs. It lies beside the project and is not part of it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data is not here")
    return folder


@pytest.fixture
def patient_clock() -> MockClock:
    """Virtual time for tests with threads: it jumps only once nothing has happened for a while."""
    return MockClock(autojump_threshold=0.2)


@pytest.fixture
def wall_start(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The wall-clock instant at which every run of the test starts, so that deadlines are exact."""
    start = datetime(2030, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(
        ClockMap, "starting_at", classmethod(lambda cls, trio_now: cls(trio_now, start))
    )
    return start
