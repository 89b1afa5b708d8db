"""`load: replace`: truncate and reload on a verified snapshot, all tables at one instant, undone from the snapshot."""

import pyarrow as pa
import pytest

from tests.stages import small_project
from tests.stages.test_relational_runs import lake_rows, make
from tests.stages.test_rollback_lake import _others
from tests.stages.undone import execute
from transhume import Project
from transhume.errors import CheckFailed, Refused, UsageError
from transhume.stages.context import Limits
from transhume.stages.subset import Subset

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)


class Place:
    """A target, and what others do there."""

    def __init__(self, project: Project, url: str = "") -> None:
        self.project, self.url = project, url

    def content(self) -> dict[str, tuple[int, str]]:
        """Return what readers see."""
        if self.url:
            return small_project.postgres_content(self.url, "ai")
        return small_project.lake_content(self.project.folder, "ai")

    def write(self, number: int) -> None:
        """Add a row of others to the places."""
        if self.url:
            execute(self.url, f"INSERT INTO ai.places VALUES ('{number:032x}', {number}, 'theirs')")
        else:
            table = small_project.catalog(self.project.folder).load_table(("ai", "places"))
            rows = _others(number, 1).drop_columns(["note"])
            columns = [field.with_nullable(field.name == "original_source_id") for field in rows.schema]
            table.append(pa.Table.from_arrays(rows.columns, schema=pa.schema(columns)))


@pytest.fixture(params=["lake", "postgres"])
def place(request, tmp_path) -> Place:
    """The small project after a run, with a row of others, and a plan that now replaces."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    target = f"{url}&schema=ai" if url else "iceberg:./lake?namespace=ai"
    small_project.write(tmp_path / "p", target)
    made = Place(Project(tmp_path / "p"), url)
    made.project.run(limits=SMALL)
    made.write(7)
    _replaces(made.project)
    return made


def _replaces(project: Project) -> None:
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("namespace: small\n", "namespace: small\nload: replace\n"))


def test_it_replaces_everything_and_a_rollback_brings_everything_back(place):
    """Without a snapshot it is refused; with one only the run's rows are left; the undo proves the state before."""
    project = place.project
    before = place.content()
    small_project.source(project.folder, "UPDATE place SET name = 'renamed' WHERE id = 1")
    small_project.source(project.folder, "DELETE FROM plant WHERE id > 100")
    with pytest.raises(Refused, match=r"'load: replace' is undone from a verified backup.*transhume backup"):
        project.run(limits=SMALL)
    with pytest.raises(UsageError, match="a part would take the place of everything"):
        project.run(limits=SMALL, subset=Subset(rows=5))
    assert place.content() == before
    project.backup()
    result = project.run(limits=SMALL)
    places, plants = result.tables
    assert (places.loaded, places.unchanged) == (small_project.PLACES, 0)
    kept = [n for n in range(101) if n % 13 and n % 10 != 7]
    assert (plants.read, plants.loaded) == (101, len(kept))
    after = place.content()
    assert {name: rows for name, (rows, _) in after.items()} == {"places": small_project.PLACES, "plants": len(kept)}
    assert not [c for c in project.validate().checks if not c.passed and c.severity == "error"]
    look = project.preview_rollback()
    assert "comes back from backup" in look.report.notes[-1]
    undone = project.rollback()
    assert {table.proof for table in undone.report.tables} == {"equal"}
    assert place.content() == before
    assert project.rollback().report.state == "rolled_back"


def test_what_others_wrote_into_replaced_tables_is_not_lost_without_being_asked(place):
    """Others wrote after the publishing: a rollback names the rows and refuses; the snapshot comes on request."""
    project = place.project
    before = place.content()
    project.backup()
    run = project.run(limits=SMALL)
    place.write(9)
    with pytest.raises(Refused, match=r"others added 1 rows of 'places'.*--restore-snapshot"):
        project.rollback()
    assert place.content()["places"][0] == small_project.PLACES + 1
    project.restore_snapshot(run.run)
    assert place.content() == before


@pytest.mark.sweep
def test_what_others_wrote_after_the_snapshot_stops_the_publishing(place):
    """A row that came while the run was under way is in no snapshot: nothing is published, nothing is lost."""
    project = place.project
    project.backup()

    def listen(event) -> None:
        if event.kind == "publish_started":
            place.write(11)

    with pytest.raises(CheckFailed, match=r"'places' changed since the snapshot was made.*transhume backup"):
        project.run(limits=SMALL, listener=listen)
    assert place.content()["places"][0] == small_project.PLACES + 2


@pytest.mark.sweep
def test_rows_of_others_that_would_be_deleted_along_stop_it(postgres_url, tmp_path):
    """A cascading reference of a table that is none of the plan's would lose rows there: refused by name."""
    small_project.write(tmp_path / "p", f"{postgres_url}&schema=ai")
    project = Project(tmp_path / "p")
    project.run(limits=SMALL)
    _replaces(project)
    execute(
        postgres_url,
        "CREATE TABLE public.notes (place_id uuid REFERENCES ai.places ON DELETE CASCADE)",
        "INSERT INTO public.notes SELECT place_id FROM ai.places LIMIT 3",
    )
    project.backup()
    with pytest.raises(CheckFailed, match="notes' refers to 'places' by a key that deletes"):
        project.run(limits=SMALL)
    assert execute(postgres_url, "SELECT count(*) FROM public.notes") == [(3,)]


@pytest.mark.sweep
def test_a_replacing_plan_is_drilled_into_empty_tables(place):
    """A drill of such a plan runs beside the target, and says what it does not try."""
    before = place.content()
    result = place.project.drill(rows=20, limits=SMALL)
    assert result.passed
    assert any("return of the snapshot" in note for note in result.notes)
    assert place.content() == before


WAVES = """\
load: replace
tables:
  places: {from: place, key: id, create: true, columns: {place_id: {uuid: id}, name: name}}
  plants: {from: plant, key: id, create: true, columns: {plant_id: {uuid: id}, name: name}}
phases: {first: {tables: [places]}, second: {tables: [plants]}}
"""


def test_a_wave_that_replaced_its_table_takes_no_other_wave_back(tmp_path):
    """The snapshot from before both waves holds both tables: its return would undo the first wave as well."""
    rows = ("id INTEGER PRIMARY KEY, name TEXT", [(1, "one"), (2, "two")])
    project = make(tmp_path, WAVES, {"place": rows, "plant": rows})
    project.backup()
    project.run(phase="first")
    project.run(phase="second")
    with pytest.raises(Refused, match=r"'places' was changed.*--restore-snapshot"):
        project.rollback()
    assert len(lake_rows(project, "places")) == len(lake_rows(project, "plants")) == 2
