"""A range read by the driver in C is what one value after the other gives, or it is refused: nothing is bent.

What is expected is what `fetch` reads; that one is held against hand-written values in test_sqlite.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transhume.systems.sqlite import arrow_ranges, catalog, fetch
from transhume.systems.sqlite.arrow_ranges import ArrowRanges
from transhume.systems.sqlite.columns import converter_name
from transhume.systems.sqlite.descriptors import identity
from transhume.systems.sqlite.fetch import Part, Reading

COLUMNS = {"a": "INT", "b": "VARCHAR(9)", "c": "REAL", "d": "DATETIME", "e": "BLOB", "f": "BOOLEAN", "g": "TEXT"}
SOUND: dict[str, tuple[Any, ...]] = {
    "a": (0, -1, 2**63 - 1, -(2**63), 7),
    "b": ("", "a", "Ünïcode 🐑", "a\0b", "1"),
    "c": (0.1 + 0.2, -0.0, 1e308, float("inf"), 3),  # 3 becomes 3.0 where it is stored
    "d": ("0000-00-00", "2024-02-30", "", "2024-01-01 00:00:00", "x"),
    "e": (b"", b"\0", b"\xff\xfe", b"text", bytes(range(256))),
    "f": (0, 1, 1, 0, 0),
    "g": (" ", "\n", "NULL", "é" * 2000, "0"),
}


def _make(path: Path, rows: Sequence[dict[str, Any]], *after: str, before: str = "") -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(before or "SELECT 1")
        connection.execute(f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
        for row in rows:
            # Texts that are no UTF-8 go in as their bytes.
            marks = ["CAST(? AS TEXT)" if isinstance(value, _Raw) else "?" for value in row.values()]
            values = [value.content if isinstance(value, _Raw) else value for value in row.values()]
            connection.execute(f"INSERT INTO t ({', '.join(row)}) VALUES ({', '.join(marks)})", values)
        for statement in after:
            connection.execute(statement)


class _Raw:
    """A text of any bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content


def _reading(connection: sqlite3.Connection) -> Reading:
    columns = catalog.read_tables(connection)["t"].columns
    query = catalog.select(catalog.read_tables(connection)["t"], [catalog.column(each.name) for each in columns])
    return Reading(
        statement=catalog.between(query, "rowid").sql(dialect="sqlite"),
        columns=tuple(each.name for each in columns),
        converters=tuple(converter_name(each) for each in columns),
        numbered=catalog.between(query, "rowid", numbered=True).sql(dialect="sqlite"),
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[ArrowRanges, Reading]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        reading = _reading(connection)
    with contextlib.closing(ArrowRanges(path, "mode=ro", identity(path), reading)) as ranges:
        yield ranges, reading


def _fetched(path: Path, low: int, high: int) -> Part:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        reading = _reading(connection)
        fetch.prepare(connection)
        parts = list(fetch.parts(connection, reading, (low, high)))
    return [pa.concat_arrays([part[index] for part in parts]) for index in range(len(parts[0]))]


def _both(path: Path, row_count: int) -> tuple[Part | None, Part]:
    with _opened(path) as (ranges, _):
        return ranges.read(1, row_count, row_count), _fetched(path, 1, row_count)


def _same(found: Part, expected: Part) -> bool:
    bits = [
        [each.view(pa.int64()) if each.type == pa.float64() else each for each in part] for part in (found, expected)
    ]
    return all(one.equals(other) for one, other in zip(*bits, strict=True))


def _rows(**changed: tuple[Any, ...]) -> list[dict[str, Any]]:
    columns = SOUND | changed
    return [{name: values[place] for name, values in columns.items()} for place in range(5)]


def test_sound_values_arrive_bit_by_bit(tmp_path):
    """Borders of each class, texts with U+0000, empty ones, and NULL in every column."""
    _make(tmp_path / "a.db", [*_rows(), dict.fromkeys(COLUMNS)])
    found, expected = _both(tmp_path / "a.db", 6)
    assert found is not None
    assert _same(found, expected)


def test_columns_without_a_value_have_their_own_types(tmp_path):
    """The driver takes a column of NULLs for integers."""
    _make(tmp_path / "a.db", [dict.fromkeys(COLUMNS)] * 3)
    found, expected = _both(tmp_path / "a.db", 3)
    assert found is not None
    assert [each.type for each in found] == [each.type for each in expected]
    assert all(each.null_count == 3 for each in found)


DOUBTFUL = [
    ("a", 1.5),
    ("a", "x"),
    ("a", b"x"),
    ("b", b"x"),
    ("b", _Raw(b"A\xc3")),
    ("c", "x"),
    ("c", b""),
    ("d", 20240101),
    ("d", 1.5),
    ("d", b"x"),
    ("e", "text"),
    ("e", ""),
    ("e", 1),
    ("e", 0.5),
    ("f", 2),
    ("f", -1),
    ("f", 0.5),
    ("f", "true"),
    ("g", _Raw(b"\xed\xa0\x80")),
    ("g", "x" * 8193),
    ("e", b"x" * 8193),
    ("a", "x" * 100_000),
]


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize(("column", "value"), DOUBTFUL)
def test_a_doubtful_value_refuses_its_range(tmp_path, column: str, value: Any, place: int):
    """First, last or between sound ones: a value of another class, not UTF-8 or long is never taken for another."""
    values = [*SOUND[column]]
    values[place] = value
    _make(tmp_path / "a.db", [*_rows(**{column: tuple(values)}), *_rows()])
    with _opened(tmp_path / "a.db") as (ranges, _):
        assert ranges.read(1, 5, 5) is None
        assert ranges.read(6, 10, 5) is not None


def test_numbers_that_their_columns_cannot_hold_are_seen(tmp_path):
    """Planted by a changed schema: integers in a TEXT column and in a column of reals, which no INSERT brings about."""
    _make(
        tmp_path / "a.db",
        _rows(),
        "ALTER TABLE t ADD COLUMN h NUMERIC",
        "UPDATE t SET h = rowid",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'h NUMERIC', 'h TEXT')",
    )
    with _opened(tmp_path / "a.db") as (ranges, reading):
        assert reading.converters[-1] == "text"
        assert ranges.read(1, 5, 5) is None


value = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1]),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.binary(max_size=4),
    st.binary(max_size=4).map(_Raw),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, value)), min_size=1, max_size=3))
def test_any_values_arrive_as_fetched_or_are_refused(tmp_path, rows: list[dict[str, Any]]):
    """Whatever stands in whatever column."""
    path = tmp_path / "a.db"
    path.unlink(missing_ok=True)
    _make(path, rows)
    found, expected = _both(path, len(rows))
    assert found is None or _same(found, expected)


def test_a_range_of_another_number_of_rows_is_refused(tmp_path):
    """Fewer or more rows than there must be, or nobody knows how many: they are fetched, and counted there."""
    _make(tmp_path / "a.db", _rows())
    with _opened(tmp_path / "a.db") as (ranges, _):
        assert [ranges.read(1, 5, count) is None for count in (4, 5, 6, 0)] == [True, False, True, True]


def test_a_table_of_doubtful_rows_is_tried_a_few_times_only(tmp_path):
    """After eight refusals a sound range is refused, too: each attempt costs a third of a reading."""
    _make(tmp_path / "a.db", _rows())
    with _opened(tmp_path / "a.db") as (ranges, _):
        for _ in range(7):
            assert ranges.read(1, 5, 4) is None
        assert ranges.read(1, 5, 5) is not None
        assert ranges.read(1, 5, 4) is None
        assert ranges.read(1, 5, 5) is None


def test_texts_of_another_encoding_are_fetched(tmp_path):
    """A database in UTF-16 is converted by one library only."""
    _make(tmp_path / "a.db", _rows(), before="PRAGMA encoding = 'UTF-16le'")
    with _opened(tmp_path / "a.db") as (ranges, _):
        assert ranges.read(1, 5, 5) is None


def test_another_file_at_the_path_is_refused(tmp_path):
    """What the worker opened is not what stands there now."""
    _make(tmp_path / "a.db", _rows())
    _make(tmp_path / "b.db", _rows())
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        reading = _reading(connection)
    with pytest.raises(FileNotFoundError):
        ArrowRanges(tmp_path / "b.db", "mode=ro", identity(tmp_path / "a.db"), reading)


COMPUTED = {
    "rounded": "CREATE TABLE t (a REAL, b REAL AS (round(a, 2)))",
    "printed": "CREATE TABLE t (a REAL, b TEXT AS (a))",
    "an expression": "CREATE TABLE t (a REAL, b TEXT DEFAULT (round(1.5)))",
}
ADDED = {
    "a truth as text": "TEXT DEFAULT true",
    "a real": "REAL DEFAULT 4.144245188391054e-300",
    "a real as text": "TEXT DEFAULT 0.1",
    "a text as real": "REAL DEFAULT '4.144245188391054e-300'",
}
SAME = {
    "nothing": "REAL",
    "NULL": "TEXT DEFAULT NULL",
    "a number": "INT DEFAULT -7",
    "a number as real": "REAL DEFAULT 3",
    "a number as text": "VARCHAR(9) DEFAULT 12",
    "a text": "TEXT DEFAULT 'it''s'",
}


def _stored(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        table = catalog.read_tables(connection)["t"]
        return catalog.is_stored(connection, "t", [each.name for each in table.columns])


@pytest.mark.parametrize("name", [*COMPUTED, *ADDED])
def test_what_versions_of_sqlite_compute_is_left_to_one(tmp_path, name: str):
    """Columns computed when they are read, and defaults of rows older than their column: round(2.675, 2) differs."""
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute(COMPUTED.get(name, "CREATE TABLE t (a REAL)"))
        connection.execute("INSERT INTO t (a) VALUES (2.675)")
        if name in ADDED:
            connection.execute(f"ALTER TABLE t ADD COLUMN b {ADDED[name]}")
    assert not _stored(tmp_path / "a.db")


@pytest.mark.parametrize("name", list(SAME))
def test_plain_defaults_of_later_columns_are_the_same(tmp_path, name: str):
    """Whole numbers, texts in TEXT columns and no default at all arrive as fetched."""
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (a REAL, c REAL AS (a) STORED)")
        connection.execute("INSERT INTO t (a) VALUES (2.675), (0.1)")
        connection.execute(f"ALTER TABLE t ADD COLUMN b {SAME[name]}")
        connection.execute("INSERT INTO t (a) VALUES (3)")
    assert _stored(tmp_path / "a.db")
    found, expected = _both(tmp_path / "a.db", 3)
    assert found is not None
    assert _same(found, expected)


def test_a_long_row_does_not_hide_a_row_too_many(tmp_path):
    """Two rows must be there, three are, and one of them is long: refused, or one would be lost."""
    _make(tmp_path / "a.db", [{"g": "a"}, {"g": "x" * 9000}, {"g": "c"}])
    with _opened(tmp_path / "a.db") as (ranges, _):
        assert ranges.read(1, 3, 2) is None
        assert ranges.read(1, 1, 1) is not None


def test_very_many_columns_are_fetched(tmp_path):
    """SQLite takes no expression that is a thousand deep."""
    for count, fits in ((500, True), (501, False)):
        path = tmp_path / f"{count}.db"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(f"CREATE TABLE t ({', '.join(f'a{number} TEXT' for number in range(count))})")
            connection.execute("INSERT INTO t (a7) VALUES ('x')")
            connection.commit()
            assert arrow_ranges.suits(_reading(connection)) is fits
    found, expected = _both(tmp_path / "500.db", 1)
    assert found is not None
    assert _same(found, expected)


@pytest.mark.parametrize("kind", ["NUMERIC", "DECIMAL(9, 2)"])
def test_columns_whose_numbers_have_no_class_of_their_own_are_fetched(tmp_path, kind: str):
    """SQLite stores 10.0 there as the integer 10, so the class says nothing."""
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute(f"CREATE TABLE t (a {kind})")
        connection.execute("INSERT INTO t VALUES (1.5), (10.0)")
        connection.commit()
        assert not arrow_ranges.suits(_reading(connection))
