"""Taking a run back on PostgreSQL: exactly its rows go, everything of others stays, and that is compared."""

import psycopg
import pytest

from tests.stages import small_project, undone
from tests.stages.undone import execute, rows, stages
from transhume import Project
from transhume.errors import CheckFailed, Refused, RollbackStopped, RolledBack
from transhume.stages.context import Limits
from transhume.systems.postgres import undo_indexes, undo_sets

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
LOADED = small_project.expected_buckets()["plants"]["loaded"]
ALL_PLACES = "SELECT * FROM ai.places"


@pytest.fixture
def project(tmp_path, postgres_url) -> Project:
    """The small project with PostgreSQL as its target; nothing is there yet."""
    small_project.write(tmp_path / "p", f"{postgres_url}&schema=ai")
    return Project(tmp_path / "p")


@pytest.fixture
def beside_others(project, postgres_url) -> Project:
    """The same after a run into a table of places that was there with five rows of others."""
    execute(
        postgres_url,
        "CREATE SCHEMA ai",
        undone.PLACES_OF_OTHERS,
        "INSERT INTO ai.places SELECT gen_random_uuid(), n, 'theirs', 'x' FROM generate_series(1, 5) n",
    )
    return project


def _by_name(result, table):
    return next(each for each in result.report.tables if each.table == table)


def test_a_run_into_nothing_leaves_nothing(project, postgres_url):
    """Tables and schema that the run made are gone; the stage stays for a look until finalize; the papers are there."""
    project.run(limits=SMALL)
    result = project.rollback(cause="a test")
    assert {(t.table, t.published, t.removed, t.dropped) for t in result.report.tables} == {
        ("places", small_project.PLACES, small_project.PLACES, True),
        ("plants", LOADED, LOADED, True),
    }
    assert execute(postgres_url, "SELECT nspname FROM pg_namespace WHERE nspname = 'ai'") == []
    assert project.result().state == "rolled back"
    assert "a test" in result.incident.read_text()
    assert "the rows became visible" in result.post_mortem.read_text()
    assert len(stages(postgres_url)) == 1
    assert any("stage" in sentence for sentence in project.finalize().dropped)
    assert stages(postgres_url) == []


def test_a_second_rollback_changes_nothing_and_says_the_same(project, postgres_url):
    """Rolled back twice: the report of the first time, no error; a new run loads everything again."""
    project.run(limits=SMALL)
    first = project.rollback()
    assert project.rollback().report.tables == first.report.tables
    again = project.run(limits=SMALL)
    assert again.run != first.run
    assert [table.loaded for table in again.tables] == [small_project.PLACES, LOADED]


def test_a_run_that_was_never_published_loses_its_stage(project, postgres_url):
    """Killed before publishing: rollback drops the stage, the schema of the target never appeared."""
    small_project.run(project.folder, "after:publish_started:1:kill")
    assert len(stages(postgres_url)) == 1
    result = project.rollback()
    assert (result.report.state, result.report.tables) == ("open", ())
    assert stages(postgres_url) == []
    assert project.rollback().report.state == "rolled_back"
    assert not project.run(limits=SMALL).resumed


def test_a_run_that_never_reached_the_target_is_nothing_to_do(project, postgres_url):
    """Killed before the target was written: rollback is done at once and says so."""
    small_project.run(project.folder, "after:run_started:1:kill")
    assert project.rollback().report.state == "absent"
    assert project.result().state == "rolled back"


def test_what_others_wrote_stays(beside_others, postgres_url):
    """Rows of others before and since stay bit by bit; rows of ours that they edited stay and are listed by key."""
    before = rows(postgres_url, ALL_PLACES)
    beside_others.run(limits=SMALL)
    execute(
        postgres_url,
        "INSERT INTO ai.places SELECT gen_random_uuid(), n, 'later' FROM generate_series(1, 7) n",
        "UPDATE ai.places SET name = 'edited' WHERE name IN ('place 40', 'place 41')",
        "UPDATE ai.places SET note = 'only here' WHERE name = 'place 42'",
        "DELETE FROM ai.plants WHERE original_source_id = 129",
    )
    edited = execute(postgres_url, "SELECT place_id::text FROM ai.places WHERE name = 'edited' OR note = 'only here'")
    result = beside_others.rollback(referenced="keep")
    places, plants = _by_name(result, "places"), _by_name(result, "plants")
    assert (places.edited, places.vanished, places.dropped) == (3, 0, False)
    assert places.removed == small_project.PLACES - 3
    assert (plants.vanished, plants.removed, plants.dropped) == (1, LOADED - 1, True)
    assert {line.split(",")[1] for line in undone.kept(beside_others.folder)} == {str(row[0]) for row in edited}
    assert rows(postgres_url, f"{ALL_PLACES} WHERE note = 'x'") == before
    assert execute(postgres_url, "SELECT count(*) FROM ai.places") == [(5 + 7 + 3,)]
    assert (places.proof, places.fingerprint_before_run[:2]) == ("equal_apart_from_others", "5:")
    assert any("sequence" in note for note in result.report.notes)


def test_the_fingerprint_is_the_one_from_before_where_nobody_wrote(beside_others, postgres_url):
    """Nobody else wrote: the table's fingerprint after the rollback is that of before the run."""
    before = rows(postgres_url, ALL_PLACES)
    beside_others.run(limits=SMALL)
    places = _by_name(beside_others.rollback(), "places")
    assert (places.proof, places.fingerprint_after) == ("equal", places.fingerprint_before_run)
    assert rows(postgres_url, ALL_PLACES) == before


def test_edited_rows_go_by_choice(beside_others, postgres_url):
    """With `edited: remove` the edited row goes as well, and nothing is listed."""
    before = rows(postgres_url, ALL_PLACES)
    beside_others.run(limits=SMALL)
    execute(postgres_url, "UPDATE ai.places SET name = 'edited' WHERE name = 'place 3'")
    result = beside_others.rollback(edited="remove")
    assert (_by_name(result, "places").removed, result.kept_file) == (small_project.PLACES, None)
    assert rows(postgres_url, ALL_PLACES) == before


def test_what_a_kept_row_refers_to_stays(project, postgres_url):
    """An edited plant stays, and so do its place and its parents; their tables are not dropped."""
    project.run(limits=SMALL)
    plant = "SELECT plant_id FROM ai.plants WHERE original_source_id = 6"  # its parents: 3, 1; 0 has been filtered
    execute(postgres_url, f"UPDATE ai.plants SET kind = 'edited' WHERE plant_id = ({plant})")
    result = project.rollback()
    plants, places = _by_name(result, "plants"), _by_name(result, "places")
    assert (plants.edited, plants.needed, plants.dropped) == (1, 2, False)
    assert (places.edited, places.needed) == (0, 3)
    left = execute(postgres_url, "SELECT original_source_id FROM ai.plants ORDER BY 1")
    assert left == [(1,), (3,), (6,)]
    assert execute(postgres_url, "SELECT original_source_id FROM ai.places ORDER BY 1") == left


@pytest.fixture
def referred(project, postgres_url) -> Project:
    """After a run: a table of others, in a schema of theirs, refers to three places that no plant refers to."""
    project.run(limits=SMALL)
    execute(
        postgres_url,
        "CREATE SCHEMA theirs",
        "CREATE TABLE theirs.visits (visit int PRIMARY KEY, place uuid REFERENCES ai.places ON DELETE CASCADE)",
        "INSERT INTO theirs.visits SELECT original_source_id, place_id FROM ai.places WHERE original_source_id < 3",
        "INSERT INTO theirs.visits VALUES (100, NULL)",
    )
    return project


def test_rows_of_others_that_refer_to_ours_are_listed_and_refused(referred, postgres_url):
    """Referring rows are counted first and nothing is changed, although the server would have cascaded."""
    look = referred.preview_rollback()
    assert look.refused
    assert [str(each) for each in look.report.referring] == [
        "3 rows of others in 'visits' (place) refer to rows in 'places'"
    ]
    with pytest.raises(Refused, match=r"3 rows of others in 'visits'.*--referenced keep"):
        referred.rollback()
    assert execute(postgres_url, "SELECT count(*) FROM theirs.visits") == [(4,)]
    assert execute(postgres_url, "SELECT count(*) FROM ai.places") == [(small_project.PLACES,)]


def test_referred_rows_stay_by_choice(referred, postgres_url):
    """`referenced: keep` leaves the three places and every visit."""
    result = referred.rollback(referenced="keep")
    assert (_by_name(result, "places").needed, _by_name(result, "plants").dropped) == (3, True)
    assert execute(postgres_url, "SELECT count(*) FROM theirs.visits") == [(4,)]
    assert execute(postgres_url, "SELECT count(*) FROM ai.places") == [(3,)]


def test_referring_rows_go_by_choice(referred, postgres_url):
    """`referenced: remove` takes the three visits along and leaves the one that refers to nothing."""
    result = referred.rollback(referenced="remove")
    assert sum(each.others_removed for each in result.report.tables) == 3
    assert execute(postgres_url, "SELECT visit FROM theirs.visits") == [(100,)]
    assert execute(postgres_url, "SELECT count(*) FROM ai.places") == [(0,)], "a foreign key of others stands on it"


def test_a_run_that_a_later_one_builds_on_is_not_taken_back(project, postgres_url):
    """Rows of a second run refer to rows of the first: refused by that run's name; backwards it goes."""
    first = project.run(limits=SMALL).run
    small_project.source(project.folder, "INSERT INTO plant VALUES (1001, 5, NULL, 'tree', 1, NULL, NULL, 0)")
    second = project.run(limits=SMALL).run
    with pytest.raises(Refused, match=rf"run '{second}' builds on this one: 1 rows"):
        project.rollback(first, referenced="remove")
    project.rollback(second)
    project.rollback(first)
    assert execute(postgres_url, "SELECT nspname FROM pg_namespace WHERE nspname = 'ai'") == []


@pytest.fixture
def changed(beside_others, postgres_url) -> Project:
    """Five rows of others stand with keys of ours and other content; a run with `on_conflict: update` changed them."""
    beside_others.run(limits=SMALL)
    beside_others.rollback()
    plan = beside_others.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("    from: place\n", "    from: place\n    on_conflict: update\n"))
    beside_others.run(limits=SMALL)
    execute(postgres_url, "UPDATE ai.places SET name = 'theirs', note = 'x' WHERE original_source_id < 5")
    return beside_others


def test_rows_that_the_run_changed_get_their_content_back(changed, postgres_url):
    """Before-images come back whole; one that others changed again stays and is listed; new rows go."""
    small_project.source(changed.folder, "INSERT INTO place VALUES (2000, 'new')")
    before = rows(postgres_url, ALL_PLACES)
    changed.run(limits=SMALL)
    assert execute(postgres_url, "SELECT count(*) FROM ai.places WHERE name = 'theirs' AND note = 'x'") == [(5,)]
    assert execute(postgres_url, "SELECT count(*) FROM ai.places WHERE name = 'place 2'") == [(1,)]
    look = _by_name(changed.preview_rollback(), "places")
    assert (look.updated, look.restored, look.removed) == (5, 5, 1)
    places = _by_name(changed.rollback(), "places")
    assert (places.restored, places.proof, places.fingerprint_after) == (5, "equal", places.fingerprint_before_run)
    assert rows(postgres_url, ALL_PLACES) == before


def test_a_changed_row_that_others_changed_again_stays(changed, postgres_url):
    """Of five changed rows one was edited since, in a column that no plan fills: four come back, one is listed."""
    changed.run(limits=SMALL)
    before = rows(postgres_url, f"{ALL_PLACES} WHERE original_source_id > 4")
    execute(postgres_url, "UPDATE ai.places SET note = 'again' WHERE name = 'place 2'")
    result = changed.rollback()
    places = _by_name(result, "places")
    assert (places.updated, places.restored, places.not_restored) == (5, 4, 1)
    assert undone.kept(changed.folder)[0].endswith("not_restored")
    assert rows(postgres_url, f"{ALL_PLACES} WHERE original_source_id > 4") == before
    assert places.proof == "equal_apart_from_others"


def test_a_run_whose_rows_a_later_one_changed_is_not_taken_back(changed, postgres_url):
    """The second run changed rows of the first: the first is refused by the second's name, then both go backwards."""
    first, second = changed.result().run, changed.run(limits=SMALL).run
    with pytest.raises(Refused, match=rf"run '{second}' builds on this one: it changed 5 rows"):
        changed.rollback(first)
    changed.rollback(second)
    places = _by_name(changed.rollback(first), "places")
    assert (places.edited, places.removed) == (5, small_project.PLACES - 5)


def test_a_set_with_one_row_too_many_removes_nothing(beside_others, postgres_url, monkeypatch):
    """A planted fault: the delete set holds one row of others as well; the count stops it, nothing is deleted."""
    beside_others.run(limits=SMALL)
    before = rows(postgres_url, ALL_PLACES)
    filled = undo_sets._fill

    def too_many(connection, run, each, stage, choice):
        filled(connection, run, each, stage, choice)
        if each.name == "places":
            target, rows_ = each.place.as_string(connection), each.rows.as_string(connection)
            connection.execute(
                f"INSERT INTO {rows_} SELECT tableoid, ctid, 'places', false, 'remove' FROM {target}"
                " WHERE note = 'x' LIMIT 1"
            )

    monkeypatch.setattr(undo_sets, "_fill", too_many)
    with pytest.raises(RollbackStopped, match=r"50 published.*50 must go, and the set holds 51"):
        beside_others.rollback()
    assert rows(postgres_url, ALL_PLACES) == before
    monkeypatch.undo()
    assert _by_name(beside_others.rollback(), "places").removed == small_project.PLACES


def test_a_set_with_another_row_instead_removes_nothing(beside_others, postgres_url, monkeypatch):
    """A planted fault: an edited row counts as unchanged in the set; counted apart from it, it is noticed."""
    beside_others.run(limits=SMALL)
    execute(postgres_url, "UPDATE ai.places SET name = 'edited' WHERE name = 'place 3'")
    before = rows(postgres_url, ALL_PLACES)
    filled = undo_sets._fill

    def blind(connection, run, each, stage, choice):
        filled(connection, run, each, stage, choice)
        connection.execute(f"UPDATE {each.rows.as_string(connection)} SET fate = 'remove'")

    monkeypatch.setattr(undo_sets, "_fill", blind)
    with pytest.raises(RollbackStopped, match="49 must go, and the set holds 50"):
        beside_others.rollback()
    assert rows(postgres_url, ALL_PLACES) == before


@pytest.mark.parametrize(
    ("table", "change", "held"),
    [
        ("places", "INSERT INTO ai.places VALUES (gen_random_uuid(), 77, 'theirs')", small_project.PLACES + 1),
        ("plants", "UPDATE ai.plants SET height_m = 99 WHERE original_source_id = 129", LOADED),
    ],
)
def test_a_table_taken_for_all_ours_removes_nothing(project, postgres_url, monkeypatch, table, change, held):
    """A planted fault: a table with a row of others, or one that others edited, counts as the set itself."""
    project.run(limits=SMALL)
    execute(postgres_url, change)
    before = rows(postgres_url, f"SELECT * FROM ai.{table}")
    monkeypatch.setattr(undo_sets, "_holds_no_other", lambda *_: True)
    with pytest.raises(RollbackStopped, match=rf"'{table}' do not come out.*the set holds {held}"):
        project.rollback()
    assert rows(postgres_url, f"SELECT * FROM ai.{table}") == before


def test_a_table_that_others_have_built_on_is_emptied(project, postgres_url):
    """A view of others keeps a table of the run from being dropped: its rows go, counted and compared."""
    project.run(limits=SMALL)
    execute(postgres_url, "CREATE VIEW public.seen AS SELECT * FROM ai.plants")
    plants = _by_name(project.rollback(), "plants")
    assert (plants.removed, plants.dropped, plants.proof) == (LOADED, False, "equal")
    assert execute(postgres_url, "SELECT count(*) FROM public.seen") == [(0,)]


def test_references_without_an_index_have_one_for_the_time_of_the_undo(beside_others, postgres_url, monkeypatch):
    """The server finds referring rows by an index that the undo makes on each reference and takes away again."""
    beside_others.run(limits=SMALL)
    execute(postgres_url, "CREATE VIEW public.seen AS SELECT * FROM ai.plants")
    make, made = undo_indexes.make, []

    def watched(connection, sets, goes):
        made.extend(make(connection, sets, goes))
        names = "SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'transhume_undo%' ORDER BY 1"
        made.extend(row[0].partition(" ON ")[2] for row in connection.execute(names).fetchall())
        return made[:2]

    monkeypatch.setattr(undo_indexes, "make", watched)
    monkeypatch.setattr(undo_indexes, "_PAGES_READ_MAX", 0)
    places = _by_name(beside_others.rollback(), "places")
    assert made[2:] == ["ai.plants USING btree (parent_id)", "ai.plants USING btree (place_id)"]
    assert places.proof == "equal"
    assert execute(postgres_url, "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'transhume_undo%'") == [(0,)]


def test_a_trigger_that_hides_deletes_stops_it(beside_others, postgres_url):
    """A trigger of others keeps a row from being deleted: the server's own count stops the rollback."""
    beside_others.run(limits=SMALL)
    execute(
        postgres_url,
        "CREATE FUNCTION ai.hold() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF OLD.name = 'place 9' THEN RETURN NULL; END IF; RETURN OLD; END $$",
        "CREATE TRIGGER hold BEFORE DELETE ON ai.places FOR EACH ROW EXECUTE FUNCTION ai.hold()",
    )
    before = rows(postgres_url, ALL_PLACES)
    with pytest.raises(RollbackStopped, match="50 rows of 'places' were to be removed and the server removed 49"):
        beside_others.rollback()
    assert rows(postgres_url, ALL_PLACES) == before


def test_a_cascade_that_nobody_sees_stops_it(beside_others, postgres_url):
    """A trigger of others that removes a further row is noticed by the fingerprint, and nothing is changed."""
    beside_others.run(limits=SMALL)
    execute(
        postgres_url,
        "CREATE FUNCTION ai.more() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN DELETE FROM ai.places WHERE note = 'x'; RETURN NULL; END $$",
        "CREATE TRIGGER more AFTER DELETE ON ai.places FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)"
        " EXECUTE FUNCTION ai.more()",
    )
    before = rows(postgres_url, ALL_PLACES)
    with pytest.raises(RollbackStopped, match="triggers, rules and cascading references"):
        beside_others.rollback()
    assert rows(postgres_url, ALL_PLACES) == before


def test_a_finalized_run_is_not_taken_back(project, postgres_url):
    """After finalize a rollback is refused with the reason; the rows stay; extracts are gone."""
    result = project.run(limits=SMALL)
    project.finalize()
    assert project.finalize().dropped == ()
    with pytest.raises(Refused, match=r"finalized.*backup"):
        project.rollback()
    assert execute(postgres_url, "SELECT count(*) FROM ai.places") == [(small_project.PLACES,)]
    assert not (project.runs / result.run / "work").exists()
    assert project.run(limits=SMALL).tables[0].unchanged == small_project.PLACES


def test_a_changed_plan_is_told_and_does_not_stand_in_the_way(project):
    """The plan was edited since: what was staged is undone all the same, and both papers' differences say so."""
    project.run(limits=SMALL)
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("Europe/Berlin", "Asia/Tokyo"))
    look = project.preview_rollback()
    assert any("Asia/Tokyo" in sentence for sentence in look.plan_differences)
    assert "Asia/Tokyo" in project.rollback().post_mortem.read_text()


def test_another_target_is_refused(project, postgres_url):
    """The plan names another schema by now: refused with both names."""
    project.run(limits=SMALL)
    environment = project.folder / ".env"
    environment.write_text(environment.read_text().replace("schema=ai", "schema=other"))
    with pytest.raises(Refused, match=r"schema=ai.*schema=other"):
        Project(project.folder).rollback()


def test_the_papers_hold_no_value(beside_others, postgres_url):
    """Neither paper has a value or a key of a row, and no part of a credential."""
    beside_others.run(limits=SMALL)
    execute(postgres_url, "UPDATE ai.places SET name = 'canary-name' WHERE name = 'place 3'")
    (key,) = execute(postgres_url, "SELECT place_id::text FROM ai.places WHERE name = 'canary-name'")[0]
    result = beside_others.rollback()
    text = result.incident.read_text() + result.post_mortem.read_text()
    assert "1 rows of the run stay" in text
    assert "canary-name" not in text
    assert str(key) not in text


def test_a_ledger_of_an_earlier_version_is_taken_over(project, postgres_url):
    """A target whose ledger was made before rollbacks existed is brought up to date, with what stands in it."""
    project.run(limits=SMALL)
    execute(
        postgres_url,
        "ALTER TABLE transhume.runs DROP CONSTRAINT runs_state_check,"
        " ADD CONSTRAINT runs_state_check CHECK (state IN ('open', 'published')),"
        " DROP publish_xid, DROP made_schema, DROP undone_at, DROP undone",
        "ALTER TABLE transhume.tables DROP before_fingerprint, DROP before_columns",
        "UPDATE transhume.ledger SET version = 2",
    )
    result = project.rollback()
    assert all(table.dropped for table in result.report.tables)
    with psycopg.connect(postgres_url) as reader:
        assert reader.execute("SELECT version FROM transhume.ledger").fetchone() == (3,)


def _meddle(url):
    """Return a listener that removes a row, as somebody else, right after it was published."""

    def listen(event):
        if event.kind == "published":
            execute(url, "DELETE FROM ai.plants WHERE original_source_id = 129")

    return listen


def test_a_check_that_fails_after_publishing_rolls_back_by_itself(project, postgres_url):
    """The plan says automatic: what the run published is gone again, with exit code 7 and the papers."""
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("tables:\n", "rollback: {on_failed_check: automatic}\ntables:\n", 1))
    with pytest.raises(RolledBack, match=rf"(?s)plants.*{small_project.PLACES + LOADED - 1} rows removed") as problem:
        project.run(limits=SMALL, listener=_meddle(postgres_url))
    assert problem.value.exit_code == 7
    assert project.result().state == "rolled back"
    assert execute(postgres_url, "SELECT nspname FROM pg_namespace WHERE nspname = 'ai'") == []


def test_a_rollback_by_itself_that_cannot_be_done_is_8(project, postgres_url):
    """Somebody's rows refer to the published ones already: nothing is removed, and a person is told what to do."""
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("tables:\n", "rollback: {on_failed_check: automatic}\ntables:\n", 1))

    def listen(event):
        if event.kind == "published":
            execute(
                postgres_url,
                "CREATE TABLE public.visits AS SELECT place_id FROM ai.places LIMIT 1",
                "ALTER TABLE public.visits ADD FOREIGN KEY (place_id) REFERENCES ai.places",
            )
        _meddle(postgres_url)(event)

    with pytest.raises(RollbackStopped, match=r"(?s)visits.*A person must act: transhume rollback") as problem:
        project.run(limits=SMALL, listener=listen)
    assert problem.value.exit_code == 8
    assert execute(postgres_url, "SELECT count(*) FROM ai.places") == [(small_project.PLACES,)]


def test_a_check_that_fails_after_publishing_says_the_command(project, postgres_url):
    """Without a word in the plan the rows stay, and the message has the command that takes them back."""
    with pytest.raises(CheckFailed, match=r"Take it back by: transhume rollback \w+"):
        project.run(limits=SMALL, listener=_meddle(postgres_url))
    assert execute(postgres_url, "SELECT count(*) FROM ai.places") == [(small_project.PLACES,)]
