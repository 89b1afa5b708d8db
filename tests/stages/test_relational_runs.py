"""Runs whose rows need other rows: joins, pivots, tables that only feed, values from other systems."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.stages import small_project
from transhume import Project
from transhume.cli.output import Output
from transhume.cli.results import print_run
from transhume.errors import CheckFailed
from transhume.project.results import CheckReport

HEAD = "transhume: 1\nname: related\nnamespace: related\nsource: ${SOURCE_URL}\ntarget: ${TARGET_URL}\n"
TAGS = """\
tables:
  runs:
    from: run
    key: id
    create: true
    types: {run_id: uuid primary key, owner: text(40), size: bigint}
    join: {tag: {from: tag, on: {run: id}, pivot: {name: k, value: v, take: {owner: user, size: bytes}}, ignore: [x]}}
    columns: {run_id: {uuid: id}, original_source_id: id, owner: tag.owner, size: tag.size}
"""
Tables = Mapping[str, tuple[str, Sequence[tuple[Any, ...]]]]


def make(folder: Path, plan: str, tables: Tables, target: str = "iceberg:./lake?namespace=r", **urls: str) -> Project:
    """Make a project whose SQLite source has these tables: name to (columns, rows)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "transhume.yaml").write_text(HEAD + plan)
    write(folder / "source.db", tables)
    return Project(folder, environment={"SOURCE_URL": "sqlite:///source.db", "TARGET_URL": target, **urls})


def write(database: Path, tables: Tables) -> None:
    """Make tables of a SQLite database anew."""
    with sqlite3.connect(database) as source:
        for name, (columns, rows) in tables.items():
            source.execute(f"DROP TABLE IF EXISTS {name}")
            source.execute(f"CREATE TABLE {name} ({columns})")
            marks = ", ".join("?" * (columns.count(",") + 1))
            source.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
    source.close()


def lake_rows(project: Project, table: str) -> list[dict[str, Any]]:
    """Return the rows of a table of the project's lake as pyiceberg reads them."""
    found = small_project.catalog(project.folder).load_table(f"r.{table}").scan().to_arrow()
    return found.drop_columns(["migration_batch"]).to_pylist()


def buckets(project: Project) -> dict[str, dict[str, int]]:
    """Return the buckets of the newest run that hold any row."""
    names = ("loaded", "unchanged", "rejected", "filtered", "deduplicated")
    return {
        table.mapping: {name: count for name in names if (count := table.to_dict().get(name))}
        for table in project.result().tables
    }


def errors(report: CheckReport) -> list[tuple[int, int, str]]:
    """Return line, column and message of every error."""
    return [(e.position.line, e.position.column, e.message) for e in report.errors if e.position is not None]


_RUNS = ("id INTEGER PRIMARY KEY", [(1,), (2,)])
_TAG_ROWS = [(1, "user", "ann"), (1, "bytes", "17"), (2, "user", "bob"), (2, "x", "not wanted")]


def test_a_table_that_only_feeds_is_counted_as_fed(tmp_path, capsys):
    """A joined table without a mapping is counted in the result, the journal and the table at the end of a run."""
    project = make(tmp_path, TAGS, {"run": _RUNS, "tag": ("run INTEGER, k TEXT, v TEXT", _TAG_ROWS)})
    told = []
    result = project.run(listener=told.append)
    rows = sorted((row["original_source_id"], row["owner"], row["size"]) for row in lake_rows(project, "runs"))
    assert rows == [(1, "ann", 17), (2, "bob", None)]
    assert result.to_dict()["fed"] == {"tag": 4}
    assert [event.fields["rows"] for event in told if event.kind == "tables_fed"] == [{"tag": 4}]
    print_run(Output(str(tmp_path), environment=None, as_json=False, quiet=False, verbose=False, color=False), result)
    assert ["tag", "4"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_children_are_gathered_into_one_object(tmp_path):
    """Each row gets the names and values of its own children, exact texts in the order of the names."""
    plan = TAGS.replace("columns: {", "columns: {all_tags: {gather: tag, on: {run: id}, name: k, value: v}, ")
    twice = [(3, "x", "1"), (3, "x", "1")]
    runs = ("id INTEGER PRIMARY KEY", [(1,), (2,), (3,), (4,)])
    project = make(tmp_path, plan, {"run": runs, "tag": ("run INTEGER, k TEXT, v TEXT", [*_TAG_ROWS, *twice])})
    assert [(finding.code, finding.count, finding.column) for finding in project.check().findings][-2:] == [
        ("reject_limit", 1, None),
        ("duplicate_name", 1, "all_tags"),
    ]
    (tmp_path / "transhume.yaml").write_text(HEAD + "defaults: {max_rejects: {duplicate_name: 1}}\n" + plan)
    project.run()
    rows = {row["original_source_id"]: row["all_tags"] for row in lake_rows(project, "runs")}
    assert rows == {1: '{"bytes":"17","user":"ann"}', 2: '{"user":"bob","x":"not wanted"}', 4: "{}"}


def test_a_key_that_a_pivot_does_not_know_stops_before_staging(tmp_path):
    """`check` names each such key with its rows, place and cure; a run stages nothing, and goes once the plan knows."""
    rows = [*_TAG_ROWS, (1, "usr", "a"), (2, "usr", "b"), (9, None, "c")]
    project = make(tmp_path, TAGS, {"run": _RUNS, "tag": ("run INTEGER, k TEXT, v TEXT", rows)})
    report = project.check()
    assert errors(report) == [
        (12, 71, "2 rows of 'tag': the key 'usr' is neither taken nor ignored by the pivot 'tag'"),
        (12, 71, "1 row of 'tag': 'k' is NULL or no text, and the pivot 'tag' knows no such key"),
    ]
    assert [(finding.cure, finding.count) for finding in report.errors] == [
        ("write 'usr' under take or ignore ('user' is taken)", 2),
        ('leave them out by where: "k is not null", or correct the source', 1),
    ]
    with pytest.raises(CheckFailed, match="nothing was staged"):
        project.run()
    assert project.result().state == "failed"
    assert not small_project.catalog(tmp_path).namespace_exists("r")
    assert "usr" not in (project.runs / project.result().run / "journal.jsonl").read_text(), "no data value"
    plan = tmp_path / "transhume.yaml"
    plan.write_text(plan.read_text().replace("ignore: [x]", 'ignore: [x, usr], where: "k is not null"'))
    project.run()
    assert buckets(project) == {"runs": {"loaded": 2}}
