"""One DuckDB process for all tests of rules."""

from collections.abc import Iterator

import pytest

from tests.rules.twins import SECRETS, Bench
from transhume.dialects import DIALECTS
from transhume.engines.duckdb import DuckDBEngine


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """What runs a rule in both forms."""
    work = tmp_path_factory.mktemp("rules")
    variables: dict[str, bytes] = {}
    for name, secret in SECRETS.items():
        variables |= DIALECTS["duckdb"].secret_variables(name, secret.encode())
    engine = DuckDBEngine(work, memory_limit_bytes=500_000_000, threads=1, variables=variables)
    yield Bench(engine, work)
    engine.close()
