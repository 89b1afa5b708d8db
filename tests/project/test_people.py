"""Owners, signers and risks of a plan: read strictly, asked for by the gate, shown in register and document."""

import pytest
from tests.stages import small_project

from transhume import Project
from transhume.errors import PlanError, Refused
from transhume.matching.doubts import doubtful_columns
from transhume.plan.document import parse_document

PEOPLE = """\
people: {owner: Ada, data owner: [Eve, Bob]}
risks:
  - The vendor ends support in March
  - {risk: Two teams share the namespace, owner: Bob, likelihood: 5, impact: 5, mitigation: agree on prefixes}
  - {risk: Nobody knows the codes, likelihood: 5, closed: explained by the vendor}
phases:
  all: {tables: [places, plants], gate: [approved]}
"""


def project(folder, more: str) -> Project:
    """The small project with further keys of the plan."""
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    plan = folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("tables:\n", f"{more}tables:\n", 1))
    return Project(folder)


def test_gate_opens_when_everybody_has_signed(tmp_path):
    """Approved by one of three: the other two are named; risks of people stand in the register with their owners."""
    opened = project(tmp_path / "p", PEOPLE)
    opened.approve("Ada")
    with pytest.raises(Refused, match="not signed by Bob, Eve"):
        opened.run(phase="all")
    found = {risk.name: risk for risk in opened.estimate().risks}
    assert found["Unclear ownership"].reasons == ("not signed yet by Eve, Bob",)
    assert (found["Two teams share the namespace"].score, found["Two teams share the namespace"].owner) == (25, "Bob")
    assert found["The vendor ends support in March"].score == 9
    assert found["Nobody knows the codes"].is_closed
    assert list(found).index("Two teams share the namespace") < list(found).index("Inaccurate or incomplete mapping")
    for name in ("Eve", "Bob"):
        opened.approve(name, role="data owner")
    assert opened.run(phase="all").state == "finished"
    path = opened.write_documents(["md"])[0]
    text = path.read_text()
    row = "very high | very high | open | agree on prefixes | written in the plan | Bob |"
    assert f"| Two teams share the namespace | {row}" in text
    assert "explained by the vendor" in text
    assert "| Unclear ownership | very low | medium | closed |" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("people: {owner: {a: b}}\n", "'owner' names nobody"),
        ("people: [Ada]\n", "names no people"),
        ("risks: [{risk: x, likelihood: 7}]\n", "'7' is no level"),
        ("risks: [{risk: x, chance: 3}]\n", "takes no 'chance'"),
    ],
)
def test_wrong_people_and_risks_are_errors(tmp_path, more, words):
    with pytest.raises(PlanError) as caught:
        project(tmp_path / "p", more).plan()
    assert words in str(caught.value), caught.value


def test_proposals_of_low_score_count_until_somebody_accepts_them():
    """Two columns below 0.50: one accepted in the line above, one not; a rule that a person wrote has no score."""
    text = (
        "tables:\n  t:   # 0.30 of 1\n    columns:\n      a: x   # 0.31 names 0.30; or y 0.30\n"
        "      # accepted by Ada\n      b: y   # 0.49 by what is left\n      c: z   # 0.50 same words\n      d: q\n"
    )
    assert doubtful_columns(parse_document(text, "p")) == 1


def test_profile_stands_in_the_document_and_masks_what_looks_personal(tmp_path):
    """A column of addresses: shown as such, its values masked, and its copy counts against the risk of a leak."""
    opened = project(tmp_path / "p", "")
    small_project.source(opened.folder, "UPDATE place SET name = 'ada' || id || '@example.org'")
    path = opened.write_documents(["md"])[0]
    text = path.read_text()
    assert "4 Source profile" in text
    assert "ada1@example" not in text
    assert "copied as they are, and look personal: place.name" in text
    assert "| `place.name` | personal: " in text


def test_texts_of_single_rows_do_not_stand_in_the_document(tmp_path):
    """What several rows share is shown; the smallest, the largest and any text that stands once are masked."""
    opened = project(tmp_path / "p", "")
    small_project.source(
        opened.folder, "UPDATE place SET name = CASE WHEN id < 5 THEN 'shared' ELSE 'single ' || id END"
    )
    text = opened.write_documents(["md"])[0].read_text()
    assert "shared (5)" in text
    assert "2024-01-28 10:00:00" in text
    assert "single " not in text
