"""A rehearsal from the front door: a part that covers every way, the whole road, all checks, the drill, the rates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from transhume.batches import Event
from transhume.checks import CheckResult
from transhume.estimate.rates import Rate, fit
from transhume.journal import read_journal
from transhume.plan.model import Plan
from transhume.project.drilling import DrillResult, Road, back, go, hear
from transhume.project.proving import ValidationResult, validate_after
from transhume.project.results import RunResult
from transhume.project.scratch_place import ScratchPlace, remove_leftovers, scratch_place
from transhume.project.workplace import Listener, Workplace
from transhume.stages.context import Limits
from transhume.stages.proof.recompute import REASON_COLUMN
from transhume.stages.published import Depth
from transhume.stages.subset import Subset
from transhume.stages.timings import measured

ROWS = 1_000
"""Rows of each table mapping where nothing else is said."""
_VALUES = frozenset({"NULL", "a value"})
"""What the oracle counts of columns whose rules have one way only."""
_SMALLER = 4
"""How many times smaller the first of the two parts is: sizes must differ to tell fixed time from time per row."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which ways the rehearsed rows of one mapping went, and which of the plan's own no row of the source goes.

    A way is a branch, code, name, choice or form of a column's rule, a bucket, a reject reason, NULL, the least,
    greatest or longest value of a column.
    """

    mapping: str
    rows: int
    covered: tuple[str, ...]
    missing: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "mapping": self.mapping,
            "rows": self.rows,
            "covered": list(self.covered),
            "missing": list(self.missing),
        }


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rehearsal found: coverage, checks, the drill; two runs of different sizes and their stages' rates."""

    coverage: tuple[Coverage, ...]
    runs: tuple[RunResult, ...]
    validation: ValidationResult
    drill: DrillResult
    rates: tuple[Rate, ...]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return self.validation.failed

    @property
    def passed(self) -> bool:
        """Whether every check passed and the undo is proved."""
        return not self.failed and self.drill.passed

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "passed": self.passed,
            "coverage": [each.to_dict() for each in self.coverage],
            "runs": [each.to_dict() for each in self.runs],
            "validation": self.validation.to_dict(),
            "drill": self.drill.to_dict(),
            "rates": [rate.to_dict() for rate in self.rates],
        }


def rehearse(place: Workplace, subset: Subset, listener: Listener | None, limits: Limits) -> Rehearsal:
    """Rehearse the plan with a part of the source; see `Project.rehearse`."""
    plan = place.plan()
    with place.lock():
        for name in remove_leftovers(place, plan):
            hear(listener, Event("leftover_removed", {"scratch": name}))
        with scratch_place(place, plan) as opened:
            first = go(opened, _smaller(subset), subset.seed, listener, limits).run
            journals = [opened.run_folder(first.run).journal]
        with scratch_place(place, plan) as opened:
            road = go(opened, subset, subset.seed, listener, limits)
            journals.append(opened.run_folder(road.run.run).journal)
            validation = validate_after(opened, road.run.run, Depth(seed=subset.seed), listener)
            coverage = tuple(_coverage(opened, plan, road, validation))
            undone = back(place, road, listener)
    return Rehearsal(coverage, (first, road.run), validation, undone, tuple(fit(measured(journals))))


def _smaller(subset: Subset) -> Subset:
    if subset.rows is not None:
        return replace(subset, rows=max(1, subset.rows // _SMALLER))
    return replace(subset, percent=(subset.percent or 0) / _SMALLER)


def _coverage(opened: ScratchPlace, plan: Plan, road: Road, validation: ValidationResult) -> Iterator[Coverage]:
    """Yield what was chosen for a way, and what the oracle saw when it recomputed the rows."""
    events = [entry.event for entry in read_journal(opened.run_folder(road.run.run).journal)]
    chosen: Mapping[str, int] = {e.fields["mapping"]: e.fields["rows"] for e in events if e.kind == "subset_chosen"}
    told = {event.fields["mapping"]: event.fields for event in events if event.kind == "subset_covered"}
    for name in plan.tables:
        ways = validation.proofs[name].ways
        seen = {f"{way} of {column}" for column, way in ways if column != REASON_COLUMN and way not in _VALUES}
        covered = sorted(seen | {*told[name]["covered"]})
        missing = tuple(way for way in told[name]["missing"] if way not in seen)
        yield Coverage(name, chosen[name], tuple(covered), missing)
