"""The demo's migration through a Spark Connect server, to which the process of the run only speaks."""

import subprocess
import sys
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


_GONE = """
import sys
from pathlib import Path
from pyspark.sql.connect.client.retries import DefaultPolicy
from transhume.dialects.spark import SESSION
from transhume.engines.spark import SparkEngine
from transhume.errors import EngineCrashed

engine = SparkEngine(Path(sys.argv[1]), sys.argv[2], SESSION)
print(engine.query("SELECT 1 AS `x`").to_pydict(), flush=True)
# In place of the ten minutes for which a server may be out of reach.
engine._session.client.set_retry_policies([DefaultPolicy(max_retries=0)])
sys.stdin.readline()
engine.cancel()
try:
    engine.query("SELECT 1 AS `x`")
except EngineCrashed as problem:
    print(problem)
engine.cancel()
engine.close()
"""


@pytest.mark.sweep
def test_a_server_that_is_gone_is_told_of(tmp_path: Path) -> None:
    """What is asked of it then ends as work that is not done, which the same command does again; no call hides that.

    In a process of its own: where one has spoken to a server, Spark itself does not begin in it any more.
    """
    with connect_server(tmp_path / "server") as url:
        line = [sys.executable, "-c", _GONE, str(tmp_path / "work"), url]
        asking = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert asking.stdout is not None
        assert asking.stdout.readline() == "{'x': [1]}\n"
    told, _ = asking.communicate("\n", timeout=120)
    assert f"the engine '{url}' is gone" in told
    assert asking.returncode == 0
