"""Rejects that people repaired: through the same rules into the target, accounted for, and undone like any run."""

import csv
import signal
from pathlib import Path

import pytest
import python_calamine
import xlsxwriter

from tests.stages import small_project
from tests.stages.test_files_runs import _project as files_project
from transhume import Project
from transhume.errors import Refused, UsageError
from transhume.stages.context import Limits

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
REJECTED = [n for n in range(small_project.PLANTS) if n % 13 != 0 and n % 10 == 7]


@pytest.fixture(params=["lake", "postgres"])
def project(request, tmp_path) -> Project:
    """The small project on each target."""
    url = "iceberg:./lake?namespace=ai"
    if request.param == "postgres":
        url = f"{request.getfixturevalue('postgres_url')}&schema=ai"
    return _made(tmp_path, url)


@pytest.fixture
def lake(tmp_path) -> Project:
    """The small project with a lake as its target."""
    return _made(tmp_path, "iceberg:./lake?namespace=ai")


def _made(folder: Path, url: str) -> Project:
    small_project.write(folder / "p", url)
    plan = folder / "p" / "transhume.yaml"
    # Children of a rejected plant came without a parent (`else: null`); once it is repaired they are other rows.
    plan.write_text(plan.read_text().replace("    drop: [gone]\n", "    drop: [gone]\n    on_conflict: update\n"))
    return Project(folder / "p")


def _file(project: Project, mapping: str = "plants") -> Path:
    (file,) = [each for each in project.write_rejects(form="csv") if each.stem.endswith(mapping)]
    return file


def _edited(file: Path, *edits: tuple[str, str, str]) -> Path:
    """Repair a file as a person does: (id, column, cell)."""
    with file.open(newline="", encoding="utf-8-sig") as opened:
        rows = list(csv.DictReader(opened))
    for key, column, cell in edits:
        for row in rows:
            if row["id"] == key:
                row[column] = cell
    return _written(file.with_name("repaired.csv"), rows)


def _written(file: Path, rows: list[dict[str, str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def _table(result, mapping):
    return next(table for table in result.tables if table.mapping == mapping)


def test_repaired_rows_are_loaded_and_the_accounting_closes(project):
    """Repaired rows leave the rejects and come into the target, a row that is still bad is a reject again; undone."""
    first = project.run(limits=SMALL)
    before = _content(project)
    good = [(str(n), "kind", "tree") for n in REJECTED if n != 17]
    file = _edited(_file(project), *good, ("17", "kind", "moss"))
    small_project.source(project.folder, "UPDATE plant SET height_m = 99")  # the source moved on; a replay reads none
    second = project.run(repaired=[file], limits=SMALL)
    assert second.state == "finished"
    plants = _table(second, "plants")
    expected = small_project.expected_buckets()["plants"]
    assert (plants.read, plants.filtered) == (small_project.PLANTS, expected["filtered"])
    children = [n for n in range(small_project.PLANTS) if n % 4 and n // 2 in REJECTED and n // 2 != 17]
    updated = len([n for n in children if n % 13 and n not in REJECTED])
    assert (plants.loaded, plants.updated, plants.rejected) == (len(good), updated, 1)
    assert plants.unchanged == expected["loaded"] - updated > 0
    assert plants.reasons == {"unmapped:kind": 1}
    assert _kinds(project) == {f"{n}": "Tree" for n in REJECTED if n != 17}
    failed = [check for check in project.validate().checks if not check.passed]
    assert [check.name for check in failed if check.severity == "error"] == []
    (again,) = second.rejects.glob("*.csv")
    with again.open(newline="") as opened:
        (row,) = csv.DictReader(opened)
    assert (row["id"], row["kind"]) == ("17", "moss")
    project.rollback()
    assert _content(project) == before
    assert first.run in {folder.name for folder in project.runs.iterdir()}


def _content(project: Project) -> dict[str, tuple[int, str]]:
    url = (project.folder / ".env").read_text().split("TARGET_URL=")[1].strip()
    if url.startswith("postgres"):
        return small_project.postgres_content(url.removesuffix("&schema=ai"), "ai")
    return small_project.lake_content(project.folder, "ai")


def _kinds(project: Project) -> dict[str, str]:
    """Return the kinds of rows that the first run rejected, by original key, as readers see them."""
    rows = [row for batch in project.read_target("plants", ["original_source_id", "kind"]) for row in batch.to_pylist()]
    found = {str(row["original_source_id"]): row["kind"] for row in rows}
    return {key: found[key] for key in map(str, REJECTED) if key in found}


def test_a_workbook_comes_back_as_well(lake):
    """The XLSX that is written for people, unchanged but for one cell, replays that row."""
    lake.run(limits=SMALL)
    (written,) = lake.write_rejects()
    rows = python_calamine.CalamineWorkbook.from_path(str(written)).get_sheet_by_index(0).to_python()
    repaired = written.with_name("r.xlsx")
    with xlsxwriter.Workbook(str(repaired), {"strings_to_formulas": False}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            for place, cell in enumerate(row):
                if row[2] == "7" and rows[0][place] == "height_m":
                    sheet.write_number(number, place, 5)  # a spreadsheet that has made a number of it
                elif row[2] == "7" and rows[0][place] == "kind":
                    sheet.write_string(number, place, "bush")
                else:
                    sheet.write_string(number, place, cell)
    assert _table(lake.run(repaired=[repaired], limits=SMALL), "plants").loaded == 1
    assert _kinds(lake) == {"7": "Bush"}


def test_rows_that_wait_for_a_repaired_parent_come_along(lake):
    """A child that was rejected for its parent's sake is loaded when the parent is repaired, without being touched."""
    small_project.source(lake.folder, "UPDATE place SET name = NULL WHERE id = 3")
    lake.run(limits=SMALL)
    waiting = [n for n in range(small_project.PLANTS) if n % 50 == 3 and n % 13 and n % 10 != 7]
    second = lake.run(repaired=[_edited(_file(lake, "places"), ("3", "name", "'=mended"))], limits=SMALL)
    assert (_table(second, "places").loaded, _table(second, "places").rejected) == (1, 0)
    assert _table(second, "plants").loaded == len(waiting) == 3
    names = {
        row["name"] for batch in lake.read_target("places", ["original_source_id", "name"]) for row in batch.to_pylist()
    }
    assert "=mended" in names


@pytest.mark.sweep
def test_a_repaired_file_that_was_repaired_again(lake):
    """The rejects of a replay are rejects like others: a second replay goes on from the first."""
    lake.run(limits=SMALL)
    lake.run(repaired=[_edited(_file(lake), ("7", "kind", "tree"))], limits=SMALL)
    third = lake.run(repaired=[_edited(_file(lake), ("17", "kind", "bush"))], limits=SMALL)
    assert _table(third, "plants").rejected == len(REJECTED) - 2
    assert _kinds(lake) == {"7": "Tree", "17": "Bush"}


@pytest.mark.sweep
def test_a_killed_replay_goes_on_by_the_same_command_and_by_no_other(lake):
    """Killed in its extract and again before publishing, the same files finish it; other files or none are refused."""
    lake.run(limits=SMALL)
    file = _edited(_file(lake), ("7", "kind", "tree"))
    file = file.rename(file.with_name("mine.csv"))
    other = _edited(_file(lake), ("17", "kind", "tree"))
    for fault in ("after:segment_written:2:kill", "before:rejects_replayed:1:kill", "after:batch_staged:2:kill"):
        assert small_project.run(lake.folder, fault, repaired=[file]).returncode == -signal.SIGKILL
    with pytest.raises(Refused, match="other repaired rejects"):
        lake.run(limits=SMALL)
    with pytest.raises(Refused, match="other repaired rejects"):
        lake.run(repaired=[other], limits=SMALL)
    done = lake.run(repaired=[file], limits=SMALL)
    assert done.resumed
    assert _kinds(lake) == {"7": "Tree"}


def test_everything_that_is_wrong_in_a_file_is_said_at_once_and_nothing_is_done(lake):
    """Edited keys, bad values, unknown and doubled rows: each by row and column, no value told, no run begun."""
    first = lake.run(limits=SMALL)
    file = _edited(_file(lake), ("7", "height_m", "very secret"), ("17", "id", "1017"), ("27", "kind", "tree"))
    lines = file.read_text().splitlines()
    last = len(lines) + 3
    forged = lines[3].replace(f"{first.run}.m001.", f"{first.run}.m001.9")
    file.write_text("\n".join([*lines, forged, lines[3], lines[4].replace(".m001.", ".m009.")]) + "\n")
    with pytest.raises(UsageError) as caught:
        lake.run(repaired=[file], limits=SMALL)
    told = str(caught.value).splitlines()
    assert told[0].endswith("(5 problems):")
    wanted = [
        f"row {last}: 'transhume_row' is not what",
        "row 2: column 'height_m' is no number",
        "row 3: column 'id' is part of the key",
        f"row {last - 2}: '{first.run}.m001.927' is no reject",
        f"row {last - 1}: the row stands twice",
    ]
    for words in wanted:
        assert any(words in line for line in told), (words, told)
    assert "very secret" not in str(caught.value)
    assert [folder.name for folder in lake.runs.iterdir()] == [first.run]


def test_a_header_that_was_changed_is_refused_by_name(lake):
    """Missing, unknown and doubled columns are named; so is a file in which nothing happened."""
    lake.run(limits=SMALL)
    file = _file(lake)
    text = file.read_text(encoding="utf-8-sig")
    changed = {
        text.replace(",kind,", ",sort,"): r"'kind' is missing(?s:.*)'sort' is no column",
        text.replace("transhume_row,", "row,"): "no table of rejects",
        text.replace(",kind,", ",kind,kind,", 1): "stands twice in the header",
        text.splitlines()[0] + "\n": "no row",
        text: "no cell was changed",
    }
    for content, told in changed.items():
        file.write_text(content)
        with pytest.raises(UsageError, match=told):
            lake.run(repaired=[file], limits=SMALL)


@pytest.mark.sweep
def test_rejects_of_another_run_are_refused(lake):
    """Unknown runs, runs of another plan, runs that were rolled back or brought a part: each is named."""
    lake.run(limits=SMALL)
    file = _edited(_file(lake), ("7", "kind", "tree"))
    strange = file.with_name("strange.csv")
    strange.write_text(file.read_text().replace("20", "19", 1))
    with pytest.raises(UsageError, match="runs"):
        lake.run(repaired=[strange], limits=SMALL)
    plan = lake.folder / "transhume.yaml"
    text = plan.read_text()
    plan.write_text(text.replace("tree, TREE", "tree, TREE, weed"))
    with pytest.raises(Refused, match="plan was changed"):
        lake.run(repaired=[file], limits=SMALL)
    plan.write_text(text)
    lake.rollback()
    with pytest.raises(Refused, match="was rolled back"):
        lake.run(repaired=[file], limits=SMALL)


@pytest.mark.sweep
def test_a_damaged_file_of_the_earlier_run_is_refused(lake):
    """Rejects and extract are held against the hashes of the earlier run's journal before they are used."""
    run = lake.run(limits=SMALL)
    file = _edited(_file(lake), ("7", "kind", "tree"))
    segment = max((lake.runs / run.run / "work" / "extract").rglob("*.parquet"))
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-9] + b"x" + whole[-8:])
    with pytest.raises(Refused, match="is not what the earlier run extracted"):
        lake.run(repaired=[file], limits=SMALL)
    segment.write_bytes(whole)
    kept = next(path for path in run.rejects.glob("m001/*.parquet"))
    kept.write_bytes(kept.read_bytes() + b" ")
    with pytest.raises(Refused, match="is not what the run wrote"):
        lake.run(repaired=[file], limits=SMALL, fresh=True)


def test_a_bad_line_of_a_file_is_repaired_column_by_column(tmp_path):
    """A line that was no row becomes one when its columns are filled in; left in its column it is refused."""
    project = files_project(tmp_path)
    first = project.run()
    file = _file(project, "places")
    with file.open(newline="", encoding="utf-8-sig") as opened:
        rows = list(csv.DictReader(opened))
    bad = [row for row in rows if "(line)" in row["id"]]
    assert len(bad) == 2
    bad[0].update({"id": "901", "height": "12"})
    done = project.run(repaired=[_written(file.with_name("r.csv"), [bad[0]])])
    before, after = _table(first, "places"), _table(done, "places")
    assert (after.loaded, after.rejected) == (1, before.rejected - 1)
    bad[1]["height"] = "12"
    with pytest.raises(UsageError, match="still holds the whole line"):
        project.run(repaired=[_written(file.with_name("r2.csv"), [bad[1]])])


PHASES = "phases:\n  ground: {tables: [places]}\n  green: {tables: [plants]}\n"


def test_a_replay_belongs_to_the_wave_of_its_rejects_and_goes_back_before_it(lake):
    """The wave is known by the file, another is refused; a run is kept while a replay of its rejects stands."""
    plan = lake.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("tables:\n", f"{PHASES}tables:\n", 1))
    small_project.source(lake.folder, "UPDATE place SET name = NULL WHERE id = 3")
    ground = lake.run(phase="ground", limits=SMALL)
    before = _content(lake)
    file = _edited(_file(lake, "places"), ("3", "name", "mended"))
    with pytest.raises(UsageError, match=r"brought the phase 'ground'; leave '--phase green' out"):
        lake.run(repaired=[file], phase="green")
    replayed = lake.run(repaired=[file], limits=SMALL)
    assert [(table.mapping, table.loaded, table.unchanged) for table in replayed.tables] == [("places", 1, 49)]
    assert "replays rejects of it" in str(lake.preview_rollback(ground.run).report.later_runs)
    with pytest.raises(Refused, match=f"{replayed.run}', which replays rejects of it, stands on it"):
        lake.rollback(ground.run)
    # The source is as it was: the later wave meets the bad row again, and its own file has parent and child.
    green = lake.run(phase="green", limits=SMALL)
    assert (_table(green, "places").rejected, _table(green, "plants").loaded) == (1, 105)
    both = lake.run(repaired=[_edited(_file(lake, "places"), ("3", "name", "mended"))], phase="green", limits=SMALL)
    assert (_table(both, "places").unchanged, _table(both, "plants").loaded) == (50, 3)
    for run, stands in ((replayed, "green"), (green, "replays rejects of it")):
        with pytest.raises(Refused, match=stands):
            lake.rollback(run.run)
    for run in (both, green, replayed):
        lake.rollback(run.run)
    assert _content(lake) == before
    with pytest.raises(Refused, match="was rolled back, so its rejects cannot be replayed"):
        lake.run(repaired=[_edited(_file_of(lake, green.run), ("3", "name", "mended"))])


def _file_of(project: Project, run: str) -> Path:
    (file,) = [each for each in project.write_rejects(run, form="csv") if each.stem.endswith("places")]
    return file
