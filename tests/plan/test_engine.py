"""`engine:` of a plan: what is taken and what is refused."""

import pytest

from transhume.plan.engine import known_engine


@pytest.mark.parametrize(
    "name", ["duckdb", "local", "local[*]", "local[8]", "spark://host:7077", "sc://host:15002", "sail"]
)
def test_addresses_of_engines_are_taken(name: str) -> None:
    """DuckDB by its name, Spark by its address."""
    assert known_engine(name) == name


@pytest.mark.parametrize(
    "name", ["", "spark", "DuckDB", "local[0]", "local[two]", "http://host", "spark://", "sc://host:1/;token=x", "yarn"]
)
def test_what_is_no_engine_is_refused_with_the_forms(name: str) -> None:
    """The message says every form that an engine may have."""
    with pytest.raises(ValueError, match=r"write duckdb .*, local\[N\] .*, spark://.*sc://.* or sail"):
        known_engine(name)
