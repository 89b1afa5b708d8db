"""One large table, `metrics` of the demo, through an engine into a lake: rows a second and memory, by number of rows.

Each engine needs what its extra installs, so this runs in the environment of that engine. Every number of every run is
held against the generator's answer key. One JSON line a run; docs/scale.md is made from them.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from process_memory import run_measured
from transhume.demo import AnswerKey, Sizes, generate, write_project

_SMALL = Sizes(models=2_000, datasets=500, experiments=100, training_runs=300, metrics=0)
_METRICS_A_MODEL = 5
_MODELS_A_RUN = 20


def main() -> int:
    """Measure each engine at each number of rows, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 1_000_000], help="rows of metrics")
    parser.add_argument("--engines", nargs="+", default=["duckdb"], help="duckdb, local[2], sail (default duckdb)")
    parser.add_argument("--folder", help="work here and keep the databases (default: a temporary folder)")
    arguments = parser.parse_args()
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="transhume-scale-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for rows in arguments.rows:
            database, key = _legacy(folder, rows)
            for engine in arguments.engines:
                print(json.dumps(_measured(folder, database, key, rows, engine)), flush=True)
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _legacy(folder: Path, rows: int) -> tuple[Path, AnswerKey]:
    database, answers = folder / f"legacy-{rows}.db", folder / f"answers-{rows}.json"
    if not (database.exists() and answers.exists()):
        database.unlink(missing_ok=True)
        models = max(_SMALL.models, rows // _METRICS_A_MODEL)
        # Runs of models that are rejected are orphans; of too few runs these few would be more than the plan allows.
        runs = max(_SMALL.training_runs, 3 * (models // _MODELS_A_RUN // 3))
        sizes = Sizes(models, _SMALL.datasets, _SMALL.experiments, runs, rows)
        generate(database, sizes=sizes).write(answers)
    return database, AnswerKey.read(answers)


def _measured(folder: Path, database: Path, key: AnswerKey, rows: int, engine: str) -> dict[str, object]:
    project = folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    write_project(project)
    plan = project / "transhume.yaml"
    text = plan.read_text("utf-8").replace("backup: required", "backup: warn")
    plan.write_text(text.replace("\nschedule:", f"\nengine: {engine}\nschedule:"), "utf-8")
    environment = {**os.environ, "LEGACY_URL": f"sqlite:///{database}", "PLATFORM_URL": "iceberg:./lake?namespace=ai"}
    command = Path(sys.executable).with_name("transhume")
    done = run_measured([str(command), "--project", str(project), "--json", "run"], environment)
    result = json.loads(done.output)
    for table in result["tables"]:
        answer = key.tables[table["mapping"]]
        if (table["loaded"], table["rejected"]) != (answer.loaded, answer.rejected):
            message = f"{table['mapping']}: {table} is not what the answer key says"
            raise SystemExit(message)
    read = sum(table["read"] for table in result["tables"])
    lake = sum(path.stat().st_size for path in (project / "lake").rglob("*.parquet"))
    extract = sum(path.stat().st_size for path in project.glob(".transhume/runs/*/*/extract/**/*.parquet"))
    shutil.rmtree(project)
    return {
        "engine": engine,
        "metrics": rows,
        "rows_read": read,
        "wall_s": round(done.wall_s, 1),
        "cpu_s": round(done.cpu_s, 1),
        "rows_per_s": round(read / done.wall_s),
        "peak_mb": done.peak_bytes // 2**20,
        "extract_bytes_per_row": round(extract / read, 1),
        "lake_bytes_per_row": round(lake / read, 1),
        "stages_s": {name: round(seconds, 1) for name, seconds in result["stages_s"].items()},
    }


if __name__ == "__main__":
    raise SystemExit(main())
