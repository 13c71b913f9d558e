"""Many rows in one statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio import _store_bulk
from tgtrio._store_bulk import insert_rows, portions


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)")
        yield connection


def content(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT * FROM t ORDER BY id").fetchall()


@pytest.mark.parametrize("count", [1, 2, 16, 17, 300, 2_048, 5_000])
def test_rows_are_numbered_from_the_first(connection: sqlite3.Connection, count: int) -> None:
    rows = [(n, None) for n in range(count)]
    insert_rows(connection, "INTO t (id, a, b)", "? + column1, column2, column3", 2, rows, 7)
    assert content(connection) == [(7 + n, n, None) for n in range(count)]


def test_a_build_of_sqlite_that_takes_few_variables_gets_few(
    connection: sqlite3.Connection,
) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 100)
    insert_rows(connection, "INTO t (a, b)", "column2, column3", 2, [(n, n) for n in range(70)])
    assert [a for _, a, _ in content(connection)] == list(range(70))


@pytest.mark.parametrize("rows", [[(1, 2), (None, 2)], [(1, 2), (3,)], [(1, 2), (3, 4, 5)]])
def test_a_row_that_is_none_is_not_passed_over(
    connection: sqlite3.Connection, rows: list[tuple[object, ...]]
) -> None:
    with pytest.raises((sqlite3.IntegrityError, ValueError)):
        insert_rows(connection, "INTO t (a, b)", "column2, column3", 2, rows)


def test_few_sizes_of_statement_are_compiled(connection: sqlite3.Connection) -> None:
    _store_bulk._statement.cache_clear()
    for count in range(1, 300):
        rows = [(n, n) for n in range(count)]
        insert_rows(connection, "INTO t (a, b)", "column2, column3", 2, rows)
    assert _store_bulk._statement.cache_info().currsize == 4


@given(st.lists(st.integers(0, 9_000_000) | st.none(), min_size=1, max_size=30))
def test_portions_are_small_or_single_and_leave_nothing_out(sizes: list[int | None]) -> None:
    rows = [(n, None if size is None else Sized(size)) for n, size in enumerate(sizes)]
    found = list(portions(rows, 1))
    assert [row for some in found for row in some] == rows
    for some in found:
        total = sum(len(size) for _, size in some if size is not None)
        assert total <= 8_000_000 or len(some) == 1
    if sum(size or 0 for size in sizes) <= 8_000_000:
        assert len(found) == 1


class Sized:
    """Has a length and no content."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size
