"""Decisions from the workbook into the plan: what is written, what stays, and how a workbook can be wrong."""

import io
import re
import zipfile
from pathlib import Path

import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook
from tests.cli.test_commands import transhume
from tests.stages import small_project

from transhume import Project
from transhume.errors import PlanError, Refused, UsageError
from transhume.plan.document import parse_document
from transhume.plan.splicing import Splices

NAMES = ("decision", "change to", "decided by", "on", "remark")


@pytest.fixture(scope="module")
def documented(tmp_path_factory) -> Path:
    """The small project, a rule of it over several lines with comments, and its workbook."""
    folder = tmp_path_factory.mktemp("documented") / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    plan = folder / "transhume.yaml"
    block = "      kind:   # of it\n        names: kind\n        # botanists say\n        in: kinds   # see above\n"
    text = plan.read_text().replace("      kind: {names: kind, in: kinds}\n", block)
    plan.write_text(text.replace("      height_m: height_m\n", "      height_m: height_m   # metres, they say\n"))
    Project(folder).write_documents(["xlsx"])
    return folder


@pytest.fixture
def project(documented, tmp_path) -> Path:
    """A copy of it that a test may change."""
    folder = tmp_path / "p"
    folder.mkdir()
    for name in ("transhume.yaml", ".env"):
        (folder / name).write_text((documented / name).read_text())
    return folder


def filled(documented: Path, to: Path, decisions: dict[str, list[dict[str, object]]], state: str = "") -> Path:
    """The workbook as people save it, with cells filled in by sheet; `row` is a text that the row's cells hold."""
    book = CalamineWorkbook.from_path(str(documented / "out" / "migration-plan.xlsx"))
    with xlsxwriter.Workbook(to) as made:
        day = made.add_format({"num_format": "yyyy-mm-dd"})
        for name in book.sheet_names:
            sheet = made.add_worksheet(name)
            rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
            for entry in decisions.get(name, []):
                place = next((n for n, row in enumerate(rows) if any(entry["row"] in str(cell) for cell in row)), None)
                if place is None:
                    rows.append([""] * len(rows[0]))
                    place = len(rows) - 1
                elif entry.get("again"):
                    rows.append([*rows[place]])
                    place = len(rows) - 1
                for column in NAMES:
                    if column in entry:
                        rows[place][rows[0].index(column)] = entry[column]
            for number, row in enumerate(rows):
                for column, cell in enumerate(row):
                    text = (
                        re.sub(r"^plan [0-9a-f]+$", f"plan {state}", cell) if state and isinstance(cell, str) else cell
                    )
                    if hasattr(text, "isoformat"):
                        sheet.write_datetime(number, column, text, day)
                    else:
                        sheet.write(number, column, text)
    return to


def accepted(row: str, **more: object) -> dict[str, object]:
    return {"row": row, "decision": "accepted", "decided by": "Ada", **more}


def test_accepted_rows_alone_change_the_plan_and_no_other_line_moves(documented, project, tmp_path):
    """A new rule, a rule that stands, a spelling, a column left out, a row that waits: what each does."""
    workbook = filled(
        documented,
        tmp_path / "d.xlsx",
        {
            "plant > plants": [
                accepted('"height_m"', **{"change to": "{scale: height_m, times: 100}", "on": "2027-01-11"}),
                accepted('"kind"]', **{"change to": "{names: kind, in: kinds, else: null}", "remark": "# sure: yes"}),
                accepted('"seen_at"'),
                accepted('"gone"'),
                {"row": '"picture_uri"', "decision": "to be changed", "remark": "which bucket?"},
            ],
            "findings": [accepted("weed", **{"change to": "Bush"})],
        },
    )
    before = (project / "transhume.yaml").read_text()
    opened = Project(project)
    found = opened.read_decisions(workbook)
    assert (project / "transhume.yaml").read_text() == before
    assert opened.write_decisions(found)
    after = (project / "transhume.yaml").read_text()
    expected = before.replace(
        "      height_m: height_m   # metres, they say\n",
        "      # accepted by Ada on 2027-01-11\n      height_m: {scale: height_m, times: 100}   # metres, they say\n",
    )
    start, end = expected.index("      kind:   # of it"), expected.index("      # accepted by Ada on 2027")
    expected = (
        f"{expected[:start]}      # accepted by Ada: # sure: yes\n      # of it\n      # botanists say\n"
        f"      kind: {{names: kind, in: kinds, else: null}}   # see above\n{expected[end:]}"
    )
    expected = expected.replace("      seen_at", "      # accepted by Ada\n      seen_at")
    expected = expected.replace("    drop: [", "    # gone: accepted by Ada\n    drop: [")
    expected = expected.replace(
        "  kinds: {Tree: [tree, TREE], Bush: [bush]}",
        "  # weed: accepted by Ada\n  kinds: {Tree: [tree, TREE], Bush: [bush, weed]}",
    )
    assert after == expected
    assert found.accepted == 5
    assert len(found.changes) == 3
    assert found.waiting == ("sheet 'plant > plants', row 9: to be changed; which bucket?",)
    assert not list(project.glob("*.unfinished"))


def test_comments_alone_are_written_once_and_the_workbook_stays_good(documented, project, tmp_path):
    """Who accepted a rule as it stands is a comment: the plan means the same, and a second import changes nothing."""
    workbook = filled(documented, tmp_path / "d.xlsx", {"place > places": [accepted('"name"')]})
    opened = Project(project)
    assert opened.write_decisions(opened.read_decisions(workbook))
    assert not opened.write_decisions(opened.read_decisions(workbook))
    assert (project / "transhume.yaml").read_text().count("accepted by Ada") == 1


def test_everything_wrong_in_a_workbook_is_said_at_once_and_nothing_is_written(documented, project, tmp_path):
    """Each row with its sheet, row, value and cure; one message for each kind of mistake."""
    workbook = filled(
        documented,
        tmp_path / "d.xlsx",
        {
            "place > places": [
                accepted('"name"', **{"change to": "name"}),
                accepted('"name"', again=True, **{"change to": "id"}),
                {"row": '"place_id"', "decision": "maybe"},
                {"row": '"original_source_id"', "remark": "hm"},
            ],
            "plant > plants": [
                {"row": '"seen_at"', "decision": "accepted"},
                accepted('"height_m"', **{"change to": "{scale: height_m, tims: 100}"}),
                accepted('"picture_uri"', on="11.1.2027"),
                accepted("nowhere to be found"),
                accepted('"gone"', **{"change to": "gone"}),
                accepted('"kind"', **{"change to": "kind\nor so"}),
            ],
            "findings": [accepted("weed", **{"change to": "Bushes"})],
        },
    )
    before = (project / "transhume.yaml").read_text()
    with pytest.raises(PlanError) as caught:
        Project(project).read_decisions(workbook)
    codes = [finding.code for finding in caught.value.findings]
    assert sorted(codes) == sorted(
        ["two_decisions", "bad_decision", "no_decision", "nobody", "bad_rule", "bad_day", "unknown_row",
         "no_change_here", "several_lines", "unknown_name"]
    )  # fmt: skip
    said = {finding.code: finding.message for finding in caught.value.findings}
    assert said["two_decisions"].startswith("two decisions for one thing: sheet 'place > places', row 4 and ")
    assert "did you mean 'times'" in said["bad_rule"]
    assert (project / "transhume.yaml").read_text() == before


def test_rule_that_does_not_fit_the_plan_is_refused_at_its_place(documented, project, tmp_path):
    """A rule that is well written and names no lookup of the plan: the plan's own check says so."""
    change = accepted('"height_m"', **{"change to": "{names: height_m, in: heights}"})
    workbook = filled(documented, tmp_path / "d.xlsx", {"plant > plants": [change]})
    with pytest.raises(PlanError, match=r"with these decisions the plan would not be right: .*'heights'"):
        Project(project).read_decisions(workbook)


def test_plan_changed_since_refuses_the_workbook(documented, project, tmp_path):
    """Changed before the import, or between the look and the writing: nothing is written."""
    workbook = filled(documented, tmp_path / "d.xlsx", {"place > places": [accepted('"name"')]})
    plan = project / "transhume.yaml"
    found = Project(project).read_decisions(workbook)
    plan.write_text(plan.read_text().replace("else: null", "else: reject"))
    with pytest.raises(Refused, match="was changed while"):
        Project(project).write_decisions(found)
    with pytest.raises(Refused, match="what was decided there may not fit"):
        Project(project).read_decisions(workbook)


def test_file_that_is_no_such_workbook_is_said_to_be_none(documented, project, tmp_path):
    """A text, a workbook without decisions, one whose last column is gone."""
    text = tmp_path / "a.xlsx"
    text.write_text("decision")
    with pytest.raises(UsageError, match="cannot be read as a workbook"):
        Project(project).read_decisions(text)
    with xlsxwriter.Workbook(tmp_path / "b.xlsx") as made:
        made.add_worksheet("x").write(0, 0, "y")
    with pytest.raises(UsageError, match="has no decision columns"):
        Project(project).read_decisions(tmp_path / "b.xlsx")
    with xlsxwriter.Workbook(tmp_path / "c.xlsx") as made:
        made.add_worksheet("x").write_row(0, 0, NAMES)
    with pytest.raises(PlanError, match="has lost its last column"):
        Project(project).read_decisions(tmp_path / "c.xlsx")


def test_command_shows_the_difference_and_writes_after_yes(documented, project, tmp_path):
    """Nobody to ask: nothing is written; with --yes it is."""
    workbook = filled(documented, tmp_path / "d.xlsx", {"findings": [accepted("weed", **{"change to": "Bush"})]})
    asked = transhume("import-decisions", str(workbook), folder=project)
    assert asked.returncode == 2
    assert "+  kinds: {Tree: [tree, TREE], Bush: [bush, weed]}" in asked.stdout
    assert "weed" not in (project / "transhume.yaml").read_text()
    done = transhume("import-decisions", str(workbook), "--yes", folder=project)
    assert done.returncode == 0, done.stderr
    assert "Bush: [bush, weed]" in (project / "transhume.yaml").read_text()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a:\n  - x\n  - y\nb: 1\n", "a:\n  - x\n  - y\n  - new\nb: 1\n"),
        ("a: []\nb: 1\n", "a: [new]\nb: 1\n"),
        ("a: x   # why\nb: 1\n", "a: [x, new]   # why\nb: 1\n"),
    ],
)
def test_list_takes_an_entry_in_the_way_it_is_written(before, after):
    splices = Splices(before)
    splices.append(("a",), "new")
    assert splices.result() == after


@pytest.mark.parametrize(
    "before",
    [
        "a: |\n  one\n  two\nb: 1\n",
        "a:\n  x: {y: [1, 2]}\n  z:\n    - q: r\n\n# of b\nb: 1\n",
        "a: 'x # no'\r\nb: 1\r\n",
    ],
)
def test_value_of_any_layout_is_exchanged_and_its_neighbour_stays(before):
    """Texts of several lines, blocks in blocks, carriage returns: the new value is read, and the old neighbour."""
    splices = Splices(before)
    splices.replace(("a",), "{n: [m]}")
    assert parse_document(splices.result(), "p").content == {"a": {"n": ["m"]}, "b": "1"}
    assert ("# of b" in before) == ("# of b" in splices.result())


def test_workbook_keeps_who_sorts_from_moving_a_row_away_from_its_thing(documented):
    """The column that names the things lies within the filter's range, hidden."""
    content = io.BytesIO((documented / "out" / "migration-plan.xlsx").read_bytes())
    with zipfile.ZipFile(content) as archive:
        sheets = [archive.read(name).decode() for name in archive.namelist() if "worksheets/sheet" in name]
    decided = [text for text in sheets if "<dataValidation" in text]
    assert len(decided) == 3
    for text in decided:
        hidden = int(re.search(r'<col min="(\d+)"[^>]* hidden="1"', text)[1])
        last = re.search(r'<autoFilter ref="A1:([A-Z]+)\d+"', text)[1]
        assert ord(last) - 64 == hidden
