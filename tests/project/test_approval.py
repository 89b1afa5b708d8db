"""Approving a plan, and what a protected environment refuses: each change is named, nothing is written."""

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.stages import small_project

from transhume import Project
from transhume.cli import transhume
from transhume.errors import PlanError, Refused, UsageError

PROTECTED = "environments: {production: {protected: true}, other: {target: 'iceberg:./elsewhere?namespace=ai'}}\n"


@pytest.fixture
def project(tmp_path) -> Path:
    """The small project with a protected environment."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    plan = folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("lookups:", f"{PROTECTED}lookups:", 1))
    return folder


def production(folder: Path) -> Project:
    """Return the project in its protected environment."""
    return Project(folder, name="production")


def command(folder: Path, *arguments: str):
    """Run a command in this process and return click's result."""
    return CliRunner().invoke(transhume, ["-p", str(folder), *arguments], standalone_mode=False)


def change(folder: Path, old: str, new: str) -> None:
    """Edit the plan."""
    plan = folder / "transhume.yaml"
    assert old in plan.read_text()
    plan.write_text(plan.read_text().replace(old, new))


def test_a_protected_environment_takes_an_approved_plan_only(project):
    """Unapproved: refused before anything is written; approved: the run goes through."""
    with pytest.raises(Refused, match="not approved"):
        production(project).run()
    assert not (project / "lake").exists()
    production(project).approve("Ada", role="data owner")
    assert production(project).run().state == "finished"
    assert (project / "lake").exists()


def test_a_change_after_the_approval_is_refused_and_named(project):
    """A changed rule and a changed source table are refused, each with what it was and what it is."""
    production(project).approve("Ada")
    change(project, "name: text(40) not null", "name: text(41) not null")
    with sqlite3.connect(project / "source.db") as source:
        source.execute("ALTER TABLE plant ADD COLUMN extra TEXT")
    source.close()
    change(project, "drop: [gone]", "drop: [gone, extra]")
    with pytest.raises(Refused) as refused:
        production(project).run()
    for said in ("text(40)", "text(41)", "the source's tables were changed", "Ada"):
        assert said in str(refused.value)
    shown = command(project, "-e", "production", "plan", "--diff-approved")
    assert shown.return_value == 6
    assert "text(41)" in shown.output


def test_days_and_rows_may_move_without_a_new_approval(project):
    """A day written into `schedule:` and rows added to the source leave the approval standing; the rows are told."""
    production(project).approve("Ada")
    change(project, "lookups:", "schedule: {actuals: {planning: 3}}\nlookups:")
    with sqlite3.connect(project / "source.db") as source:
        source.execute("INSERT INTO place VALUES (900, 'new')")
    source.close()
    found = production(project).outlook()
    assert found.changes == ()
    assert found.growth == ("'place' had 50 rows, has 51",)


def test_signatures_stay_until_something_differs(project):
    """Two people sign the same state, one signs again; after a change only the new signature counts."""
    production(project).approve("Ada")
    production(project).approve("Grace")
    assert [each.by for each in production(project).approve("Ada").signatures] == ["Grace", "Ada"]
    change(project, "max_rejects: 50%", "max_rejects: 51%")
    assert [each.by for each in production(project).approve("Grace").signatures] == ["Grace"]


@pytest.mark.parametrize("edit", [lambda text: text.replace("Ada", "Eve"), lambda text: "{}", lambda text: text[:-20]])
def test_an_edited_lock_file_is_refused(project, edit):
    """A lock file whose content was changed by hand, emptied or cut is not believed."""
    production(project).approve("Ada")
    lock = project / "transhume.lock"
    lock.write_text(edit(lock.read_text()))
    with pytest.raises(Refused, match="edited or merged by hand"):
        production(project).run()


def test_what_check_refuses_nobody_can_approve(project):
    """A plan with an error is not signed, and no lock file appears."""
    change(project, "drop: [gone]", "drop: [gne]")
    with pytest.raises(PlanError):
        production(project).approve("Ada")
    assert not (project / "transhume.lock").exists()


def test_an_unknown_environment_is_named(project):
    """A misspelled environment is wrong usage with the nearest name."""
    with pytest.raises(UsageError, match=r"did you mean 'production'\?"):
        Project(project, name="prodction").plan()


def test_environments_have_their_own_systems_and_runs(project):
    """Another environment writes to its own target, and its runs stand apart from the others'."""
    assert Project(project, name="other").run().state == "finished"
    assert (project / "elsewhere").exists()
    assert not (project / "lake").exists()
    with pytest.raises(UsageError, match="makes the first"):
        Project(project).result()


def test_plan_says_what_a_run_then_does(project):
    """The numbers that `plan` expects are those that a run has, table by table; nothing is written."""
    shown = command(project, "plan")
    assert shown.return_value == 0
    assert "nobody has approved this plan" in shown.output
    steps = Project(project).outlook().steps
    assert [step.mapping for step in steps] == ["places", "plants"]
    assert all(step.creates for step in steps)
    expected = small_project.expected_buckets()
    for step in steps:
        assert step.expected.rejected == expected[step.mapping]["rejected"]
        assert step.expected.filtered == expected[step.mapping]["filtered"]
        assert step.expected.read == sum(expected[step.mapping].values())
    assert not (project / "lake").exists()
