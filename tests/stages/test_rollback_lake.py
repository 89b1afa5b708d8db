"""Taking a run back in a lake: exactly its rows go, also where other engines have rewritten the files meanwhile."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.stages import small_project, undone
from transhume import Project
from transhume.errors import Refused, RollbackStopped
from transhume.stages.context import Limits
from transhume.systems.iceberg import undo_rows

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
LOADED = small_project.expected_buckets()["plants"]["loaded"]
FIELDS = [
    pa.field("place_id", pa.uuid()),
    pa.field("original_source_id", pa.int64()),
    pa.field("name", pa.string()),
    pa.field("note", pa.string()),
]


@pytest.fixture
def project(tmp_path) -> Project:
    """The small project with a lake as its target; nothing is there yet."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    return Project(tmp_path / "p")


def _table(project, name="places"):
    return small_project.catalog(project.folder).load_table(("ai", name))


def _others(first: int, count: int) -> pa.Table:
    """Return rows of others with UUIDs counting from `first`."""
    numbers = range(first, first + count)
    columns = [
        pa.array([number.to_bytes(16) for number in numbers], pa.binary(16)).cast(pa.binary(16)),
        pa.array(list(numbers), pa.int64()),
        pa.array([f"theirs {number}" for number in numbers]),
        pa.array(["x"] * count),
    ]
    columns[0] = pa.ExtensionArray.from_storage(pa.uuid(), columns[0])
    return pa.Table.from_arrays(columns, schema=pa.schema(FIELDS))


def _rows(project, name="places", without=()) -> list[str]:
    """Return the rows that readers get as texts, sorted, without the column that names batches."""
    table = _table(project, name).scan().to_arrow()
    kept = [column for column in table.column_names if column not in {"migration_batch", *without}]
    return sorted(repr(row) for row in table.select(kept).to_pylist())


@pytest.fixture
def beside_others(project) -> Project:
    """The same with a table of places that holds five rows of others."""
    (project.folder / "lake").mkdir()
    catalog = small_project.catalog(project.folder)
    catalog.create_namespace("ai")
    catalog.create_table(("ai", "places"), pa.schema(FIELDS)).append(_others(1, 5))
    return project


def _edit(project, condition: str, name="places", **values: str) -> None:
    """Change rows as another engine does: the files with them are written anew."""
    table = _table(project, name)
    rows = table.scan(row_filter=condition).to_arrow()
    for column, value in values.items():
        place = rows.column_names.index(column)
        rows = rows.set_column(
            place, rows.schema.field(column), pa.array([value] * rows.num_rows, rows.schema.field(column).type)
        )
    table.delete(condition)
    table.append(rows)


def _rewrite(project, name="places") -> None:
    """Write all rows of a table anew in one file, as a compaction does."""
    table = _table(project, name)
    table.overwrite(table.scan().to_arrow().combine_chunks())


def _by_name(result, table):
    return next(each for each in result.report.tables if each.table == table)


def test_a_run_into_nothing_leaves_nothing(project):
    """Both tables that the run made are gone from the catalog, a second rollback says so too, finalize frees files."""
    project.run(limits=SMALL)
    result = project.rollback(cause="a test")
    assert [(t.removed, t.dropped) for t in result.report.tables] == [(small_project.PLACES, True), (LOADED, True)]
    assert small_project.lake_content(project.folder, "ai") == {}
    assert project.rollback().report.tables == result.report.tables
    files = list((project.folder / "lake").rglob("*.parquet"))
    assert files
    assert any("data files" in sentence for sentence in project.finalize().dropped)
    assert not [path for path in files if path.exists()]
    assert [table.loaded for table in project.run(limits=SMALL).tables] == [small_project.PLACES, LOADED]


def test_a_run_that_was_never_published_loses_branch_and_files(beside_others):
    """Killed before publishing: branch, tag and staged files are gone, what readers see was never touched."""
    before = _rows(beside_others)
    small_project.run(beside_others.folder, "after:publish_started:1:kill")
    assert {name for name in _table(beside_others).metadata.refs if name != "main"}
    assert beside_others.rollback().report.state == "open"
    assert set(_table(beside_others).metadata.refs) == {"main"}
    assert len(list((beside_others.folder / "lake" / "ai").rglob("*.parquet"))) == 1
    assert _rows(beside_others) == before
    assert not beside_others.run(limits=SMALL).resumed


def test_nobody_wrote_since(beside_others):
    """The table goes back to the very snapshot from before the run, and its fingerprint is the same."""
    before, snapshot = _rows(beside_others), _table(beside_others).current_snapshot().snapshot_id
    beside_others.run(limits=SMALL)
    places = _by_name(beside_others.rollback(), "places")
    assert (places.proof, places.fingerprint_after) == ("equal", places.fingerprint_before_run)
    assert _table(beside_others).current_snapshot().snapshot_id == snapshot
    assert _rows(beside_others) == before


@pytest.mark.parametrize("is_rewritten", [False, True])
def test_what_others_wrote_stays(beside_others, is_rewritten):
    """Rows of others stay; rows of ours that they edited stay and are listed; also after all files are rewritten."""
    before = _rows(beside_others)
    beside_others.run(limits=SMALL)
    _table(beside_others).append(_others(100, 7))
    _edit(beside_others, "name = 'place 40'", note="only here")
    edited = _table(beside_others).scan(row_filter="note = 'only here'").to_arrow()["place_id"].to_pylist()
    _table(beside_others, "plants").delete("original_source_id = 129")
    if is_rewritten:
        _rewrite(beside_others)
        _rewrite(beside_others, "plants")
    result = beside_others.rollback(referenced="keep")
    places, plants = _by_name(result, "places"), _by_name(result, "plants")
    assert (places.removed, places.edited, places.needed) == (small_project.PLACES - 1, 1, 0)
    assert (plants.removed, plants.vanished, plants.dropped) == (LOADED - 1, 1, True)
    assert [line.split(",")[1] for line in undone.kept(beside_others.folder)] == [str(each) for each in edited]
    now = _rows(beside_others)
    assert set(before) <= set(now)
    assert len(now) == 5 + 7 + 1
    assert places.proof == "equal_apart_from_others"


def test_edited_rows_go_by_choice(beside_others):
    """With `edited: remove` the edited row goes as well."""
    before = _rows(beside_others)
    beside_others.run(limits=SMALL)
    _edit(beside_others, "name = 'place 3'", note="edited")
    result = beside_others.rollback(edited="remove")
    assert (_by_name(result, "places").removed, result.kept_file) == (small_project.PLACES, None)
    assert _rows(beside_others) == before


def test_what_a_kept_row_refers_to_stays(project):
    """An edited plant stays, and so do its place and its parents, out of files that are written anew for that."""
    project.run(limits=SMALL)
    _edit(project, "original_source_id = 6", name="plants", kind="edited")
    result = project.rollback()
    plants, places = _by_name(result, "plants"), _by_name(result, "places")
    assert (plants.edited, plants.needed, places.needed) == (1, 2, 3)
    for name in ("plants", "places"):
        assert sorted(_table(project, name).scan().to_arrow()["original_source_id"].to_pylist()) == [1, 3, 6]


def test_rows_of_others_that_refer_to_ours_are_listed_and_refused(project):
    """A plant of others refers to a place of ours: refused by count; by choice that place stays."""
    project.run(limits=SMALL)
    row = _table(project, "plants").scan(row_filter="original_source_id = 40").to_arrow()
    new = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\x01" * 16], pa.binary(16)))
    parent = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([None], pa.binary(16)))
    row = row.set_column(row.column_names.index("plant_id"), row.schema.field("plant_id"), new)
    row = row.set_column(row.column_names.index("parent_id"), row.schema.field("parent_id"), parent)
    _table(project, "plants").append(row)
    with pytest.raises(Refused, match="1 rows of others in 'plants'"):
        project.rollback()
    assert _by_name(project.rollback(referenced="keep"), "places").needed == 1
    assert _table(project).scan().to_arrow()["original_source_id"].to_pylist() == [40]


def test_a_run_that_a_later_one_builds_on_is_not_taken_back(project):
    """Rows of a second run refer to rows of the first: refused by that run's name; backwards it goes."""
    first = project.run(limits=SMALL).run
    small_project.source(project.folder, "INSERT INTO plant VALUES (1001, 5, NULL, 'tree', 1, NULL, NULL, 0)")
    second = project.run(limits=SMALL).run
    with pytest.raises(Refused, match=rf"run '{second}' builds on this one: 1 rows"):
        project.rollback(first, referenced="keep")
    project.rollback(second)
    project.rollback(first)
    assert small_project.lake_content(project.folder, "ai") == {}


def test_a_set_with_one_row_too_many_removes_nothing(beside_others, monkeypatch):
    """A planted fault: the delete set holds one row of others as well; the count stops it, nothing is changed."""
    beside_others.run(limits=SMALL)
    _rewrite(beside_others)
    before = _rows(beside_others)
    judged = undo_rows._judge_file

    def too_many(rows, mapping, index, task, seen, choice):
        judged(rows, mapping, index, task, seen, choice)
        for fates in rows.fates.values():
            if undo_rows.OTHERS in fates:
                fates[fates.index(undo_rows.OTHERS)] = undo_rows.GOES

    monkeypatch.setattr(undo_rows, "_judge_file", too_many)
    with pytest.raises(RollbackStopped, match="50 must go, and the set holds 51"):
        beside_others.rollback()
    assert _rows(beside_others) == before
    monkeypatch.undo()
    assert _by_name(beside_others.rollback(), "places").removed == small_project.PLACES


def test_a_copy_of_a_row_stops_it(beside_others):
    """A row of ours stands twice after others rewrote the table: nothing is removed on a guess."""
    beside_others.run(limits=SMALL)
    table = _table(beside_others)
    rows = table.scan().to_arrow()
    table.overwrite(pa.concat_tables([rows, rows.filter(pc.equal(rows["name"], "place 7"))]).combine_chunks())
    with pytest.raises(RollbackStopped, match="more than once"):
        beside_others.rollback()


def test_a_finalized_run_is_not_taken_back(beside_others):
    """After finalize branch and tag are gone, a rollback is refused with the reason, the rows stay."""
    (copies,) = beside_others.run(limits=SMALL).copies.items()
    assert copies[1] > 1000, "the extract's bytes are told while they are kept"
    dropped = beside_others.finalize().dropped
    assert f"folder '{copies[0]}' with the run's extracts" in dropped
    assert beside_others.result().copies == {}
    assert not Path(copies[0]).exists()
    assert set(_table(beside_others).metadata.refs) == {"main"}
    with pytest.raises(Refused, match=r"finalized.*backup"):
        beside_others.rollback()
    assert len(_rows(beside_others)) == 5 + small_project.PLACES


@pytest.fixture
def changed(beside_others) -> tuple[Project, list[str]]:
    """Five places stand with keys of ours and other content, and a run with `on_conflict: update` changed them."""
    beside_others.run(limits=SMALL)
    for n in range(5):
        _edit(beside_others, f"name = 'place {n}'", note="theirs")
    plan = beside_others.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("    from: place\n", "    from: place\n    on_conflict: update\n"))
    small_project.source(beside_others.folder, "UPDATE place SET name = 'renamed ' || id WHERE id < 5")
    small_project.source(beside_others.folder, "INSERT INTO place VALUES (2000, 'new')")
    before = _rows(beside_others)
    beside_others.run(limits=SMALL)
    assert len([row for row in _rows(beside_others) if "renamed" in row]) == 5
    return beside_others, before


def test_a_run_whose_rows_a_later_one_changed_is_not_taken_back(project):
    """The second run changed rows of the first: the first is refused by the second's name, then both go backwards."""
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("    from: place\n", "    from: place\n    on_conflict: update\n"))
    first = project.run(limits=SMALL).run
    small_project.source(project.folder, "UPDATE place SET name = 'renamed ' || id WHERE id < 5")
    second = project.run(limits=SMALL).run
    with pytest.raises(Refused, match=rf"run '{second}' builds on this one: it changed 5 rows"):
        project.rollback(first, edited="remove")
    project.rollback(second)
    project.rollback(first)
    assert small_project.lake_content(project.folder, "ai") == {}


def test_rows_that_the_run_changed_get_their_content_back(changed):
    """Nobody wrote since: the table is what it was, before-images included."""
    project, before = changed
    places = _by_name(project.rollback(), "places")
    assert (places.updated, places.restored, places.removed, places.proof) == (5, 5, 1, "equal")
    assert _rows(project) == before


@pytest.mark.parametrize("is_rewritten", [False, True])
def test_changed_rows_come_back_beside_work_of_others(changed, is_rewritten):
    """Others added rows and edited one that the run had changed: four come back, that one stays and is listed."""
    project, before = changed
    _table(project).append(_others(100, 7))
    _edit(project, "name = 'renamed 2'", note="again")
    if is_rewritten:
        _rewrite(project)
    places = _by_name(project.rollback(), "places")
    assert (places.updated, places.restored, places.not_restored, places.removed) == (5, 4, 1, 1)
    assert [line.split(",")[2] for line in undone.kept(project.folder)] == ["not_restored"]
    now = _rows(project)
    assert len(now) == len(before) + 7
    assert len(set(before) - set(now)) == 1, "the one that others changed again"


@pytest.mark.parametrize("is_rewritten", [False, True])
def test_a_row_of_others_without_a_key_hides_none_of_ours(beside_others, is_rewritten):
    """Others have a row whose key is NULL: a later run finds all rows unchanged, a rollback finds and removes them."""
    nobody = _others(90, 1).set_column(0, FIELDS[0], pa.array([None], FIELDS[0].type))
    _table(beside_others).append(nobody)
    first = beside_others.run(limits=SMALL).run
    if is_rewritten:
        _rewrite(beside_others)
    again = beside_others.run(limits=SMALL)
    assert [table.loaded for table in again.tables] == [0, 0]
    beside_others.rollback(again.run)
    places = _by_name(beside_others.rollback(first), "places")
    assert (places.removed, places.vanished) == (small_project.PLACES, 0)
    assert len(_rows(beside_others)) == 6


def test_finalizing_leaves_the_files_of_a_table_that_has_another_name(project):
    """A table that others renamed is read from the run's files: they stay."""
    project.run(limits=SMALL)
    small_project.catalog(project.folder).rename_table(("ai", "plants"), ("ai", "plants_v1"))
    project.finalize()
    assert small_project.catalog(project.folder).load_table("ai.plants_v1").scan().to_arrow().num_rows == LOADED


def test_a_run_whose_changes_a_later_one_changed_again_is_not_taken_back(project):
    """Three runs one after the other change the same rows: the second is refused by the third's name."""
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("    from: place\n", "    from: place\n    on_conflict: update\n"))
    project.run(limits=SMALL)
    small_project.source(project.folder, "UPDATE place SET name = 'second ' || id WHERE id < 5")
    second = project.run(limits=SMALL).run
    small_project.source(project.folder, "UPDATE place SET name = 'third ' || id WHERE id < 5")
    third = project.run(limits=SMALL).run
    with pytest.raises(Refused, match=rf"run '{third}' builds on this one: it changed 5 rows"):
        project.rollback(second)


def test_a_table_without_keys_that_others_wrote_anew_is_not_guessed_at(tmp_path):
    """Which rows are the run's nothing tells: the rollback says so, and changes none."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    plan = tmp_path / "p" / "transhume.yaml"
    head, _, _ = plan.read_text().partition("tables:\n")
    plan.write_text(
        f"{head.replace('lookups:', 'ignored_tables: [plant]' + chr(10) + 'lookups:')}tables:\n  places:\n"
        "    {from: place, key: [], create: true, columns: {original_source_id: id, name: name}}\n"
    )
    project = Project(tmp_path / "p")
    project.run(limits=SMALL)
    _rewrite(project)
    with pytest.raises(RollbackStopped, match="nothing identifies its rows"):
        project.rollback()
    assert len(_rows(project)) == small_project.PLACES
