"""The parts of the lake's driver: addresses, refusals, comparison, index, and the private names of pyiceberg."""

import importlib
import json
import struct
import time
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import IntegerType, LongType, NestedField, StringType

from tests.systems.lakes import LakePlace, local_lake
from transhume.batches import BatchId, TargetTable
from transhume.errors import CheckFailed, SystemRefused, SystemUnavailable, UsageError
from transhume.schema import BIGINT, DOUBLE, TEXT, UUID, Column, Table, parse_type
from transhume.systems.iceberg.address import parse_address
from transhume.systems.iceberg.present import KeyIndex
from transhume.systems.iceberg.rowbytes import row_bytes, same_bits
from transhume.systems.iceberg.snapshots import PRIVATE_NAMES
from transhume.testing.targets import identity, people, person_rows


@pytest.fixture
def place(tmp_path) -> LakePlace:
    """An empty lake in a folder."""
    return local_lake(tmp_path)


def test_an_address_is_taken_apart(tmp_path):
    """Folder, catalog, namespace and S3 options, each where it belongs."""
    plain = parse_address("iceberg:./lake?namespace=ai", tmp_path)
    assert plain.warehouse == f"file://{tmp_path}/lake"
    assert plain.catalog_file == tmp_path / "lake" / "catalog.db"
    assert (plain.namespace, plain.scope) == ("ai", "default/ai")
    shared = parse_address(
        "iceberg:./lake?catalog=postgresql://u:p%40ss@h:5433/db?sslmode=require&connect_timeout=5&namespace=a.b",
        tmp_path,
    )
    assert shared.catalog_url == "postgresql+psycopg://u:p%40ss@h:5433/db?sslmode=require&connect_timeout=5"
    assert shared.catalog_file is None
    assert shared.identity == f"iceberg:file://{tmp_path}/lake?catalog=postgresql://h:5433/db/default&namespace=a.b"
    bucket = parse_address("iceberg:s3://b/p/?endpoint=http://x:1&secret_key=geheim&catalog=sqlite:///c.db", tmp_path)
    assert (bucket.warehouse, bucket.folder) == ("s3://b/p", None)
    assert dict(bucket.properties) == {"s3.endpoint": "http://x:1", "s3.secret-access-key": "geheim"}
    assert "geheim" not in repr(bucket) + bucket.identity
    assert "p%40ss" not in repr(shared) + shared.identity


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("iceberg:", "names no folder"),
        ("iceberg:s3://", "names no bucket"),
        ("iceberg:s3://b/p", "needs 'catalog='"),
        ("iceberg:gs://b/p", "'gs' is not a place"),
        ("iceberg:./lake?namespase=x", "'namespase' is not an option"),
        ("iceberg:./lake?namespace=a&namespace=b", "stands twice"),
        ("iceberg:./lake?namespace=../x", "is not a name"),
        ("iceberg:./lake?catalog=mysql://u:geheim@h/db", "must be postgresql"),
        ("iceberg:./la#ke", "has a '#'"),
        ("ice:./lake", "is not an Iceberg address"),
    ],
)
def test_a_wrong_address_is_refused_by_its_part(tmp_path, url, words):
    """The message names what is wrong and never a password."""
    with pytest.raises(UsageError, match=words) as caught:
        parse_address(url, tmp_path)
    assert "geheim" not in str(caught.value)


def test_looking_at_a_lake_that_is_not_there_makes_nothing(place):
    """catalog, runs and refusals of a lake before its first run leave the folder as it is."""
    target = place.open()
    assert dict(target.catalog().tables) == {}
    assert list(target.runs()) == []
    assert list(target.refusals([people()])) == []
    assert list(place.folder.iterdir()) == []


def test_names_that_other_programs_cannot_hold_are_refused(place):
    """Columns that differ only in case, dots, and control characters: one sentence each."""
    columns = (
        Column("id", UUID, nullable=False),
        Column("Name", TEXT),
        Column("name", TEXT),
        Column("a.b", TEXT),
        Column("", TEXT),
        Column("x\n", TEXT),
    )
    reasons = place.open().refusals([TargetTable("t", Table("a/b", columns, ("id",)), ("id",), create=True)])
    assert len(reasons) == 5
    for words in ("'a/b'", "'Name' and 'name'", "'a.b'", "''", "'x\n'"):
        assert any(words in reason for reason in reasons)


def test_a_type_that_cannot_be_carried_is_refused_by_name(place):
    """A column without a logical type is named."""
    columns = (Column("id", UUID, nullable=False), Column("shape", None, native="geometry"))
    reasons = place.open().refusals([TargetTable("t", Table("t", columns, ("id",)), ("id",), create=True)])
    assert ["shape" in reason for reason in reasons] == [True]


def test_existing_tables_are_refused_for_each_thing_that_does_not_fit(place):
    """Another type, a stricter NULL, a required column that the plan leaves out, partitions: all at once."""
    place.open().open_run(identity(), []).close()
    catalog = place.catalog()
    catalog.create_namespace("ai")
    fields = (
        NestedField(1, "id", StringType(), required=True),
        NestedField(2, "name", StringType(), required=False),
        NestedField(3, "age", LongType(), required=True),
        NestedField(4, "shoe_size", IntegerType(), required=True),
    )
    table = catalog.create_table(("ai", "people"), Schema(*fields))
    with table.update_spec() as update:
        update.add_identity("name")
    reasons = place.open().refusals([people(create=False)])
    expected = ("partitioned by name", "'id' is string there and uuid", "'age' is required", "'shoe_size' is required")
    assert len(reasons) == len(expected)
    for words in expected:
        assert any(words in reason for reason in reasons), words
    assert any("partitioned" in obstacle for obstacle in place.open().catalog().tables["people"].obstacles)


def test_other_format_versions_are_refused(place):
    """Version 1 tables have no sequence numbers, version 3 tables have row ids that we do not write."""
    place.open().open_run(identity(), []).close()
    catalog = place.catalog()
    catalog.create_namespace("ai")
    for format_version in ("1", "3"):
        name = f"v{format_version}"
        schema = pa.schema([("id", pa.int64())])
        made = catalog.create_table(("ai", name), schema, properties={"format-version": min(format_version, "2")})
        if format_version == "3":
            # pyiceberg reads version 3 and does not write it.
            file = Path(made.metadata_location.removeprefix("file://"))
            metadata = json.loads(file.read_text())
            file.write_text(json.dumps({**metadata, "format-version": 3, "next-row-id": 0}))
        table = Table(name, (Column("id", BIGINT),), ("id",))
        (reason,) = place.open().refusals([TargetTable("v", table, ("id",), create=False)])
        assert f"format version {format_version}" in reason


def test_a_table_that_cannot_be_read_does_not_hide_the_others(place):
    """Metadata that is missing or damaged is an obstacle of its own table only."""
    first = place.make(people().arrow_schema, name="broken")
    second = place.make(people().arrow_schema, name="gone")
    place.make(people().arrow_schema)
    Path(first.metadata_location.removeprefix("file://")).write_text("{}")
    Path(second.metadata_location.removeprefix("file://")).unlink()
    tables = place.open().catalog().tables
    assert set(tables) == {"broken", "gone", "people"}
    assert not tables["people"].obstacles
    assert "'broken'" in tables["broken"].obstacles[0]
    assert "'gone'" in tables["gone"].obstacles[0]


def test_a_lake_whose_folder_is_a_file_is_refused(place):
    """What stands in the way is named before anything is written."""
    (place.folder / "lake").write_text("not a folder")
    (reason,) = place.open().refusals([people()])
    assert "is a file" in reason


def test_a_missing_table_that_is_not_created_is_refused(place):
    """Neither refusals nor open_run accept it, and no lock stays behind."""
    target = place.open()
    with pytest.raises(SystemRefused, match="create: true"):
        target.open_run(identity(), [people(create=False)])
    target.open_run(identity(), []).close()


def test_null_for_a_required_column_is_refused_before_it_is_written(place):
    """The message names the batch and the column."""
    run = place.open().open_run(identity(), [people()])
    rows = person_rows(0, 2).to_pylist()
    rows[1]["name"] = None
    loose = pa.schema([field.with_nullable(nullable=True) for field in people().arrow_schema])
    with pytest.raises(SystemRefused, match=r"people/0.*'name' holds NULL"):
        run.stage(people(), BatchId("people", 0), pa.Table.from_pylist(rows, loose))
    run.close()


def test_a_damaged_file_is_never_called_equal(place):
    """Each byte of the data file that is changed is seen: as an error, as a difference, or by verify's hash."""
    run = place.open().open_run(identity(), [people()])
    run.stage(people(), BatchId("people", 0), person_rows(0, 50))
    run.seal(people(), 1)
    run.publish([people()])
    (file,) = place.data_files("people")
    whole = file.read_bytes()
    for offset in range(0, len(whole), 7):
        file.write_bytes(whole[:offset] + bytes([whole[offset] ^ 0x10]) + whole[offset + 1 :])
        (mismatch,) = run.verify(people())
        assert (mismatch.column, mismatch.found) == ("(data file)", "other bytes")
    file.unlink()
    assert run.verify(people())
    with pytest.raises(SystemUnavailable, match="cannot be read"):
        run.compare(people(), BatchId("people", 0), person_rows(0, 50))
    run.close()


def test_a_lost_file_is_staged_again(place):
    """A ledger line whose file is gone or changed is not believed."""
    run = place.open().open_run(identity(), [people()])
    first = run.stage(people(), BatchId("people", 0), person_rows(0, 5))
    (file,) = place.data_files("people")
    file.unlink()
    again = run.stage(people(), BatchId("people", 0), person_rows(0, 5))
    assert again == first
    assert list(run.compare(people(), BatchId("people", 0), person_rows(0, 5))) == []
    run.close()


def test_a_file_with_other_field_ids_or_types_is_a_mismatch(place):
    """Equal values in columns that readers would not find by their ids are not equal."""
    run = place.open().open_run(identity(), [people()])
    run.stage(people(), BatchId("people", 0), person_rows(0, 5))
    (file,) = place.data_files("people")
    plain = pq.read_table(file)
    pq.write_table(plain.replace_schema_metadata(None).cast(pa.schema([(f.name, f.type) for f in plain.schema])), file)
    found = run.compare(people(), BatchId("people", 0), person_rows(0, 5))
    assert {one.column for one in found} == {"id", "name", "age", "migration_batch"}
    assert all("field id none" in one.found for one in found)
    run.close()


def test_a_batch_column_of_the_plan_is_the_plans(place):
    """A plan that maps 'migration_batch' itself keeps it; ours is not added."""
    columns = (Column("id", BIGINT, nullable=False), Column("migration_batch", TEXT))
    table = TargetTable("t", Table("t", columns, ("id",)), ("id",), create=True)
    run = place.open().open_run(identity(), [table])
    rows = pa.table({"id": [1], "migration_batch": ["theirs"]}, table.arrow_schema)
    run.stage(table, BatchId("t", 0), rows)
    assert list(run.compare(table, BatchId("t", 0), rows)) == []
    run.seal(table, 1)
    run.publish([table])
    run.close()
    assert place.rows("t", ["migration_batch"]) == [("theirs",)]
    assert place.open().catalog().tables["t"].column("migration_batch") is not None


def test_a_published_run_takes_no_more_batches(place):
    """What is published is what was validated."""
    run = place.open().open_run(identity(), [people()])
    run.stage(people(), BatchId("people", 0), person_rows(0, 5))
    with pytest.raises(CheckFailed, match="not sealed"):
        run.publish([people()])
    run.seal(people(), 1)
    run.publish([people()])
    with pytest.raises(Exception, match="is published"):
        run.stage(people(), BatchId("people", 1), person_rows(5, 5))
    run.close()


def test_row_bytes_are_equal_only_for_equal_rows():
    """Bounds between columns, NULL, sign of zero, NaN bits, slices, nested lists: all of it counts."""
    nan, other_nan = struct.unpack("<dd", struct.pack("<QQ", 0x7FF8000000000000, 0x7FF8000000000001))
    rows: list[list[pa.Array]] = [
        [pa.array(["a"]), pa.array(["bc"])],
        [pa.array(["ab"]), pa.array(["c"])],
        [pa.array([None], pa.string()), pa.array(["c"])],
        [pa.array([""]), pa.array(["c"])],
        [pa.array([0.0])],
        [pa.array([-0.0])],
        [pa.array([nan])],
        [pa.array([other_nan])],
        [pa.array([[["a"], []]])],
        [pa.array([[["a"]]])],
        [pa.array([[["a"], None]])],
        [pa.array([True])],
        [pa.array([False])],
    ]
    encoded = [bytes(row_bytes(row)[0].as_py()) for row in rows]
    assert len(set(encoded)) == len(encoded)
    column = pa.array([None, 1.5, -0.0, 2.5])
    assert row_bytes([column.slice(2, 2)]).to_pylist() == row_bytes([pa.array([-0.0, 2.5])]).to_pylist()
    assert same_bits(pa.chunked_array([[nan]]), pa.chunked_array([[nan]]))
    assert not same_bits(pa.chunked_array([[nan]]), pa.chunked_array([[other_nan]]))
    assert not same_bits(pa.chunked_array([[[0.0]]]), pa.chunked_array([[[-0.0]]]))


def test_the_index_finds_every_key_and_no_other():
    """Also keys that are alike, and keys that come twice with other content."""
    index = KeyIndex()
    keys = [number.to_bytes(16) for number in range(0, 20_000, 2)]
    index.add(keys, (number.to_bytes(16) for number in range(10_000)))
    index.add([keys[5]] * 3, [bytes(16)] * 3)
    index.build()
    found = index.find(number.to_bytes(16) for number in range(20_000))
    assert [content is None for content in found] == [number % 2 == 1 for number in range(20_000)]
    assert [found[2 * n] for n in (0, 5, 9_999)] == [bytes(16), b"\xff" * 16, (9_999).to_bytes(16)]
    index.close()


def test_memory_does_not_grow_with_batches(place):
    """Staging and comparing eight batches keeps less Arrow memory than one of them has."""
    columns = (Column("id", BIGINT, nullable=False), Column("x", DOUBLE), Column("l", parse_type("list(text)")))
    table = TargetTable("t", Table("t", columns, ("id",)), ("id",), create=True)
    run = place.open().open_run(identity(), [table])
    before = pa.total_allocated_bytes()
    for index in range(8):
        numbers = range(index * 20_000, (index + 1) * 20_000)
        rows = pa.table({"id": numbers, "x": [0.5] * 20_000, "l": [["a", "b"]] * 20_000}, table.arrow_schema)
        run.stage(table, BatchId("t", index), rows)
        assert list(run.compare(table, BatchId("t", index), rows)) == []
        del rows
    # Arrow's own threads let go of what they read a moment after they gave it.
    deadline = time.monotonic() + 20
    while pa.total_allocated_bytes() > before + 2**19 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pa.total_allocated_bytes() <= before + 2**19
    run.close()


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_the_private_names_of_pyiceberg_are_there(name):
    """We use these names of pyiceberg 0.12 that its documentation does not promise; another version may move them."""
    assert version("pyiceberg").startswith("0.12."), "check every name in PRIVATE_NAMES against the new version"
    assert _resolves(name), f"pyiceberg no longer has '{name}'"


def _resolves(name: str) -> bool:
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            held = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(held, part) and part not in getattr(held, "__annotations__", {}):
                return False
            held = getattr(held, part, None)
        return True
    return False
