"""What transhume's way into a lake is held against: DuckDB's raw copy, and a polars script with the rules."""

from pathlib import Path

import pyarrow.parquet as pq

from environments import environment, package_version
from job import Figures, Ground, Job, require_rows
from process_memory import run_measured
from transhume.demo import write_project

_PROGRAMS = Path(__file__).parent / "programs"


def duckdb_raw(ground: Ground) -> Figures:
    """Copy the five tables into a Parquet file each."""
    tables = ground.legacy.key.tables.values()
    done = run_measured(
        [str(environment("duckdb") / "python"), str(_PROGRAMS / "duckdb_raw.py"), str(ground.legacy.path),
         str(ground.folder), *(answer.source for answer in tables)]
    )  # fmt: skip
    rows = 0
    for answer in tables:
        found = pq.read_metadata(ground.folder / f"{answer.source}.parquet").num_rows
        require_rows(f"DuckDB, {answer.source}", found, answer.read)
        rows += found
    return Figures(done.wall_s, done.cpu_s, 0, done.peak_bytes, rows)


def polars_script(ground: Ground) -> Figures:
    """Run the script into one Parquet file."""
    out = ground.folder / "ml_models.parquet"
    write_project(ground.folder / "project")
    identity = ground.folder / "project" / "lookups" / "identity.csv"
    done = run_measured(
        [str(environment("polars") / "python"), str(_PROGRAMS / "polars_script.py"), str(ground.legacy.path),
         str(identity), str(out)]
    )  # fmt: skip
    rows = pq.read_metadata(out).num_rows
    require_rows("polars script", rows, ground.legacy.models_loaded)
    return Figures(done.wall_s, done.cpu_s, 0, done.peak_bytes, rows)


JOBS = (
    Job(
        "limit", "sqlite-lake", "limit: DuckDB with its sqlite extension, raw, to Parquet", "five tables as they are",
        "no rule, no table format, no comparison, no undo", lambda: package_version("duckdb", "duckdb"), duckdb_raw,
        ("200000", "1000000"),
    ),
    Job(
        "polars", "sqlite-lake", "polars script with connectorx, to Parquet", "one table of five, all rules",
        "four tables, no table format, rejects only counted, no comparison, no undo",
        lambda: f"{package_version('polars', 'polars')}, connectorx {package_version('polars', 'connectorx')}",
        polars_script, ("200000", "1000000"),
    ),
)  # fmt: skip
