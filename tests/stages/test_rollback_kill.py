"""A rollback killed with SIGKILL anywhere is finished by the same command, to the same target."""

import signal
from pathlib import Path

import pytest

from tests.stages import forked, small_project, undone
from tests.stages.commit_watch import CommitWatch
from transhume import Project
from transhume.journal import read_journal
from transhume.stages.context import Limits

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
EVENTS = ["run_rollback_started", "run_rolled_back"]
POINTS = [f"{side}:{kind}:1" for kind in EVENTS for side in ("before", "after")]


def _some(always: list[str], rest: list[str]) -> list[object]:
    """Return points, of which only some are tried each time; `make sweep` tries all."""
    return [*always, *(pytest.param(point, marks=pytest.mark.sweep) for point in rest)]


POSTGRES_POINTS = _some(["undo:deleted:1", "undo:after_commit:1"], [*POINTS, "undo:set_made:1", "undo:before_commit:1"])
LAKE_POINTS = _some(["undo:prepared:1", "lake:after_commit:1"], [*POINTS, "undo:set_made:1", "lake:before_commit:1"])
OPEN_POINTS = _some(
    ["undo:stage_dropped:1"], [*POINTS, "undo:before_commit:1", "undo:after_commit:1", "undo:stage_dropped:2"]
)
OPEN_LAKE_POINTS = _some(
    ["undo:file_deleted:1"], [*POINTS, "lake:before_commit:1", "lake:after_commit:1", "undo:file_deleted:3"]
)
FINALIZE_POINTS = _some(["undo:stage_dropped:1"], ["finalize:state_set:1", "before:run_finalized:1"])


def _start(folder: Path, fault: str = "", call: str = "rollback") -> forked.Started:
    return forked.Started(_undo, (folder, call), {"TRANSHUME_FAULT": fault})


def _undo(folder: Path, call: str) -> None:
    getattr(Project(folder), call)()


def _killed(folder: Path, point: str, call: str = "rollback") -> None:
    killed = _start(folder, f"{point}:kill", call).ended()
    assert killed.returncode == -signal.SIGKILL, killed.stderr


@pytest.fixture
def postgres_project(tmp_path, postgres_url) -> Project:
    """After a run into PostgreSQL beside five places of others; one plant of ours was edited since."""
    small_project.write(tmp_path / "p", f"{postgres_url}&schema=ai")
    undone.execute(
        postgres_url,
        "CREATE SCHEMA ai",
        undone.PLACES_OF_OTHERS,
        "INSERT INTO ai.places SELECT gen_random_uuid(), n, 'theirs', 'x' FROM generate_series(1, 5) n",
    )
    project = Project(tmp_path / "p")
    project.run(limits=SMALL)
    undone.execute(postgres_url, "UPDATE ai.plants SET kind = 'edited' WHERE original_source_id = 6")
    return project


def _is_taken_back(project: Project, postgres_url: str) -> None:
    (before,) = undone.execute(postgres_url, "SELECT count(*) FROM ai.places")
    assert before in {(5 + small_project.PLACES,), (5 + 3,)}, "half of the rollback is visible"
    result = project.rollback()
    assert [(t.removed, t.kept) for t in result.report.tables] == [
        (small_project.PLACES - 3, 3),
        (small_project.expected_buckets()["plants"]["loaded"] - 3, 3),
    ]
    assert undone.execute(postgres_url, "SELECT count(*) FROM ai.places") == [(5 + 3,)]
    assert undone.execute(postgres_url, "SELECT count(*) FROM ai.plants") == [(3,)]
    assert len(undone.kept(project.folder)) == 6
    assert project.result().state == "rolled back"
    assert result.incident.exists()


@pytest.mark.parametrize("point", POSTGRES_POINTS)
def test_a_killed_rollback_on_postgres_is_finished(point, postgres_project, postgres_url):
    """Killed at any point: all of the run is visible or nothing, and the same call ends it with the same report."""
    _killed(postgres_project.folder, point)
    _is_taken_back(postgres_project, postgres_url)


@pytest.mark.sweep
@pytest.mark.parametrize("nth", range(1, 4))
def test_a_rollback_killed_before_it_hears_of_its_commit_is_finished(
    nth, postgres_project, postgres_server, postgres_url
):
    """Killed when the server has the COMMIT and the answer is on its way: done once, told the same."""
    environment = postgres_project.folder / ".env"
    kept = environment.read_text()
    database = postgres_url.split("?")[0].rsplit("/", 1)[1]
    with CommitWatch(postgres_server.socket_folder, kill_at=nth) as watch:
        environment.write_text(kept.replace(str(postgres_server.socket_folder), str(watch.folder)))
        process = _start(postgres_project.folder)
        watch.client_pid = process.pid
        killed = process.ended()
    environment.write_text(kept)
    assert killed.returncode == -signal.SIGKILL or database in killed.stderr, killed.stderr
    _is_taken_back(postgres_project, postgres_url)


@pytest.mark.parametrize("point", OPEN_POINTS)
def test_a_killed_rollback_of_an_open_run_on_postgres_is_finished(point, tmp_path, postgres_url):
    """Killed while a stage that was never published is dropped: the same call drops the rest."""
    small_project.write(tmp_path / "p", f"{postgres_url}&schema=ai")
    small_project.run(tmp_path / "p", "after:publish_started:1:kill")
    _killed(tmp_path / "p", point)
    Project(tmp_path / "p").rollback()
    assert undone.stages(postgres_url) == []
    assert Project(tmp_path / "p").result().state == "rolled back"


@pytest.mark.parametrize("point", LAKE_POINTS)
def test_a_killed_rollback_in_a_lake_is_finished(point, tmp_path):
    """Killed at any point: both tables are there whole, or none is, and the same call ends it."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    Project(folder).run(limits=SMALL)
    _killed(folder, point)
    assert len(small_project.lake_content(folder, "ai")) in {0, 2}, "half of the rollback is visible"
    result = Project(folder).rollback()
    assert [table.dropped for table in result.report.tables] == [True, True]
    assert small_project.lake_content(folder, "ai") == {}
    assert Project(folder).result().state == "rolled back"


@pytest.mark.parametrize("point", OPEN_LAKE_POINTS)
def test_a_killed_rollback_of_an_open_run_in_a_lake_is_finished(point, tmp_path):
    """Killed while branch and files of a run that was never published are dropped: the same call drops the rest."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    small_project.run(folder, "after:publish_started:1:kill")
    _killed(folder, point)
    Project(folder).rollback()
    assert list((folder / "lake").rglob("*.parquet")) == []


@pytest.mark.parametrize("point", FINALIZE_POINTS)
def test_a_killed_finalize_is_finished(point, tmp_path, postgres_url):
    """Killed while the stage is dropped: the same call drops the rest, the rows stay."""
    small_project.write(tmp_path / "p", f"{postgres_url}&schema=ai")
    Project(tmp_path / "p").run(limits=SMALL)
    _killed(tmp_path / "p", point, "finalize")
    Project(tmp_path / "p").finalize()
    assert undone.stages(postgres_url) == []
    assert undone.execute(postgres_url, "SELECT count(*) FROM ai.places") == [(small_project.PLACES,)]


def test_no_kind_of_event_is_left_out(tmp_path):
    """The kill points name every event that a rollback journals."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    project = Project(folder)
    project.run(limits=SMALL)
    project.rollback()
    (journal,) = folder.glob(".transhume/runs/*/journal.jsonl")
    kinds = [entry.event.kind for entry in read_journal(journal)]
    assert kinds[kinds.index("run_finished") + 1 :] == EVENTS
