"""What readers see against what was staged: by sums of rows in any order, else by the server's own comparison."""

from collections.abc import Callable, Iterator

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from tests.systems.postgres_places import PostgresPlace
from transhume.batches import BatchId, TargetTable
from transhume.schema import BIGINT, DOUBLE, JSON, Column, Table
from transhume.systems.postgres import verification
from transhume.systems.postgres.address import parse_url
from transhume.systems.postgres.connection import WatchedConnection, connect
from transhume.systems.postgres.received import Multiset, Received
from transhume.systems.postgres.target import PostgresRun
from transhume.testing.targets import identity, key, nasty_table, people, person_rows


@pytest.fixture
def place(postgres_url: str) -> PostgresPlace:
    """An empty schema of a fresh database."""
    return PostgresPlace(postgres_url)


@pytest.fixture
def connection(postgres_url: str) -> Iterator[WatchedConnection]:
    """A connection of the driver's own kind."""
    made = connect(parse_url(postgres_url), "transhume test")
    yield made
    made.close()


def _rows(connection: WatchedConnection, query: str, taken: int = 0) -> Multiset:
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(sql.SQL(query))),
    ):
        received = Received(connection)
        received.take(taken)
        return received.rows()


@pytest.mark.parametrize("taken", [0, 1, 19, 5000, 2**40])
def test_rows_are_the_same_in_any_order_and_in_any_portions(connection: WatchedConnection, taken: int) -> None:
    """Two COPYs of parts of a table add up to one of the whole table in another order, however the bytes are taken."""
    query = "SELECT g, repeat('x', g % 50) AS t, nullif(g % 7, 0) AS n FROM generate_series(1, 3000) g"
    whole = _rows(connection, f"{query} ORDER BY md5(g::text)", taken)
    parts = [_rows(connection, f"{query} WHERE {part}") for part in ("g <= 17", "g > 17", "false")]
    assert [part.row_count for part in parts] == [17, 2983, 0]
    assert sum(parts, Multiset()) == whole


@pytest.mark.parametrize(
    "other",
    [
        "VALUES (1, 0::float8), (2, '-0'::float8), (2, 0), (3, NULL)",
        "VALUES (1, 0::float8), (2, 0), (3, NULL)",
        "VALUES (1, 0::float8), (2, 0), (2, 0), (2, 0)",
        "VALUES (1, 0::float8), (2, 0), (2, 0), (3, 0)",
        "VALUES (2, 0::float8), (2, 0), (3, 0), (1, NULL)",
    ],
)
def test_rows_that_differ_are_not_the_same(connection: WatchedConnection, other: str) -> None:
    """The sign of a zero, a row too few, one that stands twice, a NULL, a value at another row: none is overlooked."""
    assert _rows(connection, "VALUES (1, 0::float8), (2, 0), (2, 0), (3, NULL)") != _rows(connection, other)


def _make_people(place: PostgresPlace) -> None:
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, age bigint)")


def _published(run: PostgresRun, table: TargetTable, batches: list[pa.Table]) -> None:
    for number, rows in enumerate(batches):
        run.stage(table, BatchId(table.mapping, number), rows)
        assert list(run.compare(table, BatchId(table.mapping, number), rows)) == []
    run.seal(table, len(batches))
    run.publish([table])


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the mappings whose rows the server had to compare one by one."""
    seen: list[str] = []

    def counting(real: Callable[..., object]) -> Callable[..., object]:
        def called(connection: WatchedConnection, stage: object, *rest: object) -> object:
            seen.append(stage.table.mapping)  # type: ignore[attr-defined]
            return real(connection, stage, *rest)

        return called

    for name in ("_verify_batches", "_verify_multiset"):
        monkeypatch.setattr(verification, name, counting(getattr(verification, name)))
    return seen


def test_what_was_read_back_is_enough_where_readers_see_the_same(place: PostgresPlace, compared: list[str]) -> None:
    """Nasty values of every type, rows without a key, rows that others added: no row is joined with its stage."""
    nasty, rows = nasty_table(frozenset())
    with place.run([nasty]) as run:
        _published(run, nasty, [rows, rows.slice(0, 0)])
        assert list(run.verify(nasty)) == []
    keyless = TargetTable("notes", Table("notes", (Column("note", DOUBLE),)), (), create=True)
    with place.run([keyless], identity("run_2")) as run:
        same = pa.table({"note": [0.0, -0.0, 0.0]}, schema=keyless.arrow_schema)
        _published(run, keyless, [same, same])
        place.execute("INSERT INTO notes VALUES (5)")
        assert list(run.verify(keyless)) == []
    assert compared == []


def test_rows_beside_those_of_others_are_told_by_their_transaction(place: PostgresPlace, compared: list[str]) -> None:
    """Rows that stood there before the run and rows that came after it are not its rows."""
    _make_people(place)
    place.execute("INSERT INTO people SELECT lpad(g::text, 32, '0')::uuid, 'other', g FROM generate_series(900, 905) g")
    table = people(create=False)
    with place.run([table]) as run:
        _published(run, table, [person_rows(0, 9), person_rows(9, 9)])
        place.execute("INSERT INTO people VALUES (gen_random_uuid(), 'later', 1)")
        assert list(run.verify(table)) == []
    assert compared == []


@pytest.mark.parametrize(
    ("change", "column", "found"),
    [
        ("UPDATE people SET name = 'somebody' WHERE name = 'person 4'", "name", "somebody"),
        ("UPDATE people SET age = NULL WHERE name = 'person 4'", "age", "NULL"),
        ("DELETE FROM people WHERE name = 'person 4'", "id", "no such row"),
    ],
)
def test_a_row_that_changed_since_is_named(
    place: PostgresPlace, compared: list[str], change: str, column: str, found: str
) -> None:
    """An update or a delete after the publishing is found by the rows' sum, and named by the server's comparison."""
    table = people()
    with place.run([table]) as run:
        _published(run, table, [person_rows(0, 9)])
        place.execute(change)
        assert [(one.column, one.found) for one in run.verify(table)] == [(column, found)]
    assert compared == ["people"]


def test_a_value_that_a_trigger_changed_on_its_way_is_named(place: PostgresPlace, compared: list[str]) -> None:
    """The transaction is the run's own, the bytes are not those that were staged."""
    _make_people(place)
    place.execute(
        "CREATE FUNCTION ai.bend() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.name = 'person 4' THEN NEW.name := 'Person 4'; END IF; RETURN NEW; END $$"
    )
    place.execute("CREATE TRIGGER bend BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION ai.bend()")
    table = people(create=False)
    with place.run([table]) as run:
        _published(run, table, [person_rows(0, 9)])
        assert [(one.column, one.expected, one.found) for one in run.verify(table)] == [
            ("name", "person 4", "Person 4")
        ]
    assert compared == ["people"]


def test_rows_of_a_large_table_of_others_are_looked_up(place: PostgresPlace, compared: list[str]) -> None:
    """A target many times what was staged is not read whole for it."""
    _make_people(place)
    place.execute("INSERT INTO people SELECT gen_random_uuid(), 'other', g FROM generate_series(1, 3000) g")
    table = people(create=False)
    with place.run([table]) as run:
        _published(run, table, [person_rows(0, 9)])
        assert list(run.verify(table)) == []
    assert compared == ["people"]


def test_the_server_compares_what_it_prints_anew_and_what_another_process_staged(
    place: PostgresPlace, compared: list[str]
) -> None:
    """What jsonb shows are not the bytes that were staged, and of another process's batch none were read back here."""
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE notes (id bigint PRIMARY KEY, note jsonb)")
    columns = (Column("id", BIGINT, nullable=False), Column("note", JSON))
    notes, table = TargetTable("notes", Table("notes", columns, ("id",)), ("id",), create=False), people()
    rows = pa.table({"id": [1, 2], "note": ['{"a":1}', '{"b": 1, "a": 2}']}, schema=notes.arrow_schema)
    with place.run([notes, table]) as run:
        run.stage(table, BatchId("people", 0), person_rows(0, 9))
    with place.run([notes, table]) as run:
        run.stage(notes, BatchId("notes", 0), rows)
        assert list(run.compare(notes, BatchId("notes", 0), rows)) == []
        for one in (notes, table):
            run.seal(one, 1)
        run.publish([notes, table])
        assert list(run.verify(notes)) == list(run.verify(table)) == []
    assert compared == ["notes", "people"]
    assert place.rows("people", ["id"])[0] == (key(0),)
    with psycopg.connect(place.url) as plain:
        assert plain.execute("SELECT note ->> 'a' FROM ai.notes ORDER BY id").fetchall() == [("1",), ("2",)]
