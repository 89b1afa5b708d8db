"""The estimate from the front door: the plan, its findings, measured rates and the schedule put together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from transhume.errors import Finding, Refused, UsageError
from transhume.estimate.calendar import Span, elapsed_days, holidays_of, spans
from transhume.estimate.comparison import Compared, compare, pace, remaining
from transhume.estimate.effort import DECISION_HOURS, FINDING_HOURS, WAVE_HOURS, Effort, Item, effort
from transhume.estimate.rates import MachineTime, Rate, fit, predict
from transhume.estimate.risks import Evidence, Risk, risks
from transhume.estimate.simulation import Chances, simulate
from transhume.matching.doubts import doubtful_columns
from transhume.plan.model import Plan
from transhume.project.approving import differences
from transhume.project.results import result_of
from transhume.project.scratch_place import drill_passed, rehearsal_journals
from transhume.project.standing_backup import backups_root
from transhume.project.validations import validation_of
from transhume.project.workplace import Workplace
from transhume.stages.backup import Manifest, backup_folders, read_manifest
from transhume.stages.binding import run_folders
from transhume.stages.context import RunFolder
from transhume.stages.timings import measured
from transhume.words import counted

_NOT_WORK = frozenset({"variable", "reject_limit", "refused", "parent_rejected", "parent_filtered", "unknown_name"})
"""Codes that ask for no work of their own: a variable to set, a sum or a consequence of other findings, a spelling."""
_HOLIDAY_YEARS = 3


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long the migration takes. Days are working days of one person, spans those of the team."""

    effort: Effort
    chances: Chances
    spans: tuple[Span, ...]
    finish: dict[int, date]
    rates: tuple[Rate, ...]
    machine: MachineTime | None
    rows: dict[str, int]
    risks: tuple[Risk, ...]
    decided: dict[str, float]
    actuals: dict[str, float]
    checked: bool
    compared: tuple[Compared, ...]
    """Phases as planned against what they took, in days of the team."""
    waves: dict[str, MachineTime]
    """Machine time of each wave of a plan with phases, as far as it is known."""

    @property
    def planned_total(self) -> float:
        """Whole working days of all phases, without the items."""
        return sum({**self.effort.planned, **self.decided}.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate with every input as JSON values."""
        return {
            "mappings": [
                {
                    "mapping": each.complexity.mapping,
                    "class": each.complexity.class_.name,
                    "points": each.complexity.points,
                    "class_days": each.complexity.class_.days,
                    "factor": round(each.factor, 4),
                    "days": round(each.days, 2),
                }
                for each in self.effort.mappings
            ],
            "phases": {
                name: {
                    "planned_days": self.decided.get(name, self.effort.planned[name]),
                    "model_days": round(days, 2),
                    "items_days": round(self.effort.items_days[name], 2),
                    "chances": {f"p{key}": round(value, 1) for key, value in self.chances.phases[name].items()},
                    "actual_days": self.actuals.get(name),
                }
                for name, days in self.effort.phases.items()
            },
            "comparison": _comparison(self.compared),
            "items": [{"phase": item.phase, "what": item.what, "hours": item.hours} for item in self.effort.items],
            "planned_total_days": self.planned_total,
            "total": {f"p{key}": round(value, 1) for key, value in self.chances.total.items()},
            "curve": [list(point) for point in self.chances.curve],
            "draws": self.chances.draws,
            "seed": self.chances.seed,
            "calendar": [
                {"phase": s.phase, "first": s.first.isoformat(), "last": s.last.isoformat(), "days": s.working_days}
                for s in self.spans
            ],
            "finish": {f"p{key}": day.isoformat() for key, day in self.finish.items()},
            "machine": _machine(self.machine),
            "waves": {name: _machine(machine) for name, machine in self.waves.items()},
            "rates": [rate.to_dict() for rate in self.rates],
            "rows": self.rows,
            "risks": [
                {
                    "risk": risk.name,
                    "likelihood": risk.likelihood,
                    "impact": risk.impact,
                    "closed": risk.is_closed,
                    "reasons": list(risk.reasons),
                    "mitigation": risk.mitigation,
                    "owner": risk.owner,
                }
                for risk in self.risks
            ],
            "data_checked": self.checked,
        }


def estimate(
    place: Workplace,
    findings: Sequence[Finding] | None,
    rows: Mapping[str, int],
    seed: int,
    personal: Sequence[str] | None = None,
    *,
    rejected: int | None = None,
) -> Estimate:
    """Return the estimate of the plan, whose decisions may be open; see `Project.estimate`.

    `findings` None: nothing is known of databases and data. `rows` are the source tables' row counts, as far as known.
    `personal` names the columns that look personal and are copied as they are, None where nobody has profiled.
    `rejected` counts the rows that a run would reject, None where no row was put through the rules.
    """
    plan, undecided = place.plan_to_review()
    schedule = plan.schedule
    decided = schedule.phases.given()
    days = effort(plan, [*_waves(plan), *_items(findings or undecided)], schedule.hours_per_day)
    expected = {name: decided.get(name, model_days) + days.items_days[name] for name, model_days in days.phases.items()}
    chances = simulate(expected, seed=seed)
    team = {name: elapsed_days(each, schedule.team, len(plan.tables)) for name, each in expected.items()}
    calendar, finish = _calendar(plan, team, chances)
    planned = {name: decided.get(name, float(whole)) for name, whole in days.planned.items()}
    gain = 1 / elapsed_days(1.0, schedule.team, len(plan.tables))
    rehearsed = rehearsal_journals(place, plan)
    rates = fit(measured([*rehearsed, *(RunFolder(folder).journal for folder in run_folders(place.runs))]))
    machine = _machine_time(plan, rates, rows)
    return Estimate(
        effort=days,
        chances=chances,
        spans=tuple(calendar),
        finish=finish,
        rates=tuple(rates),
        machine=machine,
        rows=dict(rows),
        risks=_register(
            plan, replace(_evidence(plan, findings, undecided, rows, machine, place, personal), rows_rejected=rejected)
        ),
        decided=decided,
        actuals=schedule.actuals.given(),
        checked=findings is not None,
        compared=tuple(compare(planned, expected, chances.phases, schedule.actuals.given(), gain)),
        waves={name: each for name in plan.phases if (each := _machine_time(plan.in_phase(name), rates, rows))},
    )


def _waves(plan: Plan) -> Iterator[Item]:
    """Yield each wave after the first as work of its own."""
    for name in list(plan.phases)[1:]:
        yield Item("execution", f"the wave '{name}': a gate, a run and a validation of its own", WAVE_HOURS)


def _items(findings: Sequence[Finding]) -> list[Item]:
    """Return what is open and what is wrong in the data as work: one item a decision, one a kind of wrong rows.

    All findings of one kind in one table are looked at together. What only follows from another finding is no work.
    """
    decisions: dict[str, Item] = {}
    wrong: dict[tuple[str, str], list[int]] = {}
    for finding in findings:
        if finding.code in _NOT_WORK or finding.severity == "note":
            continue
        if finding.count is not None:
            wrong.setdefault((finding.table or "the plan", finding.code), []).append(finding.count)
        elif finding.severity == "error":
            decisions.setdefault(finding.message, Item("planning", finding.message, DECISION_HOURS))
    kinds = [
        Item("testing", f"'{code}' in '{table}': {counted(sum(counts), 'row')}", FINDING_HOURS)
        for (table, code), counts in wrong.items()
    ]
    return [*decisions.values(), *kinds]


def _calendar(plan: Plan, team: Mapping[str, float], chances: Chances) -> tuple[list[Span], dict[int, date]]:
    """Return the phases by date and the day of finish by percentile; nothing without a start."""
    start = plan.schedule.start
    if start is None:
        return [], {}
    country, _, subdivision = (plan.schedule.country or "").partition("-")
    years = set(range(start.year, start.year + _HOLIDAY_YEARS))
    try:
        free = holidays_of(country, years, subdivision or None) if country else {}
    except ValueError as problem:
        message = f"{plan.position('schedule', 'country') or 'schedule'}: {problem}"
        raise UsageError(message) from problem
    # What the team gains on one person's days it gains on late ones too.
    gain = chances.expected / sum(team.values())
    finish = {percent: spans(start, {"all": days / gain}, free)[0].last for percent, days in chances.total.items()}
    return spans(start, team, free), finish


def _machine_time(plan: Plan, rates: Sequence[Rate], rows: Mapping[str, int]) -> MachineTime | None:
    """Return the predicted machine time, None where no run was measured or row counts are not known."""
    read = [rows.get(mapping.from_) for mapping in plan.tables.values()]
    if not rates or any(count is None for count in read):
        return None
    load = sum(count for count in read if count is not None)
    used = {mapping.from_ for mapping in plan.tables.values()}
    used |= {join.from_ for mapping in plan.tables.values() for join in mapping.join.values()}
    extracted = sum(rows.get(name, 0) for name in used)
    counts = {rate.stage: extracted if rate.stage == "extract" else load for rate in rates}
    return predict(rates, counts, window_s=plan.schedule.window)


def _evidence(
    plan: Plan,
    findings: Sequence[Finding] | None,
    undecided: Sequence[Finding],
    rows: Mapping[str, int],
    machine: MachineTime | None,
    place: Workplace,
    personal: Sequence[str] | None,
) -> Evidence:
    known = findings is not None
    kinds = {type(rule) for mapping in plan.tables.values() for rule in mapping.rules()}
    errors = [f for f in findings or undecided if f.severity == "error" and f.code not in _NOT_WORK]
    approved, changes = differences(place, rows, plan)[:2] if known else (None, [])
    with_rows = [f for f in findings or () if f.count is not None and f.code != "reject_limit"]
    backup = _newest_backup(place)
    rehearsals = rehearsal_journals(place, plan)
    signed = {each.by for each in approved.signatures} if approved is not None and not changes else set()
    named = list(dict.fromkeys(name for names in plan.people.values() for name in names))
    runs = [*rehearsals, *(RunFolder(folder).journal for folder in run_folders(place.runs))]
    return Evidence(
        mappings=len(plan.tables),
        rule_kinds=len(kinds),
        team=plan.schedule.team,
        open_decisions=len(errors) if known or undecided else None,
        columns_without_rule=sum(f.code == "column_left_out" for f in errors) if known else None,
        rows_read=sum(rows.values()) if known and rows else None,
        rows_orphaned=sum(f.count or 0 for f in with_rows if f.code == "orphan") if known else None,
        run_verified=bool(measured([runs[-1]])) or None if runs else None,
        backup_verified=backup.is_verified if backup else None,
        drill_passed=drill_passed(place, plan),
        window_chance=machine.window_chance if machine else None,
        drifted=bool(changes) if approved else None,
        approved=not changes if approved else None,
        completed=_completed(place),
        rehearsed=bool(rehearsals) or None,
        unsigned=tuple(name for name in named if name not in signed) if named else None,
        doubtful_columns=doubtful_columns(plan.origin.document) if plan.origin.document else None,
        personal_columns=None if personal is None else tuple(personal),
    )


def _register(plan: Plan, evidence: Evidence) -> tuple[Risk, ...]:
    """Return the computed risks with those that the plan names, the gravest open one first."""
    owner = ", ".join(plan.people.get("owner", ()))
    own = [
        Risk(
            name=each.risk,
            likelihood=1 if each.closed else each.likelihood,
            impact=each.impact,
            reasons=(each.closed or "written in the plan",),
            mitigation=each.mitigation,
            is_closed=bool(each.closed),
            owner=each.owner,
        )
        for each in plan.risks
    ]
    found = [replace(each, owner=owner) for each in risks(evidence)]
    return tuple(sorted([*found, *own], key=lambda risk: (risk.is_closed, -risk.score)))


def _completed(place: Workplace) -> bool | None:
    """Say whether the newest run is published and validated without a failed check; None where there is no run."""
    folders = run_folders(place.runs)
    if not folders:
        return None
    folder = RunFolder(folders[-1])
    found = validation_of(folder)
    if result_of(folder).state not in {"finished", "finalized"} or found is None:
        return False
    return not any(each["severity"] == "error" and not each["passed"] for each in found["checks"])


def _newest_backup(place: Workplace) -> Manifest | None:
    """Return the newest backup of this project, None where there is none that can be read."""
    folders = backup_folders(backups_root(place))
    try:
        return read_manifest(folders[-1]) if folders else None
    except Refused:
        return None


def _comparison(compared: Sequence[Compared]) -> dict[str, Any]:
    over = [each for each in compared if each.actual is not None]
    found = pace(compared)
    return {
        "phases": {
            each.phase: {
                "planned_days": round(each.planned, 2),
                "expected_days": round(each.expected, 2),
                "actual_days": each.actual,
                "ratio": None if each.ratio is None else round(each.ratio, 3),
                "within_percent": each.within,
            }
            for each in over
        },
        "pace": None if found is None else round(found, 3),
        "remaining_days": round(remaining(compared), 1) if over else None,
    }


def _machine(machine: MachineTime | None) -> dict[str, Any] | None:
    if machine is None:
        return None
    return {
        "stages_s": {name: round(seconds, 1) for name, seconds in machine.stages.items()},
        "total_s": {f"p{key}": round(value, 1) for key, value in machine.total.items()},
        "window_s": machine.window_s,
        "window_chance": machine.window_chance,
    }
