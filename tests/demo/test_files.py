"""The demo's project is one project: packaged, shown under examples, and in step with the generator."""

import sqlite3
from pathlib import Path

from transhume.demo import PROJECT_FILES, write_project
from transhume.demo.project import read_project_file
from transhume.demo.rows import CANONICAL_ALGORITHMS, COLUMNS, OWNERS

EXAMPLE = Path(__file__).parents[2] / "examples" / "ai-research"


def test_examples_show_what_the_package_writes(tmp_path):
    """`examples/ai-research` is what `write_project` makes, byte for byte, and nothing else."""
    write_project(tmp_path)
    for name in PROJECT_FILES:
        assert (EXAMPLE / name).read_bytes() == (tmp_path / name).read_bytes(), (
            f"{name}: copy it from src/transhume/demo"
        )
    shown = {str(path.relative_to(EXAMPLE)) for path in EXAMPLE.rglob("*") if path.is_file()}
    assert shown == set(PROJECT_FILES)


def test_the_generator_fills_every_column_of_the_schema():
    """Tables and columns of the rows are those of the schema, in its order."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(read_project_file("legacy_schema.sql"))
    for table, columns in COLUMNS.items():
        assert tuple(row[1] for row in connection.execute(f"PRAGMA table_info({table})")) == columns
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables == {*COLUMNS, "schema_version"}
    connection.close()


def test_every_clean_owner_has_an_identity():
    """The identity lookup holds each owner once, and no owner that is planted as unknown."""
    lines = read_project_file("lookups/identity.csv").splitlines()
    assert lines[0] == "legacy_owner_id,user_uuid"
    assert [line.split(",")[0] for line in lines[1:]] == [str(owner) for owner in range(1, OWNERS + 1)]
    assert len({line.split(",")[1] for line in lines[1:]}) == OWNERS


def test_canonical_names_are_those_of_the_plan():
    """The generator's algorithm names stand in the plan's lookup."""
    plan = read_project_file("transhume.yaml")
    for name in CANONICAL_ALGORITHMS:
        assert f"    {name}: [" in plan
