"""Staged rows: one logged table per batch, entered in the ledger in its transaction, read back bit by bit."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from transhume.batches import BatchId, StagedBatch, TargetTable, row_numbers
from transhume.facts import Catalog
from transhume.systems.postgres import ddl, ledger, unwire, wire
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.received import Multiset, Received
from transhume.systems.system import Mismatch

MISMATCHES_MAX = 20
_SCHEMA_PREFIX = "transhume_stage_"
RUN_BYTES_MAX = ddl.NAME_BYTES_MAX - len(_SCHEMA_PREFIX)


def schema_name(run: str) -> str:
    """Return the schema that holds a run's staged rows; `run` has at most RUN_BYTES_MAX bytes."""
    return _SCHEMA_PREFIX + run


def table_name(batch: BatchId) -> str:
    """Return the name of a batch's stage table."""
    tail = f"_{batch.index:06d}"
    # One byte less than a name may have: the server names the type of its arrays with one more in front, cut at the
    # end, and then batches that are staged side by side would want the same one.
    return ddl.fitted(batch.mapping, ddl.NAME_BYTES_MAX - 1 - len(tail)) + tail


class Stage:
    """The stage of one run for one target table.

    `natives` are the columns' types as the server names them; `ordinal` is the mapping's place in the run.
    """

    references_itself = False
    """Whether the table stands already, with a reference to itself."""

    def __init__(
        self, run: str, target_schema: str, table: TargetTable, natives: Sequence[str], ordinal: int = 0
    ) -> None:
        self.run = run
        self.ordinal = ordinal
        self.seen_name = f"seen_{ordinal}"
        self.target_schema = target_schema
        self.table = table
        self.natives = tuple(natives)
        self.columns = tuple(column.name for column in table.table.columns)
        self._sent: dict[int, tuple[pa.Table, str]] = {}
        """By batch, until it is compared: the rows that this process sent, and the digest of their bytes."""
        self._meets_no_key = True
        """Whether the target showed no key of the batch before: then the next one is tried the short way."""
        self._read_back: dict[str, Multiset] = {}
        """By stage table: what this process read back of it, and found to be what was sent."""

    def place(self, batch: BatchId) -> sql.Identifier:
        """Return the quoted name of a batch's stage table."""
        return ddl.qualified(schema_name(self.run), table_name(batch))

    def write(self, connection: WatchedConnection, batch: BatchId, rows: pa.Table) -> StagedBatch:
        """Make the stage table, fill it with the rows that the target does not hold yet, enter the ledger's line.

        Effects: within the transaction under way.
        """
        is_occupied = self._target_is_occupied(connection)
        line = None
        if not is_occupied or self._meets_no_key:
            line = self._write_new(connection, batch, rows, is_occupied=is_occupied)
        if line is None:
            line = self._write_beside_present(connection, batch, rows)
        self._meets_no_key = not (line.left_out or line.updated)
        self._sent[batch.index] = rows, line.sha256
        ledger.write_batch(connection, self.run, line, table_name(batch))
        return line

    def _write_new(
        self, connection: WatchedConnection, batch: BatchId, rows: pa.Table, *, is_occupied: bool
    ) -> StagedBatch | None:
        """Stage all rows as they are; return the line, or None, nothing staged, where the target shows one's key."""
        place = self.place(batch)
        connection.execute(self._create(sql.SQL("TABLE"), place))
        digest = self._copy_in(connection, place, rows)
        if is_occupied:
            target = ddl.qualified(self.target_schema, self.table.table.name)
            same_key = ddl.same_key(self.table.key, "s", "t")
            met = sql.SQL("SELECT count(*) FROM {} s JOIN {} t ON {}").format(place, target, same_key)
            with self._join_chosen(connection, rows.num_rows):
                found = connection.execute(met).fetchone()
            if found != (0,):
                connection.execute(sql.SQL("DROP TABLE {}").format(place))
                return None
        return StagedBatch(batch, rows.num_rows, digest)

    def _create(self, word: sql.SQL, place: sql.Identifier) -> sql.Composed:
        """Return the statement for a table of exactly the target columns' types, jsonb kept as sent.

        The server prints jsonb anew, so that nothing could be compared byte by byte: it is staged as json.
        """
        parts = []
        for name, native in zip(self.columns, self.natives, strict=True):
            kind = native.replace("jsonb", "json")
            # `native` is format_type() of the server's own catalog, or a word of ddl.py: already quoted SQL.
            parts.append(sql.Identifier(name) + sql.SQL(" ") + sql.SQL(kind))
        return sql.SQL("CREATE {} {} ({})").format(word, place, sql.SQL(", ").join(parts))

    def _copy_in(self, connection: WatchedConnection, place: sql.Identifier, rows: pa.Table) -> str:
        digest = hashlib.sha256()
        # FREEZE: the table is made in this transaction, so its rows need no second visit by vacuum.
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE)").format(place, ddl.names(self.columns))
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for piece in wire.encode(self.table, self.natives, rows):
                digest.update(piece)
                copy.write(piece)
        for name, native in zip(self.columns, self.natives, strict=True):
            if native == "jsonb":
                # What jsonb refuses (NUL, numbers out of range) must come out now, not when publishing.
                connection.execute(sql.SQL("SELECT count({}::jsonb) FROM {}").format(sql.Identifier(name), place))
        return digest.hexdigest()

    def _target_is_occupied(self, connection: WatchedConnection) -> bool:
        if self.table.create or not self.table.key or self.table.replaces is not None:
            return False
        target = ddl.qualified(self.target_schema, self.table.table.name)
        return connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(target)).fetchone() == (True,)

    def _write_beside_present(self, connection: WatchedConnection, batch: BatchId, rows: pa.Table) -> StagedBatch:
        """Stage rows whose key the target does not show, or shows with content that the run replaces; return the line.

        The rows arrive in a table that no log is kept of and that is gone at the commit: of a million unchanged rows a
        second run then writes none, but for its first batches, which are tried the short way.
        Whole records are compared as stored (`*<>`), because IS DISTINCT FROM takes -0.0 for 0.0 and 1.10 for 1.1, and
        fails on json.
        """
        places = {
            "stage": self.place(batch),
            "target": ddl.qualified(self.target_schema, self.table.table.name),
            # Of the batch alone: others may be staged beside it.
            "incoming": ddl.qualified(schema_name(self.run), f"incoming_{self.ordinal}_{batch.index}"),
            "met": ddl.qualified(schema_name(self.run), f"met_{self.ordinal}_{batch.index}"),
        }
        connection.execute(self._create(sql.SQL("UNLOGGED TABLE"), places["incoming"]))
        position = sql.Identifier(self._free_name())
        connection.execute(
            sql.SQL(
                "ALTER TABLE {incoming} ADD COLUMN {position} integer GENERATED BY DEFAULT AS IDENTITY (MINVALUE 0)"
            ).format(position=position, **places)
        )
        digest = self._copy_in(connection, places["incoming"], rows)
        with self._join_chosen(connection, rows.num_rows):
            connection.execute(
                sql.SQL(
                    "CREATE UNLOGGED TABLE {met} AS SELECT s.{position} AS position, {staged} *<> {found} AS differs "
                    "FROM {incoming} s JOIN {target} t ON {same_key}"
                ).format(
                    position=position,
                    staged=self.record("s"),
                    found=ddl.record(ddl.names(self.columns, "t")),
                    same_key=ddl.same_key(self.table.key, "s", "t"),
                    **places,
                )
            )
        updates = self.table.on_conflict == "update"
        # Made of the SELECT, which appends only: INSERT puts a short row where a page before has room, and the rows
        # are read back in the order in which they were sent.
        connection.execute(
            sql.SQL(
                "CREATE TABLE {stage} AS SELECT {columns} FROM {incoming} s "
                "WHERE NOT EXISTS (SELECT FROM {met} m WHERE m.position = s.{position}{stays}) ORDER BY s.{position}"
            ).format(
                columns=ddl.names(self.columns, "s"),
                position=position,
                stays=sql.SQL(" AND NOT m.differs" if updates else ""),
                **places,
            )
        )
        ranges = sql.SQL("coalesce(range_agg(int4range(position, position + 1)) FILTER (WHERE {}), '{{}}')")
        found = connection.execute(
            sql.SQL("SELECT {}, {} FROM {}").format(
                ranges.format(sql.SQL("NOT differs")), ranges.format(sql.SQL("differs")), places["met"]
            )
        ).fetchone()
        assert found is not None
        unchanged, differing = (tuple(ledger.positions(ranges)) for ranges in found)
        if differing and updates:
            self._keep_seen(connection, places, position)
        connection.execute(sql.SQL("DROP TABLE {incoming}, {met}").format(**places))
        by_fate = {"error": "conflicts", "skip": "skipped", "update": "updated"}
        staged = rows.num_rows - len(unchanged) - (0 if updates else len(differing))
        return StagedBatch(batch, staged, digest, unchanged, **{by_fate[self.table.on_conflict]: differing})

    def _keep_seen(
        self, connection: WatchedConnection, places: dict[str, sql.Identifier], position: sql.Identifier
    ) -> None:
        """Remember the rows that this batch replaces, all their columns, as they are now: publishing compares."""
        seen = ddl.qualified(schema_name(self.run), self.seen_name)
        # IF NOT EXISTS does not see what a transaction beside this one makes, and then fails.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"{self.run} {self.seen_name}"])
        connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} (LIKE {target})").format(seen, **places))
        connection.execute(
            sql.SQL(
                "INSERT INTO {seen} SELECT t.* FROM {met} m JOIN {incoming} s ON s.{position} = m.position "
                "JOIN {target} t ON {same_key} WHERE m.differs"
            ).format(seen=seen, position=position, same_key=ddl.same_key(self.table.key, "s", "t"), **places)
        )

    def _free_name(self) -> str:
        name = "position"
        while name in self.columns:
            name += "_"
        return name

    @contextlib.contextmanager
    def _join_chosen(self, connection: WatchedConnection, rows: int) -> Iterator[None]:
        """Look keys up one by one where the target is much larger than the batch; the planner knows neither well.

        The batch has no statistics yet, and a join by hash reads the whole target again for each batch.
        """
        target = ddl.qualified(self.target_schema, self.table.table.name).as_string(connection)
        found = connection.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [target]).fetchone()
        large = found is not None and found[0] > 5 * rows
        connection.execute("SET LOCAL enable_mergejoin = off; SET LOCAL work_mem = '64MB'")
        if large:
            connection.execute("SET LOCAL enable_hashjoin = off")
        yield
        connection.execute("SET LOCAL enable_hashjoin = on")

    def record(self, alias: str) -> sql.Composed:
        """Return the staged row as a record in the target's types."""
        return ddl.record(self.values(alias))

    def values(self, alias: str) -> sql.Composed:
        """Return the staged columns in the target's types, comma between them."""
        parts = []
        for name, native in zip(self.columns, self.natives, strict=True):
            tail = sql.SQL("::jsonb") if native == "jsonb" else sql.SQL("")
            parts.append(sql.Identifier(alias, name) + tail)
        return sql.SQL(", ").join(parts)

    def compare(self, connection: WatchedConnection, line: StagedBatch, rows: pa.Table) -> Sequence[Mismatch]:
        """Read a batch back as the server stores it and compare it with the bytes that `rows` make.

        The stage has no trigger, default or rounding in its way, and each type has one wire form: equal bytes are
        equal values, the sign of zero and the bits of NaN included. Of rows that this process has just sent the
        digest of the bytes is known; all others are made into bytes anew. Memory: one slice of rows.
        """
        gone = line.left_out
        sent, digest = self._sent.pop(line.batch.index, (None, ""))
        if gone and rows.num_rows != line.row_count:
            kept = pc.invert(pc.is_in(row_numbers(0, rows.num_rows), pa.array(gone, pa.int64())))
            rows = rows.filter(kept)
        statement = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(self.place(line.batch))
        with connection.cursor() as cursor, cursor.copy(statement):
            received = Received(connection)
            if sent is rows and not gone:
                equal = received.digest() == digest
            else:
                pieces = wire.encode(self.table, self.natives, rows)
                equal = all(received.take(len(piece)) == piece for piece in pieces)
            if not received.rest() and equal:
                self._read_back[table_name(line.batch)] = received.rows()
                return ()
        return self._describe(connection, line.batch, rows)

    def read_back(self, names: Sequence[str]) -> Multiset | None:
        """Return the rows of these stage tables in any order as COPY sends them, None if not all were read back here.

        None, too, where the target sends them otherwise: jsonb prints anew what is staged as json.
        """
        if "jsonb" in self.natives or not all(name in self._read_back for name in names):
            return None
        return sum((self._read_back[name] for name in names), Multiset())

    def _describe(self, connection: WatchedConnection, batch: BatchId, rows: pa.Table) -> Sequence[Mismatch]:
        """Return what differs, row by row as matched by key: only once the bytes are known to differ."""
        expected = list(wire.split_rows(b"".join(wire.encode(self.table, self.natives, rows))))
        statement = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(self.place(batch))
        with connection.cursor() as cursor, cursor.copy(statement):
            stream = Received(connection).rest()
        found = list(wire.split_rows(stream))
        key = [self.columns.index(name) for name in self.table.key] or range(len(self.columns))
        by_key = {tuple(row[ordinal] for ordinal in key): row for row in found}
        mismatches: list[Mismatch] = []
        for position, row in enumerate(expected):
            other = by_key.pop(tuple(row[ordinal] for ordinal in key), None)
            mismatches.extend(self._differences(position, row, other))
        name, first = self.table.table.name, key[0]
        mismatches += [
            Mismatch(name, -1, self.columns[first], "no such row", self._text(row, first)) for row in by_key.values()
        ]
        if len(found) != len(expected) or not mismatches:
            mismatches.append(Mismatch(name, -1, "", f"{len(expected)} rows", f"{len(found)} rows"))
        return mismatches[:MISMATCHES_MAX]

    def _differences(
        self, position: int, row: list[bytes | None], other: list[bytes | None] | None
    ) -> Iterator[Mismatch]:
        name = self.table.table.name
        if other is None:
            ordinal = self.columns.index(self.table.key[0]) if self.table.key else 0
            yield Mismatch(name, position, self.columns[ordinal], self._text(row, ordinal), "no such row")
            return
        for ordinal, column in enumerate(self.columns):
            if row[ordinal] != other[ordinal]:
                yield Mismatch(name, position, column, self._text(row, ordinal), self._text(other, ordinal))

    def _text(self, row: list[bytes | None], ordinal: int) -> str:
        column = self.table.table.columns[ordinal]
        assert column.type is not None
        return unwire.to_text(row[ordinal], column.type, f"'{self.table.table.name}'.'{column.name}'")


def stage_of(run: str, schema: str, table: TargetTable, catalog: Catalog, ordinal: int) -> Stage:
    """Return the table's stage with the types that the target's columns have, or will be given."""
    found = None if table.create else catalog.tables.get(table.table.name)
    natives = []
    for column in table.table.columns:
        assert column.type is not None
        there = found.column(column.name) if found else None
        natives.append(there.native if there else ddl.type_name(column.type))
    made = Stage(run, schema, table, natives, ordinal)
    references = found.foreign_keys if found else ()
    made.references_itself = any(reference.table == table.table.name for reference in references)
    return made
