"""The source before a run: on the demo every planted defect is found, by table, reason and count, and none invented."""

import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from transhume import Project
from transhume.demo import AnswerKey, generate, write_project
from transhume.project import SourceReport


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AnswerKey, SourceReport]:
    folder = tmp_path_factory.mktemp("before")
    write_project(folder)
    key = generate(folder / "legacy.db", 3000, seed=11)
    environment = {
        "LEGACY_URL": f"sqlite:///{folder / 'legacy.db'}",
        "PLATFORM_URL": f"iceberg:{folder / 'lake'}?namespace=ai",
    }
    return folder, key, Project(folder, environment=environment).validate_source()


def test_every_planted_defect_is_found_and_none_invented(looked) -> None:
    """By table, reason and count; each as a finding that points into the plan, with keys and a cure."""
    _, key, report = looked
    assert {name: dict(reasons) for name, reasons in report.reasons.items()} == {
        name: dict(answer.reasons) for name, answer in key.tables.items()
    }
    predicted = Counter(
        (finding.table, finding.code, finding.count)
        for finding in report.findings
        if finding.sample_keys and finding.code != "near_keys"
    )
    planted = Counter(
        (name, reason.partition(":")[0], count)
        for name, answer in key.tables.items()
        for reason, count in answer.reasons.items()
    )
    assert predicted == planted
    assert all(each.position and each.cure for each in report.findings if each.sample_keys)


def test_every_spelling_is_listed_with_its_count_and_what_it_becomes(looked) -> None:
    """As SQLite itself groups the column, texts only."""
    folder, _, report = looked
    connection = sqlite3.connect(folder / "legacy.db")
    grouped = dict(
        connection.execute("SELECT algo_type, count(*) FROM models WHERE typeof(algo_type) = 'text' GROUP BY 1")
    )
    connection.close()
    listed = {
        finding.message: finding.count
        for finding in report.findings
        if finding.code == "spelling" and (finding.table, finding.column) == ("ml_models", "algorithm_type")
    }
    assert len(listed) == len(grouped)
    for spelling, count in grouped.items():
        assert count in [number for message, number in listed.items() if message.startswith(f"{spelling!r} stands")]
    assert any(message.startswith("'RF' stands") and message.endswith("becomes 'Random Forest'") for message in listed)


def test_volumes_are_those_of_the_source_and_of_tables_that_nothing_reads_too(looked) -> None:
    """Row counts as SQLite counts them."""
    folder, _, report = looked
    connection = sqlite3.connect(folder / "legacy.db")
    volumes = {finding.table: finding.count for finding in report.findings if finding.code == "volume"}
    for table in ("models", "datasets", "experiments", "training_runs", "metrics"):
        assert volumes[table] == connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    connection.close()
    assert "schema_version" in volumes


def test_values_of_another_class_are_counted_by_column(looked) -> None:
    """As SQLite's typeof counts them."""
    folder, _, report = looked
    connection = sqlite3.connect(folder / "legacy.db")
    (blobs,) = connection.execute("SELECT count(*) FROM models WHERE typeof(notes) = 'blob'").fetchone()
    connection.close()
    found = {(each.table, each.column, each.count) for each in report.findings if each.code == "mixed_classes"}
    assert ("models", "notes", blobs) in found


def test_rejects_within_the_limits_are_no_error(looked) -> None:
    """The plan accepts these rejects, so that nothing here stops a run."""
    assert not looked[2].errors
