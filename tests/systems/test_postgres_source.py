"""PostgreSQL as a source, on a real server: what arrives, what is refused by type, what a table is."""

import math
import struct
from collections.abc import Callable
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from tests import servers
from transhume.batches import extract_schema
from transhume.errors import SystemProblem, SystemRefused, SystemUnavailable
from transhume.schema import BIGINT, TEXT, Carrier, ForeignKey, Kind, LogicalType
from transhume.systems import open_source
from transhume.systems.postgres.source import PostgresSource
from transhume.systems.postgres.types import NativeType, source_type

Run = Callable[..., None]


@pytest.fixture
def run(postgres_url: str) -> Run:
    """Run statements in the test's own database."""

    def ran(*statements: Any) -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    return ran


@pytest.fixture
def source(postgres_url: str, tmp_path) -> PostgresSource:
    return open_source(postgres_url, tmp_path)


def _read(source: PostgresSource, name: str = "t", rows_max: int = 65_536, bytes_max: int = 2**25) -> pa.Table:
    table = source.catalog().tables[name]
    with source.snapshot() as snapshot:
        batches = list(snapshot.read(table, rows_max, bytes_max))
    return pa.Table.from_batches(batches, extract_schema(table))


DIGITS = "12345678901234567890123456.123456789012"
TORTURE: list[tuple[str, str, Any]] = [
    ("smallint", "-32768", -32768),
    ("integer", "2147483647", 2147483647),
    ("bigint", "-9223372036854775808", -9223372036854775808),
    ("bigint", "NULL", None),
    ("oid", "4294967295", 4294967295),
    ("real", "'0.1'", 0.10000000149011612),  # the double of the same value, not the double nearest to 0.1
    ("real", "'16777217'", 16777216.0),
    ("real", "'-Infinity'", -math.inf),
    ("double precision", "0.1::float8 + 0.2::float8", 0.30000000000000004),
    ("double precision", "'-0'", -0.0),
    ("double precision", "'NaN'", math.nan),
    ("double precision", "'Infinity'", math.inf),
    ("double precision", "'5e-324'", 5e-324),
    ("double precision", "'1.7976931348623157e308'", 1.7976931348623157e308),
    ("double precision", "'2.2250738585072011e-308'", 2.2250738585072011e-308),
    ("numeric(38,12)", DIGITS, DIGITS),
    ("numeric(10,2)", "1.005", "1.01"),  # PostgreSQL itself rounded when it was stored
    ("numeric(10,2)", "1", "1.00"),
    ("numeric(10,2)", "'NaN'", "NaN"),
    ("numeric", "'Infinity'", "Infinity"),
    ("numeric", "1e-30", "0.000000000000000000000000000001"),
    ("numeric(60,2)", "1.5", "1.50"),
    ("boolean", "true", True),
    ("boolean", "false", False),
    ("text", "''", ""),
    ("text", "NULL", None),
    ("text", "'NULL'", "NULL"),
    ("text", r"E'\\.'", r"\."),
    ("text", "E'\"quoted\", \\\\ \\r\\n \\t\\n\\n'", '"quoted", \\ \r\n \t\n\n'),
    ("text", "'\"'", '"'),
    ("text", "U&'\\FEFFé😀\\200B'", "\ufeffé😀\u200b"),
    ("text", "E'\\x01\\x7f'", "\x01\x7f"),
    ("text", "' both '", " both "),
    ("varchar(5)", "'abcde'", "abcde"),
    ("char(5)", "'ab'", "ab   "),
    ("name", "'a name'", "a name"),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("date", "'2024-02-29'", "2024-02-29"),
    ("date", "'infinity'", "infinity"),
    ("date", "'0044-03-15 BC'", "0044-03-15 BC"),
    ("timestamp", "'2024-01-15 10:30:00.123456'", "2024-01-15 10:30:00.123456"),
    ("timestamp", "'-infinity'", "-infinity"),
    ("timestamp", "'294276-12-31 23:59:59.999999'", "294276-12-31 23:59:59.999999"),
    ("timestamptz", "'2024-07-15 10:30:00 America/New_York'", "2024-07-15 14:30:00+00"),
    ("timestamptz", "'0001-01-01 00:00:00+00 BC'", "0001-01-01 00:00:00+00 BC"),
    ("time", "'24:00:00'", "24:00:00"),
    ("time(3)", "'10:30:00.5'", "10:30:00.5"),
    ("bytea", r"'\x00ff5c'", b"\x00\xff\\"),
    ("bytea", "''", b""),
    ("bytea", "NULL", None),
    ("json", '\'{"b":1, "a" : 1.10, "a": 2}\'', '{"b":1, "a" : 1.10, "a": 2}'),
    ("json", "'null'", "null"),
    ("jsonb", '\'{"b":12345678901234567890, "a": "\\""}\'', '{"a": "\\"", "b": 12345678901234567890}'),
    ("mood", "'so, so'", "so, so"),
    ("positive", "5", 5),
    ("code", "'ab'", "ab"),
]
TYPES = (
    "CREATE TYPE mood AS ENUM ('sad', 'so, so')",
    "CREATE DOMAIN positive AS integer CHECK (value > 0)",
    "CREATE DOMAIN short AS varchar(3)",
    "CREATE DOMAIN code AS short NOT NULL DEFAULT 'x'",
    "CREATE TYPE pair AS (a integer, b text)",
)


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside"])
def test_every_value_arrives_exactly(run: Run, source: PostgresSource, alone: bool):
    """Values arrive bit by bit, alone in their table (a NULL is then an empty line) or among other columns."""
    run(*TYPES)
    for number, (native, value, _) in enumerate(TORTURE):
        other = "" if alone else ", w text DEFAULT NULL, x integer DEFAULT 7"
        run(f"CREATE TABLE t{number} (v {native}{other})", f"INSERT INTO t{number} (v) VALUES ({value})")
    tables = source.catalog().tables
    with source.snapshot() as snapshot:
        for number, (native, value, expected) in enumerate(TORTURE):
            (batch,) = snapshot.read(tables[f"t{number}"], 10, 1000)
            (row,) = batch.to_pylist()
            assert row["_row"] == 0
            assert row["_odd"] is None
            assert type(row["v"]) is type(expected), (native, value)
            if isinstance(expected, float):
                assert struct.pack(">d", row["v"]) == struct.pack(">d", expected), (native, value)
            else:
                assert row["v"] == expected, (native, value)
            assert alone or (row["w"], row["x"]) == (None, 7)


REFUSED = [
    "int4range", "int8multirange", "interval", "money", "bit(3)", "varbit", "xml", "tsvector",
    "tsquery", "point", "polygon", "inet", "cidr", "macaddr", "timetz", "pair", "regclass", '"char"', "xid8", "pg_lsn",
]  # fmt: skip


def test_types_that_would_bend_are_refused_by_name(run: Run, source: PostgresSource):
    """Such a column has no type, and its native name; the others of its table are carried."""
    columns = ", ".join(f'"{native}" {native}' for native in REFUSED if native != '"char"')
    run(*TYPES, f'CREATE TABLE t (a integer, {columns}, single "char")', "INSERT INTO t (a) VALUES (1)")
    table = source.catalog().tables["t"]
    assert {column.name for column in table.columns if column.type is not None} == {"a"}
    assert table.column("money").native == "money"
    assert _read(source).to_pylist() == [{"_row": 0, "a": 1, "_odd": None}]


@pytest.mark.parametrize(
    ("native", "expected", "carrier"),
    [
        (NativeType("pg_catalog", "numeric", "b", -1), TEXT, Carrier.NATIVE),
        (
            NativeType("pg_catalog", "numeric", "b", ((10 << 16) | 2) + 4),
            LogicalType(Kind.DECIMAL, precision=10, scale=2),
            Carrier.TEXT,
        ),
        (
            NativeType("pg_catalog", "numeric", "b", ((5 << 16) | (-2 & 0x7FF)) + 4),
            LogicalType(Kind.DECIMAL, precision=7, scale=0),
            Carrier.TEXT,
        ),
        (
            NativeType("pg_catalog", "numeric", "b", ((3 << 16) | 5) + 4),
            LogicalType(Kind.DECIMAL, precision=5, scale=5),
            Carrier.TEXT,
        ),
        (NativeType("pg_catalog", "varchar", "b", 24), LogicalType(Kind.TEXT, length=20), Carrier.NATIVE),
        (NativeType("public", "citext", "b"), TEXT, Carrier.NATIVE),
    ],
)
def test_modifiers_become_bounds(native: NativeType, expected: LogicalType, carrier: Carrier):
    """Precision, scale (negative and wide ones too) and length are read from the type's modifier."""
    assert source_type(native) == (expected, carrier)


def test_modifiers_are_what_the_server_says(run: Run, source: PostgresSource):
    """The same bounds, from a real catalog, through two domains too."""
    run(
        *TYPES,
        "CREATE TABLE t (a numeric(10,2), b numeric(5,-2), c numeric(3,5), d varchar(20), e code, f char, "
        "g numeric(7))",
        "INSERT INTO t VALUES (1, 12345, 0.00123, 'x', 'abc', 'c', 7)",
    )
    types = [str(column.type) for column in source.catalog().tables["t"].columns]
    expected = ["decimal(10,2)", "decimal(7,0)", "decimal(5,5)", "text(20)", "text(3)", "text(1)", "decimal(7,0)"]
    assert types == expected
    assert list(_read(source).to_pylist()[0].values())[1:-1] == ["1.00", "12300", "0.00123", "x", "abc", "c", "7"]


def test_batches_keep_their_bounds_and_number_their_rows(run: Run, source: PostgresSource):
    """At most `rows_max` rows, about `bytes_max` bytes; `_row` counts on from batch to batch, twice the same."""
    run(
        "CREATE TABLE t (i integer, v text)",
        "INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 3000) i",
    )
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        by_rows = list(snapshot.read(table, 700, 2**30))
        by_bytes = list(snapshot.read(table, 10**6, 100_000))
    assert [batch.num_rows for batch in by_rows] == [700, 700, 700, 700, 200]
    assert max(batch.nbytes for batch in by_bytes) < 110_000
    assert pa.Table.from_batches(by_rows).equals(pa.Table.from_batches(by_bytes).combine_chunks())
    assert pa.Table.from_batches(by_rows).column("_row").to_pylist() == list(range(3000))


def test_a_value_of_100_mb_arrives(run: Run, source: PostgresSource):
    """One row may be larger than every bound."""
    run("CREATE TABLE t (v text)", "INSERT INTO t VALUES (repeat('x', 104857600)), ('short')")
    assert [len(text) for text in _read(source, bytes_max=2**20).column("v").to_pylist()] == [104_857_600, 5]


def test_any_name_is_read(run: Run, postgres_url: str, tmp_path):
    """Quotes, reserved words, capitals and emoji, in schema, table and column."""
    names = [" ", "select", 'a"b', "a'b", "a;b--", "日本語 😀", "_row", "A", "a", "%s", "{}", "ctid2", "a\nb"]
    columns = sql.SQL(", ").join(sql.SQL("{} integer").format(sql.Identifier(name)) for name in names)
    run(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier("my schema")))
    for name in names:
        place = sql.Identifier("my schema", name)
        run(sql.SQL("CREATE TABLE {} ({})").format(place, columns))
        run(
            sql.SQL("INSERT INTO {} VALUES ({})").format(place, sql.SQL(", ").join(map(sql.Literal, range(len(names)))))
        )
    source = open_source(f"{postgres_url}&schema=my%20schema", tmp_path)
    assert sorted(source.catalog().tables) == sorted(names)
    for name in names:
        assert list(_read(source, name).to_pylist()[0].values())[1:-1] == list(range(len(names)))


def test_each_row_stands_in_one_table(run: Run, source: PostgresSource):
    """Partitions come with their parent; a table that inherits keeps its rows to itself; views are left out."""
    run(
        "CREATE TABLE parent (i integer) PARTITION BY RANGE (i)",
        "CREATE TABLE low PARTITION OF parent FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE high PARTITION OF parent FOR VALUES FROM (10) TO (20) PARTITION BY LIST (i)",
        "CREATE TABLE eleven PARTITION OF high FOR VALUES IN (11)",
        "INSERT INTO parent VALUES (1), (11)",
        "CREATE TABLE animal (i integer)",
        "CREATE TABLE cat (claws integer) INHERITS (animal)",
        "INSERT INTO animal VALUES (1)",
        "INSERT INTO cat VALUES (2, 18)",
        "CREATE VIEW seen AS SELECT * FROM animal",
        "CREATE MATERIALIZED VIEW kept AS SELECT * FROM animal",
        "CREATE TABLE computed (a integer, b integer GENERATED ALWAYS AS (a * 2) STORED)",
        "INSERT INTO computed VALUES (5)",
        "CREATE TABLE bare ()",
        "INSERT INTO bare DEFAULT VALUES",
    )
    assert sorted(source.catalog().tables) == ["animal", "bare", "cat", "computed", "parent"]
    assert _read(source, "parent").column("i").to_pylist() == [1, 11]
    assert _read(source, "animal").column("i").to_pylist() == [1]
    assert _read(source, "cat").column("i").to_pylist() == [2]
    assert _read(source, "computed").column("b").to_pylist() == [10]
    assert _read(source, "bare").num_rows == 1


def test_a_foreign_table_is_not_of_this_instant(run: Run, source: PostgresSource):
    """Its columns have no type, so a plan that uses it is refused."""
    run(
        "CREATE FOREIGN DATA WRAPPER nothing",
        "CREATE SERVER far FOREIGN DATA WRAPPER nothing",
        "CREATE FOREIGN TABLE remote (i integer) SERVER far",
    )
    (column,) = source.catalog().tables["remote"].columns
    assert column.type is None
    assert column.native == "integer of a foreign table, which is not of this instant"


def test_keys_and_references_are_what_the_server_says(run: Run, source: PostgresSource):
    """Composite keys, unique constraints and indexes, references with their deferrability."""
    run(
        "CREATE TABLE parent (b text, a integer, PRIMARY KEY (b, a))",
        "CREATE TABLE t (id integer PRIMARY KEY, x integer NOT NULL, y text UNIQUE, "
        "up integer REFERENCES t DEFERRABLE, "
        "FOREIGN KEY (y, x) REFERENCES parent, CHECK (x > 0))",
    )
    table = source.catalog().tables["t"]
    assert source.catalog().tables["parent"].primary_key == ("b", "a")
    assert table.unique == (("y",),)
    assert set(table.foreign_keys) == {
        ForeignKey(("up",), "t", ("id",), deferrable=True),
        ForeignKey(("y", "x"), "parent", ("b", "a")),
    }
    assert [column.nullable for column in table.columns] == [False, False, True, True]
    assert len(table.checks) == 1
    assert table.column("id").type == LogicalType(Kind.INT)


def test_all_tables_are_read_at_one_instant(run: Run, source: PostgresSource):
    """A transfer between two tables, committed while we read, does not show in either."""
    run("CREATE TABLE a AS SELECT 5000 AS v", "CREATE TABLE b AS SELECT 5000 AS v")
    tables = source.catalog().tables
    with source.snapshot() as snapshot:
        (first,) = snapshot.read(tables["a"], 10, 1000)
        run("BEGIN; UPDATE a SET v = v - 50; UPDATE b SET v = v + 50; COMMIT")
        (second,) = snapshot.read(tables["b"], 10, 1000)
    assert first.column("v")[0].as_py() + second.column("v")[0].as_py() == 10_000


def test_the_session_can_only_read(run: Run, source: PostgresSource):
    """The transaction is read only, at one snapshot, and nothing ends it while segments are written."""
    run("CREATE TABLE t (i integer)")
    shows = {
        "transaction_read_only": "on",
        "transaction_isolation": "repeatable read",
        "idle_in_transaction_session_timeout": "0",
        "jit": "off",
        "row_security": "off",
        "TimeZone": "UTC",
    }
    with source.snapshot() as snapshot:
        for name, value in shows.items():
            found = snapshot._connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert found == (value,), name
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            snapshot._connection.execute("INSERT INTO public.t VALUES (1)")


@pytest.mark.parametrize("rows_read", [0, 1, 50])
def test_a_connection_that_is_cut_stops_the_read(run: Run, source: PostgresSource, rows_read: int):
    """What was yielded is valid but not all, so the error is never swallowed."""
    run("CREATE TABLE t AS SELECT i, repeat('x', 10000) AS v FROM generate_series(1, 5000) i")
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        batches = snapshot.read(table, 1, 10**6)
        for _ in range(rows_read):
            next(batches)
        run(sql.SQL("SELECT pg_terminate_backend({})").format(snapshot._connection.info.backend_pid))
        with pytest.raises(SystemUnavailable, match="connection is lost; run the same command again"):
            list(batches)


def test_a_read_that_is_left_halfway_leaves_nothing_behind(run: Run, source: PostgresSource, postgres_url: str):
    """The connection closes with the snapshot, also when its reader stopped early."""
    run("CREATE TABLE t AS SELECT i, repeat('x', 1000) AS v FROM generate_series(1, 20000) i")
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        next(snapshot.read(table, 10, 10**6))
    with psycopg.connect(postgres_url) as connection:
        open_ones = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'transhume source' AND state <> ''"
        for _ in range(50):
            if connection.execute(open_ones).fetchone() == (0,):
                return
            connection.execute("SELECT pg_sleep(0.1), pg_stat_clear_snapshot()")
    pytest.fail("a connection is still open")


@pytest.fixture
def limited(run: Run, postgres_server: servers.PostgresServer, postgres_url: str, tmp_path):
    """A role without rights, and the source as it sees it."""
    role = "limited_" + postgres_url.split("test_")[1][:12]
    run(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    yield role, open_source(postgres_url.replace("postgres@", f"{role}@"), tmp_path)
    run(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)), sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_what_the_role_may_not_read_is_said_for_all_tables_at_once(run: Run, source: PostgresSource, limited):
    """Columns without the right, or of a table whose rows may be hidden, have no type; reading them is refused."""
    role, seen = limited
    run(
        "CREATE TABLE closed (i integer)",
        "CREATE TABLE partly (a integer, b integer)",
        "CREATE TABLE hidden (i integer)",
        "CREATE TABLE open (i integer)",
        "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY",
        sql.SQL("GRANT SELECT ON open, hidden TO {}").format(sql.Identifier(role)),
        sql.SQL("GRANT SELECT (a) ON partly TO {}").format(sql.Identifier(role)),
    )
    tables = seen.catalog().tables
    natives = {(name, each.name): each.native for name, t in tables.items() for each in t.columns if each.type is None}
    assert natives == {
        ("closed", "i"): "integer without the right to SELECT",
        ("partly", "b"): "integer without the right to SELECT",
        ("hidden", "i"): "integer of a table from which row security hides rows",
    }
    whole = source.catalog().tables
    for name, words in {"closed": "GRANT SELECT", "partly": "columns 'b'", "hidden": "row security hides"}.items():
        with seen.snapshot() as snapshot, pytest.raises(SystemRefused, match=words):
            list(snapshot.read(whole[name], 10, 1000))
    assert _read(seen, "open").num_rows == 0


def test_a_policy_that_appears_after_the_look_raises(run: Run, source: PostgresSource, limited):
    """The session forbids the server to filter silently."""
    role, seen = limited
    run("CREATE TABLE t (i integer)", "INSERT INTO t VALUES (1)", f"GRANT SELECT ON t TO {role}")
    table = seen.catalog().tables["t"]
    with seen.snapshot() as snapshot:
        run("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
        with pytest.raises(SystemProblem, match="row-level security"):
            list(snapshot.read(table, 10, 1000))


def test_a_table_that_went_away_is_said(run: Run, source: PostgresSource):
    """Between catalog and snapshot a column may be dropped or change its type, a table may be dropped."""
    run("CREATE TABLE t (a integer, b integer)", "CREATE TABLE u (a integer)", "CREATE TABLE v (a integer)")
    tables = source.catalog().tables
    run("ALTER TABLE t DROP COLUMN b", "DROP TABLE u", "ALTER TABLE v ALTER a TYPE real")
    with source.snapshot() as snapshot:
        with pytest.raises(SystemRefused, match="'u' is not in"):
            list(snapshot.read(tables["u"], 10, 1000))
        for name, words in {"t": "'b' of table 't' is gone", "v": "'a' of table 'v' is gone or has another"}.items():
            with pytest.raises(SystemRefused, match=words):
                list(snapshot.read(tables[name], 10, 1000))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url + "&schema=nowhere", "schema 'nowhere' is not in .*it has: 'public'"),
        (lambda url: url.replace("test_", "tset_"), "does not exist"),
        (lambda url: url.replace("postgres@", "nobody:s3cret@"), "cannot connect"),
        (lambda url: "postgresql://u:s3cret@127.0.0.1:1/db", "cannot connect"),
        (lambda url: "postgresql://u:s3cret@no-such-host.invalid/db", "cannot connect"),
    ],
)
def test_a_place_that_cannot_be_reached_is_said_in_one_line(postgres_url: str, tmp_path, change, words: str):
    """Without password and without traceback, before anything is read."""
    with pytest.raises(SystemUnavailable, match=words) as caught:
        open_source(change(postgres_url), tmp_path).catalog()
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_row_count_is_an_estimate_or_nothing(run: Run, source: PostgresSource):
    """A table that was never counted is not said to be empty."""
    run("CREATE TABLE t (i bigint)", "INSERT INTO t SELECT generate_series(1, 1000)")
    assert source.catalog().tables["t"].row_count is None
    run("ANALYZE t")
    assert source.catalog().tables["t"].row_count == 1000
    assert source.catalog().tables["t"].column("i").type == BIGINT
