"""MySQL and MariaDB as a source, on a real MariaDB: what arrives, what one instant is, what a table is."""

import random
import struct
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pymysql
import pytest

from tests.servers import MariadbServer
from transhume.batches import extract_schema
from transhume.errors import SystemProblem, SystemRefused, SystemUnavailable, UsageError
from transhume.facts import Answer
from transhume.schema import BIGINT, TEXT, Carrier, Column, ForeignKey, Kind, LogicalType
from transhume.systems import open_source, open_target
from transhume.systems.mysql.address import parse_url
from transhume.systems.mysql.connection import Connection
from transhume.systems.mysql.source import MysqlSource
from transhume.systems.mysql.types import NativeType, source_type

Run = Callable[..., None]


@pytest.fixture
def run(mariadb_server: MariadbServer, mariadb_database: str) -> Run:
    """Run statements in the test's own database."""
    return lambda *statements: mariadb_server.run(*statements, database=mariadb_database)


@pytest.fixture
def source(mariadb_server: MariadbServer, mariadb_database: str, tmp_path: Path) -> MysqlSource:
    return open_source(mariadb_server.url(mariadb_database), tmp_path)


def _read(source: MysqlSource, name: str = "t", rows_max: int = 65_536, bytes_max: int = 2**25) -> pa.Table:
    table = source.catalog().tables[name]
    with source.snapshot() as snapshot:
        return pa.Table.from_batches(list(snapshot.read(table, rows_max, bytes_max)), extract_schema(table))


def test_every_double_arrives_bit_by_bit(run: Run, source: MysqlSource):
    """Random bit patterns, put in with all their digits; floats arrive as the double of the same value."""
    draw = random.Random(7)
    doubles = [0.0]
    while len(doubles) < 3_000:
        (number,) = struct.unpack("<d", draw.randbytes(8))
        if abs(number) < 1.7e308 and abs(number) > 2.3e-308:
            doubles.append(number)
    floats = [struct.unpack("<f", struct.pack("<f", draw.uniform(-1e9, 1e9)))[0] for _ in doubles]
    rows = ", ".join(
        f"({place}, {number!r}, {single!r})" for place, (number, single) in enumerate(zip(doubles, floats, strict=True))
    )
    run("CREATE TABLE t (id int PRIMARY KEY, d double, f float)", f"INSERT INTO t VALUES {rows}")
    found = _read(source)
    assert found["d"].to_pylist() == doubles
    assert found["f"].to_pylist() == floats


def test_every_byte_of_latin1_is_its_own_character(run: Run, source: MysqlSource):
    """Windows-1252 with the five free bytes as control characters, as the server defines it."""
    run("CREATE TABLE t (id int PRIMARY KEY, v varchar(9) CHARACTER SET latin1)")
    run(*(f"INSERT INTO t VALUES ({byte}, x'{byte:02x}')" for byte in range(256)))
    free = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
    expected = [chr(byte) if byte in free else bytes([byte]).decode("cp1252") for byte in range(256)]
    assert _read(source)["v"].to_pylist() == expected


def test_a_value_that_no_character_set_of_ours_holds_is_odd_with_its_bytes(run: Run, source: MysqlSource):
    """What has no place in Unicode comes as its bytes, in a line and beside it; its neighbours arrive."""
    run("CREATE TABLE t (id int PRIMARY KEY, v varchar(9) CHARACTER SET cp1250, w longtext CHARACTER SET cp1250)")
    run("INSERT INTO t VALUES (1, 'a', 'b'), (2, x'6181', x'6281'), (3, NULL, NULL)")
    found = _read(source)
    assert found["v"].to_pylist() == ["a", None, None]
    assert found["w"].to_pylist() == ["b", None, None]
    odd = [
        None if row is None else [(each["name"], each["class"], each["value"]) for each in row]
        for row in found["_odd"].to_pylist()
    ]
    assert odd == [None, [("v", "invalid", b"a\x81"), ("w", "invalid", b"b\x81")], None]


def test_numbers_beyond_a_bigint_are_odd_and_others_are_not(run: Run, source: MysqlSource):
    """The digits stand beside the row; the column is a bigint for all others."""
    run("CREATE TABLE t (id bigint unsigned PRIMARY KEY)")
    run("INSERT INTO t VALUES (0), (9223372036854775807), (9223372036854775808), (18446744073709551615)")
    found = _read(source)
    assert found["id"].to_pylist() == [0, 2**63 - 1, None, None]
    assert [row and row[0]["value"] for row in found["_odd"].to_pylist()] == [
        None, None, b"9223372036854775808", b"18446744073709551615",
    ]  # fmt: skip
    assert found["_odd"].to_pylist()[2][0]["class"] == "integer"


def test_zero_dates_arrive_where_a_column_takes_no_null(run: Run, source: MysqlSource):
    """The server's own WHERE takes such a date for NULL; here it is the text that stands there."""
    run("CREATE TABLE t (id int PRIMARY KEY, d date NOT NULL, e datetime(3) NOT NULL)")
    run("INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00'), (2, '2024-02-00', '2024-02-03 04:05:06.789')")
    found = _read(source)
    assert found["d"].to_pylist() == ["0000-00-00", "2024-02-00"]
    assert found["e"].to_pylist() == ["0000-00-00 00:00:00.000", "2024-02-03 04:05:06.789"]


def test_generated_and_invisible_columns_arrive(run: Run, source: MysqlSource):
    """They are columns like others, whether the server stores them or not."""
    run("CREATE TABLE t (id int PRIMARY KEY, a int AS (id + 1) VIRTUAL, b int AS (id + 2) STORED, c int INVISIBLE)")
    run("INSERT INTO t (id, c) VALUES (1, 9)")
    assert _read(source).drop(["_row", "_odd"]).to_pylist() == [{"id": 1, "a": 2, "b": 3, "c": 9}]


def test_long_values_arrive_whole_and_batches_stay_small(run: Run, source: MysqlSource):
    """A value longer than the protocol's packets of 16 MB arrives; batches are cut by bytes before that."""
    run("CREATE TABLE t (id int PRIMARY KEY, b longblob, x longtext)")
    run("INSERT INTO t VALUES (1, repeat(x'FE', 33000000), NULL), (2, repeat('ab', 8388606), 'é')")
    run(*(f"INSERT INTO t VALUES ({number}, repeat('c', 300000), repeat('ü', 300000))" for number in range(3, 13)))
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        batches = list(snapshot.read(table, 65_536, 2 * 2**20))
    found = pa.Table.from_batches(batches)
    assert [len(value) for value in found["b"].to_pylist()] == [33_000_000, 16_777_212, *[300_000] * 10]
    assert found["b"][0].as_py() == b"\xfe" * 33_000_000
    assert found["x"].to_pylist() == [None, "é", *["ü" * 300_000] * 10]
    assert found["_row"].to_pylist() == list(range(12))
    assert max(batch.nbytes for batch in batches[2:]) < 4 * 2**20


def test_batches_hold_as_many_rows_as_are_asked_for(run: Run, source: MysqlSource):
    """Rows are counted from 0 over all batches, none is missing and none comes twice."""
    run("CREATE TABLE t (id int PRIMARY KEY, v varchar(20))", "INSERT INTO t SELECT seq, seq FROM seq_1_to_2500")
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        batches = list(snapshot.read(table, 1000, 2**25))
    assert [batch.num_rows for batch in batches] == [1000, 1000, 500]
    found = pa.Table.from_batches(batches)
    assert found["_row"].to_pylist() == list(range(2500))
    assert found["id"].to_pylist() == list(range(1, 2501))


def test_rows_come_in_the_order_of_the_key_whatever_index_could_answer(run: Run, source: MysqlSource):
    """A smaller index that holds all columns is not used, with a primary key and without one."""
    for name, key in (("t", "PRIMARY KEY"), ("u", "")):
        run(f"CREATE TABLE {name} (id int {key}, v int, KEY (v, id))")
        run(f"INSERT INTO {name} SELECT seq, -seq FROM seq_1_to_100")
        assert _read(source, name)["id"].to_pylist() == list(range(1, 101))


def test_all_tables_are_of_one_instant(run: Run, source: MysqlSource):
    """What is committed after the snapshot was opened is not seen, in a table not yet read neither."""
    run("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    tables = source.catalog().tables
    with source.snapshot() as snapshot:
        run("INSERT INTO t VALUES (2)", "INSERT INTO u VALUES (2)", "DELETE FROM t WHERE id = 1")
        assert [
            [row["id"] for batch in snapshot.read(tables[name], 9, 999) for row in batch.to_pylist()] for name in "tu"
        ] == [[1], []]
    assert [_read(source, name)["id"].to_pylist() for name in "tu"] == [[2], [2]]


def test_a_reading_that_is_left_off_leaves_the_snapshot_usable(run: Run, source: MysqlSource):
    """The statement is ended on the server; the next table is read as of the same instant."""
    run("CREATE TABLE t (id int PRIMARY KEY, v char(200))", "INSERT INTO t SELECT seq, seq FROM seq_1_to_30000")
    run("CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (1)")
    tables = source.catalog().tables
    with source.snapshot() as snapshot:
        run("INSERT INTO u VALUES (2)")
        reading = snapshot.read(tables["t"], 10, 9999)
        assert next(reading).num_rows == 10
        reading.close()
        assert pa.Table.from_batches(snapshot.read(tables["u"], 10, 9999))["id"].to_pylist() == [1]


def test_a_table_that_is_changed_under_the_snapshot_is_not_used(run: Run, source: MysqlSource):
    """An ALTER TABLE after the snapshot and before the reading makes the rows those of no instant."""
    run("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1)")
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        run("ALTER TABLE t ADD COLUMN w int, ALGORITHM=COPY")
        with pytest.raises(SystemUnavailable, match=r"table 't' of .* changed or is gone since a moment ago"):
            list(snapshot.read(table, 10, 9999))
    run("ALTER TABLE t MODIFY v bigint unsigned")
    with source.snapshot() as snapshot, pytest.raises(SystemRefused, match="'v' of table 't' is gone or has another"):
        list(snapshot.read(table, 10, 9999))
    run("DROP TABLE t")
    with source.snapshot() as snapshot, pytest.raises(SystemRefused, match="table 't' is not in"):
        list(snapshot.read(table, 10, 9999))


def test_a_table_without_snapshots_is_told_and_a_change_of_it_stops(run: Run, source: MysqlSource):
    """MyISAM shows what was committed later: the catalog names such tables, and the reading is thrown away."""
    run("CREATE TABLE t (id int PRIMARY KEY) ENGINE=MyISAM", "INSERT INTO t VALUES (1)")
    run("CREATE TABLE u (id int PRIMARY KEY)")
    catalog = source.catalog()
    assert dict(catalog.loose_tables) == {"t": "MyISAM"}
    assert not catalog.are_of_one_instant(["t", "u"])
    assert catalog.are_of_one_instant(["u"])
    assert _read(source)["id"].to_pylist() == [1]
    with pytest.raises(SystemUnavailable, match="read: 't'"), source.snapshot() as snapshot:  # noqa: PT012
        list(snapshot.read(catalog.tables["t"], 10, 9999))
        run("INSERT INTO t VALUES (2)")
    with source.snapshot() as snapshot:  # a change of a table that is not read is nobody's concern
        list(snapshot.read(catalog.tables["u"], 10, 9999))
        run("INSERT INTO t VALUES (3)")


def test_a_source_that_stood_still_is_told_from_one_that_was_written(
    run: Run, source: MysqlSource, monkeypatch: pytest.MonkeyPatch
):
    """A transaction that writes before the snapshot and commits after it is seen, too."""
    run("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE u (id int PRIMARY KEY) ENGINE=MyISAM")
    tables = [source.catalog().tables[name] for name in ("t", "u")]
    with source.snapshot() as snapshot:
        mark = snapshot.mark
    writer = Connection(source.address)
    writer.rows("SET SESSION TRANSACTION READ WRITE")
    writer.rows("START TRANSACTION")
    writer.rows("INSERT INTO t VALUES (1)")
    with source.snapshot() as snapshot:
        later = snapshot.mark
    writer.rows("COMMIT")
    writer.close()
    assert dict(source.changed(mark, tables, {})) == dict(source.changed(later, tables, {})) == {"t": "", "u": ""}
    # Others write to this server all the time, so here it only seems to stand still; MyISAM may have changed even so.
    monkeypatch.setattr("transhume.systems.mysql.source._written", lambda _: later)
    assert dict(source.changed(later, tables, {})) == {"u": ""}


def test_the_session_keeps_to_what_makes_values_read_alike(source: MysqlSource):
    """No setting of the server decides what is read, how much of it, or for how long."""
    connection = Connection(source.address)
    expected = {
        "sql_mode": "", "time_zone": "+00:00", "sql_select_limit": "18446744073709551615",
        "tx_isolation": "REPEATABLE-READ", "tx_read_only": "1", "character_set_results": "utf8mb4",
        "collation_connection": "utf8mb4_bin", "net_write_timeout": "86400", "max_statement_time": "0.000000",
        "idle_transaction_timeout": "0", "idle_readonly_transaction_timeout": "0",
    }  # fmt: skip
    found = {name: connection.value(f"SELECT @@SESSION.{name}") for name in expected}
    with pytest.raises(SystemProblem, match="READ ONLY"):
        connection.rows("CREATE TABLE t (a int)")
    connection.close()
    assert found == expected


def test_a_catalog_tells_keys_references_and_checks(run: Run, source: MysqlSource):
    """What the server declares, in our terms; views and sequences are no tables."""
    run(
        "CREATE TABLE `a ``b` (id int AUTO_INCREMENT, x varchar(7) NOT NULL, y decimal(9,2) CHECK (y > 0), z json,"
        " PRIMARY KEY (x, id), UNIQUE one (id), UNIQUE part (x(3)), KEY plain (y))",
        "CREATE TABLE u (p int, q varchar(7), r bigint unsigned NOT NULL DEFAULT 4,"
        " CONSTRAINT f FOREIGN KEY (q, p) REFERENCES `a ``b` (x, id))",
        "CREATE VIEW w AS SELECT 1 AS one",
        "CREATE SEQUENCE s",
        "INSERT INTO `a ``b` VALUES (1, 'k', 1, '[]')",
    )
    tables = source.catalog().tables
    assert sorted(tables) == ["a `b", "u"]
    first, second = tables["a `b"], tables["u"]
    assert first.primary_key == ("x", "id")
    assert first.unique == (("id",),)
    assert first.checks == ("`y` > 0", "json_valid(`z`)")
    assert second.foreign_keys == (ForeignKey(("q", "p"), "a `b", ("x", "id")),)
    assert first.columns == (
        Column("id", LogicalType(Kind.INT), nullable=False, native="int(11)", has_default=True),
        Column("x", LogicalType(Kind.TEXT, length=7), nullable=False, native="varchar(7)"),
        Column("y", LogicalType(Kind.DECIMAL, precision=9, scale=2), native="decimal(9,2)", carrier=Carrier.TEXT),
        Column("z", LogicalType(Kind.JSON), native="longtext", carrier=Carrier.TEXT),
    )
    assert second.columns[2] == Column("r", BIGINT, nullable=False, native="bigint(20) unsigned", has_default=True)
    assert _read(source, "a `b")["z"].to_pylist() == ["[]"]


def test_a_column_that_may_not_be_read_is_told(
    run: Run, mariadb_server: MariadbServer, mariadb_database: str, tmp_path
):
    """It has no type, so a plan that uses it is refused by name; the others are read."""
    user = f"u{mariadb_database[-12:]}"
    run("CREATE TABLE t (id int PRIMARY KEY, secret int, CHECK (id > 0))", "INSERT INTO t VALUES (1, 2)")
    run(
        f"CREATE USER {user}@localhost",
        f"GRANT SELECT (id), UPDATE (secret) ON {mariadb_database}.t TO {user}@localhost",
    )
    source = open_source(mariadb_server.url(mariadb_database, user=user), tmp_path)
    try:
        secret = source.catalog().tables["t"].columns[1]
        assert (secret.type, secret.native) == (None, "int(11) without the right to SELECT")
        assert _read(source)["id"].to_pylist() == [1]
    finally:
        run(f"DROP USER {user}@localhost")


def test_a_connection_that_cannot_be_made_says_why_without_the_password(mariadb_server: MariadbServer, tmp_path: Path):
    """Wrong password, wrong database, nobody there: one line each."""
    url = mariadb_server.url("absent")
    for wrong, told in (
        (url, "Unknown database 'absent'"),
        (url.replace("root@", "nobody:geheim@"), "Access denied for user 'nobody'@'localhost'"),
        ("mysql://me:geheim@127.0.0.1:1/x", "Connection refused"),
        (f"mysql://me:geheim@/x?socket={tmp_path}/none", "cannot connect to mysql://localhost/x"),
    ):
        with pytest.raises(SystemUnavailable) as caught:
            open_source(wrong, tmp_path).catalog()
        assert told in str(caught.value)
        assert "geheim" not in str(caught.value)


def test_a_lost_connection_is_told(run: Run, source: MysqlSource):
    """A server that ends the session in the middle of a table makes no shorter table."""
    run("CREATE TABLE t (id int PRIMARY KEY, v char(200))", "INSERT INTO t SELECT seq, seq FROM seq_1_to_30000")
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot, pytest.raises(SystemUnavailable, match="connection is lost"):  # noqa: PT012
        reading = snapshot.read(table, 10, 9999)
        next(reading)
        run(f"KILL CONNECTION {snapshot._connection._driver.thread_id()}")
        list(reading)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://me@db.example.com/x", ("mysql://db.example.com/x", "db.example.com", 3306, "verify")),
        ("mariadb://me@db:3307/x?ssl=required", ("mysql://db:3307/x", "db", 3307, "required")),
        ("mysql://127.0.0.1/x", ("mysql://127.0.0.1/x", "127.0.0.1", 3306, "disabled")),
        ("mysql://localhost/x?ssl=verify", ("mysql://localhost/x", "localhost", 3306, "verify")),
        ("mysql://me@/a%2Fb?socket=/s", ("mysql://localhost/a/b?socket=/s", "localhost", 3306, "disabled")),
    ],
)
def test_an_address_is_read(url: str, expected: tuple[str, str, int, str], tmp_path: Path):
    """A remote server is reached with a verified certificate unless the URL says otherwise."""
    found = parse_url(url, tmp_path)
    assert (found.identity, found.host, found.port, found.encryption) == expected


def test_a_password_is_sent_as_utf8_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The driver alone would send Latin-1; a password that the URL leaves out comes from the environment."""
    found = parse_url("mysql://me:p%C3%A4ss%2F@h/x?ssl=disabled", tmp_path)
    assert found.parameters()["password"] == "päss/".encode()
    assert "päss" not in repr(found)
    monkeypatch.setenv("MYSQL_PWD", "geheim")
    assert parse_url("mysql://me@h/x?ssl=disabled", tmp_path).parameters()["password"] == b"geheim"
    assert found.parameters()["password"] == "päss/".encode()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://me:geheim@h", "names no database"),
        ("mysql://me:geheim@h/a/b", "names no database"),
        ("mysql://me:geheim@h:port/x", "cannot be read"),
        ("mysql://me:geheim@h/x?shema=y", "options that transhume does not know: 'shema'"),
        ("mysql://me:geheim@h/x?ssl=maybe", "'ssl=maybe' is not known"),
        ("mysql://me:geheim@h/x?ssl_ca=absent.pem", "a certificate of mysql://h/x cannot be read"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_the_password(url: str, told: str, tmp_path: Path):
    """Place and cure in one line."""
    with pytest.raises(UsageError) as caught:
        parse_url(url, tmp_path).parameters()
    assert told in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_as_a_target_it_is_refused(tmp_path: Path):
    """MySQL and MariaDB are read only; the message names what can be written."""
    with pytest.raises(UsageError, match="'mysql' cannot be a target; systems that can: iceberg, postgres"):
        open_target("mysql://me@h/x", tmp_path)


def test_mysqls_own_spelling_of_types_is_read():
    """MySQL 8 leaves widths out, and has a JSON of its own."""
    assert source_type(NativeType("int", "int unsigned", precision=10, scale=0)) == (BIGINT, Carrier.NATIVE)
    assert source_type(NativeType("json", "json")) == (LogicalType(Kind.JSON), Carrier.TEXT)
    assert source_type(NativeType("longtext", "longtext", charset="utf8mb4")) == (TEXT, Carrier.NATIVE)
    assert source_type(NativeType("vector", "vector(4)")) is None


def test_the_private_parts_of_the_driver_are_there():
    """Rows are cut out of the driver's own stream, by names that no manual promises."""
    assert {"_execute_command", "_read_packet", "_read_bytes", "thread_id"} <= set(dir(pymysql.connections.Connection))


def test_a_query_of_the_plan_is_asked_inside_the_snapshot_and_gives_numbers_as_numbers(run: Run, source: MysqlSource):
    """Rows that come later are not counted; two statements are refused, and so is one that writes."""
    run("CREATE TABLE t (id int PRIMARY KEY, d decimal(6,2), x double, name text)",
        "INSERT INTO t VALUES (1, 1.10, 0.5, 'a'), (2, 2.20, NULL, NULL)")  # fmt: skip
    with source.snapshot() as snapshot:
        run("INSERT INTO t VALUES (3, 9, 9, 'z')")
        totals = snapshot.ask(
            "SELECT count(*), sum(d) AS s, sum(x) AS x, min(name) AS n, NULL AS e FROM t", counts=False
        )
        assert totals.rows == ((2, Decimal("3.30"), 0.5, "a", None),)
        assert snapshot.ask("SELECT id FROM t WHERE d > 1;", counts=True) == Answer(2, ((1,), (2,)))
        for wrong in ("SELECT no_such FROM t", "SELECT 1) AS a; DELETE FROM t; SELECT * FROM (SELECT 1"):
            with pytest.raises(SystemRefused):
                snapshot.ask(wrong, counts=False)
        assert snapshot.ask("SELECT id FROM t", counts=True).count == 2
