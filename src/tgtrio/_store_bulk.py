"""Many rows in one statement.

Python's `executemany` lets go of the GIL and waits for it at every row. Beside an event loop that
computes, each wait takes 5 ms. One statement with thousands of rows waits once. SQLite takes
about 3 us a row to compile such a statement and 2.5 to run it, so there are few sizes, each is
compiled once, and what is too many for the rows is filled up with NULLs, which insert nothing.
"""

from __future__ import annotations

import functools
import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

_SIZES = (1, 16, 256, 2_048)
_VARIABLES = 32_766  # what SQLite takes at most, by default
_LARGEST = 8_000_000  # bytes of responses in one statement, which are copied when they are bound


@functools.cache
def _statement(insert: str, select: str, width: int, size: int) -> str:
    rows = ", ".join(f"({n}{', ?' * width})" for n in range(size))
    # column1 counts the rows, column2 is the first value of a row.
    return f"INSERT {insert} SELECT {select} FROM (VALUES {rows}) WHERE column2 IS NOT NULL"


def insert_rows(
    connection: sqlite3.Connection,
    insert: str,
    select: str,
    width: int,
    rows: Sequence[Any],
    first: int | None = None,
    constants: Sequence[Any] = (),
) -> None:
    """Insert rows.

    Args:
        connection: In a transaction.
        insert: `INTO table (columns)`.
        select: What is selected from `column1`, the number of the row within its statement, and
            `column2` and so on, its values.
        width: How many values a row has.
        rows: At least one. The first value of a row is not None.
        first: If given, `select` has one `?`, and `? + column1` is this for the first row and one
            more for each row after it.
        constants: For more `?`s of `select`, the same for all rows.

    Raises:
        sqlite3.Error, ValueError: Nothing may have been inserted, or some.
    """
    limit = min(connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER), _VARIABLES)
    others = len(constants) + 1
    largest = max(size for size in _SIZES if size * width + others <= limit)
    for at in range(0, len(rows), largest):
        some = rows[at : at + largest]
        size = next(size for size in _SIZES if size >= len(some))
        statement = _statement(insert, select, width, size)
        values = list(itertools.chain.from_iterable(some))
        if len(values) != len(some) * width:
            raise ValueError(f"a row has not {width} values")
        values += [None] * (size * width - len(values))
        values[:0] = constants if first is None else (first + at, *constants)
        done = connection.execute(statement, values).rowcount
        if done != len(some):
            raise sqlite3.IntegrityError(f"{done} of {len(some)} rows were inserted")


def portions(rows: Sequence[Any], column: int) -> Iterator[Sequence[Any]]:
    """Split rows so that what one column holds is not too much for one statement."""
    if len(rows) > 1 and sum([len(row[column] or b"") for row in rows]) > _LARGEST:
        middle = len(rows) // 2
        yield from portions(rows[:middle], column)
        yield from portions(rows[middle:], column)
    else:
        yield rows
