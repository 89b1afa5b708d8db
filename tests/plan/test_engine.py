"""`engine:` of a plan: what is taken and what is refused."""

import pytest
from pydantic import ValidationError

from transhume.plan.engine import Engine, engine_fields, known_engine


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


def test_an_engine_by_its_address_alone_exchanges_files_in_a_folder() -> None:
    """An address stands for an engine without a place for files; with one, the place has no slash at its end."""
    assert Engine(**engine_fields("sail")) == Engine(at="sail", files=None)
    assert Engine(**engine_fields({"at": "sail", "files": "s3://bucket/a/b/"})).files == "s3://bucket/a/b"


@pytest.mark.parametrize(
    "place", ["s3://", "s3://b", "bucket/x", "s3://key:secret@bucket/x", "s3://bucket/a b", "gs://bucket"]
)
def test_what_is_no_place_for_files_is_refused(place: str) -> None:
    """A place is a prefix of S3 whose name needs no escape and holds no credential."""
    with pytest.raises(ValidationError, match="write s3://bucket/prefix"):
        Engine(at="sail", files=place)


def test_duckdb_takes_no_place_for_files() -> None:
    """It has no workers to which files must come."""
    with pytest.raises(ValidationError, match="leave out 'files'"):
        Engine(files="s3://bucket/x")
