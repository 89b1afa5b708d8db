"""What is aimed at, as data: each a sentence, a number that must not be passed, and where to find what was measured."""

from collections.abc import Callable
from dataclasses import dataclass

from job import WHOLE
from results import Results, Spread

_LARGE, _LARGER = "1000000", "4000000"
_MEGABYTE = 2**20
_GROWTH = 1.15


@dataclass(frozen=True, slots=True)
class Target:
    """A bound: `found` gives what was measured, None where it was not; more than `most` is a miss."""

    text: str
    most: float
    unit: str
    found: Callable[[Results], Spread | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a target came to: `met`, `missed` or `not measured`."""

    target: Target
    found: Spread | None

    @property
    def word(self) -> str:
        """The verdict as one word or two; the median decides."""
        if self.found is None:
            return "not measured"
        return "met" if round(self.found.median, 2) <= self.target.most else "missed"


def _ratio(comparison: str, over: str, under: str, most: float, text: str) -> Target:
    """Sides are `job` or `job:part`."""

    def found(results: Results) -> Spread | None:
        return results.ratio(comparison, _LARGE, _side(over), _side(under))

    return Target(text, most, "x", found)


def _side(text: str) -> tuple[str, str]:
    job, _, part = text.partition(":")
    return job, part or "wall"


def _memory(results: Results) -> Spread | None:
    peak = results.peak_bytes("sqlite-postgres", _LARGE, "transhume")
    if peak is None:
        return None
    # A bound on memory holds for the worst run.
    return Spread(peak.most / _MEGABYTE, peak.least / _MEGABYTE, peak.most / _MEGABYTE, peak.count)


def _growth(comparison: str, size: str) -> Callable[[Results], Spread | None]:
    def found(results: Results) -> Spread | None:
        small = results.peak_bytes("sqlite-postgres", _LARGE, "transhume")
        large = results.peak_bytes(comparison, size, "transhume")
        if small is None or large is None:
            return None
        base = small.median
        return Spread(large.median / base, large.least / base, large.most / base, large.count)

    return found


TARGETS = (
    _ratio("sqlite-postgres", "transhume", "limit", 2.5, "whole job, new tables: the limit"),
    _ratio("sqlite-postgres", "transhume", "pgloader", 1.0, "whole job, new tables: pgloader's raw copy"),
    _ratio("sqlite-postgres", "transhume", "script", 0.5, "whole job, new tables: the hand-written script"),
    _ratio(
        "sqlite-postgres", "transhume-present", "pgloader", 1.8,
        "whole job, keys and 100,000 rows of others in place: pgloader's raw copy",
    ),
    _ratio("sqlite-lake", "transhume", "polars", 0.6, "whole job into Iceberg: the polars script to Parquet"),
    _ratio("sqlite-lake", "transhume", "limit", 4.0, "whole job into Iceberg: DuckDB's raw copy to Parquet"),
    _ratio("mariadb-postgres", "transhume", "pgloader", 1.2, "whole job from MariaDB: pgloader's raw copy"),
    _ratio("sqlite-postgres", "transhume:comparison", "limit", 0.6, "comparison of all rows of the table: the limit"),
    _ratio("two-tables", "transhume", "reladiff", 0.6, "two PostgreSQL tables compared: reladiff"),
    Target("peak memory, 1 M models, worst run", 750, "MB", _memory),
    Target("peak memory, 4 M models: that of 1 M", _GROWTH, "x", _growth("sqlite-postgres", _LARGER)),
    Target("peak memory, five tables of 8 M rows: that of 1 M models", _GROWTH, "x", _growth("whole", WHOLE)),
    _ratio(
        "sqlite-postgres", "transhume-present:undo_records", "transhume-present:load", 0.15,
        "statements that only an undo needs: the load",
    ),
    _ratio("sqlite-postgres", "transhume:rollback", "transhume:load", 0.5, "rollback of the run: the load"),
)  # fmt: skip
"""Where two things are named with a colon, the first is measured in times the second, in the same round."""


def judge(results: Results) -> list[Verdict]:
    """Return the verdict on every target."""
    return [Verdict(target, target.found(results)) for target in TARGETS]
