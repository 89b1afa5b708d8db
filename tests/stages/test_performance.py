"""Queries of the plan timed on the target, and references that no index helps to follow."""

from pathlib import Path

import psycopg
import pytest

from tests import servers
from transhume import Project
from transhume.checks import CheckResult
from transhume.errors import PlanError
from transhume.testing.drill import drilled_project
from transhume.testing.drill_project import write_drill_project

_BY = """
performance:
  - {name: by_key, table: items, by: key, limit_ms: 60000}
  - {name: by_maker, table: items, by: reference, limit_ms: 60000}
  - {name: by_day, table: items, by: time range, column: made_at, limit_ms: 60000}
"""


def _add(project: Project, text: str) -> None:
    """Add to the plan: what is timed is no part of what a run does."""
    path = project.folder / "transhume.yaml"
    path.write_text(path.read_text() + text)


def _timed(project: Project, name: str = "performance") -> list[CheckResult]:
    return [check for check in project.validate().checks if check.name == name]


def test_queries_are_timed_on_postgresql_with_their_plans(
    tmp_path: Path, postgres_server: servers.PostgresServer
) -> None:
    """By key through the primary key's index; a query over its limit fails; what the server refuses is told."""
    with drilled_project(postgres_server.url("postgres"), tmp_path) as (project, _):
        _add(project, _BY)
        by_key, by_maker, by_day = _timed(project)
        assert by_key.passed
        assert by_maker.passed
        assert by_day.passed
        assert "1 rows" in by_key.detail
        assert "Scan items" in by_maker.detail
        _add(project, '  - {name: slow, query: "SELECT pg_sleep(0.05)", limit_ms: 10}\n')
        _add(project, '  - {name: wrong, query: "SELECT nothing FROM items", limit_ms: 10}\n')
        _add(project, '  - {name: write, query: "DELETE FROM items", limit_ms: 10}\n')
        slow, wrong, write = _timed(project)[3:]
        assert not slow.passed
        assert 'column "nothing" does not exist' in wrong.detail
        assert not write.passed
        assert project.validate().proofs["items"].difference_count == 0


def test_a_reference_without_an_index_is_told_with_its_cure(
    tmp_path: Path, postgres_server: servers.PostgresServer
) -> None:
    """The statement that the warning gives makes it pass."""
    with drilled_project(postgres_server.url("postgres"), tmp_path) as (project, place):
        (found,) = [check for check in _timed(project, "reference_index") if check.table == "items"]
        assert (found.count, found.severity) == (1, "warning")
        statement = found.detail.partition(": ")[2]
        assert statement == 'CREATE INDEX ON "drill"."items" ("maker_uuid")'
        with psycopg.connect(place._url) as connection:
            connection.execute(statement)
        assert all(check.passed for check in _timed(project, "reference_index"))


def test_reading_a_lake_is_timed(tmp_path: Path) -> None:
    """Planning and reading; SQL is refused, because a lake has no engine."""
    with drilled_project("lake", tmp_path) as (project, _):
        _add(project, _BY + '  - {name: q, query: "SELECT 1", limit_ms: 10}\n')
        *by, query = _timed(project)
        assert all(check.passed for check in by)
        assert "1 files, 59 rows read" in by[0].detail
        assert "no SQL" in query.detail


@pytest.mark.parametrize("entry", ["{name: a, limit_ms: 5}", "{name: a, table: items, by: luck, limit_ms: 5}"])
def test_an_entry_that_names_no_query_is_an_error_of_the_plan(tmp_path: Path, entry: str) -> None:
    write_drill_project(tmp_path / "p", "iceberg:./lake")
    project = Project(tmp_path / "p")
    _add(project, f"performance:\n  - {entry}\n")
    with pytest.raises(PlanError, match=r"transhume\.yaml:5"):
        project.plan()
