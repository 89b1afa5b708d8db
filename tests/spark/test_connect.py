"""The demo's migration through a Spark Connect server, to which the process of the run only speaks."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.spark.cluster import connect_server
from tests.spark.demo_runs import differences_from_key, values


@pytest.mark.sweep
def test_a_connect_server_gives_what_the_answer_key_says(
    tmp_path: Path, published_by_duckdb: Mapping[str, list[str]]
) -> None:
    """Every number is the key's, and every published value is that of a run by DuckDB."""
    with connect_server(tmp_path / "server") as url:
        assert differences_from_key(tmp_path / "remote", url) == []
    assert values(tmp_path / "remote") == published_by_duckdb
