"""MySQL and MariaDB as a source: one database, read as of one instant, every value as the server prints it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from transhume.batches import extract_schema
from transhume.errors import SystemRefused, SystemUnavailable
from transhume.facts import Answer, Catalog
from transhume.schema import Table
from transhume.systems.mysql.address import Address, parse_url
from transhume.systems.mysql.connection import Connection
from transhume.systems.mysql.describe import Described, read_tables
from transhume.systems.mysql.reading import Part, Reading, way
from transhume.systems.mysql.types import source_type
from transhume.systems.system import ROWS_ASKED

_LOG_POSITIONS = ("Innodb_lsn_current", "Innodb_redo_log_current_lsn")
"""In MariaDB, and in MySQL since 8.0.30."""
_PART_ROWS_MAX = 32_768
_PART_BYTES_MAX = 4 * 2**20


def open_source(url: str, base: Path) -> "MysqlSource":
    """Return the source behind `mysql://user@host/database`; nothing is opened yet. Raises: UsageError."""
    return MysqlSource(parse_url(url, base))


class MysqlSource:
    """One database; the user needs SELECT on the tables that are read, and nothing else."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.identity = address.identity
        self._open: list[Connection] = []

    def catalog(self) -> Catalog:
        """Return the tables of the database; see systems.system.Source.catalog.

        Views and sequences are left out. Columns of types that bend, or that this user may not read, have no type: a
        plan that uses one is refused by name. Numbers of rows are the server's estimates.
        """
        with self._connected() as connection:
            found = read_tables(connection)
        tables = {name: each.table for name, each in found.items()}
        loose = {name: each.engine for name, each in found.items() if not each.has_instant}
        return Catalog(self.identity, tables, loose_tables=loose)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator["MysqlSnapshot"]:
        """Open one READ ONLY transaction with a consistent snapshot; see systems.system.Source.snapshot.

        Raises: SystemUnavailable at the end if a table that no snapshot covers was written while it was read.
        """
        with self._connected() as connection:
            # Before the snapshot: what is written from here on is seen by the mark, if not by the snapshot.
            mark = _written(connection)
            connection.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            snapshot = MysqlSnapshot(connection, mark)
            yield snapshot
            with self._connected() as other:
                snapshot.confirm(other)

    def changed(
        self,
        mark: str,
        tables: Sequence[Table],
        row_counts: Mapping[str, int],  # noqa: ARG002 - the rows themselves are asked where InnoDB cannot tell
    ) -> Mapping[str, str]:
        """Say that every table may have changed if InnoDB wrote anything since the mark; see changes.Watched.

        Tables that no snapshot covers may always have.
        """
        with self._connected() as connection:
            stood_still = _written(connection) == mark
            found = read_tables(connection)
        covered = {name for name, each in found.items() if each.has_instant}
        return {table.name: "" for table in tables if not stood_still or table.name not in covered}

    def close(self) -> None:
        """Close connections; the server ends their transactions."""
        while self._open:
            self._open.pop().close()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        connection = Connection(self.address)
        self._open.append(connection)
        try:
            yield connection
        finally:
            if connection in self._open:
                self._open.remove(connection)
            connection.close()


class MysqlSnapshot:
    """All tables of a database inside one transaction."""

    def __init__(self, connection: Connection, mark: str) -> None:
        self.mark = mark
        self._connection = connection
        self._tables = read_tables(connection)
        self._packet_bytes_max = int(connection.value("SELECT @@max_allowed_packet"))
        self._loose: set[str] = set()
        taken = connection.value("SELECT UTC_TIMESTAMP(6)")
        self.instant = " ".join([f"{taken}Z", *_binlog(connection)])

    def read(self, table: Table, rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows in the order of its primary key, else physical; see systems.system.Snapshot.read."""
        described = self._require(table)
        if not described.has_instant:
            self._loose.add(table.name)
        schema = extract_schema(table)
        ways = [way(column, described.natives[column.name]) for column in table.columns if column.type is not None]
        reading = Reading(described.table, ways, self._packet_bytes_max)
        where = f"table '{table.name}' of {self._connection.address.identity}"
        stream = self._connection.stream(reading.statement, reading.fields, where, reading.foreseen)
        part_rows, part_bytes = min(rows_max, _PART_ROWS_MAX), min(bytes_max, _PART_BYTES_MAX)
        first_row = held_rows = held_bytes = 0
        held: list[Part] = []
        with contextlib.closing(stream):
            for part in reading.parts(stream, part_rows, part_bytes):
                rows, size = len(part[-1]), sum(array.nbytes for array in part)
                if held and (held_rows + rows > rows_max or held_bytes + size > bytes_max):
                    yield _batch(schema, held, first_row, held_rows)
                    first_row += held_rows
                    held, held_rows, held_bytes = [], 0, 0
                held.append(part)
                held_rows += rows
                held_bytes += size
        if held:
            yield _batch(schema, held, first_row, held_rows)

    def ask(self, query: str, *, counts: bool) -> Answer:
        """Return what a SELECT gives inside the transaction; see systems.system.Snapshot.ask."""
        found = f"FROM (\n{query.rstrip().rstrip(';')}\n) AS found"
        try:
            # The plan's own text; the session takes one statement at a time, in a transaction that only reads.
            count = int(self._connection.value(f"SELECT count(*) {found}")) if counts else None
            rows = self._connection.numbers_and_texts(f"SELECT * {found} LIMIT {ROWS_ASKED}")
        except SystemUnavailable as problem:
            raise SystemRefused(str(problem)) from None
        return Answer(count, tuple(rows))

    def confirm(self, connection: Connection) -> None:
        """Raise SystemUnavailable if a table that no snapshot covers was written since the snapshot was opened."""
        if not self._loose:
            return
        now = read_tables(connection)
        changed = [name for name in sorted(self._loose) if _state(now.get(name)) != _state(self._tables[name])]
        if changed:
            names = ", ".join(f"'{name}'" for name in changed)
            message = (
                f"tables of {connection.address.identity} changed while they were read: {names}; their engine has no "
                "snapshots, so the rows are not used; run the same command again when nobody writes there"
            )
            raise SystemUnavailable(message)

    def _require(self, table: Table) -> Described:
        """Return what the server says of a table now, or refuse one that is not what the catalog said."""
        described = self._tables.get(table.name)
        identity = self._connection.address.identity
        if described is None:
            message = f"table '{table.name}' is not in {identity}; was it dropped or renamed, or its SELECT revoked?"
            raise SystemRefused(message)
        for column in table.columns:
            native = described.natives.get(column.name)
            if column.type is None or (native and source_type(native) == (column.type, column.carrier)):
                continue
            message = (
                f"column '{column.name}' of table '{table.name}' is gone or has another type than a moment ago; "
                "nothing was read; run the same command again when nobody changes tables"
            )
            raise SystemRefused(message)
        return described


def _state(described: Described | None) -> tuple[str, int | None] | None:
    return None if described is None else (described.updated, described.table.row_count)


def _batch(schema: pa.Schema, held: list[Part], first_row: int, row_count: int) -> pa.RecordBatch:
    joined = [pa.concat_arrays([part[place] for part in held]) for place in range(len(held[0]))]
    numbers = pa.array(range(first_row, first_row + row_count), pa.int64())
    return pa.RecordBatch.from_arrays([numbers, *joined], schema=schema)


def _written(connection: Connection) -> str:
    """Return how much InnoDB has written to its log since the server was made, "" where the server does not tell.

    Source: https://mariadb.com/docs/server/server-usage/storage-engines/innodb/innodb-status-variables
    """
    found = connection.rows("SHOW GLOBAL STATUS WHERE Variable_name IN (%s, %s)", _LOG_POSITIONS)
    return str(found[0][1]) if found else ""


def _binlog(connection: Connection) -> list[str]:
    """Return the place in the binary log that is this snapshot's, where the server writes one.

    Source: https://mariadb.com/docs/server/reference/sql-statements/transactions/start-transaction
    """
    found = dict(connection.rows("SHOW STATUS LIKE 'binlog_snapshot_%'"))
    names = {name.lower(): value for name, value in found.items()}
    file, position = names.get("binlog_snapshot_file"), names.get("binlog_snapshot_position")
    return [f"binlog {file}:{position}"] if file else []
