"""Chooses the rows that hold defects, and says what becomes of each row. Knows the catalogue, not transhume."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from transhume.demo.defects import CATALOGUE, Cells, Defect, InvalidText
from transhume.demo.rows import (
    COLUMNS,
    METRICS_A_MODEL,
    RUNS_A_MODEL,
    Row,
    Sizes,
    is_archived,
    is_used,
    metric_kinds,
    metric_row,
    primary_metric,
)

_SHARE_OF = 10_000
_TRIES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Plant:
    """A defect in one row, with the cells that it puts there."""

    defect: Defect
    cells: Cells

    def put_into(self, table: str, row: Row) -> dict[str, InvalidText]:
        """Write the cells into the row; return those that must be stored as text that is not UTF-8."""
        later = {}
        for column, value in self.cells.items():
            if isinstance(value, InvalidText):
                later[column] = value
            row[COLUMNS[table].index(column)] = None if isinstance(value, InvalidText) else value
        return later


@dataclass(slots=True)
class Planting:
    """Which row of which table holds which defect, by position from 0."""

    sizes: Sizes
    plants: dict[str, dict[int, Plant]] = field(default_factory=lambda: {table: {} for table in COLUMNS})
    model_reasons: dict[int, str] = field(default_factory=dict)
    """What a model is rejected for because of one of its metrics, by the model's position."""


def plan_planting(sizes: Sizes, seed: int) -> Planting:
    """Return where everything is planted: the same for the same sizes and seed."""
    planting = Planting(sizes)
    # First what spans rows, because those rows must hold nothing else.
    _plant_primary_metrics(planting, _draw(seed, "primary"))
    _plant_duplicates(planting, _draw(seed, "duplicates"))
    for table, defects in CATALOGUE.items():
        draw = _draw(seed, table)
        for defect, count in _counts(defects, sizes.rows(table)):
            for ordinal in range(count):
                position = _free(planting, table, PLACES[defect.place], draw)
                if position is not None:
                    planting.plants[table][position] = Plant(defect, _filled(defect, ordinal + position, position + 1))
    return planting


def plant_cycle(planting: Planting, is_clean: Callable[[int], bool]) -> None:
    """Let two training runs continue each other: odd, but both load. `is_clean` says so of a model's position.

    The two must not depend on anything that is rejected, so this comes when the models' fates are known.
    """
    for first in range(RUNS_A_MODEL, planting.sizes.training_runs, 2 * RUNS_A_MODEL):
        pair = (first, first + 1)
        model = planting.sizes.model_of_run(first)
        if is_clean(model) and not any(run in planting.plants["training_runs"] for run in range(first, first + 3)):
            defect = Defect("runs_continue_each_other", 0, ())
            for run, other in (pair, pair[::-1]):
                cells = {"parent_run_id": other + 1, "experiment_id": None, "dataset_id": None}
                planting.plants["training_runs"][run] = Plant(defect, cells)
            return


def _draw(seed: int, purpose: str) -> random.Random:
    return random.Random(f"{seed}:{purpose}")  # noqa: S311 - rows are drawn, no secret is


Place = Callable[[Planting, int], bool]


def _any(_: Planting, __: int) -> bool:
    return True


def _in_scope(planting: Planting, position: int) -> bool:
    return not is_archived(position) and position not in planting.model_reasons


def _unmeasured(planting: Planting, position: int) -> bool:
    return _in_scope(planting, position) and not planting.sizes.metrics_of(position)


def _measured(planting: Planting, position: int) -> bool:
    return _in_scope(planting, position) and bool(planting.sizes.metrics_of(position))


def _unchosen(_: Planting, position: int) -> bool:
    return position % METRICS_A_MODEL == METRICS_A_MODEL - 1


def _unchosen_accuracy(_: Planting, position: int) -> bool:
    return metric_kinds(position) == ("accuracy", "train")


PLACES: Mapping[str, Place] = {
    "any": _any,
    "used": lambda _, position: is_used(position),
    "unused": lambda _, position: not is_used(position),
    "archived": lambda _, position: is_archived(position),
    "measured": _measured,
    "unmeasured": _unmeasured,
    "unchosen": _unchosen,
    "unchosen_accuracy": _unchosen_accuracy,
}
"""Rows that a defect may take. Measured models have metrics, which overrule their own accuracy; unchosen metrics
are never a model's primary one; unused parents have no children, so that few defects do not reject many rows."""


def _counts(defects: tuple[Defect, ...], rows: int) -> Iterator[tuple[Defect, int]]:
    """Share the rows out by weight, so that together they keep their share of a small table too."""
    total = 0
    for defect in defects:
        before = total * rows // _SHARE_OF
        total += defect.weight
        yield defect, total * rows // _SHARE_OF - before


def _free(planting: Planting, table: str, place: Place, draw: random.Random) -> int | None:
    taken, rows = planting.plants[table], planting.sizes.rows(table)
    for _ in range(_TRIES_MAX):
        position = draw.randrange(rows)
        allowed = place is not _any or table != "models" or _in_scope(planting, position)
        if position not in taken and allowed and place(planting, position):
            return position
    return None  # a table too small for this defect


def _filled(defect: Defect, turn: int, row: int) -> Cells:
    cells = defect.cells[turn % len(defect.cells)]
    return {
        column: value.replace("{row}", str(row)) if isinstance(value, str) and "{row}" in value else value
        for column, value in cells.items()
    }


def _plant_primary_metrics(planting: Planting, draw: random.Random) -> None:
    """Spoil what models take from their metrics: a percentage as accuracy, a tie, a missing value."""
    sizes = planting.sizes
    kinds = (
        ("primary_accuracy_over_one", 10, "check:accuracy_range", ("check:accuracy_range",)),
        ("primary_metric_tied", 10, "ambiguous:metric", ()),
        ("primary_value_missing", 10, "", ("null:metric_value",)),
    )
    defects = tuple(Defect(name, weight, (), own) for name, weight, _, own in kinds)
    reasons = {name: reason for name, _, reason, _ in kinds}
    for defect, count in _counts(defects, sizes.metrics // METRICS_A_MODEL):
        for _ in range(count):
            metric = _primary_accuracy(planting, draw)
            if metric is None:
                continue
            row = metric_row(sizes, metric - 1)
            cells: dict[str, Cells] = {
                "primary_accuracy_over_one": {"metric_value": 93.5},
                "primary_metric_tied": {"recorded_ts": row[COLUMNS["metrics"].index("recorded_ts")]},
                "primary_value_missing": {"metric_value": None},
            }
            planting.plants["metrics"][metric] = Plant(defect, cells[defect.name])
            planting.model_reasons[sizes.model_of_metric(metric)] = reasons[defect.name]


def _primary_accuracy(planting: Planting, draw: random.Random) -> int | None:
    groups = planting.sizes.metrics // METRICS_A_MODEL
    for _ in range(_TRIES_MAX if groups else 0):
        metric = primary_metric(range(draw.randrange(groups) * METRICS_A_MODEL, planting.sizes.metrics))
        model = planting.sizes.model_of_metric(metric)
        if metric_kinds(metric) == ("accuracy", "test") and _in_scope(planting, model):
            return metric
    return None


def _plant_duplicates(planting: Planting, draw: random.Random) -> None:
    """Give some experiments the key of another one: both rows of such a pair are rejected, children too."""
    rows = planting.sizes.experiments
    defect = Defect("key_twice", 50, (), ("duplicate_key:experiment_id",))
    for ordinal in range(defect.weight * rows // _SHARE_OF):
        first = _free(planting, "experiments", PLACES["used" if ordinal % 2 == 0 else "unused"], draw)
        if first is None:
            return
        planting.plants["experiments"][first] = Plant(defect, {"experiment_id": first + 1})
        second = _free(planting, "experiments", PLACES["unused"], draw)
        if second is None:
            del planting.plants["experiments"][first]
            return
        planting.plants["experiments"][second] = Plant(defect, {"experiment_id": first + 1})
