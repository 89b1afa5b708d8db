"""Backups of PostgreSQL: pg_dump of one snapshot, pg_basebackup of the cluster, restored to a server of our own.

The server that is backed up is only read. What brings a target's tables back stands in `restore.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import sql

from transhume.errors import Refused, SystemProblem, SystemUnavailable
from transhume.systems.backup import (
    ABSENT,
    PUBLISHED,
    BackupPart,
    RestoredTable,
    Watch,
    compared,
    require_room,
    sha256_of,
)
from transhume.systems.postgres import fingerprint, ledger
from transhume.systems.postgres.address import Address, parse_url
from transhume.systems.postgres.cluster import copied_cluster, role_of
from transhume.systems.postgres.connection import Session, WatchedConnection
from transhume.systems.postgres.restore import restore
from transhume.systems.postgres.row_prints import of_tables
from transhume.systems.postgres.server import Scratch, scratch_server
from transhume.systems.postgres.tools import Tools, environment_of, find_tools
from transhume.systems.system import RunIdentity

_DUMP, _CLUSTER, _TABLES = "source.dump", "source_cluster", "target.dump"
_COPIES = 3
"""Room for the dump and the restored copy, as multiples of what the server holds."""
_KNOWN_TABLES = """
SELECT n.nspname::text, c.relname::text, has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is copied: these tables; `options` make pg_dump copy them and no rows of others."""

    tables: tuple[tuple[str, str], ...]
    options: tuple[str, ...]
    told: str
    schema: str | None = None
    """The schema whose tables are copied, None where the whole database is."""


def open_source_backup(url: str, base: Path) -> "PostgresSourceBackup":  # noqa: ARG001 - systems of files need it
    """Return the backup of the source behind a URL; nothing is opened yet. Raises: UsageError."""
    return PostgresSourceBackup(parse_url(url))


def open_target_backup(url: str, base: Path, tables: Sequence[str]) -> "PostgresTargetBackup":  # noqa: ARG001
    """Return the backup of these tables of the target behind a URL; nothing is opened yet. Raises: UsageError."""
    return PostgresTargetBackup(parse_url(url), tables)


class PostgresSourceBackup:
    """A database, or the schema of the URL where the role may read no more."""

    def __init__(self, address: Address) -> None:
        self.identity = address.identity
        self._address = address
        self._session = Session(address, "transhume backup")

    def sign(self) -> str:
        """Return "": only the rows tell whether they changed."""
        return ""

    def fingerprints(self) -> Mapping[str, str]:
        """Return the fingerprint of each table that a backup copies, as `schema.table`."""
        with self._session.reading(self.identity) as connection:
            return of_tables(connection, _source_scope(connection, self._address.schema).tables)

    def parts(self, folder: Path) -> Iterator[BackupPart]:
        """Make a dump of the database and, where the role may replicate, a copy of the whole cluster."""
        with self._session.reading(self.identity) as connection:
            tools = find_tools(connection.info.server_version // 10000)
            scope = _source_scope(connection, self._address.schema)
            size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            require_room(folder, int(size[0]) * _COPIES if size else 0, f"a backup of {self.identity}")
            part, _ = _dumped(connection, self._address, tools, scope, folder / _DUMP)
        yield part
        with self._session.reading(self.identity) as connection:
            role = role_of(connection)
        yield copied_cluster(self._address, role, tools, folder / _CLUSTER, part)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


class PostgresTargetBackup:
    """Some tables of a schema."""

    def __init__(self, address: Address, tables: Sequence[str]) -> None:
        self.identity = address.identity
        self._address = address
        self._tables = tuple(dict.fromkeys(tables))
        self._session = Session(address, "transhume backup")

    def sign(self) -> str:
        """Return "": only the rows tell whether they changed."""
        return ""

    def fingerprints(self) -> Mapping[str, str]:
        """Return the fingerprint of each of the tables."""
        with self._session.reading(self.identity) as connection:
            return self._all(of_tables(connection, self._scope(connection).tables))

    def parts(self, folder: Path) -> Iterator[BackupPart]:
        """Make a dump of the tables' rows with the definitions of their whole schema, which they may need."""
        with self._session.reading(self.identity) as connection:
            scope = self._scope(connection)
            if not scope.tables:
                absent = dict.fromkeys(self._tables, ABSENT)
                reason = "none of the tables is there, so going back means that there is none"
                known = {PUBLISHED: _published(connection, self._address.schema)}
                yield BackupPart(
                    "target", "snapshot", "nothing to copy", "verified", reason, fingerprints=absent, details=known
                )
                return
            tools = find_tools(connection.info.server_version // 10000)
            size = sum(fingerprint.size_bytes(connection, sql.Identifier(*each)) for each in scope.tables)
            require_room(folder, size * _COPIES, f"a snapshot of {self.identity}")
            known = {PUBLISHED: _published(connection, self._address.schema)}
            part, live = _dumped(connection, self._address, tools, scope, folder / _TABLES, side="target")
        yield replace(part, fingerprints=self._all(live), details=known)

    def restore(
        self, folder: Path, part: BackupPart, run: RunIdentity, expected: Mapping[str, str] | None = None
    ) -> Sequence[RestoredTable]:
        """Make the tables what the dump holds; see `TargetBackup.restore`."""
        if not part.path:
            return restore(self._address, None, dict(part.fingerprints), run, part.details[PUBLISHED], expected)
        tools = find_tools(self._session.connection().info.server_version // 10000)
        with restored(tools, folder / part.path, self._address.schema) as scratch:
            known = part.details[PUBLISHED]
            return restore(self._address, scratch.address, dict(part.fingerprints), run, known, expected)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _scope(self, connection: WatchedConnection) -> _Scope:
        schema = self._address.schema
        known = [row for row in connection.execute(_KNOWN_TABLES).fetchall() if row[0] == schema]
        there = {row[1] for row in known}
        _require_plain(connection, schema, self._tables, there)
        hidden = [f"'{row[1]}'" for row in known if row[1] in self._tables and not row[2]]
        if hidden:
            message = f"no right to read {', '.join(hidden)} of {self.identity}; a snapshot needs SELECT on the tables"
            raise SystemUnavailable(message)
        every = connection.execute(_KNOWN_TABLES).fetchall()
        # The tables may need types and functions of other schemas.
        whole = all(row[2] for row in every)
        others = [row for row in (every if whole else known) if row[0] != schema or row[1] not in self._tables]
        ours = [f"--exclude-schema={pattern}" for pattern in ("transhume", "transhume_stage_*")]
        return _Scope(
            tables=tuple((schema, name) for name in self._tables if name in there),
            options=(
                *(ours if whole else [f"--schema={_pattern(schema)}"]),
                *(f"--exclude-table-data={_pattern(*row[:2])}" for row in others),
            ),
            told="pg_dump of the tables",
            schema=schema,
        )

    def _all(self, found: Mapping[str, str]) -> dict[str, str]:
        prefix = f"{self._address.schema}."
        plain = {name.removeprefix(prefix): value for name, value in found.items()}
        return {name: plain.get(name, ABSENT) for name in self._tables}


@contextmanager
def restored(tools: Tools, dump: Path, schema: str | None) -> Iterator[Scratch]:
    """Give a server of our own into which a dump was restored; of a part of a database without keys and triggers.

    Keys of a part may refer to rows that are not in the dump, and definitions beside its tables to programs that are
    not here: what cannot be made is left out, and the comparison tells whether a table is.
    """
    with scratch_server(tools) as scratch:
        if schema is None:
            scratch.restore(dump)
        else:
            if schema == "public":
                session = Session(scratch.address, "transhume restore")
                session.transact(lambda c: c.execute("DROP SCHEMA public CASCADE"), where="the scratch server")
                session.close()
            scratch.restore(dump, "--section=pre-data", "--section=data", whole=False)
        yield scratch


def _dumped(
    connection: WatchedConnection, address: Address, tools: Tools, scope: _Scope, dump: Path, side: str = "source"
) -> tuple[BackupPart, Mapping[str, str]]:
    """Dump what this transaction sees, restore it and compare. Returns the part and the live fingerprints."""
    watch = Watch()
    # The snapshot lives as long as this transaction, which is idle while pg_dump works.
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    snapshot = connection.execute("SELECT pg_export_snapshot()").fetchone()
    assert snapshot is not None
    live = of_tables(connection, scope.tables)
    given = ("--format=custom", "--no-password", f"--snapshot={snapshot[0]}", f"--file={dump}")
    tools.run("pg_dump", *given, *scope.options, environment=environment_of(address.parameters))
    duration_s = watch.lap()
    try:
        with restored(tools, dump, scope.schema) as scratch:
            session = Session(scratch.address, "transhume compare")
            with session.reading("the scratch server") as other:
                found = of_tables(other, _restored_tables(other, scope))
            session.close()
        state, reason = compared(live, found, "restored into a server of our own")
    except SystemProblem as problem:
        state, reason = "failed", f"the dump cannot be restored here: {problem}"
    part = BackupPart(
        side="target" if side == "target" else "source",
        kind="snapshot" if side == "target" else "logical",
        way=scope.told,
        state=state,
        reason=reason,
        path=dump.name,
        size_bytes=dump.stat().st_size,
        sha256=sha256_of(dump),
        duration_s=duration_s,
        restore_s=watch.lap(),
        fingerprints=live,
    )
    return part, live


def _restored_tables(connection: WatchedConnection, scope: _Scope) -> list[tuple[str, str]]:
    """Return the restored tables: all of a whole database, else those of the scope among all that are defined."""
    found = [(row[0], row[1]) for row in connection.execute(_KNOWN_TABLES).fetchall()]
    return found if scope.schema is None else [each for each in found if each in scope.tables]


def _source_scope(connection: WatchedConnection, schema: str) -> _Scope:
    known = connection.execute(_KNOWN_TABLES).fetchall()
    if all(row[2] for row in known):
        return _Scope(tuple((row[0], row[1]) for row in known), (), "pg_dump of the database")
    own = [row for row in known if row[0] == schema]
    hidden = [f"'{row[1]}'" for row in own if not row[2]]
    if hidden or not own:
        what = ", ".join(hidden[:5]) or f"schema '{schema}'"
        message = f"no right to read {what}; a backup needs SELECT on all tables of the schema"
        raise SystemUnavailable(message)
    told = "pg_dump of the schema (the role may not read the others)"
    return _Scope(tuple((row[0], row[1]) for row in own), (f"--schema={_pattern(schema)}",), told, schema)


def _published(connection: WatchedConnection, schema: str) -> list[str]:
    if not ledger.exists(connection):
        return []
    return [str(run["run"]) for run in ledger.read_runs(connection, schema) if run["state"] == "published"]


def _require_plain(connection: WatchedConnection, schema: str, tables: Sequence[str], plain: set[str]) -> None:
    """Raise Refused for a name that is something else than an ordinary table, such as a partitioned one."""
    for name in tables:
        place = sql.Identifier(schema, name).as_string(connection)
        row = connection.execute("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)", [place]).fetchone()
        if row is not None and name not in plain:
            message = f"'{name}' is no ordinary table (kind '{row[0]}'); back it up by the server's own means"
            raise Refused(message)


def _pattern(*names: str) -> str:
    """Return names as a pattern of pg_dump that means exactly them."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)
