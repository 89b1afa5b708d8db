"""The MLflow store goes on changing between two runs: each `on_conflict` mode gives the outcome counted by plain SQL.

In each of runs, model_versions and metrics 5 rows are added, 4 changed and 3 deleted, by sqlite3 on a copy of it.
Two of the deleted versions take their model from the metrics of their runs: those rows change as well.
"""

import shutil
import sqlite3
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import sql
from tests.mlflow.test_mlflow import EXAMPLE, LOADED, SOURCE

from transhume import Project
from transhume.errors import CheckFailed

pytestmark = pytest.mark.skipif(not SOURCE.exists(), reason="real data beside the project is absent: mlflow")
MAPPINGS = {"training_jobs": "runs", "ml_models": "model_versions", "model_performance": "metrics"}
ORDINALS = {"training_jobs": 2, "ml_models": 3, "model_performance": 4}
"""Places of the mappings in the plan, by which their before-images are called."""
CHANGES = """
INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, experiment_id)
    SELECT 'later-' || value, 'later ' || value, 'FINISHED', 1795341474535, 1795341475037, 'active', 1
    FROM json_each('[1, 2, 3, 4, 5]');
INSERT INTO tags (key, value, run_uuid) SELECT 'mlflow.user', 'nobody known', 'later-' || value
    FROM json_each('[1, 2, 3, 4, 5]');
UPDATE runs SET name = name || ' again' WHERE run_uuid IN (
    SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active' AND run_uuid NOT LIKE 'later-%' AND name IS NOT NULL
    AND EXISTS (SELECT 1 FROM metrics m WHERE m.run_uuid = runs.run_uuid) ORDER BY run_uuid LIMIT 4);
DELETE FROM runs WHERE run_uuid IN (
    SELECT run_uuid FROM runs r WHERE lifecycle_stage = 'active' AND run_uuid NOT LIKE 'later-%'
    AND NOT EXISTS (SELECT 1 FROM metrics m WHERE m.run_uuid = r.run_uuid)
    AND NOT EXISTS (SELECT 1 FROM model_versions v WHERE v.run_id = r.run_uuid)
    AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.key = 'mlflow.parentRunId' AND t.value = r.run_uuid)
    ORDER BY run_uuid LIMIT 3);
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, run_id, storage_location,
                            workspace)
    SELECT 'iris_classifier', 100 + value, 1795341475024, 1795341475024, 'None', 'later-' || value,
           'file:///srv/mlflow/mlruns/iris/models/m-later' || value || '/artifacts', 'default'
    FROM json_each('[1, 2, 3, 4, 5]');
UPDATE model_versions SET description = 'looked at again' WHERE name = 'digits_classifier' AND version <= 4;
DELETE FROM model_versions WHERE (name, version) IN (
    ('wine_classifier', 4), ('iris_classifier', 5), ('breast_cancer_classifier', 4));
UPDATE metrics SET value = value + 0.5 WHERE key = 'accuracy' AND step = 0 AND is_nan = 0 AND run_uuid IN (
    SELECT run_id FROM model_versions WHERE name = 'digits_classifier' AND version >= 2);
INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
    SELECT 'accuracy', 0.25, 1795341474607, 'later-' || value, 9999, 0 FROM json_each('[1, 2, 3, 4, 5]');
DELETE FROM metrics WHERE (run_uuid, key, timestamp, step) IN (
    SELECT run_uuid, key, timestamp, step FROM metrics WHERE is_nan = 0 AND run_uuid IN (
        SELECT run_id FROM model_versions WHERE name = 'wine_classifier' AND version <= 3) ORDER BY 1, 2, 3, 4 LIMIT 3);
"""
WITHOUT_MODEL = """
SELECT count(*) FROM metrics WHERE run_uuid IN (SELECT run_id FROM model_versions WHERE (name, version) IN (
    ('iris_classifier', 5), ('breast_cancer_classifier', 4)))
"""
"""Metrics whose version is deleted; the run of the third one is filtered, and its metrics with it."""


def _project(folder: Path, target: str) -> Project:
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "*.db"))
    shutil.copy(SOURCE, folder / "store.db")
    return Project(folder, environment={"MLFLOW_URL": f"sqlite:///{folder / 'store.db'}", "PLATFORM_URL": target})


def _change(folder: Path) -> dict[str, int]:
    """Change the store; return how many rows of each mapping are then other than before."""
    with sqlite3.connect(folder / "store.db") as store:
        (moved,) = store.execute(WITHOUT_MODEL).fetchone()
        sizes = {name: store.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in MAPPINGS.values()}
        store.executescript(CHANGES)
        for name, before in sizes.items():
            assert store.execute(f"SELECT count(*) FROM {name}").fetchone()[0] == before + 5 - 3, name
        assert store.execute("SELECT count(*) FROM runs WHERE name LIKE '% again'").fetchone() == (4,)
        assert store.execute(
            "SELECT count(*) FROM model_versions WHERE description = 'looked at again'"
        ).fetchone() == (4,)
        assert store.execute("SELECT count(*) FROM metrics WHERE value > 1 AND key = 'accuracy'").fetchone() == (4,)
    store.close()
    assert moved > 0
    return {"training_jobs": 4, "ml_models": 4, "model_performance": 4 + moved}


def _choose(folder: Path, mode: str) -> None:
    """Write `on_conflict` into the three mappings."""
    plan = folder / "transhume.yaml"
    text = (EXAMPLE / "transhume.yaml").read_text()
    for source in MAPPINGS.values():
        assert text.count(f"    from: {source}\n") == 1
        text = text.replace(f"    from: {source}\n", f"    from: {source}\n    on_conflict: {mode}\n")
    plan.write_text(text)


def _hold(project: Project, bucket: str, changed: dict[str, int]) -> str:
    """Run, and hold every bucket of the three mappings against what the changes say."""
    result = project.run()
    for table in result.tables:
        if table.mapping in MAPPINGS:
            other = changed[table.mapping]
            found = (table.loaded, getattr(table, bucket), table.unchanged, table.vanished, table.rejected)
            assert found == (5, other, LOADED[table.mapping] - 3 - other, 3, 0), table.mapping
        else:
            assert (table.loaded, table.unchanged, table.vanished) == (0, LOADED[table.mapping], 0), table.mapping
    assert project.validate().failed == ()
    return result.run


def _names(url: str, table: str, where: str = "") -> dict[str, str]:
    """Return job names by original id, as psycopg reads them of a table."""
    schema, name = table.split(".")
    query = sql.SQL("SELECT original_source_id, job_name FROM {} {}").format(
        sql.Identifier(schema, name), sql.SQL(where)
    )
    with psycopg.connect(url) as reader:
        return dict(reader.execute(query).fetchall())


@pytest.mark.parametrize("mode", ["skip", "update"])
def test_postgresql_after_changes(tmp_path, postgres_url, mode):
    """`error` publishes nothing; `skip` loads what is new; `update` replaces and keeps each row as it was."""
    project = _project(tmp_path, f"{postgres_url}&schema=mlflow")
    project.run()
    first = _names(postgres_url, "mlflow.training_jobs")
    changed = _change(tmp_path)
    with pytest.raises(CheckFailed):
        project.run()
    assert _names(postgres_url, "mlflow.training_jobs") == first
    _choose(tmp_path, mode)
    run = _hold(project, "skipped" if mode == "skip" else "updated", changed)
    now = _names(postgres_url, "mlflow.training_jobs")
    assert len(now) == LOADED["training_jobs"] + 5
    renamed = {key for key, name in now.items() if name and name.endswith(" again")}
    assert len(renamed) == (0 if mode == "skip" else 4)
    if mode == "update":
        stage = f"transhume_stage_{run}"
        assert _names(postgres_url, f"{stage}.before_2") == {key: first[key] for key in renamed}
        with psycopg.connect(postgres_url) as reader:
            for mapping, ordinal in ORDINALS.items():
                query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(stage, f"before_{ordinal}"))
                assert reader.execute(query).fetchone() == (changed[mapping],), mapping


def test_a_lake_after_changes(tmp_path):
    """In a lake replaced rows are counted, and stand as they were in a Parquet file beside their table."""
    project = _project(tmp_path, f"iceberg:{tmp_path / 'lake'}?namespace=mlflow")
    project.run()
    changed = _change(tmp_path)
    _choose(tmp_path, "update")
    _hold(project, "updated", changed)
    kept = {}
    for path in (tmp_path / "lake").rglob("before-*.parquet"):
        mapping = next(name for name in MAPPINGS if name in path.parts)
        kept[mapping] = kept.get(mapping, 0) + pq.read_metadata(path).num_rows
    assert kept == changed
