"""Loads whose batches an engine's tasks write: the same as the process of the run would have written."""

from contextlib import closing
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from tests.stages import small_project, tasking
from transhume import Project
from transhume.batches import Event
from transhume.errors import CheckFailed, DriverMissing, SystemUnavailable
from transhume.journal import Journal
from transhume.stages.context import Limits
from transhume.systems.iceberg.batch_files import LakeBatches, LakeReach
from transhume.systems.postgres.address import parse_url
from transhume.systems.postgres.batch_writer import PostgresBatches
from transhume.systems.system import Mismatch

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
BATCHES = 2 + 4
"""Of places and plants."""
_OF_TIME = {"transform_s", "stage_s", "compare_s"}


def _left(project: Project) -> dict[str, object]:
    """Return what a run left beside the target: told events without their times, rejects, fates, links, manifest."""
    (folder,) = [path for path in (project.folder / ".transhume" / "runs").iterdir() if path.is_dir()]
    with closing(Journal(folder / "journal.jsonl")) as journal:
        told = sorted(
            str({name: value for name, value in each.event.fields.items() if name not in _OF_TIME})
            for each in journal.entries
            if each.event.kind in {"batch_staged", "batch_compared"}
        )
    tables = {
        str(path.relative_to(folder)): pq.read_table(path).to_pylist()
        for part in ("work/fates", "work/links", "rejects")
        for path in sorted((folder / part).rglob("*.parquet"))
    }
    papers = {path.name: path.read_text() for path in sorted((folder / "artifacts").glob("*.csv"))}
    return {"told": told, "tables": tables, "papers": papers}


@pytest.fixture
def twice(postgres_server):
    """Two empty databases."""
    with postgres_server.database() as one, postgres_server.database() as other:
        yield postgres_server.url(one), postgres_server.url(other)


def test_tasks_write_a_server_as_the_process_of_the_run_does(tmp_path, monkeypatch, twice) -> None:
    """Every batch written by two tasks at once is there once: equal rows, files and papers; the rollback empties it."""
    here, there = twice
    small_project.write(tmp_path / "here", f"{here}&schema=ai")
    Project(tmp_path / "here").run(limits=SMALL)
    small_project.write(tmp_path / "there", f"{there}&schema=ai")
    tasking.use(monkeypatch)
    project = Project(tmp_path / "there")
    result = project.run(limits=SMALL)
    assert tasking.TaskingDuckDB.ranges == BATCHES
    assert small_project.postgres_content(there, "ai") == small_project.postgres_content(here, "ai")
    found, expected = _left(project), _left(Project(tmp_path / "here"))
    assert found["tables"] == expected["tables"]
    assert found["papers"] == expected["papers"]
    assert found["told"] == expected["told"]
    assert len(found["told"]) == 2 * BATCHES
    assert [table.loaded for table in result.tables] == [
        table["loaded"] for table in small_project.expected_buckets().values()
    ]
    project.rollback()
    assert small_project.postgres_content(there, "ai") == {}


def test_a_second_run_in_tasks_changes_no_row(tmp_path, monkeypatch, twice) -> None:
    """Rows that a server has already are found by the tasks."""
    small_project.write(tmp_path / "p", f"{twice[0]}&schema=ai")
    tasking.use(monkeypatch)
    Project(tmp_path / "p").run(limits=SMALL)
    before = small_project.postgres_content(twice[0], "ai")
    again = Project(tmp_path / "p").run(limits=SMALL)
    assert tasking.TaskingDuckDB.ranges == 2 * BATCHES
    assert [table.loaded for table in again.tables] == [0, 0]
    assert [table.unchanged for table in again.tables] == [
        table["loaded"] for table in small_project.expected_buckets().values()
    ]
    assert small_project.postgres_content(twice[0], "ai") == before


def test_tasks_write_a_lake_as_the_process_of_the_run_does(tmp_path, monkeypatch) -> None:
    """Only files that finished tasks named are in the lake; a second run, which must know its keys, changes none."""
    small_project.write(tmp_path / "here", "iceberg:./lake?namespace=ai")
    Project(tmp_path / "here").run(limits=SMALL)
    small_project.write(tmp_path / "there", "iceberg:./lake?namespace=ai")
    tasking.use(monkeypatch)
    project = Project(tmp_path / "there")
    project.run(limits=SMALL)
    # And one part for each table, of the rows that readers get.
    assert tasking.TaskingDuckDB.ranges == BATCHES + 2
    content = small_project.lake_content(tmp_path / "there", "ai")
    assert content == small_project.lake_content(tmp_path / "here", "ai")
    found, expected = _left(project), _left(Project(tmp_path / "here"))
    assert found["tables"] == expected["tables"]
    again = project.run(limits=SMALL)
    assert [table.loaded for table in again.tables] == [0, 0]
    assert tasking.TaskingDuckDB.ranges == BATCHES + 2
    assert small_project.lake_content(tmp_path / "there", "ai") == content


def test_tasks_verify_what_readers_of_a_lake_get(tmp_path, monkeypatch) -> None:
    """A file that is another since it was staged and compared is found by the task that reads it as readers do."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    tasking.use(monkeypatch)

    def swap(event: Event) -> None:
        if event.kind == "published":
            planned = small_project.catalog(tmp_path / "p").load_table("ai.plants").scan().plan_files()
            one, other, *_ = sorted(task.file.file_path.removeprefix("file://") for task in planned)
            Path(one).write_bytes(Path(other).read_bytes())

    with pytest.raises(CheckFailed, match=r"table 'plants' does not show what was staged .*data file"):
        Project(tmp_path / "p").run(limits=SMALL, listener=swap)


def test_a_value_that_reads_back_otherwise_in_a_task_stops_the_run(tmp_path, monkeypatch, twice) -> None:
    """The task's finding is the run's, and nothing is published."""
    small_project.write(tmp_path / "p", f"{twice[0]}&schema=ai")
    tasking.use(monkeypatch)
    found = Mismatch("plants", 3, "kind", "Tree", "Bush")
    monkeypatch.setattr(PostgresBatches, "compare", lambda *_: [found])
    with pytest.raises(CheckFailed, match=r"reads back differently from table 'places'.*row 3 column 'kind'"):
        Project(tmp_path / "p").run(limits=SMALL)
    assert small_project.postgres_content(twice[0], "ai") == {}


def test_what_tasks_staged_before_the_run_was_killed_is_taken(tmp_path, monkeypatch, twice) -> None:
    """A batch that stands in the server and in no journal is not written again, and is compared again."""
    small_project.write(tmp_path / "p", f"{twice[0]}&schema=ai")
    tasking.use(monkeypatch)
    project = Project(tmp_path / "p")

    class Stop(Exception):
        pass

    def stop(event: object) -> None:
        if getattr(event, "kind", "") == "batch_staged":
            raise Stop

    with pytest.raises(Stop):
        project.run(limits=SMALL, listener=stop)
    with psycopg.connect(twice[0]) as reader:
        query = "SELECT mapping, batch, staged_at FROM transhume.batches ORDER BY 1, 2"
        staged = reader.execute(query).fetchall()
    assert len(staged) == 2
    project.run(limits=SMALL)
    with psycopg.connect(twice[0]) as reader:
        assert [line for line in reader.execute(query).fetchall() if line[0] == "places"] == staged
    content = small_project.postgres_content(twice[0], "ai")
    assert {name: rows for name, (rows, _) in content.items()} == {
        name: table["loaded"] for name, table in small_project.expected_buckets().items()
    }


def test_every_row_is_recomputed_in_tasks(tmp_path, monkeypatch, twice) -> None:
    """The oracle's tasks cover all rows of tables with several batches, and find what somebody changed since."""
    small_project.write(tmp_path / "p", f"{twice[0]}&schema=ai")
    tasking.use(monkeypatch)
    project = Project(tmp_path / "p")
    project.run(limits=SMALL)
    tasking.TaskingDuckDB.ranges = 0
    sound = project.validate(whole=True)
    assert tasking.TaskingDuckDB.ranges == BATCHES
    assert sound.failed == ()
    with psycopg.connect(twice[0]) as other:
        other.execute("UPDATE ai.plants SET height_m = height_m + 1 WHERE original_source_id = 3")
    found = project.validate(whole=True)
    assert {name: proof.difference_count for name, proof in found.proofs.items()} == {"places": 0, "plants": 1}
    assert [each.column for each in found.proofs["plants"].differences] == ["height_m"]


def test_no_secret_of_the_environment_goes_to_tasks(tmp_path, monkeypatch) -> None:
    """Of the variables that a plan may name nothing is sent, whatever the tasks do; the target's own address is."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    canary = "canary-7f3a91"
    environment = {"SOURCE_URL": "sqlite:///source.db", "TARGET_URL": "iceberg:./lake?namespace=ai", "TOKEN": canary}
    tasking.use(monkeypatch)
    project = Project(tmp_path / "p", environment=environment)
    project.run(limits=SMALL)
    project.validate(whole=True)
    sent = tasking.TaskingDuckDB.sent
    # Three statements load two tables; run and validation verify both and try before; the validation recomputes both.
    assert len(sent) == 3 + 2 * 2 + 2 + 2
    assert all(canary.encode() not in each for each in sent)


@pytest.mark.parametrize("answer", [False, DriverMissing("no driver"), SystemUnavailable("no way")], ids=str)
def test_tasks_that_do_not_reach_a_lake_write_and_verify_nothing(tmp_path, monkeypatch, answer) -> None:
    """Where any worker lacks the lake's folder or what it needs, the process of the run does everything, and alike."""
    small_project.write(tmp_path / "here", "iceberg:./lake?namespace=ai")
    Project(tmp_path / "here").run(limits=SMALL)
    small_project.write(tmp_path / "there", "iceberg:./lake?namespace=ai")
    tasking.use(monkeypatch)

    def is_there(_: LakeReach) -> bool:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(LakeReach, "is_there", is_there)
    project = Project(tmp_path / "there")
    project.run(limits=SMALL)
    project.run(limits=SMALL)
    assert tasking.TaskingDuckDB.ranges == 0
    assert small_project.lake_content(tmp_path / "there", "ai") == small_project.lake_content(tmp_path / "here", "ai")
    assert not list((tmp_path / "there" / "lake").rglob("*reach*"))


def test_a_server_that_tasks_do_not_reach_is_written_by_the_run(tmp_path, monkeypatch, twice) -> None:
    """A worker that is not let in is found out before a batch is trusted to it."""
    small_project.write(tmp_path / "p", f"{twice[0]}&schema=ai")
    tasking.use(monkeypatch)
    monkeypatch.setattr(
        "transhume.systems.postgres.target.known_elsewhere",
        lambda *_: parse_url("postgresql://nobody@127.0.0.1:1/none?connect_timeout=2"),
    )
    Project(tmp_path / "p").run(limits=SMALL)
    assert tasking.TaskingDuckDB.ranges == 0
    assert small_project.postgres_content(twice[0], "ai")


def test_a_file_of_a_task_that_is_not_there_for_the_run_is_not_entered(tmp_path, monkeypatch) -> None:
    """Nothing is published, the message says what to do, and the same command ends well once it is done."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    tasking.use(monkeypatch)
    project = Project(tmp_path / "p")
    real = LakeBatches.compare

    def compare(self, batch, rows, line, written):
        found = real(self, batch, rows, line, written)
        Path(written["path"].removeprefix("file://")).unlink()
        return found

    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(LakeBatches, "compare", compare)
        with pytest.raises(SystemUnavailable, match="is not there for this machine"):
            project.run(limits=SMALL)
    project.run(limits=SMALL)
    assert small_project.lake_content(tmp_path / "p", "ai")
