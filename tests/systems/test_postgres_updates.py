"""Rows that the target has already under PostgreSQL: skipped, replaced with their before-images, noticed if changed."""

import dataclasses
import threading
from collections.abc import Sequence

import psycopg
import pyarrow as pa
import pytest

from tests.systems.postgres_places import PostgresPlace
from transhume.batches import BatchId, OnConflict, StagedBatch, TargetTable
from transhume.errors import CheckFailed, Refused
from transhume.systems.postgres import ledger
from transhume.systems.postgres.target import PostgresRun
from transhume.testing.targets import identity, people, person_rows

_WITH_MORE = """
CREATE SCHEMA ai;
CREATE TABLE ai.people (note text DEFAULT 'ours', id uuid PRIMARY KEY, t text, name text NOT NULL, age bigint,
                        upper_name text GENERATED ALWAYS AS (upper(name)) STORED);
INSERT INTO ai.people (note, id, t, name, age)
SELECT 'note ' || n, lpad(n::text, 32, '0')::uuid, 'kept', 'person ' || n, nullif(n, 3) FROM generate_series(0, 9) n;
"""


@pytest.fixture
def place(postgres_url: str) -> PostgresPlace:
    """A schema with a table of ten people, which has columns that no mapping of ours fills."""
    place = PostgresPlace(postgres_url)
    with psycopg.connect(postgres_url) as other:
        other.execute(_WITH_MORE)
    return place


def _people(on_conflict: OnConflict) -> TargetTable:
    return dataclasses.replace(people(create=False), on_conflict=on_conflict)


def _rows(first: int, count: int, renamed: Sequence[int]) -> pa.Table:
    """Return people as the table holds them, of whom some have another name now."""
    rows = person_rows(first, count).to_pylist()
    for number, row in enumerate(rows, first):
        row["age"] = None if number == 3 else number
        row["name"] += " renamed" if number in renamed else ""
    return pa.Table.from_pylist(rows, schema=people().arrow_schema)


def _staged(run: PostgresRun, table: TargetTable, rows: pa.Table) -> StagedBatch:
    line = run.stage(table, BatchId("people", 0), rows)
    assert list(run.compare(table, line.batch, rows)) == []
    run.seal(table, 1)
    return line


def test_an_update_replaces_mapped_columns_and_keeps_whole_rows(place: PostgresPlace) -> None:
    """Ten rows, two renamed, two new: two replaced, others' columns as they were, the before-images whole."""
    before = place.execute("SELECT * FROM people WHERE id IN (%s, %s) ORDER BY id", key_text(4), key_text(7))
    table = _people("update")
    with place.run([table]) as run:
        line = _staged(run, table, _rows(0, 12, (4, 7)))
        assert (line.row_count, line.updated, len(line.unchanged), line.conflicts, line.skipped) == (
            4,
            (4, 7),
            8,
            (),
            (),
        )
        assert place.execute("SELECT count(*) FROM people WHERE name LIKE '%%renamed'") == [(0,)], "not visible yet"
        (published,) = run.publish([table])
        assert (published.inserted, published.updated, published.unchanged, published.skipped) == (2, 2, 8, 0)
        assert list(run.verify(table)) == []
        assert list(run.publish([table])) == [published], "a published run is only reported"
    now = place.execute("SELECT note, t, name, age, upper_name FROM people ORDER BY id")
    assert now[4] == ("note 4", "kept", "person 4 renamed", 4, "PERSON 4 RENAMED")
    assert now[7] == ("note 7", "kept", "person 7 renamed", 7, "PERSON 7 RENAMED")
    assert now[10] == ("ours", None, "person 10", 10, "PERSON 10")
    assert len(now) == 12
    assert place.execute("SELECT * FROM transhume_stage_run_1.before_0 ORDER BY id") == before
    counts = place.execute("SELECT inserted, unchanged, updated, skipped FROM transhume.tables")
    assert counts == [(2, 8, 2, 0)]
    assert place.execute("SELECT to_regclass('transhume_stage_run_1.seen_0')") == [(None,)], "what was seen is not kept"


def key_text(number: int) -> str:
    """Return the key of a person as the server writes it."""
    return f"{number:032d}"


def test_skipped_rows_stay_and_conflicts_stop(place: PostgresPlace) -> None:
    """`skip` loads the new rows and touches no other; `error` names the conflicts for the stage to stop at."""
    for mode, name in (("error", "run_a"), ("skip", "run_b")):
        table = _people(mode)
        with place.run([table], identity(name)) as run:
            line = _staged(run, table, _rows(0, 12, (4, 7)))
            assert {"error": line.conflicts, "skip": line.skipped}[mode] == (4, 7)
            assert line.row_count == 2
            if mode == "skip":
                (published,) = run.publish([table])
                assert (published.inserted, published.skipped, published.unchanged) == (2, 2, 8)
                assert list(run.verify(table)) == []
    assert place.execute("SELECT count(*) FROM people WHERE name LIKE '%%renamed'") == [(0,)]
    assert place.execute("SELECT count(*) FROM people") == [(12,)]


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ("UPDATE people SET name = 'theirs' WHERE name = 'person 4'", "00000000-0000-0000-0000-000000000004"),
        ("UPDATE people SET note = 'theirs' WHERE name = 'person 4'", "00000000-0000-0000-0000-000000000004"),
        ("DELETE FROM people WHERE name = 'person 7'", "00000000-0000-0000-0000-000000000007"),
        ("ALTER TABLE people ADD COLUMN more int", "'more'"),
        ("ALTER TABLE people DROP COLUMN note", "'note'"),
        ("ALTER TABLE people ALTER note TYPE varchar(50)", "'note'"),
    ],
)
def test_a_row_that_others_change_after_staging_stops_the_publishing(
    place: PostgresPlace, edit: str, told: str
) -> None:
    """Whatever others do to a row that is to be replaced, or to its table: nothing is published, and it is named."""
    table = _people("update")
    with place.run([table]) as run:
        _staged(run, table, _rows(0, 12, (4, 7)))
        place.execute(edit)
        now = place.execute("SELECT * FROM people ORDER BY id")
        with pytest.raises(CheckFailed) as caught:
            run.publish([table])
        assert told in str(caught.value) + "".join(finding.message for finding in caught.value.findings)
    assert place.execute("SELECT * FROM people ORDER BY id") == now
    assert place.execute("SELECT to_regclass('transhume_stage_run_1.before_0')") == [(None,)]


def test_edits_of_other_rows_do_not_stop_an_update(place: PostgresPlace) -> None:
    """Others change a row that the run found unchanged, and add one: the update goes on, their work stays."""
    table = _people("update")
    with place.run([table]) as run:
        _staged(run, table, _rows(0, 12, (4, 7)))
        place.execute("UPDATE people SET note = 'theirs' WHERE name = 'person 1'")
        place.execute("INSERT INTO people (id, name) VALUES (gen_random_uuid(), 'new here')")
        (published,) = run.publish([table])
    assert (published.inserted, published.updated) == (2, 2)
    assert place.execute("SELECT note FROM people WHERE name = 'person 1'") == [("theirs",)]
    assert place.execute("SELECT count(*) FROM people") == [(13,)]


def test_a_writer_that_holds_the_row_is_waited_for_and_noticed(place: PostgresPlace) -> None:
    """Somebody has changed a row and not committed: publishing waits for him, sees his content, and stops."""
    table = _people("update")
    with place.run([table]) as run, psycopg.connect(place.url) as other:
        _staged(run, table, _rows(0, 12, (4, 7)))
        other.execute("UPDATE ai.people SET age = 99 WHERE name = 'person 4'")
        problems: list[BaseException] = []

        def publish() -> None:
            try:
                run.publish([table])
            except CheckFailed as problem:
                problems.append(problem)

        thread = threading.Thread(target=publish)
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO%%'"
        while thread.is_alive() and place.execute(waiting) == [(0,)]:
            thread.join(0.02)
        other.commit()
        thread.join()
        assert len(problems) == 1
    assert place.execute("SELECT age FROM people WHERE name = 'person 4'") == [(99,)]


def test_a_trigger_a_cascade_and_a_missing_right_refuse_updates_before_anything_is_written(
    place: PostgresPlace,
) -> None:
    """What would make an update change more than its rows is a sentence each; without updates it is none."""
    place.execute("ALTER TABLE people ADD UNIQUE (name)")
    place.execute("CREATE TABLE badges (name text REFERENCES people (name) ON UPDATE CASCADE)")
    place.execute("CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    place.execute("CREATE TRIGGER touch BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION noop()")
    reasons = place.open().refusals([_people("update")])
    assert len(reasons) == 2
    assert "trigger 'touch'" in reasons[0]
    assert "rows of 'badges'" in reasons[1]
    assert place.open().refusals([_people("skip")]) == []


def test_an_older_ledger_is_brought_up_and_a_newer_one_refused(place: PostgresPlace) -> None:
    """A ledger of version 1 keeps its lines and gets the new columns; one of a later version is left alone."""
    table = _people("skip")
    with place.run([table], identity("run_a")) as run:
        _staged(run, table, _rows(0, 12, ()))
        run.publish([table])
    place.execute("ALTER TABLE transhume.tables DROP COLUMN updated, DROP COLUMN skipped")
    place.execute("ALTER TABLE transhume.batches DROP COLUMN updated, DROP COLUMN skipped")
    place.execute("UPDATE transhume.ledger SET version = 1")
    (old,) = place.open().runs()
    assert [(one["inserted"], one["updated"]) for one in old["tables"]] == [(2, None)], "looking changes nothing"
    with place.run([_people("update")], identity("run_b")) as run:
        _staged(run, _people("update"), _rows(0, 12, (4,)))
        run.publish([_people("update")])
    runs = place.open().runs()
    assert [(one["inserted"], one["updated"], one["skipped"]) for run in runs for one in run["tables"]] == [
        (2, 0, 0),
        (0, 1, 0),
    ]
    place.execute("UPDATE transhume.ledger SET version = %s", ledger.VERSION + 1)
    with pytest.raises(Refused, match=f"version {ledger.VERSION + 1}"), place.run([table]):
        pass
