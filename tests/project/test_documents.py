"""The plan document of the example, of a hostile plan and of a plan with errors."""

import io
import re
import zipfile
from pathlib import Path

import docx
import pytest
from docx.enum.text import WD_ALIGN_PARAGRAPH
from tests.stages import small_project

from transhume import Project
from transhume.demonstration import LAKE_URL, make_demo
from transhume.errors import UsageError

BRIEF = {
    "Project title": r"Project title:",
    "Description": r"Description:",
    "Migration goal": r"Migration goal:",
    "Scope": r"1\.1 Scope",
    "Exclusions": r"Excluded",
    "Phased approach": r"A phased approach",
    "Source and target": r"3 Source and target",
    "Source profile": r"4 Source profile",
    "Profile of a column": r"\| `algo_type` \| VARCHAR",
    "Profile of references": r"\| `dataset_id` \| `datasets.dataset_id` \| declared \| ",
    "Field mapping of models": r"`model_id \(INT, PK\)` \| `model_uuid \(uuid, PK\)` \| uuid: a new UUID",
    "Foreign key": r"`dataset_id \(INT, FK\)` \| `training_dataset_uuid \(uuid, FK\)`",
    "Type considerations": r"Key considerations: types",
    "Rule: UUIDs": r"the old key stays beside it for traceability",
    "Rule: owners": r"lookup 'identity'; no entry: '00000000-0000-0000-0000-000000000000'",
    "Rule: canonical names": r"CNN, ConvNet, .* becomes Convolutional Neural Network",
    "Rule: status codes": r"'D' becomes 'Draft', 'P' becomes 'Pending Review', 'R' becomes 'Ready for Deployment', 'A'",
    "Rule: primary metric": r"the first of metric.metric\\_value, accuracy\\_score that is there",
    "Rule: paths": r"/legacy/storage/models/.* becomes s3",
    "Rule: UTC": r"created\\_ts is local time in America/New\\_York and becomes UTC \(YYYY-MM-DDTHH:MM:SSZ\)",
    "Rule: prefix": r"'Migrated from Legacy AI Research DB: ' before notes",
    "Impact": r"\*\*Impact:\*\*",
    "Before: completeness": r"Completeness \| `models`",
    "Before: uniqueness": r'GROUP BY "model_id" HAVING COUNT\(\*\) > 1',
    "Before: consistency": r'Consistency \| `models` \| `SELECT "algo_type", COUNT\(\*\)',
    "Before: references": r"Referential integrity \| `models`",
    "Before: volume": r'Volume \| `models` \| `SELECT COUNT\(\*\) FROM "models"`',
    "After: counts": r"1 Record counts \| `ml_models`",
    "After: keys": r"2 Key uniqueness \| `ml_models`",
    "After: types": r"3 Data types \| `ml_models`",
    "After: references": r"4 References \| `ml_models`",
    "After: comparison": r"5 Data comparison \| `ml_models`",
    "After: business rules": r"6 Business rules \| `ml_models` .*accuracy\\_range",
    "After: performance": r"7 Performance \| `ml_models`",
    "Backup": r"Backup strategy",
    **{f"Rollback step {number}": rf"^\| {number} " for number in range(1, 7)},
    "Contingency": r"Manual correction:[^$]*Temporary data freeze",
    "Phase 1": r"1\\\. Planning \\& Analysis \| 3 Days",
    "Phase 2": r"2\\\. Development \| 5 Days",
    "Phase 3": r"3\\\. Testing \\& QA \| 4 Days",
    "Phase 4": r"4\\\. Test Run Execution \| 1 Day ",
    "Phase 5": r"5\\\. Post-Migration Review \| 2 Days",
    "Total": r"Total estimated time \| 15 Working Days",
    "Gantt": r"Calendar[^$]*\u2588",
    "Chances": r"simulated projects",
    "Note": r"This timeline is for the test run",
    **{
        risk: rf"^\| {risk} \|"
        for risk in (
            "Data loss or corruption", "Inaccurate or incomplete mapping", "Performance bottlenecks", "Downtime",
            "Scope creep", "Skill gaps in the team", "Rollback failure",
        )
    },
    "Recommendations": r"11 Recommendations",
    "Next steps": r"12 Next steps",
    "Sign-off": r"14 Sign-off",
}  # fmt: skip
"""Part of the request to what must stand in the document, as Markdown."""


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    """The example with 200 models, never run, and its documents in all formats."""
    folder = tmp_path_factory.mktemp("example")
    make_demo(folder, 200, LAKE_URL)
    written = Project(folder).write_documents(["html", "docx", "xlsx", "md"])
    forms = ("html", "docx", "xlsx", "md")
    names = [f"{name}.{form}" for name in ("migration-plan", "runbook") for form in forms]
    assert [path.name for path in written] == names
    return folder


def test_every_part_of_the_request_stands_in_the_document(example):
    """Section by section and row by row, what the request asks for is there for its own example."""
    text = (example / "out" / "migration-plan.md").read_text()
    assert not [part for part, words in BRIEF.items() if not re.search(words, text, re.MULTILINE)]


def test_workbook_has_a_sheet_for_each_table_mapping(example):
    """One sheet a mapping, beside those of the tables, checks, timeline, risks, findings and signatures."""
    with zipfile.ZipFile(example / "out" / "migration-plan.xlsx") as archive:
        names = re.findall(r'<sheet name="([^"]+)"', archive.read("xl/workbook.xml").decode())
    assert "models &gt; ml_models" in names
    assert len([name for name in names if "&gt;" in name]) == 5
    assert {"document", "tables", "checks before", "checks after", "timeline", "risks", "findings", "sign-off"} <= set(
        names
    )


def test_page_draws_calendar_and_chances_and_needs_no_other_file(example):
    """Two drawings, no address outside of the page, and far below 1 MB."""
    text = (example / "out" / "migration-plan.html").read_text()
    assert text.count('<svg role="img"') == 2
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert len(text) < 400_000
    assert (example / "out" / "migration-plan.html").stat().st_mode & 0o077 == 0


def test_hostile_plan_is_shown_as_it_stands(tmp_path):
    """A name, a description and a table of markup and formulas are words in the document, and no secret is in it."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    plan = (folder / "transhume.yaml").read_text()
    plan = plan.replace("name: small\n", 'name: "<script>alert(1)</script>"\ndescription: "=cmd|x <b>&"\n', 1)
    (folder / "transhume.yaml").write_text(plan)
    html, sheet, *_ = Project(folder).write_documents(["html", "xlsx"], tmp_path / "there")
    text = html.read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script" not in text
    assert "=cmd|x &lt;b&gt;&amp;" in text
    with zipfile.ZipFile(io.BytesIO(sheet.read_bytes())) as archive:
        assert not [name for name in archive.namelist() if "sheet" in name and b"<f>" in archive.read(name)]


def test_plan_that_does_not_fit_its_databases_is_documented_as_not_ready(tmp_path):
    """An error of the catalogs stands first, and nothing is said to be loaded."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    plan = folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("height_m: height_m", "height_m: height_foot"))
    path, _ = Project(folder).write_documents(["md"])
    text = path.read_text()
    assert "**Not ready: " in text
    assert "height\\_foot" in text
    assert "not counted" in text


def test_unknown_format_is_refused_before_anything_is_read(tmp_path):
    """The message names what was meant."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    with pytest.raises(UsageError, match="did you mean 'docx'"):
        Project(folder).write_documents(["dox"])
    assert not (folder / "out").exists()


def test_the_runbook_has_owner_gate_and_what_was_measured(tmp_path):
    """A file of its own in each format: names of the plan's people, measured seconds, the point of no return."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    plan = tmp_path / "p" / "transhume.yaml"
    plan.write_text(plan.read_text() + "people: {database administrator: Ada, owner: [Grace]}\nfreeze: enforce\n")
    project = Project(tmp_path / "p")
    first = project.write_documents(["md"])
    book = next(path for path in first if path.name == "runbook.md").read_text()
    assert "not measured yet" in book
    plan.write_text(plan.read_text().replace("freeze: enforce\n", ""))
    project.run()
    took = project.rollback().duration_s
    book = next(path for path in project.write_documents(["md"]) if path.name == "runbook.md").read_text()
    back = next(line for line in book.splitlines() if "transhume rollback`" in line and "Take the run back" in line)
    assert f"{took:,.1f} s" in back
    assert "Ada (database administrator)" in back
    for words in ("Grace (migration owner)", "POINT OF NO RETURN", "go: exit 0", "`transhume finalize`"):
        assert words in book, words
    loaded = sum(table["loaded"] for table in small_project.expected_buckets().values())
    assert f"{loaded} rows loaded or unchanged, 12 rejected" in book
    assert "Runbook" in (tmp_path / "p" / "out" / "migration-plan.md").read_text()


def test_the_runbook_s_commands_can_be_copied_as_they_stand(example):
    """The block of commands holds commands only: a step that a person does without one leaves no line in it."""
    text = (example / "out" / "runbook.md").read_text()
    lines = re.search(r"```\w*\n(transhume check.*?)```", text, re.DOTALL).group(1).splitlines()
    assert "Stop the source's application" in text
    assert len(lines) == 8
    assert all(line.startswith("transhume ") for line in lines)


def test_labels_of_the_chances_say_what_the_text_says(example):
    """The days beside the curve are those of the sentence below it, to the same decimal."""
    text = (example / "out" / "migration-plan.html").read_text()
    said = dict(re.findall(r"(\d0) % within ([\d.]+)", text))
    assert dict(re.findall(r"P(\d0): ([\d.]+) d<", text)) == said
    assert set(said) == {"50", "80", "90"}


def test_heads_of_numbers_stand_over_the_numbers(example):
    """In Word and in the workbook as on the page: right, where the column's numbers are."""
    document = docx.Document(str(example / "out" / "migration-plan.docx"))
    excluded = next(table for table in document.tables if table.cell(0, 0).text == "what")
    for column, right in ((0, False), (2, True)):
        assert (excluded.cell(0, column).paragraphs[0].alignment == WD_ALIGN_PARAGRAPH.RIGHT) is right
    parts = {}
    with zipfile.ZipFile(example / "out" / "migration-plan.xlsx") as archive:
        for name in ("sharedStrings", "styles", "worksheets/sheet1"):
            parts[name] = archive.read(f"xl/{name}.xml").decode()
    words = re.findall(r"<si><t[^>]*>(.*?)</t></si>", parts["sharedStrings"], re.DOTALL)
    formats = parts["styles"].split("<cellXfs", 1)[1].split("</cellXfs>")[0]
    styles = re.findall(r"<xf [^>]*?/>|<xf [^>]*[^/]>.*?</xf>", formats)
    for word, right in (("what", False), ("rows", True)):
        style = re.search(rf'<c r="[A-Z]+\d+" s="(\d+)" t="s"><v>{words.index(word)}</v>', parts["worksheets/sheet1"])
        assert ('horizontal="right"' in styles[int(style.group(1))]) is right


def test_risks_and_verdict_count_the_same_rejected_rows(example):
    """A row with several reasons, or a near spelling beside its reject, is one row in the register as at the top."""
    text = (example / "out" / "migration-plan.md").read_text()
    said = re.search(r"would be loaded, ([\d,]+) rejected", text).group(1)
    assert re.findall(r"([\d,]+) of [\d,]+ rows are rejected", text) == [said]
    risks = Project(example).estimate().risks
    reasons = next(risk.reasons for risk in risks if risk.name == "Defects in the source data")
    assert any(reason.startswith(f"{said} of ") for reason in reasons)
