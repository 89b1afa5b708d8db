"""SQLite as a source: a file becomes a catalog and, inside one read transaction, batches of Arrow."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from transhume.batches import extract_schema
from transhume.errors import SystemRefused, UsageError
from transhume.facts import Catalog
from transhume.schema import Column, Table
from transhume.systems.sqlite import catalog
from transhume.systems.sqlite.access import Access, explain, open_file
from transhume.systems.sqlite.columns import Converter, OddValue, converter, odd_array

_FORM = "sqlite:///folder/file.db (relative to the project) or sqlite:////folder/file.db (absolute)"
_FETCH_ROWS_MAX = 1000
"""Rows asked of SQLite at once: 3.4 s per 1 M rows of 12 columns; 100 take 5.8 s, 2000 take 4.0 s."""
_FETCH_BYTES_MAX = 4 * 2**20
_SAMPLE_ROWS_MAX = 16
_SHORT_VALUE_BYTES_MAX = 64 * 2**10
"""While no longer value is met, rows are fetched many at a time; then one by one, so that memory stays bounded."""


def open_source(url: str, base: Path) -> "SqliteSource":
    """Return the source behind `sqlite:///...`; nothing is opened yet. Raises: UsageError."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        message = f"a SQLite URL takes no options ('?' and '#' in a path are written %3F and %23); write {_FORM}"
        raise UsageError(message)
    if parts.netloc or not parts.path.startswith("/") or parts.path in {"/", "/:memory:"}:
        message = f"the SQLite URL names no file; write {_FORM}"
        raise UsageError(message)
    return SqliteSource((base / unquote(parts.path[1:])).resolve())


class SqliteSource:
    """One SQLite file. Every catalog and every snapshot opens it anew, in the way that leaves it untouched."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = f"sqlite:///{path}"
        self._open: list[Access] = []

    def catalog(self) -> Catalog:
        """Return every table; see systems.system.Source.catalog.

        Columns without a declared type, and NUMERIC ones without precision, are typed by the values they hold.
        """
        access = self._opened()
        try:
            access.connection.execute("BEGIN")
            tables = catalog.read_tables(access.connection)
            access.confirm()
        except sqlite3.Error as problem:
            raise explain(problem, self.path) from None
        finally:
            self._closed(access)
        return Catalog(self.identity, tables)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator["SqliteSnapshot"]:
        """Open one read transaction over the file; see systems.system.Source.snapshot."""
        access = self._opened()
        try:
            # TEXT arrives as bytearray and BLOB as bytes: told apart, and nothing is decoded before we look at it.
            access.connection.text_factory = bytearray
            access.connection.execute("BEGIN")
            # BEGIN alone takes no snapshot; the first read does.
            access.connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            yield SqliteSnapshot(access)
            access.confirm()
        except sqlite3.Error as problem:
            raise explain(problem, self.path) from None
        finally:
            self._closed(access)

    def close(self) -> None:
        """Close what is open and remove private copies."""
        while self._open:
            self._open.pop().close()

    def _opened(self) -> Access:
        access = open_file(self.path)
        self._open.append(access)
        return access

    def _closed(self, access: Access) -> None:
        if access in self._open:
            self._open.remove(access)
        access.close()


class SqliteSnapshot:
    """All tables of a file inside one read transaction."""

    def __init__(self, access: Access) -> None:
        self._access = access
        found = access.path.stat()
        taken = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.instant = f"{taken} file {found.st_dev}:{found.st_ino} of {found.st_size} bytes"

    def read(self, table: Table, rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows in the order of its B-tree; see systems.system.Snapshot.read."""
        schema = extract_schema(table)
        columns = [column for column in table.columns if column.type is not None]
        if len(columns) < len(table.columns) or not columns:
            message = f"table '{table.name}' is a virtual table; its rows cannot be carried; ignore it in the plan"
            raise SystemRefused(message)
        converters = [(column.name, converter(column)) for column in columns]
        first_row = held_rows = held_bytes = 0
        held: list[list[pa.Array]] = []
        try:
            for rows in self._fetched(table, columns, min(rows_max, _FETCH_ROWS_MAX), min(bytes_max, _FETCH_BYTES_MAX)):
                part = _arrays(converters, rows)
                part_bytes = sum(array.nbytes for array in part)
                if held and (held_rows + len(rows) > rows_max or held_bytes + part_bytes > bytes_max):
                    yield _batch(schema, held, first_row, held_rows)
                    first_row += held_rows
                    held, held_rows, held_bytes = [], 0, 0
                held.append(part)
                held_rows += len(rows)
                held_bytes += part_bytes
            if held:
                yield _batch(schema, held, first_row, held_rows)
        except sqlite3.Error as problem:
            self._access.confirm()
            raise explain(problem, self._access.path) from None
        self._access.confirm()

    def _fetched(
        self, table: Table, columns: Sequence[Column], rows_max: int, bytes_max: int
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield lists of rows: many at a time while values are short, else as many as `bytes_max` allows."""
        connection = self._access.connection
        query = catalog.select(table, [catalog.column(column.name) for column in columns])
        without_rowid = catalog.is_without_rowid(connection, table.name)
        statement = catalog.ordered(table, query, without_rowid=without_rowid).sql(dialect="sqlite")
        done, row_count = 0, min(64, rows_max)
        cursor = connection.execute(statement)
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
            row_count = max(1, min(rows_max, len(sample) * bytes_max // _bytes(sample)))
        # The same statement in the same snapshot gives the same rows in the same order.
        cursor = connection.execute(statement)
        for _ in islice(cursor, done):
            pass
        yield from _by_size(cursor, rows_max, bytes_max)


def _fetch_short(connection: sqlite3.Connection, cursor: sqlite3.Cursor, row_count: int) -> list[tuple[Any, ...]]:
    before = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _SHORT_VALUE_BYTES_MAX)
    try:
        return cursor.fetchmany(row_count)
    finally:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, before)


def _bytes(rows: list[tuple[Any, ...]]) -> int:
    return sum(8 + (len(value) if isinstance(value, bytes | bytearray) else 0) for row in rows for value in row)


def _by_size(cursor: sqlite3.Cursor, rows_max: int, bytes_max: int) -> Iterator[list[tuple[Any, ...]]]:
    rows: list[tuple[Any, ...]] = []
    size = 0
    for row in cursor:
        rows.append(row)
        size += _bytes([row])
        if size >= bytes_max or len(rows) >= rows_max:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _arrays(converters: Sequence[tuple[str, Converter]], rows: list[tuple[Any, ...]]) -> list[pa.Array]:
    arrays: list[pa.Array] = []
    odd: dict[str, dict[int, OddValue]] = {}
    for (name, own), values in zip(converters, zip(*rows, strict=True), strict=True):
        array, found = own.convert(values)
        arrays.append(array)
        if found:
            odd[name] = found
    return [*arrays, odd_array(len(rows), odd)]


def _batch(schema: pa.Schema, held: list[list[pa.Array]], first_row: int, row_count: int) -> pa.RecordBatch:
    joined = [pa.concat_arrays([part[index] for part in held]) for index in range(len(held[0]))]
    numbers = pa.array(range(first_row, first_row + row_count), pa.int64())
    return pa.RecordBatch.from_arrays([numbers, *joined], schema=schema)
