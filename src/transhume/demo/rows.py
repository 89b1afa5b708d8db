"""The clean rows of the legacy database: each a function of its position alone. No defect is made here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from transhume.errors import UsageError

Row = list[object]

COLUMNS: dict[str, tuple[str, ...]] = {
    "datasets": (
        "dataset_id", "dataset_name", "source_type", "storage_path", "size_mb", "row_count", "column_count",
        "tags", "owner_id", "contains_pii", "registered_on", "created_ts", "notes",
    ),
    "experiments": (
        "experiment_id", "experiment_name", "team", "lead_id", "state", "start_ts", "end_ts", "budget_usd",
        "hypothesis",
    ),
    "models": (
        "model_id", "model_name", "algo_type", "version", "owner_id", "created_ts", "last_mod_ts", "status",
        "accuracy_score", "dataset_id", "model_path", "notes", "is_archived",
    ),
    "training_runs": (
        "run_id", "run_name", "model_id", "experiment_id", "dataset_id", "parent_run_id", "user_id", "status",
        "host", "started_ts", "ended_ts", "gpu_hours", "hyperparams",
    ),
    "metrics": (
        "metric_id", "model_id", "run_id", "metric_name", "metric_value", "split", "epoch", "recorded_ts",
    ),
}  # fmt: skip
"""Columns of each table in the order of the schema, parents before children."""

OWNERS = 60
"""Owners 1 to 60 have an identity in lookups/identity.csv."""
RUNS_A_MODEL = 3
METRICS_A_MODEL = 5
ARCHIVED_EVERY = 25
UNUSED_EVERY = 4


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows each legacy table gets."""

    models: int
    datasets: int
    experiments: int
    training_runs: int
    metrics: int

    def __post_init__(self) -> None:
        if self.models < 1 or self.datasets < 1 or self.experiments < 1 or self.training_runs < 0 or self.metrics < 0:
            message = f"a legacy database needs at least one model, dataset and experiment; asked for {self}"
            raise UsageError(message)
        if self.training_runs % RUNS_A_MODEL or self.metrics % METRICS_A_MODEL:
            message = f"runs come in threes and metrics in fives, one group a model; asked for {self}"
            raise UsageError(message)
        if self.metrics > METRICS_A_MODEL * self.models:
            message = f"{self.metrics} metrics are too many for {self.models} models: at most {METRICS_A_MODEL} each"
            raise UsageError(message)

    @classmethod
    def of(cls, models: int) -> "Sizes":
        """Return the proportions that the legacy database has for so many models."""
        half = models // 2
        return cls(models, max(1, models // 4), max(1, models // 5), RUNS_A_MODEL * half, METRICS_A_MODEL * half)

    def rows(self, table: str) -> int:
        """Return the row count of a table."""
        count: int = getattr(self, table)
        return count

    def runs_of(self, model: int) -> range:
        """Return the positions of the runs of the model at this position."""
        groups = self.training_runs // RUNS_A_MODEL
        stride = max(1, self.models // groups) if groups else 0
        if not stride or model % stride or model // stride >= groups:
            return range(0)
        first = model // stride * RUNS_A_MODEL
        return range(first, first + RUNS_A_MODEL)

    def metrics_of(self, model: int) -> range:
        """Return the positions of the metrics of the model at this position."""
        groups = self.metrics // METRICS_A_MODEL
        stride = max(1, self.models // groups) if groups else 0
        if not stride or model % stride or model // stride >= groups:
            return range(0)
        first = model // stride * METRICS_A_MODEL
        return range(first, first + METRICS_A_MODEL)

    def model_of_run(self, run: int) -> int:
        """Return the position of the model that a run trained."""
        groups = max(1, self.training_runs // RUNS_A_MODEL)
        return run // RUNS_A_MODEL * max(1, self.models // groups) % self.models

    def model_of_metric(self, metric: int) -> int:
        """Return the position of the model that a metric was measured on."""
        groups = max(1, self.metrics // METRICS_A_MODEL)
        return metric // METRICS_A_MODEL * max(1, self.models // groups) % self.models


def is_used(parent: int) -> bool:
    """Say whether clean rows refer to the dataset or experiment at this position; every fourth is never used."""
    return parent % UNUSED_EVERY != UNUSED_EVERY - 1


def is_archived(model: int) -> bool:
    """Say whether the model at this position is archived, which keeps it out of the migration."""
    return model % ARCHIVED_EVERY == ARCHIVED_EVERY // 2


def metric_kinds(metric: int) -> tuple[str, str]:
    """Return name and split of a metric; the five of a model tell what its primary metric is.

    Most have accuracy on the test split twice, the second being the later one. Some are regressions (rmse), some
    were judged by auc and f1.
    """
    group, place = divmod(metric, METRICS_A_MODEL)
    return _KINDS.get(group % 7, _USUAL)[place]


def primary_metric(metrics: range) -> int:
    """Return the position of the metric that the plan must choose among the metrics of one model."""
    return metrics[1]


_USUAL = (("accuracy", "test"), ("accuracy", "test"), ("f1", "test"), ("accuracy", "train"), ("loss", "train"))
_KINDS = {
    3: (("rmse", "test"), ("rmse", "test"), ("mae", "test"), ("rmse", "train"), ("loss", "train")),
    5: (("auc", "test"), ("f1", "test"), ("loss", "valid"), ("accuracy", "train"), ("loss", "train")),
}

CANONICAL_ALGORITHMS = {
    "Random Forest": ("RF", "RandomForest", "Random Forrest", "Rndm Forest", "rf", "RF ", "RANDOM_FOREST"),
    "Gradient Boosting Machine": ("GBM", "Grad Boost", "GradientBoosting", "Gradient Bosting Machine", "gbm."),
    "XGBoost": ("XGB", "XG Boost", "XGBoots", "xgboost", "  XGBOOST"),
    "Convolutional Neural Network": (
        "CNN", "ConvNet", "Convolutional Neural Net", "Convolutional Nueral Network", "\uff23\uff2e\uff2e", "CONVNET",
    ),
}  # fmt: skip
"""Canonical names and the spellings of them that the generator plants or uses; the last ones need folding."""
STATUS_LABELS = {"D": "Draft", "P": "Pending Review", "R": "Ready for Deployment", "A": "Active"}

_ALGORITHMS = ("RF", "GBM", "XGBoost", "CNN", "Random Forest", "Gradient Boosting Machine", "XGB")
_STATUSES = "AAARRPDD"
_ADJECTIVES = ("amber", "brisk", "calm", "dusty", "early", "fuzzy", "gentle", "hidden", "idle", "jolly", "keen", "lush")
_TASKS = ("churn", "fraud", "ocr", "pricing", "ranking", "routing", "speech", "triage", "vision", "weather", "yield")
_TEAMS = ("vision", "language", "risk", "logistics", "research")
_DAYS = tuple((date(2016, 1, 4) + timedelta(days=day)).isoformat() for day in range(3000))
_NOTES = (
    None,
    "baseline of the quarter",
    None,
    "retrained after the label audit, see the run log",
    "owner asked to keep this one until the successor is live",
    "features v2",
)


def _mix(position: int, salt: int) -> int:
    """Return 32 well-spread bits of a position, the same on every machine."""
    mixed = (position * 2654435761 + salt * 40503) & 0xFFFFFFFF
    return (mixed ^ (mixed >> 15)) * 2246822519 & 0xFFFFFFFF


def _local_time(day: int, minute: int, second: int) -> str:
    """Return a local time between 08:00 and 19:59, where no zone changes its offset."""
    return f"{_DAYS[day]} {8 + minute // 60:02d}:{minute % 60:02d}:{second:02d}"


def _used(choice: int, rows: int) -> int:
    """Return the position of one of the used parents among so many rows."""
    group = UNUSED_EVERY - 1
    chosen = choice % (rows - rows // UNUSED_EVERY)
    return chosen // group * UNUSED_EVERY + chosen % group


def dataset_row(_: Sizes, position: int) -> Row:
    """Return the dataset at this position."""
    mixed = _mix(position, 1)
    name = f"{_TASKS[mixed % 11]}_{_ADJECTIVES[mixed // 11 % 12]}_{position + 1}"
    kind = ("csv", "parquet", "jsonl")[mixed % 3]
    path = f"/legacy/storage/datasets/{name}.{kind}"
    if mixed % 5 == 0:
        path = f"hdfs://legacy-cluster/{_TEAMS[mixed // 5 % 5]}/{name}.{kind}"
    day = mixed // 7 % 2500
    year, month, number = _DAYS[day].split("-")
    return [
        position + 1,
        name,
        "FDSA"[mixed // 3 % 4],
        path,
        mixed // 64 % 40000 / 4,  # quarters of a MB: a whole number of bytes, and exact in binary
        mixed // 16 % 5_000_000,
        4 + mixed // 128 % 90,
        ",".join(_TASKS[(mixed + step) % 11] for step in range(mixed % 4)) or None,
        None if mixed % 9 == 0 else 1 + mixed // 9 % OWNERS,
        ("Y", "N", "yes", "no", "1", "0")[mixed // 21 % 6],
        f"{number}.{month}.{year}",
        _local_time(day, mixed // 31 % 720, mixed % 60),
        _NOTES[mixed % 6],
    ]


def experiment_row(_: Sizes, position: int) -> Row:
    """Return the experiment at this position."""
    mixed = _mix(position, 2)
    day = mixed % 2800
    state = ("open", "done", "done", "stop")[mixed // 5 % 4]
    return [
        position + 1,
        f"{_TASKS[mixed // 3 % 11]} with {_ADJECTIVES[mixed // 33 % 12]} features",
        _TEAMS[mixed // 2 % 5],
        1 + mixed // 7 % OWNERS,
        state,
        _local_time(day, mixed // 17 % 720, mixed % 60),
        None if state == "open" else _local_time(day + 100, mixed // 19 % 720, 0),
        None if mixed % 8 == 0 else mixed // 11 % 9_000_000 / 100,
        None if mixed % 3 == 0 else "more data beats a larger model",
    ]


def model_row(sizes: Sizes, position: int) -> Row:
    """Return the model at this position."""
    mixed = _mix(position, 3)
    name = f"{_ADJECTIVES[mixed % 12]}_{_TASKS[mixed // 12 % 11]}_{position + 1}"
    version = f"v{1 + mixed // 5 % 9}"
    day = mixed // 3 % 2000
    minute, second = mixed // 41 % 720, mixed % 60
    created = _local_time(day, minute, second)
    return [
        position + 1,
        name,
        _ALGORITHMS[mixed // 17 % 7],
        None if mixed % 29 == 0 else version,
        1 + mixed // 9 % OWNERS,
        created + f".{mixed % 1_000_000:06d}" if mixed % 10 == 0 else created,
        None if mixed % 13 == 0 else _local_time(day + 1 + mixed // 8 % 900, minute, second),
        _STATUSES[mixed // 6 % 8],
        (5000 + mixed // 2 % 4900) / 10000,
        None if mixed % 17 == 0 else 1 + _used(mixed // 19, sizes.datasets),
        None if mixed % 23 == 0 else f"/legacy/storage/models/{version}/{name}.{('pkl', 'onnx', 'pt')[mixed % 3]}",
        _NOTES[mixed // 4 % 6],
        1 if is_archived(position) else 0,
    ]


def run_row(sizes: Sizes, position: int) -> Row:
    """Return the training run at this position; in half of the groups of three each continues the one before."""
    group, place = divmod(position, RUNS_A_MODEL)
    mixed = _mix(position, 4)
    minute = mixed // 41 % 600
    day = mixed // 3 % 2800
    return [
        position + 1,
        f"run-{group + 1}-{place + 1}",
        sizes.model_of_run(position) + 1,
        None if mixed % 7 == 0 else 1 + _used(mixed // 7, sizes.experiments),
        None if mixed % 11 == 0 else 1 + _used(mixed // 11, sizes.datasets),
        position if place and group % 2 == 0 else None,
        1 + mixed // 9 % OWNERS,
        "SSSFSK"[mixed // 13 % 6],
        None if mixed % 6 == 0 else f"gpu{mixed // 6 % 16:02d}",
        _local_time(day, minute, mixed % 60),
        _local_time(day, minute + 1 + mixed // 5 % 119, mixed % 60),
        mixed // 2 % 4000 / 64,
        f'{{"epochs": {1 + mixed % 50}, "learning_rate": 0.{1 + mixed // 50 % 99:03d}, "seed": {mixed % 1000}}}',
    ]


def metric_row(sizes: Sizes, position: int) -> Row:
    """Return the metric at this position; of the metrics of one model, each was recorded a day after the other."""
    group, place = divmod(position, METRICS_A_MODEL)
    mixed, of_group = _mix(position, 5), _mix(group, 6)
    name, split = metric_kinds(position)
    model = sizes.model_of_metric(position)
    runs = sizes.runs_of(model)
    large = name in {"rmse", "mae", "loss"}
    return [
        position + 1,
        model + 1,
        runs[place % RUNS_A_MODEL] + 1 if runs else None,
        name,
        mixed % 100_000 / 1000 if large else (5000 + mixed // 2 % 4900) / 10000,
        split,
        None if mixed % 5 == 0 else mixed // 3 % 200,
        _local_time(of_group % 2900 + place, of_group // 7 % 720, of_group % 60),
    ]


CLEAN_ROW: dict[str, Callable[[Sizes, int], Row]] = {
    "datasets": dataset_row,
    "experiments": experiment_row,
    "models": model_row,
    "training_runs": run_row,
    "metrics": metric_row,
}
