"""The catalogue of defects: which cells get which values, in how many rows, and what must become of such a row.

Reasons are the words of the project's rules, `kind:source_column`; they stand here by meaning, row by row.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Cells = Mapping[str, object]


class InvalidText(bytes):
    """Bytes that are stored as text although they are not UTF-8."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Defect:
    """Something that is planted in `weight` of 10,000 rows of a table.

    `cells` are planted in turn; `{row}` in a text becomes the row's number. `reasons` is empty where the row must
    load all the same. `place` narrows the rows: see `planting.PLACES`. `default` names the target column that
    gets its lookup's `else`, `warning` the check that only warns.
    """

    name: str
    weight: int
    cells: tuple[Cells, ...]
    reasons: tuple[str, ...] = ()
    place: str = "any"
    default: str = ""
    warning: str = ""


ABSENT_KEY = 2_000_000_001
"""A key that no parent row has."""
IMPOSSIBLE_TIMES = (
    "2024-02-30 10:00:00",
    "2023-13-01 10:00:00",
    "2023-06-15 24:00:00",
    "2023-02-29 08:30:00",
    "15/03/2023 10:00",
    "2023-6-5 10:00:00",
    "yesterday",
    "",
)
GAP_TIMES = ("2024-03-10 02:30:00", "2019-03-10 02:00:00", "2023-03-12 02:59:59.999999")
OVERLAP_TIMES = ("2024-11-03 01:30:00", "2019-11-03 01:00:00", "2023-11-05 01:59:59.999999")
ZERO_TIME = "0000-00-00 00:00:00"
STORED_NUMBERS = (1705312800, 2460325.5)
"""Epoch seconds and a Julian day: what SQLite's own functions leave in a DATETIME column."""
LATIN_1 = InvalidText(b"entra\xeenement termin\xe9")
CUT_EMOJI = InvalidText(b"cut off here \xf0\x9f\x98")

HOSTILE_NOTES = (
    "first line\nsecond line\r\nthird line",
    "she said \"ship it\", they said 'no'; -- DROP TABLE models;",
    "\U0001f680 works \U0001f469\u200d\U0001f52c on \u65e5\u672c\u8a9e",
    '=HYPERLINK("http://example.invalid/","click")',
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "tab\tseparated,comma;semicolon|pipe\\backslash",
    "${HOME} {{7*7}} %s %(name)s $1 \\N NULL null",
    "\u202egnp.exe \u200bzero width \ufeff mark",
    "",
    " ",
)


def _each(column: str, values: tuple[object, ...]) -> tuple[Cells, ...]:
    return tuple({column: value} for value in values)


_MODELS = (
    Defect("key_missing", 5, ({"model_id": None},), ("null_key:model_id", "null:model_id")),
    Defect("key_is_text", 5, ({"model_id": "M-{row}"},), ("bad_integer:model_id",)),
    Defect("name_missing", 10, ({"model_name": None},), ("null:model_name",)),
    Defect(
        "name_too_long", 5, ({"model_name": "n" * 201}, {"model_name": "\U0001f9ea" * 201}), ("too_long:model_name",)
    ),
    Defect("name_not_utf8", 5, ({"model_name": LATIN_1},), ("bad_encoding:model_name",)),
    Defect(
        "algorithm_unknown",
        15,
        _each("algo_type", ("Randm Forrest", "XGBost", "LSTM", "", "Gradient", "RF/GBM", "R F")),
        ("unmapped:algo_type",),
    ),
    Defect("status_unknown", 15, _each("status", ("X", "d", "Active", "", "D,P")), ("unmapped:status",)),
    Defect("status_missing", 5, ({"status": None},), ("null:status",)),
    Defect(
        "dataset_absent",
        15,
        ({"dataset_id": ABSENT_KEY}, {"dataset_id": -1}, {"dataset_id": 0}),
        ("orphan:dataset_id",),
    ),
    Defect("created_zero", 5, ({"created_ts": ZERO_TIME},), ("zero_date:created_ts",)),
    Defect("created_impossible", 20, _each("created_ts", IMPOSSIBLE_TIMES), ("bad_timestamp:created_ts",)),
    Defect("created_is_number", 5, _each("created_ts", STORED_NUMBERS), ("bad_timestamp:created_ts",)),
    Defect("created_in_gap", 5, _each("created_ts", GAP_TIMES), ("dst_gap:created_ts",)),
    Defect("modified_impossible", 5, _each("last_mod_ts", IMPOSSIBLE_TIMES), ("bad_timestamp:last_mod_ts",)),
    Defect(
        "accuracy_over_one", 10, _each("accuracy_score", (1.04, 93.5, -0.2)), ("check:accuracy_range",), "unmeasured"
    ),
    Defect(
        "accuracy_is_text",
        10,
        _each("accuracy_score", ("n/a", "0,93", "87%")),
        ("bad_number:accuracy_score",),
        "unmeasured",
    ),
    Defect(
        "path_of_other_form",
        20,
        _each(
            "model_path",
            (
                "C:\\models\\v1\\model.pkl",
                "/legacy/storage/models/model_without_version.pkl",
                "/legacy/storage/models/v1/sub/model.pkl",
                "/legacy/storage/models/v1/no_extension",
                "s3://old-bucket/models/v1/model.pkl",
                "/Legacy/storage/models/v1/model.pkl",
                "",
            ),
        ),
        ("path_no_match:model_path",),
    ),
    Defect("notes_not_utf8", 5, ({"notes": LATIN_1}, {"notes": CUT_EMOJI}), ("bad_encoding:notes",)),
    Defect("notes_are_bytes", 5, ({"notes": b"\x80\x04\x95pickle"},), ("blob:notes",)),
    Defect("notes_hold_nul", 5, ({"notes": "before\x00after"},), ("nul_character:notes",)),
    Defect(
        "two_at_once",
        10,
        (
            {"status": "Z", "created_ts": "2024-02-30 10:00:00"},
            {"status": "ready", "created_ts": "2023-13-01 00:00:00"},
        ),
        ("unmapped:status", "bad_timestamp:created_ts"),
    ),
    # These load: odd, but not wrong, or settled by the plan.
    Defect(
        "owner_without_identity", 200, tuple({"owner_id": owner} for owner in range(901, 918)), default="owner_user_id"
    ),
    Defect(
        "algorithm_misspelled",
        100,
        _each(
            "algo_type",
            (
                "Random Forrest",
                "Rndm Forest",
                "RandomForest",
                "rf",
                "RF ",
                "RANDOM_FOREST",
                "Grad Boost",
                "GradientBoosting",
                "Gradient Bosting Machine",
                "gbm.",
                "XG Boost",
                "XGBoots",
                "xgboost",
                "  XGBOOST",
                "ConvNet",
                "Convolutional Neural Net",
                "Convolutional Nueral Network",
                "\uff23\uff2e\uff2e",
                "CONVNET",
            ),
        ),
    ),
    Defect("status_padded", 20, _each("status", ("D ", " P", "A\t", "\nR"))),
    Defect("created_in_overlap", 10, tuple({"created_ts": time, "last_mod_ts": None} for time in OVERLAP_TIMES)),
    Defect("modified_zero", 20, ({"last_mod_ts": ZERO_TIME},)),
    Defect("modified_before_created", 10, ({"last_mod_ts": "2015-06-01 12:00:00"},), warning="modified_after_created"),
    Defect("name_nfc_nfd", 10, _each("model_name", ("mod\u00e8le_{row}", "mode\u0300le_{row}"))),
    Defect("name_exactly_fits", 5, ({"model_name": "\U0001f9ea" * 200}, {"model_name": "x" * 200})),
    Defect("name_padded", 10, _each("model_name", ("padded_{row}   ", "  padded_{row}", "tab_{row}\t"))),
    Defect("notes_hostile", 55, _each("notes", HOSTILE_NOTES)),
    Defect("path_with_dots", 10, ({"model_path": "/legacy/storage/models/v1.2/resnet.50_{row}.pkl"},)),
    Defect("accuracy_overruled", 10, ({"accuracy_score": 1.7}, {"accuracy_score": "n/a"}), place="measured"),
    Defect(
        "archived_with_defects", 5, ({"status": "X", "created_ts": ZERO_TIME, "model_name": None},), place="archived"
    ),
    Defect("archive_flag_missing", 5, ({"is_archived": None},)),
)

_DATASETS = (
    Defect("name_missing", 20, ({"dataset_name": None},), ("null:dataset_name",), "used"),
    Defect("created_impossible", 20, _each("created_ts", IMPOSSIBLE_TIMES), ("bad_timestamp:created_ts",), "used"),
    Defect("rows_are_text", 20, _each("row_count", ("12,500", "many", "1e3x")), ("bad_integer:row_count",), "unused"),
    Defect("size_inexact", 20, _each("size_mb", (0.1, 12.34)), ("inexact:size_mb",), "unused"),
    Defect("size_negative", 20, ({"size_mb": -1},), ("check:size_not_negative",), "unused"),
    Defect(
        "path_of_other_form",
        20,
        _each("storage_path", ("D:\\data\\set.csv", "\\\\nas\\share\\set.csv")),
        ("path_no_match:storage_path",),
        "unused",
    ),
    Defect(
        "date_of_other_form",
        20,
        _each("registered_on", ("31.02.2024", "2024-01-05", "5.1.2024")),
        ("bad_format:registered_on",),
        "unused",
    ),
    Defect("pii_unclear", 20, _each("contains_pii", ("maybe", "", "X")), ("unmapped:contains_pii",), "unused"),
    Defect("type_unknown", 20, _each("source_type", ("Z", "f")), ("unmapped:source_type",), "unused"),
    Defect("name_not_utf8", 20, ({"dataset_name": LATIN_1},), ("bad_encoding:dataset_name",), "unused"),
    Defect(
        "owner_without_identity", 200, tuple({"owner_id": owner} for owner in range(950, 957)), default="owner_user_id"
    ),
    Defect("notes_hostile", 100, _each("notes", HOSTILE_NOTES)),
)

_EXPERIMENTS = (
    Defect("key_missing", 25, ({"experiment_id": None},), ("null_key:experiment_id", "null:experiment_id"), "unused"),
    Defect("state_unknown", 25, _each("state", ("paused", "Done", "")), ("unmapped:state",), "unused"),
    Defect("start_in_overlap", 25, _each("start_ts", OVERLAP_TIMES), ("dst_overlap:start_ts",), "unused"),
    Defect("budget_inexact", 25, _each("budget_usd", (1234.567, 0.001)), ("bad_number:budget_usd",), "unused"),
    Defect("budget_negative", 25, ({"budget_usd": -50},), ("check:budget_not_negative",), "used"),
    Defect(
        "lead_without_identity", 250, tuple({"lead_id": owner} for owner in range(970, 975)), default="lead_user_id"
    ),
    Defect("hypothesis_hostile", 250, _each("hypothesis", HOSTILE_NOTES)),
)

_TRAINING_RUNS = (
    Defect("model_absent", 10, ({"model_id": ABSENT_KEY},), ("orphan:model_id",)),
    Defect("model_missing", 7, ({"model_id": None},), ("null:model_id",)),
    Defect("experiment_absent", 7, ({"experiment_id": ABSENT_KEY},), ("orphan:experiment_id",)),
    Defect("dataset_absent", 7, ({"dataset_id": ABSENT_KEY},), ("orphan:dataset_id",)),
    Defect("parent_absent", 7, ({"parent_run_id": ABSENT_KEY},), ("orphan:parent_run_id",)),
    Defect("status_unknown", 10, _each("status", ("Z", "s", "")), ("unmapped:status",)),
    Defect("start_impossible", 10, _each("started_ts", IMPOSSIBLE_TIMES), ("bad_timestamp:started_ts",)),
    Defect(
        "finished_before_started",
        7,
        ({"started_ts": "2022-05-05 10:00:00", "ended_ts": "2022-05-05 09:59:59.999999"},),
        ("check:finished_after_started",),
    ),
    Defect("hours_are_text", 7, _each("gpu_hours", ("12h", "unknown")), ("bad_number:gpu_hours",)),
    Defect("hours_infinite", 4, ({"gpu_hours": float("inf")},), ("not_finite:gpu_hours",)),
    Defect("parameters_not_utf8", 4, ({"hyperparams": CUT_EMOJI},), ("bad_encoding:hyperparams",)),
    Defect("start_in_gap", 10, ({"started_ts": "2024-03-10 02:30:00", "ended_ts": "2024-03-10 05:00:00"},)),
    Defect("never_ended", 20, ({"ended_ts": ZERO_TIME},)),
    Defect("user_without_identity", 100, ({"user_id": 981}, {"user_id": 982}), default="submitted_by"),
    Defect(
        "parameters_odd",
        10,
        ({"hyperparams": '{"note": "line\\nbreak \\"quoted\\"", "a": 1, "a": 2}'}, {"hyperparams": "{not json"}),
    ),
)

_METRICS = (
    Defect("model_absent", 10, ({"model_id": ABSENT_KEY},), ("orphan:model_id",), "unchosen"),
    Defect("model_missing", 4, ({"model_id": None},), ("null:model_id",), "unchosen"),
    Defect("value_missing", 10, ({"metric_value": None},), ("null:metric_value",), "unchosen"),
    Defect(
        "value_is_text", 10, _each("metric_value", ("NaN", "diverged", "-")), ("bad_number:metric_value",), "unchosen"
    ),
    Defect(
        "value_infinite",
        4,
        ({"metric_value": float("inf")}, {"metric_value": float("-inf")}),
        ("not_finite:metric_value",),
        "unchosen",
    ),
    Defect("recorded_zero", 4, ({"recorded_ts": ZERO_TIME},), ("zero_date:recorded_ts",), "unchosen"),
    Defect(
        "recorded_impossible", 6, _each("recorded_ts", IMPOSSIBLE_TIMES), ("bad_timestamp:recorded_ts",), "unchosen"
    ),
    Defect("split_unknown", 6, _each("split", ("holdout", "TEST")), ("unmapped:split",), "unchosen"),
    Defect("accuracy_over_one", 10, _each("metric_value", (1.5, 88.0)), ("check:accuracy_range",), "unchosen_accuracy"),
    Defect("recorded_in_overlap", 6, _each("recorded_ts", OVERLAP_TIMES), place="unchosen"),
    Defect("run_absent", 10, ({"run_id": ABSENT_KEY},), place="unchosen"),
)

CATALOGUE: dict[str, tuple[Defect, ...]] = {
    "datasets": _DATASETS,
    "experiments": _EXPERIMENTS,
    "models": _MODELS,
    "training_runs": _TRAINING_RUNS,
    "metrics": _METRICS,
}
"""What is planted by drawing rows. Defects that span rows (two rows with one key, a tie) stand in `planting`."""
