"""The rollback as a script for psql, or for Python: the same rows go, come back and stay, and the ledger knows."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from tests.stages import small_project, undone
from tests.stages.undone import execute
from transhume import Project
from transhume.errors import UsageError
from transhume.stages.context import Limits
from transhume.stages.scripts import ScriptFile

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


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
def test_a_key_that_passes_a_removal_on_stops_the_script(project, postgres_url, action):
    """Rows of others that the server would remove or change along are never touched; without them the script runs."""
    project.run(limits=SMALL)
    execute(
        postgres_url,
        f'CREATE TABLE ai."No tes" ("the place" uuid REFERENCES ai.places ON DELETE {action})',
        "INSERT INTO ai.\"No tes\" SELECT place_id FROM ai.places WHERE name LIKE 'place %' LIMIT 3",
        "INSERT INTO ai.\"No tes\" SELECT place_id FROM ai.places WHERE name LIKE 'theirs %' LIMIT 2",
    )
    before = small_project.postgres_content(postgres_url, "ai")
    (script,) = project.rollback_scripts()
    with pytest.raises(psycopg.errors.RaiseException, match=r'3 rows of ai."No tes" refer to rows'):
        _by_hand(postgres_url, script.text)
    assert small_project.postgres_content(postgres_url, "ai") == before
    places = "SELECT place_id FROM ai.places WHERE name LIKE 'place %'"
    execute(postgres_url, f'DELETE FROM ai."No tes" WHERE "the place" IN ({places})')
    _by_hand(postgres_url, script.text)
    assert execute(postgres_url, 'SELECT count("the place") FROM ai."No tes"') == [(2,)]


def _lake(folder: Path, conflict: str = "") -> Project:
    """The small project into a lake whose places hold 30 rows of others."""
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    plan = folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("    key: id\n", f"    key: id\n{conflict}"))
    (folder / "lake").mkdir()
    catalog = small_project.catalog(folder)
    catalog.create_namespace("ai")
    rows = [{"place_id": (2**100 + n).to_bytes(16), "original_source_id": n, "name": "theirs"} for n in range(30)]
    schema = pa.schema([("place_id", pa.uuid()), ("original_source_id", pa.int64()), ("name", pa.string())])
    catalog.create_table(("ai", "places"), schema).append(pa.Table.from_pylist(rows, schema))
    return Project(folder)


def _content(project: Project) -> dict[str, list[str]]:
    """Return the rows that readers of the lake see, by table."""
    catalog = small_project.catalog(project.folder)
    names = [name for _, name in catalog.list_tables("ai")]
    return {name: sorted(map(repr, catalog.load_table(("ai", name)).scan().to_arrow().to_pylist())) for name in names}


def _python(project: Project, script: ScriptFile, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a person does, where nothing of transhume is to be found."""
    path = project.folder / script.path
    path.write_text(f"import sys; sys.modules['transhume'] = None\n{script.text}")
    command = [sys.executable, "-P", "-W", "ignore", str(path), *arguments]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=120)


def test_the_script_of_a_lake_takes_back_what_a_rollback_takes_back(tmp_path):
    """Inserted rows go, changed ones come back, edits and rows of others stay; the ledger says rolled back."""
    project = _lake(tmp_path / "p", "    on_conflict: update\n")
    project.run(limits=SMALL)
    before = _content(project)
    small_project.source(project.folder, "UPDATE place SET name = 'changed ' || id WHERE id < 4")
    small_project.source(project.folder, "INSERT INTO place VALUES (500, 'new'), (501, 'new and edited')")
    second = project.run(limits=SMALL)
    table = small_project.catalog(project.folder).load_table(("ai", "places"))
    edited = table.scan(row_filter="name = 'new and edited'").to_arrow()
    table.delete("name = 'new and edited'")
    name = edited.column_names.index("name")
    table.append(edited.set_column(name, edited.schema.field(name), pa.array(["edited"])))
    table.overwrite(table.scan().to_arrow().combine_chunks())
    (script,) = project.rollback_scripts()
    assert script.path == f"rollback_{second.run}.py"
    looked = _python(project, script, "--preview")
    assert (looked.returncode, looked.stderr) == (0, "")
    assert (
        "places: 1 rows of the run go, 4 get their former content back, 1 stay because others edited" in looked.stdout
    )
    done = _python(project, script)
    assert (done.returncode, done.stderr) == (0, "")
    table = small_project.catalog(project.folder).load_table(("ai", "places"))
    assert table.scan(row_filter="name = 'edited'").to_arrow().num_rows == 1
    table.delete("name = 'edited'")
    assert _content(project) == before
    assert project.rollback(second.run).report.notes == ("taken back by hand, by the script of 'transhume sql'",)
    assert "does not call run" in _python(project, script).stderr


def test_the_script_of_a_lake_drops_tables_and_goes_back_where_nobody_wrote(tmp_path):
    """Tables of the run leave the catalog, the others' one is where it was; false counts change nothing."""
    project = _lake(tmp_path / "p")
    head = small_project.catalog(project.folder).load_table(("ai", "places")).metadata.current_snapshot_id
    project.run(limits=SMALL)
    after = _content(project)
    (script,) = project.rollback_scripts()
    wrong = script.text.replace(f'"inserted": {small_project.PLACES}', f'"inserted": {small_project.PLACES - 1}')
    assert wrong != script.text
    refused = _python(project, replace(script, text=wrong))
    assert refused.returncode == 1
    assert "the ledger says 49 and 0; nothing more was changed" in refused.stderr
    assert _content(project) == after
    assert _python(project, script).returncode == 0
    catalog = small_project.catalog(project.folder)
    assert [name for _, name in catalog.list_tables("ai")] == ["places"]
    assert catalog.load_table(("ai", "places")).metadata.current_snapshot_id == head


def test_a_script_of_a_lake_that_was_stopped_midway_goes_on(tmp_path):
    """One table is done, the ledger not told: the same script does the rest."""
    project = _lake(tmp_path / "p")
    before = _content(project)
    project.run(limits=SMALL)
    small_project.catalog(project.folder).load_table(("ai", "places")).delete("name = 'place 3'")
    (script,) = project.rollback_scripts()
    halt = script.text.replace("        work.take_back()\n", "        work.take_back()\n        break\n", 1)
    assert _python(project, replace(script, text=halt.replace("    _tell_ledger(catalog, run)\n", ""))).returncode == 0
    assert _content(project) != before
    done = _python(project, script)
    assert (done.returncode, done.stderr) == (0, "")
    assert _content(project) == before


def test_there_is_no_script_for_what_is_not_published(tmp_path):
    """A run that was taken back: said so."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    lake = Project(tmp_path / "p")
    lake.run(limits=SMALL)
    lake.rollback()
    with pytest.raises(UsageError, match="rolled back, not published"):
        lake.rollback_scripts()
