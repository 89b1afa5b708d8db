"""Every target type on both targets: made from the plan, and into tables that others made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg.types.string import TextLoader
from pyiceberg.catalog.sql import SqlCatalog

from tests.fidelity.torture import plain
from transhume import Project
from transhume.errors import CheckFailed

TYPES: list[tuple[str, str, str, str]] = [
    # the plan's type, the source column's type and value in PostgreSQL, the value as readers get it
    ("uuid", "uuid", "'da3e586a-4bd1-55fc-925f-433257c8c5c4'", "da3e586a-4bd1-55fc-925f-433257c8c5c4"),
    ("bigint", "bigint", "-9223372036854775808", "-9223372036854775808"),
    ("int", "integer", "2147483647", "2147483647"),
    ("decimal(20,4)", "numeric(20,4)", "-1234567890123456.7890", "-1234567890123456.7890"),
    ("double", "double precision", "0.1::float8 + 0.2::float8", "0.30000000000000004"),
    ("boolean", "boolean", "true", "true"),
    ("text(7)", "varchar(7)", "'a b  '", "a b  "),
    ("text", "text", "'é😀'", "é😀"),
    ("date", "date", "'0001-01-01'", "0001-01-01"),
    ("timestamp", "timestamp", "'9999-12-31 23:59:59.999999'", "9999-12-31T23:59:59.999999"),
    ("timestamptz", "timestamptz", "'2024-01-01 00:00:00.5+05:30'", "2023-12-31T18:30:00.500000+00:00"),
    ("time", "time", "'23:59:59.999999'", "23:59:59.999999"),
    ("bytes", "bytea", "'\\x00ff'", "00ff"),
    ("json", "json", "'{\"a\": 1.10}'", '{"a": 1.10}'),
    ("list(text)", "text[]", "ARRAY['a', NULL, '']", ["a", None, ""]),
    ("list(decimal(5,2))", "numeric(5,2)[]", "'{1.10}'", ["1.10"]),
    ("list(timestamptz)", "timestamptz[]", "'{2024-01-01 00:00:00+00}'", ["2024-01-01T00:00:00+00:00"]),
]
POSTGRES = {
    "uuid": "uuid",
    "bigint": "bigint",
    "int": "integer",
    "decimal(20,4)": "numeric(20,4)",
    "double": "double precision",
    "boolean": "boolean",
    "text(7)": "varchar(9)",
    "text": "text",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "time": "time",
    "bytes": "bytea",
    "json": "jsonb",
    "list(text)": "text[]",
    "list(decimal(5,2))": "numeric(5,2)[]",
    "list(timestamptz)": "timestamptz[]",
}
"""Types of a table that somebody else made; those of the types above that it takes in a wider or another form too."""
ARROW = {
    "uuid": pa.uuid(),
    "bigint": pa.int64(),
    "int": pa.int32(),
    "decimal(20,4)": pa.decimal128(20, 4),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "text(7)": pa.string(),
    "text": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "time": pa.time64("us"),
    "bytes": pa.binary(),
    "json": pa.string(),
    "list(text)": pa.list_(pa.string()),
    "list(decimal(5,2))": pa.list_(pa.decimal128(5, 2)),
    "list(timestamptz)": pa.list_(pa.timestamp("us", tz="UTC")),
}


@pytest.fixture
def project(tmp_path: Path, postgres_url: str) -> Callable[[str, bool], Project]:
    """Give the project that copies one row of every type, with or without making the table."""
    columns = ", ".join(f"c{n} {native}" for n, (_, native, _, _) in enumerate(TYPES))
    values = ", ".join(value for _, _, value, _ in TYPES)
    with psycopg.connect(postgres_url, autocommit=True) as source:
        source.execute("CREATE SCHEMA old")
        source.execute(f"CREATE TABLE old.t (id integer PRIMARY KEY, {columns})")
        source.execute(f"INSERT INTO old.t VALUES (1, {values}), (2{', NULL' * len(TYPES)})")

    def made(target: str, create: bool) -> Project:
        types = ", ".join(f"c{n}: '{planned}'" for n, (planned, *_) in enumerate(TYPES))
        filled = ", ".join(f"c{n}: c{n}" for n in range(len(TYPES)))
        (tmp_path / "transhume.yaml").write_text(
            "transhume: 1\nname: n\nnamespace: n\nsource: ${SOURCE_URL}\ntarget: ${TARGET_URL}\ntables:\n"
            f"  t: {{from: t, key: id, create: {str(create).lower()}, types: {{id: int primary key, {types}}},"
            f" columns: {{id: id, {filled}}}}}\n"
        )
        (tmp_path / ".env").write_text(f"SOURCE_URL={postgres_url}&schema=old\nTARGET_URL={target}\n")
        return Project(tmp_path)

    return made


EXPECTED = {1: [expected for *_, expected in TYPES], 2: [None] * len(TYPES)}


def _read_postgres(url: str) -> dict[int, list[Any]]:
    with psycopg.connect(url) as reader:
        reader.execute("SET TimeZone = 'UTC'")
        for name in ("json", "jsonb"):
            reader.adapters.register_loader(name, TextLoader)
        return {row[0]: [plain(value) for value in row[1:]] for row in reader.execute("SELECT * FROM ai.t")}


def _read_lake(folder: Path) -> dict[int, list[Any]]:
    rows = _catalog(folder).load_table(("ai", "t")).scan().to_arrow().to_pylist()
    return {row["id"]: [plain(row[f"c{n}"]) for n in range(len(TYPES))] for row in rows}


def _catalog(folder: Path) -> SqlCatalog:
    return SqlCatalog("default", uri=f"sqlite:///{folder / 'lake' / 'catalog.db'}", warehouse=str(folder / "lake"))


def _hold(project: Project, read: Callable[[], dict[int, list[Any]]]) -> None:
    """Run, hold every value, check what readers see once more, and run again: nothing changes."""
    assert project.run().tables[0].loaded == 2
    assert read() == EXPECTED
    assert project.validate().failed == ()
    again = project.run().tables[0]
    assert (again.loaded, again.unchanged) == (0, 2)
    assert read() == EXPECTED


def test_every_type_is_made_in_postgres(project: Callable[[str, bool], Project], postgres_url: str) -> None:
    """A table that the plan makes holds every type exactly; a second run finds both rows unchanged."""
    _hold(project(f"{postgres_url}&schema=ai", True), lambda: _read_postgres(postgres_url))


def test_every_type_goes_into_a_table_of_postgres(project: Callable[[str, bool], Project], postgres_url: str) -> None:
    """A standing table with jsonb, wider texts and arrays holds every type; a second run finds both rows unchanged."""
    columns = ", ".join(f"c{n} {POSTGRES[planned]}" for n, (planned, *_) in enumerate(TYPES))
    with psycopg.connect(postgres_url, autocommit=True) as writer:
        writer.execute("CREATE SCHEMA ai")
        writer.execute(f"CREATE TABLE ai.t (id integer PRIMARY KEY, {columns})")
    _hold(project(f"{postgres_url}&schema=ai", False), lambda: _read_postgres(postgres_url))


def test_every_type_is_made_in_a_lake(project: Callable[[str, bool], Project], tmp_path: Path) -> None:
    """A table that the plan makes holds every type exactly; a second run finds both rows unchanged."""
    _hold(project("iceberg:./lake?namespace=ai", True), lambda: _read_lake(tmp_path))


def test_every_type_goes_into_a_table_of_a_lake(project: Callable[[str, bool], Project], tmp_path: Path) -> None:
    """A standing table of another program holds every type; a second run finds both rows unchanged."""
    (tmp_path / "lake").mkdir()
    catalog = _catalog(tmp_path)
    catalog.create_namespace("ai")
    fields = [pa.field(f"c{n}", ARROW[planned]) for n, (planned, *_) in enumerate(TYPES)]
    catalog.create_table(("ai", "t"), pa.schema([pa.field("id", pa.int32(), nullable=False), *fields]))
    _hold(project("iceberg:./lake?namespace=ai", False), lambda: _read_lake(tmp_path))


JSONB = [
    # what the source's json holds, and what a reader of jsonb gets; None: a reject, because jsonb would change it
    ('{"b": 1,  "a": 1.10}', '{"a": 1.10, "b": 1}'),
    ("1e2", "100"),
    ("null", "null"),
    ('{"a": 1, "a": 2}', None),
    ('[{"x": {"k": 1, "\\u006b": 1}}]', None),
    ('"\\u0000"', None),
    ('"\\\\u0000"', '"\\\\u0000"'),
    ("[1e5000]", None),
]
"""Source: https://www.postgresql.org/docs/current/datatype-json.html, tried in psql."""


def test_jsonb_takes_what_it_keeps_and_rejects_the_rest(tmp_path: Path, postgres_url: str) -> None:
    """Repeated names, U+0000 and giant numbers are rejects of jsonb; key order and number forms are its own."""
    with psycopg.connect(postgres_url, autocommit=True) as writer:
        writer.execute("CREATE SCHEMA ai")
        writer.execute("CREATE TABLE ai.t (id integer PRIMARY KEY, v jsonb)")
        writer.execute("CREATE SCHEMA old")
        writer.execute("CREATE TABLE old.t (id integer PRIMARY KEY, v json)")
        for number, (value, _) in enumerate(JSONB):
            writer.execute("INSERT INTO old.t VALUES (%s, %s)", [number, value])
    (tmp_path / "transhume.yaml").write_text(
        "transhume: 1\nname: n\nnamespace: n\nsource: ${SOURCE_URL}\ntarget: ${TARGET_URL}\ntables:\n"
        "  t: {from: t, key: id, max_rejects: 100%, columns: {id: id, v: v}}\n"
    )
    (tmp_path / ".env").write_text(f"SOURCE_URL={postgres_url}&schema=old\nTARGET_URL={postgres_url}&schema=ai\n")
    project = Project(tmp_path)
    result = project.run()
    assert dict(result.tables[0].reasons) == {"json_changed:v": 4}
    with psycopg.connect(postgres_url) as reader:
        reader.adapters.register_loader("jsonb", TextLoader)
        found = dict(reader.execute("SELECT id, v FROM ai.t").fetchall())
    assert found == {number: kept for number, (_, kept) in enumerate(JSONB) if kept is not None}
    assert project.validate().failed == ()
    again = project.run().tables[0]
    assert (again.loaded, again.unchanged, again.rejected) == (0, 4, 4)
    with psycopg.connect(postgres_url, autocommit=True) as writer:
        writer.execute('UPDATE ai.t SET v = \'{"a": 1.1, "b": 1}\' WHERE id = 0')
    with pytest.raises(CheckFailed):
        project.run()


def test_a_smallint_takes_what_it_holds_and_rejects_the_rest(tmp_path: Path, postgres_url: str) -> None:
    """Numbers beyond 16 bits are rejects of a standing smallint column; NULL and the edges arrive."""
    with psycopg.connect(postgres_url, autocommit=True) as writer:
        writer.execute("CREATE SCHEMA ai")
        writer.execute("CREATE TABLE ai.t (id integer PRIMARY KEY, v smallint)")
        writer.execute("CREATE SCHEMA old")
        writer.execute("CREATE TABLE old.t (id integer PRIMARY KEY, v bigint)")
        writer.execute(
            "INSERT INTO old.t VALUES (1, 32767), (2, 32768), (3, -32768), (4, -32769), (5, NULL), (6, 9999999999)"
        )
    (tmp_path / "transhume.yaml").write_text(
        "transhume: 1\nname: n\nnamespace: n\nsource: ${SOURCE_URL}\ntarget: ${TARGET_URL}\ntables:\n"
        "  t: {from: t, key: id, max_rejects: 100%, columns: {id: id, v: v}}\n"
    )
    (tmp_path / ".env").write_text(f"SOURCE_URL={postgres_url}&schema=old\nTARGET_URL={postgres_url}&schema=ai\n")
    result = Project(tmp_path).run()
    assert dict(result.tables[0].reasons) == {"out_of_range:v": 3}
    with psycopg.connect(postgres_url) as reader:
        assert dict(reader.execute("SELECT id, v FROM ai.t").fetchall()) == {1: 32767, 3: -32768, 5: None}
