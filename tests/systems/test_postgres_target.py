"""PostgreSQL as a target, on a real server: the common promises, and those that only PostgreSQL can keep or break."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from psycopg import sql

from transhume.systems.postgres.target import PostgresTarget, open_target
from transhume.testing.targets import TargetSuite


class PostgresPlace:
    """A schema of a fresh database; the schema itself does not exist yet."""

    def __init__(self, url: str, schema: str = "ai") -> None:
        self.url = url
        self.schema = schema

    def open(self) -> PostgresTarget:
        return open_target(f"{self.url}&schema={self.schema}")

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            if connection.execute("SELECT to_regclass(%s)", [f'"{self.schema}"."{table}"']).fetchone() == (None,):
                return []
            parts = []
            for name in columns:
                query = (
                    "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s"
                )
                kind = connection.execute(query, [f'"{self.schema}"."{table}"', name]).fetchone()[0]
                column = sql.Identifier(name)
                parts.append(
                    {"uuid": sql.SQL("uuid_send({})"), "json": sql.SQL("{}::text")}.get(kind, sql.SQL("{}")).format(
                        column
                    )
                )
            select = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(parts), sql.Identifier(self.schema, table))
            return connection.execute(select).fetchall()


@pytest.fixture
def place(postgres_url: str) -> PostgresPlace:
    return PostgresPlace(postgres_url)


class TestPromises(TargetSuite):
    """PostgreSQL keeps what every target must keep."""
