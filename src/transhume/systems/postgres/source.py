"""PostgreSQL as a source: one schema, read as of one instant by COPY, every value as the server prints it."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from transhume.batches import OddValue, extract_schema, odd_array, row_numbers
from transhume.errors import SystemRefused, SystemUnavailable
from transhume.facts import Answer, Catalog
from transhume.schema import BYTES, Column, Table
from transhume.systems.postgres import describe, faults
from transhume.systems.postgres.address import Address, parse_url
from transhume.systems.postgres.arrays import to_lists
from transhume.systems.postgres.asking import asked
from transhume.systems.postgres.changes import changed
from transhume.systems.postgres.connection import WatchedConnection, connect, known_elsewhere
from transhume.systems.postgres.types import NativeType, source_type

_PURPOSE = "transhume source"
Pages = tuple[int, int | None]
"""The first page of a range, and the one behind its last; None: all that come."""
_RANGE_BYTES = 64 * 2**20
"""Size of a range of pages with what is stored beside them (TOAST): some seconds of one reader.

A table of fewer than two of them is read by one."""
_SIZE = """
SELECT pg_relation_size(c.oid) / current_setting('block_size')::bigint,
       pg_relation_size(c.oid) + coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam
WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'r' AND a.amname = 'heap'
      AND has_table_privilege(c.oid, 'SELECT')
"""
_BEGIN = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
    # Our own loop decides how long a segment may take; an idle timeout would throw the instant away.
    "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0; "
    "SET LOCAL lock_timeout = '30s'; "
    # Rows that a policy hides raise an error instead of being missing.
    "SET LOCAL row_security = off; "
    # One worker reads in physical order: every read of the same instant numbers the rows alike.
    "SET LOCAL max_parallel_workers_per_gather = 0"
)
_TABLES = """
SELECT c.relname, c.relkind::text, row_security_active(c.oid), c.reltuples::bigint,
       EXISTS (SELECT FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
               WHERE i.inhrelid = c.oid AND c.relispartition AND p.relnamespace = c.relnamespace)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'f') ORDER BY c.relname
"""
_COLUMNS = """
WITH RECURSIVE stripped(relid, num, typid, typmod) AS (
    SELECT a.attrelid, a.attnum, a.atttypid, a.atttypmod
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
    SELECT s.relid, s.num, t.typbasetype, t.typtypmod FROM stripped s JOIN pg_type t ON t.oid = s.typid
    WHERE t.typtype = 'd')
SELECT c.relname, a.attname, tn.nspname, t.typname, t.typtype::text, s.typmod, en.nspname, e.typname, e.typtype::text,
       has_column_privilege(c.oid, a.attnum, 'SELECT')
FROM stripped s JOIN pg_type t ON t.oid = s.typid AND t.typtype <> 'd' JOIN pg_namespace tn ON tn.oid = t.typnamespace
LEFT JOIN pg_type e ON e.typarray = t.oid LEFT JOIN pg_namespace en ON en.oid = e.typnamespace
JOIN pg_class c ON c.oid = s.relid JOIN pg_attribute a ON a.attrelid = s.relid AND a.attnum = s.num
ORDER BY c.relname, a.attnum
"""
_PARSE = pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False, double_quote=True, escape_char=False)


def open_source(url: str, base: Path) -> "PostgresSource":  # noqa: ARG001 - files have no place in this URL
    """Return the source behind `postgresql://user@host/database?schema=name`. Raises: UsageError."""
    return PostgresSource(parse_url(url))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the server says of one table beside its columns."""

    kind: str
    secured: bool
    row_count: int | None


class PostgresSource:
    """One schema of one database; the role needs USAGE on the schema and SELECT on the tables that are read."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.identity = address.identity
        self._open: list[WatchedConnection] = []

    def catalog(self) -> Catalog:
        """Return the schema's tables; see systems.system.Source.catalog.

        Views and materialized views are left out, and so are partitions, whose rows come with their parent.
        Columns of types that bend, of foreign tables, or that this role may not read in full have no type: a plan
        that uses one is refused by name.
        """
        with self._transaction() as connection:
            return _catalog(connection, self.address)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator["PostgresSnapshot"]:
        """Open one REPEATABLE READ, READ ONLY transaction; see systems.system.Source.snapshot."""
        with self._transaction() as connection:
            yield PostgresSnapshot(connection, self.address)

    def changed(self, mark: str, tables: Sequence[Table], row_counts: Mapping[str, int]) -> Mapping[str, str]:
        """Return the tables that changed since a snapshot's mark; see systems.changes.Watched."""
        with self._transaction() as connection:
            return changed(connection, self.address.schema, mark, tables, row_counts)

    def close(self) -> None:
        """Close connections; the server ends their transactions."""
        while self._open:
            self._open.pop().close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[WatchedConnection]:
        connection = connect(self.address, _PURPOSE)
        self._open.append(connection)
        try:
            connection.execute(_BEGIN)
            _require_schema(connection, self.address)
            yield connection
        except psycopg.Error as problem:
            faults.reraise(problem, self.identity)
        finally:
            if connection in self._open:
                self._open.remove(connection)
            connection.close()


class PostgresSnapshot:
    """All tables of a schema inside one transaction."""

    def __init__(self, connection: WatchedConnection, address: Address) -> None:
        self._connection = connection
        self._address = address
        self._exported = ""
        self._seen = _seen(connection, address.schema)
        self._natives = _natives(connection, address.schema)
        row = connection.execute("SELECT clock_timestamp()::text, pg_current_snapshot()::text").fetchone()
        assert row is not None
        self.instant = f"{row[0]} snapshot {row[1]}"
        self.mark = str(row[1])

    def read(self, table: Table, rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows in physical order; see systems.system.Snapshot.read.

        A sort by key would cost the server a sort of the whole table. Rows of tables that inherit from this one
        are theirs, and are not read here; rows of partitions are.
        """
        return self.read_pages(table, None, 0, rows_max, bytes_max)

    def ranges(self, table: Table) -> Sequence["PageRange"]:
        """Return ranges of pages of a large table; none where one reader must do, or does as well.

        Rows of partitions and foreign tables stand elsewhere; other access methods than heap have no pages to name; a
        role with rights to columns alone may not ask for a row's place.
        Effects: until the snapshot ends nobody can rewrite the table (CLUSTER, VACUUM FULL, TRUNCATE). A row that
        changed its page between two ranges would be read twice, or not at all, and no count would tell.
        """
        self._require(table)
        found = self._connection.execute(_SIZE, [self._address.schema, table.name]).fetchone()
        if found is None:
            return ()
        pages, size_bytes = found
        if not pages or size_bytes < 2 * _RANGE_BYTES:
            return ()
        self._hold(table)
        # No other server knows the exported snapshot.
        address = known_elsewhere(self._connection, self._address, same_server=True)
        starts = range(0, pages, max(1, pages * _RANGE_BYTES // size_bytes))
        # The last has no end: it costs nothing, and no page can be beyond it.
        ends = [*starts[1:], None]
        return [PageRange(address, self._exported, table, *pair) for pair in zip(starts, ends, strict=True)]

    def _hold(self, table: Table) -> None:
        """Keep a table's rows in their pages until the snapshot ends, and let other connections have its instant."""
        try:
            # A query that reads nothing takes the lock of one that reads, and the transaction keeps it.
            place = sql.Identifier(self._address.schema, table.name)
            self._connection.execute(sql.SQL("SELECT FROM ONLY {} LIMIT 0").format(place))
            if not self._exported:
                exported = self._connection.execute("SELECT pg_export_snapshot()").fetchone()
                assert exported is not None
                self._exported = exported[0]
        except psycopg.Error as problem:
            faults.reraise(problem, f"table '{table.name}' of {self._address.identity}")

    def count_pages(self, table: Table, pages: Pages) -> int:
        """Return how many rows these pages have."""
        query = sql.SQL("SELECT count(*) FROM ONLY {} AS t{}").format(
            sql.Identifier(self._address.schema, table.name), _within(pages)
        )
        row = self._connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    def read_pages(
        self, table: Table, pages: Pages | None, first_row: int, rows_max: int, bytes_max: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of these pages, None: of all, in physical order, `_row` counting from `first_row`."""
        seen = self._require(table)
        schema = extract_schema(table)
        columns = [column for column in table.columns if column.type is not None]
        query = self._query(table, columns, seen, _within(pages))
        try:
            for text, row_count in self._copied(query, rows_max, bytes_max):
                yield _batch(schema, columns, text, first_row, row_count)
                first_row += row_count
        except psycopg.Error as problem:
            faults.reraise(problem, f"table '{table.name}' of {self._address.identity}")
        except pa.ArrowInvalid:  # its text would quote a value
            message = (
                f"table '{table.name}' cannot be parsed from row {first_row} on; none of it is used; report this bug"
            )
            raise SystemRefused(message) from None

    def ask(self, query: str, *, counts: bool) -> Answer:
        """Return what a SELECT gives inside the snapshot's transaction; see systems.system.Snapshot.ask."""
        return asked(self._connection, self._address.schema, query, counts=counts)

    def _require(self, table: Table) -> _Seen:
        """Return what the server says of a table now, or refuse one that is not what the catalog said."""
        seen, natives = self._seen.get(table.name), self._natives[table.name]
        if seen is None:
            message = f"table '{table.name}' is not in {self._address.identity}; was it dropped or renamed?"
            raise SystemRefused(message)
        if seen.secured:
            message = (
                f"row security hides rows of table '{table.name}' from this role; a part is not the table; "
                "read as its owner, or as a role with BYPASSRLS"
            )
            raise SystemRefused(message)
        carried = [column for column in table.columns if column.type is not None]
        for column in carried:
            if column.name not in natives or source_type(natives[column.name][0]) != (column.type, column.carrier):
                message = (
                    f"column '{column.name}' of table '{table.name}' is gone or has another type than a moment ago; "
                    "nothing was read; run the same command again when nobody changes tables"
                )
                raise SystemRefused(message)
        if unreadable := [column.name for column in carried if not natives[column.name][1]]:
            names = ", ".join(f"'{name}'" for name in unreadable)
            message = f"no right to read table '{table.name}', columns {names}; ask its owner to GRANT SELECT on it"
            raise SystemRefused(message)
        return seen

    def _query(self, table: Table, columns: Sequence[Column], seen: _Seen, condition: sql.Composable) -> sql.Composed:
        expressions = []
        for column in columns:
            expression: sql.Composable = sql.Identifier("t", column.name)
            # The shortest text of a real reads back as another double: 0.1 is not 0.1::real.
            match self._natives[table.name][column.name][0].name:
                case "float4":
                    expression = sql.SQL("{}::float8").format(expression)
                case "_float4":
                    expression = sql.SQL("{}::float8[]").format(expression)
            expressions.append(expression)
        # A table of a plan may carry nothing but columns without a type; its rows still count.
        listed = sql.SQL(", ").join(expressions or [sql.SQL("1")])
        # Without ONLY, rows of tables that inherit from this one would come too; they are tables themselves.
        only = sql.SQL("" if seen.kind == "p" else "ONLY ")
        return sql.SQL("COPY (SELECT {} FROM {}{} AS t{}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)").format(
            listed, only, sql.Identifier(self._address.schema, table.name), condition
        )

    def _copied(self, query: sql.Composed, rows_max: int, bytes_max: int) -> Iterator[tuple[bytearray, int]]:
        """Yield CSV text of whole rows with their number: the server sends one message a row."""
        text, row_count = bytearray(), 0
        with self._connection.cursor().copy(query) as copy:
            for row in copy:
                text += row
                row_count += 1
                if row_count >= rows_max or len(text) >= bytes_max:
                    yield text, row_count
                    text, row_count = bytearray(), 0
        if row_count:
            yield text, row_count


@dataclass(frozen=True, slots=True)
class PageRange:
    """Some pages of a table at the instant of an exported snapshot; see `systems.system.TableRange`.

    Source: https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION
    """

    address: Address = field(repr=False)
    snapshot: str
    table: Table
    first: int
    end: int | None

    def count(self) -> int:
        """Return how many rows the pages have."""
        with self._opened() as snapshot:
            return snapshot.count_pages(self.table, (self.first, self.end))

    def read(self, first_row: int, rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the pages in physical order."""
        with self._opened() as snapshot:
            yield from snapshot.read_pages(self.table, (self.first, self.end), first_row, rows_max, bytes_max)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[PostgresSnapshot]:
        connection = connect(self.address, _PURPOSE)
        try:
            connection.execute(_BEGIN)
            self._import_snapshot(connection)
            yield PostgresSnapshot(connection, self.address)
        except psycopg.Error as problem:
            faults.reraise(problem, f"table '{self.table.name}' of {self.address.identity}")
        finally:
            connection.close()

    def _import_snapshot(self, connection: WatchedConnection) -> None:
        try:
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(self.snapshot)))
        except psycopg.Error as problem:
            if faults.is_lost(problem):
                raise
            # The server's versions have three codes for it.
            message = (
                f"the instant at which table '{self.table.name}' of {self.address.identity} was being read is gone: "
                "the connection that held it was lost, or this is another server; nothing of the table is used. "
                "Run the same command again"
            )
            raise SystemUnavailable(message) from None


def _within(pages: Pages | None) -> sql.Composable:
    """Return the condition for the rows of these pages, which the server finds without looking at others."""
    if pages is None:
        return sql.SQL("")
    first, end = pages
    until = sql.SQL("") if end is None else sql.SQL(" AND t.ctid < {}::tid").format(sql.Literal(f"({end},0)"))
    return sql.SQL(" WHERE t.ctid >= {}::tid").format(sql.Literal(f"({first},0)")) + until


def _batch(
    schema: pa.Schema, columns: Sequence[Column], text: bytearray, first_row: int, row_count: int
) -> pa.RecordBatch:
    names = [str(ordinal) for ordinal in range(max(1, len(columns)))]
    carried = list(schema)[1:-1]
    types = {
        name: pa.string() if pa.types.is_binary(field.type) or pa.types.is_list(field.type) else field.type
        for name, field in zip(names, carried, strict=False)
    }
    found = pa_csv.read_csv(
        pa.py_buffer(text),
        pa_csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names),
        _PARSE,
        # NULL stands unquoted, every value in quotes, so that '' is a text.
        pa_csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    if found.num_rows != row_count:
        message = f"the server sent {row_count} rows, {found.num_rows} were read; nothing of them is used; report this"
        raise SystemRefused(message)
    arrays = [row_numbers(first_row, row_count)]
    odd: dict[str, dict[int, OddValue]] = {}
    for name, column in zip(names, columns, strict=False):
        array = found.column(name).combine_chunks()
        if column.type is not None and column.type.element is not None:
            array, odd[column.name] = to_lists(array.to_pylist(), column.type.element)
        arrays.append(_unhexed(array) if column.type == BYTES else array)
    return pa.RecordBatch.from_arrays([*arrays, odd_array(row_count, odd)], schema=schema)


def _unhexed(array: pa.Array) -> pa.Array:
    return pa.array([None if value is None else bytes.fromhex(value[2:]) for value in array.to_pylist()], pa.binary())


def _catalog(connection: WatchedConnection, address: Address) -> Catalog:
    seen = _seen(connection, address.schema)
    natives = _natives(connection, address.schema)
    described = describe.read_catalog(connection, address).tables
    tables = {}
    for name, facts in seen.items():
        columns = tuple(_column(column, facts, *natives[name][column.name]) for column in described[name].columns)
        tables[name] = replace(described[name], columns=columns, obstacles=(), row_count=facts.row_count)
    return Catalog(address.identity, tables)


def _column(column: Column, seen: _Seen, native: NativeType, readable: bool) -> Column:
    column = replace(column, refused="")
    hindrance = ""
    if seen.kind == "f":
        hindrance = "of a foreign table, which is not of this instant"
    elif seen.secured:
        hindrance = "of a table from which row security hides rows"
    elif not readable:
        hindrance = "without the right to SELECT"
    carried = source_type(native)
    if hindrance or carried is None:
        return replace(column, type=None, native=f"{column.native} {hindrance}".strip())
    return replace(column, type=carried[0], carrier=carried[1])


def _seen(connection: WatchedConnection, schema: str) -> dict[str, _Seen]:
    return {
        name: _Seen(kind, bool(secured), int(rows) if rows >= 0 else None)
        for name, kind, secured, rows, in_parent in connection.execute(_TABLES, [schema]).fetchall()
        if not in_parent
    }


def _natives(connection: WatchedConnection, schema: str) -> dict[str, dict[str, tuple[NativeType, bool]]]:
    found: dict[str, dict[str, tuple[NativeType, bool]]] = defaultdict(dict)
    for table, column, *own, space, name, kind, readable in connection.execute(_COLUMNS, [schema]).fetchall():
        # A domain as element would have to be taken off too; it is told as it is, and so not carried.
        element = None if name is None else NativeType(space, name, kind, own[-1])
        found[table][column] = (NativeType(own[0], own[1], own[2], own[3], element), bool(readable))
    return found


def _require_schema(connection: WatchedConnection, address: Address) -> None:
    row: Any = connection.execute(
        "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = %s", [address.schema]
    ).fetchone()
    if row is None:
        others = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1"
        ).fetchall()
        known = ", ".join(f"'{name}'" for (name,) in others[:20]) or "none"
        message = f"schema '{address.schema}' is not in {address.identity}; write ?schema= in the URL; it has: {known}"
        raise SystemUnavailable(message)
    if not row[0]:
        message = f"no right to look into schema '{address.schema}' of {address.identity}; ask for GRANT USAGE on it"
        raise SystemUnavailable(message)
