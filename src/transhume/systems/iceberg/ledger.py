"""The run's record in the catalog's database: who holds the lake, what is staged, sealed and published.

Every write happens in one transaction that first takes the lock's row for this holder's epoch (fencing): a process
that was taken over cannot write any more. Pointers of tables are swapped here too, in the same transactions.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql
from pyiceberg.catalog.sql import IcebergNamespaceProperties, IcebergTables, SqlCatalog
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from transhume.batches import BatchId, StagedBatch
from transhume.errors import LockHeld, Refused, SystemUnavailable
from transhume.faults import reach

_METADATA = sql.MetaData()

LOCKS = sql.Table(
    "transhume_locks",
    _METADATA,
    sql.Column("scope", sql.String(512), primary_key=True),
    sql.Column("epoch", sql.BigInteger, nullable=False),
    sql.Column("run", sql.String(64), nullable=False),
    sql.Column("holder", sql.String(512), nullable=False),
    sql.Column("pid", sql.BigInteger, nullable=False),
    sql.Column("host", sql.String(255), nullable=False),
    sql.Column("started_at", sql.String(32), nullable=False),
    sql.Column("touched_at", sql.String(32), nullable=False),
)
RUNS = sql.Table(
    "transhume_runs",
    _METADATA,
    sql.Column("run", sql.String(64), primary_key=True),
    sql.Column("scope", sql.String(512), nullable=False),
    sql.Column("plan_hash", sql.String(128), nullable=False),
    sql.Column("tool_version", sql.String(64), nullable=False),
    sql.Column("holder", sql.String(512), nullable=False),
    sql.Column("state", sql.String(16), nullable=False),
    sql.Column("started_at", sql.String(32), nullable=False),
    sql.Column("published_at", sql.String(32)),
)
BATCHES = sql.Table(
    "transhume_batches",
    _METADATA,
    sql.Column("run", sql.String(64), primary_key=True),
    sql.Column("mapping", sql.String(255), primary_key=True),
    sql.Column("batch", sql.Integer, primary_key=True),
    sql.Column("table_name", sql.String(255), nullable=False),
    sql.Column("row_count", sql.BigInteger, nullable=False),
    sql.Column("sha256", sql.String(64), nullable=False),
    sql.Column("path", sql.String(1000), nullable=False),
    sql.Column("size_bytes", sql.BigInteger, nullable=False),
    sql.Column("unchanged", sql.Text, nullable=False),
    sql.Column("conflicts", sql.Text, nullable=False),
    sql.Column("staged_at", sql.String(32), nullable=False),
    sql.Column("updated", sql.Text, nullable=False, server_default="[]"),
    sql.Column("skipped", sql.Text, nullable=False, server_default="[]"),
    sql.Column("updates_path", sql.String(1000), nullable=False, server_default=""),
    sql.Column("updates_sha256", sql.String(64), nullable=False, server_default=""),
)
TABLES = sql.Table(
    "transhume_tables",
    _METADATA,
    sql.Column("run", sql.String(64), primary_key=True),
    sql.Column("table_name", sql.String(255), primary_key=True),
    sql.Column("created", sql.Boolean, nullable=False),
    sql.Column("base_snapshot", sql.BigInteger),
    sql.Column("staged_metadata", sql.String(1000)),
    sql.Column("sealed", sql.Text, nullable=False, server_default="{}"),
    sql.Column("published_snapshot", sql.BigInteger),
    sql.Column("replaced", sql.Text, nullable=False, server_default="{}"),
)
UNDONE = sql.Table(
    "transhume_undone",
    _METADATA,
    sql.Column("run", sql.String(64), primary_key=True),
    sql.Column("undone_at", sql.String(32), nullable=False),
    sql.Column("report", sql.Text, nullable=False),
)
KEPT = sql.Table(
    "transhume_kept",
    _METADATA,
    sql.Column("run", sql.String(64), primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("table_name", sql.String(255), nullable=False),
    sql.Column("row_key", sql.Text, nullable=False),
    sql.Column("why", sql.String(16), nullable=False),
)
VERSIONS = sql.Table("transhume_ledger", _METADATA, sql.Column("version", sql.Integer, primary_key=True))
VERSION = 2
_NEW_IN = {
    2: (BATCHES.c.updated, BATCHES.c.skipped, BATCHES.c.updates_path, BATCHES.c.updates_sha256, TABLES.c.replaced)
}
"""By version: the columns that it has and the one before has not. Version 1 had no table of its version."""


@dataclass(frozen=True, slots=True)
class Line:
    """One staged batch with its files: new rows, and rows that replace others; a path is empty where there are none."""

    staged: StagedBatch
    path: str
    size_bytes: int
    updates_path: str = ""
    updates_sha256: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that hold the batch's staged rows."""
        return tuple(path for path in (self.path, self.updates_path) if path)


@dataclass(frozen=True, slots=True)
class TableState:
    """What the run knows of one target table.

    `created`: the run makes it, and `staged_metadata` is its metadata file, which no catalog row points to yet.
    `base_snapshot`: what readers saw when the run began. `sealed`: mapping -> number of batches.
    """

    table: str
    created: bool
    base_snapshot: int | None = None
    staged_metadata: str | None = None
    sealed: Mapping[str, int] = field(default_factory=dict)
    published_snapshot: int | None = None
    replaced: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Mapping -> where its before-images are, their hash and number, and which data files it wrote anew."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """A catalog row to be swapped from `before` to `after`; inserted where `before` is None, else removed by None."""

    table: str
    before: str | None
    after: str | None


class PointerMoved(Exception):
    """Somebody else changed a table between reading and swapping; nothing was written. Callers try again."""

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(table)


@contextmanager
def plain_errors(doing: str) -> Iterator[None]:
    """Turn errors of the catalog's database into SystemUnavailable that shows no value and no credential."""
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        lines = str(cause).strip().splitlines()
        reason = f"{type(cause).__name__}: {lines[0]}" if lines else type(cause).__name__
        message = f"the lake's catalog failed while {doing} ({reason}). Look at the catalog's database, then run again."
        raise SystemUnavailable(message) from None


def now() -> str:
    """Return the time in UTC as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def make_tables(engine: sql.Engine) -> None:
    """Create the ledger's tables where they are missing, and bring those of an older version to this one.

    Raises: Refused for a ledger of a later version.
    """
    with plain_errors("making the ledger"):
        try:
            _make_or_upgrade(engine)
        except SQLAlchemyError:
            # Two first runs at once: the other one has made them.
            _make_or_upgrade(engine)


def _make_or_upgrade(engine: sql.Engine) -> None:
    """Each step does nothing where it was done before: SQLite commits each of them on its own."""
    with engine.connect() as connection:
        found = ledger_version(connection)
    if found is not None and found > VERSION:
        message = f"the lake's ledger has version {found}, this program knows version {VERSION}; use the matching one"
        raise Refused(message)
    _METADATA.create_all(engine)
    with engine.begin() as connection:
        for version in range((found or VERSION) + 1, VERSION + 1):
            for column in _NEW_IN[version]:
                _add_column(connection, column)
        if found != VERSION:
            connection.execute(VERSIONS.delete())
            connection.execute(VERSIONS.insert().values(version=VERSION))


def ledger_version(connection: sql.Connection) -> int | None:
    """Return the version of the ledger that is there, None where there is none."""
    there = sql.inspect(connection)
    if not there.has_table(RUNS.name):
        return None
    if not there.has_table(VERSIONS.name):
        return 1
    return connection.execute(sql.select(sql.func.max(VERSIONS.c.version))).scalar() or 1


def _add_column(connection: sql.Connection, column: sql.Column[Any]) -> None:
    if any(each["name"] == column.name for each in sql.inspect(connection).get_columns(column.table.name)):
        return
    default = column.server_default
    assert isinstance(default, sql.DefaultClause)
    kind = column.type.compile(connection.dialect)
    # All words are of this module's own.
    added = f"ALTER TABLE {column.table.name} ADD COLUMN {column.name} {kind} NOT NULL DEFAULT '{default.arg}'"
    connection.execute(sql.text(added))


class Ledger:
    """The ledger of one run, written under one epoch of the lock."""

    def __init__(self, catalog: SqlCatalog, scope: str, namespace: str, run: str, epoch: int) -> None:
        self._catalog = catalog
        self._engine: sql.Engine = catalog.engine
        self.scope = scope
        self._namespace = namespace
        self.run = run
        self.epoch = epoch

    @contextmanager
    def writing(self, doing: str) -> Iterator[sql.Connection]:
        """Open one transaction that holds the lock's row; it commits at the end of the block.

        Raises: LockHeld if another holder took the run over; SystemUnavailable if the database fails.
        """
        with self.noting(doing) as connection:
            yield connection
            reach("lake:before_commit")
        reach("lake:after_commit")

    @contextmanager
    def noting(self, doing: str) -> Iterator[sql.Connection]:
        """Open one transaction as `writing` does, for what no rows depend on."""
        with plain_errors(doing), self._engine.begin() as connection:
            self._fence(connection)
            yield connection

    def _fence(self, connection: sql.Connection) -> None:
        # The first statement writes, so that SQLite takes its write lock before anything is read.
        mine = (LOCKS.c.scope == self.scope) & (LOCKS.c.epoch == self.epoch)
        if connection.execute(LOCKS.update().where(mine).values(touched_at=now())).rowcount == 1:
            return
        row = connection.execute(LOCKS.select().where(LOCKS.c.scope == self.scope)).first()
        raise LockHeld(
            f"run '{self.run}' no longer holds the lake '{self.scope}': "
            + (f"{row.holder} took it over at {row.started_at} for run '{row.run}'" if row else "its lock is gone")
            + "; this process has stopped writing. Let the other one finish."
        )

    def lines(self, mapping: str) -> dict[int, Line]:
        """Return the ledger's lines of one table mapping by batch index."""
        wanted = (BATCHES.c.run == self.run) & (BATCHES.c.mapping == mapping)
        with plain_errors("reading the ledger"), self._engine.connect() as connection:
            rows = connection.execute(BATCHES.select().where(wanted).order_by(BATCHES.c.batch)).all()
        return {row.batch: _line(row) for row in rows}

    def line(self, batch: BatchId) -> Line | None:
        """Return the ledger's line of one batch, None where it is not staged."""
        wanted = (BATCHES.c.run == self.run) & (BATCHES.c.mapping == batch.mapping) & (BATCHES.c.batch == batch.index)
        with plain_errors("reading the ledger"), self._engine.connect() as connection:
            row = connection.execute(BATCHES.select().where(wanted)).first()
        return None if row is None else _line(row)

    def table_lines(self, table: str) -> list[Line]:
        """Return the lines of all mappings that go into one table, in order of mapping and batch."""
        wanted = (BATCHES.c.run == self.run) & (BATCHES.c.table_name == table)
        with plain_errors("reading the ledger"), self._engine.connect() as connection:
            rows = connection.execute(BATCHES.select().where(wanted).order_by(BATCHES.c.mapping, BATCHES.c.batch)).all()
        return [_line(row) for row in rows]

    def earlier_paths(self, mapping: str, table: str) -> list[str]:
        """Return the files that earlier published runs of the scope staged for a mapping into a table, in order."""
        wanted = (BATCHES.c.mapping == mapping) & (BATCHES.c.table_name == table) & (BATCHES.c.run != self.run)
        published = (RUNS.c.scope == self.scope) & (RUNS.c.state == "published")
        query = (
            sql.select(BATCHES.c.path, BATCHES.c.updates_path)
            .join_from(BATCHES, RUNS, BATCHES.c.run == RUNS.c.run)
            .where(wanted & published)
            .order_by(RUNS.c.published_at, RUNS.c.run, BATCHES.c.batch)
        )
        with plain_errors("reading the ledger"), self._engine.connect() as connection:
            return [path for row in connection.execute(query) for path in row if path]

    def put_line(self, table: str, line: Line) -> None:
        """Enter one staged batch; its file is durable already."""
        batch = line.staged.batch
        values = {
            "table_name": table,
            "row_count": line.staged.row_count,
            "sha256": line.staged.sha256,
            "path": line.path,
            "size_bytes": line.size_bytes,
            "unchanged": json.dumps(line.staged.unchanged),
            "conflicts": json.dumps(line.staged.conflicts),
            "updated": json.dumps(line.staged.updated),
            "skipped": json.dumps(line.staged.skipped),
            "updates_path": line.updates_path,
            "updates_sha256": line.updates_sha256,
            "staged_at": now(),
        }
        key = {"run": self.run, "mapping": batch.mapping, "batch": batch.index}
        with self.writing(f"entering batch {batch}") as connection:
            same = (BATCHES.c.run == self.run) & (BATCHES.c.mapping == batch.mapping) & (BATCHES.c.batch == batch.index)
            if connection.execute(BATCHES.update().where(same).values(values)).rowcount == 0:
                connection.execute(BATCHES.insert().values(key | values))

    def tables(self) -> dict[str, TableState]:
        """Return what the run knows of its tables."""
        with plain_errors("reading the ledger"), self._engine.connect() as connection:
            rows = connection.execute(TABLES.select().where(TABLES.c.run == self.run)).all()
        return {row.table_name: _table_state(row) for row in rows}

    def put_table(self, state: TableState) -> None:
        """Enter a table of the run as it was found; an entry of an earlier process stays."""
        with self.writing(f"entering table '{state.table}'") as connection:
            known = (TABLES.c.run == self.run) & (TABLES.c.table_name == state.table)
            if connection.execute(TABLES.select().where(known)).first() is None:
                values = {
                    "run": self.run,
                    "table_name": state.table,
                    "created": state.created,
                    "base_snapshot": state.base_snapshot,
                    "staged_metadata": state.staged_metadata,
                    "sealed": json.dumps(dict(state.sealed)),
                }
                connection.execute(TABLES.insert().values(values))

    def seal_created(self, table: str, before: str, after: str, sealed: Mapping[str, int]) -> None:
        """Point the ledger, and nobody else, at the new metadata of a table that is not visible yet."""
        with self.writing(f"sealing table '{table}'") as connection:
            known = (TABLES.c.run == self.run) & (TABLES.c.table_name == table) & (TABLES.c.staged_metadata == before)
            values = {"staged_metadata": after, "sealed": json.dumps(dict(sealed))}
            if connection.execute(TABLES.update().where(known).values(values)).rowcount != 1:
                raise PointerMoved(table)

    def seal_existing(
        self,
        pointer: Pointer | None,
        table: str,
        sealed: Mapping[str, int],
        replaced: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Swap an existing table's pointer (its branch is new, what readers see is not) and enter the seal.

        `replaced` are the before-images and new files of all mappings so far; see `TableState`.
        """
        with self.writing(f"sealing table '{table}'") as connection:
            if pointer is not None:
                self._swap(connection, pointer)
            known = (TABLES.c.run == self.run) & (TABLES.c.table_name == table)
            values = {"sealed": json.dumps(dict(sealed)), "replaced": json.dumps(dict(replaced))}
            connection.execute(TABLES.update().where(known).values(values))

    def publish(
        self,
        pointers: Sequence[Pointer],
        snapshots: Mapping[str, int | None],
        replaced: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    ) -> None:
        """Swap all pointers and set the run to published in one transaction.

        `replaced`: by table, what a new base made necessary to be replaced anew.
        Raises: PointerMoved if one of the tables was changed by somebody else; nothing is written then.
        """
        with self.writing("publishing") as connection:
            if any(pointer.before is None for pointer in pointers):
                self._make_namespace(connection)
            for pointer in sorted(pointers, key=lambda pointer: pointer.table):
                self._swap(connection, pointer)
            for table, snapshot in snapshots.items():
                known = (TABLES.c.run == self.run) & (TABLES.c.table_name == table)
                connection.execute(TABLES.update().where(known).values(published_snapshot=snapshot))
            for table, content in (replaced or {}).items():
                known = (TABLES.c.run == self.run) & (TABLES.c.table_name == table)
                connection.execute(TABLES.update().where(known).values(replaced=json.dumps(dict(content))))
            values = {"state": "published", "published_at": now()}
            connection.execute(RUNS.update().where(RUNS.c.run == self.run).values(values))

    def undo(self, pointers: Sequence[Pointer], report: str, kept: Sequence[tuple[str, tuple[str, ...], str]]) -> None:
        """Swap all pointers, keep the report and the list of rows that stay, and set the run to rolled back.

        Raises: PointerMoved if one of the tables was changed by somebody else; nothing is written then.
        """
        with self.writing("rolling back") as connection:
            for pointer in sorted(pointers, key=lambda pointer: pointer.table):
                self._swap(connection, pointer)
            connection.execute(UNDONE.insert().values(run=self.run, undone_at=now(), report=report))
            rows = [
                {"run": self.run, "number": number, "table_name": table, "row_key": json.dumps(key), "why": why}
                for number, (table, key, why) in enumerate(kept)
            ]
            if rows:
                connection.execute(KEPT.insert(), rows)
            connection.execute(RUNS.update().where(RUNS.c.run == self.run).values(state="rolled_back"))

    def swap(self, pointers: Sequence[Pointer], doing: str) -> None:
        """Swap pointers in one transaction; no run's state changes. Raises: PointerMoved, nothing is written then."""
        with self.writing(doing) as connection:
            for pointer in sorted(pointers, key=lambda pointer: pointer.table):
                self._swap(connection, pointer)

    def restore(self, pointers: Sequence[Pointer], known: Collection[str], report: Callable[[str], str]) -> None:
        """Swap pointers back and set the published runs that are not `known` to rolled back, each with a report.

        Raises: PointerMoved; nothing is written then.
        """
        with self.writing("restoring a snapshot") as connection:
            for pointer in sorted(pointers, key=lambda pointer: pointer.table):
                self._swap(connection, pointer)
            later = (RUNS.c.scope == self.scope) & (RUNS.c.state == "published")
            for run in connection.execute(sql.select(RUNS.c.run).where(later)).scalars().all():
                if run in known:
                    continue
                connection.execute(UNDONE.insert().values(run=run, undone_at=now(), report=report(run)))
                connection.execute(RUNS.update().where(RUNS.c.run == run).values(state="rolled_back"))

    def set_state(self, state: str, pointers: Sequence[Pointer]) -> None:
        """Swap pointers that readers do not see, and set the run's state, in one transaction. Raises: PointerMoved."""
        with self.writing(f"setting the run to {state}") as connection:
            for pointer in sorted(pointers, key=lambda pointer: pointer.table):
                self._swap(connection, pointer)
            connection.execute(RUNS.update().where(RUNS.c.run == self.run).values(state=state))

    def report(self) -> str | None:
        """Return the report of a run that was rolled back after it was published."""
        with plain_errors("reading the ledger"), self._engine.connect() as connection:
            found = connection.execute(sql.select(UNDONE.c.report).where(UNDONE.c.run == self.run)).scalar()
        return None if found is None else str(found)

    def kept(self) -> list[tuple[str, tuple[str, ...], str]]:
        """Return table, key and reason of each row that stayed when the run was rolled back."""
        with plain_errors("reading the ledger"), self._engine.connect() as connection:
            rows = connection.execute(KEPT.select().where(KEPT.c.run == self.run).order_by(KEPT.c.number)).all()
        return [(row.table_name, tuple(json.loads(row.row_key)), row.why) for row in rows]

    def later_files(self) -> dict[str, str]:
        """Return the data files of runs of this lake that were published after this one, with their runs."""
        with plain_errors("reading the ledger"), self._engine.connect() as connection:
            mine = connection.execute(sql.select(RUNS.c.published_at).where(RUNS.c.run == self.run)).scalar_one()
            later = (RUNS.c.scope == self.scope) & (RUNS.c.state == "published") & (RUNS.c.published_at > mine)
            joined = sql.select(BATCHES.c.path, BATCHES.c.run).join_from(BATCHES, RUNS, BATCHES.c.run == RUNS.c.run)
            rows = connection.execute(joined.where(later & (BATCHES.c.path != ""))).all()
        return {row.path: row.run for row in rows}

    def later_images(self) -> list[tuple[str, str, str, str]]:
        """Return run, table, mapping and file of the before-images that later published runs of this lake have kept."""
        with plain_errors("reading the ledger"), self._engine.connect() as connection:
            mine = connection.execute(sql.select(RUNS.c.published_at).where(RUNS.c.run == self.run)).scalar_one()
            later = (RUNS.c.scope == self.scope) & (RUNS.c.state == "published") & (RUNS.c.published_at > mine)
            joined = sql.select(TABLES.c.run, TABLES.c.table_name, TABLES.c.replaced)
            rows = connection.execute(joined.join_from(TABLES, RUNS, TABLES.c.run == RUNS.c.run).where(later)).all()
        return [
            (row.run, row.table_name, mapping, str(told["before"]))
            for row in rows
            for mapping, told in json.loads(row.replaced).items()
        ]

    def state(self) -> str:
        """Ask the catalog's database whether the run is open or published."""
        with plain_errors("asking for the run's state"), self._engine.connect() as connection:
            return str(connection.execute(sql.select(RUNS.c.state).where(RUNS.c.run == self.run)).scalar_one())

    def _swap(self, connection: sql.Connection, pointer: Pointer) -> None:
        if pointer.before is None:
            self._insert(connection, pointer)
            return
        row = (
            (IcebergTables.catalog_name == self._catalog.name)
            & (IcebergTables.table_namespace == self._namespace)
            & (IcebergTables.table_name == pointer.table)
            & (IcebergTables.metadata_location == pointer.before)
        )
        values = {"metadata_location": pointer.after, "previous_metadata_location": pointer.before}
        statement = sql.update(IcebergTables).values(values) if pointer.after else sql.delete(IcebergTables)
        if connection.execute(statement.where(row)).rowcount != 1:
            raise PointerMoved(pointer.table)

    def _insert(self, connection: sql.Connection, pointer: Pointer) -> None:
        row = {
            "catalog_name": self._catalog.name,
            "table_namespace": self._namespace,
            "table_name": pointer.table,
            "metadata_location": pointer.after,
        }
        if has_type_column(connection):
            row["iceberg_type"] = "TABLE"
        try:
            connection.execute(sql.insert(IcebergTables).values(row))
        except IntegrityError:
            raise PointerMoved(pointer.table) from None

    def _make_namespace(self, connection: sql.Connection) -> None:
        properties = IcebergNamespaceProperties
        known = (properties.catalog_name == self._catalog.name) & (properties.namespace == self._namespace)
        if connection.execute(sql.select(properties.property_key).where(known)).first() is None:
            row = {
                "catalog_name": self._catalog.name,
                "namespace": self._namespace,
                "property_key": "exists",
                "property_value": "true",
            }
            connection.execute(sql.insert(properties).values(row))


def has_type_column(connection: sql.Connection) -> bool:
    """Tell whether the catalog's table has the column of the newer schema, which tells tables from views."""
    columns = sql.inspect(connection).get_columns(IcebergTables.__tablename__)
    return any(column["name"] == "iceberg_type" for column in columns)


def has_ledger(connection: sql.Connection) -> bool:
    """Tell whether the database has the ledger's tables."""
    return bool(sql.inspect(connection).has_table(LOCKS.name))


def enter_run(engine: sql.Engine, values: Mapping[str, str]) -> sql.Row[tuple[object, ...]]:
    """Enter a run, or find the entry of an earlier process; return the row that stands."""
    with plain_errors("entering the run"), engine.begin() as connection:
        same = RUNS.c.run == values["run"]
        if connection.execute(RUNS.update().where(same).values(holder=values["holder"])).rowcount == 0:
            connection.execute(RUNS.insert().values({**values, "state": "open", "started_at": now()}))
        return connection.execute(RUNS.select().where(same)).one()


def known_run(engine: sql.Engine, run: str) -> sql.Row[tuple[object, ...]] | None:
    """Return a run's entry, None where the ledger does not know it or is not there."""
    with plain_errors("reading the ledger"), engine.connect() as connection:
        if not sql.inspect(connection).has_table(RUNS.name):
            return None
        return connection.execute(RUNS.select().where(RUNS.c.run == run)).first()


def standing_runs(engine: sql.Engine, scope: str) -> list[str]:
    """Return the runs of one scope that were published and not taken back, oldest first."""
    wanted = (RUNS.c.scope == scope) & RUNS.c.state.in_(["published", "finalized"])
    with plain_errors("reading the ledger"), engine.connect() as connection:
        if not sql.inspect(connection).has_table(RUNS.name):
            return []
        query = sql.select(RUNS.c.run).where(wanted).order_by(RUNS.c.published_at, RUNS.c.run)
        return [str(run) for (run,) in connection.execute(query)]


def all_runs(engine: sql.Engine, scope: str) -> list[dict[str, object]]:
    """Return the runs of one scope, newest last, with their row counts; an older ledger counts no updated ones."""
    with plain_errors("reading the ledger"), engine.connect() as connection:
        if not sql.inspect(connection).has_table(RUNS.name):
            return []
        rows = connection.execute(RUNS.select().where(RUNS.c.scope == scope).order_by(RUNS.c.started_at)).all()
        told = ["unchanged"] if ledger_version(connection) == 1 else ["unchanged", "updated", "skipped"]
        counts = sql.select(BATCHES.c.run, BATCHES.c.row_count, *(BATCHES.c[name] for name in told))
        sums: dict[str, Counter[str]] = {row.run: Counter(dict.fromkeys(("row_count", *told), 0)) for row in rows}
        for run, row_count, *positions in connection.execute(counts):
            if run in sums:
                sums[run]["row_count"] += row_count
                sums[run].update({name: len(json.loads(each)) for name, each in zip(told, positions, strict=True)})
    return [{**row._asdict(), **sums[row.run]} for row in rows]


def _line(row: sql.Row[tuple[object, ...]]) -> Line:
    staged = StagedBatch(
        batch=BatchId(row.mapping, row.batch),
        row_count=row.row_count,
        sha256=row.sha256,
        unchanged=tuple(json.loads(row.unchanged)),
        conflicts=tuple(json.loads(row.conflicts)),
        updated=tuple(json.loads(row.updated)),
        skipped=tuple(json.loads(row.skipped)),
    )
    return Line(staged, row.path, row.size_bytes, row.updates_path, row.updates_sha256)


def _table_state(row: sql.Row[tuple[object, ...]]) -> TableState:
    return TableState(
        table=row.table_name,
        created=row.created,
        base_snapshot=row.base_snapshot,
        staged_metadata=row.staged_metadata,
        sealed=json.loads(row.sealed),
        published_snapshot=row.published_snapshot,
        replaced=json.loads(row.replaced),
    )
