"""SQLite as a source: a file becomes a catalog and, inside one read transaction, batches of Arrow."""

import contextlib
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from transhume.batches import extract_schema
from transhume.errors import SystemRefused, UsageError
from transhume.facts import Answer, Catalog, cell
from transhume.schema import Table
from transhume.systems.sqlite import catalog, cutting, fetch, ranges
from transhume.systems.sqlite.access import Access, explain, open_file, sign_of
from transhume.systems.sqlite.columns import converter_name
from transhume.systems.sqlite.fetch import Part, Reading
from transhume.systems.system import ROWS_ASKED

_FORM = "sqlite:///folder/file.db (relative to the project) or sqlite:////folder/file.db (absolute)"


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
        self.jobs: int | None = None
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
        # Before the transaction: a write in between is reported as a change that may be none, never missed.
        mark = sign_of(self.path)
        access = self._opened()
        try:
            fetch.prepare(access.connection)
            yield SqliteSnapshot(access, mark, self.jobs)
            access.confirm()
        except sqlite3.Error as problem:
            raise explain(problem, self.path) from None
        finally:
            self._closed(access)

    def changed(
        self,
        mark: str,
        tables: Sequence[Table],
        row_counts: Mapping[str, int],  # noqa: ARG002 - the file has one sign for all its tables
    ) -> Mapping[str, str]:
        """Return all tables if the file was written since, as to be read; see systems.changes.Watched."""
        return {} if sign_of(self.path) == mark else {table.name: "" for table in tables}

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

    def __init__(self, access: Access, mark: str, jobs: int | None = None) -> None:
        self._access, self._jobs = access, jobs
        self.mark = mark
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
        reading = Reading(
            statement="",
            columns=tuple(column.name for column in columns),
            converters=tuple(converter_name(column) for column in columns),
            rows_max=min(rows_max, fetch.FETCH_ROWS_MAX),
            bytes_max=min(bytes_max, fetch.FETCH_BYTES_MAX),
        )
        try:
            with contextlib.closing(self._parts(table, reading)) as found:
                yield from cutting.batches(found, schema, rows_max, bytes_max)
        except sqlite3.Error as problem:
            self._access.confirm()
            raise explain(problem, self._access.path) from None
        self._access.confirm()

    def ask(self, query: str, *, counts: bool) -> Answer:
        """Return what a SELECT gives inside the read transaction; see systems.system.Snapshot.ask."""
        found = f"FROM (\n{query.rstrip().rstrip(';')}\n) AS found"
        connection = self._access.connection
        try:
            # The plan's own text; the connection is open for reading only, and takes one statement.
            count = int(connection.execute(f"SELECT count(*) {found}").fetchone()[0]) if counts else None
            rows = connection.execute(f"SELECT * {found} LIMIT {ROWS_ASKED}").fetchall()
        except (sqlite3.Error, sqlite3.Warning) as problem:
            raise SystemRefused(str(problem)) from None
        return Answer(count, tuple(tuple(map(cell, row)) for row in rows))

    def _parts(self, table: Table, reading: Reading) -> Generator[Part, None, None]:
        """Yield the whole table, with a second process where that is worth its start and sees the same instant."""
        connection = self._access.connection
        query = catalog.select(table, [catalog.column(name) for name in reading.columns])
        without_rowid = catalog.is_without_rowid(connection, table.name)
        rowid = None if without_rowid else catalog.rowid(connection, table.name)
        if rowid is None or not ranges.is_worthwhile(self._access, table.row_count, self._jobs):
            statement = catalog.ordered(table, query, rowid, without_rowid=without_rowid).sql(dialect="sqlite")
            yield from fetch.parts(connection, replace(reading, statement=statement))
            return
        ranged = replace(reading, statement=catalog.between(query, rowid).sql(dialect="sqlite"))
        if catalog.is_stored(connection, table.name, reading.columns):
            numbered = catalog.between(query, rowid, numbered=True).sql(dialect="sqlite")
            ranged = replace(ranged, numbered=numbered)
        yield from ranges.parts(self._access, ranged, catalog.start(table, rowid).sql(dialect="sqlite"))
