"""Stored tasks: what is kept, under which file names, and what a damaged file does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio._arguments import output_of
from tgtrio._definitions import DefinitionStore, TaskDefinition, file_name
from tgtrio._errors import (
    CycleError,
    DuplicateTaskError,
    GraphFileError,
    InvalidArgumentError,
    InvalidTypeError,
    InvalidValueError,
    TgtrioError,
    UnknownTaskError,
)

HOSTILE_IDS = [
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "C:\\con",
    "con",
    "nul.txt",
    "a\0b",
    "line\nbreak",
    " ",
    "trailing. ",
    "-rf",
    "~",
    "é",
    "e\u0301",
    "日本語",
    "\U0001f600" * 50,
    "a" * 10_000,
    "a" * 9_999 + "b",
    "A",
    "a",
    "a-",
    "%00",
    "x.task.json",
    ".x.tmp",
]


@pytest.fixture
def store(tmp_path: Path) -> DefinitionStore:
    return DefinitionStore(tmp_path / "deep" / "space")


def folder(store: DefinitionStore) -> Path:
    return store._folder


def only_file(store: DefinitionStore) -> Path:
    (path,) = folder(store).iterdir()
    return path


FULL = TaskDefinition(
    "t",
    "act",
    {"a": [1, 2.0, None, True, {"b": "日本"}], "f": -0.0},
    name="Nightly",
    prompt="Say hello",
    resource_ids=["r2", "r1"],
    version="3",
    max_retries=0,
    task_timeout_ms=1_500,
)

# Keeping


@pytest.mark.parametrize("definition", [FULL, TaskDefinition("t", "act")])
def test_what_is_kept_is_what_was_given(store: DefinitionStore, definition: TaskDefinition) -> None:
    store.add(definition)
    assert store.get("t") == definition
    assert repr(store.get("t")) == repr(definition)
    assert DefinitionStore(str(folder(store))).get("t") == definition


def test_definitions_are_listed_by_id(store: DefinitionStore) -> None:
    for task_id in ["b", "B", "a", "c"]:
        store.add(TaskDefinition(task_id, "act"))
    assert [definition.task_id for definition in store.all()] == ["B", "a", "b", "c"]


def test_an_id_is_taken_once(store: DefinitionStore) -> None:
    store.add(TaskDefinition("t", "first"))
    with pytest.raises(DuplicateTaskError, match="'t' is stored already"):
        store.add(TaskDefinition("t", "second"))
    assert store.get("t").action_name == "first"
    store.add(TaskDefinition("t", "second"), replace=True)
    assert store.get("t").action_name == "second"
    assert len(store.all()) == 1


def test_a_deleted_definition_is_gone(store: DefinitionStore) -> None:
    store.add(FULL)
    store.delete("t")
    assert store.all() == []
    assert list(folder(store).iterdir()) == []
    with pytest.raises(UnknownTaskError):
        store.get("t")
    with pytest.raises(UnknownTaskError):
        store.delete("t")
    store.add(FULL)


def test_only_adding_makes_the_folder(store: DefinitionStore) -> None:
    assert store.all() == []
    for use in (store.get, store.delete):
        with pytest.raises(UnknownTaskError, match="no task 't' is stored in"):
            use("t")
    assert not folder(store).parent.exists()
    store.add(FULL)
    assert folder(store).is_dir()


@pytest.mark.parametrize("task_id", ["nightly-reprot", "nightly_report"])
def test_an_unknown_task_is_told_with_the_nearest(store: DefinitionStore, task_id: str) -> None:
    store.add(TaskDefinition("nightly-report", "act"))
    (folder(store) / "broken.task.json").write_text("{")
    with pytest.raises(UnknownTaskError, match="did you mean 'nightly-report'"):
        store.get(task_id)


@pytest.mark.parametrize("task_id", [None, 5, "", "\ud800", ["t"]])
def test_what_cannot_be_an_id_is_unknown(store: DefinitionStore, task_id: Any) -> None:
    with pytest.raises(UnknownTaskError):
        store.get(task_id)
    with pytest.raises(UnknownTaskError):
        store.delete(task_id)


# File names


def test_hostile_ids_are_kept_apart_in_the_folder(store: DefinitionStore) -> None:
    for task_id in HOSTILE_IDS:
        store.add(TaskDefinition(task_id, "act"))
    assert [d.task_id for d in store.all()] == sorted(HOSTILE_IDS)
    assert len(os.listdir(folder(store))) == len(HOSTILE_IDS)
    assert [path.name for path in folder(store).parent.iterdir()] == ["space"]
    for task_id in HOSTILE_IDS:
        assert store.get(task_id).task_id == task_id
        store.delete(task_id)
    assert store.all() == []


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_file_name_is_plain_short_and_lower_case(task_id: str) -> None:
    name = file_name(task_id)
    assert name == name.lower()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert len(name) <= 100
    assert name.endswith(".task.json")
    assert name[0] not in ".-"


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2))
def test_ids_do_not_share_a_file(ids: set[str]) -> None:
    assert len(set(map(file_name, ids))) == len(ids)


def test_a_file_can_be_read_by_people(store: DefinitionStore) -> None:
    store.add(TaskDefinition("Nightly Report", "act", prompt="Grüße"))
    path = only_file(store)
    assert path.name.startswith("nightly-report-")
    text = path.read_text(encoding="utf-8")
    assert '"task_id": "Nightly Report"' in text
    assert "Grüße" in text
    assert json.loads(text)["format"] == "tgtrio task 1"


# Crashes and other people's files


def test_what_a_crash_leaves_behind_is_not_read(
    store: DefinitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(TaskDefinition("t", "old"))

    def crash(*_args: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        patch.setattr(os, "unlink", crash)
        with pytest.raises(SystemExit):
            store.add(TaskDefinition("t", "new"), replace=True)
        with pytest.raises(SystemExit):
            store.add(TaskDefinition("u", "new"))
    assert len(os.listdir(folder(store))) == 3
    assert store.all() == [TaskDefinition("t", "old")]
    store.add(TaskDefinition("u", "new"))
    assert len(store.all()) == 2


def test_a_write_that_fails_leaves_the_old_one_and_nothing_else(
    store: DefinitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(TaskDefinition("t", "old"))

    def fail(*_args: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(GraphFileError, match="cannot be changed: no space left"):
        store.add(TaskDefinition("t", "new"), replace=True)
    assert store.all() == [TaskDefinition("t", "old")]
    assert len(os.listdir(folder(store))) == 1


def test_other_files_in_the_folder_are_left_alone(store: DefinitionStore) -> None:
    store.add(FULL)
    (folder(store) / "persona.json").write_text("not ours")
    (folder(store) / "memories").mkdir()
    assert store.all() == [FULL]


def stored(**changes: Any) -> str:
    document = {"format": "tgtrio task 1", "task_id": "t", "action_name": "act", **changes}
    return json.dumps({key: value for key, value in document.items() if value is not ...})


DAMAGED = [
    ("", "truncated"),
    ("{", "truncated"),
    ("\0\0\0", "JSON"),
    ("[]", "is no stored task"),
    ("null", "is no stored task"),
    ('{"task_id": "t", "action_name": "act"}', "is no stored task"),
    (stored(format="tgtrio task 2"), "is no stored task"),
    (stored(action_name=...), "action_name"),
    (stored(task_id=...), "task_id"),
    (stored(task_id=5), "task_id"),
    (stored(task_id="other"), "holds task 'other'"),
    (stored(action_name=""), "action_name"),
    (stored(max_retires=1), "'max_retires'; did you mean 'max_retries'"),
    (stored(max_retries=-1), "max_retries"),
    (stored(resource_ids="r"), "resource_ids"),
    (stored(normalized_args=[1]), "normalized_args"),
    (stored(normalized_args={"n": 2**70}), "64 bits|JSON|out of range|float"),
    (stored(prompt=1), "prompt"),
    ("[" * 100_000, "JSON|nested|deep|truncated"),
]


@pytest.mark.parametrize(("content", "text"), DAMAGED)
def test_a_damaged_file_is_named(store: DefinitionStore, content: str, text: str) -> None:
    store.add(TaskDefinition("t", "act"))
    only_file(store).write_text(content)
    for read in (lambda: store.get("t"), store.all):
        with pytest.raises(GraphFileError, match=text) as info:
            read()
        assert only_file(store).name in str(info.value)


def test_a_damaged_file_can_be_replaced_or_deleted(store: DefinitionStore) -> None:
    store.add(FULL)
    only_file(store).write_bytes(b"\xff\xfe")
    with pytest.raises(GraphFileError, match="UTF-8"):
        store.get("t")
    store.add(FULL, replace=True)
    assert store.get("t") == FULL
    only_file(store).write_bytes(b"")
    store.delete("t")
    assert store.all() == []


def test_a_copy_is_told_from_the_file_itself(store: DefinitionStore) -> None:
    store.add(FULL)
    path = only_file(store)
    path.with_name("copy.task.json").write_bytes(path.read_bytes())
    assert store.get("t") == FULL
    with pytest.raises(GraphFileError, match=f"copy.task.json: .* whose file is {path.name}"):
        store.all()


def test_a_folder_in_the_place_of_a_file(store: DefinitionStore) -> None:
    (folder(store) / file_name("t")).mkdir(parents=True)
    with pytest.raises(GraphFileError, match="cannot be read"):
        store.get("t")
    with pytest.raises(DuplicateTaskError):
        store.add(FULL)
    with pytest.raises(GraphFileError, match="cannot be changed"):
        store.delete("t")


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "space").write_text("a file")
    store = DefinitionStore(tmp_path / "space")
    with pytest.raises(GraphFileError, match="cannot be changed") as info:
        store.add(FULL)
    assert isinstance(info.value.__cause__, OSError)
    for use in (store.all, lambda: store.get("t"), lambda: store.delete("t")):
        with pytest.raises(GraphFileError, match="cannot be"):
            use()


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="the system lets us write anywhere"
)
def test_a_folder_that_may_not_be_written(store: DefinitionStore) -> None:
    store.add(FULL)
    folder(store).chmod(0o500)
    try:
        with pytest.raises(GraphFileError, match="cannot be changed"):
            store.add(TaskDefinition("u", "act"))
        assert store.all() == [FULL]
    finally:
        folder(store).chmod(0o700)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (5, InvalidTypeError),
        (None, InvalidTypeError),
        (b"space", InvalidTypeError),
        ("", InvalidValueError),
        ("a\0b", InvalidValueError),
    ],
)
def test_a_path_that_is_none_is_refused(path: Any, error: type[TgtrioError]) -> None:
    with pytest.raises(error, match="path is"):
        DefinitionStore(path)


@pytest.mark.parametrize("definition", [None, "t", {"task_id": "t"}, FULL.to_node()])
def test_only_definitions_are_kept(store: DefinitionStore, definition: Any) -> None:
    with pytest.raises(InvalidTypeError, match="is no TaskDefinition"):
        store.add(definition)


# Definitions


def test_a_definition_is_normalised_and_keeps_nothing_of_the_callers() -> None:
    args = {"a": [1]}
    definition = TaskDefinition("t", "act", args, resource_ids=["r", "r"])
    args["a"].append(2)
    assert definition.normalized_args == {"a": [1]}
    assert definition.resource_ids == ("r",)
    assert hash(definition) == hash(TaskDefinition("t", "act", {"a": [1]}, resource_ids=["r"]))


def test_a_definition_becomes_a_task() -> None:
    node = FULL.to_node()
    assert node.normalized_args == {**FULL.normalized_args, "prompt": "Say hello"}
    assert (node.task_id, node.action_name, node.version) == ("t", "act", "3")
    assert (node.max_retries, node.task_timeout_ms) == (0, 1500.0)
    assert FULL.to_node(max_retries=7).max_retries == 7
    assert "prompt" not in TaskDefinition("t", "act").to_node().normalized_args


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"task_id": ""}, InvalidValueError, "task_id"),
        ({"task_id": 5}, InvalidTypeError, "task_id"),
        ({"action_name": None}, InvalidTypeError, "'t': action_name"),
        ({"normalized_args": [1]}, InvalidArgumentError, "'t': normalized_args"),
        ({"normalized_args": {"x": float("nan")}}, InvalidArgumentError, r"normalized_args\['x'\]"),
        ({"normalized_args": {"x": output_of("u")}}, InvalidArgumentError, "output of task 'u'"),
        ({"normalized_args": {"x": output_of("t")}}, CycleError, "'t' depends on itself"),
        ({"name": None}, InvalidTypeError, "'t': name is None"),
        ({"name": "\ud800"}, InvalidValueError, "'t': name is"),
        ({"prompt": 5}, InvalidTypeError, "'t': prompt is 5"),
        ({"prompt": "\ud800"}, InvalidValueError, "'t': prompt is"),
        ({"resource_ids": "r"}, InvalidTypeError, "'t': resource_ids"),
        ({"version": 1}, InvalidTypeError, "'t': version"),
        ({"max_retries": -1}, InvalidValueError, "'t': max_retries"),
        ({"task_timeout_ms": 0}, InvalidValueError, "'t': task_timeout_ms"),
    ],
)
def test_a_bad_definition_is_refused(
    changes: dict[str, Any], error: type[TgtrioError], text: str
) -> None:
    with pytest.raises(error, match=text):
        TaskDefinition(**{"task_id": "t", "action_name": "act", **changes})
