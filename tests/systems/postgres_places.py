"""Places of a real PostgreSQL for tests, read by plain psycopg and not by the driver under test."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from transhume.batches import TargetTable
from transhume.systems.postgres.target import PostgresRun, PostgresTarget, open_target
from transhume.systems.system import RunIdentity
from transhume.testing.targets import identity

_AS_OTHERS_SEE_IT = {"uuid": sql.SQL("uuid_send({})"), "json": sql.SQL("{}::text")}


class PostgresPlace:
    """A schema of a fresh database; the schema itself does not exist yet."""

    def __init__(self, url: str, schema: str = "ai") -> None:
        """Remember where it is."""
        self.url = url
        self.schema = schema

    def open(self) -> PostgresTarget:
        """Return a new handle."""
        return open_target(f"{self.url}&schema={self.schema}")

    @contextlib.contextmanager
    def run(self, tables: Sequence[TargetTable], who: RunIdentity | None = None) -> Iterator[PostgresRun]:
        """Give a run that is closed at the end."""
        target = self.open()
        try:
            run = target.open_run(who or identity(), tables)
            try:
                yield run
            finally:
                run.close()
        finally:
            target.close()

    def execute(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement as somebody else, in the place's schema."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(self.schema)))
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return what others read from a table now."""
        with psycopg.connect(self.url) as connection:
            name = sql.Identifier(self.schema, table).as_string(connection)
            if connection.execute("SELECT to_regclass(%s)", [name]).fetchone() == (None,):
                return []
            query = "SELECT attname, atttypid::regtype::text FROM pg_attribute WHERE attrelid = %s::regclass"
            kinds = dict(connection.execute(query, [name]).fetchall())
            parts = [_AS_OTHERS_SEE_IT.get(kinds[one], sql.SQL("{}")).format(sql.Identifier(one)) for one in columns]
            select = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(parts), sql.Identifier(self.schema, table))
            return connection.execute(select).fetchall()
