"""The demo's migration from a MariaDB: the same plan, the same answer key, into a lake and into PostgreSQL."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from tests.demo.mariadb_copy import copy_to_mariadb, expected_reason, found_by
from tests.servers import MariadbServer, PostgresServer

from transhume import Project
from transhume.demo import AnswerKey, generate, write_project
from transhume.project import RunResult


@dataclass(frozen=True)
class Legacy:
    """The legacy database on a MariaDB, and what a migration of it must account for."""

    server: MariadbServer
    database: str
    key: AnswerKey

    def project(self, folder: Path, target: str) -> Project:
        """Write the demo's plan, which asks for no backup here."""
        write_project(folder)
        plan = folder / "transhume.yaml"
        plan.write_text(plan.read_text().replace("backup: required", "backup: warn"))
        return Project(folder, environment={"LEGACY_URL": self.server.url(self.database), "PLATFORM_URL": target})


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory, mariadb_server: MariadbServer) -> Iterator[Legacy]:
    file = tmp_path_factory.mktemp("legacy") / "legacy.db"
    key = generate(file, 600, seed=11)
    with mariadb_server.database() as database:
        copy_to_mariadb(file, mariadb_server, database)
        yield Legacy(mariadb_server, database, key)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory, legacy: Legacy) -> tuple[Project, RunResult]:
    folder = tmp_path_factory.mktemp("demo")
    project = legacy.project(folder, f"iceberg:{folder / 'lake'}?namespace=ai")
    return project, project.run()


def _expected(key: AnswerKey) -> dict[str, tuple[tuple[int, ...], dict[str, int]]]:
    found = {}
    for name, answer in key.tables.items():
        reasons: Counter[str] = Counter()
        for reason, count in answer.reasons.items():
            reasons[expected_reason(reason)] += count
        found[name] = ((answer.read, answer.loaded, answer.rejected, answer.filtered), dict(reasons))
    return found


def _found(result: RunResult) -> dict[str, tuple[tuple[int, ...], dict[str, int]]]:
    return {
        table.mapping: ((table.read, table.loaded, table.rejected, table.filtered), dict(table.reasons))
        for table in result.tables
    }


def test_a_lake_gets_what_the_answer_key_says(migrated, legacy):
    """Table by table, reason by reason; every check of the target passes afterwards."""
    project, result = migrated
    assert result.one_instant
    assert _found(result) == _expected(legacy.key)
    validation = project.validate()
    assert [check.name for check in validation.checks if check.severity == "error" and check.count] == []


def test_a_postgresql_gets_what_the_answer_key_says(
    tmp_path: Path, legacy: Legacy, migrated, postgres_server: PostgresServer
):
    """The rows that readers count are those that the key lets pass."""
    with postgres_server.database() as name:
        url = postgres_server.url(name)
        project = legacy.project(tmp_path, f"{url}&schema=ai")
        assert _found(project.run()) == _expected(legacy.key)
        with psycopg.connect(url) as reader:
            counts = {
                mapping: reader.execute(f"SELECT count(*) FROM ai.{mapping}").fetchone()[0]
                for mapping in legacy.key.tables
            }
    assert counts == {mapping: answer.loaded for mapping, answer in legacy.key.tables.items()}


def test_the_source_is_validated_before_with_the_counts_of_the_key(migrated, legacy):
    """What a run will reject is told before it, reason by reason."""
    project, _ = migrated
    told: Counter[tuple[str, str]] = Counter()
    for finding in project.validate_source().findings:
        told[finding.code, finding.table or ""] += finding.count or 0
    for mapping, answer in legacy.key.tables.items():
        for code in ("bad_timestamp", "unmapped", "orphan", "path_no_match"):
            wanted = sum(count for reason, count in answer.reasons.items() if reason.startswith(f"{code}:"))
            assert told[code, mapping] == wanted, (code, mapping)


def test_printed_scripts_find_in_mariadb_what_the_key_says(migrated, legacy):
    """Every script of the source runs as it is printed, on columns that ignore case and trailing blanks."""
    project, _ = migrated
    files = [file for file in project.scripts() if file.side == "source"]
    assert {file.dialect for file in files} == {"mysql"}
    rows: Counter[str] = Counter()
    for file in files:
        name, _, table = file.text.splitlines()[0].removeprefix("-- check: ").partition(" (source, table ")
        rows[f"{name} {table.strip(chr(39) + ')')}"] += len(found_by(legacy.server, legacy.database, file.text))

    def rejected(mapping: str, *starts: str) -> int:
        reasons = legacy.key.tables[mapping].reasons
        return sum(count for reason, count in reasons.items() if reason.startswith(starts))

    assert rows["orphan training_runs"] == rejected("training_jobs", "orphan:")
    assert rows["unmapped training_runs"] == rejected("training_jobs", "unmapped:status")
    assert rows["unmapped datasets"] == rejected("data_sources", "unmapped:source_type", "unmapped:contains_pii")
    assert rows["duplicate_key experiments"] * 2 == rejected("experiment_logs", "duplicate_key:")
    assert rows["null_key models"] == rejected("ml_models", "null_key:")
    assert rows["orphan training_runs"] * rows["unmapped training_runs"] > 0
