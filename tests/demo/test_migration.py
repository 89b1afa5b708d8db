"""The demo's migration rejects exactly the rows that an independent reading of its database rejects."""

import sqlite3

import pyarrow.dataset
import pytest
from pyiceberg.catalog import load_catalog
from ruamel.yaml import YAML
from tests.demo.judge import judge

from transhume import Project
from transhume.demo import generate, write_project
from transhume.demo.project import read_project_file
from transhume.demo.rows import COLUMNS


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """Folder, answer key and result of one migration of 3,000 models into a lake."""
    folder = tmp_path_factory.mktemp("demo")
    write_project(folder)
    key = generate(folder / "legacy.db", 3000, seed=11)
    environment = {
        "LEGACY_URL": f"sqlite:///{folder / 'legacy.db'}",
        "PLATFORM_URL": f"iceberg:{folder / 'lake'}?namespace=ai",
    }
    project = Project(folder, environment=environment)
    assert project.backup().is_verified
    return folder, key, project.run()


@pytest.fixture(scope="module")
def judged(migrated):
    algorithms = YAML(typ="safe").load(read_project_file("transhume.yaml"))["lookups"]["algorithms"]
    return judge(migrated[0] / "legacy.db", [name for one, others in algorithms.items() for name in (one, *others)])


def test_buckets_and_reasons_are_those_of_the_answer_key(migrated):
    """Table by table, reason by reason."""
    _, key, result = migrated
    for table in result.tables:
        answer = key.tables[table.mapping]
        buckets = (table.read, table.loaded, table.rejected, table.filtered)
        assert buckets == (answer.read, answer.loaded, answer.rejected, answer.filtered), table.mapping
        assert dict(table.reasons) == dict(answer.reasons), table.mapping


def test_every_rejected_row_is_kept_with_the_reasons_that_the_judge_finds(migrated, judged):
    """Row by row: no other row is rejected, none for another reason."""
    _, key, result = migrated
    for ordinal, answer in enumerate(key.tables.values()):
        kept = pyarrow.dataset.dataset(result.rejects / f"m{ordinal:03d}", format="parquet")
        rows = kept.to_table(columns=["_row", "_reasons"]).to_pylist()
        found = {row["_row"] + 1: set(row["_reasons"].split("\n")) for row in rows}
        wanted = {row: set(reasons) for row, reasons in judged[answer.source].items() if reasons}
        assert found == wanted, answer.mapping


def test_the_lake_holds_the_rows_that_the_judge_lets_pass(migrated, judged):
    """By original key, read with pyiceberg: neither one row more nor one less."""
    folder, key, _ = migrated
    lake = folder / "lake"
    catalog = load_catalog("default", type="sql", uri=f"sqlite:///{lake / 'catalog.db'}", warehouse=str(lake))
    connection = sqlite3.connect(f"file:{folder / 'legacy.db'}?mode=ro", uri=True)
    for answer in key.tables.values():
        column = COLUMNS[answer.source][0]
        ids = dict(connection.execute(f"SELECT rowid, {column} FROM {answer.source}").fetchall())
        held = catalog.load_table(f"ai.{answer.mapping}").scan(selected_fields=("original_source_id",)).to_arrow()
        wanted = sorted(ids[row] for row, reasons in judged[answer.source].items() if reasons == [])
        assert sorted(held["original_source_id"].to_pylist()) == wanted, answer.mapping
    connection.close()
