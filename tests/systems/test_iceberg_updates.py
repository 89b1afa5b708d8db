"""Rows that a lake has already: replaced in files written anew, others exact, before-images kept, races seen."""

import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy
from pyiceberg import types as iceberg
from pyiceberg.schema import Schema

from tests.systems.lakes import LakePlace, local_lake
from transhume.batches import BatchId, StagedBatch
from transhume.errors import CheckFailed, Refused
from transhume.systems.iceberg import ledger
from transhume.systems.iceberg.run import IcebergRun
from transhume.systems.iceberg.snapshots import tag_name
from transhume.testing.targets import identity, key, people, person_rows

UPDATE = dataclasses.replace(people(create=False), on_conflict="update")
_THEIRS = Schema(
    iceberg.NestedField(1, "note", iceberg.StringType()),
    iceberg.NestedField(2, "id", iceberg.UUIDType(), required=True),
    iceberg.NestedField(3, "name", iceberg.StringType(), required=True),
    iceberg.NestedField(4, "age", iceberg.LongType()),
    iceberg.NestedField(5, "x", iceberg.DoubleType()),
    iceberg.NestedField(6, "tags", iceberg.ListType(7, iceberg.StringType(), element_required=False)),
    iceberg.NestedField(8, "place", iceberg.StructType(iceberg.NestedField(9, "lat", iceberg.DoubleType()))),
    iceberg.NestedField(
        10, "facts", iceberg.MapType(11, iceberg.StringType(), 12, iceberg.LongType(), value_required=False)
    ),
)
_NAN = struct.unpack("<d", bytes.fromhex("010000000000f87f"))[0]


@pytest.fixture
def place(tmp_path) -> LakePlace:
    """A lake whose table of people others made and filled, in three files, with columns that no plan maps."""
    place = local_lake(tmp_path)
    place.open().open_run(identity("making"), []).close()
    catalog = place.catalog()
    catalog.create_namespace_if_not_exists("ai")
    table = catalog.create_table(("ai", "people"), _THEIRS)
    for first in (0, 4, 8):
        table.append(pa.Table.from_pylist([_person(n) for n in range(first, first + 4)], table.schema().as_arrow()))
    return place


def _person(number: int) -> dict[str, Any]:
    return {
        "note": None if number == 1 else f"note {number}",
        "id": key(number),
        "name": f"person {number}",
        "age": None if number % 3 == 0 else number,
        "x": (-0.0, _NAN, 5e-324, None)[number % 4],
        "tags": (["a", None, ""], [], None, ["é"])[number % 4],
        "place": {"lat": -0.0} if number % 2 else None,
        "facts": [("n", number), ("none", None)],
    }


def _rows(first: int, count: int, renamed: tuple[int, ...]) -> pa.Table:
    rows = person_rows(first, count).to_pylist()
    for number in renamed:
        rows[number - first]["name"] += " renamed"
    return pa.Table.from_pylist(rows, schema=people().arrow_schema)


def _staged(place: LakePlace, rows: pa.Table, run_id: str = "run_1") -> tuple[IcebergRun, StagedBatch]:
    run = place.open().open_run(identity(run_id), [UPDATE])
    line = run.stage(UPDATE, BatchId("people", 0), rows)
    assert list(run.compare(UPDATE, line.batch, rows)) == []
    return run, line


def _shown(place: LakePlace) -> dict[int, str]:
    """Return what readers get, by number: Python's text of each row tells the sign of zero."""
    rows = place.scan("people").to_pylist()
    found = {int.from_bytes(row["id"].bytes): repr(row) for row in rows}
    assert len(found) == len(rows), "a key stands more than once"
    return found


def _ledger_entry(place: LakePlace) -> dict[str, Any]:
    engine = sqlalchemy.create_engine(place.catalog_uri)
    with engine.connect() as connection:
        text = connection.execute(sqlalchemy.text("SELECT replaced FROM transhume_tables WHERE run = 'run_1'")).scalar()
    engine.dispose()
    return json.loads(text)["people"]


def test_an_update_replaces_mapped_columns_and_keeps_whole_rows(place):
    """Rows in two of three files are replaced; all other rows, and the columns that no plan maps, keep their bits."""
    before = _shown(place)
    old_files = set(place.data_files("people"))
    run, line = _staged(place, _rows(0, 14, (2, 9)))
    assert (line.row_count, line.updated, len(line.unchanged)) == (4, (2, 9), 10)
    run.seal(UPDATE, 1)
    assert _shown(place) == before, "not visible yet"
    (published,) = run.publish([UPDATE])
    assert (published.inserted, published.updated, published.unchanged) == (2, 2, 10)
    assert list(run.verify(UPDATE)) == []
    run.close()
    after = _shown(place)
    changed = {number for number, row in before.items() if after[number] != row}
    assert changed == {2, 9}
    for number in changed:
        assert after[number] == before[number].replace(f"'person {number}'", f"'person {number} renamed'")
    assert set(after) - set(before) == {12, 13}
    entry = _ledger_entry(place)
    kept = pq.read_table(Path(entry["before"].removeprefix("file://"))).to_pylist()
    assert entry["before"].removeprefix("file://").startswith(str(place.folder / "lake" / "ai" / "people"))
    assert sorted(repr(row) for row in kept) == sorted(before[number] for number in (2, 9))
    assert entry["rows"] == 2
    assert len(entry["rewritten"]) == 2, "the file without a replaced row is left alone"
    assert old_files <= set(place.data_files("people")), "no file is deleted"
    tagged = place.table("people").metadata.refs[tag_name("run_1")].snapshot_id
    assert place.table("people").scan(snapshot_id=tagged).to_arrow().num_rows == 12


def test_a_row_that_others_deleted_stays_deleted(place):
    """The file of a replaced row is written anew without a row that was deleted from it before."""
    place.table("people").delete("name == 'person 3'")
    run, _ = _staged(place, _rows(0, 3, (2,)))
    run.seal(UPDATE, 1)
    run.publish([UPDATE])
    assert list(run.verify(UPDATE)) == []
    run.close()
    assert set(_shown(place)) == {0, 1, 2, *range(4, 12)}


@pytest.mark.parametrize("when", ["before seal", "before publish"])
def test_an_edit_by_others_stops_the_publishing(place, when):
    """Somebody changes a column that no plan maps, of a row that is to be replaced: nothing is published."""
    run, _ = _staged(place, _rows(0, 14, (2, 9)))
    if when == "before publish":
        run.seal(UPDATE, 1)
    theirs = place.scan("people").to_pylist()
    theirs[[row["name"] for row in theirs].index("person 9")]["x"] = 0.5
    place.table("people").overwrite(pa.Table.from_pylist(theirs, place.table("people").schema().as_arrow()))
    now = _shown(place)
    with pytest.raises(CheckFailed, match="changed or removed 1 rows that this run replaces"):
        _seal_and_publish(run)
    assert _shown(place) == now
    run.close()


def _seal_and_publish(run: IcebergRun) -> None:
    run.seal(UPDATE, 1)
    run.publish([UPDATE])


@pytest.mark.parametrize("when", ["before seal", "before publish"])
def test_rows_of_others_that_come_meanwhile_stay(place, when):
    """Others append, and write all files anew without a change: the same rows are replaced on top of that."""
    before = _shown(place)
    run, _ = _staged(place, _rows(0, 14, (2, 9)))
    if when == "before publish":
        run.seal(UPDATE, 1)
    theirs = [*place.scan("people").to_pylist(), _person(50)]
    place.table("people").overwrite(pa.Table.from_pylist(theirs, place.table("people").schema().as_arrow()))
    with_theirs = _shown(place)
    _seal_and_publish(run)
    assert list(run.verify(UPDATE)) == []
    run.close()
    after = _shown(place)
    assert set(after) == {*before, 12, 13, 50}
    assert {number for number in with_theirs if after[number] != with_theirs[number]} == {2, 9}
    kept = pq.read_table(Path(_ledger_entry(place)["before"].removeprefix("file://"))).to_pylist()
    assert sorted(repr(row) for row in kept) == sorted(before[number] for number in (2, 9))


def test_a_new_key_that_others_write_before_the_seal_stops_the_publishing(place):
    """Somebody inserts one of our new keys after it was staged and before the seal: nothing is published."""
    run, _ = _staged(place, _rows(0, 14, ()))
    place.table("people").append(pa.Table.from_pylist([_person(13)], place.table("people").schema().as_arrow()))
    with pytest.raises(CheckFailed, match="others have written 1 rows with keys of this run"):
        _seal_and_publish(run)
    assert set(_shown(place)) == {*range(12), 13}
    run.close()


def test_a_key_that_stands_twice_cannot_be_replaced(place):
    """Of two rows with one key none is chosen: the run stops and says so."""
    place.table("people").append(pa.Table.from_pylist([_person(2)], place.table("people").schema().as_arrow()))
    run, line = _staged(place, _rows(0, 3, (2,)))
    assert line.updated == (2,)
    with pytest.raises(CheckFailed, match="holds a key more than once"):
        run.seal(UPDATE, 1)
    run.close()


def test_verifying_notices_a_replaced_row_that_changed(place):
    """After publishing, another content of a replaced row is named by its position."""
    run, _ = _staged(place, _rows(0, 14, (2, 9)))
    _seal_and_publish(run)
    table = place.table("people")
    theirs = table.scan().to_arrow().to_pylist()
    next(row for row in theirs if row["name"] == "person 9 renamed")["age"] = -9
    table.overwrite(pa.Table.from_pylist(theirs, table.schema().as_arrow()))
    found = [(one.row, one.column) for one in run.verify(UPDATE)]
    assert (9, "(row)") in found
    run.close()


def test_two_batches_and_two_mappings_replace_rows_of_one_file(place):
    """Replacements add up: those of a later mapping keep those of the earlier one."""
    other = dataclasses.replace(UPDATE, mapping="more_people")
    run = place.open().open_run(identity(), [UPDATE, other])
    run.stage(UPDATE, BatchId("people", 0), _rows(0, 1, (0,)))
    run.stage(UPDATE, BatchId("people", 1), _rows(1, 1, (1,)))
    run.stage(other, BatchId("more_people", 0), _rows(2, 1, (2,)))
    run.seal(UPDATE, 2)
    run.seal(other, 1)
    run.seal(other, 1)
    assert [one.updated for one in run.publish([UPDATE, other])] == [2, 1]
    assert list(run.verify(UPDATE)) == list(run.verify(other)) == []
    run.close()
    names = sorted(row["name"] for row in place.scan("people").to_pylist() if row["name"].endswith("renamed"))
    assert names == ["person 0 renamed", "person 1 renamed", "person 2 renamed"]


def test_an_older_ledger_is_brought_up_and_a_newer_one_refused(place):
    """A ledger of version 1 (without the table of its version) gets the new columns; a later one is left alone."""
    engine = sqlalchemy.create_engine(place.catalog_uri)
    with engine.begin() as connection:
        for table, columns in (
            ("transhume_batches", ("updated", "skipped", "updates_path", "updates_sha256")),
            ("transhume_tables", ("replaced",)),
        ):
            for column in columns:
                connection.execute(sqlalchemy.text(f"ALTER TABLE {table} DROP COLUMN {column}"))
        connection.execute(sqlalchemy.text("DROP TABLE transhume_ledger"))
    assert [one["run"] for one in place.open().runs()] == ["making"]
    run, _ = _staged(place, _rows(0, 14, (2, 9)))
    _seal_and_publish(run)
    run.close()
    newest = place.open().runs()[-1]
    assert (newest["row_count"], newest["updated"], newest["skipped"]) == (4, 2, 0)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"UPDATE transhume_ledger SET version = {ledger.VERSION + 1}"))
    engine.dispose()
    with pytest.raises(Refused, match=f"version {ledger.VERSION + 1}"):
        place.open().open_run(identity("run_2"), [UPDATE])
