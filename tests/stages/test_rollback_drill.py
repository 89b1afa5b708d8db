"""The rollback's drill: it passes where the undo is right, fails where it is not, and leaves the target alone."""

import os
import subprocess
import sys

import pytest
from psycopg import sql

from tests.stages import small_project, undone
from transhume import Project
from transhume.stages.context import Limits
from transhume.systems.iceberg import undo, undo_rows
from transhume.systems.postgres import undo_sets

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
LOADED = small_project.expected_buckets()["plants"]["loaded"]


@pytest.fixture
def on_postgres(tmp_path, postgres_url) -> Project:
    """The small project; its target has a table of places with a sequence, an index and 40 rows of others."""
    undone.execute(
        postgres_url,
        "CREATE SCHEMA ai",
        undone.PLACES_OF_OTHERS,
        "CREATE UNIQUE INDEX ON ai.places (note, number)",
        "INSERT INTO ai.places SELECT gen_random_uuid(), n, 'theirs ' || n, 'x' FROM generate_series(1, 40) n",
    )
    small_project.write(tmp_path / "p", f"{postgres_url}&schema=ai")
    return Project(tmp_path / "p")


@pytest.fixture
def on_lake(tmp_path) -> Project:
    """The small project with a lake as its target, where an earlier run stands."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    return Project(tmp_path / "p")


def _schemas(url: str) -> list[str]:
    found = undone.execute(
        url, "SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
    )
    return sorted(str(row[0]) for row in found)


def test_a_drill_on_postgres_passes_and_touches_nothing(on_postgres, postgres_url):
    """Rows of others, edits and references are planted; what must stay stays; the real schema is the same."""
    before = small_project.postgres_content(postgres_url, "ai")
    sequence = undone.execute(postgres_url, "SELECT last_value, is_called FROM ai.places_number_seq")
    result = on_postgres.drill(rows=500, limits=SMALL)
    assert result.problems == ()
    places, plants = result.tables
    assert (places.published, plants.published) == (small_project.PLACES, LOADED)
    assert 0 < places.before < 40
    assert places.added == plants.added == 3
    assert places.edited == plants.edited == 3
    assert plants.referring >= 1
    # Edited rows stay, and so do the rows that rows of others and edited rows refer to.
    assert plants.kept >= 3
    assert places.kept > 3
    assert places.left == places.expected == places.before + places.added + places.kept
    assert result.restore_s > 0
    assert small_project.postgres_content(postgres_url, "ai") == before
    assert undone.execute(postgres_url, "SELECT last_value, is_called FROM ai.places_number_seq") == sequence
    assert _schemas(postgres_url) == ["ai", "public", "transhume"]
    assert undone.execute(postgres_url, "SELECT run FROM transhume.runs") == []


def test_a_drill_in_a_lake_passes_and_touches_nothing(on_lake):
    """The same in a namespace beside the lake's own, whose rows and files are what they were."""
    on_lake.run(limits=SMALL)
    before = small_project.lake_content(on_lake.folder, "ai")
    result = on_lake.drill(rows=500, limits=SMALL)
    assert result.problems == ()
    assert [(table.table, table.edited, table.added) for table in result.tables] == [("places", 3, 3), ("plants", 3, 3)]
    assert result.tables[1].referring >= 1
    assert small_project.lake_content(on_lake.folder, "ai") == before
    lake = small_project.catalog(on_lake.folder)
    assert lake.list_namespaces() == [("ai",)]
    assert [path.name for path in (on_lake.folder / "lake").iterdir() if path.is_dir()] == ["ai"]


@pytest.fixture
def one_too_many(monkeypatch):
    """A fault in the undo: its delete set takes a row more than it should, and its own counts do not look."""
    make = undo_sets.make_sets

    def planted(connection, run, stages, choice):
        sets, counts = make(connection, run, stages, choice)
        place = sets["places"].rows
        connection.execute(
            sql.SQL(
                "UPDATE {0} SET fate = 'remove' WHERE ctid = (SELECT ctid FROM {0} WHERE fate <> 'remove' LIMIT 1)"
            ).format(place)
        )
        return sets, counts

    monkeypatch.setattr(undo_sets, "make_sets", planted)


def test_a_delete_set_that_is_too_large_fails_the_drill(on_postgres, one_too_many, postgres_url):
    """With the undo's own count in place it stops; without it, the drill's own reading finds the missing row."""
    result = on_postgres.drill(rows=500, limits=SMALL)
    assert not result.passed
    assert "stopped" in result.problems[0]
    assert _schemas(postgres_url) == ["ai", "public", "transhume"]


def test_what_the_undo_does_not_see_the_drill_finds(on_postgres, one_too_many, monkeypatch):
    """The same fault in an undo that counts nothing: the drill's own reading names table and rows."""
    monkeypatch.setattr(undo_sets, "require_counts", lambda *_: None)
    result = on_postgres.drill(rows=500, limits=SMALL)
    assert any("'places'" in problem for problem in result.problems)


def test_a_killed_drill_is_cleaned_up_by_the_next(on_postgres, postgres_url):
    """What a killed drill leaves is removed by the next one; a schema of the same form that is not ours stays."""
    code = "import sys; from transhume import Project; Project(sys.argv[1]).drill(rows=20)"
    environment = {**os.environ, "TRANSHUME_FAULT": "after:published:1:kill"}
    command = [sys.executable, "-c", code, str(on_postgres.folder)]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == -9
    left = [name for name in _schemas(postgres_url) if name.startswith("ai_rehearsal_")]
    assert len(left) == 1
    undone.execute(postgres_url, "CREATE SCHEMA ai_rehearsal_00000000")
    heard = []
    assert on_postgres.drill(rows=20, listener=heard.append).passed
    assert [event.fields["scratch"] for event in heard if event.kind == "leftover_removed"] == left
    assert _schemas(postgres_url) == ["ai", "ai_rehearsal_00000000", "public", "transhume"]


@pytest.fixture
def one_too_many_in_a_lake(monkeypatch):
    """The same fault in a lake's undo: an edited row, which must stay, counts as one that goes."""
    look = undo.look_for_rows

    def planted(*arguments):
        rows = look(*arguments)
        for fates in rows.fates.values() if rows.name == "places" else ():
            if undo_rows.EDITED in fates:
                fates[fates.index(undo_rows.EDITED)] = undo_rows.GOES
                break
        return rows

    monkeypatch.setattr(undo, "look_for_rows", planted)


@pytest.mark.sweep
def test_a_delete_set_that_is_too_large_fails_the_drill_in_a_lake(on_lake, one_too_many_in_a_lake):
    """The undo's own count stops it, and the drill says so."""
    result = on_lake.drill(rows=500, limits=SMALL)
    assert [problem for problem in result.problems if "stopped" in problem and "do not come out" in problem]


def test_what_a_lakes_undo_does_not_see_the_drill_finds(on_lake, one_too_many_in_a_lake, monkeypatch):
    """The same fault in an undo that counts nothing: the drill's own reading names the table; nothing is left."""
    monkeypatch.setattr(undo, "require_counts", lambda *_: None)
    result = on_lake.drill(rows=500, limits=SMALL)
    assert any("'places'" in problem for problem in result.problems)
    _nothing_left(on_lake)


@pytest.mark.sweep
def test_a_killed_drill_in_a_lake_is_cleaned_up_by_the_next(on_lake):
    """Namespace, tables and files of a killed drill are removed by the next one."""
    code = "import sys; from transhume import Project; Project(sys.argv[1]).drill(rows=20)"
    environment = {**os.environ, "TRANSHUME_FAULT": "after:published:1:kill"}
    command = [sys.executable, "-c", code, str(on_lake.folder)]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == -9
    assert len(small_project.catalog(on_lake.folder).list_namespaces()) == 1
    heard = []
    assert on_lake.drill(rows=20, listener=heard.append).passed
    assert len([event for event in heard if event.kind == "leftover_removed"]) == 1
    _nothing_left(on_lake)


def _nothing_left(project: Project) -> None:
    assert small_project.catalog(project.folder).list_namespaces() == []
    assert list((project.folder / "lake").rglob("*.parquet")) == []
