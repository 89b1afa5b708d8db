"""The rollback as a script for psql: the same rows go, come back and stay, and the ledger knows."""

import psycopg
import pytest

from tests.stages import small_project, undone
from tests.stages.undone import execute
from transhume import Project
from transhume.errors import SystemRefused, UsageError
from transhume.stages.context import Limits

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)


@pytest.fixture
def project(tmp_path, postgres_url) -> Project:
    """The small project into a schema that holds a table with 40 rows of others; what differs is updated."""
    execute(
        postgres_url,
        "CREATE SCHEMA ai",
        undone.PLACES_OF_OTHERS,
        "INSERT INTO ai.places SELECT gen_random_uuid(), n, 'theirs ' || n, 'x' FROM generate_series(1, 40) n",
    )
    small_project.write(tmp_path / "p", f"{postgres_url}&schema=ai")
    plan = tmp_path / "p" / "transhume.yaml"
    plan.write_text(plan.read_text().replace("    key: id\n", "    key: id\n    on_conflict: update\n"))
    return Project(tmp_path / "p")


def _by_hand(url: str, script: str) -> list[str]:
    """Run a script as psql does, and return its notices."""
    told = []
    with psycopg.connect(url, autocommit=True) as person:
        person.add_notice_handler(lambda notice: told.append(notice.message_primary))
        person.execute(script.encode())
    return told


def test_the_script_takes_back_what_a_rollback_takes_back(project, postgres_url):
    """Inserted rows go, changed ones come back, others' rows and edits stay; the ledger says rolled back."""
    project.run(limits=SMALL)
    execute(postgres_url, "UPDATE ai.places SET note = 'before' WHERE original_source_id < 3 AND name LIKE 'place %'")
    before = small_project.postgres_content(postgres_url, "ai")
    small_project.source(project.folder, "UPDATE place SET name = 'changed ' || id WHERE id < 4")
    small_project.source(project.folder, "INSERT INTO place VALUES (500, 'new'), (501, 'new and edited')")
    second = project.run(limits=SMALL)
    places = next(table for table in second.tables if table.mapping == "places")
    assert (places.updated, places.loaded) == (4, 2)
    execute(postgres_url, "UPDATE ai.places SET note = 'edited' WHERE name = 'new and edited'")
    (script,) = project.rollback_scripts()
    told = _by_hand(postgres_url, script.text)
    assert "places: 1 rows removed, 1 stay because others edited them" in told
    assert execute(postgres_url, "SELECT note FROM ai.places WHERE name LIKE 'new%'") == [("edited",)]
    execute(postgres_url, "DELETE FROM ai.places WHERE note = 'edited'")
    assert small_project.postgres_content(postgres_url, "ai") == before
    assert project.rollback(second.run).report.notes == ("taken back by hand, by the script of 'transhume sql'",)
    with pytest.raises(psycopg.errors.RaiseException, match="does not call run"):
        _by_hand(postgres_url, script.text)


def test_tables_that_the_run_made_go_and_a_false_ledger_stops_the_script(project, postgres_url):
    """A set that is larger than the ledger says changes nothing; else the table of the run is dropped."""
    project.run(limits=SMALL)
    before = small_project.postgres_content(postgres_url, "ai")
    (script,) = project.rollback_scripts()
    wrong = script.text.replace(f"> {small_project.PLACES}\n", f"> {small_project.PLACES - 1}\n")
    assert wrong != script.text
    with pytest.raises(psycopg.errors.RaiseException, match="does not come out"):
        _by_hand(postgres_url, wrong)
    assert small_project.postgres_content(postgres_url, "ai") == before
    _by_hand(postgres_url, script.text)
    left = small_project.postgres_content(postgres_url, "ai")
    assert {name: rows for name, (rows, _) in left.items()} == {"places": 40}


def test_there_is_no_script_for_what_has_no_sql_or_is_not_published(tmp_path):
    """A lake, and a run that is not published: said with what to do instead."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    lake = Project(tmp_path / "p")
    lake.run(limits=SMALL)
    with pytest.raises(SystemRefused, match="transhume rollback"):
        lake.rollback_scripts()
    lake.rollback()
    with pytest.raises(UsageError, match="rolled back, not published"):
        lake.rollback_scripts()
