"""Targets that a sweep runs into many times: a schema of one database, a lake in a folder, and what stands in them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql
from pyiceberg.catalog.sql import SqlCatalog

from tests.stages import small_project

Rows = Counter[tuple[str, Any, str]]
"""Table, original id and the text of the whole row, with how often it stands there."""


@dataclass(frozen=True)
class PostgresTarget:
    """A schema of a database that is used for many runs, each in a schema of its own."""

    database_url: str
    schema: str
    system = "PostgreSQL"

    @property
    def url(self) -> str:
        """The URL for a plan."""
        return f"{self.database_url}&schema={self.schema}"

    def rows(self) -> Rows:
        """Return what readers see, without the driver under test."""
        found: Rows = Counter()
        with psycopg.connect(self.database_url) as reader:
            query = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
            for (name,) in reader.execute(query, [self.schema]).fetchall():
                place = sql.Identifier(self.schema, name)
                text = sql.SQL("SELECT original_source_id, t::text FROM {} t").format(place)
                found.update((name, key, row) for key, row in reader.execute(text))
        return found

    def edit(self, folder: Path) -> None:
        """Write as others do: two rows of their own, one of ours edited."""
        with psycopg.connect(self.database_url, autocommit=True) as other:
            place = sql.Identifier(self.schema, "places")
            other.execute(
                sql.SQL("INSERT INTO {} SELECT gen_random_uuid(), n, 'theirs' FROM generate_series(900, 901) n").format(
                    place
                )
            )
            other.execute(sql.SQL("UPDATE {} SET name = 'edited' WHERE original_source_id = 49").format(place))

    def drop(self) -> None:
        """Remove everything of this run."""
        with psycopg.connect(self.database_url, autocommit=True) as other:
            if other.execute("SELECT to_regclass('transhume.runs') IS NULL").fetchone() == (True,):
                return
            runs = other.execute("SELECT run FROM transhume.runs WHERE scope LIKE %s", [f"%{self.schema}"]).fetchall()
            for (run,) in runs:
                stage = sql.Identifier(f"transhume_stage_{run}")
                other.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(stage))
            other.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self.schema)))


@dataclass(frozen=True)
class LakeTarget:
    """A lake in the project's own folder, its catalog in SQLite."""

    folder: Path
    system = "Iceberg"
    url = "iceberg:./lake?namespace=ai"

    def catalog(self) -> SqlCatalog | None:
        """Return the catalog as any other program opens it, None before there is one."""
        return small_project.catalog(self.folder) if (self.folder / "lake" / "catalog.db").exists() else None

    def rows(self) -> Rows:
        """Return what readers see, read from outside; the batch column names the run and is left out."""
        found: Rows = Counter()
        lake = self.catalog()
        if lake is not None and lake.namespace_exists("ai"):
            for identifier in lake.list_tables("ai"):
                table = lake.load_table(identifier).scan().to_arrow().drop_columns(["migration_batch"])
                found.update(
                    (identifier[-1], row["original_source_id"], repr(sorted(row.items()))) for row in table.to_pylist()
                )
        return found

    def edit(self, folder: Path) -> None:
        """Write as others do: two rows of their own, one of ours edited."""
        table = small_project.catalog(folder).load_table(("ai", "places"))
        rows = table.scan().to_arrow()
        mine = rows.filter(pa.compute.equal(rows["original_source_id"], 49))
        theirs = mine.to_pylist()[0]
        schema = table.schema().as_arrow()
        new = [
            {**theirs, "place_id": bytes([n] * 16), "original_source_id": 900 + n, "migration_batch": None}
            for n in range(2)
        ]
        table.append(pa.Table.from_pylist(new, schema=schema))
        table = small_project.catalog(folder).load_table(("ai", "places"))
        table.overwrite(pa.Table.from_pylist([{**theirs, "name": "edited"}], schema=schema), "original_source_id == 49")

    def drop(self) -> None:
        """Leave it: the folder goes with the test's."""


@dataclass(frozen=True)
class SharedLakeTarget(LakeTarget):
    """A lake in the project's own folder, its catalog on PostgreSQL."""

    database_url: str = ""

    def catalog(self) -> SqlCatalog | None:
        """Return the catalog as any other program opens it, None before there is one."""
        uri = self.database_url.replace("postgresql://", "postgresql+psycopg://")
        with psycopg.connect(self.database_url) as reader:
            if reader.execute("SELECT to_regclass('iceberg_tables') IS NULL").fetchone() == (True,):
                return None
        return SqlCatalog("default", uri=uri, warehouse=str(self.folder / "lake"))


Target = PostgresTarget | LakeTarget


def keys(rows: Rows) -> Counter[tuple[str, Any]]:
    """Return how often each source row stands in the target."""
    found: Counter[tuple[str, Any]] = Counter()
    for (table, key, _), number in rows.items():
        found[table, key] += number
    return found


def differences(found: Rows, expected: Rows) -> dict[str, int]:
    """Return rows lost, rows there too often, and rows of another content."""
    here, there = keys(found), keys(expected)
    lost, duplicated = (there - here).total(), (here - there).total()
    return {"lost": lost, "duplicated": duplicated, "different": max((expected - found).total() - lost, 0)}


def originals(rows: Iterable[tuple[str, Any, str]]) -> set[tuple[str, Any]]:
    """Return tables and original ids of rows."""
    return {(table, key) for table, key, _ in rows}
