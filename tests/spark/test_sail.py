"""The demo's migration on Sail, which is started for the run and needs no Java."""

from pathlib import Path

from tests.spark.demo_runs import command, differences_from_key, make_project, values
from transhume.project import Project


def test_sail_gives_what_the_answer_key_says(tmp_path: Path) -> None:
    """Every number is the key's, every published value that of a run by DuckDB; the rollback leaves nothing."""
    make_project(tmp_path / "alone", None)
    Project(tmp_path / "alone").run()
    assert differences_from_key(tmp_path / "sail", "sail") == []
    assert values(tmp_path / "sail") == values(tmp_path / "alone")
    output, _ = command(tmp_path / "sail", "validate", "--all").communicate()
    assert "0 differences" in output, output
    output, _ = command(tmp_path / "sail", "rollback", "--yes").communicate()
    assert "is rolled back" in output, output
