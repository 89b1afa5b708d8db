"""All rules of `ml_models` as polars expressions, from SQLite to one plain Parquet file.

Usage: polars_script.py LEGACY.db IDENTITY.csv OUT.parquet
Polars has no SHA-1, so the UUIDs are made by Python. Rows that a rule refuses are counted and left out.
"""

import sys
import uuid

import polars as pl

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "transhume:AI_Research_DB_Legacy")
STATUS = {"D": "Draft", "P": "Pending Review", "R": "Ready for Deployment", "A": "Active"}
ALGORITHMS = {
    "Random Forest": ["RF", "RandomForest", "Random Forrest", "Rndm Forest"],
    "Gradient Boosting Machine": ["GBM", "Grad Boost", "GradientBoosting", "Gradient Bosting Machine"],
    "XGBoost": ["XGB", "XG Boost", "XGBoots"],
    "Convolutional Neural Network": ["CNN", "ConvNet", "Convolutional Neural Net", "Convolutional Nueral Network"],
}
SPELLINGS = {spelling.lower(): name for name, others in ALGORITHMS.items() for spelling in [name, *others]}
PATH = r"^/legacy/storage/models/([^/]+)/([^/]+)\.([^/.]+)$"
MODELS = (
    "SELECT model_id, model_name, algo_type, version, owner_id, CAST(created_ts AS TEXT) AS created_ts,"
    " CAST(last_mod_ts AS TEXT) AS last_mod_ts, status, accuracy_score, dataset_id, model_path, notes"
    " FROM models WHERE is_archived = 0"
)


def keys(table: str, numbers: pl.Series) -> pl.Series:
    made = [
        None if number is None else str(uuid.uuid5(NAMESPACE, f"{table}|{len(str(number))}:{number}"))
        for number in numbers.to_list()
    ]
    return pl.Series(made, dtype=pl.String)


def utc(column: str) -> pl.Expr:
    local = pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    zoned = local.dt.replace_time_zone("America/New_York", ambiguous="earliest", non_existent="null")
    return zoned.dt.convert_time_zone("UTC")


def main(legacy: str, identity: str, out: str) -> None:
    uri = f"sqlite://{legacy}"
    models = pl.read_database_uri(MODELS, uri, engine="connectorx", partition_on="model_id", partition_num=2)
    datasets = pl.read_database_uri("SELECT dataset_id FROM datasets", uri, engine="connectorx")
    measured = pl.read_database_uri(
        "SELECT model_id, metric_name, metric_value, CAST(recorded_ts AS TEXT) AS at FROM metrics WHERE split = 'test'",
        uri, engine="connectorx",
    )  # fmt: skip
    people = pl.read_csv(identity).rename({"legacy_owner_id": "owner_id", "user_uuid": "owner_user_id"})
    ranks = pl.DataFrame({"metric_name": ["accuracy", "f1", "auc", "rmse"], "rank": [0, 1, 2, 3]})
    newest = measured.sort("at").group_by("model_id", "metric_name", maintain_order=True).last()
    first = newest.join(ranks, on="metric_name").sort("rank").group_by("model_id", maintain_order=True).first()
    f1 = newest.filter(pl.col("metric_name") == "f1").select("model_id", f1_score="metric_value")
    datasets = datasets.with_columns(training_dataset_uuid=keys("datasets", datasets["dataset_id"]))
    joined = (
        models.lazy()
        .join(first.lazy().select("model_id", "metric_name", "metric_value"), on="model_id", how="left")
        .join(f1.lazy(), on="model_id", how="left")
        .join(people.lazy(), on="owner_id", how="left")
        .join(datasets.lazy(), on="dataset_id", how="left")
    )
    made = joined.select(
        "model_id",
        original_source_id="model_id",
        model_name="model_name",
        algorithm_type=pl.col("algo_type").str.strip_chars().str.to_lowercase().replace_strict(SPELLINGS, default=None),
        model_version="version",
        owner_user_id=pl.col("owner_user_id").fill_null(str(uuid.UUID(int=0))),
        created_at=utc("created_ts"),
        last_modified_at=utc("last_mod_ts"),
        deployment_status=pl.col("status").str.strip_chars().replace_strict(STATUS, default=None),
        primary_metric_name=pl.col("metric_name").fill_null("accuracy"),
        primary_metric_value=pl.coalesce("metric_value", "accuracy_score"),
        f1_score="f1_score",
        training_dataset_uuid="training_dataset_uuid",
        model_artifact_uri=pl.when(pl.col("model_path").is_not_null()).then(
            pl.col("model_path").str.replace(PATH, "s3://ai-artifacts-bucket/models/$2/$1/model.$3")
        ),
        description=pl.lit("Migrated from Legacy AI Research DB: ") + pl.col("notes").fill_null(""),
        is_orphan=pl.col("dataset_id").is_not_null() & pl.col("training_dataset_uuid").is_null(),
    )
    needed = ("model_id", "model_name", "algorithm_type", "created_at", "deployment_status")
    is_good = pl.all_horizontal(pl.col(*needed).is_not_null())
    is_good = is_good & ~pl.col("is_orphan") & pl.col("model_artifact_uri").str.starts_with("s3:").fill_null(True)
    rows = made.with_columns(is_good=is_good).collect()
    good = rows.filter("is_good").drop("is_good", "is_orphan")
    good = good.with_columns(model_uuid=keys("models", good["model_id"])).drop("model_id")
    good.write_parquet(out, compression="zstd")
    print(good.height, rows.height - good.height)


if __name__ == "__main__":
    main(*sys.argv[1:])
