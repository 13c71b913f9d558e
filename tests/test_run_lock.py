"""Which runs are being executed, in this process or in another."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tgtrio._run_lock import RunLocks

from .stores import child, read_line

HOLD = """
import sys
from tgtrio._run_lock import RunLocks
locks = RunLocks(sys.argv[1])
print(locks.acquire(int(sys.argv[2])), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "s.lock")


@pytest.fixture
def locks(path: str) -> Iterator[RunLocks]:
    locks = RunLocks(path)
    yield locks
    locks.close()


def test_a_run_is_executed_once(locks: RunLocks) -> None:
    assert locks.acquire(1)
    assert not locks.acquire(1)
    assert locks.acquire(2)
    locks.release(1)
    assert locks.acquire(1)


def test_asking_takes_nothing(locks: RunLocks) -> None:
    assert not locks.held(1)
    assert locks.acquire(1)
    assert locks.held(1)
    assert not locks.held(2)


def test_asking_takes_nothing_from_another_process(locks: RunLocks, path: str) -> None:
    assert not locks.held(1)
    with child(HOLD, path, 1) as process:
        assert read_line(process) == "True"


def test_releasing_what_is_not_held_does_nothing(locks: RunLocks, path: str) -> None:
    other = RunLocks(path)
    assert locks.acquire(1)
    other.release(1)
    assert not other.acquire(1)
    other.close()


def test_stores_of_one_process_see_each_other(locks: RunLocks, path: str) -> None:
    other = RunLocks(path)
    assert locks.acquire(1)
    assert other.held(1)
    assert not other.acquire(1)
    other.close()


def test_a_store_that_closes_lets_go_of_its_own_runs_only(locks: RunLocks, path: str) -> None:
    other = RunLocks(path)
    assert locks.acquire(1)
    assert other.acquire(2)
    other.close()
    assert locks.held(1)
    assert not locks.held(2)
    with child(HOLD, path, 1) as process:  # POSIX drops the locks of a file that is closed
        assert read_line(process) == "False"


def test_the_file_is_closed_by_the_last_that_uses_it(path: str) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("there is no /proc here")

    def opened() -> int:
        names = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        return sum(os.path.realpath(name) == path for name in names)

    one, other = RunLocks(path), RunLocks(path)
    assert opened() == 1
    one.close()
    one.close()
    assert opened() == 1
    other.close()
    assert opened() == 0


def test_another_process_holds_its_run_until_it_is_killed(locks: RunLocks, path: str) -> None:
    with child(HOLD, path, 7) as process:
        assert read_line(process) == "True"
        assert locks.held(7)
        assert not locks.acquire(7)
        assert locks.acquire(8)
        process.kill()
        process.wait()
        assert not locks.held(7)
        assert locks.acquire(7)


def test_locks_that_are_closed_touch_no_file(path: str) -> None:
    locks = RunLocks(path)
    locks.close()
    for use in (locks.acquire, locks.held):
        with pytest.raises(OSError, match="closed"):
            use(1)


def test_a_far_run_has_a_lock_too(locks: RunLocks, path: str) -> None:
    assert locks.acquire(2**31 - 1)
    assert locks.held(2**31 - 1)
    assert os.path.getsize(path) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="files are opened otherwise there")
def test_a_file_that_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        RunLocks(str(tmp_path))
