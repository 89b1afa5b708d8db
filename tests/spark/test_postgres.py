"""A server as the target of a run whose tasks write it, each batch by a connection of its own."""

from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.stages import small_project
from transhume import Project
from transhume.stages.context import Limits

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)


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
