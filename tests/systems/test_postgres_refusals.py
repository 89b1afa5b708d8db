"""What a PostgreSQL target refuses before the first write: every reason at once, each by name."""

from collections.abc import Iterator, Sequence

import psycopg
import pyarrow as pa
import pytest

from tests.systems.postgres_places import PostgresPlace
from transhume.batches import BatchId, TargetTable
from transhume.errors import Refused
from transhume.schema import BIGINT, JSON, TEXT, UUID, Column, ForeignKey, Kind, LogicalType, Table
from transhume.systems.postgres.describe import target_type
from transhume.systems.postgres.target import open_target
from transhume.testing.targets import identity, people, pets


@pytest.fixture
def place(postgres_url: str) -> PostgresPlace:
    made = PostgresPlace(postgres_url)
    made.execute("CREATE SCHEMA ai")
    return made


def _refusals(place: PostgresPlace, tables: Sequence[TargetTable]) -> str:
    target = place.open()
    try:
        return "\n".join(target.refusals(tables))
    finally:
        target.close()


_PEOPLE = "CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, age bigint)"


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        ([_PEOPLE], ""),
        ([_PEOPLE, "ALTER TABLE people DROP CONSTRAINT people_pkey"], "no unique constraint on its key ('id')"),
        ([_PEOPLE.replace("age bigint", "age integer")], "'age' is of type integer, which cannot hold every bigint"),
        ([_PEOPLE.replace("name text", "name varchar(9)")], "cannot hold every text"),
        ([_PEOPLE.replace("name text", "name char(9)")], "is of type character(9), which does not keep values exactly"),
        ([_PEOPLE.replace("age bigint", "shoe bigint")], "'people'.'age' is not there"),
        ([_PEOPLE, "ALTER TABLE people ADD badge text NOT NULL"], "'people'.'badge' must not be NULL, has no default"),
        ([_PEOPLE, "ALTER TABLE people ADD badge text NOT NULL DEFAULT 'x'"], ""),
        ([_PEOPLE.replace("age bigint", "age bigint GENERATED ALWAYS AS IDENTITY")], "GENERATED ALWAYS AS IDENTITY"),
        ([_PEOPLE.replace("age bigint", "age bigint GENERATED ALWAYS AS (7) STORED")], "the server computes it"),
        (["CREATE DOMAIN years AS bigint CHECK (value > 0)", _PEOPLE.replace("bigint", "years")], "domain"),
        ([_PEOPLE, "CREATE RULE r AS ON INSERT TO people DO INSTEAD NOTHING"], "it has rules"),
        (["CREATE VIEW people AS SELECT 1 AS id"], "it is a view"),
        (["CREATE TABLE elders (id uuid)", _PEOPLE + " INHERITS (elders)"], "inheritance"),
        ([_PEOPLE.replace("age bigint)", "age bigint, EXCLUDE (name WITH =))")], "exclusion constraint"),
        (
            [
                _PEOPLE,
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
                "CREATE TRIGGER swallow BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION f()",
            ],
            "trigger 'swallow' may change or drop what is written",
        ),
        (["CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, age bigint) PARTITION BY HASH (id)"], ""),
    ],
)
def test_an_existing_table_is_refused_for_what_it_would_do_to_rows(
    place: PostgresPlace, statements: list[str], told: str
) -> None:
    """A table that could change, drop or refuse a row is refused by name; one that takes rows as they are is not."""
    for statement in statements:
        place.execute(statement)
    found = _refusals(place, [people(create=False)])
    assert told in found
    assert bool(found) == bool(told)


def test_all_reasons_come_at_once(place: PostgresPlace) -> None:
    """Long names, missing tables, references to nothing and rows too wide are told together."""
    wide = tuple(Column(f"c{n}", BIGINT) for n in range(1601))
    tables = [
        TargetTable("wide", Table("wide", (Column("id", BIGINT), *wide), ("id",)), ("id",), create=True),
        people("é" * 32),
        people("gone", create=False),
        pets(),
    ]
    found = _refusals(place, tables).splitlines()
    for told in (
        "1602 columns",
        "needs at least",
        "longer than 63 bytes",
        "'gone' is not there",
        "references 'people'",
    ):
        assert any(told in reason for reason in found), told


def test_a_table_that_appeared_is_not_created_over(place: PostgresPlace) -> None:
    """A table that the run would create and that is there already is refused."""
    place.execute(_PEOPLE)
    assert "exists already" in _refusals(place, [people()])


def test_tables_in_a_cycle_need_a_reference_that_can_wait(place: PostgresPlace) -> None:
    """Two standing tables that reference each other are refused unless the forward reference is deferrable."""
    place.execute("CREATE TABLE a (id bigint PRIMARY KEY, b bigint)")
    place.execute("CREATE TABLE b (id bigint PRIMARY KEY, a bigint REFERENCES a)")
    place.execute("ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b")
    target = place.open()
    found = target.catalog().tables
    tables = [TargetTable(name, found[name], ("id",), create=False) for name in ("a", "b")]
    assert "DEFERRABLE" in "\n".join(target.refusals(tables))
    target.close()


@pytest.fixture
def poor_place(place: PostgresPlace, postgres_server: object) -> Iterator[PostgresPlace]:
    """The place as a role sees it that may only look."""
    role = f"poor_{place.execute('SELECT current_database()')[0][0]}"
    place.execute(f"CREATE ROLE {role} LOGIN")
    place.execute(f"GRANT USAGE ON SCHEMA ai TO {role}")
    yield PostgresPlace(place.url.replace("postgres@", f"{role}@"))
    place.execute(f"DROP OWNED BY {role}")
    place.execute(f"DROP ROLE {role}")


def test_missing_rights_are_listed_all_at_once(place: PostgresPlace, poor_place: PostgresPlace) -> None:
    """A role that may neither create nor read nor insert is told all of it, and opening a run says it in one line."""
    place.execute(_PEOPLE)
    found = _refusals(poor_place, [people(create=False), pets()])
    assert "may not create schemas" in found
    assert "may not create tables in schema 'ai'" in found
    assert "lacks SELECT and INSERT on table 'people'" in found
    target = poor_place.open()
    with pytest.raises(Exception, match="no right") as caught:
        target.open_run(identity(), [people(create=False)])
    assert "\n" not in str(caught.value)
    target.close()


def test_hidden_rows_are_refused(place: PostgresPlace, poor_place: PostgresPlace) -> None:
    """A table whose rows a policy hides from this role is refused: keys there would not be seen."""
    place.execute(_PEOPLE)
    place.execute("ALTER TABLE people ENABLE ROW LEVEL SECURITY")
    place.execute("GRANT ALL ON people TO PUBLIC")
    assert "row security hides rows" in _refusals(poor_place, [people(create=False)])
    assert _refusals(place, [people(create=False)]) == ""


def test_names_of_any_kind_are_carried(place: PostgresPlace) -> None:
    """Names with quotes, semicolons, percent signs and emoji become tables, columns and stages, nothing else."""
    name = 'x"; DROP TABLE people; -- %s {} 😀'
    columns = (Column("id'\"%", UUID, nullable=False), Column("position", TEXT), Column("sel ect", JSON))
    table = TargetTable(name, Table(name, columns, ("id'\"%",)), ("id'\"%",), create=True)
    place.execute(_PEOPLE)
    values = {"id'\"%": [b"1" * 16], "position": ["p"], "sel ect": ["{}"]}
    rows = pa.table(values, schema=table.arrow_schema)
    for number, create in enumerate((True, False)):
        mine = TargetTable(name, table.table, table.key, create)
        with place.run([mine], identity(f"run {number} '\"; x")) as run:
            run.stage(mine, BatchId(name, 0), rows)
            assert list(run.compare(mine, BatchId(name, 0), rows)) == []
            run.seal(mine, 1)
            run.publish([mine])
            assert list(run.verify(mine)) == []
    assert place.rows(name, ["position"]) == [("p",)]
    assert place.rows("people", ["id"]) == []


def test_a_run_id_that_would_be_cut_is_refused(place: PostgresPlace) -> None:
    """A run whose stage schema would have a name that PostgreSQL cuts is refused."""
    target = open_target(f"{place.url}&schema=ai")
    with pytest.raises(Refused, match="longer than"):
        target.open_run(identity("r" * 48), [people()])
    target.close()


@pytest.mark.parametrize(
    ("native", "logical"),
    [
        ("numeric(10,2)", LogicalType(Kind.DECIMAL, precision=10, scale=2)),
        ("numeric(10,-2)", None),
        ("numeric(60,2)", None),
        ("numeric", None),
        ("real", None),
        ("character(3)", None),
        ("timestamp(0) with time zone", None),
        ("time with time zone", None),
        ("text[]", LogicalType(Kind.LIST, element=TEXT)),
        ("money", None),
        ("citext", None),
        ("jsonb", JSON),
    ],
)
def test_only_types_that_keep_every_value_are_targets(native: str, logical: LogicalType | None) -> None:
    """A native type that pads, rounds or is unknown has no logical type, so nothing is written into it."""
    assert target_type(native) == logical


def test_foreign_keys_of_created_tables_must_point_at_keys(place: PostgresPlace) -> None:
    """A reference to columns that are no key of the parent is refused before anything is made."""
    reference = ForeignKey(("owner",), "people", ("name",))
    columns = (Column("pet_id", BIGINT, nullable=False), Column("owner", TEXT))
    table = TargetTable("pets", Table("pets", columns, ("pet_id",), (), (reference,)), ("pet_id",), create=True)
    assert "which is no key there" in _refusals(place, [people(), table])


def test_refusing_writes_nothing(place: PostgresPlace) -> None:
    """Asking for refusals, catalogs and runs leaves the database as it was."""
    with psycopg.connect(place.url) as connection:
        before = connection.execute("SELECT oid, relname FROM pg_class ORDER BY oid").fetchall()
    target = place.open()
    target.refusals([people()])
    target.catalog()
    assert list(target.runs()) == []
    target.close()
    with psycopg.connect(place.url) as connection:
        assert connection.execute("SELECT oid, relname FROM pg_class ORDER BY oid").fetchall() == before
