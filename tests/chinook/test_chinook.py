"""Chinook, a real database: every value arrives on both kinds of target, and a second run changes nothing."""

import re
import shutil
import sqlite3
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from pyiceberg.catalog import load_catalog
from tests.demo.mariadb_copy import copy_to_mariadb

from transhume import Project

ROOT = Path(__file__).parents[2]
SOURCE = ROOT.parent / "shared" / "cases" / "pairs" / "chinook_pascal_snake" / "source.sqlite"
ROWS = 15_607
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "transhume:chinook")
Rows = list[dict[str, Any]]

pytestmark = pytest.mark.skipif(not SOURCE.exists(), reason="real data beside the project is absent: chinook")


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _key(table: str, *parts: object) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, table + "".join(f"|{len(str(part))}:{part}" for part in parts))


def _value(kind: str, column: str, value: Any) -> Any:
    if value is None:
        return None
    if kind.startswith("NUMERIC"):
        return Decimal(repr(value)).quantize(Decimal("0.01"))
    if kind == "DATETIME":
        found = datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if column == "InvoiceDate" else found
    return value


def expected() -> dict[str, Rows]:
    """Return what each target table must hold, made from the source by its declared keys and references alone."""
    connection = sqlite3.connect(f"file:{SOURCE}?mode=ro&immutable=1", uri=True)
    connection.row_factory = sqlite3.Row
    tables: dict[str, Rows] = {}
    for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        columns = connection.execute(f"PRAGMA table_info([{table}])").fetchall()
        key = [column["name"] for column in sorted(columns, key=lambda column: column["pk"]) if column["pk"]]
        parents = {row["from"]: row["table"] for row in connection.execute(f"PRAGMA foreign_key_list([{table}])")}
        rows = tables.setdefault(_snake(table), [])
        for row in connection.execute(f"SELECT * FROM [{table}]"):
            own = [row[name] for name in key]
            made = {f"{_snake(table)}_id": _key(table, *own)}
            made["original_source_id"] = own[0] if len(own) == 1 else "/".join(str(part) for part in own)
            for column in columns:
                name, value = column["name"], row[column["name"]]
                if name in parents:
                    made[_snake(name)] = None if value is None else _key(parents[name], value)
                elif [name] != key:
                    made[_snake(name)] = _value(column["type"], name, value)
            rows.append(made)
    connection.close()
    return tables


def _project(folder: Path, target: str, source: str = f"sqlite:///{SOURCE}") -> Project:
    shutil.copy(ROOT / "examples" / "chinook" / "transhume.yaml", folder)
    return Project(folder, environment={"CHINOOK_URL": source, "PLATFORM_URL": target})


def _agree(found: dict[str, Rows]) -> int:
    """Compare every row of every table and return how many values were compared."""
    wanted, values = expected(), 0
    assert set(found) == set(wanted)
    for table, rows in wanted.items():
        key = f"{table}_id"
        there = {row[key]: row for row in found[table]}
        assert len(there) == len(found[table]) == len(rows), table
        for row in rows:
            assert {column: there[row[key]][column] for column in row} == row, table
            values += len(row)
    return values


def _runs_twice(project: Project, read: Callable[[], dict[str, Rows]], version: Callable[[], list[Any]]) -> None:
    """Run, compare, run again; `version` gives what changes when anything is written to the target's tables."""
    first = project.run()
    assert sum(table.read for table in first.tables) == ROWS
    assert sum(table.loaded for table in first.tables) == ROWS
    assert not any(table.rejected or table.filtered or table.reasons for table in first.tables)
    assert len(first.tables) == 11
    assert _agree(read()) == 90_761
    before = version()
    second = project.run()
    assert sum(table.loaded for table in second.tables) == 0
    assert sum(table.unchanged for table in second.tables) == ROWS
    assert version() == before


def _read_postgres(url: str) -> dict[str, Rows]:
    tables: dict[str, Rows] = {}
    with psycopg.connect(url, row_factory=dict_row) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table in expected():
            select = sql.SQL("SELECT * FROM {}").format(sql.Identifier("chinook", table))
            tables[table] = connection.execute(select).fetchall()
    return tables


@pytest.mark.sweep
def test_chinook_from_a_mariadb_into_postgresql(tmp_path, postgres_url, mariadb_server, mariadb_database):
    """The same plan over the same rows on another server: every value as psycopg reads it."""
    copy_to_mariadb(SOURCE, mariadb_server, mariadb_database, keyed=True)
    source = mariadb_server.url(mariadb_database)
    result = _project(tmp_path, f"{postgres_url}&schema=chinook", source).run()
    assert sum(table.loaded for table in result.tables) == ROWS
    assert _agree(_read_postgres(postgres_url)) == 90_761


def test_chinook_into_postgresql(tmp_path, postgres_url):
    """15,607 rows in, 15,607 loaded with every value as psycopg reads it; then 0 changed, not even touched."""

    def version() -> list[Any]:
        with psycopg.connect(postgres_url) as connection:
            names = [sql.Identifier("chinook", table) for table in expected()]
            parts = [sql.SQL("SELECT tableoid, ctid::text, xmin::text FROM {}").format(name) for name in names]
            return connection.execute(sql.SQL(" UNION ALL ").join(parts) + sql.SQL(" ORDER BY 1, 2")).fetchall()

    project = _project(tmp_path, f"{postgres_url}&schema=chinook")
    _runs_twice(project, lambda: _read_postgres(postgres_url), version)
    with psycopg.connect(postgres_url) as connection:
        references = connection.execute(
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'chinook'::regnamespace"
        )
        assert references.fetchone() == (11,)


def test_chinook_into_an_iceberg_lake(tmp_path):
    """15,607 rows in, 15,607 loaded with every value as pyiceberg reads it; then 0 changed, no new snapshot."""
    lake = tmp_path / "lake"

    def catalog() -> Any:
        return load_catalog("default", type="sql", uri=f"sqlite:///{lake / 'catalog.db'}", warehouse=str(lake))

    def read() -> dict[str, Rows]:
        return {table: catalog().load_table(f"chinook.{table}").scan().to_arrow().to_pylist() for table in expected()}

    project = _project(tmp_path, f"iceberg:{lake}?namespace=chinook")

    def version() -> list[Any]:
        tables = [catalog().load_table(f"chinook.{table}") for table in expected()]
        return [(table.name(), table.metadata.current_snapshot_id, len(table.metadata.snapshots)) for table in tables]

    _runs_twice(project, read, version)
    assert [snapshots for _, _, snapshots in version()] == [1] * 11
