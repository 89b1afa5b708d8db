"""Recounts from the generated SQLite file what a migration must account for: neither generator nor transhume is used.

Each function reads one table and returns the reasons of every row by rowid; None stands for a filtered row.
"""

import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
Reasons = dict[int, list[str] | None]
Row = dict[str, object]


class NotUtf8(bytes):
    """Text of the database that cannot be decoded."""


def rows(connection: sqlite3.Connection, table: str) -> list[Row]:
    """Return all rows with their rowid."""

    def text(raw: bytes) -> object:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return NotUtf8(raw)

    connection.text_factory = text
    cursor = connection.execute(f"SELECT rowid AS _rowid, * FROM {table} ORDER BY rowid")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def text_faults(row: Row, *columns: str) -> Iterable[str]:
    for column in columns:
        value = row[column]
        if isinstance(value, NotUtf8):
            yield f"bad_encoding:{column}"
        elif isinstance(value, bytes):
            yield f"blob:{column}"
        elif isinstance(value, str) and "\0" in value:
            yield f"nul_character:{column}"


def local_time(value: object) -> datetime | str | None:
    """Return a local time, or what is wrong with it."""
    if value is None:
        return None
    text = str(value)
    if text.startswith("0000-00-00"):
        return "zero_date"
    if not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?", text):
        return "bad_timestamp"
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return "bad_timestamp"


def time_faults(row: Row, column: str, *, overlap: bool = False, gap: bool = True, zero: bool = True) -> Iterable[str]:
    found = local_time(row[column])
    if isinstance(found, str):
        if found != "zero_date" or zero:
            yield f"{found}:{column}"
    elif found is not None:
        there = found.replace(tzinfo=NEW_YORK).astimezone(UTC)
        if gap and there.astimezone(NEW_YORK).replace(tzinfo=None) != found:
            yield f"dst_gap:{column}"
        elif (
            overlap and found.replace(tzinfo=NEW_YORK).utcoffset() != found.replace(tzinfo=NEW_YORK, fold=1).utcoffset()
        ):
            yield f"dst_overlap:{column}"


def number_faults(row: Row, column: str) -> Iterable[str]:
    value = row[column]
    if isinstance(value, str):
        yield f"bad_number:{column}"
    elif isinstance(value, float) and value - value != 0:
        yield f"not_finite:{column}"


def null_faults(row: Row, *columns: str) -> Iterable[str]:
    return (f"null:{column}" for column in columns if row[column] is None)


def code_faults(row: Row, column: str, known: Iterable[str]) -> Iterable[str]:
    value = row[column]
    if value is None:
        yield f"null:{column}"
    elif str(value).strip(" \t\n\v\f\r") not in tuple(known):
        yield f"unmapped:{column}"


def parent_faults(row: Row, column: str, fates: dict[object, str]) -> Iterable[str]:
    value = row[column]
    if value is not None and (fate := fates.get(value, "orphan")) != "loaded":
        yield f"{fate}:{column}"


def fates(table: list[Row], key: str, reasons: Reasons) -> dict[object, str]:
    found: dict[object, str] = {}
    for row in table:
        own = reasons[int(str(row["_rowid"]))]
        found[row[key]] = "parent_filtered" if own is None else "parent_rejected" if own else "loaded"
    return found


def datasets(table: list[Row]) -> Reasons:
    result: Reasons = {}
    for row in table:
        found = [*null_faults(row, "dataset_name", "created_ts"), *text_faults(row, "dataset_name", "notes", "tags")]
        found += code_faults(row, "source_type", "FDSA")
        found += code_faults(row, "contains_pii", ("Y", "N", "yes", "no", "1", "0"))
        path = str(row["storage_path"])
        if not re.fullmatch(r"/legacy/storage/datasets/[^/]+\.[^/.]+|hdfs://legacy-cluster/[^/]+/[^/]+\.[^/.]+", path):
            found.append("path_no_match:storage_path")
        found += ["bad_integer:row_count"] if isinstance(row["row_count"], str) else []
        size = Decimal(repr(row["size_mb"])) * 1048576
        found += ["inexact:size_mb"] if size != int(size) else []
        found += ["check:size_not_negative"] if size < 0 else []
        try:
            assert re.fullmatch(r"\d\d\.\d\d\.\d{4}", str(row["registered_on"]))
            datetime.strptime(str(row["registered_on"]), "%d.%m.%Y").replace(tzinfo=UTC)
        except (AssertionError, ValueError):
            found.append("bad_format:registered_on")
        result[int(str(row["_rowid"]))] = [*found, *time_faults(row, "created_ts")]
    return result


def experiments(table: list[Row]) -> Reasons:
    result: Reasons = {}
    times = Counter(row["experiment_id"] for row in table if row["experiment_id"] is not None)
    for row in table:
        found = ["null_key:experiment_id", "null:experiment_id"] if row["experiment_id"] is None else []
        found += ["duplicate_key:experiment_id"] if times[row["experiment_id"]] > 1 else []
        found += [*text_faults(row, "hypothesis"), *code_faults(row, "state", ("open", "done", "stop"))]
        found += [*time_faults(row, "start_ts", overlap=True), *time_faults(row, "end_ts")]
        if row["budget_usd"] is not None:
            budget = Decimal(repr(row["budget_usd"]))
            found += ["bad_number:budget_usd"] if budget != round(budget, 2) else []
            found += ["check:budget_not_negative"] if budget < 0 else []
        result[int(str(row["_rowid"]))] = found
    return result


def primary(metrics: list[Row]) -> tuple[str | None, object, bool]:
    """Return name and value of the primary metric among one model's metrics, and whether there is a tie."""
    for name in ("accuracy", "f1", "auc", "rmse"):
        own = [row for row in metrics if row["split"] == "test" and row["metric_name"] == name]
        if own:
            latest = max(str(row["recorded_ts"]) for row in own)
            last = [row for row in own if str(row["recorded_ts"]) == latest]
            return name, last[0]["metric_value"], len(last) > 1
    return None, None, False


def fold(text: object) -> str:
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", str(text)).casefold()).strip()


def models(table: list[Row], metrics: list[Row], spellings: set[str], parents: dict[object, str]) -> Reasons:
    result: Reasons = {}
    by_model: dict[object, list[Row]] = {}
    for row in metrics:
        by_model.setdefault(row["model_id"], []).append(row)
    for row in table:
        if row["is_archived"] != 0:
            result[int(str(row["_rowid"]))] = None
            continue
        found = ["null_key:model_id", "null:model_id"] if row["model_id"] is None else []
        found += ["bad_integer:model_id"] if isinstance(row["model_id"], str) else []
        found += [*null_faults(row, "model_name", "created_ts"), *text_faults(row, "model_name", "notes")]
        found += ["too_long:model_name"] if isinstance(row["model_name"], str) and len(row["model_name"]) > 200 else []
        found += [] if fold(row["algo_type"]) in spellings else ["unmapped:algo_type"]
        found += [*code_faults(row, "status", "DPRA"), *parent_faults(row, "dataset_id", parents)]
        found += [*time_faults(row, "created_ts"), *time_faults(row, "last_mod_ts", zero=False)]
        if row["model_path"] is not None and not re.fullmatch(
            r"/legacy/storage/models/[^/]+/[^/]+\.[^/.]+", str(row["model_path"])
        ):
            found.append("path_no_match:model_path")
        name, value, tied = primary(by_model.get(row["model_id"], []))
        found += ["ambiguous:metric"] if tied else []
        if value is None:
            value = row["accuracy_score"]
            found += number_faults(row, "accuracy_score")
        if name in {None, "accuracy"} and isinstance(value, float | int) and not 0 <= value <= 1:
            found.append("check:accuracy_range")
        result[int(str(row["_rowid"]))] = found
    return result


def training_runs(
    table: list[Row], of_models: dict[object, str], of_experiments: dict[object, str], of_datasets: dict[object, str]
) -> Reasons:
    result: Reasons = {}
    for row in table:
        found = [*null_faults(row, "model_id"), *parent_faults(row, "model_id", of_models)]
        found += [*parent_faults(row, "experiment_id", of_experiments), *parent_faults(row, "dataset_id", of_datasets)]
        found += [*code_faults(row, "status", "SFK"), *text_faults(row, "hyperparams", "host", "run_name")]
        found += [*time_faults(row, "started_ts", gap=False), *time_faults(row, "ended_ts", zero=False)]
        found += number_faults(row, "gpu_hours")
        started, ended = local_time(row["started_ts"]), local_time(row["ended_ts"])
        if isinstance(started, datetime) and isinstance(ended, datetime) and ended - started < timedelta(0):
            found.append("check:finished_after_started")
        result[int(str(row["_rowid"]))] = found
    while True:  # to the fixpoint: rejecting a run may reject the runs that continue it
        own = fates(table, "run_id", result)
        added = 0
        for row in table:
            reasons = result[int(str(row["_rowid"]))]
            assert reasons is not None
            new = [reason for reason in parent_faults(row, "parent_run_id", own) if reason not in reasons]
            reasons += new
            added += len(new)
        if not added:
            return result


def metrics(table: list[Row], of_models: dict[object, str]) -> Reasons:
    result: Reasons = {}
    for row in table:
        if of_models.get(row["model_id"]) == "parent_filtered":
            result[int(str(row["_rowid"]))] = None
            continue
        found = [*null_faults(row, "model_id", "metric_value"), *parent_faults(row, "model_id", of_models)]
        found += [*number_faults(row, "metric_value"), *code_faults(row, "split", ("train", "valid", "test"))]
        found += time_faults(row, "recorded_ts")
        value = row["metric_value"]
        if row["metric_name"] == "accuracy" and isinstance(value, float | int) and not 0 <= value <= 1:
            found.append("check:accuracy_range")
        result[int(str(row["_rowid"]))] = found
    return result


def judge(path: Path, spellings: Iterable[str]) -> dict[str, Reasons]:
    """Return the reasons of every row of every table of the file."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    names = ("datasets", "experiments", "models", "training_runs", "metrics")
    tables = {name: rows(connection, name) for name in names}
    connection.close()
    result = {"datasets": datasets(tables["datasets"]), "experiments": experiments(tables["experiments"])}
    of_datasets = fates(tables["datasets"], "dataset_id", result["datasets"])
    of_experiments = fates(tables["experiments"], "experiment_id", result["experiments"])
    known = {fold(spelling) for spelling in spellings}
    result["models"] = models(tables["models"], tables["metrics"], known, of_datasets)
    of_models = fates(tables["models"], "model_id", result["models"])
    result["training_runs"] = training_runs(tables["training_runs"], of_models, of_experiments, of_datasets)
    result["metrics"] = metrics(tables["metrics"], of_models)
    return result
