"""Graph files: JSON, YAML and TOML, told apart by their suffix."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ._errors import GraphFileError, MissingExtraError, TgtrioError, shorten
from ._files import AnyPath, write_atomically

T = TypeVar("T")

_LINE_BREAK = re.compile("[\x85\u2028\u2029]")
_BYTE = re.compile(r" \(byte (\d+)\)$")


def read_graph_file(path: AnyPath, make: Callable[[Any], T]) -> T:
    """Parse a file and make something of its content, with the file named in every error.

    Raises:
        GraphFileError: The file cannot be read or parsed; the `OSError` is the `__cause__`.
        MissingExtraError: PyYAML is not installed.
        TgtrioError: What `make` raises.
    """
    data = load_document(path)
    try:
        return make(data)
    except TgtrioError as exc:
        exc.args = (f"{shorten(os.fspath(path))}: {exc}", *exc.args[1:])
        raise


def load_document(path: AnyPath) -> Any:
    """The content of a JSON, YAML or TOML file as plain data; errors as in `read_graph_file`."""
    parse = _by_suffix(path, _PARSERS)
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = exc.object[: exc.start].count(b"\n") + 1
        raise _error(path, f"line {line}: is not UTF-8: {exc.reason}") from exc
    except (OSError, ValueError) as exc:  # ValueError: a path with NUL in it
        raise _error(path, f"cannot be read: {_reason(exc)}") from exc
    try:
        return parse(text)
    except RecursionError as exc:
        raise _error(path, "is nested too deep to be read") from exc
    except ValueError as exc:
        raise _error(path, str(exc)) from exc


def write_graph_file(path: AnyPath, data: dict[str, Any]) -> None:
    """Write plain data as JSON or YAML.

    Raises:
        GraphFileError: The file cannot be written, or its suffix is another.
        MissingExtraError: PyYAML is not installed.
    """
    write = _by_suffix(path, _WRITERS)
    try:
        content = write(data)
    except RecursionError as exc:
        raise _error(path, "is nested too deep to be written; use .json") from exc
    try:
        write_atomically(path, content)
    except (OSError, ValueError) as exc:
        raise _error(path, f"cannot be written: {_reason(exc)}") from exc


def _by_suffix(path: AnyPath, table: dict[str, Callable[[Any], T]]) -> Callable[[Any], T]:
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix in table:
        return table[suffix]
    if suffix == ".toml":
        raise _error(path, "TOML graph files are only read; write .json or .yaml")
    *most, last = table
    raise _error(path, f"unknown kind of file; the name must end in {', '.join(most)} or {last}")


def _error(path: AnyPath, reason: str) -> GraphFileError:
    return GraphFileError(f"{shorten(os.fspath(path))}: {reason}")


def _reason(exc: Exception) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)


def _parse_json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        found = _BYTE.search(str(exc))
        if found is None:
            raise ValueError(str(exc)) from exc
        line = text.encode()[: int(found[1])].count(b"\n") + 1
        raise ValueError(f"line {line}: {_BYTE.sub('', str(exc))}") from exc


def _parse_yaml(text: str) -> Any:
    yaml = _import_yaml()
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        if mark is None:
            raise ValueError(str(exc)) from exc
        raise ValueError(f"line {mark.line + 1}, column {mark.column + 1}: {exc.problem}") from exc


def _write_json(data: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"


def _write_yaml(data: Any) -> bytes:
    def dump(allow_unicode: bool) -> str:
        text: str = yaml.safe_dump(
            data, sort_keys=False, allow_unicode=allow_unicode, width=math.inf
        )
        return text

    yaml = _import_yaml()
    text = dump(allow_unicode=True)
    # PyYAML writes these line breaks as they are and reads them back as spaces.
    return (dump(allow_unicode=False) if _LINE_BREAK.search(text) else text).encode()


def _import_yaml() -> Any:
    try:
        import yaml
    except ImportError as exc:
        raise MissingExtraError(
            "YAML needs the package PyYAML, which is not installed: pip install 'tgtrio[yaml]'"
        ) from exc
    return yaml


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".json": _parse_json,
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
    ".toml": tomllib.loads,
}
SUFFIXES = tuple(_PARSERS)
_WRITERS: dict[str, Callable[[Any], bytes]] = {
    ".json": _write_json,
    ".yaml": _write_yaml,
    ".yml": _write_yaml,
}
