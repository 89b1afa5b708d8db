"""The demo's migration on Sail, which is started for the run and needs no Java."""

from collections.abc import Mapping
from pathlib import Path

from tests.spark.demo_runs import command, differences_from_key, values


def test_sail_gives_what_the_answer_key_says(tmp_path: Path, published_by_duckdb: Mapping[str, list[str]]) -> None:
    """Every number is the key's, every published value that of a run by DuckDB; the rollback leaves nothing."""
    assert differences_from_key(tmp_path / "sail", "sail") == []
    assert values(tmp_path / "sail") == published_by_duckdb
    output, _ = command(tmp_path / "sail", "validate", "--all").communicate()
    assert "0 differences" in output, output
    output, _ = command(tmp_path / "sail", "rollback", "--yes").communicate()
    assert "is rolled back" in output, output
