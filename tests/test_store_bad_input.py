"""What is no store, what cannot be written, and what somebody has changed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tgtrio import _store_schema
from tgtrio._errors import InvalidTypeError, InvalidValueError, StoreError, TgtrioError
from tgtrio._store import RawStore
from tgtrio._store_records import decode_response

from .stores import execute, open_journal, row, run_once


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def store(path: Path) -> Iterator[RawStore]:
    with RawStore(path) as store:
        yield store


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"path": 7}, InvalidTypeError, "path is 7, of type int"),
        ({"path": None}, InvalidTypeError, "path is None"),
        ({"path": b"s.db"}, InvalidTypeError, "path is b's.db'"),
        ({"path": ""}, InvalidValueError, "path is ''"),
        ({"path": "a\0b"}, InvalidValueError, "path is 'a"),
        ({"durability": "none"}, InvalidValueError, "durability is 'none'.*'batch' or 'task'"),
        ({"durability": None}, InvalidValueError, "durability is None"),
        ({"durability": ["task"]}, InvalidValueError, "durability is"),
        ({"busy_timeout": -1}, InvalidValueError, "busy_timeout is -1"),
        ({"busy_timeout": 1e9}, InvalidValueError, "busy_timeout is 1000000000.0"),
        ({"busy_timeout": float("nan")}, InvalidValueError, "busy_timeout is nan"),
        ({"busy_timeout": "5"}, InvalidTypeError, "busy_timeout is '5'"),
        ({"busy_timeout": True}, InvalidTypeError, "busy_timeout is True"),
    ],
)
def test_a_bad_argument_is_refused_by_name(
    path: Path, arguments: dict[str, Any], error: type[TgtrioError], match: str
) -> None:
    with pytest.raises(error, match=match):
        RawStore(**{"path": path, **arguments})
    assert not path.exists()


@pytest.mark.parametrize(
    ("use", "error", "match"),
    [
        (lambda s: s.list_runs(""), InvalidValueError, "graph_id is ''"),
        (lambda s: s.list_runs(limit=0), InvalidValueError, "limit is 0"),
        (lambda s: s.list_runs(limit=True), InvalidTypeError, "limit is True"),
        (lambda s: s.list_task_executions(7), InvalidTypeError, "run_id is 7"),
        (lambda s: s.list_task_executions(task_id="\ud800"), InvalidValueError, "task_id is"),
        (lambda s: s.list_task_executions(state="done"), InvalidValueError, "state is 'done'"),
        (lambda s: s.list_task_executions(state="running"), InvalidValueError, "succeeded"),
        (lambda s: s.list_task_executions(state=[]), InvalidValueError, r"state is \[\]"),
        (lambda s: s.list_events(kind=""), InvalidValueError, "kind is ''"),
        (lambda s: s.record_event("", {}), InvalidValueError, "kind is ''"),
        (lambda s: s.record_event("trip", []), InvalidTypeError, r"'trip' is \[\]"),
        (lambda s: s.record_event("trip", {1: 2}), TgtrioError, "event 'trip'"),
    ],
)
def test_a_bad_question_is_refused(
    store: RawStore, use: Callable[[Any], object], error: type[TgtrioError], match: str
) -> None:
    with pytest.raises(error, match=match):
        use(store)


def test_the_path_is_fixed_when_the_store_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with RawStore(":memory:") as store:  # a file of that name
        monkeypatch.chdir("/")
        run_once(store, row("t"))
        assert store.path == str(tmp_path / ":memory:")
        assert len(store.list_task_executions()) == 1


@pytest.mark.parametrize("name", ["a b", "a?mode=memory", "a#b", "a%41", "ä\u202e", "-x", "'"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    with RawStore(tmp_path / name) as store:
        run_once(store, row("t"))
    assert sorted(os.listdir(tmp_path)) == sorted([name, f"{name}.lock"])


# What cannot be opened


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{tmp_path.name}.*it is a folder"):
        RawStore(tmp_path)


def test_a_folder_that_is_missing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"s\.db.*no folder .*missing'; create it first"):
        RawStore(tmp_path / "missing" / "s.db")
    assert os.listdir(tmp_path) == []


def test_a_file_is_no_folder(path: Path) -> None:
    path.write_text("x")
    with pytest.raises(StoreError, match="no folder"):
        RawStore(path / "t.db")


def test_a_pipe_is_refused_and_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(StoreError, match="no regular file"):
        RawStore(path)


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open") as caught:
        RawStore(tmp_path / ("x" * 5_000))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_written_is_refused(path: Path, what: str) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    RawStore(path).close()
    target = path if what == "file" else path.parent
    target.chmod(0o555)
    try:
        with pytest.raises(StoreError, match=r"readonly|unable to open"):
            RawStore(path)
    finally:
        target.chmod(0o755)


def test_a_file_that_sqlite_may_not_write_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the test before, but for root too."""

    def connect_readonly(name: str, *args: Any, **options: Any) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{name}?mode=ro", uri=True, isolation_level=None)

    RawStore(path).close()
    monkeypatch.setattr(_store_schema, "connect", connect_readonly)
    with pytest.raises(StoreError, match="readonly database; make the file and its folder"):
        RawStore(path)


def test_a_lock_file_that_cannot_be_made_is_refused(path: Path) -> None:
    Path(f"{path}.lock").mkdir()
    with pytest.raises(StoreError, match=r"s\.db.*directory"):
        RawStore(path)


def test_a_locked_file_is_refused_after_the_timeout(path: Path) -> None:
    RawStore(path).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"locked; somebody else .*busy_timeout"):
            RawStore(path, busy_timeout=0.01)
    RawStore(path, busy_timeout=0.01).close()


@pytest.mark.parametrize(("busy_timeout", "waits"), [(0.05, True), (0, False)])
def test_a_file_that_another_process_is_making_a_store_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, busy_timeout: float, waits: bool
) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("tgtrio._store_schema.time.sleep", lambda _: other.execute("ROLLBACK"))
        if waits:
            RawStore(path, busy_timeout=busy_timeout).close()
        else:
            with pytest.raises(StoreError, match="locked"):
                RawStore(path, busy_timeout=busy_timeout)


def test_a_file_that_becomes_a_store_while_it_is_looked_at_is_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_too(statement: str) -> None:
        if "user_version" in statement:
            monkeypatch.undo()
            with contextlib.suppress(StoreError):  # or it was stopped, which is as good
                RawStore(path, busy_timeout=0).close()

    def connect_and_watch(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(make_too)
        return connection

    connect = _store_schema.connect
    monkeypatch.setattr(_store_schema, "connect", connect_and_watch)
    RawStore(path).close()


def test_a_run_that_cannot_be_written_does_not_begin(path: Path) -> None:
    with (
        RawStore(path, busy_timeout=0.01) as store,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"s\.db.*written.*locked"):
            open_journal(store, run_id="r")
        other.execute("ROLLBACK")
        assert store.list_runs() == []
        open_journal(store, run_id="r").close()


# What is no store


@pytest.mark.parametrize(
    "content", [b"garbage " * 1_000, b"xy", b"SQLite format 3\0", b"\0" * 4_096]
)
def test_a_file_that_is_no_store_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"s\.db.*no SQLite file; use another path"):
        RawStore(path)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    with RawStore(path) as store:
        run_once(store, row("t"))


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE runs (x)", "PRAGMA application_id = 7", "PRAGMA user_version = 1"]
)
def test_a_file_of_something_else_is_refused_and_left_alone(path: Path, statement: str) -> None:
    execute(path, statement)
    content = path.read_bytes()
    with pytest.raises(StoreError, match="SQLite file of something else"):
        RawStore(path)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("version", [0, 3, 99, -1])
def test_another_format_version_is_refused(path: Path, version: int) -> None:
    RawStore(path).close()
    execute(path, f"PRAGMA user_version = {version}")
    with pytest.raises(StoreError, match=rf"s\.db.*version {version}, and .* knows 1 to 2;"):
        RawStore(path)


def test_a_store_without_a_table_is_refused(path: Path) -> None:
    RawStore(path).close()
    execute(path, "DROP TABLE events")
    with pytest.raises(StoreError, match="no table events"):
        RawStore(path)


def test_a_file_that_was_cut_off_is_refused(path: Path) -> None:
    with RawStore(path) as store:
        run_once(store, *(row(f"t{n}") for n in range(2_000)))
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StoreError, match=r"s\.db.*malformed; it is damaged"):
        RawStore(path)


def test_pages_that_were_overwritten_are_refused_when_read(path: Path) -> None:
    with RawStore(path) as store:
        run_once(store, *(row(f"t{n}") for n in range(2_000)))
        run_id = store.list_runs()[0].run_id
    content = bytearray(path.read_bytes())
    content[4_096 * 20 :] = b"\xff" * (len(content) - 4_096 * 20)
    path.write_bytes(content)
    with RawStore(path) as store, pytest.raises(StoreError, match=r"s\.db.*it is damaged"):
        store.list_task_executions(run_id)


# What somebody has changed

HOSTILE_JSON = {
    "no JSON": "{'a': 1}",
    "empty": "",
    "cut off": '{"a": [1, 2',
    "NaN": '{"a": NaN}',
    "infinite": "[1e999]",
    "huge": "1" * 5_000,
    "beyond 64 bits": str(2**64),
    "201 deep": "[" * 201 + "]" * 201,
    "a million deep": "[" * 1_000_000,
    "two values": "1 2",
    "lone surrogate": '"\\ud800"',
    "a pickle": "cos\nsystem\n(S'true'\ntR.",
}
hostile = pytest.mark.parametrize("text", HOSTILE_JSON.values(), ids=HOSTILE_JSON.keys())


@hostile
def test_a_response_that_is_no_json_is_refused_by_run_and_task(
    store: RawStore, path: Path, text: str
) -> None:
    run_once(store, row("good"), row("bad"), run_id="r")
    execute(path, "UPDATE executions SET response = ? WHERE task_id = 'bad'", text)
    match = r"s\.db.*run 'r', task 'bad': response cannot be read"
    with pytest.raises(StoreError, match=match) as caught:
        store.list_task_executions("r")
    assert len(str(caught.value)) < 800
    assert len(store.list_task_executions(task_id="good")) == 1


@hostile
def test_statistics_that_are_no_json_are_refused_by_run(
    store: RawStore, path: Path, text: str
) -> None:
    run_once(store, run_id="r")
    execute(path, "UPDATE incarnations SET statistics = ?", text)
    with pytest.raises(StoreError, match=r"s\.db.*run 'r': statistics cannot be read"):
        store.list_runs()


@pytest.mark.parametrize("text", ["[]", "null", "7", '"x"', "{"])
def test_particulars_that_are_no_object_are_refused(store: RawStore, path: Path, text: str) -> None:
    store.record_event("trip", {})
    store.list_events()
    execute(path, "UPDATE events SET data = ?", text)
    with pytest.raises(StoreError, match=r"s\.db.*event 'trip': data cannot be read"):
        store.list_events()


@pytest.mark.parametrize("text", ['{"states": 7}', '{"states": {"made up": 7}}', "{}"])
def test_statistics_may_hold_anything_that_is_json(store: RawStore, path: Path, text: str) -> None:
    run_once(store, row("a"))
    execute(path, "UPDATE incarnations SET statistics = ?", text)
    assert "made up" not in store.list_runs()[0].states


def test_bytes_that_are_no_text_are_refused(store: RawStore, path: Path) -> None:
    run_once(store, row("t"), run_id="r")
    execute(path, "UPDATE executions SET response = CAST(X'22ff22' AS TEXT)")
    with pytest.raises(StoreError, match="run 'r', task 't': response cannot be read"):
        store.list_task_executions()
    execute(path, "UPDATE executions SET response = '1', error = CAST(X'ff' AS TEXT)")
    with pytest.raises(StoreError, match=r"s\.db.*column 'error'"):
        store.list_task_executions()


@pytest.mark.parametrize("column", ["started_at", "finished_at"])
@pytest.mark.parametrize("value", [9e999, 1e300, -1e15])
def test_an_instant_that_is_none_is_refused(
    store: RawStore, path: Path, column: str, value: float
) -> None:
    run_once(store, row("t", idempotency_key="k"), run_id="r")
    execute(path, f"UPDATE executions SET {column} = ?", value)
    with pytest.raises(StoreError, match=f"run 'r', task 't': {column} cannot be read"):
        store.list_task_executions()


@pytest.mark.parametrize("column", ["started_at", "finished_at"])
def test_an_instant_of_a_run_that_is_none_is_refused(
    store: RawStore, path: Path, column: str
) -> None:
    run_once(store, run_id="r")
    execute(path, f"UPDATE incarnations SET {column} = 1e300")
    with pytest.raises(StoreError, match=f"run 'r': {column} cannot be read"):
        store.list_runs()


def test_a_success_without_a_response_is_refused(store: RawStore, path: Path) -> None:
    run_once(store, row("t", idempotency_key="k"), run_id="r")
    execute(path, "UPDATE executions SET response = NULL")
    match = "run 'r', task 't': response cannot be read: it is missing"
    with pytest.raises(StoreError, match=match):
        store.lookup(["k"])
    with pytest.raises(StoreError, match=match):
        open_journal(store, run_id="r")


@pytest.mark.parametrize("column", ["attempts", "started_at", "finished_at"])
def test_values_of_another_type_do_not_go_in(store: RawStore, path: Path, column: str) -> None:
    run_once(store, row("t"))
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT"):
        execute(path, f"UPDATE executions SET {column} = 'x'")


def test_a_response_that_is_kept_as_json_is_decoded_on_demand() -> None:
    assert decode_response("s.db", b"true", "r", "t") is True
    with pytest.raises(StoreError, match=r"s\.db.*run 'r', task 't': response"):
        decode_response("s.db", b"{", "r", "t")
