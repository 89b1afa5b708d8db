"""Every nasty value of every source arrives exactly, or is a reject with its reason: nothing changes silently."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from tests.fidelity.torture import (
    Group,
    Rows,
    read_groups,
    read_lake,
    read_postgres,
    read_refused,
    rejects,
    write_csv,
    write_jsonl,
    write_mariadb,
    write_plan,
    write_postgres,
    write_sqlite,
)
from tests.servers import MariadbServer
from transhume.errors import PlanError
from transhume.project import Project, RunResult

SQLITE, POSTGRES = read_groups("sqlite.yaml"), read_groups("postgres.yaml")
MARIADB = read_groups("mariadb.yaml")
CSV, JSONL = read_groups("csv.yaml"), read_groups("jsonl.yaml")


@pytest.mark.parametrize("groups", [SQLITE, POSTGRES, MARIADB, CSV], ids=["sqlite", "postgres", "mariadb", "csv"])
def test_each_source_has_sixty_values_with_one_outcome_each(groups: Sequence[Group]) -> None:
    """At least 60 values a source are written down, each either arriving or rejected, never both."""
    values = [value for group in groups for value in group.values]
    assert len(values) >= 60
    assert all(value.gives["postgres"] is None or not value.rejected for value in values)


def test_sqlite_to_postgres(tmp_path: Path, postgres_url: str) -> None:
    """Values of a SQLite file in PostgreSQL, as psycopg reads them."""
    write_sqlite(tmp_path / "source.db", SQLITE)
    project = write_plan(tmp_path, SQLITE, "sqlite:///source.db", f"{postgres_url}&schema=ai")
    _hold(SQLITE, "postgres", project.run(), [read_postgres(postgres_url, "ai")])


def test_sqlite_to_iceberg(tmp_path: Path) -> None:
    """Values of a SQLite file in a lake, as pyiceberg reads the tables and DuckDB the files."""
    write_sqlite(tmp_path / "source.db", SQLITE)
    project = write_plan(tmp_path, SQLITE, "sqlite:///source.db", "iceberg:./lake?namespace=ai")
    _hold(SQLITE, "iceberg", project.run(), read_lake(_lake(project), "ai"))


def test_postgres_to_postgres(tmp_path: Path, postgres_url: str) -> None:
    """Values of a PostgreSQL schema in another schema, as psycopg reads them."""
    write_postgres(postgres_url, "old", POSTGRES)
    project = write_plan(tmp_path, POSTGRES, f"{postgres_url}&schema=old", f"{postgres_url}&schema=ai")
    _hold(POSTGRES, "postgres", project.run(), [read_postgres(postgres_url, "ai")])


def test_postgres_to_iceberg(tmp_path: Path, postgres_url: str) -> None:
    """Values of a PostgreSQL schema in a lake, as pyiceberg reads the tables and DuckDB the files."""
    write_postgres(postgres_url, "old", POSTGRES)
    project = write_plan(tmp_path, POSTGRES, f"{postgres_url}&schema=old", "iceberg:./lake?namespace=ai")
    _hold(POSTGRES, "iceberg", project.run(), read_lake(_lake(project), "ai"))


def test_mariadb_to_postgres(
    tmp_path: Path, postgres_url: str, mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    """Values of a MariaDB table in PostgreSQL, as psycopg reads them."""
    write_mariadb(mariadb_server, mariadb_database, MARIADB)
    project = write_plan(tmp_path, MARIADB, mariadb_server.url(mariadb_database), f"{postgres_url}&schema=ai")
    _hold(MARIADB, "postgres", project.run(), [read_postgres(postgres_url, "ai")])


def test_mariadb_to_iceberg(tmp_path: Path, mariadb_server: MariadbServer, mariadb_database: str) -> None:
    """Values of a MariaDB table in a lake, as pyiceberg reads the tables and DuckDB the files."""
    write_mariadb(mariadb_server, mariadb_database, MARIADB)
    project = write_plan(tmp_path, MARIADB, mariadb_server.url(mariadb_database), "iceberg:./lake?namespace=ai")
    _hold(MARIADB, "iceberg", project.run(), read_lake(_lake(project), "ai"))


def test_csv_to_postgres(tmp_path: Path, postgres_url: str) -> None:
    """Fields of a CSV file in PostgreSQL, as psycopg reads them."""
    write_csv(tmp_path / "t.csv", CSV)
    project = write_plan(tmp_path, CSV, "files:*.csv", f"{postgres_url}&schema=ai")
    _hold(CSV, "postgres", project.run(), [read_postgres(postgres_url, "ai")])


def test_csv_to_iceberg(tmp_path: Path) -> None:
    """Fields of a CSV file in a lake, as pyiceberg reads the tables and DuckDB the files."""
    write_csv(tmp_path / "t.csv", CSV)
    project = write_plan(tmp_path, CSV, "files:*.csv", "iceberg:./lake?namespace=ai")
    _hold(CSV, "iceberg", project.run(), read_lake(_lake(project), "ai"))


def test_json_lines_to_iceberg(tmp_path: Path) -> None:
    """Values of JSON Lines in a lake, as pyiceberg reads the tables and DuckDB the files."""
    write_jsonl(tmp_path / "t.jsonl", JSONL)
    project = write_plan(tmp_path, JSONL, "files:t.jsonl", "iceberg:./lake?namespace=ai")
    _hold(JSONL, "iceberg", project.run(), read_lake(_lake(project), "ai"))


@pytest.mark.parametrize("target", ["postgres", "iceberg"])
def test_types_that_would_bend_are_refused_by_name_from_sqlite(tmp_path: Path, postgres_url: str, target: str) -> None:
    """Every column without an exact way is told, all at once, and the target is not touched."""
    refused = read_refused("sqlite")
    write_sqlite(tmp_path / "source.db", [group for group, _ in refused])
    _hold_refused(tmp_path, refused, "sqlite:///source.db", target, postgres_url)


@pytest.mark.parametrize("target", ["postgres", "iceberg"])
def test_types_that_would_bend_are_refused_by_name_from_postgres(
    tmp_path: Path, postgres_url: str, target: str
) -> None:
    """Every column without an exact way is told, all at once, and the target is not touched."""
    refused = read_refused("postgres")
    write_postgres(postgres_url, "old", [group for group, _ in refused])
    _hold_refused(tmp_path, refused, f"{postgres_url}&schema=old", target, postgres_url)


@pytest.mark.parametrize("target", ["postgres", "iceberg"])
def test_types_that_would_bend_are_refused_by_name_from_mariadb(
    tmp_path: Path, postgres_url: str, target: str, mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    """Every column without an exact way is told, all at once, and the target is not touched."""
    refused = read_refused("mariadb")
    write_mariadb(mariadb_server, mariadb_database, [group for group, _ in refused])
    _hold_refused(tmp_path, refused, mariadb_server.url(mariadb_database), target, postgres_url)


def _hold_refused(
    folder: Path, refused: Sequence[tuple[Group, str]], source: str, target: str, postgres_url: str
) -> None:
    url = f"{postgres_url}&schema=ai" if target == "postgres" else "iceberg:./lake?namespace=ai"
    project = write_plan(folder, [group for group, _ in refused], source, url)
    with pytest.raises(PlanError) as caught:
        project.run()
    found = {finding.column: finding.message for finding in caught.value.findings if finding.severity == "error"}
    assert [told for group, told in refused if told not in found.get(group.name, "nothing")] == [], found
    assert not (folder / "lake").exists()
    with psycopg.connect(postgres_url) as reader:
        assert reader.execute("SELECT to_regnamespace('ai'), to_regnamespace('transhume')").fetchone() == (None, None)


def _lake(project: Project) -> SqlCatalog:
    folder = project.folder
    return SqlCatalog("default", uri=f"sqlite:///{folder / 'lake' / 'catalog.db'}", warehouse=str(folder / "lake"))


def _hold(groups: Sequence[Group], target: str, result: RunResult, readings: Iterable[Rows]) -> None:
    """Hold every value's outcome against the one that is written down; tell all that differ."""
    reasons = rejects(result)
    wrong: list[str] = []
    for rows in readings:
        for group in groups:
            values = dict(group.rows())
            rejected = {number: value.rejected for number, value in values.items() if value.rejected}
            arrived = {number: value.gives[target] for number, value in values.items() if not value.rejected}
            told = {number: reasons[number] for number in values if number in reasons}
            found = {number: rows[number][group.name] for number in values if number in rows}
            wrong += _differences(group, rejected, told, "rejected")
            wrong += _differences(group, arrived, found, "arrived")
    assert not wrong, "\n".join(wrong)


def _differences(group: Group, expected: dict[int, Any], found: dict[int, Any], what: str) -> list[str]:
    return [
        f"{group.column} -> {group.into or 'copy'}, {group.values[number - group.first].name}: "
        f"{what} {_short(found, number)}, expected {_short(expected, number)}"
        for number in sorted(expected.keys() | found.keys())
        if _short(found, number) != _short(expected, number)
    ]


def _short(values: dict[int, Any], number: int) -> str:
    return repr(values[number]) if number in values else "nothing"


def test_a_changed_value_is_told() -> None:
    """The comparison of this module sees a value that differs, one that is missing, and one that should not be."""
    group = SQLITE[0]
    told = _differences(group, {0: "1", 1: "2"}, {0: "1.0", 2: "3"}, "arrived")
    assert [line.partition(": ")[2] for line in told] == [
        "arrived '1.0', expected '1'",
        "arrived nothing, expected '2'",
        "arrived '3', expected nothing",
    ]
