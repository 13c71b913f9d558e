"""`Record`: attributes and a read-only mapping at once.

`result.error` and `result["error"]` are the same value, `dict(result)` works,
and so does `result.get("error")`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import attrs


@functools.cache
def _names(cls: type[Any]) -> dict[str, None]:
    return dict.fromkeys(field.name for field in attrs.fields(cls))


class Record(Mapping[str, Any]):
    """Base of attrs classes whose fields are also the keys of a mapping."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        if key in _names(type(self)):
            return getattr(self, key)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(_names(type(self)))

    def __len__(self) -> int:
        return len(_names(type(self)))
