"""What others do to the target of a life and see in it, each system in its own way, without the code under test."""

import uuid
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql
from pyiceberg.catalog.sql import SqlCatalog

from tests.reliability.places import LakeTarget, PostgresTarget

OTHERS = 1000
"""Original ids from here on are of rows that others write."""
Seen = list[tuple[int, str]] | None
"""Original ids and names that stand in the target, None where it has no table."""


class OthersOnPostgres:
    """What others do to a schema and see in it, over a connection that stays open."""

    def __init__(self, target: PostgresTarget) -> None:
        self._place = sql.Identifier(target.schema, "things")
        self._name = f"{target.schema}.things"
        self._database = psycopg.connect(target.database_url, autocommit=True, prepare_threshold=None)

    def insert(self, number: int, name: str) -> None:
        """Write a row of their own."""
        key = uuid.uuid5(uuid.NAMESPACE_OID, f"theirs {number}")
        self._execute("INSERT INTO {} (thing_id, original_source_id, name) VALUES (%s, %s, %s)", key, number, name)

    def update(self, number: int, name: str) -> None:
        """Edit a row."""
        self._execute("UPDATE {} SET name = %s WHERE original_source_id = %s", name, number)

    def delete(self, number: int) -> None:
        """Remove a row."""
        self._execute("DELETE FROM {} WHERE original_source_id = %s", number)

    def rows(self) -> Seen:
        """Return what stands there."""
        if self._execute("SELECT to_regclass(%s)", self._name).fetchone() == (None,):
            return None
        return self._execute("SELECT original_source_id, name FROM {}").fetchall()

    def close(self) -> None:
        """Let go of the system."""
        self._database.close()

    def _execute(self, statement: str, *values: object) -> Any:
        return self._database.execute(sql.SQL(statement).format(self._place), values)


class OthersInLake:
    """What others do to a lake and see in it, over a catalog that stays open."""

    def __init__(self, target: LakeTarget) -> None:
        self._target = target
        self._catalog: SqlCatalog | None = None

    def insert(self, number: int, name: str) -> None:
        """Write a row of their own."""
        key = uuid.uuid5(uuid.NAMESPACE_OID, f"theirs {number}")
        table = self._table()
        row = {"thing_id": key.bytes, "original_source_id": number, "name": name, "migration_batch": None}
        table.append(pa.Table.from_pylist([row], schema=table.schema().as_arrow()))

    def update(self, number: int, name: str) -> None:
        """Edit a row."""
        table = self._table()
        rows = table.scan(f"original_source_id == {number}").to_arrow().to_pylist()
        changed = [{**row, "name": name} for row in rows]
        new = pa.Table.from_pylist(changed, schema=table.schema().as_arrow())
        table.overwrite(new, f"original_source_id == {number}")

    def delete(self, number: int) -> None:
        """Remove a row."""
        self._table().delete(f"original_source_id == {number}")

    def rows(self) -> Seen:
        """Return what stands there."""
        self._catalog = self._catalog or self._target.catalog()
        if self._catalog is None or not self._catalog.table_exists(("ai", "things")):
            return None
        rows = self._table().scan().to_arrow().to_pylist()
        return [(row["original_source_id"], row["name"]) for row in rows]

    def close(self) -> None:
        """Let go of the system."""
        if self._catalog is not None:
            self._catalog.close()

    def _table(self) -> Any:
        assert self._catalog is not None
        return self._catalog.load_table(("ai", "things"))
