"""A lake in which others write too: their rows stay, their changes are noticed, readers see all tables at once."""

import threading

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy
from pyiceberg.types import StringType

from tests.systems.lakes import LakePlace, local_lake, shared_lake
from transhume.batches import BatchId, TargetTable
from transhume.errors import CheckFailed
from transhume.schema import BIGINT, DOUBLE, TEXT, UUID, Column, Table
from transhume.systems.iceberg.ledger import Ledger
from transhume.systems.iceberg.snapshots import branch_name, tag_name
from transhume.testing.targets import identity, key, nasty_table, people, person_rows


@pytest.fixture
def place(tmp_path) -> LakePlace:
    """An empty lake in a folder."""
    return local_lake(tmp_path)


def _staged(place: LakePlace, rows: pa.Table, run_id: str = "run_1"):
    run = place.open().open_run(identity(run_id), [people()])
    line = run.stage(people(), BatchId("people", 0), rows)
    run.seal(people(), 1)
    return run, line


def _numbers(place: LakePlace) -> list[int]:
    return sorted(int.from_bytes(row[0]) for row in place.rows("people", ["id"]))


def test_rows_that_others_append_before_publishing_stay(place):
    """Main moved between seal and publish: the same files go on top of it, under the same run's name."""
    place.make(people().arrow_schema, person_rows(1000, 3))
    run, _ = _staged(place, person_rows(0, 5))
    place.append(person_rows(2000, 2))
    assert [one.inserted for one in run.publish([people()])] == [5]
    assert _numbers(place) == [0, 1, 2, 3, 4, 1000, 1001, 1002, 2000, 2001]
    assert list(run.verify(people())) == []
    metadata = place.table("people").metadata
    own = [one for one in metadata.snapshots if one.summary.additional_properties.get("transhume.run") == "run_1"]
    assert [one.snapshot_id for one in own] == [metadata.current_snapshot_id]
    before = metadata.refs[tag_name("run_1")].snapshot_id
    assert place.table("people").scan(snapshot_id=before).to_arrow().num_rows == 5
    run.close()


def test_rows_that_others_append_while_publishing_stay(place, monkeypatch):
    """Main moves after the metadata was written: the swap of the pointer fails, and is done again on the new base."""
    place.make(people().arrow_schema, person_rows(1000, 3))
    run, _ = _staged(place, person_rows(0, 5))
    swap, calls = Ledger.publish, []

    def publish(ledger, *what):
        calls.append(True)
        if len(calls) < 4:
            place.append(person_rows(2000 + len(calls), 1))
        swap(ledger, *what)

    monkeypatch.setattr(Ledger, "publish", publish)
    run.publish([people()])
    assert len(calls) == 4
    assert _numbers(place) == [0, 1, 2, 3, 4, 1000, 1001, 1002, 2001, 2002, 2003]
    run.close()


def test_the_first_rows_of_an_empty_table_may_come_from_others(place):
    """A table without a snapshot when the run began gets others' rows first, then ours."""
    place.make(people().arrow_schema)
    run, _ = _staged(place, person_rows(0, 2))
    place.append(person_rows(50, 1))
    run.publish([people()])
    assert _numbers(place) == [0, 1, 50]
    run.close()


def test_a_key_that_others_write_stops_the_publishing(place):
    """Somebody inserts one of our keys after it was staged: nothing of any table is published."""
    place.make(people().arrow_schema, person_rows(1000, 3))
    run, _ = _staged(place, person_rows(0, 5))
    place.append(person_rows(4, 1, " of another"))
    with pytest.raises(CheckFailed, match="others have written 1 rows with keys of this run"):
        run.publish([people()])
    assert run.state == "open"
    assert _numbers(place) == [4, 1000, 1001, 1002]
    run.close()


def test_a_table_that_others_create_stops_the_publishing(place, monkeypatch):
    """Somebody creates a table that the run creates too, even in the moment of publishing: nothing is replaced."""
    run, _ = _staged(place, person_rows(0, 5))
    swap = Ledger.publish

    def publish(ledger, *what):
        catalog = place.catalog()
        catalog.create_namespace("ai")
        catalog.create_table(("ai", "people"), pa.schema([("other", pa.string())]), location=f"file://{place.folder}/x")
        swap(ledger, *what)

    monkeypatch.setattr(Ledger, "publish", publish)
    with pytest.raises(CheckFailed, match="made by somebody else"):
        run.publish([people()])
    assert place.scan("people").column_names == ["other"]
    run.close()


def test_unchanged_rows_that_others_remove_are_missed(place):
    """Rows counted as unchanged are deleted by others before publishing: that is said, not published as complete."""
    place.make(people().arrow_schema, person_rows(0, 10))
    run, line = _staged(place, person_rows(5, 10))
    assert (line.row_count, line.unchanged) == (5, (0, 1, 2, 3, 4))
    place.table("people").delete("name == 'person 6'")
    with pytest.raises(CheckFailed, match="counted as unchanged"):
        run.publish([people()])
    run.close()


def test_a_run_of_unchanged_rows_only_misses_them_too(place):
    """Nothing is staged, and one of the rows that were counted as unchanged is gone: that is said."""
    place.make(people().arrow_schema, person_rows(0, 10))
    run, line = _staged(place, person_rows(0, 10))
    assert line.row_count == 0
    place.table("people").delete("name == 'person 6'")
    with pytest.raises(CheckFailed, match="counted as unchanged"):
        run.publish([people()])
    run.close()


def test_unchanged_rows_survive_a_compaction(place):
    """Others rewrite the files of unchanged rows without changing a row: the run is published."""
    place.make(people().arrow_schema, person_rows(0, 10))
    run, _ = _staged(place, person_rows(5, 10))
    everything = place.table("people").scan().to_arrow()
    place.table("people").overwrite(everything)
    published = run.publish([people()])
    assert [(one.inserted, one.unchanged) for one in published] == [(5, 5)]
    assert _numbers(place) == list(range(15))
    run.close()


@pytest.mark.parametrize("when", ["before seal", "before publish"])
def test_a_column_that_others_change_is_named(place, when):
    """A renamed column stops the run by name; nothing is published."""
    place.make(people().arrow_schema, person_rows(1000, 1))
    run = place.open().open_run(identity(), [people()])
    run.stage(people(), BatchId("people", 0), person_rows(0, 2))
    if when == "before publish":
        run.seal(people(), 1)
    with place.table("people").update_schema() as update:
        update.rename_column("age", "years")
    with pytest.raises(CheckFailed, match="no column 'age'"):
        _seal_and_publish(run)
    assert _numbers(place) == [1000]
    run.close()


def _seal_and_publish(run) -> None:
    run.seal(people(), 1)
    run.publish([people()])


def test_an_optional_column_that_others_add_does_no_harm(place):
    """A new optional column is NULL in our rows."""
    place.make(people().arrow_schema, person_rows(1000, 1))
    run, _ = _staged(place, person_rows(0, 2))
    with place.table("people").update_schema() as update:
        update.add_column("nickname", StringType())
    run.publish([people()])
    assert list(run.verify(people())) == []
    assert place.scan("people").column("nickname").null_count == 3
    run.close()


def test_the_branch_is_the_only_trace_before_publishing(place):
    """After sealing, an existing table has the run's branch and tag, and readers of main see what they saw."""
    place.make(people().arrow_schema, person_rows(1000, 3))
    run, _ = _staged(place, person_rows(0, 5))
    table = place.table("people")
    assert set(table.refs()) == {"main", branch_name("run_1"), tag_name("run_1")}
    assert table.scan().to_arrow().num_rows == 3
    branch = table.refs()[branch_name("run_1")].snapshot_id
    assert table.scan(snapshot_id=branch).to_arrow().num_rows == 8
    run.close()


def test_a_table_with_nothing_new_is_left_alone(place):
    """All rows unchanged: not even the metadata file of the table is another one."""
    place.make(people().arrow_schema, person_rows(0, 10))
    before = place.table("people").metadata_location
    run, line = _staged(place, person_rows(0, 10))
    run.publish([people()])
    assert line.unchanged == tuple(range(10))
    assert place.table("people").metadata_location == before
    run.close()


def test_bits_decide_what_is_unchanged(place):
    """-0.0 is not 0.0, NULL is not '', and two NaN of the same bits are the same row."""
    nan = float("nan")
    columns = (Column("id", BIGINT, nullable=False), Column("x", DOUBLE), Column("t", TEXT))
    table = TargetTable("bits", Table("bits", columns, ("id",)), ("id",), create=True)
    first = pa.table({"id": [1, 2, 3, 4], "x": [0.0, nan, 1.0, None], "t": ["", "", None, "a"]}, table.arrow_schema)
    second = pa.table({"id": [1, 2, 3, 4], "x": [-0.0, nan, 1.0, None], "t": ["", "", "", "a"]}, table.arrow_schema)
    for run_id, rows in (("run_1", first), ("run_2", second)):
        run = place.open().open_run(identity(run_id), [table])
        line = run.stage(table, BatchId("bits", 0), rows)
        run.seal(table, 1)
        run.publish([table])
        run.close()
    assert (line.unchanged, line.conflicts) == ((1, 3), (0, 2))


def test_a_key_that_is_there_twice_is_unchanged_only_if_both_are(place):
    """Lakes do not keep keys unique: of two rows with one key, the one that differs makes a conflict."""
    theirs = pa.concat_tables([person_rows(0, 2), person_rows(0, 1), person_rows(1, 1, " edited")])
    place.make(people().arrow_schema, theirs)
    run, line = _staged(place, person_rows(0, 3))
    assert (line.row_count, line.unchanged, line.conflicts) == (1, (0,), (1,))
    run.close()


def test_compound_keys_are_not_confused(place):
    """('a', 'bc') is not ('ab', 'c'): the parts of a key keep their bounds."""
    columns = (Column("a", TEXT, nullable=False), Column("b", TEXT, nullable=False))
    table = TargetTable("pairs", Table("pairs", columns, ("a", "b")), ("a", "b"), create=True)
    place.make(table.arrow_schema, pa.table({"a": ["a", "x"], "b": ["bc", "y"]}, table.arrow_schema), "pairs")
    run = place.open().open_run(identity(), [table])
    line = run.stage(table, BatchId("pairs", 0), pa.table({"a": ["ab", "x"], "b": ["c", "y"]}, table.arrow_schema))
    assert (line.row_count, line.unchanged, line.conflicts) == (1, (1,), ())
    run.close()


def test_two_mappings_into_one_table_are_published_together(place):
    """Two sources, one table: each mapping has its batches and its snapshot, readers get both."""
    one = people()
    two = TargetTable("more_people", one.table, one.key, create=True)
    run = place.open().open_run(identity(), [one, two])
    run.stage(one, BatchId("people", 0), person_rows(0, 2))
    run.stage(two, BatchId("more_people", 0), person_rows(10, 3))
    run.seal(one, 1)
    run.seal(two, 1)
    run.seal(two, 1)
    published = run.publish([one, two])
    assert [(entry.table, entry.inserted) for entry in published] == [("people", 2), ("people", 3)]
    assert _numbers(place) == [0, 1, 10, 11, 12]
    batches = place.scan("people").column("migration_batch").to_pylist()
    assert sorted(set(batches)) == ["run_1/more_people/0", "run_1/people/0"]
    assert list(run.verify(one)) == list(run.verify(two)) == []
    run.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_readers_see_all_of_thirty_tables_or_none(tmp_path, request, kind):
    """A reader that looks at the catalog all the time finds 0 or 30 tables of the run, never a part."""
    place = local_lake(tmp_path) if kind == "sqlite" else shared_lake(tmp_path, request.getfixturevalue("postgres_url"))
    tables = [_numbered(number) for number in range(30)]
    run = place.open().open_run(identity(), tables)
    for table in tables:
        rows = pa.table({"id": [key(1)], "n": [1]}, table.arrow_schema)
        run.stage(table, BatchId(table.mapping, 0), rows)
        run.seal(table, 1)
    seen: list[int] = []
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(place, seen, stop))
    watcher.start()
    try:
        run.publish(tables)
        while not seen or seen[-1] != 30:
            assert watcher.is_alive()
    finally:
        stop.set()
        watcher.join()
    assert set(seen) <= {0, 30}
    run.close()


def _numbered(number: int) -> TargetTable:
    columns = (Column("id", UUID, nullable=False), Column("n", BIGINT))
    return TargetTable(f"t{number}", Table(f"t{number}", columns, ("id",)), ("id",), create=True)


def _watch(place: LakePlace, seen: list[int], stop: threading.Event) -> None:
    engine = sqlalchemy.create_engine(place.catalog_uri)
    count = sqlalchemy.text("select count(*) from iceberg_tables where table_namespace = 'ai'")
    while not stop.is_set():
        with engine.connect() as connection:
            seen.append(connection.execute(count).scalar_one())
    engine.dispose()


def test_other_programs_read_the_values_and_types(place):
    """DuckDB, which knows nothing of transhume, finds in the files the types and values that were staged."""
    table, rows = nasty_table()
    run = place.open().open_run(identity(), [table])
    run.stage(table, BatchId("nasty", 0), rows)
    run.seal(table, 1)
    run.publish([table])
    run.close()
    (file,) = place.data_files("nasty")
    duck = duckdb.connect()
    described = duck.execute(
        "select column_name, column_type from (describe select * from read_parquet(?))", [str(file)]
    )
    types = {name.partition(" ")[2]: held for name, held in described.fetchall()}
    assert types["uuid"] == "UUID"
    assert types["timestamptz"] == "TIMESTAMP WITH TIME ZONE"
    assert types["timestamp"] == "TIMESTAMP"
    assert types["decimal(10,2)"] == "DECIMAL(10,2)"
    assert types["decimal(38,38)"] == "DECIMAL(38,38)"
    assert types["date"] == "DATE"
    assert types["time"] == "TIME"
    assert types["list(uuid)"] == "UUID[]"
    names = [field.name for field in rows.schema if " json" not in field.name]
    quoted = ", ".join(f'"{name}"' for name in names if "timestamptz" not in name)
    found = duck.sql(f"select {quoted} from read_parquet('{file}') order by id").to_arrow_table()
    for name in found.column_names:
        ours, theirs = rows.column(name), found.column(name)
        if "uuid" not in name:
            assert [str(value) for value in theirs.to_pylist()] == [str(value) for value in ours.to_pylist()], name
