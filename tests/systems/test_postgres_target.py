"""PostgreSQL as a target, on a real server: the common promises, and those that only PostgreSQL can keep or break."""

import struct
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal, localcontext

import psycopg
import pyarrow as pa
import pytest

from tests.systems.postgres_places import PostgresPlace
from transhume.batches import BatchId, StagedBatch, TargetTable
from transhume.errors import CheckFailed
from transhume.schema import (
    BIGINT,
    DOUBLE,
    INT,
    JSON,
    TEXT,
    TIMESTAMPTZ,
    UUID,
    Column,
    ForeignKey,
    Kind,
    LogicalType,
    Table,
)
from transhume.systems.postgres import unwire, wire
from transhume.systems.postgres.stage import Stage
from transhume.systems.postgres.stage import table_name as stage_table
from transhume.testing.targets import TargetSuite, identity, key, nasty_table, people, person_rows, pets


@pytest.fixture
def place(postgres_url: str) -> PostgresPlace:
    return PostgresPlace(postgres_url)


class TestPromises(TargetSuite):
    """PostgreSQL keeps what every target must keep."""


_PLANTED = {
    Kind.UUID: "'00000000-0000-0000-0000-000000000001'",
    Kind.INT: "7",
    Kind.BIGINT: "7",
    Kind.DECIMAL: "0.1",
    Kind.DOUBLE: "'-0'",
    Kind.BOOLEAN: "false",
    Kind.TEXT: "'abcd '",
    Kind.DATE: "'1969-12-30'",
    Kind.TIMESTAMP: "'2000-01-01 00:00:00.000001'",
    Kind.TIMESTAMPTZ: "'2000-01-01 00:00:00.000001+00'",
    Kind.TIME: "'23:59:59.999998'",
    Kind.BYTES: "'\\x00fe'",
    Kind.JSON: "'{\"a\": 1.1}'",
    Kind.LIST: "NULL",
}


def test_comparing_finds_one_planted_change_in_every_type(place: PostgresPlace) -> None:
    """Whatever the type, one changed value in the stage is found, by its row and its column and nothing else."""
    table, rows = nasty_table()
    stage = 'transhume_stage_run_1."nasty_000000"'
    with place.run([table]) as run:
        run.stage(table, BatchId("nasty", 0), rows)
        for column in table.table.columns[1:]:
            assert column.type is not None
            planted = "0.2" if column.type.scale == 38 else _PLANTED[column.type.kind]
            planted = "3" if column.type.scale == 0 and column.type.kind is Kind.DECIMAL else planted
            place.execute(f"CREATE TABLE kept AS SELECT * FROM {stage}")
            place.execute(f'UPDATE {stage} SET "{column.name}" = {planted} WHERE id = 0')
            found = run.compare(table, BatchId("nasty", 0), rows)
            assert [(one.row, one.column) for one in found] == [(0, column.name)], column.name
            assert found[0].expected != found[0].found
            place.execute(f"TRUNCATE {stage}; INSERT INTO {stage} SELECT * FROM kept ORDER BY id; DROP TABLE kept")
        assert list(run.compare(table, BatchId("nasty", 0), rows)) == []


def test_verifying_finds_changes_that_plain_comparison_misses(place: PostgresPlace) -> None:
    """After publishing, a changed sign of zero, a changed JSON text and a deleted row are found."""
    columns = (Column("id", BIGINT, nullable=False), Column("score", DOUBLE), Column("note", JSON))
    table = TargetTable("scores", Table("scores", columns, ("id",)), ("id",), create=True)
    rows = pa.table({"id": [1, 2, 3], "score": [0.0, 0.0, 0.0], "note": ['{"a":1}'] * 3}, schema=table.arrow_schema)
    with place.run([table]) as run:
        run.stage(table, BatchId("scores", 0), rows)
        run.seal(table, 1)
        run.publish([table])
        assert list(run.verify(table)) == []
        place.execute("UPDATE scores SET score = '-0' WHERE id = 1")
        place.execute("UPDATE scores SET note = '{\"a\": 1}' WHERE id = 2")
        place.execute("DELETE FROM scores WHERE id = 3")
        found = {(one.column, one.expected, one.found) for one in run.verify(table)}
    assert found == {("score", "0", "-0"), ("note", '{"a":1}', '{"a": 1}'), ("id", "3", "no such row")}


def test_wire_values_are_the_servers_own(postgres_url: str) -> None:
    """Each numeric that psycopg reads from our bytes is the decimal that was meant, scale and sign included."""
    kind = LogicalType(Kind.DECIMAL, precision=38, scale=6)
    with localcontext(prec=60):
        numbers = [Decimal(text).quantize(Decimal("0.000001")) for text in _NUMBERS]
    columns = (Column("id", INT, nullable=False), Column("n", kind))
    table = TargetTable("t", Table("t", columns, ("id",)), ("id",), create=True)
    rows = pa.table({"id": range(len(numbers)), "n": numbers}, schema=table.arrow_schema)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE t (id integer, n numeric(38,6))")
        with connection.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as copy:
            for piece in wire.encode(table, ["integer", "numeric(38,6)"], rows):
                copy.write(piece)
        found = [row[0] for row in connection.execute("SELECT n FROM t ORDER BY id")]
        sent = [row[0] for row in connection.execute("SELECT numeric_send(n) FROM t ORDER BY id")]
    assert [str(one) for one in found] == [str(one) for one in numbers]
    assert [str(unwire.decimal(bytes(one), "n")) for one in sent] == [str(one) for one in numbers]


_NUMBERS = ["0", *(f"{sign}{digits}" for sign in ("", "-") for digits in ("1", "10", "9999", "10000", "10001", "0.1"))]
_NUMBERS += ["0.000001", "12345678.000100", "99990000.999900", "1e31", "123456789012345678901234567890.5"]


def test_readers_see_all_tables_or_none(place: PostgresPlace) -> None:
    """A reader that counts both tables in one statement, over and over, sees them empty or full."""
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, age bigint)")
    place.execute("CREATE TABLE pets (pet_id bigint PRIMARY KEY, owner uuid REFERENCES people)")
    tables = [people(create=False), pets(create=False)]
    seen, done = set(), threading.Event()

    def look() -> None:
        with psycopg.connect(place.url, autocommit=True) as connection:
            while not done.is_set():
                seen.add(
                    connection.execute(
                        "SELECT (SELECT count(*) FROM ai.people), (SELECT count(*) FROM ai.pets)"
                    ).fetchone()
                )

    with place.run(tables) as run:
        for index in range(5):
            run.stage(tables[0], BatchId("people", index), person_rows(index * 400, 400))
        rows = pa.table({"pet_id": range(2000), "owner": [key(n) for n in range(2000)]}, schema=pets().arrow_schema)
        run.stage(tables[1], BatchId("pets", 0), rows)
        run.seal(tables[0], 5)
        run.seal(tables[1], 1)
        reader = threading.Thread(target=look)
        reader.start()
        run.publish(tables)
        done.set()
        reader.join()
    assert seen <= {(0, 0), (2000, 2000)}
    assert (0, 0) in seen


def test_rows_of_others_stay_as_they_are(place: PostgresPlace) -> None:
    """Publishing into a table in use adds rows and fills the defaults of other columns; no other row is touched."""
    place.execute("CREATE SCHEMA ai")
    place.execute(
        "CREATE TABLE people (number integer GENERATED BY DEFAULT AS IDENTITY, name text NOT NULL, "
        "note text DEFAULT 'new', age bigint, id uuid PRIMARY KEY)"
    )
    place.execute("INSERT INTO people (id, name) VALUES ('00000000-0000-0000-0000-00000000ffff', 'somebody')")
    before = place.rows("people", ["id", "number", "name", "note"])
    table = people(create=False)
    with place.run([table]) as run:
        run.stage(table, BatchId("people", 0), person_rows(0, 3))
        run.seal(table, 1)
        run.publish([table])
        assert list(run.verify(table)) == []
    after = place.rows("people", ["id", "number", "name", "note"])
    assert before[0] in after
    assert min(after) == (key(0), 2, "person 0", "new")


def test_rows_of_many_widths_are_staged_in_order_beside_rows_of_others(place: PostgresPlace) -> None:
    """Short rows after long ones find room in earlier pages, where they would be read back in another order."""
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, age bigint)")
    place.execute("INSERT INTO people VALUES ('00000000-0000-0000-0000-00000000ffff', 'somebody')")
    table = people(create=False)
    rows = person_rows(0, 4_000)
    names = [name + "x" * (number * 37 % 900) for number, name in enumerate(rows["name"].to_pylist())]
    rows = rows.set_column(rows.column_names.index("name"), rows.schema.field("name"), pa.array(names, pa.string()))
    with place.run([table]) as run:
        line = run.stage(table, BatchId("people", 0), rows)
        assert line.row_count == 4_000
        assert list(run.compare(table, line.batch, rows)) == []
        run.seal(table, 1)
        run.publish([table])
        assert list(run.verify(table)) == []


def test_batches_of_a_mapping_with_the_longest_name_are_staged_side_by_side(place: PostgresPlace) -> None:
    """Two open transactions make a stage table each, whose array types the server would name alike."""
    table = replace(people(), mapping="m" * 63)
    both = threading.Barrier(2)
    with place.run([table]) as run, ThreadPoolExecutor(2) as threads:

        def bring(index: int) -> int:
            both.wait(60)
            return run.stage(table, BatchId(table.mapping, index), person_rows(index * 2000, 2000)).row_count

        assert list(threads.map(bring, (0, 1))) == [2000, 2000]
        assert len({len(stage_table(BatchId(table.mapping, index))) for index in range(10)} | {62}) == 1


def test_batches_whose_keys_are_all_new_are_written_once(place: PostgresPlace, monkeypatch) -> None:
    """Only a batch that meets a key, and the one after it, come by the table in which present rows are looked for."""
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, age bigint)")
    place.execute(
        "INSERT INTO people VALUES (%s, 'somebody', 1), (%s, 'nobody', 2)",
        uuid.UUID(bytes=key(15)),
        uuid.UUID(bytes=key(25)),
    )
    looked: list[int] = []
    beside = Stage._write_beside_present

    def counting(stage: Stage, connection, batch: BatchId, rows: pa.Table) -> StagedBatch:
        looked.append(batch.index)
        return beside(stage, connection, batch, rows)

    monkeypatch.setattr(Stage, "_write_beside_present", counting)
    table = people(create=False)
    with place.run([table]) as run:
        lines = []
        for number in range(5):
            rows = person_rows(number * 10, 10)
            lines.append(run.stage(table, BatchId("people", number), rows))
            assert list(run.compare(table, BatchId("people", number), rows)) == []
    assert looked == [1, 2, 3]
    assert [line.row_count for line in lines] == [10, 9, 9, 10, 10]
    assert [line.left_out for line in lines] == [(), (5,), (5,), (), ()]


def test_existing_column_types_are_filled_exactly(place: PostgresPlace) -> None:
    """Smallint, varchar, jsonb and arrays of an existing table take the rows and verify bit by bit."""
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE odd (id smallint PRIMARY KEY, name varchar(5), doc jsonb, tags varchar(3)[])")
    place.execute("INSERT INTO odd VALUES (9, 'x', '{}', '{a}')")
    columns = (
        Column("id", INT, nullable=False),
        Column("name", LogicalType(Kind.TEXT, length=5)),
        Column("doc", JSON),
        Column("tags", LogicalType(Kind.LIST, element=LogicalType(Kind.TEXT, length=3))),
    )
    table = TargetTable("odd", Table("odd", columns, ("id",)), ("id",), create=False)
    values = {
        "id": [-32768, 9, 32767],
        "name": ["日本語日本", "x", None],
        "doc": ['{"b": 1, "a": 1.10}', "{ }", "null"],
        "tags": [["abc", None], ["a"], []],
    }
    rows = pa.table(values, schema=table.arrow_schema)
    with place.run([table]) as run:
        line = run.stage(table, BatchId("odd", 0), rows)
        assert line.unchanged == (1,)
        assert list(run.compare(table, line.batch, rows)) == []
        run.seal(table, 1)
        run.publish([table])
        assert list(run.verify(table)) == []
        (batch,) = run.read_present(table, ["id", "tags"])
        assert batch.to_pydict() == {"id": [9, -32768, 32767], "tags": [["a"], ["abc", None], []]}


def test_jsonb_is_refused_while_staging_not_while_publishing(place: PostgresPlace) -> None:
    """A text that jsonb cannot hold stops its batch, and the message does not show the text."""
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE docs (id bigint PRIMARY KEY, doc jsonb)")
    columns = (Column("id", BIGINT, nullable=False), Column("doc", JSON))
    table = TargetTable("docs", Table("docs", columns, ("id",)), ("id",), create=False)
    rows = pa.table({"id": [1], "doc": ['{"secret": "\\u0000"}']}, schema=table.arrow_schema)
    with place.run([table]) as run, pytest.raises(Exception, match="docs/0 not staged") as caught:
        run.stage(table, BatchId("docs", 0), rows)
    assert "secret" not in str(caught.value)


def test_a_table_may_reference_itself_across_batches(place: PostgresPlace) -> None:
    """Children staged before their parents are published, into a created table and into a standing one."""
    columns = (Column("id", BIGINT, nullable=False), Column("boss", BIGINT))
    reference = ForeignKey(("boss",), "staff", ("id",))
    made = TargetTable("staff", Table("staff", columns, ("id",), (), (reference,)), ("id",), create=True)
    standing = TargetTable("staff", made.table, ("id",), create=False)
    for number, table in enumerate((made, standing)):
        with place.run([table], identity(f"run_{number}")) as run:
            for batch, (child, parent) in enumerate([(1, 2), (2, 3), (3, None)]):
                rows = {"id": [child + number * 10], "boss": [parent and parent + number * 10]}
                run.stage(table, BatchId("staff", batch), pa.table(rows, schema=table.arrow_schema))
            run.seal(table, 3)
            run.publish([table])
            assert list(run.verify(table)) == []
    assert len(place.rows("staff", ["id"])) == 6
    assert place.execute("SELECT count(*) FROM pg_constraint WHERE conname = 'staff_boss_fkey'") == [(1,)]


def test_tables_that_reference_each_other_wait_for_the_end(place: PostgresPlace) -> None:
    """With a deferrable reference, a cycle of standing tables is published in one transaction."""
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE a (id bigint PRIMARY KEY, b bigint)")
    place.execute("CREATE TABLE b (id bigint PRIMARY KEY, a bigint REFERENCES a)")
    place.execute("ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE")
    with_target = place.open()
    found = with_target.catalog().tables
    tables = [TargetTable(name, found[name], ("id",), create=False) for name in ("a", "b")]
    assert list(with_target.refusals(tables)) == []
    with_target.close()
    with place.run(tables) as run:
        for table, other in zip(tables, ("b", "a"), strict=True):
            run.stage(table, BatchId(table.mapping, 0), pa.table({"id": [1], other: [1]}, schema=table.arrow_schema))
            run.seal(table, 1)
        run.publish(tables)
    assert place.execute("SELECT a.id, b.id FROM a JOIN b ON a.b = b.id AND b.a = a.id") == [(1, 1)]


def test_an_orphan_stops_the_publishing_and_leaves_nothing(place: PostgresPlace) -> None:
    """A reference without its parent fails the whole publishing; no table of the run appears."""
    tables = [people(), pets()]
    with place.run(tables) as run:
        run.stage(tables[0], BatchId("people", 0), person_rows(0, 1))
        rows = pa.table({"pet_id": [1], "owner": [key(99)]}, schema=pets().arrow_schema)
        run.stage(tables[1], BatchId("pets", 0), rows)
        for table in tables:
            run.seal(table, 1)
        with pytest.raises(CheckFailed, match="nothing was published") as caught:
            run.publish(tables)
    assert "pets_owner_fkey" in str(caught.value)
    assert str(key(99).hex()) not in str(caught.value)
    assert place.rows("people", ["id"]) == []
    assert place.execute("SELECT state FROM transhume.runs") == [("open",)]


def test_a_key_that_appeared_meanwhile_stops_the_publishing(place: PostgresPlace) -> None:
    """A row that somebody inserted after staging is named by its key, and nothing of the run is published."""
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, age bigint)")
    table = people(create=False)
    with place.run([table]) as run:
        run.stage(table, BatchId("people", 0), person_rows(0, 10))
        run.seal(table, 1)
        place.execute("INSERT INTO people VALUES ('00000000-0000-0000-0000-000000000007', 'first', NULL)")
        with pytest.raises(CheckFailed, match="00000000-0000-0000-0000-000000000007"):
            run.publish([table])
        assert run.state == "open"
    assert place.rows("people", ["id", "name"]) == [(key(7), "first")]


def test_a_column_that_changed_meanwhile_stops_the_publishing(place: PostgresPlace) -> None:
    """A column that was altered after staging is named, instead of being converted without a word."""
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, age bigint)")
    table = people(create=False)
    with place.run([table]) as run:
        run.stage(table, BatchId("people", 0), person_rows(0, 10))
        run.seal(table, 1)
        place.execute("ALTER TABLE people ALTER age TYPE integer")
        with pytest.raises(CheckFailed, match="'age' was bigint, is integer"):
            run.publish([table])
    assert place.rows("people", ["id"]) == []


def test_sequences_are_moved_upwards_only(place: PostgresPlace) -> None:
    """After explicit keys were published the next insert gets a free one; a sequence that is ahead stays there."""
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE low (id bigserial PRIMARY KEY, x text)")
    place.execute("CREATE TABLE high (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, x text)")
    place.execute("SELECT setval(pg_get_serial_sequence('high', 'id'), 500)")
    columns = (Column("id", BIGINT, nullable=False), Column("x", TEXT))
    tables = [TargetTable(name, Table(name, columns, ("id",)), ("id",), create=False) for name in ("low", "high")]
    with place.run(tables) as run:
        for table in tables:
            rows = pa.table({"id": [1, 100], "x": ["a", "b"]}, schema=table.arrow_schema)
            run.stage(table, BatchId(table.mapping, 0), rows)
            run.seal(table, 1)
        run.publish(tables)
    assert place.execute("INSERT INTO low (x) VALUES ('next') RETURNING id") == [(101,)]
    assert place.execute("INSERT INTO high (x) VALUES ('next') RETURNING id") == [(501,)]


def test_created_tables_have_the_keys_that_were_asked_for(place: PostgresPlace) -> None:
    """Primary, unique and foreign keys of created tables stand after publishing, under names that never change."""
    columns = (Column("id", UUID, nullable=False), Column("code", TEXT, nullable=False), Column("seen", TIMESTAMPTZ))
    parent = TargetTable("things", Table("things", columns, ("id",), (("code",),)), ("id",), create=True)
    reference = ForeignKey(("thing",), "things", ("id",))
    child_columns = (Column("id", UUID, nullable=False), Column("thing", UUID))
    child = TargetTable("parts", Table("parts", child_columns, ("id",), (), (reference,)), ("id",), create=True)
    with place.run([parent, child]) as run:
        for table in (parent, child):
            run.stage(table, BatchId(table.mapping, 0), table.arrow_schema.empty_table())
            run.seal(table, 1)
        run.publish([parent, child])
    found = place.execute(
        "SELECT conname FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND connamespace = 'ai'::regnamespace"
    )
    assert sorted(found) == [("parts_pkey",), ("parts_thing_fkey",), ("things_code_key",), ("things_pkey",)]
    target = place.open()
    assert target.catalog().tables["parts"].foreign_keys == (reference,)
    target.close()


def test_not_a_number_keeps_its_bits(place: PostgresPlace) -> None:
    """A NaN with a payload is stored and read back with that payload."""
    (nan,) = struct.unpack("<d", bytes.fromhex("010000000000f87f"))
    columns = (Column("id", BIGINT, nullable=False), Column("x", DOUBLE))
    table = TargetTable("t", Table("t", columns, ("id",)), ("id",), create=True)
    rows = pa.table({"id": [1], "x": [nan]}, schema=table.arrow_schema)
    with place.run([table]) as run:
        run.stage(table, BatchId("t", 0), rows)
        assert list(run.compare(table, BatchId("t", 0), rows)) == []
    assert place.execute("SELECT encode(float8send(x), 'hex') FROM transhume_stage_run_1.t_000000") == [
        ("7ff8000000000001",)
    ]


def test_what_the_environment_says_of_a_server_goes_to_tasks(place: PostgresPlace, monkeypatch) -> None:
    """A task on another machine knows user and password that stand in this one's environment, and none are printed."""
    monkeypatch.setenv("PGPASSWORD", "of-this-machine")
    with place.run([people()]) as run:
        writer = run.writer(people(), [0])
    assert writer.address.parameters["password"] == "of-this-machine"
    assert writer.address.parameters["user"]
    assert "of-this-machine" not in repr(writer)
