"""Runs as a whole: what they leave for people, what they refuse, what a second one does."""

import csv
import json
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from tests.stages import forked, small_project
from transhume import Project
from transhume.capacity import Capacity
from transhume.dialects.dialect import Dialect
from transhume.errors import CheckFailed, JournalDamaged, LockHeld, PlanError, Refused, SystemRefused
from transhume.stages import keys, transform
from transhume.stages.binding import Binding, open_run, run_folders
from transhume.stages.context import Limits

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)


@pytest.fixture
def project(tmp_path) -> Project:
    """The small project with a lake as its target."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    return Project(tmp_path / "p")


def _source(project: Project, statement: str, *values: object) -> None:
    with sqlite3.connect(project.folder / "source.db") as source:
        source.execute(statement, values)
    source.close()


def _edit_plan(project: Project, old: str, new: str) -> None:
    plan = project.folder / "transhume.yaml"
    assert old in plan.read_text()
    plan.write_text(plan.read_text().replace(old, new))


def test_keys_that_are_looked_at_in_shares_are_found_as_keys_of_the_whole(project, monkeypatch):
    """A table of many rows is searched for duplicate keys in shares; no key that stands twice gets through."""
    monkeypatch.setattr(keys, "_SHARE_ROWS", 9)
    _source(project, "CREATE TABLE copied (id INTEGER, name TEXT)")
    _source(project, "INSERT INTO copied SELECT * FROM place UNION ALL SELECT * FROM place WHERE id % 10 = 3")
    _source(project, "DROP TABLE place")
    _source(project, "ALTER TABLE copied RENAME TO place")
    _edit_plan(project, "{ref: place_id, table: places}", "{ref: place_id, table: places, else: null}")
    places, plants = project.run(limits=SMALL).tables
    assert (places.loaded, places.rejected) == (small_project.PLACES - 5, 10)
    assert places.reasons == {"duplicate_key:id": 10}
    assert plants.loaded == small_project.expected_buckets()["plants"]["loaded"]


def test_rejects_are_kept_whole(project):
    """Every rejected row is in the Parquet files with all source columns, and in the CSV, with its reason."""
    _source(project, "UPDATE plant SET picture = '=1+1', kind = 'weed' WHERE id = 3")
    result = project.run(limits=SMALL)
    rows = [row for path in sorted(result.rejects.glob("m001/*.parquet")) for row in pq.read_table(path).to_pylist()]
    ids = [n for n in range(small_project.PLANTS) if n % 13 != 0 and (n % 10 == 7 or n == 3)]
    assert [row["id"] for row in rows] == ids
    seven = next(row for row in rows if row["id"] == 7)
    assert seven["_reasons"] == "unmapped:kind"
    assert (seven["kind"], seven["seen"], seven["picture"]) == ("weed", "2024-01-08 10:00:00", "/pictures/p7.png")
    (file,) = result.rejects.glob("*.csv")
    with file.open(newline="") as opened:
        people = list(csv.DictReader(opened))
    assert [row["id"] for row in people] == [str(n) for n in ids]
    assert people[0]["picture"] == "'=1+1", "a formula is quoted for spreadsheets"
    assert people[0]["reasons"] == "unmapped:kind, path_no_match:picture"


def test_the_manifest_pairs_old_paths_with_new_uris(project):
    """One CSV holds old path and new URI of every loaded row, and of no other."""
    result = project.run(limits=SMALL)
    (file,) = result.artifacts.iterdir()
    with file.open(newline="") as opened:
        pairs = {row["old_path"]: row["new_uri"] for row in csv.DictReader(opened)}
    loaded = [n for n in range(small_project.PLANTS) if n % 13 != 0 and n % 10 != 7]
    assert pairs == {f"/pictures/p{n}.png": f"s3://bucket/p{n}.png" for n in loaded}


def test_a_second_run_changes_nothing(project):
    """The same plan on the same data again: every row is unchanged, nothing is loaded, the lake stays as it is."""
    first = project.run(limits=SMALL)
    before = small_project.lake_content(project.folder, "ai")
    second = project.run(limits=SMALL)
    assert second.run != first.run
    for table in second.tables:
        expected = small_project.expected_buckets()[table.mapping]
        assert (table.loaded, table.unchanged) == (0, expected["loaded"])
        assert table.rejected == expected["rejected"]
    assert small_project.lake_content(project.folder, "ai") == before


def test_a_changed_row_is_a_conflict_and_stops(project):
    """A key that stands in the target with other content fails the run by name, and nothing is published."""
    project.run(limits=SMALL)
    before = small_project.lake_content(project.folder, "ai")
    _source(project, "UPDATE place SET name = 'moved' WHERE id = 5")
    with pytest.raises(CheckFailed, match=r"conflicts.*places.*1 rows"):
        project.run(limits=SMALL)
    assert small_project.lake_content(project.folder, "ai") == before
    assert project.result().state == "failed"


def test_new_rows_are_loaded_beside_unchanged_ones(project):
    """Rows that came after the first run are loaded by the second; the others are unchanged."""
    project.run(limits=SMALL)
    _source(project, "INSERT INTO place VALUES (1000, 'new')")
    places = next(table for table in project.run(limits=SMALL).tables if table.mapping == "places")
    assert (places.loaded, places.unchanged) == (1, small_project.PLACES)
    assert small_project.lake_content(project.folder, "ai")["places"][0] == small_project.PLACES + 1


def test_too_many_rejects_stop_before_publishing(project):
    """Over the plan's limit nothing is published; the message has the numbers; the rejects are there to look at."""
    _edit_plan(project, "max_rejects: 50%", "max_rejects: {unmapped: 5}")
    with pytest.raises(CheckFailed, match="12 'unmapped', allowed 5"):
        project.run(limits=SMALL)
    assert small_project.lake_content(project.folder, "ai") == {}
    result = project.result()
    assert result.state == "failed"
    assert list(result.rejects.glob("*.csv"))


def _interrupted(project: Project, fault: str) -> None:
    killed = small_project.run(project.folder, f"{fault}:kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def test_a_changed_plan_does_not_go_on_with_a_run(project):
    """After an interruption a changed plan is refused with what was changed; `fresh` begins anew."""
    _interrupted(project, "after:batch_compared:2")
    _edit_plan(project, "Europe/Berlin", "Asia/Tokyo")
    with pytest.raises(Refused, match=r"(?s)Europe/Berlin.*Asia/Tokyo.*--fresh"):
        project.run(limits=SMALL)
    result = project.run(limits=SMALL, fresh=True)
    assert result.state == "finished"
    assert len(list(project.runs.iterdir())) == 2


def test_rejects_for_people_survive_a_kill_after_publishing(project):
    """A run killed right after it published still ends with the CSV of its rejects."""
    _interrupted(project, "after:publish_started:1")
    for file in project.runs.glob("*/rejects/*"):
        if file.is_file():
            file.unlink()
    _interrupted(project, "after:published:1")
    for file in project.runs.glob("*/rejects/*"):
        if file.is_file():
            file.unlink()
    result = project.run(limits=SMALL)
    assert result.state == "finished"
    assert [file.name for file in result.rejects.glob("*.csv")] == ["m001-plants.csv"]


def test_comments_in_the_plan_change_nothing(project):
    """A run goes on although a comment was written into the plan meanwhile."""
    _interrupted(project, "after:batch_compared:2")
    _edit_plan(project, "name: small\n", "name: small  # a comment\n")
    result = project.run(limits=SMALL)
    assert result.resumed
    assert result.state == "finished"


def test_a_changed_source_schema_does_not_go_on_with_a_run(project):
    """After an interruption a source with other columns is refused, because the extract is of the old ones."""
    _interrupted(project, "after:batch_compared:2")
    _source(project, "ALTER TABLE place ADD COLUMN extra TEXT")
    _edit_plan(project, "columns: {place_id", "drop: [extra]\n    columns: {place_id")
    with pytest.raises(Refused, match="source's tables were changed"):
        project.run(limits=SMALL)


def test_a_source_that_moved_on_does_not_mix_into_a_resumed_run(project):
    """A resumed run loads the instant of its extract, not what the source holds by now."""
    _interrupted(project, "after:batch_staged:3")
    _source(project, "DELETE FROM place WHERE id = 4")
    _source(project, "UPDATE place SET name = 'late' WHERE id = 6")
    result = project.run(limits=SMALL)
    assert next(table for table in result.tables if table.mapping == "places").loaded == small_project.PLACES
    names = small_project.catalog(project.folder).load_table("ai.places").scan().to_arrow()["name"].to_pylist()
    assert {"place 4", "place 6"} <= set(names)


def test_a_damaged_extract_is_noticed_and_made_again(project):
    """A flipped byte in a segment does not survive: its hash fails and the whole extract is made anew."""
    _interrupted(project, "after:extract_finished:1")
    (folder,) = project.runs.iterdir()
    segment = sorted((folder / "work" / "extract").rglob("*.parquet"))[1]
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    events = []
    project.run(limits=SMALL, listener=lambda event: events.append(event.kind))
    assert "extract_reused" not in events
    assert "extract_finished" in events


def test_a_damaged_journal_is_refused(project):
    """An edited journal is named with the line; `fresh` leaves it alone and begins anew."""
    _interrupted(project, "after:batch_compared:2")
    (folder,) = project.runs.iterdir()
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"row_count":40', '"row_count":41', 1))
    with pytest.raises(JournalDamaged, match="line 3"):
        project.run(limits=SMALL)
    assert project.run(limits=SMALL, fresh=True).state == "finished"


def _held(folder: Path) -> forked.Started:
    """Start a run that hangs in the middle, and wait until it does."""
    process = small_project.start(folder, "after:mapping_started:1:hang")
    deadline = time.monotonic() + 60
    while not any("mapping_started" in path.read_text() for path in folder.glob(".transhume/runs/*/journal.jsonl")):
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.1)
    return process


@pytest.mark.parametrize("kind", ["lake", "postgres"])
def test_a_second_run_on_the_same_target_is_refused_at_once(kind, tmp_path, postgres_url):
    """From another project onto the same target: refused with who holds it and since when; the first one ends well."""
    url = f"iceberg:{tmp_path / 'lake'}?namespace=ai" if kind == "lake" else f"{postgres_url}&schema=ai"
    for name in ("one", "two"):
        small_project.write(tmp_path / name, url)
    process = _held(tmp_path / "one")
    try:
        with pytest.raises(LockHeld, match=str(process.pid)):
            Project(tmp_path / "two").run(limits=SMALL)
        with pytest.raises(LockHeld, match=str(process.pid)):
            Project(tmp_path / "one").run(limits=SMALL)
    finally:
        process.kill()
    assert Project(tmp_path / "one").run(limits=SMALL).state == "finished"


def test_other_peoples_rows_stay(tmp_path, postgres_url):
    """Tables that exist with rows of others take the new ones; the others' rows are as they were."""
    small_project.write(tmp_path / "p", f"{postgres_url}&schema=ai")
    with psycopg.connect(postgres_url) as other:
        other.execute("CREATE SCHEMA ai")
        other.execute(
            "CREATE TABLE ai.places (place_id uuid PRIMARY KEY, original_source_id bigint, name varchar(40) NOT NULL,"
            " note text DEFAULT 'by default')"
        )
        other.execute("INSERT INTO ai.places SELECT gen_random_uuid(), n, 'theirs', 'x' FROM generate_series(1, 5) n")
    result = Project(tmp_path / "p").run(limits=SMALL)
    assert result.state == "finished"
    with psycopg.connect(postgres_url) as reader:
        counts = reader.execute("SELECT note, count(*) FROM ai.places GROUP BY 1 ORDER BY 1").fetchall()
    assert counts == [("by default", small_project.PLACES), ("x", 5)]


def test_a_trigger_on_the_target_is_refused_before_anything_is_written(tmp_path, postgres_url):
    """A table that changes rows by itself is refused by name."""
    small_project.write(tmp_path / "p", f"{postgres_url}&schema=ai")
    with psycopg.connect(postgres_url) as other:
        other.execute("CREATE SCHEMA ai")
        other.execute(
            "CREATE TABLE ai.places (place_id uuid PRIMARY KEY, original_source_id bigint, name text NOT NULL)"
        )
        other.execute(
            "CREATE FUNCTION ai.shout() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$"
        )
        other.execute("CREATE TRIGGER shout BEFORE INSERT ON ai.places FOR EACH ROW EXECUTE FUNCTION ai.shout()")
    with pytest.raises((SystemRefused, PlanError), match="shout"):
        Project(tmp_path / "p").run(limits=SMALL)
    with psycopg.connect(postgres_url) as reader:
        assert reader.execute("SELECT count(*) FROM ai.places").fetchone() == (0,)


def test_a_run_gives_the_same_bytes_in_another_place_zone_and_locale(project, tmp_path):
    """Folder, TZ, locale and hash seed of the process do not reach the data."""
    project.run(limits=SMALL)
    other = tmp_path / "elsewhere"
    small_project.write(other, "iceberg:./lake?namespace=ai")
    code = "import sys; from transhume import Project; Project(sys.argv[1]).run()"
    environment = {"PATH": "/usr/bin:/bin", "TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(other)], env=environment, check=True, capture_output=True)
    assert small_project.lake_content(other, "ai") == small_project.lake_content(project.folder, "ai")


def test_status_is_read_from_outside_while_a_run_goes(project):
    """Another process sees how far a run is, from its journal alone."""
    process = _held(project.folder)
    try:
        told = project.result()
        assert told.state == "unfinished"
        assert json.dumps(told.to_dict())
    finally:
        process.kill()


def test_the_slowest_stage_is_named(project):
    """Seconds of the stages stand in the result, add up to no more than the run, and the largest one has a name."""
    result = project.run(limits=SMALL)
    assert list(result.stages_s) == ["extract", "load", "validate", "publish", "verify"]
    assert sum(result.stages_s.values()) <= result.duration_s + 0.01
    assert result.stages_s[result.slowest_stage] == max(result.stages_s.values())
    assert result.to_dict()["slowest_stage"] == result.slowest_stage


def test_runs_of_one_second_stand_in_their_order(tmp_path):
    """However quickly runs follow one another, the newest is the last by name."""
    binding = Binding("p", "v", "s", "t", "a", "b")
    begun = []
    for _ in range(20):
        folder, journal, _ = open_run(tmp_path, binding, {}, fresh=True)
        journal.close()
        begun.append(folder)
    assert run_folders(tmp_path) == begun


def test_a_clock_that_went_back_does_not_change_the_order_of_runs(tmp_path, monkeypatch):
    """The clock jumps a year back between two runs: the newest is the last by name all the same."""
    wanted = Binding("p", "v", "s", "t", "a", "b")
    begun = [_begun(tmp_path, wanted)]

    class YearAgo(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=365)

    monkeypatch.setattr("transhume.stages.binding.datetime", YearAgo)
    begun += [_begun(tmp_path, wanted) for _ in range(3)]
    monkeypatch.undo()
    begun.append(_begun(tmp_path, wanted))
    assert run_folders(tmp_path) == begun


def _begun(runs: Path, wanted: Binding) -> Path:
    folder, journal, _ = open_run(runs, wanted, {}, fresh=True)
    journal.close()
    return folder


@pytest.mark.parametrize("shared_bytes", [1, 2**30], ids=["several segments a statement", "one segment a statement"])
def test_what_statements_share_changes_no_row(project, tmp_path, monkeypatch, shared_bytes):
    """Where much is joined a statement has one or several segments; each row is that of one statement for all."""
    small_project.write(tmp_path / "whole", "iceberg:./lake?namespace=ai")
    Project(tmp_path / "whole").run(limits=SMALL)
    monkeypatch.setattr(transform, "_JOINED_BYTES_MAX", 0)
    monkeypatch.setattr(transform, "_SHARED_BYTES", shared_bytes)
    monkeypatch.setattr(transform, "_SEGMENTS_MAX", 3)
    statements = []
    rendered = Dialect.render
    monkeypatch.setattr(
        Dialect, "render", lambda dialect, tree: statements.append(text := rendered(dialect, tree)) or text
    )
    Project(project.folder, capacity=Capacity(1, 2**29)).run(limits=SMALL)
    assert small_project.lake_content(project.folder, "ai") == small_project.lake_content(tmp_path / "whole", "ai")
    most = max(text.count("segment-") for text in statements)
    assert most == (3 if shared_bytes == 1 else 1)


def test_an_extract_that_is_damaged_once_rows_are_staged_is_not_made_anew(project):
    """Rows of two instants never come together: the run is refused, and a fresh one brings those of one instant."""
    _interrupted(project, "after:batch_compared:1")
    (folder,) = project.runs.iterdir()
    segment = max((folder / "work" / "extract").rglob("*.parquet"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    small_project.source(project.folder, "UPDATE place SET name = 'late' WHERE id IN (6, 45)")
    with pytest.raises(Refused, match="would be of another instant"):
        project.run(limits=SMALL)
    assert small_project.lake_content(project.folder, "ai") == {}
    assert project.run(limits=SMALL, fresh=True).state == "finished"


@pytest.mark.parametrize("target", ["lake", "server"])
def test_a_run_that_counts_on_one_that_was_taken_back_is_refused(tmp_path, postgres_url, target):
    """What it found unchanged is gone since: resuming it would end well over an empty table."""
    url = "iceberg:./lake?namespace=ai" if target == "lake" else f"{postgres_url}&schema=ai"
    small_project.write(tmp_path / "p", url)
    project = Project(tmp_path / "p")
    first = project.run(limits=SMALL).run
    _interrupted(project, "before:publish_started:1")
    project.rollback(first)
    with pytest.raises(Refused, match=rf"run '{first}' was taken back since"):
        project.run(limits=SMALL)
    again = project.run(limits=SMALL, fresh=True)
    assert [table.loaded for table in again.tables] == [
        each["loaded"] for each in small_project.expected_buckets().values()
    ]


def test_a_run_whose_rows_a_later_one_brought_again_is_not_taken_back(tmp_path, postgres_url):
    """A row that the application deleted and a second run loaded is the second run's."""
    small_project.write(tmp_path / "p", f"{postgres_url}&schema=ai")
    project = Project(tmp_path / "p")
    first = project.run(limits=SMALL).run
    with psycopg.connect(postgres_url) as owner:
        owner.execute(
            "DELETE FROM ai.plants WHERE original_source_id = (SELECT max(original_source_id) FROM ai.plants)"
        )
    second = project.run(limits=SMALL)
    assert [table.loaded for table in second.tables] == [0, 1]
    with pytest.raises(Refused, match=rf"run '{second.run}' builds on this one: it wrote 1 of these rows"):
        project.rollback(first)
    project.rollback(second.run)
    project.rollback(first)
    assert small_project.postgres_content(postgres_url, "ai") == {}
