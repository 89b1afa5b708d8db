"""The brief's plan with one line more: projects, commands over them, and what they published.

`python -m tests.spark.demo_runs FOLDER ENGINE` makes a project, runs it, and prints what is not as the answer key says.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from pyiceberg.table import StaticTable

from transhume.demo import AnswerKey
from transhume.demonstration import LAKE_URL, compare, make_demo
from transhume.project import Project

MODELS = 300
TABLES = ("data_sources", "experiment_logs", "ml_models", "training_jobs", "model_performance")
_OF_THE_RUN = "migration_batch"
"""The one column whose value is the run's own."""


def make_project(folder: Path, engine: str | None) -> AnswerKey:
    """Make the demo's project with this engine, None: without such a line; return its answer key."""
    key = make_demo(folder, MODELS, LAKE_URL)
    plan = folder / "transhume.yaml"
    text = plan.read_text("utf-8").replace("backup: required", "backup: warn")
    plan.write_text(text.replace("\nschedule:", f"\nengine: {engine}\nschedule:") if engine else text, "utf-8")
    return key


def command(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """Start a command over a project as a process of its own."""
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    line = [str(Path(sys.executable).with_name("transhume")), "-p", str(folder), *words]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder
    )


def differences_from_key(folder: Path, engine: str) -> list[str]:
    """Make a project, run it in a process of its own, and return every number that is not the answer key's."""
    line = [sys.executable, "-m", "tests.spark.demo_runs", str(folder), engine]
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        line, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["numbers"] > 50
    return list(told["differences"])


def values(folder: Path) -> dict[str, list[str]]:
    """Return every row of every published table as text, whatever the order, without what is the run's own."""
    (catalog,) = folder.joinpath("lake").rglob("*.db")
    found: dict[str, list[str]] = {}
    with sqlite3.connect(catalog) as connection:
        for name in TABLES:
            query = "SELECT metadata_location FROM iceberg_tables WHERE table_name = ?"
            ((location,),) = connection.execute(query, (name,)).fetchall()
            rows: list[dict[str, Any]] = StaticTable.from_metadata(location).scan().to_arrow().to_pylist()
            found[name] = sorted(repr({key: row[key] for key in sorted(row) if key != _OF_THE_RUN}) for row in rows)
    return found


def written_by_tasks(folder: Path) -> bool:
    """Say whether every data file of a lake has the name that a task gave it."""
    files = [path.name for path in (folder / "lake").rglob("*.parquet")]
    return bool(files) and all(re.search(r"-t[0-9a-f]{8}\.parquet$", name) for name in files)


def main(folder: Path, engine: str) -> None:
    """Make, run, compare, and print."""
    key = make_project(folder, engine)
    project = Project(folder)
    numbers = compare(project, project.run(), key)
    differences = [str(each) for each in numbers if not each.agrees]
    print(json.dumps({"numbers": len(numbers), "differences": differences}))  # noqa: T201 - what the process is for


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
