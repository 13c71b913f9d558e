"""`EventLog`: the events of a run as lines of JSON, and how they are read again."""

from __future__ import annotations

import io
import json
import logging
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tgtrio import (
    BreakerPolicy,
    Event,
    InvalidTypeError,
    InvalidValueError,
    RetryPolicy,
    TaskGraph,
    open_run,
    run_graph,
)
from tgtrio._events import EventSource
from tgtrio.instruments import EventLog, read_event_log
from tgtrio.instruments._event_log import FLUSH_EVERY, MOST_KEPT

from .runs import graph_of, raises, returns, sleeps, task

HOSTILE = ['"quotes"\n', "ключ 日本 \u202e", "\x00\x1b[2J", "[red]" * 3_000]


class Kept(EventSource):
    """The events themselves."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def test_each_event_is_a_line_of_json(
    autojump_clock: MockClock, tmp_path: Path, wall_start: datetime
) -> None:
    path = tmp_path / "events.jsonl"
    graph = graph_of("a", task("b", "a"))
    await run_graph(graph, {"work": sleeps(1)}, instruments=[EventLog(path)], run_id="r")
    assert lines(path)[:3] == [
        {
            "kind": "run_started",
            "at": "2030-01-01T00:00:00+00:00",
            "graph_id": "g",
            "run_id": "r",
            "total_tasks": 2,
        },
        {"kind": "task_ready", "at": "2030-01-01T00:00:00+00:00", "task_id": "a"},
        {"kind": "task_started", "at": "2030-01-01T00:00:00+00:00", "task_id": "a", "attempt": 0},
    ]
    assert [line["kind"] for line in lines(path)[3:]] == [
        "task_ended",
        "task_ready",
        "task_started",
        "task_ended",
        "run_ended",
    ]


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_is_read_is_what_was_told(
    autojump_clock: MockClock, tmp_path: Path, name: str
) -> None:
    graph = TaskGraph(name)
    for number in range(4):
        graph.add_task(f"{name}{number}", "fail", max_retries=3, idempotent=False)
    kept = Kept()
    async with open_run(
        graph,
        {"fail": raises(lambda: ValueError(name))},
        instruments=[kept, EventLog(tmp_path / "e")],
        breaker=BreakerPolicy(window=4, give_up_after=1),
        retry=RetryPolicy(base=0.1),
    ) as run:
        run.pause()
        run.set_max_parallel(2)
        run.cancel(f"{name}0", reason=name)
        await trio.sleep(1)
        run.resume()
    kinds = {event.kind for event in kept.events}
    assert kinds >= {"task_retried", "breaker_moved", "run_steered", "task_ended", "run_ended"}
    assert list(read_event_log(tmp_path / "e")) == kept.events


json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
events = st.builds(
    Event,
    kind=st.sampled_from(["task_started", "run_started", "breaker_moved"]),
    at=st.datetimes(timezones=st.just(UTC)),
    task_id=st.text(max_size=9),
    action=st.text(max_size=9),
    details=st.dictionaries(st.sampled_from(["attempt", "value", "error"]), json_data),
)


@given(st.lists(events))
def test_reading_is_the_inverse_of_writing(told: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        with path.open("wb") as file:
            log = EventLog(file)
            for event in told:
                log.emit(event)
            log._flush()
        assert [event.to_dict() for event in read_event_log(path)] == [
            json.loads(json.dumps(event.to_dict())) for event in told
        ]


@pytest.mark.parametrize("value", ["\ud800", object(), 2**90, {1, 2}, b"\xff", float("inf")])
async def test_what_is_no_json_is_written_all_the_same(value: object) -> None:
    file = io.StringIO()
    log = EventLog(file)
    log.emit(Event(kind="run_steered", at=datetime.now(UTC), details={"value": value}))
    log._flush()
    assert json.loads(file.getvalue())["kind"] == "run_steered"


# When it is written


async def test_lines_are_there_after_half_a_second(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "events"
    async with open_run(graph_of("a"), {"work": sleeps(9)}, instruments=[EventLog(path)]):
        await trio.sleep(FLUSH_EVERY / 2)
        assert path.read_bytes() == b""
        await trio.sleep(FLUSH_EVERY)
        assert len(lines(path)) == 3
    assert len(lines(path)) == 5


def test_what_is_kept_in_memory_is_bounded(tmp_path: Path) -> None:
    file = io.BytesIO()
    log = EventLog(file)
    event = Event(kind="task_started", at=datetime.now(UTC), task_id="x" * 1_000)
    for _ in range(5_000):
        log.emit(event)
    assert 5_000_000 - len(file.getvalue()) < MOST_KEPT
    assert len(file.getvalue()) > 0


async def test_a_file_that_is_open_stays_so(tmp_path: Path) -> None:
    text, raw = io.StringIO(), io.BytesIO()
    with tempfile.NamedTemporaryFile("w+", dir=tmp_path) as named:
        logs = [EventLog(text), EventLog(raw), EventLog(named)]
        await run_graph(graph_of("a"), {"work": returns()}, instruments=logs)
        named.seek(0)
        assert text.getvalue() == raw.getvalue().decode() == named.read()
    assert text.getvalue().count("\n") == 5


async def test_a_parted_write_is_gone_on_with(tmp_path: Path) -> None:
    class Slow(io.RawIOBase):
        content = b""

        def write(self, content: Any) -> int:
            self.content += bytes(content[:7])
            return min(len(content), 7)

    file = Slow()
    log = EventLog(cast(IO[Any], file))
    await run_graph(graph_of("a"), {"work": returns()}, instruments=[log])
    assert [json.loads(line)["kind"] for line in file.content.splitlines()][-1] == "run_ended"


# The file


async def test_runs_are_added_to_a_path(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events")
    for name in ("one", "two"):
        await run_graph(graph_of("a", graph_id=name), {"work": returns()}, instruments=[log])
    await run_graph(
        graph_of("a", graph_id="three"),
        {"work": returns()},
        instruments=[EventLog(str(tmp_path / "events"))],
    )
    starts = [event for event in read_event_log(tmp_path / "events") if event.kind == "run_started"]
    assert [event.details["graph_id"] for event in starts] == ["one", "two", "three"]


async def test_exclusive_means_that_the_file_is_new(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events", exclusive=True)
    await run_graph(graph_of("a"), {"work": returns()}, instruments=[log])
    assert len(lines(tmp_path / "events")) == 5
    with pytest.raises(InvalidValueError, match="is there already; choose another name"):
        EventLog(tmp_path / "events", exclusive=True)


@pytest.mark.parametrize("name", ["no/such/folder", ".", "nul\0"])
def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValueError, match="cannot be written: "):
        EventLog(f"{tmp_path}/{name}")


def test_what_is_neither_path_nor_file_is_refused() -> None:
    with pytest.raises(InvalidTypeError, match="7 is neither a path nor a file"):
        EventLog(7)  # type: ignore[arg-type]


class Full(io.BytesIO):
    """On a disk that is full after some bytes."""

    def write(self, content: Any) -> int:
        if self.tell() + len(content) > 500:
            raise OSError(28, "No space left on device")
        return super().write(content)


def closed() -> io.BytesIO:
    file = io.BytesIO()
    file.close()
    return file


@pytest.mark.parametrize("make", [Full, closed])
async def test_a_file_that_fails_is_told_once_and_the_run_goes_on(
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[], io.BytesIO],
) -> None:
    graph = graph_of(*(task(f"t{n}", *([f"t{n - 1}"] if n else [])) for n in range(10)))
    result = await run_graph(graph, {"work": sleeps(1)}, instruments=[EventLog(make())])
    assert result.ok
    (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert "EventLog" in record.message
    assert "it is called no more" in record.message


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
async def test_a_path_on_a_full_disk_is_let_go(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    log = EventLog("/dev/full")
    assert (await run_graph(graph_of("a"), {"work": sleeps(2)}, instruments=[log])).ok
    (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert record.exc_info
    assert "No space left on device" in str(record.exc_info[1])
    assert log._file is None


# Reading


async def write_runs(path: Path, count: int) -> None:
    for _ in range(count):
        await run_graph(graph_of("a"), {"work": returns()}, instruments=[EventLog(path)])


async def test_a_line_that_a_crash_has_cut_short_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "events"
    await write_runs(path, 1)
    whole = list(read_event_log(path))
    path.write_bytes(path.read_bytes()[:-9])
    assert list(read_event_log(path)) == whole[:-1]
    assert "line 5 is no event" in caplog.text
    await write_runs(path, 1)
    kinds = [event.kind for event in read_event_log(path)]
    assert kinds == [event.kind for event in whole[:-1] + whole]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("no json", "malformed"),
        ("[1]", "Expected `object`"),
        ("{}", "kind"),
        ('{"kind": "task_ready", "at": "soon"}', "soon"),
        ('{"kind": "odd", "at": "2030-01-01T00:00:00+00:00"}', "its kind is 'odd'"),
        ('{"kind": [], "at": 7}', "its kind is"),
    ],
)
async def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "events"
    await write_runs(path, 1)
    before, rest = path.read_text().split("\n", 1)
    path.write_text(f"{before}\n{line}\n{rest}")
    with pytest.raises(InvalidValueError, match="line 2 is no event: ") as caught:
        list(read_event_log(path))
    assert reason in str(caught.value)


async def test_the_last_line_too_if_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text("{}\n")
    with pytest.raises(InvalidValueError, match="line 1 is no event"):
        list(read_event_log(path))


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="cannot be read: No such file"):
        list(read_event_log(tmp_path / "events"))
    (tmp_path / "empty").touch()
    assert list(read_event_log(tmp_path / "empty")) == []
