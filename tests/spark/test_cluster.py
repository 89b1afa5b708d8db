"""The brief's plan with one line more on a real cluster of two workers, one of which is killed on the way."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.table import StaticTable

from tests.spark.cluster import cluster
from transhume.demo import generate
from transhume.demo.project import write_project

MODELS = 300
TABLES = ("data_sources", "experiment_logs", "ml_models", "training_jobs", "model_performance")
_OF_THE_RUN = "migration_batch"
"""The one column whose value is the run's own."""


def _project(folder: Path, engine: str | None) -> Path:
    folder.mkdir()
    write_project(folder)
    generate(folder / "legacy.db", MODELS)
    (folder / ".env").write_text("LEGACY_URL=sqlite:///legacy.db\nPLATFORM_URL=iceberg:./lake?namespace=ai\n")
    plan = folder / "transhume.yaml"
    text = plan.read_text("utf-8").replace("backup: required", "backup: warn")
    plan.write_text(text.replace("\nschedule:", f"\nengine: {engine}\nschedule:") if engine else text, "utf-8")
    return folder


def _command(folder: Path, *words: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    command = [str(Path(sys.executable).with_name("transhume")), "-p", str(folder), *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder
    )


def _values(folder: Path) -> dict[str, list[str]]:
    """Every row of every table as text, whatever the order, without what is the run's own."""
    (catalog,) = folder.joinpath("lake").rglob("*.db")
    found: dict[str, list[str]] = {}
    with sqlite3.connect(catalog) as connection:
        for name in TABLES:
            query = "SELECT metadata_location FROM iceberg_tables WHERE table_name = ?"
            ((location,),) = connection.execute(query, (name,)).fetchall()
            rows: list[dict[str, Any]] = StaticTable.from_metadata(location).scan().to_arrow().to_pylist()
            found[name] = sorted(repr({key: row[key] for key in sorted(row) if key != _OF_THE_RUN}) for row in rows)
    return found


@pytest.mark.sweep
def test_a_cluster_that_loses_a_worker_gives_what_one_machine_gives(tmp_path: Path) -> None:
    """Every value of five published tables equals DuckDB's, validation finds nothing, the rollback leaves nothing."""
    alone = _project(tmp_path / "alone", None)
    output, _ = _command(alone, "run").communicate()
    assert "checks passed, 0 failed" in output, output
    with cluster(tmp_path / "cluster", workers=2) as spark:
        many = _project(tmp_path / "many", spark.url)
        run = _command(many, "run")
        assert run.stdout is not None
        told = []
        for line in run.stdout:
            told.append(line)
            if line.startswith("staged") and spark.workers[0].poll() is None:
                spark.kill_worker(0)
        assert run.wait() == 0, "".join(told)
        assert spark.workers[0].returncode == -9
        assert _values(many) == _values(alone)
        assert all(_values(many).values())
        output, _ = _command(many, "validate", "--all").communicate()
        assert re.search(
            r"recomputed (\d+) of \1 rows by all \d+ rules of the plan and compared \d+ values: 0 differences",
            output.replace(",", ""),
        ), output
        output, _ = _command(many, "rollback", "--yes").communicate()
        assert "is rolled back" in output, output
