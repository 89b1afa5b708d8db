"""Writes the legacy database and the answer key beside it, in one pass over the rows, at any size."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from transhume.demo.answers import AnswerKey, Planted, TableAnswer
from transhume.demo.defects import InvalidText
from transhume.demo.planting import Plant, Planting, plan_planting, plant_cycle
from transhume.demo.project import read_project_file
from transhume.demo.rows import (
    CANONICAL_ALGORITHMS,
    CLEAN_ROW,
    COLUMNS,
    STATUS_LABELS,
    Row,
    Sizes,
    metric_kinds,
    primary_metric,
)
from transhume.errors import UsageError

SEED = 20240310
"""The night on which New York's clocks lost an hour."""

_MAPPINGS = {
    "datasets": "data_sources",
    "experiments": "experiment_logs",
    "models": "ml_models",
    "training_runs": "training_jobs",
    "metrics": "model_performance",
}
_MODEL, _RUN, _METRIC = (
    {column: place for place, column in enumerate(COLUMNS[table])} for table in ("models", "training_runs", "metrics")
)
_PARENTS_OF_RUN = (
    ("model_id", "models"),
    ("experiment_id", "experiments"),
    ("dataset_id", "datasets"),
    ("parent_run_id", "training_runs"),
)
_SPELLINGS = {spelling: name for name, others in CANONICAL_ALGORITHMS.items() for spelling in (name, *others)}
_SCHEMA_VERSIONS = ((1, "001_create.sql", "2016-01-04 09:00:00"), (7, "007_archive_flag.sql", "2021-11-08 18:20:00"))


def generate(
    path: Path, models: int = 2000, *, seed: int = SEED, sizes: Sizes | None = None, defects: bool = True
) -> AnswerKey:
    """Make the legacy database as a SQLite file and return what a migration of it must account for.

    Shape: `models` models and the other tables in proportion, or exactly `sizes`. The same arguments give the
    same rows and the same key. The key comes from what was planted; no part of transhume is run for it.
    Without `defects` nothing is planted, so that tools which stop at a wrong value can copy the rows too.
    Effects: writes `path`, complete or not at all.
    Raises: UsageError if `path` exists or the sizes do not fit together.
    """
    if path.exists():
        message = f"'{path}' exists already and is not overwritten; remove it or name another file"
        raise UsageError(message)
    chosen = sizes or Sizes.of(models)
    writer = _Writer(plan_planting(chosen, seed) if defects else Planting(chosen))
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    connection = sqlite3.connect(unfinished)
    try:
        connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        connection.executescript(read_project_file("legacy_schema.sql"))
        connection.executemany("INSERT INTO schema_version VALUES (?, ?, ?)", _SCHEMA_VERSIONS)
        for table in COLUMNS:
            writer.write(connection, table)
        connection.commit()
    finally:
        connection.close()
    unfinished.replace(path)
    answers = {_MAPPINGS[table]: tally.answer(table) for table, tally in writer.tallies.items()}
    return AnswerKey(seed=seed, tables=answers, planted=tuple(writer.planted))


@dataclass(slots=True)
class _Tally:
    """The buckets of one table while its rows are made, and the fates of those keys that do not load."""

    read: int = 0
    rejected: int = 0
    filtered: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    defaults: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    values: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    fates: dict[object, str] = field(default_factory=dict)
    """`parent_rejected`, `parent_filtered` or `orphan`: what a row that refers to this key is rejected for."""

    def answer(self, table: str) -> TableAnswer:
        return TableAnswer(
            mapping=_MAPPINGS[table],
            source=table,
            read=self.read,
            loaded=self.read - self.rejected - self.filtered,
            rejected=self.rejected,
            filtered=self.filtered,
            reasons=dict(sorted(self.reasons.items())),
            defaults=dict(sorted(self.defaults.items())),
            warnings=dict(sorted(self.warnings.items())),
            values={column: dict(sorted(counts.items())) for column, counts in sorted(self.values.items())},
        )


class _Writer:
    """Makes rows, settles the fate of each by what was planted in it and in its parents, and inserts them."""

    def __init__(self, planting: Planting) -> None:
        self.planting = planting
        self.sizes = planting.sizes
        self.tallies = {table: _Tally() for table in COLUMNS}
        self.planted: list[Planted] = []
        self._later: list[tuple[str, str, InvalidText, int]] = []

    def write(self, connection: sqlite3.Connection, table: str) -> None:
        """Insert all rows of one table; parents must have been written before."""
        if table == "training_runs":
            models = self.tallies["models"].fates
            plant_cycle(self.planting, lambda model: model + 1 not in models)
        columns = ", ".join(COLUMNS[table])
        marks = ", ".join("?" for _ in COLUMNS[table])
        # Table and columns are constants of this package, never input.
        connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", self._rows(table))  # noqa: S608
        for column, raw, row in ((column, raw, row) for name, column, raw, row in self._later if name == table):
            connection.execute(f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE rowid = ?", (bytes(raw), row))  # noqa: S608

    def _rows(self, table: str) -> Iterator[Row]:
        make, plants, tally = CLEAN_ROW[table], self.planting.plants[table], self.tallies[table]
        settle = {
            "datasets": self._settle_parent,
            "experiments": self._settle_parent,
            "models": self._settle_model,
            "training_runs": self._settle_run,
            "metrics": self._settle_metric,
        }[table]
        for position in range(self.sizes.rows(table)):
            row = make(self.sizes, position)
            plant = plants.get(position)
            if plant is not None:
                for column, raw in plant.put_into(table, row).items():
                    self._later.append((table, column, raw, position + 1))
            tally.read += 1
            settle(table, position, row, plant)
            yield row

    def _settle_parent(self, table: str, position: int, row: Row, plant: Plant | None) -> None:
        if plant is not None:
            self._finish(table, position, row, plant, plant.defect.reasons)

    def _settle_model(self, table: str, position: int, row: Row, plant: Plant | None) -> None:
        if row[_MODEL["is_archived"]] != 0:
            self.tallies[table].filtered += 1
            self.tallies[table].fates[row[0]] = "parent_filtered"
            if plant is not None:
                self._note(table, position, row, plant, ())
            return
        reasons = list(plant.defect.reasons) if plant else []
        if from_metric := self.planting.model_reasons.get(position):
            reasons.append(from_metric)
        if fate := self.tallies["datasets"].fates.get(row[_MODEL["dataset_id"]]):
            reasons.append(f"{fate}:dataset_id")
        if (plant or reasons) and not self._finish(table, position, row, plant, tuple(reasons)):
            return
        metrics = self.sizes.metrics_of(position)
        for column, value in (
            ("algorithm_type", _SPELLINGS[str(row[_MODEL["algo_type"]])]),
            ("deployment_status", STATUS_LABELS[str(row[_MODEL["status"]]).strip()]),
            ("primary_metric_name", metric_kinds(primary_metric(metrics))[0] if metrics else "accuracy"),
        ):
            self.tallies[table].values[column][value] += 1

    def _settle_run(self, table: str, position: int, row: Row, plant: Plant | None) -> None:
        reasons = list(plant.defect.reasons) if plant else []
        for column, parents in _PARENTS_OF_RUN:
            if fate := self.tallies[parents].fates.get(row[_RUN[column]]):
                reasons.append(f"{fate}:{column}")
        if plant or reasons:
            self._finish(table, position, row, plant, tuple(reasons))

    def _settle_metric(self, table: str, position: int, row: Row, plant: Plant | None) -> None:
        fate = self.tallies["models"].fates.get(row[_METRIC["model_id"]])
        if fate == "parent_filtered":  # the mapping's own `where` leaves these out
            self.tallies[table].filtered += 1
            if plant is not None:
                self._note(table, position, row, plant, ())
            return
        reasons = list(plant.defect.reasons) if plant else []
        if fate:
            reasons.append(f"{fate}:model_id")
        if plant or reasons:
            self._finish(table, position, row, plant, tuple(reasons))

    def _finish(self, table: str, position: int, row: Row, plant: Plant | None, reasons: tuple[str, ...]) -> bool:
        """Put a row that is not filtered into its bucket; say whether it loads."""
        tally = self.tallies[table]
        if plant is not None:
            self._note(table, position, row, plant, reasons)
        if reasons:
            tally.rejected += 1
            tally.reasons.update(dict.fromkeys(reasons, 1))
            if row[0] is not None:
                tally.fates[row[0]] = "parent_rejected"
        elif plant is not None:
            tally.defaults.update([plant.defect.default] if plant.defect.default else [])
            tally.warnings.update([plant.defect.warning] if plant.defect.warning else [])
        if row[0] != position + 1:
            tally.fates.setdefault(position + 1, "orphan")  # children still hold the key that this row should have
        return not reasons

    def _note(self, table: str, position: int, row: Row, plant: Plant, reasons: tuple[str, ...]) -> None:
        key = None if row[0] is None else str(row[0])
        self.planted.append(Planted(table, position + 1, key, plant.defect.name, reasons))
