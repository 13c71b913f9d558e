"""A durable run that is killed at random instants keeps what the store promises."""

from __future__ import annotations

import pytest

from . import crash_run
from .kill_nine import DISORDER, EARLY, INVENTED, LOST, REPEATED, Snapshot, main, violations

NEEDS: dict[str, list[str]] = {"a": [], "b": ["a"]}
NOTHING = Snapshot([], set())


def test_killed_and_resumed_no_promise_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    broken = main(["--kills", "6", "--seed", "4"])
    printed = capsys.readouterr()
    assert broken == 0, printed.out
    assert "3 of 3 kills, 0 broken" in printed.err
    assert all(f"{line:<55}" in printed.out for line in (LOST, REPEATED, EARLY))


def test_the_graph_that_is_killed_is_the_same_each_time() -> None:
    assert crash_run.make_graph().to_dict() == crash_run.make_graph().to_dict()
    assert len(crash_run.make_graph().nodes) == len(crash_run.task_ids()) == crash_run.TASKS


@pytest.mark.parametrize(
    ("before", "after", "broken"),
    [
        (NOTHING, NOTHING, set()),
        (NOTHING, Snapshot(["a", "b"], {"a"}), set()),
        (Snapshot(["a", "b"], {"a"}), Snapshot(["a", "b", "b"], {"a", "b"}), set()),
        (Snapshot(["a"], {"a"}), Snapshot(["a"], set()), {LOST}),
        (Snapshot(["a"], set()), NOTHING, {LOST}),
        (NOTHING, Snapshot([], {"a"}), {INVENTED}),
        (Snapshot(["a"], {"a"}), Snapshot(["a", "a"], {"a"}), {REPEATED}),
        (NOTHING, Snapshot(["a", "early b", "b"], {"a"}), {EARLY}),
        (NOTHING, Snapshot(["a", "b"], set()), {EARLY}),
        (NOTHING, Snapshot(["b"], {"b", "a"}), {DISORDER, INVENTED}),
    ],
)
def test_each_broken_promise_is_noticed(
    before: Snapshot, after: Snapshot, broken: set[str]
) -> None:
    assert set(violations(before, after, NEEDS, "task")) == broken


def test_by_batches_a_dependent_may_start_before_its_dependency_is_on_disk() -> None:
    assert not list(violations(NOTHING, Snapshot(["a", "b"], set()), NEEDS, "batch"))


def test_what_broke_makes_the_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.kill_nine.is_whole", lambda path: False)
    assert main(["--kills", "1", "--durability", "task", "--seed", "1"]) == 1
    assert "the file is damaged" in capsys.readouterr().out
