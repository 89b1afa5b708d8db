"""SQLite as a source: what arrives, what is odd, what a table is. Expectations are written by hand."""

import math
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from transhume.batches import extract_schema
from transhume.errors import SystemRefused, UsageError
from transhume.schema import Carrier, ForeignKey
from transhume.systems import open_source
from transhume.systems.sqlite import fetch as module
from transhume.systems.sqlite.columns import affinity

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a database from statements; a pair is a statement with its values."""

    def written(*statements: Any, name: str = "legacy.db") -> Path:
        connection = sqlite3.connect(tmp_path / name, isolation_level=None)
        for statement in statements:
            connection.execute(*([statement] if isinstance(statement, str) else statement))
        connection.close()
        return tmp_path / name

    return written


def _read(path: Path, name: str = "t", rows_max: int = 65_536, bytes_max: int = 2**25) -> pa.Table:
    source = open_source(f"sqlite:///{path.name}", path.parent)
    table = source.catalog().tables[name]
    with source.snapshot() as snapshot:
        batches = list(snapshot.read(table, rows_max, bytes_max))
    source.close()
    return pa.Table.from_batches(batches, extract_schema(table))


def _type(path: Path, column: str = "v") -> str:
    found = open_source(f"sqlite:///{path.name}", path.parent).catalog().tables["t"].column(column)
    return f"{found.type}{' as text' if found.carrier is Carrier.TEXT else ''}"


INVALID = "CAST(x'41C3' AS TEXT)"
TORTURE: list[tuple[str, str, Any]] = [
    # declared type, SQL of the value, what arrives: a value, or (class, bytes) of an odd one
    ("INTEGER", "9223372036854775807", 9223372036854775807),
    ("INTEGER", "-9223372036854775808", -9223372036854775808),
    ("INTEGER", "NULL", None),
    ("INTEGER", "'12'", 12),  # SQLite's own affinity made it an integer
    ("INTEGER", "'abc'", ("text", b"abc")),
    ("INTEGER", "''", ("text", b"")),
    ("INTEGER", "1.5", ("real", b"1.5")),
    ("INTEGER", "99999999999999999999", ("real", b"1e+20")),
    ("INTEGER", "x'00FF'", ("blob", b"\x00\xff")),
    ("INTEGER", INVALID, ("invalid", b"A\xc3")),
    ("TINYINT(1)", "7", 7),
    ("REAL", "0.1 + 0.2", 0.30000000000000004),
    ("REAL", "-0.0", 0.0),  # SQLite itself stores the integer 0
    ("", "-0.0", -0.0),
    ("REAL", "1e400", math.inf),
    ("REAL", "-1e400", -math.inf),
    ("REAL", "5e-324", 5e-324),
    ("REAL", "1.7976931348623157e308", 1.7976931348623157e308),
    ("REAL", "1", 1.0),
    ("FLOAT", "'n/a'", ("text", b"n/a")),
    ("DOUBLE PRECISION", "x'01'", ("blob", b"\x01")),
    ("TEXT", "''", ""),
    ("TEXT", "'é😀' || char(10) || char(13,10) || '\"\\,'", 'é😀\n\r\n"\\,'),
    ("TEXT", "'a' || char(0) || 'b'", "a\x00b"),
    ("TEXT", "12", "12"),  # SQLite's own affinity made it text
    ("TEXT", "x'4142'", ("blob", b"AB")),
    ("TEXT", INVALID, ("invalid", b"A\xc3")),
    ("TEXT", "CAST(x'EDA080' AS TEXT)", ("invalid", b"\xed\xa0\x80")),
    ("VARCHAR(3)", "'longer than three'", "longer than three"),
    ("DECIMAL(10,2)", "'1.10'", "1.1"),  # stored as the double 1.1
    ("DECIMAL(10,2)", "10", "10"),
    ("DECIMAL(10,2)", "0.1 + 0.2", "0.30000000000000004"),
    ("NUMERIC(38,4)", "12345678901234567890", "1.2345678901234567e+19"),
    ("DECIMAL(10,2)", "'n/a'", "n/a"),
    ("DECIMAL(10,2)", "x'31'", ("blob", b"1")),
    ("DECIMAL(10,2)", INVALID, ("invalid", b"A\xc3")),
    ("BOOLEAN", "1", True),
    ("BOOLEAN", "0", False),
    ("BOOLEAN", "2", ("integer", b"2")),
    ("BOOLEAN", "'true'", ("text", b"true")),
    ("DATETIME", "'2024-01-15 10:30:00'", "2024-01-15 10:30:00"),
    ("DATETIME", "'0000-00-00 00:00:00'", "0000-00-00 00:00:00"),
    ("DATETIME", "1705314600", ("integer", b"1705314600")),
    ("TIMESTAMP", "2460325.9375", ("real", b"2460325.9375")),
    ("DATE", "'2024-02-30'", "2024-02-30"),
    ("TIME", "'24:00:00'", "24:00:00"),
    ("JSON", "'{\"a\": 1.10}'", '{"a": 1.10}'),
    ("JSON", "'5'", ("integer", b"5")),
    ("BLOB", "x'00FF'", b"\x00\xff"),
    ("BLOB", "'text'", ("text", b"text")),
]


@pytest.mark.parametrize(("declared", "value", "expected"), TORTURE)
def test_every_value_arrives_exactly_or_as_odd(make: Make, declared: str, value: str, expected: Any):
    """A value of the column's own class arrives bit by bit; any other travels beside the row with its class."""
    found = _read(make(f"CREATE TABLE t (v {declared})", f"INSERT INTO t VALUES ({value})")).to_pylist()[0]
    if isinstance(expected, tuple):
        assert found["v"] is None
        assert found["_odd"] == [{"name": "v", "class": expected[0], "value": expected[1]}]
    else:
        assert found["_odd"] is None
        assert type(found["v"]) is type(expected)
        assert found["v"] == expected
        if isinstance(expected, float):
            assert struct.pack(">d", found["v"]) == struct.pack(">d", expected)


@pytest.mark.parametrize(
    ("declared", "values", "expected"),
    [
        ("INT", [], "bigint"),
        ("VARCHAR(20)", [], "text"),
        ("DECIMAL(10,2)", [], "decimal(10,2) as text"),
        ("NUMERIC(6)", [], "decimal(6,0) as text"),
        ("DECIMAL(60,2)", ["1.5"], "double"),
        ("Bool", [], "boolean"),
        ("datetime", [], "timestamp as text"),
        ("TIMESTAMP WITH TIME ZONE", [], "timestamptz as text"),
        ("POINT", [], "bigint"),  # holds 'INT': SQLite's own rule
        ("", [], "text"),
        ("", ["1", "2", "'x'"], "bigint"),
        ("", ["1", "2.5", "3.5"], "double"),
        ("", ["x'00'"], "bytes"),
        ("UUID", ["'9f2c'", "x'00'", "'a'"], "text"),
        ("NUMERIC", ["10", "10.5", "11"], "double"),
        ("STRING", ["'a'"], "text"),
    ],
)
def test_a_column_has_the_type_that_it_declares_or_else_holds(make: Make, declared, values, expected):
    """Declared types decide by SQLite's affinity; where they say nothing, the most frequent storage class does."""
    inserts = [f"INSERT INTO t VALUES ({value})" for value in values]
    assert _type(make(f"CREATE TABLE t (v {declared})", *inserts)) == expected


def test_affinity_is_sqlites_own(make: Make):
    """Our reading of a declared type agrees with what SQLite does with the text '1'."""
    names = ["INT", "FLOATING POINT", "CHARINT", "CLOB", "DOUBLE", "XBLOBX", "STRING", "DECIMAL", "REALTEXT", "ANY"]
    classes = {"INTEGER": "integer", "REAL": "real", "TEXT": "text", "NUMERIC": "integer", "BLOB": "text"}
    path = make(*[f'CREATE TABLE "{name}" (v {name})' for name in names])
    with sqlite3.connect(path) as connection:
        for name in names:
            connection.execute(f"INSERT INTO \"{name}\" VALUES ('1')")
            (held,) = connection.execute(f'SELECT typeof(v) FROM "{name}"').fetchone()
            assert held == classes[affinity(name)], name
    connection.close()


def test_integers_beside_reals_in_a_numeric_column_are_doubles(make: Make):
    """SQLite stores 10.0 there as the integer 10; only an integer that no double holds is odd."""
    path = make("CREATE TABLE t (v NUMERIC)", "INSERT INTO t VALUES (10.0), (2.5), (9007199254740993), ('x')")
    found = _read(path).to_pylist()
    assert [row["v"] for row in found] == [10.0, 2.5, None, None]
    assert [row["_odd"] and row["_odd"][0]["class"] for row in found] == [None, None, "integer", "text"]


def test_one_row_may_hold_several_odd_values(make: Make):
    """All of them are kept, in column order, and its neighbours are untouched."""
    path = make(
        "CREATE TABLE t (a INT, b INT, c TEXT)", "INSERT INTO t VALUES (1, 2, 'x'), ('p', 'q', x'00'), (3, 4, '')"
    )
    found = _read(path).to_pylist()
    assert [entry["name"] for entry in found[1]["_odd"]] == ["a", "b", "c"]
    assert [found[index]["_odd"] for index in (0, 2)] == [None, None]


def test_an_odd_value_is_found_wherever_it_stands(make: Make):
    """A single odd value among thousands is told by its row, in every size of batch."""
    rows = [(number, "x") for number in range(5000)]
    rows[4321] = (b"\x00", "x")
    path = make("CREATE TABLE t (a INT, b TEXT)")
    with sqlite3.connect(path) as connection:
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    connection.close()
    for rows_max in (7, 1000, 65_536):
        found = _read(path, rows_max=rows_max)
        odd = [row["_row"] for row in found.to_pylist() if row["_odd"] is not None]
        assert odd == [4321]
        assert found.column("_row").to_pylist() == list(range(5000))


def test_batches_keep_their_bounds(make: Make):
    """No batch has more than `rows_max` rows, and few more than `bytes_max` bytes."""
    path = make(
        "CREATE TABLE t (v TEXT)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
        "INSERT INTO t SELECT hex(zeroblob(500)) FROM n",
    )
    source = open_source(f"sqlite:///{path.name}", path.parent)
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        by_rows = [batch.num_rows for batch in snapshot.read(table, 700, 2**30)]
        by_bytes = [batch.nbytes for batch in snapshot.read(table, 10**6, 100_000)]
    assert sum(by_rows) == 3000
    assert max(by_rows) <= 700
    assert max(by_bytes) <= 110_000
    assert len(by_bytes) > 20


def test_long_values_are_fetched_a_few_at_a_time(make: Make, monkeypatch: pytest.MonkeyPatch):
    """Rows before the first long value come many at once, those after it by size; none is lost or read twice."""
    sizes: list[int] = []
    whole = module._by_size
    monkeypatch.setattr(module, "_by_size", lambda *given: (sizes.append(len(rows)) or rows for rows in whole(*given)))
    path = make(
        "CREATE TABLE t (i INTEGER PRIMARY KEY, v TEXT)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
        "INSERT INTO t SELECT i, CASE WHEN i > 2000 THEN hex(zeroblob(50000)) ELSE 'short' END FROM n",
    )
    found = _read(path, bytes_max=2**20)
    assert found.column("i").to_pylist() == list(range(1, 3001))
    assert {len(text) for text in found.column("v").to_pylist()} == {5, 100_000}
    assert max(sizes[2:]) <= 11  # 1 MiB holds ten of them


def test_a_value_of_100_mb_arrives(make: Make):
    """One row may be larger than every bound."""
    path = make("CREATE TABLE t (v BLOB)", "INSERT INTO t VALUES (zeroblob(104857600)), (x'01')")
    assert [len(value) for value in _read(path, bytes_max=2**20).column("v").to_pylist()] == [104_857_600, 1]


NAMES = [
    "",
    " ",
    "select",
    'a"b',
    "a'b",
    "a;b--",
    "日本語 😀",
    "rowid",
    "_row",
    "_odd",
    "%s",
    "{{x}}",
    "a\nb",
    "[x]",
    "`",
]


def test_any_name_of_table_and_column_is_read(make: Make):
    """Quotes, blanks, reserved words, emoji and the empty name are names like others."""
    quoted = ['"{}"'.format(name.replace('"', '""')) for name in NAMES]
    columns = ", ".join(f"{name} INTEGER" for name in quoted)
    numbers = ", ".join(str(number) for number in range(len(NAMES)))
    path = make(*[s for n in quoted for s in (f"CREATE TABLE {n} ({columns})", f"INSERT INTO {n} VALUES ({numbers})")])
    for name in NAMES:
        assert list(_read(path, name).to_pylist()[0].values())[1:-1] == list(range(len(NAMES)))


def test_a_column_dropped_after_the_catalog_is_an_error_not_a_text(make: Make):
    """SQLite takes an unknown name in double quotes for a string; ours is never a string."""
    path = make("CREATE TABLE t (a INT, b INT)", "INSERT INTO t VALUES (1, 2)")
    source = open_source(f"sqlite:///{path.name}", path.parent)
    table = source.catalog().tables["t"]
    make("ALTER TABLE t DROP COLUMN b")
    with pytest.raises(SystemRefused, match="no such column"), source.snapshot() as snapshot:
        list(snapshot.read(table, 10, 1000))


def test_rows_come_in_the_order_of_the_key(make: Make):
    """By rowid or primary key, also where an index would answer the query, or the rowid's names are taken."""
    values = "(3, 'b'), (1, 'c'), (2, 'a')"
    path = make(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TABLE w (v TEXT, k INT, PRIMARY KEY (k)) WITHOUT ROWID",
        "CREATE TABLE h (rowid TEXT, _rowid_ INT, oid INT)",
        f"INSERT INTO t VALUES {values}",
        f"INSERT INTO w (k, v) VALUES {values}",
        "INSERT INTO h VALUES ('b', 1, 1), ('a', 2, 2)",
        "CREATE INDEX by_value ON t (v, k)",
        "CREATE INDEX by_text ON h (rowid, _rowid_, oid)",
        "ANALYZE",
    )
    assert _read(path, "t").column("k").to_pylist() == [1, 2, 3]
    assert _read(path, "w").column("k").to_pylist() == [1, 2, 3]
    assert _read(path, "h").column("_rowid_").to_pylist() == [1, 2]


def test_the_catalog_lists_tables_and_nothing_else(make: Make):
    """System tables, views and shadow tables are left out; a virtual table is there, without types."""
    path = make(
        "CREATE TABLE t (i INTEGER PRIMARY KEY AUTOINCREMENT)",
        "INSERT INTO t DEFAULT VALUES",
        "CREATE VIEW v AS SELECT * FROM t",
        "CREATE VIRTUAL TABLE search USING fts5(words)",
        "ANALYZE",
    )
    source = open_source("sqlite:///legacy.db", path.parent)
    tables = source.catalog().tables
    assert list(tables) == ["search", "t"]
    assert [column.type for column in tables["search"].columns] == [None]
    with pytest.raises(SystemRefused, match="'search' is a virtual table"), source.snapshot() as snapshot:
        list(snapshot.read(tables["search"], 10, 1000))


def test_keys_and_references_are_what_sqlite_says(make: Make):
    """Composite, implicit and self references, unique indexes, and a primary key that takes NULL."""
    path = make(
        "CREATE TABLE Parent (a INT, b TEXT, PRIMARY KEY (b, a))",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x INT, y TEXT, up INT REFERENCES T, gone INT REFERENCES nowhere(z), "
        "code TEXT UNIQUE CHECK (length(code) < 5), FOREIGN KEY (y, x) REFERENCES parent)",
        "CREATE UNIQUE INDEX part ON t (x) WHERE x > 0",
        "CREATE UNIQUE INDEX computed ON t (x + 1)",
        "CREATE UNIQUE INDEX two ON t (x, y)",
        "INSERT INTO Parent VALUES (NULL, NULL)",
    )
    tables = open_source("sqlite:///legacy.db", path.parent).catalog().tables
    assert tables["Parent"].primary_key == ("b", "a")
    assert tables["Parent"].column("a").nullable
    assert tables["Parent"].row_count == 1
    assert not tables["t"].column("id").nullable
    assert tables["t"].unique == (("code",), ("x", "y"))
    assert tables["t"].foreign_keys == (
        ForeignKey(("up",), "t", ("id",)),
        ForeignKey(("gone",), "nowhere", ("z",)),
        ForeignKey(("y", "x"), "Parent", ("b", "a")),
    )
    assert len(tables["t"].checks) == 1


def test_generated_and_strict_tables_are_read(make: Make):
    """Computed columns are columns like others; ANY takes the class found."""
    path = make(
        "CREATE TABLE t (a INT, b INT AS (a * 2), c INT AS (a + 1) STORED)",
        "CREATE TABLE s (a INTEGER NOT NULL, v ANY) STRICT",
        "INSERT INTO t (a) VALUES (5)",
        "INSERT INTO s VALUES (1, 'x'), (2, 'y'), (3, 4)",
    )
    assert _read(path).to_pylist() == [{"_row": 0, "a": 5, "b": 10, "c": 6, "_odd": None}]
    assert _read(path, "s").column("v").to_pylist() == ["x", "y", None]


def test_an_empty_table_gives_no_batch(make: Make):
    """Nothing is read from nothing."""
    assert _read(make("CREATE TABLE t (a INT)")).num_rows == 0


def test_two_thousand_columns_are_read(make: Make):
    """SQLite's own limit is ours; untyped ones are counted in several statements."""
    names = [f"c{number}" for number in range(2000)]
    path = make(f"CREATE TABLE t ({', '.join(names)})", f"INSERT INTO t VALUES ({', '.join('7' * 2000)})")
    assert set(list(_read(path).to_pylist()[0].values())[1:-1]) == {7}


def test_a_database_in_utf_16_gives_the_same_texts(make: Make):
    """Legacy programs on Windows wrote them."""
    path = make("PRAGMA encoding = 'UTF-16le'", "CREATE TABLE t (v TEXT)", "INSERT INTO t VALUES ('é😀'), ('')")
    assert _read(path).column("v").to_pylist() == ["é😀", ""]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://legacy.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///a.db?mode=rw", "takes no options"),
        ("sqlite:legacy.db", "names no file"),
        ("sqlit:///legacy.db", "did you mean 'sqlite'"),
        ("legacy.db", "names no system"),
        ("iceberg:./lake", "cannot be a source"),
        ("p@ssw0rd:x", "known schemes"),
    ],
)
def test_a_url_that_names_no_source_is_refused(tmp_path: Path, url: str, words: str):
    """The message gives the form, and never repeats what may be a password."""
    with pytest.raises(UsageError, match=words) as caught:
        open_source(url, tmp_path)
    assert "p@ssw0rd" not in str(caught.value)


def test_paths_are_relative_to_the_project_and_may_hold_anything(make: Make, tmp_path: Path):
    """Three slashes are relative, four absolute; `?`, `#` and `%` are percent-encoded."""
    path = make("CREATE TABLE t (a INT)", name="odd ?#% name.db")
    for url in ("sqlite:///odd %3F%23%25 name.db", f"sqlite:///{tmp_path}/odd %3F%23%25 name.db"):
        source = open_source(url, tmp_path)
        assert source.identity == f"sqlite:///{path.resolve()}"
        assert list(source.catalog().tables) == ["t"]
