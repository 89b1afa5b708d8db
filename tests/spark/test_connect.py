"""The demo's migration through a Spark Connect server, to which the process of the run only speaks."""

from pathlib import Path

import pytest

from tests.spark.cluster import connect_server
from tests.spark.demo_runs import differences_from_key, make_project, values
from transhume.project import Project


@pytest.mark.sweep
def test_a_connect_server_gives_what_the_answer_key_says(tmp_path: Path) -> None:
    """Every number is the key's, and every published value is that of a run by DuckDB."""
    make_project(tmp_path / "alone", None)
    Project(tmp_path / "alone").run()
    with connect_server(tmp_path / "server") as url:
        assert differences_from_key(tmp_path / "remote", url) == []
    assert values(tmp_path / "remote") == values(tmp_path / "alone")
