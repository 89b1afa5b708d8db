"""A server as the target that tasks write, and as the source that tasks read, each by a connection of its own."""

from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from tests import servers
from tests.stages import small_project
from transhume import Project
from transhume.stages.context import Limits
from transhume.systems.postgres import source

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
_PLAN = """\
transhume: 1
name: parts
namespace: parts
source: ${{SOURCE_URL}}
target: iceberg:./lake?namespace=ai
engine: {engine}
tables:
  notes: {{from: note, key: id, create: true, types: {{id: bigint}}, columns: {{id: id, text: text}}}}
"""


@pytest.mark.sweep
def test_tasks_of_spark_write_a_server(
    tmp_path: Path, postgres_server: servers.PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row of every table is that of a run on one machine, each batch was staged by another connection."""
    content = {}
    for engine in ("duckdb", "local[2]"):
        with postgres_server.database() as name:
            url = postgres_server.url(name)
            folder = tmp_path / engine
            small_project.write(folder, f"{url}&schema=ai")
            plan = folder / "transhume.yaml"
            plan.write_text(f"{plan.read_text()}engine: {engine}\n")
            project = Project(folder)
            project.run(limits=SMALL)
            content[engine] = small_project.postgres_content(url, "ai")
            with psycopg.connect(url) as reader:
                query = "SELECT count(*), count(DISTINCT xmin::text) FROM transhume.batches"
                assert reader.execute(query).fetchone() == (6, 6)
            assert not project.validate(whole=True).failed
            project.rollback()
            assert small_project.postgres_content(url, "ai") == {}
    assert content["local[2]"] == content["duckdb"]


@pytest.mark.sweep
def test_tasks_of_spark_read_a_server(
    tmp_path: Path, postgres_server: servers.PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of a table that other processes read at one snapshot are the table, row for row, as one reader gives it."""
    monkeypatch.setattr(source, "_RANGE_BYTES", 8 * 8_192)
    content, rows = {}, {}
    with postgres_server.database() as name:
        url = postgres_server.url(name)
        with psycopg.connect(url) as owner:
            owner.execute("CREATE TABLE note (id bigint, text text)")
            owner.execute("INSERT INTO note SELECT n, repeat('x', n % 300) FROM generate_series(1, 4000) n")
            owner.execute("DELETE FROM note WHERE id BETWEEN 1000 AND 2000")
        for engine in ("duckdb", "local[2]"):
            folder = tmp_path / engine
            folder.mkdir()
            (folder / ".env").write_text(f"SOURCE_URL={url}\n")
            (folder / "transhume.yaml").write_text(_PLAN.format(engine=engine))
            project = Project(folder)
            project.run(limits=SMALL)
            content[engine] = small_project.lake_content(folder, "ai")
            files = sorted(project.runs.rglob("extract/t000/*.parquet"))
            rows[engine] = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert content["local[2]"] == content["duckdb"]
    assert rows["local[2]"] == rows["duckdb"]
    assert len(files) > len(rows["duckdb"]) / small_project.SEGMENT_ROWS + 1
