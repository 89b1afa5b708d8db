"""Waves of a plan as runs: each behind its gate, the rest as it was, undone backwards."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_commands import transhume
from tests.stages import small_project

from transhume import Project
from transhume.errors import CheckFailed, Refused, UsageError
from transhume.journal import read_journal

PHASES = """\
phases:
  ground: {tables: [places]}
  green: {tables: [plants], gate: [validated, approved]}
  rest: {tables: [spots], gate: [backup, rehearsed], rejects: 5%}
"""
SPOTS = """\
  spots:
    from: place
    key: id
    create: true
    types: {place_id: uuid primary key, name: text(40) not null}
    columns: {place_id: {uuid: id}, original_source_id: id, name: name}
"""


@pytest.fixture
def project(tmp_path) -> Project:
    """The small project in three waves, into a lake."""
    return Project(made(tmp_path / "p"))


def made(folder: Path, phases: str = PHASES) -> Path:
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    plan = folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("tables:\n", f"{phases}tables:\n", 1) + SPOTS)
    return folder


def gate(project: Project, phase: str) -> str:
    """The words with which a run of a phase is refused."""
    with pytest.raises(Refused) as caught:
        project.run(phase=phase)
    return str(caught.value)


def gates_passed(project: Project, run: str) -> list[dict[str, Any]]:
    """What the journal of a run says of its gate."""
    entries = read_journal(project.runs / run / "journal.jsonl")
    return [entry.event.fields for entry in entries if entry.event.kind == "gate_passed"]


def test_waves_end_in_what_one_run_makes_and_go_back_one_after_the_other(project, tmp_path):
    """Two waves, the second behind three conditions: the first's rows are unchanged, each gate is in the journal."""
    first = project.run(phase="ground")
    assert {table.mapping: table.loaded for table in first.tables} == {"places": 50}
    shut = gate(project, "green")
    assert f"validated: run {first.run} was not validated" in shut
    assert "approved: nobody has approved this plan" in shut
    assert len(project.validate(first.run).failed) == 0
    project.approve("Ada")
    second = project.run(phase="green")
    tallies = {table.mapping: (table.loaded, table.unchanged, table.read) for table in second.tables}
    expected = small_project.expected_buckets()["plants"]["loaded"]
    assert tallies == {"places": (0, 50, 50), "plants": (expected, 0, 130)}
    assert project.validate(second.run).failed == ()
    told = gates_passed(project, second.run)
    assert [each["phase"] for each in told] == ["green"]
    assert [each["condition"] for each in told[0]["conditions"]] == ["earlier waves", "validated", "approved"]
    assert "by Ada" in told[0]["conditions"][2]["evidence"]

    whole = made(tmp_path / "whole", "")
    Project(whole).run()
    content, other = (small_project.lake_content(folder, "ai") for folder in (project.folder, whole))
    assert content == {name: rows for name, rows in other.items() if name != "spots"}

    assert project.preview_rollback(first.run).refused
    with pytest.raises(Refused, match=r"\(phase 'green'\) stands on it"):
        project.rollback(first.run)
    project.rollback(second.run)
    project.rollback(first.run)
    assert "not published, or rolled back: ground" in gate(project, "green")
    assert sum(rows for rows, _ in small_project.lake_content(project.folder, "ai").values()) == 0


def test_gate_names_every_condition_that_does_not_hold(project):
    """Nothing stands before the last wave: the waves above it, backup, rehearsal; later the share of rejects."""
    shut = gate(project, "rest")
    assert "3 of 4 conditions do not hold; no row was read, nothing was written" in shut
    for words in ("ground, green", "there is no backup", "was not rehearsed as it is now"):
        assert words in shut
    plan = project.folder / "transhume.yaml"
    plan.write_text(
        plan.read_text().replace("gate: [validated, approved]", "gate: []").replace("gate: [backup, rehearsed], ", "")
    )
    project.run(phase="ground")
    project.run(phase="green")
    rejected = small_project.expected_buckets()["plants"]["rejected"]
    assert f"'ground' rejected 0 of 50 rows; 'green' rejected {rejected} of 130 rows; 5 % are allowed" in gate(
        project, "rest"
    )
    plan.write_text(plan.read_text().replace("rejects: 5%", "rejects: 50%"))
    assert {table.mapping for table in project.run(phase="rest").tables} == {"spots"}


def test_gate_opens_by_backup_and_rehearsal_and_shuts_when_the_plan_changes(project):
    """What holds is named with its evidence in the journal; another plan was not rehearsed."""
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("gate: [validated, approved]", "gate: [backup, rehearsed]"))
    project.run(phase="ground")
    backup = project.backup()
    assert "rehearsed: this plan was not rehearsed as it is now" in gate(project, "green")
    assert "backup" not in gate(project, "green")
    rehearsed = project.rehearse(rows=20)
    assert rehearsed.passed
    text = plan.read_text()
    plan.write_text(text.replace("else: null", "else: reject"))
    assert "rehearsed: this plan was not rehearsed as it is now" in gate(project, "green")
    plan.write_text(text)
    done = project.run(phase="green")
    told = {each["condition"]: each["evidence"] for each in gates_passed(project, done.run)[0]["conditions"]}
    assert told == {
        "earlier waves": told["earlier waves"],
        "backup": f"backup '{backup.manifest.name}'",
        "rehearsed": "rehearsed, the drill passed",
    }


def test_source_that_changes_between_waves_leaves_no_reference_without_its_row(project):
    """A parent that is gone, one that is rejected now, a new one: children go by what the source says at their instant.

    A parent with other content stops the wave, as the plan says nothing else (`on_conflict`).
    """
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("gate: [validated, approved]", "gate: []"))
    project.run(phase="ground")
    change = sqlite3.connect(project.folder / "source.db")
    change.execute("UPDATE place SET name = 'renamed' WHERE id = 9")
    change.commit()
    with pytest.raises(CheckFailed, match="'conflicts' on 'places': 1 rows"):
        project.run(phase="green")
    change.execute("UPDATE place SET name = 'place 9' WHERE id = 9")
    change.execute("DELETE FROM place WHERE id = 5")
    change.execute("UPDATE place SET name = NULL WHERE id = 6")
    change.execute("INSERT INTO place VALUES (77, 'new')")
    change.execute("UPDATE plant SET place_id = 77 WHERE id = 8")
    change.commit()
    change.close()
    done = project.run(phase="green")
    places, plants = done.tables
    assert (places.loaded, places.unchanged, places.vanished, places.rejected) == (1, 48, 1, 1)
    good = [n for n in range(small_project.PLANTS) if n % 13 != 0 and n % 10 != 7]
    assert plants.reasons["orphan:place_id"] == sum(n % 50 == 5 and n % 13 != 0 for n in range(130))
    assert plants.reasons["parent_rejected:place_id"] == sum(n % 50 == 6 and n % 13 != 0 for n in range(130))
    assert plants.loaded == sum(n % 50 not in {5, 6} for n in good)
    assert project.validate(done.run).failed == ()


def test_run_without_a_phase_or_with_a_wrong_one_says_which_comes_next(project, tmp_path):
    with pytest.raises(UsageError, match=r"transhume run --phase ground$"):
        project.run()
    project.run(phase="ground")
    with pytest.raises(UsageError, match=r"transhume run --phase green$"):
        project.run()
    with pytest.raises(UsageError, match="no phase 'grene'; did you mean 'green'"):
        project.run(phase="grene")
    with pytest.raises(UsageError, match="has no phase 'ground'; it has none"):
        Project(made(tmp_path / "whole", "")).run(phase="ground")


def test_killed_wave_goes_on_as_itself_and_not_as_another(project):
    """Killed before it published: another phase is refused, the same one ends as if nothing had been."""
    project.run(phase="ground")
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("gate: [validated, approved]", "gate: []"))
    died = small_project.run(project.folder, "before:publish_started:1:kill", phase="green")
    assert died.returncode != 0
    with pytest.raises(Refused, match="the run is of another phase"):
        project.run(phase="ground")
    done = project.run(phase="green")
    assert done.resumed
    assert len(gates_passed(project, done.run)) == 1
    assert {table.mapping: table.unchanged for table in done.tables} == {"places": 50, "plants": 0}


def test_command_brings_a_wave_and_document_and_estimate_show_all(project):
    """Exit 6 behind a shut gate; the document says what each wave holds and waits for; half a day a further wave."""
    refused = transhume("run", "--phase", "green", folder=project.folder)
    assert refused.returncode == 6
    assert "run them first, in the plan's order" in refused.stderr
    done = transhume("run", "--phase", "ground", folder=project.folder)
    assert done.returncode == 0, done.stderr
    assert "of the phase 'ground'" in done.stdout
    path, _ = project.write_documents(["md"])
    text = path.read_text()
    assert re.search(r"\| ground \| `places` \| 50 \| nothing \| .*\d{8}t", text)
    assert re.search(r"\| green \| `plants` \| 130 \| every wave above is published; validated: .* approved: ", text)
    assert "rejects: no earlier wave rejected more than 5 % of its rows" in text
    found = project.estimate(offline=True)
    assert [item.hours for item in found.effort.items if item.what.startswith("the wave")] == [4.0, 4.0]
    assert set(project.estimate().waves) == {"ground", "green", "rest"}
    assert "Gate of the phase" in project.report().page.read_text()
