"""Machine time for other row counts, from what stages of real runs took. Nothing is measured or read here.

A stage takes a fixed time and a time per row: seconds = fixed + rows / rate. Two runs of different sizes tell the two
apart; one run alone cannot, so all of its time counts as per row, which overstates a larger run - and is said.
The spread comes from the measured points themselves: how far each lies from the line.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transhume.estimate.simulation import percentile

SPREAD_MIN = 0.10
"""Relative spread that is assumed at least: two quiet runs in one hour say nothing about a busy evening."""
SPREAD_OF_ONE = 0.30
"""Relative spread assumed where one run alone was measured."""
_DRAWS = 5_000
_GROWTH_MIN = 1.5
"""By how much the row counts of two runs must differ to tell fixed time from time per row."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measured stage of one run: so many rows in so many seconds."""

    stage: str
    row_count: int
    duration_s: float
    run: str


@dataclass(frozen=True, slots=True)
class Rate:
    """The line of one stage; `spread` is the relative standard deviation of a prediction, `points` how many runs."""

    stage: str
    fixed_s: float
    seconds_per_row: float
    spread: float
    points: int

    def seconds(self, row_count: int) -> float:
        """Return the expected seconds for so many rows."""
        return self.fixed_s + self.seconds_per_row * row_count

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; `rows_per_s` is null where rows cost nothing."""
        return {
            "stage": self.stage,
            "fixed_s": round(self.fixed_s, 3),
            "rows_per_s": round(1 / self.seconds_per_row) if self.seconds_per_row else None,
            "spread": round(self.spread, 3),
            "runs": self.points,
        }


@dataclass(frozen=True, slots=True)
class MachineTime:
    """Seconds of each stage and in all, by percentile; `window_chance` is the chance to fit the cutover window."""

    stages: dict[str, float]
    total: dict[int, float]
    window_s: float | None
    window_chance: float | None


def fit(points: Sequence[Point]) -> list[Rate]:
    """Return the line of each stage, in the order in which stages first appear. Never a negative time.

    Relative least squares: each point counts by how far it is off in parts of itself, so that a small run
    tells of the fixed time and a large one of the rate.
    """
    stages = dict.fromkeys(point.stage for point in points)
    return [_line([point for point in points if point.stage == stage]) for stage in stages]


def predict(
    rates: Sequence[Rate], row_counts: Mapping[str, int], *, window_s: float | None = None, seed: int = 1
) -> MachineTime:
    """Return the machine time of a run in which each stage has so many rows.

    One factor of the machine hits all stages of a draw, because a busy machine slows all of them.
    """
    expected = {rate.stage: rate.seconds(row_counts[rate.stage]) for rate in rates}
    generator = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    totals = []
    for _ in range(_DRAWS):
        draw = generator.gauss(0, 1)
        totals.append(sum(max(0.0, expected[rate.stage] * (1 + rate.spread * draw)) for rate in rates))
    totals.sort()
    chance = None if window_s is None else sum(total <= window_s for total in totals) / len(totals)
    return MachineTime(
        stages=expected,
        total={percent: percentile(totals, percent) for percent in (50, 80, 90)},
        window_s=window_s,
        window_chance=chance,
    )


def _line(points: Sequence[Point]) -> Rate:
    fixed, slope = 0.0, _through_zero(points)
    smallest, largest = min(point.row_count for point in points), max(point.row_count for point in points)
    if smallest > 0 and largest >= _GROWTH_MIN * smallest:
        fixed, slope = _weighted(points)
    spread = SPREAD_OF_ONE
    if len(points) > 1:
        off = [_off(point, fixed, slope) ** 2 for point in points]
        spread = max(SPREAD_MIN, (sum(off) / (len(points) - 1)) ** 0.5)
    return Rate(points[0].stage, fixed, slope, spread, len(points))


def _off(point: Point, fixed: float, slope: float) -> float:
    expected = fixed + slope * point.row_count
    return (point.duration_s - expected) / expected if expected else 0.0


def _through_zero(points: Sequence[Point]) -> float:
    rows = sum(point.row_count for point in points)
    return sum(point.duration_s for point in points) / rows if rows else 0.0


def _weighted(points: Sequence[Point]) -> tuple[float, float]:
    """Return fixed and per-row time by least squares of relative errors, neither below zero."""
    weights = [1 / max(point.duration_s, 1e-3) ** 2 for point in points]
    total = sum(weights)
    rows = sum(w * p.row_count for w, p in zip(weights, points, strict=True)) / total
    seconds = sum(w * p.duration_s for w, p in zip(weights, points, strict=True)) / total
    variance = sum(w * (p.row_count - rows) ** 2 for w, p in zip(weights, points, strict=True))
    covariance = sum(w * (p.row_count - rows) * (p.duration_s - seconds) for w, p in zip(weights, points, strict=True))
    slope = max(0.0, covariance / variance)
    fixed = seconds - slope * rows
    return (fixed, slope) if fixed >= 0 else (0.0, _through_zero(points))
