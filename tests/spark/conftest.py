"""Tests of the engines Spark and Sail: `make test-spark` installs and runs them, each in an environment of its own.

Without either nothing here is collected.
"""

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.rules.conftest import bench  # noqa: F401 - the same DuckDB as for the rules
from tests.rules.twins import SECRETS, Bench

_SAIL = find_spec("pysail") is not None
_JVM = ["test_cluster.py", "test_connect.py", "test_postgres.py"]
"""Tests that need Spark itself, which Sail's client does not bring."""
collect_ignore_glob = (_JVM if _SAIL else ["test_sail.py"]) if find_spec("pyspark") else ["test_*.py"]
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
# Workers import the works of tests/spark/task_works.py by name.
os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """What runs rules and statements by Spark: one session of two cores for all tests."""
    from transhume.dialects.spark import SESSION, SPARK  # noqa: PLC0415 - of a test that is collected
    from transhume.engines.spark import SparkEngine  # noqa: PLC0415 - of a test that is collected

    work = tmp_path_factory.mktemp("spark")
    variables: dict[str, bytes] = {}
    for name, secret in SECRETS.items():
        variables |= SPARK.secret_variables(name, secret.encode())
    engine = SparkEngine(work, "sail" if _SAIL else "local[2]", SESSION, variables)
    yield Bench(engine, work)
    engine.close()


@pytest.fixture(scope="session")
def published_by_duckdb(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[str]]:
    """Every row of every table that a run of the demo on one machine publishes."""
    from tests.spark.demo_runs import make_project, values  # noqa: PLC0415 - only where something asks for it
    from transhume.project import Project  # noqa: PLC0415 - only where something asks for it

    folder = tmp_path_factory.mktemp("alone") / "project"
    make_project(folder, None)
    Project(folder).run()
    found = values(folder)
    assert all(found.values())
    return found
