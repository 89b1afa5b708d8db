"""The demo's migration through a Spark Connect server, to which the process of the run only speaks."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pyspark.sql.connect.client.retries import DefaultPolicy

from tests.spark.cluster import connect_server
from tests.spark.demo_runs import differences_from_key, values
from transhume.dialects.spark import SESSION
from transhume.engines.spark import SparkEngine
from transhume.errors import EngineCrashed


@pytest.mark.sweep
def test_a_connect_server_gives_what_the_answer_key_says(
    tmp_path: Path, published_by_duckdb: Mapping[str, list[str]]
) -> None:
    """Every number is the key's, and every published value is that of a run by DuckDB."""
    with connect_server(tmp_path / "server") as url:
        assert differences_from_key(tmp_path / "remote", url) == []
    assert values(tmp_path / "remote") == published_by_duckdb


@pytest.mark.sweep
def test_a_server_that_is_gone_is_told_of(tmp_path: Path) -> None:
    """What is asked of it then ends as work that is not done, which the same command does again; no call hides that."""
    with connect_server(tmp_path / "server") as url:
        engine = SparkEngine(tmp_path / "work", url, SESSION)
        assert engine.query("SELECT 1 AS `x`").to_pydict() == {"x": [1]}
        assert engine._session is not None
        # In place of the ten minutes for which a server may be out of reach.
        engine._session.client.set_retry_policies([DefaultPolicy(max_retries=0)])
    engine.cancel()
    with pytest.raises(EngineCrashed, match="is gone"):
        engine.query("SELECT 1 AS `x`")
    engine.cancel()
    engine.close()
