"""A source that went on changing, migrated again: every row and key is counted where it belongs, in each mode."""

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy
from pyiceberg.types import StringType

from tests.stages import later_project as later
from tests.stages import small_project
from tests.stages.commit_watch import CommitWatch
from transhume import Project
from transhume.errors import CheckFailed
from transhume.project import RunResult
from transhume.stages.context import Limits

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
Rows = dict[str, dict[int, str]]


class _Lake:
    """The lake of a project, read by pyiceberg and SQLAlchemy, not by the driver under test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = "iceberg:./lake?namespace=ai"

    def rows(self) -> Rows:
        """Return every table's rows by original id; the batch column is left out, it names the run."""
        found: Rows = {}
        lake = small_project.catalog(self.folder)
        for mapping in later.ROWS:
            rows = lake.load_table(("ai", mapping)).scan().to_arrow().drop_columns(["migration_batch"]).to_pylist()
            found[mapping] = {row["original_source_id"]: repr(row) for row in rows}
            assert len(found[mapping]) == len(rows)
        return found

    def before_images(self, run: str) -> Rows:
        """Return what the ledger says is kept of the rows that a run replaced."""
        engine = sqlalchemy.create_engine(f"sqlite:///{self.folder / 'lake' / 'catalog.db'}")
        with engine.connect() as connection:
            query = sqlalchemy.text("SELECT table_name, replaced FROM transhume_tables WHERE run = :run")
            entries = {name: json.loads(text) for name, text in connection.execute(query, {"run": run})}
        engine.dispose()
        found: Rows = {}
        for mapping, replaced in entries.items():
            file = Path(replaced[mapping]["before"].removeprefix("file://"))
            rows = pq.read_table(file).drop_columns(["migration_batch"]).to_pylist()
            found[mapping] = {row["original_source_id"]: repr(row) for row in rows}
        return found

    def annotate(self) -> None:
        """Give each table a column of somebody else's."""
        lake = small_project.catalog(self.folder)
        for mapping in later.ROWS:
            table = lake.load_table(("ai", mapping))
            with table.update_schema() as update:
                update.add_column("note", StringType())
            rows = table.scan().to_arrow().to_pylist()
            for row in rows:
                row["note"] = f"note of {row['original_source_id']}"
            table.overwrite(pa.Table.from_pylist(rows, table.schema().as_arrow()))


class _Postgres:
    """A PostgreSQL schema, read by psycopg."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.url = f"{url}&schema=ai"

    def rows(self) -> Rows:
        """Return every table's rows by original id."""
        return {mapping: self.read("ai", mapping) for mapping in later.ROWS}

    def before_images(self, run: str) -> Rows:
        """Return the tables of before-images by mapping, as the ledger numbers them."""
        with psycopg.connect(self._url) as reader:
            query = "SELECT mapping, ordinal FROM transhume.tables WHERE run = %s"
            tables = reader.execute(query, [run]).fetchall()
        return {mapping: self.read(f"transhume_stage_{run}", f"before_{ordinal}") for mapping, ordinal in tables}

    def annotate(self) -> None:
        """Give each table a column of somebody else's."""
        with psycopg.connect(self._url) as other:
            for mapping in later.ROWS:
                other.execute(f"ALTER TABLE ai.{mapping} ADD COLUMN note text")
                other.execute(f"UPDATE ai.{mapping} SET note = 'note of ' || original_source_id")

    def read(self, schema: str, table: str) -> dict[int, str]:
        """Return the rows of one table by original id."""
        with psycopg.connect(self._url) as reader:
            query = f"SELECT original_source_id, t::text FROM {schema}.{table} t"
            rows = reader.execute(query).fetchall()
        assert len(dict(rows)) == len(rows)
        return dict(rows)


@pytest.fixture(params=["lake", "postgres"])
def place(request, tmp_path) -> Any:
    """A target for the project in tmp_path / "p", read from outside."""
    return _Lake(tmp_path / "p") if request.param == "lake" else _Postgres(request.getfixturevalue("postgres_url"))


def _first_run(folder: Path, url: str) -> Project:
    later.write(folder, url, "error")
    project = Project(folder)
    result = project.run(limits=SMALL)
    assert {table.mapping: table.loaded for table in result.tables} == later.ROWS
    return project


def _counts(result: RunResult) -> dict[str, dict[str, int]]:
    """Return what is not 0, per table; the accounting closes by itself."""
    names = ("loaded", "unchanged", "updated", "skipped", "conflict", "rejected", "filtered", "vanished")
    for table in result.tables:
        assert table.read == sum(getattr(table, name) for name in names[:-1])
    told = {table.mapping: {name: getattr(table, name) for name in names} for table in result.tables}
    return {mapping: {name: count for name, count in counts.items() if count} for mapping, counts in told.items()}


def _expected(**changed: int) -> dict[str, dict[str, int]]:
    still = {mapping: rows - later.CHANGED - later.DELETED for mapping, rows in later.ROWS.items()}
    return {
        mapping: {"loaded": later.ADDED, "unchanged": rows, **changed, "vanished": later.DELETED}
        for mapping, rows in still.items()
    }


def _listed(result: RunResult, what: str) -> dict[str, list[str]]:
    found = {}
    for file in sorted(result.keys.glob(f"{what}-*.csv")):
        assert file.stat().st_mode & 0o077 == 0, "a list of keys is private"
        with file.open(newline="") as opened:
            found[file.stem.rsplit("-", 1)[1]] = sorted(row[0] for row in list(csv.reader(opened))[1:])
    return found


def test_error_publishes_nothing(place, tmp_path):
    """Four changed rows in each of three tables are conflicts: the run fails by their number, the target stays."""
    project = _first_run(tmp_path / "p", place.url)
    before = place.rows()
    later.change(project.folder)
    with pytest.raises(CheckFailed, match="4 rows stand in the target under the same key with other content"):
        project.run(limits=SMALL)
    assert place.rows() == before
    assert _counts(project.result()) == _expected(conflict=later.CHANGED)


def test_skip_loads_what_is_new_and_lists_what_it_left(place, tmp_path):
    """New rows come, also such that refer to skipped ones; changed rows stay and are listed, as are vanished keys."""
    project = _first_run(tmp_path / "p", place.url)
    before = place.rows()
    later.change(project.folder)
    later.choose(project.folder, "skip")
    result = project.run(limits=SMALL)
    assert _counts(result) == _expected(skipped=later.CHANGED)
    after = place.rows()
    for mapping in later.ROWS:
        assert set(after[mapping]) - set(before[mapping]) == set(range(1000, 1005))
        assert {number: after[mapping][number] for number in before[mapping]} == before[mapping]
    assert _listed(result, "skipped") == {mapping: ["1", "2", "3", "4"] for mapping in later.ROWS}
    assert _listed(result, "vanished") == {
        mapping: sorted(str(later.key(mapping, number)) for number in numbers)
        for mapping, numbers in later.VANISHED.items()
    }
    assert result.to_dict()["published"]["tables"]["plants"]["skipped"] == later.CHANGED


def test_update_replaces_keeps_before_images_and_is_then_unchanged(place, tmp_path):
    """Four rows of each table have the new content, others' columns stay, before-images are whole; then 0 changes."""
    project = _first_run(tmp_path / "p", place.url)
    place.annotate()
    before = place.rows()
    later.change(project.folder)
    later.choose(project.folder, "update")
    result = project.run(limits=SMALL)
    assert _counts(result) == _expected(updated=later.CHANGED)
    after = place.rows()
    for mapping in later.ROWS:
        differing = {number for number, row in before[mapping].items() if after[mapping][number] != row}
        assert differing == set(later.CHANGED_IDS)
        assert all(f"note of {number}" in after[mapping][number] for number in differing)
    assert "region 3 renamed" in after["regions"][3]
    assert "-1.5" in after["plants"][3]
    assert place.before_images(result.run) == {
        mapping: {number: before[mapping][number] for number in later.CHANGED_IDS} for mapping in later.ROWS
    }
    validated = project.validate()
    assert [(check.name, check.table, check.detail) for check in validated.failed] == []
    again = project.run(limits=SMALL)
    assert _counts(again) == {
        mapping: {"unchanged": rows + later.ADDED - later.DELETED, "vanished": later.DELETED}
        for mapping, rows in later.ROWS.items()
    }
    assert place.rows() == after


def test_rows_from_elsewhere_are_replaced_like_our_own(tmp_path, postgres_url):
    """A row that no run of ours wrote stands under one of our keys: the first run updates it and keeps it."""
    place = _Postgres(postgres_url)
    later.write(tmp_path / "p", place.url, "update")
    with psycopg.connect(postgres_url) as other:
        other.execute("CREATE SCHEMA ai")
        other.execute(
            "CREATE TABLE ai.regions (region_id uuid PRIMARY KEY, original_source_id bigint, name varchar(40) NOT NULL)"
        )
        other.execute("INSERT INTO ai.regions VALUES (%s, 7, 'theirs')", [later.key("regions", 7)])
    result = Project(tmp_path / "p").run(limits=SMALL)
    assert _counts(result)["regions"] == {"loaded": 19, "updated": 1}
    assert "theirs" in place.read(f"transhume_stage_{result.run}", "before_0")[7]


def _disturbed(tmp_path: Path, place: Any, run: Callable[[Path], None]) -> None:
    """Bring a project to a changed source, run it as `run` does (killed, then whole), and hold the end against it."""
    project = _first_run(tmp_path / "p", place.url)
    before = place.rows()
    later.change(project.folder)
    later.choose(project.folder, "update")
    run(project.folder)
    after = place.rows()
    for mapping in later.ROWS:
        assert set(after[mapping]) == {*range(later.ROWS[mapping]), *range(1000, 1005)}
        differing = {number for number, row in before[mapping].items() if after[mapping][number] != row}
        assert differing == set(later.CHANGED_IDS)
    result = project.result()
    assert result.state == "finished"
    assert _counts(result) == _expected(updated=later.CHANGED)
    assert place.before_images(result.run) == {
        mapping: {number: before[mapping][number] for number in later.CHANGED_IDS} for mapping in later.ROWS
    }


def _killed(fault: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        killed = small_project.run(folder, f"{fault}:kill")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        finished = small_project.run(folder)
        assert finished.returncode == 0, finished.stderr

    return run


# In this run: 3 tables entered, 1 + 1 + 2 batches, 3 seals, then the publishing is the 11th commit.
_LAKE_POINTS = ["lake:before_commit:10", "lake:after_commit:10", "lake:before_commit:11", "lake:after_commit:11"]
_LAKE_SWEEP = [f"lake:{side}_commit:{nth}" for nth in range(4, 10) for side in ("before", "after")]


@pytest.mark.parametrize("point", [*_LAKE_POINTS, *(pytest.param(one, marks=pytest.mark.sweep) for one in _LAKE_SWEEP)])
def test_a_killed_update_of_a_lake_is_finished(point, tmp_path):
    """Killed around sealing or publishing an update: the same command ends it, nothing lost, nothing twice."""
    _disturbed(tmp_path, _Lake(tmp_path / "p"), _killed(point))


@pytest.mark.parametrize("point", ["after:publish_started:1", "before:published:1", "after:batch_staged:4"])
def test_a_killed_update_of_postgres_is_finished(point, tmp_path, postgres_url):
    """Killed before, after and in the middle of staging and publishing an update: the same command ends it."""
    _disturbed(tmp_path, _Postgres(postgres_url), _killed(point))


@pytest.mark.parametrize("nth", [9, *(pytest.param(one, marks=pytest.mark.sweep) for one in range(3, 9))])
def test_an_update_killed_before_it_hears_of_its_commit_is_finished(nth, tmp_path, postgres_server, postgres_url):
    """The server has the COMMIT and the answer is on its way: nothing is replaced twice, no before-image is lost."""
    database = postgres_url.split("?")[0].rsplit("/", 1)[1]

    def run(folder: Path) -> None:
        with CommitWatch(postgres_server.socket_folder, kill_at=nth) as watch:
            environment = folder / ".env"
            plain = environment.read_text()
            environment.write_text(
                "SOURCE_URL=sqlite:///source.db\n"
                f"TARGET_URL=postgresql://postgres@/{database}?host={watch.folder}&schema=ai\n"
            )
            process = small_project.start(folder)
            watch.client_pid = process.pid
            killed = process.ended()
            assert killed.returncode == -signal.SIGKILL, f"{watch.commits} commits were seen: {killed.stderr}"
            watch.spare()
            finished = small_project.run(folder)
            assert finished.returncode == 0, finished.stderr
            environment.write_text(plain)

    _disturbed(tmp_path, _Postgres(postgres_url), run)
