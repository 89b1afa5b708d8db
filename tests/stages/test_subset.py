"""A part of the source, really published: whole in its references, the same for a seed, unchanged for the full run."""

import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.stages import later_project as later
from tests.stages import small_project
from transhume import Project
from transhume.checks.counts import BUCKETS
from transhume.errors import Refused, UsageError
from transhume.journal import read_journal
from transhume.project import RunResult, Subset
from transhume.stages.context import Limits

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)


def _ids(folder: Path) -> dict[str, set[int]]:
    """Return the original ids that readers of the lake find, by table."""
    lake = small_project.catalog(folder)
    found = {}
    for _, name in lake.list_tables("ai"):
        found[name] = set(lake.load_table(("ai", name)).scan().to_arrow()["original_source_id"].to_pylist())
    return found


def _accounted(result: RunResult) -> dict[str, dict[str, int]]:
    for table in result.tables:
        assert table.read == sum(getattr(table, bucket) for bucket in BUCKETS)
    told = {table.mapping: {one: getattr(table, one) for one in BUCKETS} for table in result.tables}
    return {mapping: {one: count for one, count in counts.items() if count} for mapping, counts in told.items()}


def _closed(plants: set[int], places: set[int]) -> tuple[set[int], set[int], set[int]]:
    """Return what rows of the later project refer to, by its formulas: parent n // 2, place n % 25, region n % 15."""
    waiting = set(plants)
    while waiting:
        waiting = {n // 2 for n in waiting if n % 4} - plants
        plants = plants | waiting
    places = places | {n % 25 for n in plants}
    return plants, places, {n % 15 for n in places}


def test_a_part_is_closed_under_references_and_unchanged_later(tmp_path):
    """Three rows of each table and all that they refer to, nothing else; then the rest, and the part is unchanged."""
    later.write(tmp_path / "p", "iceberg:./lake?namespace=ai", "error")
    project = Project(tmp_path / "p")
    part = project.run(limits=SMALL, subset=Subset(rows=3, seed=5))
    found = _ids(tmp_path / "p")
    plants, places, regions = _closed(found["plants"], found["places"])
    assert (plants, places) == (found["plants"], found["places"]), "a row refers to one outside"
    assert regions <= found["regions"]
    assert len(found["regions"] - regions) <= 3
    assert 3 <= len(plants) < 40
    assert _accounted(part) == {
        mapping: {"loaded": len(found[mapping]), "outside": rows - len(found[mapping])}
        for mapping, rows in later.ROWS.items()
    }
    whole = project.run(limits=SMALL)
    assert _accounted(whole) == {
        mapping: {"loaded": rows - len(found[mapping]), "unchanged": len(found[mapping])}
        for mapping, rows in later.ROWS.items()
    }
    assert {table.vanished for table in whole.tables} == {0}
    assert {mapping: len(ids) for mapping, ids in _ids(tmp_path / "p").items()} == later.ROWS


def test_a_part_meets_the_foreign_keys_of_a_server(tmp_path, postgres_url):
    """PostgreSQL itself holds the part's references; the full run into it finds the part unchanged."""
    later.write(tmp_path / "p", f"{postgres_url}&schema=ai", "error")
    project = Project(tmp_path / "p")
    part = {table.mapping: table.loaded for table in project.run(limits=SMALL, subset=Subset(percent=5)).tables}
    assert _accounted(project.run(limits=SMALL)) == {
        mapping: {"loaded": rows - part[mapping], "unchanged": part[mapping]} for mapping, rows in later.ROWS.items()
    }
    with psycopg.connect(postgres_url) as reader:
        query = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'ai'::regnamespace"
        assert reader.execute(query).fetchone() == (3,)


def test_a_seed_chooses(tmp_path):
    """The same seed gives the same rows in another project and run; another seed gives others."""
    chosen = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        later.write(tmp_path / name, "iceberg:./lake?namespace=ai", "error")
        Project(tmp_path / name).run(limits=SMALL, subset=Subset(percent=10, seed=seed))
        chosen.append(_ids(tmp_path / name))
    assert chosen[0] == chosen[1] != chosen[2]


def test_rejects_and_filters_of_a_part_are_its_own(tmp_path):
    """Chosen rows that are rejected or filtered count as such, rows outside do not, whatever they would have been."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    whole = small_project.expected_buckets()["plants"]
    result = Project(tmp_path / "p").run(limits=SMALL, subset=Subset(percent=30))
    told = _accounted(result)["plants"]
    assert 0 < told["rejected"] < whole["rejected"]
    assert 0 < told["filtered"] < whole["filtered"]
    assert told["outside"] > 130 // 3
    plants = next(table for table in result.tables if table.mapping == "plants")
    assert plants.reasons["unmapped:kind"] == told["rejected"]


@pytest.mark.parametrize("point", ["after:subset_chosen:2", "after:batch_staged:1"])
def test_a_killed_part_goes_on_with_the_same_rows_and_no_others(point, tmp_path):
    """A run of a part is finished by the same command; the command for another part, or for all, is refused."""
    later.write(tmp_path / "p", "iceberg:./lake?namespace=ai", "error")
    killed = small_project.run(tmp_path / "p", f"{point}:kill", subset=Subset(rows=3, seed=5))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    project = Project(tmp_path / "p")
    with pytest.raises(Refused, match="another part of the source"):
        project.run(limits=SMALL)
    with pytest.raises(Refused, match="seed 6"):
        project.run(limits=SMALL, subset=Subset(rows=3, seed=6))
    project.run(limits=SMALL, subset=Subset(rows=3, seed=5))
    later.write(tmp_path / "q", "iceberg:./lake?namespace=ai", "error")
    Project(tmp_path / "q").run(limits=SMALL, subset=Subset(rows=3, seed=5))
    assert _ids(tmp_path / "p") == _ids(tmp_path / "q")


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({}, "needs one size"),
        ({"rows": 1, "percent": 1.0}, "needs one size"),
        ({"rows": 0}, "0 rows holds nothing"),
        ({"percent": 0.0}, "0 percent"),
        ({"percent": 100.5}, "100.5 percent"),
        ({"percent": float("nan")}, "nan percent"),
    ],
)
def test_a_part_that_is_none_is_refused(sizes, told):
    """Each wrong size is said with its value."""
    with pytest.raises(UsageError, match=told):
        Subset(**sizes)


def test_a_size_without_a_part_is_wrong_usage(tmp_path):
    """`run --rows 3` alone would bring everything: it is refused."""
    later.write(tmp_path / "p", "iceberg:./lake?namespace=ai", "error")
    command = [sys.executable, "-c", "from transhume.cli import main; main()", "-p", str(tmp_path / "p")]
    refused = subprocess.run([*command, "run", "--rows", "3"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "write --subset" in refused.stderr
    assert not (tmp_path / "p" / "lake").exists()


def test_a_covering_part_holds_a_row_for_each_way_over_joined_columns(tmp_path):
    """One plant of 130 has a remark: by chance its row would not be chosen, and 'choice 1' would never be rehearsed."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    small_project.source(folder, "CREATE TABLE remark (plant_id INTEGER PRIMARY KEY, text TEXT)")
    small_project.source(folder, "INSERT INTO remark VALUES (95, 'planted by Ada')")
    plan = folder / "transhume.yaml"
    join = "    join: {remark: {from: remark, on: {plant_id: id}}}\n    columns:\n      plant_id:"
    text = plan.read_text().replace("    columns:\n      plant_id:", join)
    text = text.replace("      height_m:", "      remark: {coalesce: [remark.text, kind]}\n      height_m:")
    plan.write_text(text)
    run = Project(folder).run(subset=Subset(rows=1, covering=True), limits=Limits(segment_rows_max=40))
    events = [entry.event for entry in read_journal(run.rejects.parent / "journal.jsonl")]
    told = {e.fields["mapping"]: e.fields for e in events if e.kind == "subset_covered"}["plants"]
    assert {"choice 1 of remark", "choice 2 of remark"} <= set(told["covered"])
    assert not [way for way in told["missing"] if way.endswith("of remark")]
    rows = small_project.catalog(folder).load_table("ai.plants").scan().to_arrow().to_pylist()
    assert [row["original_source_id"] for row in rows if row["remark"] == "planted by Ada"] == [95]
