"""A plan with open decisions: its draft document, estimate and check, and the workbook that closes what is open."""

from pathlib import Path

import pytest
from tests.cli.test_commands import transhume
from tests.project.test_deciding import accepted, filled
from tests.stages import small_project

from transhume import Project
from transhume.errors import PlanError

OPENED = {
    "time_zone: Europe/Berlin": "time_zone: TBD",
    "  kinds: {Tree: [tree, TREE], Bush: [bush]}": "  kinds: TBD   # {file: lookups/kinds.csv}",
    "    from: plant\n    key: id": "    from: plant\n    key: TBD",
    "      height_m: height_m": "      height_m: TBD   # no source column fits; or height_m 0.40",
    'to: "s3://bucket/{name}.{ext}"}': "to: TBD}   # 0.71 names 0.60; forms of the values",
}
DECIDED = [
    accepted('"time_zone"', **{"change to": "Europe/Berlin"}),
    accepted('["open", "lookups", "kinds"]', **{"change to": "{Tree: [tree, TREE], Bush: [bush]}"}),
    accepted('"key"', **{"change to": "id"}),
    accepted('"height_m"', **{"change to": "height_m"}),
    accepted('"to"', **{"change to": "s3://bucket/{name}.{ext}"}),
]


@pytest.fixture(scope="module")
def documented(tmp_path_factory) -> Path:
    """The small project with five decisions opened and a column that nobody has thought of, and its documents."""
    folder = tmp_path_factory.mktemp("open") / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    text = (folder / "transhume.yaml").read_text()
    for decided, undecided in OPENED.items():
        assert decided in text
        text = text.replace(decided, undecided)
    (folder / "transhume.yaml").write_text(
        text.replace("    drop: [gone]\n", "").replace("where: gone = 0", "where: id >= 0")
    )
    assert transhume("-p", str(folder), "plan", "--docs", "md,xlsx").returncode == 0
    return folder


@pytest.fixture
def project(documented, tmp_path) -> Path:
    """A copy of it that a test may change."""
    folder = tmp_path / "p"
    folder.mkdir()
    for name in ("transhume.yaml", ".env", "source.db"):
        (folder / name).write_bytes((documented / name).read_bytes())
    return folder


def test_draft_document_begins_with_what_is_open_and_shows_all_that_is_known(documented):
    """The verdict, each decision with what a draft found, TBD in its place, the profile, and no predicted fate."""
    text = (documented / "out" / "migration-plan.md").read_text()
    assert "**Draft: 5 open decisions; beside them 2 errors. No run before these.**" in text
    first = text.index("## 1 Open decisions")
    assert first < text.index("the time zone of the source's local times is not decided yet") < text.index("## 2 ")
    assert "no source column fits; or height\\_m 0.40" in text
    assert "| not decided: TBD |" in text
    assert "seen is local time in TBD and becomes UTC" in text
    assert "`plant` | `the key is not decided yet`" in text
    assert "| `height_m` | REAL | 0 | 130 |" in text
    assert "`plant.gone`" in text or "'plant.gone' goes nowhere" in text
    assert "not counted: that needs every decision" in text
    assert "would be loaded," not in text.split("## 2 ")[0].split("## 1 ")[0]


def test_open_decisions_count_in_estimate_and_risks(documented):
    """Each is two hours of planning, with and without the databases, and they are the mapping's risk."""
    for offline in (False, True):
        found = Project(documented).estimate(offline=offline)
        undecided = [
            item for item in found.effort.items if "is not decided yet" in item.what or "nothing fills" in item.what
        ]
        assert len(undecided) == 5
        assert found.checked != offline
        risk = next(each for each in found.risks if each.name == "Inaccurate or incomplete mapping")
        assert f"{5 if offline else 7} open decisions" in risk.reasons[0]


def test_check_lists_what_the_databases_say_beside_what_is_open(documented, project):
    """A forgotten source column shows at once; where no database answers, the open decisions still do."""
    codes = [each.code for each in Project(project).check().findings]
    assert codes.count("open_decision") == 5
    assert [code for code in codes if code != "open_decision"] == ["column_left_out", "column_left_out"]
    (project / "source.db").unlink()
    codes = [each.code for each in Project(project).check().findings]
    assert codes.count("open_decision") == 5
    assert "not_looked_at" in codes


def test_workbook_closes_every_decision_and_the_plan_is_as_it_was_decided(documented, project, tmp_path):
    """Zone, lookup, key, rule and a part of a rule: after the import only the forgotten column stands against a run."""
    opened = Project(project)
    workbook = filled(documented, tmp_path / "d.xlsx", {"open decisions": DECIDED})
    found = opened.read_decisions(workbook)
    assert opened.write_decisions(found)
    text = (project / "transhume.yaml").read_text()
    lines = [line.strip().removesuffix("}") for decided in OPENED for line in decided.splitlines()]
    assert [line for line in lines if line not in text] == []
    assert "TBD" not in text
    assert [each.code for each in opened.check().errors] == ["column_left_out"]


def test_some_decisions_close_and_the_others_stay(documented, project, tmp_path):
    """The rule on the sheet of its table, the rest still open: the plan stays a draft, and comes out as one."""
    workbook = filled(
        documented,
        tmp_path / "d.xlsx",
        {"plant > plants": [accepted('"height_m"', **{"change to": "{scale: height_m, times: 100}"})]},
    )
    opened = Project(project)
    assert opened.write_decisions(opened.read_decisions(workbook))
    assert sum(each.code == "open_decision" for each in opened.check(offline=True).findings) == 4


def test_accepting_tbd_is_no_decision(documented, project, tmp_path):
    """Accepted and nothing said; a whole rule and a part of it; a zone that is none: all refused, nothing written."""
    before = (project / "transhume.yaml").read_text()
    whole = accepted('"picture_uri"', **{"change to": "picture"})
    workbook = filled(
        documented,
        tmp_path / "d.xlsx",
        {"open decisions": [accepted('"time_zone"'), DECIDED[4]], "plant > plants": [whole, accepted('"height_m"')]},
    )
    with pytest.raises(PlanError) as problem:
        Project(project).read_decisions(workbook)
    assert [each.code for each in problem.value.findings] == ["two_decisions", "still_open", "still_open"]
    wrong = accepted('"time_zone"', **{"change to": "Europe/Berlim"})
    with pytest.raises(PlanError, match="Europe/Berlim"):
        Project(project).read_decisions(filled(documented, tmp_path / "e.xlsx", {"open decisions": [wrong]}))
    assert (project / "transhume.yaml").read_text() == before


def test_other_mistakes_are_no_draft(project):
    """A plan that is wrong beside what is open gives no document: exit 3, and every mistake is listed."""
    plan = project / "transhume.yaml"
    plan.write_text(plan.read_text().replace("{ref: place_id", "{reff: place_id"))
    done = transhume("-p", str(project), "plan", "--docs", "md")
    assert done.returncode == 3
    assert "reff" in done.stderr
    assert {"open_decision", "bad_value"} == {each.code for each in Project(project).check().errors}
    assert not (project / "out").exists()
