"""Real signals, sent to a real process that runs real programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tgtrio import RawStore

from .conftest import Write

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self") or sys.platform == "win32", reason="looks into /proc"
)

HANGS = "sleep 1000 & echo $$ $! > pids.part; mv pids.part pids; wait"


def program(task_id: str, command: str, *after: str) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "action_name": "shell",
        "normalized_args": {"command": command, "shell": True},
        "dependencies": list(after),
    }


@contextmanager
def command(*argv: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-m", "tgtrio.cli", *argv],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "80"},
        text=True,
        **{"stdout": pipe, "stderr": pipe, **options},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(path: Path) -> str:
    """What is in a file, once it is there. Other processes tell nobody when they write."""
    for _ in range(3_000):
        if path.exists():
            return path.read_text()
        time.sleep(0.01)
    raise AssertionError(f"{path} did not come")


def wait_gone(pid: str) -> None:
    for _ in range(3_000):
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} is still there")


def last_state(path: Path) -> str:
    with closing(RawStore(path)) as store:
        return store.list_runs()[0].state


def test_sigterm_twice_leaves_no_program_behind_and_all_in_the_store(
    here: Path, graph_file: Write
) -> None:
    path = graph_file(
        program("done", "echo done"),
        program("hangs", HANGS, "done"),
        program("never", "touch never", "hangs"),
    )
    with command("run", path, "--store", "s.db", "--grace", "1000") as process:
        pids = wait_for(here / "pids").split()
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line == "g: draining: 1 in flight, at most 1,000 s; once more to cancel\n"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert out.startswith("g: terminated after ")
    for pid in pids:
        wait_gone(pid)
    assert not (here / "never").exists()
    assert last_state(here / "s.db") == "cancelled"
    with closing(RawStore(here / "s.db")) as store:
        found = {one.task_id: one.state for one in store.list_task_executions()}
    assert found == {"done": "succeeded", "hangs": "cancelled", "never": "cancelled"}


def test_what_is_in_flight_at_ctrl_c_ends_and_the_run_goes_on_later(
    here: Path, graph_file: Write
) -> None:
    path = graph_file(
        program("first", "touch begun; while ! test -e go; do sleep 0.01; done; echo x >> firsts"),
        program("second", "cat firsts", "first"),
    )
    argv = ("run", path, "--store", "s.db", "--json", "--grace", "1000")
    with command(*argv) as process:
        wait_for(here / "begun")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "draining: 1 in flight" in process.stderr.readline()
        (here / "go").touch()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert json.loads(out)["results"]["first"]["state"] == "succeeded"
    assert last_state(here / "s.db") == "drained"
    with command(*argv) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["results"]["second"]["response"]["stdout"] == "x\n"


def test_what_cannot_be_cancelled_does_not_outlast_the_fourth_signal(
    here: Path, graph_file: Write
) -> None:
    (here / "work.py").write_text(
        "import pathlib, time\n"
        "def stuck(args):\n"
        "    pathlib.Path('began').touch()\n"
        "    time.sleep(1000)\n"
    )
    path = graph_file({"task_id": "a", "action_name": "stuck"})
    with command("run", path, "--actions", "work", "--store", "s.db") as process:
        wait_for(here / "began")
        for begins in ("g: draining: 1 in flight", "g: cancelling: 1 in flight"):
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert process.stderr.readline().startswith(begins)
        while process.poll() is None:  # signals that come too fast are one
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
    assert process.returncode == -signal.SIGINT
    assert last_state(here / "s.db") == "crashed"


def test_a_terminal_that_hangs_up_ends_the_run_in_good_order(here: Path, graph_file: Write) -> None:
    """Whatever is written to it fails from then on."""
    import pty

    ours, theirs = pty.openpty()
    path = graph_file(program("hangs", HANGS))
    with command(
        "run", path, "--store", "s.db", "--grace", "0", stdout=theirs, stderr=theirs, stdin=theirs
    ) as process:
        os.close(theirs)
        pids = wait_for(here / "pids").split()
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=60) == 129
    for pid in pids:
        wait_gone(pid)
    assert last_state(here / "s.db") == "cancelled"
