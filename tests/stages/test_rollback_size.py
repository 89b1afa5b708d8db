"""The measured proof: many rows of others, some changed by the run, some of ours edited since, new ones of others."""

import os
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.stages import small_project, undone
from tests.stages.undone import execute, rows
from transhume import Project

PLAN = """\
transhume: 1
name: size
namespace: size
source: ${SOURCE_URL}
target: ${TARGET_URL}
tables:
  items:
    from: item
    key: id
    columns: {item_id: {uuid: id}, original_source_id: id, name: name}
"""
SIZES = [(2_000, 20, 10, 4), pytest.param((100_000, 1_000, 500, 200), marks=pytest.mark.sweep)]
"""Rows of others; of these changed by the run; of ours edited since; new ones of others. The full size is a sweep."""
ALL = "SELECT item_id, original_source_id, name, note FROM ai.items"


def _write(folder: Path, target: str, count: int, conflict: str = "") -> Project:
    folder.mkdir(parents=True)
    (folder / "transhume.yaml").write_text(PLAN + conflict)
    (folder / ".env").write_text(f"SOURCE_URL=sqlite:///source.db\nTARGET_URL={target}\n")
    with sqlite3.connect(folder / "source.db") as source:
        source.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
        source.executemany("INSERT INTO item VALUES (?, ?)", [(n, f"item {n}") for n in range(count)])
    source.close()
    return Project(folder)


@pytest.mark.parametrize("sizes", SIZES)
def test_postgres_is_what_it_was_apart_from_edited_rows(sizes, tmp_path, postgres_url):
    """Everything except the edited rows and others' new ones has the fingerprint of before, computed here."""
    foreign, changed, edited, new = sizes
    project = _write(tmp_path / "p", f"{postgres_url}&schema=ai", foreign // 5, "    on_conflict: update\n")
    execute(
        postgres_url,
        "CREATE SCHEMA ai",
        "CREATE TABLE ai.items (item_id uuid PRIMARY KEY, original_source_id bigint, name text, note text)",
    )
    project.run()
    execute(
        postgres_url,
        f"DELETE FROM ai.items WHERE original_source_id >= {changed}",
        "UPDATE ai.items SET name = 'theirs', note = 'n'",
        "INSERT INTO ai.items SELECT gen_random_uuid(), n, 'theirs', 'n'"
        f" FROM generate_series({changed + 1}, {foreign}) n",
    )
    project.finalize()
    before = rows(postgres_url, ALL)
    assert before[0] == foreign
    project.run()
    mine = f"original_source_id BETWEEN {changed} AND {changed + edited - 1} AND name LIKE 'item %'"
    execute(
        postgres_url,
        f"UPDATE ai.items SET note = 'edited' WHERE {mine}",
        f"INSERT INTO ai.items SELECT gen_random_uuid(), n, 'new', 'new' FROM generate_series(1, {new}) n",
    )
    result = project.rollback()
    (items,) = result.report.tables
    assert (items.restored, items.edited, items.removed) == (changed, edited, foreign // 5 - changed - edited)
    assert rows(postgres_url, f"{ALL} WHERE note NOT IN ('edited', 'new') OR note IS NULL") == before
    assert execute(postgres_url, "SELECT count(*) FROM ai.items") == [(foreign + edited + new,)]
    assert len(undone.kept(project.folder)) == edited
    assert items.proof == "equal_apart_from_others"
    _tell(f"postgres {sizes}", result.duration_s)


@pytest.mark.parametrize("is_rewritten", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_a_lake_is_what_it_was_apart_from_edited_rows(sizes, is_rewritten, tmp_path):
    """The same in a lake, which has no update; also after another engine wrote all files anew."""
    foreign, changed, edited, new = sizes
    project = _write(tmp_path / "p", "iceberg:./lake?namespace=ai", foreign // 5, "    on_conflict: update\n")
    (project.folder / "lake").mkdir()
    catalog = small_project.catalog(project.folder)
    catalog.create_namespace("ai")
    table = catalog.create_table(("ai", "items"), _foreign(0, 0, "").schema)
    project.run()
    project.finalize()
    # Of the keys of the run `changed` stand in rows of others.
    table = catalog.load_table(("ai", "items"))
    keys = table.scan().to_arrow().sort_by("original_source_id").slice(0, changed)["item_id"].combine_chunks()
    theirs = _foreign(0, foreign, "theirs")
    own = pa.concat_arrays([keys.cast(theirs.schema.field(0).type), theirs["item_id"].combine_chunks().slice(changed)])
    table.overwrite(theirs.set_column(0, theirs.schema.field(0), own))
    before = _content(project)
    assert len(before) == foreign
    run = project.run()
    assert run.tables[0].updated == changed
    table = catalog.load_table(("ai", "items"))
    everything = table.scan().to_arrow()
    number = everything["original_source_id"]
    is_edited = pc.and_(pc.less(number, changed + edited), pc.greater_equal(number, changed))
    ours = everything.filter(pc.and_(is_edited, pc.starts_with(everything["name"], "item ")))
    assert ours.num_rows == edited
    table.delete(f"name IN ({', '.join(repr(name) for name in ours['name'].to_pylist())})")
    place, field = ours.column_names.index("note"), ours.schema.field("note")
    table.append(ours.set_column(place, field, pa.array(["edited"] * edited, field.type)))
    table.append(_foreign(foreign, new, "new"))
    if is_rewritten:
        table.overwrite(table.scan().to_arrow().combine_chunks())
    result = project.rollback()
    (items,) = result.report.tables
    gone = foreign // 5 - changed - edited
    assert (items.restored, items.edited, items.removed, items.vanished) == (changed, edited, gone, 0)
    assert [row for row in _content(project) if "'edited'" not in row and "'new " not in row] == before
    assert len(_content(project)) == foreign + edited + new
    assert len(undone.kept(project.folder)) == edited
    assert items.proof == "equal_apart_from_others"
    _tell(f"lake {sizes} rewritten={is_rewritten}", result.duration_s)


def _foreign(first: int, count: int, name: str) -> pa.Table:
    numbers = range(first, first + count)
    keys = pa.array([(2**100 + number).to_bytes(16) for number in numbers], pa.binary(16))
    schema = pa.schema(
        [("item_id", pa.uuid()), ("original_source_id", pa.int64()), ("name", pa.string()), ("note", pa.string())]
    )
    columns = [
        pa.ExtensionArray.from_storage(pa.uuid(), keys),
        pa.array(list(numbers), pa.int64()),
        pa.array([f"{name} {number}" for number in numbers], pa.string()),
        pa.array(["n"] * count, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _content(project: Project) -> list[str]:
    rows_ = small_project.catalog(project.folder).load_table(("ai", "items")).scan().to_arrow()
    columns = [rows_[name].to_pylist() for name in ("item_id", "original_source_id", "name", "note")]
    return sorted(repr(row) for row in zip(*columns, strict=True))


def _tell(what: str, duration_s: float) -> None:
    """Leave the measured time where the closing note finds it, if it is asked for."""
    if place := os.environ.get("TRANSHUME_MEASURED"):
        with Path(place).open("a") as file:
            file.write(f"{what}: rollback {duration_s:.2f} s\n")
