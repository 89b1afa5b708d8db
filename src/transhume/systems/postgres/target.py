"""PostgreSQL as a target: the protocol's two objects. How rows are staged and published stands in their modules."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from transhume.batches import BatchId, JournalAnchor, StagedBatch, TargetTable, arrow_type
from transhume.errors import CheckFailed, Refused, SystemRefused
from transhume.facts import Answer, Catalog
from transhume.systems.permission import Permission
from transhume.systems.postgres import (
    ddl,
    describe,
    earlier,
    faults,
    journals,
    ledger,
    publish,
    refusals,
    stage,
    timing,
    unwire,
    verification,
)
from transhume.systems.postgres.address import Address, parse_url
from transhume.systems.postgres.asking import asked
from transhume.systems.postgres.batch_writer import PostgresBatchWriter, PostgresReach
from transhume.systems.postgres.connection import (
    Session,
    WatchedConnection,
    known_elsewhere,
    require_writable,
)
from transhume.systems.postgres.ledger import Hold
from transhume.systems.postgres.scratch import PostgresScratch, scratch_numbers
from transhume.systems.postgres.stage import Stage, stage_of
from transhume.systems.postgres.undo import PostgresUndo
from transhume.systems.system import Mismatch, PublishedTable, RunIdentity, TimedQuery, Timing
from transhume.systems.undo import UndoReference

_READ_ROWS = 20_000


def open_target(url: str, base: Path | None = None) -> "PostgresTarget":  # noqa: ARG001 - systems of files need it
    """Return the target that a URL names, after one connection has shown that it can be one.

    Raises: SystemUnavailable in one line without a password; SystemRefused for a replica, pooler or encoding.
    """
    return PostgresTarget(url, parse_url(url))


class PostgresTarget:
    """One schema of one database, which need not exist yet."""

    def __init__(self, url: str, address: Address) -> None:
        self.identity = address.identity
        self.name = address.schema
        self._url = url
        self._address = address
        self._session = Session(address, "transhume")
        with self._session.reading(self.identity) as connection:
            require_writable(connection, self.identity)

    def catalog(self) -> Catalog:
        """Return the schema's tables with constraints and obstacles; none if the schema is not there."""
        with self._session.reading(self.identity) as connection:
            return describe.read_catalog(connection, self._address)

    def refusals(self, tables: Sequence[TargetTable]) -> Sequence[str]:
        """Return every reason why these tables cannot be written exactly, all at once."""
        with self._session.reading(self.identity) as connection:
            catalog = describe.read_catalog(connection, self._address)
            return refusals.find(connection, self._address.schema, catalog, tables)

    def open_run(self, run: RunIdentity, tables: Sequence[TargetTable]) -> "PostgresRun":
        """Take the schema's lock for this run, make or find its ledger and its stage.

        Raises: LockHeld at once if another process holds the schema; Refused if the run began with another plan.
        """
        return PostgresRun(self._address, run, tables)

    def open_undo(
        self,
        run: RunIdentity,
        tables: Sequence[TargetTable],
        references: Sequence[UndoReference],  # noqa: ARG002 - the server knows its references itself
    ) -> PostgresUndo:
        """Take the schema's lock to take a run back; `tables` are those of the run when it began.

        Raises: LockHeld at once if another process holds the schema; Refused if the run began with another plan.
        """
        return PostgresUndo(self._address, run, tables)

    def standing(self) -> Sequence[str]:
        """Return the runs of this schema that stand, oldest first; none if there is no ledger."""
        with self._session.reading(self.identity) as connection:
            return ledger.standing_runs(connection, self._address.schema) if ledger.exists(connection) else []

    def runs(self) -> Sequence[dict[str, object]]:
        """Return the ledger's runs of this schema, oldest first; none if there is no ledger."""
        with self._session.reading(self.identity) as connection:
            return ledger.read_runs(connection, self._address.schema) if ledger.exists(connection) else []

    def anchor(self, run: str) -> JournalAnchor | None:
        """Return how far a run's journal had come when the ledger last saw it, None where it never did."""
        with self._session.reading(self.identity) as connection:
            return journals.recall(connection, run)

    def scratch(self, number: str) -> PostgresScratch:
        """Return the scratch schema of this number; nothing is made yet."""
        return PostgresScratch(self._url, self._address, number)

    def scratches(self) -> Sequence[str]:
        """Return the numbers of the scratch schemas beside this one that are there and bear the mark."""
        with self._session.reading(self.identity) as connection:
            return scratch_numbers(connection, self._address.schema)

    def close(self) -> None:
        """Release the connection."""
        self._session.close()


def _make_ledger(connection: WatchedConnection) -> None:
    ledger.create(connection)
    journals.create(connection)


class PostgresRun:
    """One run's hold on a schema. Batches may be staged and compared in several threads at the same time."""

    state: str
    answers_sql = True

    def __init__(self, address: Address, run: RunIdentity, tables: Sequence[TargetTable]) -> None:
        if len(run.run.encode()) > stage.RUN_BYTES_MAX:
            message = f"run id '{run.run}' is longer than {stage.RUN_BYTES_MAX} bytes, the room in a schema's name"
            raise Refused(message)
        self._address = address
        self._lock = Session(address, f"transhume lock {run.run}")
        self._writer = Session(address, f"transhume write {run.run}")
        self._reader = Session(address, f"transhume read {run.run}")
        self._publisher = Session(address, f"transhume publish {run.run}")
        self._batch_purpose = f"transhume stage {run.run}"
        self._for_batches: list[Session] = []
        self._is_given_up = False
        try:
            self._enter(run, tables)
        except BaseException:
            self.close()
            raise

    def _enter(self, run: RunIdentity, tables: Sequence[TargetTable]) -> None:
        where, scope = self._address.identity, self._address.schema
        self._writer.transact(_make_ledger, where=where)
        locked = self._lock.connection()
        try:
            if not ledger.take_lock(locked, scope):
                raise ledger.who_holds(locked, scope, where)
        except psycopg.Error as problem:
            faults.reraise(problem, where)
        backend = locked.pgconn.backend_pid

        def enter(connection: WatchedConnection) -> tuple[Hold, str, dict[str, Stage]]:
            hold, state = ledger.open_run(connection, run, scope, backend)
            ledger.enter_tables(connection, hold, scope, tables)
            name = sql.Identifier(stage.schema_name(run.run))
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
            catalog = describe.read_catalog(connection, self._address)
            stages = [stage_of(run.run, scope, table, catalog, ordinal) for ordinal, table in enumerate(tables)]
            return hold, state, {one.table.mapping: one for one in stages}

        self._hold, self.state, self._stages = self._writer.transact(enter, where=where)

    def remember(self, anchor: JournalAnchor) -> None:
        """Write down how far the run's journal has come; see `TargetRun`."""
        journals.remember(self._writer, self._hold, anchor, self._address.identity)

    def staged(self, table: TargetTable) -> dict[int, StagedBatch]:
        """Return the ledger's lines of this table by batch index."""
        with self._reader.reading(self._place(table)) as connection:
            return ledger.read_batches(connection, self._hold.run.run, table.mapping)

    def stage(self, table: TargetTable, batch: BatchId, rows: pa.Table) -> StagedBatch:
        """Write one batch with its ledger line in one transaction; a batch that is there is only reported."""

        def work(connection: WatchedConnection) -> StagedBatch:
            ledger.check_hold(connection, self._hold)
            found = ledger.read_batch(connection, self._hold.run.run, batch)
            return found or self._stages[table.mapping].write(connection, batch, rows)

        with self._lent() as session:
            return session.transact(work, where=f"batch {batch} not staged")

    def compare(self, table: TargetTable, batch: BatchId, rows: pa.Table) -> Sequence[Mismatch]:
        """Read one staged batch back and compare every value with `rows`, bit by bit."""
        with self._lent() as session, session.reading(f"batch {batch} not compared") as connection:
            line = ledger.read_batch(connection, self._hold.run.run, batch)
            if line is None:
                message = f"batch {batch} is not staged, so it cannot be compared; run the same command again"
                raise CheckFailed(message)
            return self._stages[table.mapping].compare(connection, line, rows)

    def give_up(self) -> None:
        """Cut the connections on which other threads stage and compare, wherever they wait."""
        self._is_given_up = True

    @contextmanager
    def _lent(self) -> Iterator[Session]:
        """Give a connection for a batch, of this thread alone while it is given; there are as many as were needed."""
        try:
            session = self._for_batches.pop()
        except IndexError:
            session = Session(self._address, self._batch_purpose, lambda: self._is_given_up)
        try:
            yield session
        finally:
            self._for_batches.append(session)

    @contextmanager
    def reach(self) -> Iterator[PostgresReach]:
        """Give the way to this database, the password among it."""
        yield PostgresReach(known_elsewhere(self._writer.connection(), self._address), self._hold)

    def writer(self, table: TargetTable, batches: Sequence[int]) -> PostgresBatchWriter:  # noqa: ARG002 - any
        """Return what tasks of an engine need to stage batches of this table, the password among it."""
        address = known_elsewhere(self._writer.connection(), self._address)
        return PostgresBatchWriter(address, self._hold, self._stages[table.mapping])

    def enter(self, table: TargetTable, line: StagedBatch, written: Mapping[str, Any]) -> None:
        """Do nothing: the task's own transaction wrote the ledger's line."""

    def seal(self, table: TargetTable, batches: int) -> None:
        """Write down that batches 0 to `batches` - 1 are the whole table; raises CheckFailed if one is missing."""

        def work(connection: WatchedConnection) -> None:
            ledger.check_hold(connection, self._hold)
            found = set(ledger.read_batches(connection, self._hold.run.run, table.mapping))
            if found != set(range(batches)):
                missing = sorted(set(range(batches)) - found)[:5]
                extra = sorted(found - set(range(batches)))[:5]
                message = (
                    f"the stage of '{table.mapping}' is not whole: missing {missing}, too many {extra} of {batches}"
                )
                raise CheckFailed(message)
            connection.execute(
                "UPDATE transhume.tables SET batch_count = %s WHERE run = %s AND mapping = %s",
                [batches, self._hold.run.run, table.mapping],
            )

        self._writer.transact(work, where=self._place(table))

    def read_staged(self, table: TargetTable, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of all staged rows, as the server holds them, batch after batch."""
        run = self._hold.run.run
        for batch in self.staged(table):
            place = ddl.qualified(stage.schema_name(run), stage.table_name(BatchId(table.mapping, batch)))
            yield from self._read(table, columns, place)

    def read_present(self, table: TargetTable, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of the rows that readers see now; none if the table is not there yet."""
        place = ddl.qualified(self._address.schema, table.table.name)
        with self._reader.reading(self._place(table)) as connection:
            row = connection.execute("SELECT to_regclass(%s) IS NULL", [place.as_string(connection)]).fetchone()
        if row and not row[0]:
            yield from self._read(table, columns, place)

    def read_earlier(self, table: TargetTable, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of the rows that earlier published runs of this mapping brought, as they staged them."""
        with self._reader.reading(self._place(table)) as connection:
            places = earlier.stage_tables(connection, self._hold, self._stages[table.mapping], columns)
        for place in places:
            yield from self._read(table, columns, place)

    def _read(self, table: TargetTable, columns: Sequence[str], place: sql.Identifier) -> Iterator[pa.RecordBatch]:
        types = []
        for name in columns:
            column = table.table.column(name)
            if column is None or column.type is None:
                message = f"column '{table.table.name}'.'{name}' is not one of the run's columns"
                raise SystemRefused(message)
            types.append(column.type)
        schema = pa.schema([pa.field(name, arrow_type(kind)) for name, kind in zip(columns, types, strict=True)])
        session = Session(self._address, f"transhume read {self._hold.run.run}")
        try:
            with session.reading(self._place(table)) as connection:
                select = sql.SQL("DECLARE reading BINARY CURSOR FOR SELECT {} FROM {}")
                connection.execute(select.format(ddl.names(columns), place))
                fetch = sql.SQL("FETCH {} FROM reading").format(sql.Literal(_READ_ROWS))
                while (result := connection.execute(fetch, binary=True).pgresult) and result.ntuples:
                    arrays = []
                    for ordinal, (name, kind) in enumerate(zip(columns, types, strict=True)):
                        values = [result.get_value(row, ordinal) for row in range(result.ntuples)]
                        arrays.append(unwire.to_arrow(values, kind, f"'{table.table.name}'.'{name}'"))
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        finally:
            session.close()

    def publish(self, tables: Sequence[TargetTable], permission: Permission | None = None) -> Sequence[PublishedTable]:
        """Make all staged rows of all tables visible in one transaction, parents first.

        The transaction is open while it waits for its permission if it holds no lock on a table of others.
        """
        stages = [self._stages[table.mapping] for table in tables]
        where = f"nothing was published to {self._address.identity}"
        allowed = permission or Permission.given()
        if not publish.is_alone(stages):
            allowed.wait()

        def work(connection: WatchedConnection) -> list[PublishedTable]:
            connection.is_given_up = lambda: allowed.is_refused
            return publish.publish(connection, self._hold, self._address.schema, stages, allowed)

        try:
            published = self._publisher.transact(work, where=where)
        except publish.KeysAppeared as problem:
            with self._reader.reading(where) as connection:
                raise publish.appeared(connection, problem.stage) from None
        self.state = "published"
        self._publisher.connection().is_given_up = None
        where = f"published, but a sequence of {self._address.identity} still stands behind its column"
        try:
            for one in stages:
                publish.advance_sequences(self._publisher.connection(), one)
        except psycopg.Error as problem:
            faults.reraise(problem, where)
        return published

    def verify(self, table: TargetTable) -> Sequence[Mismatch]:
        """Compare what readers see of this run's rows with what was staged; at most 20 differences are described."""
        with self._reader.reading(f"{self._place(table)} not verified") as connection:
            return verification.verify(connection, self._stages[table.mapping])

    def timed(self, query: TimedQuery) -> Timing:
        """Run a query under EXPLAIN ANALYZE in a read-only transaction and return time, rows and plan."""
        with self._reader.reading(f"the timed query on '{query.table}'") as connection:
            return timing.timed(connection, self._address.schema, query)

    def ask(self, query: str, *, counts: bool) -> Answer:
        """Run a SELECT in a read-only transaction and return its first rows; see systems.system.TargetRun.ask."""
        with self._reader.reading(f"a query of the plan on {self._address.identity}") as connection:
            return asked(connection, self._address.schema, query, counts=counts)

    def unindexed(self, table: TargetTable, columns: Sequence[Sequence[str]]) -> Sequence[tuple[str, str]]:
        """Return the lists of columns that no index of the table begins with, with CREATE INDEX for each."""
        with self._reader.reading(self._place(table)) as connection:
            return timing.unindexed(connection, self._address.schema, table.table.name, columns)

    def stored_types(self, table: TargetTable) -> Sequence[Mismatch]:  # noqa: ARG002 - a server's columns are typed
        """Return nothing: the server stores each column in its declared type, which the catalog tells."""
        return ()

    def close(self) -> None:
        """Give the lock back; ledger and stage stay, they are the undo log."""
        self._writer.close()
        self._reader.close()
        self._publisher.close()
        for session in self._for_batches:
            session.close()
        self._lock.close(holds_lock=True)

    def _place(self, table: TargetTable) -> str:
        return f"table '{table.table.name}' of {self._address.identity}"
