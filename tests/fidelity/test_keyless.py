"""Tables whose rows nothing identifies (`key: []`), and tables of extreme shape, on both targets."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pyiceberg.catalog.sql import SqlCatalog

from tests.fidelity.torture import plain
from transhume import Project
from transhume.errors import PlanError, SystemRefused
from transhume.project import RunResult

Read = Callable[[str], list[tuple[Any, ...]]]
TARGETS = ["postgres", "iceberg"]


class Place:
    """A project with a SQLite source and one of the two targets, read from outside."""

    def __init__(self, folder: Path, target: str, postgres_url: str) -> None:
        self.folder, self.target, self.url = folder, target, postgres_url

    def source(self, *statements: str | tuple[str, Sequence[Sequence[Any]]]) -> None:
        """Run statements in the source; a pair is a statement with its rows."""
        with sqlite3.connect(self.folder / "source.db") as source:
            for statement in statements:
                if isinstance(statement, str):
                    source.execute(statement)
                else:
                    source.executemany(*statement)
        source.close()

    def plan(self, *tables: str) -> Project:
        """Write the plan with these table mappings, as they stand under `tables:`."""
        target = f"{self.url}&schema=ai" if self.target == "postgres" else "iceberg:./lake?namespace=ai"
        head = "transhume: 1\nname: n\nnamespace: n\nsource: ${SOURCE_URL}\ntarget: ${TARGET_URL}\ntables:\n"
        (self.folder / "transhume.yaml").write_text(head + "".join(tables))
        (self.folder / ".env").write_text(f"SOURCE_URL=sqlite:///source.db\nTARGET_URL={target}\n")
        return Project(self.folder)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Return the rows that readers see, as texts; the lake's batch column is left out."""
        if self.target == "postgres":
            with psycopg.connect(self.url) as reader:
                found = reader.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier("ai", table))).fetchall()
            return [tuple(plain(value) for value in row) for row in found]
        lake = self.folder / "lake"
        catalog = SqlCatalog("default", uri=f"sqlite:///{lake / 'catalog.db'}", warehouse=str(lake))
        read = catalog.load_table(("ai", table)).scan().to_arrow().drop_columns(["migration_batch"])
        return [tuple(plain(value) for value in row.values()) for row in read.to_pylist()]


@pytest.fixture(params=TARGETS)
def place(request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str) -> Place:
    return Place(tmp_path, request.param, postgres_url)


LOG = "  log: {from: log, key: [], create: true, columns: {at: at, word: word, weight: weight}}\n"


def _log(place: Place) -> Counter[tuple[Any, ...]]:
    rows = [(n // 3, "same" if n % 3 else None, 0.5) for n in range(300)]
    place.source("CREATE TABLE log (at INTEGER, word TEXT, weight REAL)", ("INSERT INTO log VALUES (?, ?, ?)", rows))
    return Counter(tuple(plain(value) for value in row) for row in rows)


def test_a_table_without_any_key_goes_through(place: Place) -> None:
    """Equal rows arrive as often as they stand in the source; the accounting closes and the multiset is stated."""
    expected = _log(place)
    result = place.plan(LOG).run()
    assert Counter(place.rows("log")) == expected
    assert (result.tables[0].read, result.tables[0].loaded) == (300, 300)
    stated = next(check for check in result.checks if check["name"] == "no_key")
    assert "multiset" in stated["covered"]
    assert all(check["passed"] for check in result.checks)


def test_a_row_that_vanished_from_a_keyless_table_is_seen(tmp_path: Path, postgres_url: str) -> None:
    """Validation counts equal rows: one of two hundred equal ones that is gone is told, and a last bit too.

    A lake's file is compared as a whole; that changed files are seen is the lake's own suite's to show.
    """
    place = Place(tmp_path, "postgres", postgres_url)
    _log(place)
    project = place.plan(LOG)
    project.run()
    assert all(check.passed for check in project.validate().checks)
    with psycopg.connect(postgres_url) as writer:
        writer.execute("DELETE FROM ai.log WHERE ctid = (SELECT min(ctid) FROM ai.log WHERE word = 'same')")
    wrong = [check for check in project.validate().checks if not check.passed]
    assert [(check.name, check.table) for check in wrong] == [("row_counts", "log"), ("published_rows", "log")]
    with psycopg.connect(postgres_url) as writer:
        writer.execute("INSERT INTO ai.log VALUES (0, 'same', 0.5)")
    assert all(check.passed for check in project.validate().checks)
    with psycopg.connect(postgres_url) as writer:
        writer.execute("UPDATE ai.log SET weight = 0.50000000000000011 WHERE at = 7 AND word IS NULL")
    wrong = [check for check in project.validate().checks if not check.passed]
    assert [(check.name, check.table) for check in wrong] == [("published_rows", "log")]


def test_a_second_run_of_a_keyless_table_is_refused(place: Place) -> None:
    """Rows without a key cannot be told from those of the first run, so nothing is written a second time."""
    expected = _log(place)
    project = place.plan(LOG)
    project.run()
    with pytest.raises(SystemRefused, match="has rows"):
        project.run()
    assert Counter(place.rows("log")) == expected


def test_what_a_keyless_mapping_cannot_have_is_told_at_once(place: Place) -> None:
    """References to it, a primary key of its own and an update by key are errors of the plan, each with its place."""
    _log(place)
    other = "  other: {from: log, key: at, create: true, columns: {id: {uuid: at}, log_id: {ref: word, table: log}}}\n"
    keyed = LOG.replace("create: true", "create: true, on_conflict: update, types: {at: bigint primary key}")
    with pytest.raises(PlanError) as caught:
        place.plan(keyed, other).run()
    codes = [finding.code for finding in caught.value.findings if finding.severity == "error"]
    assert codes.count("keyless") == 3
    assert all(finding.position for finding in caught.value.findings)


def test_rejects_of_a_keyless_table_are_kept_whole(place: Place) -> None:
    """A row without a key that cannot be carried is a reject like any other, predicted with its row number."""
    place.source("CREATE TABLE log (at INTEGER, word TEXT, weight REAL)", "INSERT INTO log VALUES ('x', 'w', 1.0)")
    project = place.plan(LOG.replace("key: []", "key: [], max_rejects: 1"))
    predicted = [finding for finding in project.check().findings if finding.code == "bad_integer"]
    assert "row 0" in predicted[0].message
    result = project.run()
    assert (result.tables[0].loaded, result.tables[0].rejected) == (0, 1)


def test_a_table_of_a_thousand_columns_goes_through(place: Place) -> None:
    """1,000 columns of three types, each with a value of its own, NULLs among them."""
    kinds = ("INTEGER", "REAL", "TEXT")
    columns = ", ".join(f"c{n} {kinds[n % 3]}" for n in range(999))
    rows = [
        (row, *(None if (n + row) % 50 == 0 else (n * row, n / 7, f"{n}")[n % 3] for n in range(999)))
        for row in range(3)
    ]
    place.source(
        f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {columns})",
        (f"INSERT INTO wide VALUES ({', '.join('?' * 1000)})", rows),
    )
    mapped = ", ".join(f"c{n}: c{n}" for n in range(999))
    result = place.plan(f"  wide: {{from: wide, key: id, create: true, columns: {{id: id, {mapped}}}}}\n").run()
    assert result.tables[0].loaded == 3
    assert sorted(place.rows("wide")) == sorted(tuple(plain(value) for value in row) for row in rows)


def test_a_composite_key_of_five_columns(place: Place) -> None:
    """Five columns identify a row together; rows that differ in the last one only are two; a second run adds none."""
    rows = [(a, "k|1", b, c, d, a * b) for a in (1, 2) for b in (1, 2) for c in ("x", "") for d in ("é", "e\u0301")]
    place.source(
        "CREATE TABLE five (a INTEGER, b TEXT, c INTEGER, d TEXT, e TEXT, v INTEGER, PRIMARY KEY (a, b, c, d, e))",
        ("INSERT INTO five VALUES (?, ?, ?, ?, ?, ?)", rows),
    )
    key = "[a, b, c, d, e]"
    columns = f"id: {{uuid: {key}}}, a: a, b: b, c: c, d: d, e: e, v: v"
    project = place.plan(f"  five: {{from: five, key: {key}, create: true, columns: {{{columns}}}}}\n")
    assert project.run().tables[0].loaded == 16
    assert sorted(row[1:] for row in place.rows("five")) == sorted(tuple(map(str, row)) for row in rows)
    again = project.run().tables[0]
    assert (again.loaded, again.unchanged) == (0, 16)


def test_empty_tables_rows_of_nothing_and_a_single_row(place: Place) -> None:
    """A table without rows, one of a single row, and columns that are NULL throughout arrive as what they are."""
    place.source(
        "CREATE TABLE empty (id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TABLE single (id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TABLE hollow (a TEXT, b REAL, c DATETIME)",
        "INSERT INTO single VALUES (7, NULL)",
        "INSERT INTO hollow VALUES (NULL, NULL, NULL), (NULL, NULL, NULL)",
    )
    result = place.plan(
        "  empty: {from: empty, key: id, create: true, columns: {id: id, v: v}}\n",
        "  single: {from: single, key: id, create: true, columns: {id: id, v: v}}\n",
        "  hollow: {from: hollow, key: [], create: true, columns: {a: a, b: b, c: c}}\n",
    ).run()
    assert [_counts(result, number) for number in range(3)] == [(0, 0), (1, 1), (2, 2)]
    assert place.rows("empty") == []
    assert place.rows("single") == [("7", None)]
    assert place.rows("hollow") == [(None, None, None)] * 2


def _counts(result: RunResult, number: int) -> tuple[int, int]:
    return result.tables[number].read, result.tables[number].loaded
