"""A real MLflow store: tags as columns, params as objects, epochs as instants; every value by other tools' eyes."""

import json
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader
from pyiceberg.catalog import load_catalog

from transhume import Project

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "mlflow"
SOURCE = ROOT.parent / "shared" / "cases" / "mlflow_tracking.sqlite"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "transhume:mlflow_srv")
NOBODY = uuid.UUID(int=0)
KEYS = {
    "data_sources": "dataset_uuid",
    "experiment_logs": "experiment_uuid",
    "training_jobs": "job_uuid",
    "ml_models": "model_uuid",
    "model_performance": "metric_uuid",
}
LOADED = {"data_sources": 4, "experiment_logs": 6, "training_jobs": 368, "ml_models": 20, "model_performance": 2_369}
FILTERED = {"data_sources": 0, "experiment_logs": 1, "training_jobs": 12, "ml_models": 0, "model_performance": 130}
FED = {"params": 1_027, "tags": 2_440, "inputs": 300, "latest_metrics": 1_255}
"""All counted by plain SQL on the store; of the fed tables two more (8 and 4 rows) feed the joins of tags and names."""
ALGORITHMS = {
    "RF": "Random Forest",
    "GBM": "Gradient Boosting Machine",
    "SVM": "Support Vector Machine",
    "LOGREG": "Logistic Regression",
    "DT": "Decision Tree",
    "ET": "Extra Trees",
    "KNN": "K-Nearest Neighbours",
    "MLP": "Multi-layer Perceptron",
}
STATUS = {"FINISHED": "Succeeded", "FAILED": "Failed", "KILLED": "Killed", "RUNNING": "Running"}
STAGES = {"None": "Draft", "Staging": "Ready for Deployment", "Production": "Active", "Archived": "Archived"}
Rows = list[dict[str, Any]]

pytestmark = pytest.mark.skipif(not SOURCE.exists(), reason="real data beside the project is absent: mlflow")


class Store:
    """The store as sqlite3 reads it, and what its rows must become: no code of transhume, no rule of its plan."""

    def __init__(self) -> None:
        """Read every table that takes part."""
        connection = sqlite3.connect(f"file:{SOURCE}?mode=ro&immutable=1", uri=True)
        connection.row_factory = sqlite3.Row
        names = "datasets experiments runs model_versions metrics tags params inputs latest_metrics experiment_tags"
        self.tables: dict[str, Rows] = {}
        for name in [*names.split(), "registered_models"]:
            self.tables[name] = [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
        connection.close()
        lines = (EXAMPLE / "lookups" / "users.csv").read_text().splitlines()[1:]
        self.users = {login: uuid.UUID(text) for login, text in (line.split(",") for line in lines)}
        self.tags: dict[str, dict[str, str]] = {}
        for row in self.tables["tags"]:
            self.tags.setdefault(row["run_uuid"], {})[row["key"]] = row["value"]
        self.runs = {row["run_uuid"]: row for row in self.tables["runs"]}
        self.data = {row["destination_id"]: row["source_id"] for row in self.tables["inputs"] if _is_data(row)}

    def expected(self) -> dict[str, Rows]:
        """Return what each target table must hold."""
        return {name: list(getattr(self, f"_{name}")()) for name in KEYS}

    def _data_sources(self) -> Iterator[dict[str, Any]]:
        for row in self.tables["datasets"]:
            yield {
                "dataset_uuid": _key("datasets", row["dataset_uuid"]),
                "original_source_id": row["dataset_uuid"],
                "dataset_name": row["name"],
                "content_digest": row["digest"],
                "source_type": row["dataset_source_type"],
                "source_definition": row["dataset_source"],
                "row_count": json.loads(row["dataset_profile"])["num_rows"],
                "column_schema": row["dataset_schema"],
                "experiment_uuid": _key("experiments", row["experiment_id"]),
            }

    def _experiment_logs(self) -> Iterator[dict[str, Any]]:
        tags = {(row["experiment_id"], row["key"]): row["value"] for row in self.tables["experiment_tags"]}
        for row in self.tables["experiments"]:
            number = row["experiment_id"]
            if row["lifecycle_stage"] == "active":
                yield {
                    "experiment_uuid": _key("experiments", number),
                    "original_source_id": number,
                    "experiment_name": row["name"],
                    "team": tags.get((number, "team")),
                    "description": _described(tags.get((number, "mlflow.note.content"))),
                    "artifact_uri": "s3://ai-artifacts-bucket/" + row["artifact_location"].rpartition("/")[2],
                    "created_at": _instant(row["creation_time"]),
                    "last_modified_at": _instant(row["last_update_time"]),
                }

    def _training_jobs(self) -> Iterator[dict[str, Any]]:
        for row in self.runs.values():
            tags, run = self.tags[row["run_uuid"]], row["run_uuid"]
            if row["lifecycle_stage"] != "active":
                continue
            params = {each["key"]: each["value"] for each in self.tables["params"] if each["run_uuid"] == run}
            yield {
                "job_uuid": _key("runs", run),
                "original_source_id": run,
                "job_name": row["name"],
                "experiment_uuid": _key("experiments", row["experiment_id"]),
                "dataset_uuid": self._dataset(run),
                "parent_job_uuid": self._job(tags.get("mlflow.parentRunId")),
                "owner_user_id": self.users.get(tags["mlflow.user"], NOBODY),
                "algorithm_type": _algorithm(tags),
                "job_status": STATUS[row["status"]],
                "hyperparameters": json.dumps(params, sort_keys=True, ensure_ascii=False, separators=(",", ":")),
                "description": _described(tags.get("mlflow.note.content")),
                "started_at": _instant(row["start_time"]),
                "finished_at": _instant(row["end_time"]),
            }

    def _ml_models(self) -> Iterator[dict[str, Any]]:
        latest = {
            (row["run_uuid"], row["key"]): row["value"] for row in self.tables["latest_metrics"] if not row["is_nan"]
        }
        models = {row["name"]: row["description"] for row in self.tables["registered_models"]}
        for row in self.tables["model_versions"]:
            run, tags = row["run_id"], self.tags[row["run_id"]]
            metric = next((name for name in ("accuracy", "r2") if (run, name) in latest), None)
            notes = [row["description"], tags.get("mlflow.note.content"), models[row["name"]]]
            folders = row["storage_location"].split("/")
            yield {
                "model_uuid": self._model(row),
                "original_source_id": f"{row['workspace']}/{row['name']}/{row['version']}",
                "model_name": row["name"],
                "model_version": row["version"],
                "algorithm_type": _algorithm(tags),
                "owner_user_id": self.users.get(tags["mlflow.user"], NOBODY),
                "created_at": _instant(row["creation_time"]),
                "last_modified_at": _instant(row["last_updated_time"]),
                "deployment_status": STAGES[row["current_stage"]],
                "primary_metric_name": metric,
                "primary_metric_value": latest[run, metric] if metric else None,
                "training_dataset_uuid": self._dataset(run),
                "training_job_uuid": self._job(run),
                "model_artifact_uri": f"s3://ai-artifacts-bucket/{folders[6]}/models/{folders[8]}",
                "description": _described(next((note for note in notes if note), "")),
            }

    def _model_performance(self) -> Iterator[dict[str, Any]]:
        versions = {row["run_id"]: row for row in self.tables["model_versions"]}
        for row in self.tables["metrics"]:
            run, parts = row["run_uuid"], (row["run_uuid"], row["key"], row["timestamp"], row["step"])
            if self.runs[run]["lifecycle_stage"] == "active":
                yield {
                    "metric_uuid": _key("metrics", *parts),
                    "original_source_id": "/".join(str(part) for part in parts),
                    "job_uuid": _key("runs", run),
                    "model_uuid": self._model(versions[run]) if run in versions else None,
                    "metric_name": row["key"],
                    "metric_value": None if row["is_nan"] else row["value"],
                    "training_step": row["step"],
                    "recorded_at": _instant(row["timestamp"]),
                }

    def _model(self, row: dict[str, Any]) -> uuid.UUID:
        return _key("model_versions", row["workspace"], row["name"], row["version"])

    def _dataset(self, run: str) -> uuid.UUID | None:
        return _key("datasets", self.data[run]) if run in self.data else None

    def _job(self, run: str | None) -> uuid.UUID | None:
        return _key("runs", run) if run and self.runs[run]["lifecycle_stage"] == "active" else None


def _is_data(row: dict[str, Any]) -> bool:
    return (row["source_type"], row["destination_type"]) == ("DATASET", "RUN")


def _key(table: str, *parts: object) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, table + "".join(f"|{len(str(part))}:{part}" for part in parts))


def _instant(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def _described(note: str | None) -> str | None:
    return None if note is None else f"Migrated from MLflow: {note}"


def _algorithm(tags: dict[str, str]) -> str | None:
    return ALGORITHMS[tags["algo_type"].strip().upper()] if "algo_type" in tags else None


def _project(folder: Path, target: str) -> Project:
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "*.db"))
    return Project(folder, environment={"MLFLOW_URL": f"sqlite:///{SOURCE}", "PLATFORM_URL": target})


def _agree(found: dict[str, Rows]) -> None:
    """Compare every value of every row; doubles by their digits."""
    for table, rows in Store().expected().items():
        key = KEYS[table]
        there = {row[key]: row for row in found[table]}
        assert len(there) == len(found[table]) == len(rows) == LOADED[table]
        for row in rows:
            assert {name: repr(there[row[key]][name]) for name in row} == {name: repr(row[name]) for name in row}, table


def _runs_twice(project: Project, read: Callable[[], dict[str, Rows]], version: Callable[[], list[Any]]) -> None:
    """Check, run, compare, run again; `version` gives what changes when anything is written to the target's tables."""
    assert [finding for finding in project.check().findings if finding.severity in {"error", "warning"}] == []
    first = project.run()
    assert {table.mapping: table.loaded for table in first.tables} == LOADED
    assert {table.mapping: table.filtered for table in first.tables} == FILTERED
    assert all(table.read == table.loaded + table.filtered and not table.reasons for table in first.tables)
    assert {name: first.fed[name] for name in FED} == FED
    assert set(first.fed) - set(FED) == {"experiment_tags", "registered_models"}
    found = read()
    _agree(found)
    assert sum(row["metric_value"] is None for row in found["model_performance"]) == 7, "NULL by is_nan"
    assert [row["training_job_uuid"] for row in found["ml_models"]].count(None) == 1, "its run is deleted"
    before = version()
    second = project.run()
    assert {table.mapping: table.unchanged for table in second.tables} == LOADED
    assert version() == before
    assert project.validate().failed == ()


def test_mlflow_into_postgresql(tmp_path, postgres_url):
    """2,767 rows arrive with every value as psycopg reads it, JSON as text; a second run touches none."""

    def read() -> dict[str, Rows]:
        with psycopg.connect(postgres_url, row_factory=dict_row) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.adapters.register_loader("json", TextLoader)
            selects = {table: sql.SQL("SELECT * FROM {}").format(sql.Identifier("mlflow", table)) for table in KEYS}
            tables = {table: connection.execute(select).fetchall() for table, select in selects.items()}
        return {table: [_in_utc(row) for row in rows] for table, rows in tables.items()}

    def version() -> list[Any]:
        with psycopg.connect(postgres_url) as connection:
            names = [sql.Identifier("mlflow", table) for table in KEYS]
            parts = [sql.SQL("SELECT tableoid, ctid::text, xmin::text FROM {}").format(name) for name in names]
            return connection.execute(sql.SQL(" UNION ALL ").join(parts) + sql.SQL(" ORDER BY 1, 2")).fetchall()

    _runs_twice(_project(tmp_path, f"{postgres_url}&schema=mlflow"), read, version)


def test_mlflow_into_an_iceberg_lake(tmp_path):
    """2,767 rows arrive with every value as pyiceberg reads it; a second run makes no snapshot."""
    lake = tmp_path / "lake"

    def tables() -> dict[str, Any]:
        catalog = load_catalog("default", type="sql", uri=f"sqlite:///{lake / 'catalog.db'}", warehouse=str(lake))
        return {table: catalog.load_table(f"mlflow.{table}") for table in KEYS}

    def read() -> dict[str, Rows]:
        return {name: [_in_utc(row) for row in table.scan().to_arrow().to_pylist()] for name, table in tables().items()}

    def version() -> list[Any]:
        return [(name, table.metadata.current_snapshot_id) for name, table in tables().items()]

    _runs_twice(_project(tmp_path, f"iceberg:{lake}?namespace=mlflow"), read, version)


def _in_utc(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with instants in UTC, whatever name a driver gives that zone, and UUIDs as such."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return uuid.UUID(bytes=value) if isinstance(value, bytes) else value
