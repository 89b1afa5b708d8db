"""Tests of the engine Spark: `make test-spark` installs it and runs them; without it nothing here is collected."""

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.rules.conftest import bench  # noqa: F401 - the same DuckDB as for the rules
from tests.rules.twins import SECRETS, Bench

collect_ignore_glob = [] if find_spec("pyspark") else ["test_*.py"]
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """What runs rules and statements by Spark: one session of one core for all tests."""
    from transhume.dialects.spark import SESSION, SPARK  # noqa: PLC0415 - of a test that is collected
    from transhume.engines.spark import SparkEngine  # noqa: PLC0415 - of a test that is collected

    work = tmp_path_factory.mktemp("spark")
    variables: dict[str, bytes] = {}
    for name, secret in SECRETS.items():
        variables |= SPARK.secret_variables(name, secret.encode())
    engine = SparkEngine(work, "local[1]", SESSION, variables)
    yield Bench(engine, work)
    engine.close()
