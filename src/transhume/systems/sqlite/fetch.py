"""From a SELECT to columns of Arrow: rows are fetched as many at a time as memory allows, and converted.

Nothing here builds SQL or knows a catalog, so that a second process can load it quickly.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from transhume.batches import OddValue, odd_array
from transhume.systems.sqlite.columns import CONVERTERS, Converter

FETCH_ROWS_MAX = 1000
"""Rows asked of SQLite at once: 3.4 s per 1 M rows of 12 columns; 100 take 5.8 s, 2000 take 4.0 s."""
FETCH_BYTES_MAX = 4 * 2**20
_SAMPLE_ROWS_MAX = 16
_SHORT_VALUE_BYTES_MAX = 64 * 2**10
"""While no longer value is met, rows are fetched many at a time; then one by one, so that memory stays bounded."""

Part = list[pa.Array]
"""Some rows: one array per column, then the `_odd` array."""
_Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One SELECT whose result is fetched: the statement, name and converter of each column, bounds of a part.

    `converters` name entries of `columns.CONVERTERS`. `numbered` is the same SELECT in any order, with the rowid behind
    the columns: of a range, where any version of SQLite gives the same values.
    """

    statement: str
    columns: tuple[str, ...]
    converters: tuple[str, ...]
    rows_max: int = FETCH_ROWS_MAX
    bytes_max: int = FETCH_BYTES_MAX
    numbered: str = ""


def prepare(connection: sqlite3.Connection) -> None:
    """Begin the read transaction, and with it the one instant.

    TEXT arrives as bytearray and BLOB as bytes: told apart, and nothing is decoded before we look at it.
    """
    connection.text_factory = bytearray
    connection.execute("BEGIN")
    # BEGIN alone takes no snapshot; the first read does.
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def parts(connection: sqlite3.Connection, reading: Reading, values: Sequence[int] = ()) -> Iterator[Part]:
    """Yield the result of a SELECT in parts: many rows while values are short, else as many as `bytes_max` allows.

    Raises: sqlite3.Error.
    """
    converters = [(name, CONVERTERS[own]) for name, own in zip(reading.columns, reading.converters, strict=True)]
    for rows in _fetched(connection, reading, values):
        yield _arrays(converters, rows)


def size(part: Part) -> int:
    """Return the bytes of Arrow data of a part."""
    return sum(array.nbytes for array in part)


def _fetched(connection: sqlite3.Connection, reading: Reading, values: Sequence[int]) -> Iterator[_Rows]:
    done, row_count = 0, min(64, reading.rows_max)
    cursor = connection.execute(reading.statement, values)
    while True:
        try:
            rows = _fetch_short(connection, cursor, row_count)
        except sqlite3.DataError:
            break
        if not rows:
            return
        yield rows
        done += len(rows)
        # A sample will do: values are short here, and the answer only bounds what is fetched next.
        sample = rows[:: 1 + len(rows) // _SAMPLE_ROWS_MAX]
        row_count = max(1, min(reading.rows_max, len(sample) * reading.bytes_max // _bytes(sample)))
    # The same statement in the same snapshot gives the same rows in the same order.
    cursor = connection.execute(reading.statement, values)
    for _ in islice(cursor, done):
        pass
    yield from _by_size(cursor, reading.rows_max, reading.bytes_max)


def _fetch_short(connection: sqlite3.Connection, cursor: sqlite3.Cursor, row_count: int) -> _Rows:
    before = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _SHORT_VALUE_BYTES_MAX)
    try:
        return cursor.fetchmany(row_count)
    finally:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, before)


def _bytes(rows: _Rows) -> int:
    return sum(8 + (len(value) if isinstance(value, bytes | bytearray) else 0) for row in rows for value in row)


def _by_size(cursor: sqlite3.Cursor, rows_max: int, bytes_max: int) -> Iterator[_Rows]:
    rows: _Rows = []
    held = 0
    for row in cursor:
        rows.append(row)
        held += _bytes([row])
        if held >= bytes_max or len(rows) >= rows_max:
            yield rows
            rows, held = [], 0
    if rows:
        yield rows


def _arrays(converters: Sequence[tuple[str, Converter]], rows: _Rows) -> Part:
    arrays: list[pa.Array] = []
    odd: dict[str, dict[int, OddValue]] = {}
    for (name, own), values in zip(converters, zip(*rows, strict=True), strict=True):
        array, found = own.convert(values)
        arrays.append(array)
        if found:
            odd[name] = found
    return [*arrays, odd_array(len(rows), odd)]
