"""The demo's migration on Sail, which is started for the run and needs no Java."""

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.spark.demo_runs import command, differences_from_key, values
from transhume.dialects.spark import SESSION
from transhume.engines.spark import SparkEngine
from transhume.errors import EngineCrashed


def test_sail_gives_what_the_answer_key_says(tmp_path: Path, published_by_duckdb: Mapping[str, list[str]]) -> None:
    """Every number is the key's, every published value that of a run by DuckDB; the rollback leaves nothing."""
    assert differences_from_key(tmp_path / "sail", "sail") == []
    assert values(tmp_path / "sail") == published_by_duckdb
    output, _ = command(tmp_path / "sail", "validate", "--all").communicate()
    assert "0 differences" in output, output
    output, _ = command(tmp_path / "sail", "rollback", "--yes").communicate()
    assert "is rolled back" in output, output


def test_a_server_that_dies_is_found_out(tmp_path: Path) -> None:
    """The statement under way ends with the engine's crash, and the next one has a new server."""
    engine = SparkEngine(tmp_path, "sail", SESSION)
    engine.start()
    assert engine._sail is not None
    assert engine._sail._process is not None
    server = engine._sail._process
    killer = threading.Timer(1.0, server.kill)
    killer.start()
    with pytest.raises(EngineCrashed, match="same command again"):
        engine.query("SELECT sum(`id` % 7) AS `x` FROM range(0, 10000000000000)")
    assert engine.query("SELECT 1 AS `x`").to_pydict() == {"x": [1]}
    engine.close()
