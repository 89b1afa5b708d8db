"""The closing report: planned against actual, runs, lessons of the team and of the numbers."""

from pathlib import Path

import pytest
from tests.cli.test_commands import transhume
from tests.stages import small_project

from transhume import Project
from transhume.errors import PlanError, UsageError


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    return folder


def schedule(folder: Path, text: str) -> Project:
    """The project with a schedule."""
    plan = folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("tables:\n", f"schedule: {text}\ntables:\n", 1))
    return Project(folder)


def test_closed_migration_says_what_each_phase_took_and_what_was_learned(folder):
    """All phases over, a run that was validated: the verdict, a late phase, reasons of rejects."""
    days = "{planning: 2, development: 1.5, testing: 9, execution: 1, review: 1}"
    lessons = "['Ask the botanists first', 'No <b>freeze</b> on Mondays']"
    project = schedule(folder, f"{{actuals: {days}, lessons: {lessons}}}")
    run = project.run()
    project.validate(run.run)
    page, text = (path.read_text() for path in project.write_closing_report())
    assert "Closed: 14.5 days taken where " in text
    assert "- Ask the botanists first" in text
    assert "No &lt;b&gt;freeze&lt;/b&gt; on Mondays" in page
    assert "Testing \\& QA took 9 days where" in text
    assert "more than the days of a chance of 90 %. On top of the plan stood: " in text
    rejected = small_project.expected_buckets()["plants"]["rejected"]
    assert f"{rejected} rows stayed behind for unmapped:kind in plants" in text
    assert f"`{run.run}`" in text
    assert "not validated" not in text


def test_open_migration_is_not_closed(folder):
    """Two phases over: the report and the estimate say so, with the pace and what the rest takes."""
    project = schedule(folder, "{actuals: {planning: 4, development: 4}}")
    (text,) = (path.read_text() for path in project.write_closing_report(["md"], offline=True))
    assert "Not closed: 8 days taken where " in text
    assert "3 phases not over" in text
    assert "At the pace of what is over" in text
    assert "none written yet" in text
    said = transhume("estimate", "--offline", folder=folder)
    assert "planned against actual, days of the team" in said.stdout
    assert "the rest takes" in said.stdout
    found = project.estimate(offline=True).to_dict()["comparison"]
    assert found["phases"]["planning"]["actual_days"] == 4
    assert set(found["phases"]) == {"planning", "development"}


def test_wrong_lessons_and_formats_are_refused(folder):
    with pytest.raises(UsageError, match="no document of the format 'pdf'"):
        Project(folder).write_closing_report(["pdf"], offline=True)
    with pytest.raises(PlanError, match="list of texts"):
        schedule(folder, "{lessons: {a: b}}").plan()


def test_command_writes_page_and_text(folder):
    done = transhume("report", "--closing", "--offline", folder=folder)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (folder / "out").iterdir()} == {"closing-report.html", "closing-report.md"}
    assert "No phase is over yet" in (folder / "out" / "closing-report.md").read_text()
