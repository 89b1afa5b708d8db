"""The report of a run: a real one before and after its validation, and hand-made ones that failed."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from tests.stages import small_project

from transhume import Project
from transhume.batches import Event
from transhume.checks.counts import TableTally
from transhume.journal import Entry
from transhume.project.validations import keep_validation
from transhume.report.outcome import Outcome, junit, outcome_paper, results
from transhume.report.writers import page
from transhume.stages.context import RunFolder

HOSTILE = "<script>x</script>\u202e\x00=1+1]]>"
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "report.md"


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> tuple[Project, dict, dict]:
    """A small run with rejects: the project, results.json before its validation and after it."""
    folder = tmp_path_factory.mktemp("reported") / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    project = Project(folder)
    project.run()
    before = json.loads(project.report().results.read_text())
    project.validate(sample=3, worksheets=folder / "out")
    after = json.loads(project.report().results.read_text())
    return project, before, after


def test_verdict_is_unproved_until_somebody_validates(reported):
    """The run's own checks do not make it proved; a validation on record does, and its oracle's rows are told."""
    _, before, after = reported
    assert before["verdict"] == "unproved"
    assert before["times"]["validated_at"] is None
    assert any("no validation since the run" in sentence for sentence in before["not_checked"])
    assert after["verdict"] == "passed"
    assert after["oracle"]["plants"]["of"] == small_project.PLANTS
    assert {check["when"] for check in after["checks"]} == {"run", "validation"}


def test_results_have_the_names_that_the_documentation_tells(reported):
    """Every name of results.json, of a check too, stands in docs/report.md, and none stands there that is not."""
    _, _, after = reported
    text = DOCUMENTATION.read_text().split("## results.json")[1]
    told = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", text, re.MULTILINE)
    assert sorted(re.findall(r"`([a-z_]+)`", " ".join(told))) == sorted(after)
    assert all(f"`{name}`" in text for check in after["checks"][:1] for name in check)


def test_accounting_of_the_report_is_that_of_the_run(reported):
    """Rows of plants: every tenth from 7 on is rejected, every 13th filtered, as the project's maker planted them."""
    _, _, after = reported
    plants = next(table for table in after["tables"] if table["mapping"] == "plants")
    filtered = len(range(0, small_project.PLANTS, 13))
    rejected = len([n for n in range(small_project.PLANTS) if n % 10 == 7 and n % 13])
    assert (plants["filtered"], plants["rejected"]) == (filtered, rejected)
    assert plants["read"] == small_project.PLANTS


def test_page_says_everything_and_no_value_of_a_reject(reported):
    """Verdict, rows, reasons with their meaning, stages, linked fields; never the rejected kind 'weed'."""
    project, _, after = reported
    text = (project.folder / "out" / f"report-{after['run']}.html").read_text()
    for words in ("Passed: ", "unmapped:kind", "holds a value that the rule does not know", "Time by stage",
                  "plant to plants", "What was not checked", "Sign-off", "adds up"):  # fmt: skip
        assert words in text
    assert len(text) < 1_000_000
    assert "<script" not in text
    sheet = f"worksheet-{after['run']}.html"
    assert set(re.findall(r'(?:src|href)="([^#"][^"]*)"', text)) == {sheet}
    assert (project.folder / "out" / sheet).is_file()
    assert "transhume.<wbr>yaml:" in text
    assert f"{project.folder}/transhume" not in text.replace("<wbr>", "")
    for path in (project.folder / "out").iterdir():
        if path.name.startswith(("report", "results", "junit")):
            assert "weed" not in path.read_text()
            assert path.stat().st_mode & 0o077 == 0


def test_linked_fields_have_the_numbers_of_both_sides(reported):
    """Counted by the formulas of the project's maker: of 130 plants every fourth has no parent, kinds are four."""
    project, before, after = reported
    assert (before["profile"], before["worksheet"]) == ({}, None)
    plants = after["profile"]["plants"]
    loaded = [n for n in range(small_project.PLANTS) if n % 13 and n % 10 != 7]
    assert (plants["source"]["rows"], plants["target"]["rows"]) == (small_project.PLANTS, len(loaded))
    nulls, differ = plants["source"]["fields"]["parent_id"]
    assert nulls == len(range(0, small_project.PLANTS, 4))
    assert 59 <= differ <= 71  # 65 by the formula; the engine estimates
    assert plants["source"]["fields"]["kind"] == [0, 4]
    assert plants["target"]["fields"]["kind"] == [0, 2]
    assert plants["source"]["fields"]["gone"] == [0, 2]
    text = (project.folder / "out" / f"report-{after['run']}.html").read_text()
    assert f">25.4 % NULL, {differ} differ<" in text
    assert "has counted them" not in text


def test_failed_check_comes_with_its_place_in_the_plan_and_the_sql_that_shows_its_rows(reported, tmp_path):
    """The line of the plan that decides, counted here; the statement as text; a hostile one is inert."""
    project, _, after = reported
    lines = (project.folder / "transhume.yaml").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.startswith("      kind:"))
    checks = [
        {"name": name, "table": "plants", "count": 1, "covered": covered, "severity": "error", "sql": sql}
        for name, covered, sql in (
            ("domain", "kind is one of 2 values of the plan", f"SELECT '{HOSTILE}'"),
            ("unique_key", "key (plant_id)", ""),
            ("performance", "by key", "SELECT 1"),
        )
    ]
    validation = {"at": "2027-01-01T01:00:00Z", "checks": checks, "oracle": {}}
    outcome = _failed(plan=project.plan(), validation=validation, worksheet="worksheet-x.html")
    places = {check.name: check.plan for check in outcome.failed()}
    assert places["domain"] == f"transhume.yaml:{line}:7"
    assert lines[int(places["unique_key"].split(":")[1]) - 1] == "    key: id"
    text = page(outcome_paper(outcome)).decode()
    assert f"on plants: kind is one of 2 values of the plan, decided in transhume.yaml:{line}:7" in text
    assert "<code>SELECT &#x27;&lt;script&gt;x&lt;/script&gt;" in text
    assert "<script" not in text
    # Each check of the real run that the plan decides about has a place in it, and none that passed has a statement.
    assert {check["name"] for check in after["checks"] if not check["plan"]} == set()
    assert {check["sql"] for check in after["checks"] if check["state"] == "passed"} == {""}


def test_junit_has_a_case_for_each_check(reported):
    """As many cases as checks, no failure."""
    project, _, after = reported
    whole = ET.parse(project.folder / "out" / "junit.xml").getroot()
    assert len(whole.findall("./testsuite/testcase")) == len(after["checks"]) == int(whole.get("tests"))
    assert not whole.findall(".//failure")


def test_changed_plan_is_told_and_not_drawn(reported, tmp_path):
    """A report of a run whose plan was edited since says so, and draws no link of another plan."""
    project, _, _ = reported
    plan = project.folder / "transhume.yaml"
    kept = plan.read_text()
    plan.write_text(kept.replace("s3://bucket/", "s3://elsewhere/"))
    try:
        made = project.report(folder=tmp_path)
    finally:
        plan.write_text(kept)
    assert json.loads(made.results.read_text())["plan"]["changed_since"] is True
    text = made.page.read_text()
    assert "The plan is no longer the one that ran" in text
    assert "plant to plants" not in text


def _failed(**changes) -> Outcome:
    check = {"name": "references", "table": HOSTILE, "count": 3, "covered": HOSTILE, "severity": "error",
             "detail": HOSTILE, "sample_keys": ["anna.smith@example.org"], "duration_s": 0.5}  # fmt: skip
    noticed = {**check, "name": "extra_rows", "severity": "warning", "sample_keys": []}
    made = Outcome(
        run="20270101t000000_abcdef",
        state="finished",
        resumed=True,
        entries=[
            Entry(0, "2027-01-01T00:00:00.000Z", Event("run_started", {"binding": {"source": HOSTILE}}), "d" * 64)
        ],
        tallies=[TableTally(HOSTILE, read=2, loaded=1)],
        fed={},
        stages_s={"load": 1.0},
        duration_s=1.0,
        published={"tables": {}},
        checks_during=[{**check, "name": "accounting", "count": 0}],
        validation={"at": "2027-01-01T01:00:00Z", "checks": [noticed, check], "oracle": {}},
        plan=None,
        plan_name=HOSTILE,
        version="1",
        made_at="now",
    )
    return replace(made, **changes)


def test_failed_check_stands_first_and_its_keys_are_masked():
    """The failed check comes before the others, in a section of its own; the address of a person is not shown."""
    outcome = _failed()
    assert [check.state for check in outcome.checks()] == ["failed", "warned", "passed"]
    paper = outcome_paper(outcome)
    assert paper.sections[0].title == "Failed checks"
    assert paper.verdict.text.startswith("Failed: references; its rows are visible")
    told = page(paper).decode() + json.dumps(results(outcome)) + junit(outcome).decode()
    assert "smith@" not in told
    assert "an***" in told
    assert "DOES NOT ADD UP" in told


def test_verdict_names_a_few_failed_checks_and_counts_the_others():
    """Nine kinds failed: six names and the number of the rest."""
    one = _failed().validation["checks"][1]
    checks = [{**one, "name": f"check:c{number}"} for number in range(9)]
    outcome = _failed(validation={"at": "2027-01-01T01:00:00Z", "checks": checks, "oracle": {}})
    names = ", ".join(f"check:c{number}" for number in range(6))
    assert outcome_paper(outcome).verdict.text.startswith(f"Failed: {names}, 3 more; its rows are visible")


def test_hostile_words_are_inert_in_page_and_junit():
    """No tag comes of a name, and the XML parses though a name holds a character that XML forbids."""
    outcome = _failed()
    text = page(outcome_paper(outcome)).decode()
    assert "<script" not in text
    assert not {"\u202e", "\x00"} & set(text)
    cases = ET.fromstring(junit(outcome)).findall(".//testcase")
    assert cases[0].find("failure").get("message").startswith("3 wrong rows: <script>x</script>\\u202e\\u0000=1+1")
    assert [case.find("system-out") is not None for case in cases] == [False, True, False]


@pytest.mark.parametrize(
    ("state", "checks", "verdict"),
    [
        ("rolled back", True, "rolled back"),
        ("given up", False, "given up"),
        ("stopped", False, "unfinished"),
        ("failed", False, "failed"),
        ("finished", False, "passed"),
    ],
)
def test_verdict_follows_from_what_happened(state, checks, verdict):
    """A run that was taken back is that, whatever failed before; a stopped one is unfinished."""
    validation = {
        "at": "2027-01-01T01:00:00Z",
        "checks": (_failed().validation["checks"] if checks else []),
        "oracle": {},
    }
    assert _failed(state=state, validation=validation).verdict == verdict


def test_kept_validation_holds_no_value_of_a_row(tmp_path):
    """Differences that the oracle words with both values are kept by number and key, not by value."""
    found = {"name": "oracle", "table": "t", "count": 1, "detail": "column 'a': expected s3cret, found x"}
    keep_validation(RunFolder(tmp_path), {"published": [found], "oracle": {}})
    text = (tmp_path / "validation.json").read_text()
    assert "s3cret" not in text
    assert "values differ" in text
