"""Backups: copied, restored, compared; what damages or outdates them is noticed; the way back from a snapshot."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.stages import small_project
from tests.stages.undone import PLACES_OF_OTHERS, execute, rows
from transhume import Project
from transhume.errors import Refused, RollbackStopped, UsageError
from transhume.project.backing_up import restore_snapshot
from transhume.stages.context import Limits
from transhume.systems.postgres.connection import Session, WatchedConnection

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
REQUIRED = "rollback: {backup: required}\n"
LAKE = "iceberg:./lake?namespace=ai"
CANARY = "canary-5b1f0c77"
ALL_PLACES = "SELECT * FROM ai.places"


def _require_backup(project: Project) -> None:
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text() + REQUIRED)


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.name != ".transhume")


def _states(result) -> dict[tuple[str, str], str]:
    return {(part.side, part.kind): part.state for part in result.manifest.parts}


@pytest.fixture
def lake(tmp_path) -> Project:
    """The small project with a lake as its target; nothing is there yet."""
    small_project.write(tmp_path / "p", LAKE)
    return Project(tmp_path / "p")


@pytest.fixture
def beside_others(tmp_path, postgres_url) -> Project:
    """The small project into a schema of PostgreSQL that holds a table with five rows of others."""
    small_project.write(tmp_path / "p", f"{postgres_url}&schema=ai")
    execute(
        postgres_url,
        "CREATE SCHEMA ai",
        PLACES_OF_OTHERS,
        "INSERT INTO ai.places SELECT gen_random_uuid(), n, 'theirs', 'x' FROM generate_series(1, 5) n",
    )
    return Project(tmp_path / "p")


def test_the_copies_of_a_sqlite_source_hold_what_it_holds(lake):
    """The online backup is the database and the dump makes it again, by sqlite3 alone; the source is untouched."""
    source = lake.folder / "source.db"
    before = (source.read_bytes(), source.stat().st_mtime_ns, _names(lake.folder))
    result = lake.backup()
    after = (source.read_bytes(), source.stat().st_mtime_ns, _names(lake.folder))
    assert before == after
    assert result.is_verified
    with closing(sqlite3.connect(source)) as opened:
        wanted = [opened.execute(f"SELECT * FROM {name} ORDER BY id").fetchall() for name in ("place", "plant")]
    made = lake.folder / "made.db"
    with closing(sqlite3.connect(made)) as restored:
        restored.executescript((result.folder / "source.sql").read_text())
    for copy in (made, result.folder / "source.db"):
        with closing(sqlite3.connect(copy)) as opened:
            assert [opened.execute(f"SELECT * FROM {n} ORDER BY id").fetchall() for n in ("place", "plant")] == wanted
    assert {stat.S_IMODE(each.stat().st_mode) for each in result.folder.iterdir()} == {0o600}
    assert stat.S_IMODE(result.folder.stat().st_mode) == stat.S_IMODE(result.folder.parent.stat().st_mode) == 0o700


def test_a_damaged_copy_is_noticed(lake):
    """One byte of a copy, or of the manifest, is another: the backup stands behind no run that requires one."""
    _require_backup(lake)
    result = lake.backup()
    for name in ("source.db", "manifest.json"):
        place = result.folder / name
        sound = place.read_bytes()
        place.write_bytes(sound[:-3] + bytes([sound[-3] ^ 1]) + sound[-2:])
        with pytest.raises(Refused, match=r"requires a verified backup.*(damaged|edited)"):
            lake.run(limits=SMALL)
        place.write_bytes(sound)
    assert lake.run(limits=SMALL).state == "finished"


def test_a_run_that_requires_a_backup_is_refused_without_one(lake):
    """No backup: refused with nothing written. A backup: the run begins and its journal names it."""
    _require_backup(lake)
    with pytest.raises(Refused, match=r"requires a verified backup.*there is no backup"):
        lake.run(limits=SMALL)
    assert not (lake.folder / "lake").exists()
    made = lake.backup()
    told = []
    result = lake.run(limits=SMALL, listener=told.append)
    assert next(event for event in told if event.kind == "run_started").fields["backup"] == made.manifest.name
    assert not [event for event in told if event.kind == "backup_warned"]
    # The run itself has changed the target: the next one needs a backup of what is there now.
    with pytest.raises(Refused, match="'places' came since it was made"):
        lake.run(limits=SMALL)
    assert result.state == "finished"


def test_rows_that_changed_in_the_source_are_told_and_another_shape_is_refused(lake):
    """A source that lives moves on: it is said which tables did. With another column it is not the source any more."""
    _require_backup(lake)
    lake.backup()
    small_project.source(lake.folder, "UPDATE place SET name = 'elsewhere' WHERE id = 1")
    told = []
    lake.run(limits=SMALL, listener=told.append)
    assert [e.fields["why"] for e in told if e.kind == "backup_warned"] == [
        ["rows of the source's 'place' changed since the backup"]
    ]
    lake.backup()
    small_project.source(lake.folder, "ALTER TABLE place RENAME COLUMN name TO title")
    small_project.source(lake.folder, "ALTER TABLE place ADD COLUMN name TEXT")
    plan = lake.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("name: name}", "name: name}\n    drop: [title]", 1))
    with pytest.raises(Refused, match="the source's tables were changed"):
        lake.run(limits=SMALL)


def test_a_plan_that_only_warns_says_so_once(lake):
    """Without a backup a run of the default plan goes on, with one warning."""
    told = []
    lake.run(limits=SMALL, listener=told.append)
    assert [event.kind for event in told].count("backup_warned") == 1


def test_the_estimate_knows_of_backup_and_drill(lake):
    """The risks' reasons say what was proved: nothing at first, then a restored backup, then a drilled rollback."""

    def reasons() -> set[str]:
        return {reason for risk in lake.estimate(offline=True).risks for reason in risk.reasons}

    assert {"no backup has been restored and compared", "the rollback was never drilled"} <= reasons()
    lake.backup()
    assert "a backup was restored and compared" in reasons()
    _require_backup(lake)
    # A scratch place needs no backup, though the plan requires one.
    assert lake.drill(rows=20).passed
    assert "the rollback was drilled and proved" in reasons()


@pytest.mark.parametrize("point", ["after:backup_started", "before:backup_part"])
def test_a_killed_backup_does_not_count(lake, point):
    """Killed before its manifest is written, there is no backup, and the next one clears the rest away."""
    code = "import sys; from transhume import Project; Project(sys.argv[1]).backup()"
    environment = {**os.environ, "TRANSHUME_FAULT": f"{point}:1:kill"}
    done = subprocess.run([sys.executable, "-c", code, str(lake.folder)], env=environment, check=False)
    assert done.returncode == -9
    root = lake.folder / ".transhume" / "backups"
    assert len(list(root.iterdir())) == 1
    _require_backup(lake)
    with pytest.raises(Refused, match="there is no backup"):
        lake.run(limits=SMALL)
    made = lake.backup()
    assert sorted(root.iterdir()) == [made.folder]
    assert made.is_verified


def test_a_lake_goes_back_to_its_tag(lake):
    """A run, then rows of others: the snapshot's rows are back bit by bit, and the run counts as rolled back."""
    lake.run(limits=SMALL)
    before = small_project.lake_content(lake.folder, "ai")
    made = lake.backup()
    assert _states(made)["target", "snapshot"] == "verified"
    small_project.source(lake.folder, "INSERT INTO place VALUES (1000, 'new')")
    second = lake.run(limits=SMALL)
    small_project.catalog(lake.folder).load_table(("ai", "plants")).delete("original_source_id = 1")
    assert small_project.lake_content(lake.folder, "ai") != before
    result = lake.restore_snapshot(cause="a test")
    assert small_project.lake_content(lake.folder, "ai") == before
    assert (result.backup, result.runs) == (made.manifest.name, (second.run,))
    assert lake.result().state == "rolled back"
    assert "a test" in result.papers[0].read_text()
    assert lake.rollback().report.state == "rolled_back"
    assert lake.run(limits=SMALL).published["tables"]["places"]["inserted"] == 1


def test_a_lake_that_was_empty_is_empty_again(lake):
    """The backup was made of nothing: the tables that the run made leave the catalog."""
    made = lake.backup()
    lake.run(limits=SMALL)
    assert lake.restore_snapshot().backup == made.manifest.name
    assert small_project.lake_content(lake.folder, "ai") == {}
    shutil.rmtree(made.folder)
    with pytest.raises(UsageError, match="no verified snapshot"):
        lake.restore_snapshot()


def test_postgres_tables_go_back_to_their_dump(beside_others, postgres_url):
    """A run, then edits and rows of others: what stood before stands again bit by bit, what the run made is gone."""
    before = rows(postgres_url, ALL_PLACES)
    made = beside_others.backup()
    assert made.is_verified
    run = beside_others.run(limits=SMALL)
    execute(
        postgres_url,
        "DELETE FROM ai.places WHERE original_source_id = 3 AND name = 'theirs'",
        "UPDATE ai.places SET name = 'edited' WHERE original_source_id = 4 AND name = 'theirs'",
        "INSERT INTO ai.places SELECT gen_random_uuid(), n, 'later' FROM generate_series(1, 7) n",
    )
    preview = beside_others.preview_restore()
    assert preview.snapshot["places"].startswith("5:")
    assert preview.snapshot["plants"] == "absent"
    result = beside_others.restore_snapshot()
    assert rows(postgres_url, ALL_PLACES) == before
    assert execute(postgres_url, "SELECT to_regclass('ai.plants')") == [(None,)]
    assert result.runs == (run.run,)
    assert execute(postgres_url, "SELECT state FROM transhume.runs") == [("rolled_back",)]
    assert execute(postgres_url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'transhume_restore%'") == []
    # Idempotent: a second time changes nothing.
    assert beside_others.restore_snapshot(run.run).runs == ()
    assert rows(postgres_url, ALL_PLACES) == before


def test_a_restore_whose_commit_is_not_heard_of_is_done(beside_others, postgres_url, monkeypatch):
    """The server commits and the connection is lost before it says so: the same rows stand, and the result says so."""
    before = rows(postgres_url, ALL_PLACES)
    beside_others.backup()
    beside_others.run(limits=SMALL)
    expected = beside_others.preview_restore().now
    commit, commits = Session._commit, []

    def unheard(session: Session, connection: WatchedConnection) -> None:
        commit(session, connection)
        commits.append(session._purpose)
        # The first one makes sure of the ledger.
        if commits.count(session._purpose) == 2 and session._purpose.startswith("transhume restore"):
            connection.close()
            raise psycopg.OperationalError

    monkeypatch.setattr(Session, "_commit", unheard)
    result = restore_snapshot(beside_others._place, None, "", None, expected)
    assert [each for each in commits if each.startswith("transhume restore")] == [commits[0]] * 3
    assert rows(postgres_url, ALL_PLACES) == before
    assert result.backup
    assert execute(postgres_url, "SELECT state FROM transhume.runs") == [("rolled_back",)]


def test_a_restore_that_does_not_come_out_changes_nothing(beside_others, postgres_url):
    """A trigger of others bends a row that comes back; a key of others would take rows along: stopped, nothing done."""
    beside_others.backup()
    beside_others.run(limits=SMALL)
    execute(postgres_url, "DELETE FROM ai.places WHERE name = 'theirs' AND original_source_id = 3")
    standing = rows(postgres_url, ALL_PLACES)
    execute(
        postgres_url,
        "CREATE FUNCTION ai.bend() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.note = 'bent'; RETURN NEW; END$$",
        "CREATE TRIGGER bend BEFORE INSERT ON ai.places FOR EACH ROW EXECUTE FUNCTION ai.bend()",
    )
    with pytest.raises(RollbackStopped, match="'places' would not be"):
        beside_others.restore_snapshot()
    execute(
        postgres_url,
        "DROP TRIGGER bend ON ai.places",
        "CREATE TABLE ai.visits (place uuid REFERENCES ai.places ON DELETE CASCADE)",
    )
    with pytest.raises(Refused, match=r"ai\.visits"):
        beside_others.restore_snapshot()
    assert rows(postgres_url, ALL_PLACES) == standing


@pytest.fixture
def postgres_source(tmp_path, postgres_server):
    """A project with a PostgreSQL source, read by a role with a password, that may replicate; and its URL."""
    with postgres_server.database() as name:
        url = postgres_server.url(name)
        role = f"reader_{name}"
        execute(
            url,
            f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{CANARY}'",
            f"GRANT pg_read_all_data TO {role}",
            "CREATE TYPE mood AS ENUM ('calm', 'wild')",
            "CREATE TABLE place (id bigint PRIMARY KEY, name text, mood mood, seen timestamptz, size float8,"
            " part numeric)",
            "INSERT INTO place SELECT n, 'place' || n, 'wild', now(), n / 3.0, n / 7.0 FROM generate_series(1, 300) n",
            "CREATE TABLE plant (id int, place bigint REFERENCES place)",
            "INSERT INTO plant VALUES (1, 1), (1, 1), (2, NULL)",
        )
        folder = tmp_path / "p"
        folder.mkdir()
        (folder / "transhume.yaml").write_text(
            "transhume: 1\nname: n\nnamespace: n\nsource: ${SOURCE_URL}\ntarget: ${TARGET_URL}\ntables:\n"
            "  places:\n    from: place\n    key: id\n    create: true\n"
            "    types: {place_id: uuid primary key}\n    columns: {place_id: {uuid: id}, name: name}\n"
            "    drop: [mood, seen, size, part]\nignored_tables: [plant]\n"
        )
        source = postgres_server.url(name, user=role).replace(f"{role}@", f"{role}:{CANARY}@")
        (folder / ".env").write_text(f"SOURCE_URL={source}\nTARGET_URL={LAKE}\n")
        yield Project(folder), url
        execute(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_the_copies_of_a_postgres_source_hold_what_it_holds(postgres_source, postgres_server):
    """The dump, restored by pg_restore, is the source; the cluster starts; no password is in a file or process list."""
    project, url = postgres_source
    watcher = subprocess.Popen(
        [sys.executable, "-c", _WATCHER, CANARY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    result = project.backup()
    found, _ = watcher.communicate("stop\n", timeout=60)
    assert found == "looked, found 0\n"
    assert _states(result) == {
        ("source", "logical"): "verified",
        ("source", "physical"): "verified",
        ("target", "snapshot"): "verified",
    }
    assert result.manifest.parts[0].fingerprints["public.place"].startswith("300:")
    assert "started on a copy" in result.manifest.parts[1].reason
    files = [each for each in result.folder.rglob("*") if each.is_file() and "source_cluster" not in each.parts]
    assert files
    assert not [each for each in files if CANARY.encode() in each.read_bytes()]
    # Not a permission is given away by any file or folder of it.
    assert not [each for each in result.folder.rglob("*") if stat.S_IMODE(each.stat().st_mode) & 0o077]
    with postgres_server.database() as restored:
        from transhume.systems.postgres.tools import find_tools  # noqa: PLC0415 - the test's own way to pg_restore

        with psycopg.connect(url) as asked:
            tools = find_tools(asked.info.server_version // 10000)
        place = postgres_server.url(restored)
        subprocess.run(
            [tools.folder / "pg_restore", "--no-owner", "--exit-on-error", "-d", place, result.folder / "source.dump"],
            check=True,
        )
        for table in ("place", "plant"):
            assert rows(place, f"SELECT * FROM {table}") == rows(url, f"SELECT * FROM {table}")
    execute(url, "DELETE FROM place WHERE id = 300")
    told = []
    project.run(listener=told.append)
    assert ["rows of the source's 'public.place' changed since the backup"] in [
        event.fields["why"] for event in told if event.kind == "backup_warned"
    ]


_WATCHER = """
import pathlib, select, sys
found = looks = 0
while not select.select([sys.stdin], [], [], 0.05)[0]:
    for place in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes()
        except OSError:
            continue
        found += sys.argv[1].encode() in line and b"select.select" not in line
    looks += 1
print(f"{'looked' if looks else 'idle'}, found {found}")
"""
"""Looks at the command lines of all processes, many times a second, until it is told to stop."""
