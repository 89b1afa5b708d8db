"""What a good engineer writes in an afternoon: a row function with all rules of `ml_models`, and psycopg's COPY.

Usage: handwritten.py LEGACY.db IDENTITY.csv POSTGRES_URL REJECTS.csv
One transaction; a row that a rule refuses goes to the rejects file with its reason. Nothing is read back.
"""

import csv
import re
import sqlite3
import sys
import uuid
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import psycopg

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "transhume:AI_Research_DB_Legacy")
NOBODY = uuid.UUID(int=0)
NEW_YORK = ZoneInfo("America/New_York")
STATUS = {"D": "Draft", "P": "Pending Review", "R": "Ready for Deployment", "A": "Active"}
ALGORITHMS = {
    "Random Forest": ["RF", "RandomForest", "Random Forrest", "Rndm Forest"],
    "Gradient Boosting Machine": ["GBM", "Grad Boost", "GradientBoosting", "Gradient Bosting Machine"],
    "XGBoost": ["XGB", "XG Boost", "XGBoots"],
    "Convolutional Neural Network": ["CNN", "ConvNet", "Convolutional Neural Net", "Convolutional Nueral Network"],
}
SPELLINGS = {spelling.casefold(): name for name, others in ALGORITHMS.items() for spelling in [name, *others]}
PATH = re.compile(r"/legacy/storage/models/([^/]+)/([^/]+)\.([^/.]+)")
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?")
PREFIX = "Migrated from Legacy AI Research DB: "
RANKS = {"accuracy": 0, "f1": 1, "auc": 2, "rmse": 3}

TABLE = """
CREATE TABLE ml_models (
    model_uuid uuid PRIMARY KEY, original_source_id bigint NOT NULL, model_name varchar(200) NOT NULL,
    algorithm_type varchar(60) NOT NULL, model_version varchar(20), owner_user_id uuid NOT NULL,
    created_at timestamptz NOT NULL, last_modified_at timestamptz, deployment_status varchar(30) NOT NULL,
    primary_metric_name varchar(50) NOT NULL, primary_metric_value double precision, f1_score double precision,
    training_dataset_uuid uuid, model_artifact_uri text, description text
)
"""
TYPES = [
    "uuid", "int8", "text", "text", "text", "uuid", "timestamptz", "timestamptz", "text", "text", "float8", "float8",
    "uuid", "text", "text",
]  # fmt: skip


class Rejected(Exception):
    """A rule refuses a row."""


def key(table: str, number: int) -> uuid.UUID:
    text = str(number)
    return uuid.uuid5(NAMESPACE, f"{table}|{len(text)}:{text}")


@lru_cache(maxsize=100_000)
def dataset_key(number: int) -> uuid.UUID:
    return key("datasets", number)


def utc(text: str, column: str) -> datetime:
    if not TIME.fullmatch(text):
        raise Rejected(f"bad_timestamp:{column}")
    local = datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)
    instant = local.astimezone(UTC)
    if instant.astimezone(NEW_YORK).replace(fold=0) != local:
        raise Rejected(f"dst_gap:{column}")
    return instant


def transform(row: tuple, people: dict, datasets: set, first_metric: dict, f1: dict) -> tuple:
    (number, name, algorithm, version, owner, created, modified, status, accuracy, dataset, path, notes) = row
    if not isinstance(number, int):
        raise Rejected("null_key:model_id")
    if name is None or len(name) > 200:
        raise Rejected("null:model_name")
    canonical = SPELLINGS.get(algorithm.strip().casefold()) if algorithm else None
    if canonical is None:
        raise Rejected("unmapped:algo_type")
    label = STATUS.get(status.strip()) if status else None
    if label is None:
        raise Rejected("unmapped:status")
    if created is None:
        raise Rejected("null:created_ts")
    changed = None
    if modified is not None and not modified.startswith("0000-00-00"):
        changed = utc(modified, "last_mod_ts")
    reference = None
    if dataset is not None:
        if dataset not in datasets:
            raise Rejected("orphan:dataset_id")
        reference = dataset_key(dataset)
    uri = None
    if path is not None:
        match = PATH.fullmatch(path)
        if match is None:
            raise Rejected("path_no_match:model_path")
        uri = f"s3://ai-artifacts-bucket/models/{match[2]}/{match[1]}/model.{match[3]}"
    metric, value = first_metric.get(number, ("accuracy", accuracy))
    if value is None:
        value = accuracy
    if metric == "accuracy" and value is not None and not 0 <= value <= 1:
        raise Rejected("check:accuracy_range")
    return (
        key("models", number), number, name, canonical, version, people.get(owner, NOBODY), utc(created, "created_ts"),
        changed, label, metric, value, f1.get(number), reference, uri, PREFIX + (notes or ""),
    )  # fmt: skip


def main(legacy: str, identity: str, target: str, rejects: str) -> None:
    source = sqlite3.connect(f"file:{legacy}?mode=ro", uri=True)
    source.execute("BEGIN")
    with open(identity, newline="") as file:
        people = {int(line["legacy_owner_id"]): uuid.UUID(line["user_uuid"]) for line in csv.DictReader(file)}
    datasets = {number for (number,) in source.execute("SELECT dataset_id FROM datasets")}
    first_metric: dict = {}
    f1: dict = {}
    # Later times come last and win within a name; of the names the first in rank.
    measured = source.execute(
        "SELECT model_id, metric_name, metric_value FROM metrics WHERE split = 'test' ORDER BY recorded_ts"
    )
    ranks: dict = {}
    for model, name, value in measured:
        if name == "f1":
            f1[model] = value
        rank = RANKS.get(name)
        if rank is not None and rank <= ranks.get(model, 9):
            ranks[model], first_metric[model] = rank, (name, value)
    written = refused = 0
    rows = source.execute(
        "SELECT model_id, model_name, algo_type, version, owner_id, created_ts, last_mod_ts, status, accuracy_score,"
        " dataset_id, model_path, notes FROM models WHERE is_archived = 0"
    )
    with psycopg.connect(target) as connection, open(rejects, "w", newline="") as file, connection.cursor() as cursor:
        out = csv.writer(file)
        cursor.execute(TABLE)
        with cursor.copy("COPY ml_models FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(TYPES)
            for row in rows:
                try:
                    copy.write_row(transform(row, people, datasets, first_metric, f1))
                    written += 1
                except Rejected as reason:
                    out.writerow([reason, *row])
                    refused += 1
    print(written, refused)


if __name__ == "__main__":
    main(*sys.argv[1:])
