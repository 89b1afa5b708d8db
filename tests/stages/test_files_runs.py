"""A folder of files as the source of a project: one whole run, what stops it, what drafts and profiles say."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.stages.small_project import catalog
from transhume import Project
from transhume.batches import Event
from transhume.errors import CheckFailed, PlanError, SystemRefused, SystemUnavailable
from transhume.project.scaffolding import scaffold
from transhume.stages.context import Limits

PLAN = """\
transhume: 1
name: files
namespace: files
source: files:in
target: iceberg:./lake?namespace=ai
consistency: none
defaults: {max_rejects: 80%}
tables:
  places:
    from: place
    key: id
    where: "note is null or note <> 'gone'"
    create: true
    types: {place_id: uuid primary key, height: bigint}
    columns: {place_id: {uuid: id}, original_source_id: id, height: height}
    drop: [note]
  plants:
    from: plant
    key: id
    create: true
    types: {place_id: uuid references places, price: 'decimal(20,2)'}
    columns:
      plant_id: {uuid: id}
      place_id: {ref: place_id, table: places}
      kind: {coalesce: [kind, {value: none}]}
      price: price
"""
PLACES = (
    b'id,height,note\r\n1,10,\r\n2,"20","two\nlines"\r\n3,x,\r\n4,40\r\n5,5"0,\r\n'
    b"6,60,\xff\r\n7,70,gone\r\n\r\n8,80,ok\r\n"
)
PLANTS = b"""{"id": 1, "place_id": 1, "price": 1.10}
{"id": 2, "place_id": 2, "kind": "tree", "price": 123456789012345678.25}
{"id": 3, "place_id": 3}
{"id": 4, "place_id": 8, "id": 5}
{"id": 6, "place_id": 7}
not json
{"id": 7, "place_id": 8, "price": 0.125}
"""


def _project(folder: Path, plan: str = PLAN) -> Project:
    (folder / "in").mkdir()
    (folder / "in" / "place.csv").write_bytes(PLACES)
    (folder / "in" / "plant.jsonl").write_bytes(PLANTS)
    (folder / "transhume.yaml").write_text(plan)
    return Project(folder)


@pytest.mark.parametrize("limits", [Limits(), Limits(segment_rows_max=2)])
def test_a_folder_becomes_tables_and_each_bad_line_a_reject_with_its_number(tmp_path: Path, limits: Limits) -> None:
    """Every line is in one bucket; rejects for people say line and text; the result says that there was no snapshot."""
    result = _project(tmp_path).run(limits=limits)
    buckets = {t.mapping: (t.read, t.loaded, t.rejected, t.filtered) for t in result.tables}
    # lines 2, 3 (two of them) load; 5 (x), 6 (short), 7 (quote), 8 (the `where` cannot be read) not; 9 is filtered
    assert buckets == {"places": (8, 3, 4, 1), "plants": (7, 2, 5, 0)}
    assert result.one_instant is False
    assert result.to_dict()["one_instant"] is False
    lake = catalog(tmp_path)
    places = lake.load_table(("ai", "places")).scan().to_arrow().to_pylist()
    assert sorted((row["original_source_id"], row["height"]) for row in places) == [("1", 10), ("2", 20), ("8", 80)]
    plants = lake.load_table(("ai", "plants")).scan().to_arrow().to_pylist()
    assert sorted((row["kind"], str(row["price"])) for row in plants) == [
        ("none", "1.10"),
        ("tree", "123456789012345678.25"),
    ]
    assert _people(result.rejects, "places") == [
        ["bad_integer:height", "5", "3", "x", ""],
        ["bad_line:place", "6", "4,40 (line)", "", ""],
        ["bad_line:place", "7", '5,5"0, (line)', "", ""],
        ["bad_encoding:note", "8", "6", "60", r"\xff (invalid)"],
    ]
    assert [row[:2] for row in _people(result.rejects, "plants")] == [
        ["parent_rejected:place_id", "3"],
        ["bad_line:plant", "4"],
        ["parent_filtered:place_id", "5"],
        ["bad_line:plant", "6"],
        ["bad_number:price", "7"],
    ]
    kept = [
        row for file in sorted((result.rejects / "m001").glob("*.parquet")) for row in pq.read_table(file).to_pylist()
    ]
    assert [row["_odd"][0]["value"] for row in kept if row["_odd"]] == [
        b'{"id": 4, "place_id": 8, "id": 5}',
        b"not json",
    ]


def _people(rejects: Path, mapping: str) -> list[list[str]]:
    (file,) = rejects.glob(f"*-{mapping}.csv")
    with file.open(newline="", encoding="utf-8") as opened:
        header, *rows = csv.reader(opened)
    assert header[:3] == ["transhume_row", "reasons", "line"]
    return [row[1:] for row in rows]


def test_check_predicts_bad_lines_by_number(tmp_path: Path) -> None:
    """What a run would reject is said before, with the lines to look at."""
    report = _project(tmp_path).check()
    assert report.errors == ()
    found = [each for each in report.findings if each.code == "bad_line" and each.table == "places"]
    assert [(each.count, each.sample_keys) for each in found] == [(2, ("6", "7"))]
    assert "for example line 6, 7" in found[0].message


def test_a_plan_must_say_that_there_is_no_snapshot(tmp_path: Path) -> None:
    """Without `consistency: none` nothing is read; the cure is in the error. Another word is an error of the plan."""
    project = _project(tmp_path, PLAN.replace("consistency: none\n", ""))
    with pytest.raises(PlanError, match="has no snapshot"):
        project.run()
    errors = project.check().errors
    assert [(each.code, each.position.line) for each in errors if each.position] == [("no_snapshot", 4)]
    assert "consistency: none" in errors[0].cure
    assert not (tmp_path / "lake").exists()
    (tmp_path / "transhume.yaml").write_text(PLAN.replace("consistency: none", "consistency: maybe"))
    assert [each.position.line for each in Project(tmp_path).check().errors if each.position] == [6]


def test_a_file_that_changes_while_it_is_read_stops_the_run(tmp_path: Path) -> None:
    """Nothing is published; the same command, with nobody writing, brings all of it."""
    project = _project(tmp_path)

    def write(event: Event) -> None:
        if event.kind == "segment_written" and event.fields["table"] == "place":
            with (tmp_path / "in" / "place.csv").open("ab") as file:
                file.write(b"9,90,late\r\n")

    with pytest.raises(SystemUnavailable, match=r"'place'.* nothing is published"):
        project.run(listener=write)
    assert not catalog(tmp_path).namespace_exists("ai") or not catalog(tmp_path).list_tables("ai")
    assert {t.mapping: t.read for t in project.run().tables} == {"places": 9, "plants": 7}


def test_a_bad_line_that_no_reject_would_tell_of_stops_the_run(tmp_path: Path) -> None:
    """A table that only feeds a join has no rejects: its bad lines are an error, not a missing row."""
    plan = PLAN[: PLAN.index("  plants:")].replace(
        "    columns: {", "    join: {p: {from: plant, on: {place_id: id}, latest: id}}\n    columns: {kind: p.kind, "
    )
    project = _project(tmp_path, plan)
    with pytest.raises(SystemRefused, match="line 4 of 'plant' is no row, and the table only feeds joins"):
        project.run()
    (tmp_path / "in" / "plant.jsonl").write_bytes(b"".join(PLANTS.splitlines(keepends=True)[:3]))
    assert [t.loaded for t in project.run().tables] == [3]


def test_too_many_bad_lines_publish_nothing(tmp_path: Path) -> None:
    """Bad lines count as rejects against the plan's limit."""
    project = _project(tmp_path, PLAN.replace("80%", "{bad_line: 1}"))
    with pytest.raises(CheckFailed, match="reject"):
        project.run()


def test_init_draft_and_profile_read_files(tmp_path: Path) -> None:
    """A drafted plan of files says `consistency: none` and is without errors; the profile counts values as any."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "place.csv").write_text("id,height\n1,10\n2,20\n2,\n")
    made = scaffold(tmp_path / "p", f"files:{tmp_path}/in/*.csv", "iceberg:./lake?namespace=ai")
    assert made.one_instant is False
    assert "consistency: none" in (tmp_path / "p" / "transhume.yaml").read_text()
    profile = Project(tmp_path / "p").profile().tables["place"]
    assert (profile.row_count, profile.columns["id"].distinct, profile.columns["height"].null_count) == (3, 2, 1)
    assert "no_snapshot" not in {each.code for each in Project(tmp_path / "p").check().errors}


def test_the_command_says_that_there_was_no_snapshot(tmp_path: Path) -> None:
    """A person who reads the end of a run reads it there."""
    _project(tmp_path)
    command = [sys.executable, "-c", "from transhume.cli import main; main()", "-p", str(tmp_path), "run"]
    done: Any = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "the source has no snapshot" in done.stdout + done.stderr, (done.stdout, done.stderr)


_MEASURED = """\
import json, sys
from pathlib import Path
from transhume.systems import open_source
source = open_source("files:t.*", Path(sys.argv[1]))
table = source.catalog().tables["t"]
rows = 0
with source.snapshot() as snapshot:
    for batch in snapshot.read(table, 65536, 24 * 2**20):
        rows += batch.num_rows
        del batch
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([rows, int(peak.split()[1]) / 1024]))
"""


@pytest.mark.sweep
@pytest.mark.parametrize("form", ["csv", "quoted csv", "jsonl"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, form: str) -> None:
    """200 MB of CSV take at most 20 MB more than 40 MB do, 55 MB of JSON Lines (a slower reading) than 11 MB."""
    peaks = []
    for rows in (100_000, 500_000) if form == "jsonl" else (400_000, 2_000_000):
        name = "t.jsonl" if form == "jsonl" else "t.csv"
        with (tmp_path / name).open("w") as file:
            file.write("" if form == "jsonl" else "id,name,note,number\n")
            for number in range(rows):
                name_, note = f"name of {number}", "x" * 60
                if form == "jsonl":
                    file.write(f'{{"id": {number}, "name": "{name_}", "note": "{note}"}}\n')
                elif form == "csv":
                    file.write(f"{number},{name_},{note},{number / 7}\n")
                else:
                    file.write(f'"{number}","{name_}","{note}","{number / 7}"\n')
        command = [sys.executable, "-c", _MEASURED, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found, peak = json.loads(done.stdout)
        assert found == rows
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 20, peaks
