"""The risk register: each risk with chance, impact and mitigation, judged by evidence that is gathered elsewhere.

A risk is as likely as what is known says. What nobody has looked at counts against it; what was proved closes it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

_ORPHANS_HIGH = 0.01
_REJECTS_HIGH = 0.03
_FITS_SURELY = 0.95
_FITS_LIKELY = 0.80
_NEW_RULES_HIGH = 10
_TEAM_OF_ONE = 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a migration; None means that nobody has looked.

    Rows and shares are of the last check of the data, days are working days.
    """

    mappings: int
    rule_kinds: int
    team: int = 1
    open_decisions: int | None = None
    columns_without_rule: int | None = None
    rows_read: int | None = None
    rows_rejected: int | None = None
    rows_orphaned: int | None = None
    run_verified: bool | None = None
    backup_verified: bool | None = None
    drill_passed: bool | None = None
    window_chance: float | None = None
    drifted: bool | None = None
    approved: bool | None = None
    completed: bool | None = None
    """Whether the newest run of the migration itself is published and was validated without a failed check."""
    rehearsed: bool | None = None
    unsigned: tuple[str, ...] | None = None
    """Of the people whom the plan names, those who have not signed what stands now; None where it names nobody."""
    doubtful_columns: int | None = None
    """Columns whose rule a draft proposed with a low score and nobody has accepted."""
    personal_columns: tuple[str, ...] | None = None
    """Source columns that look personal or secret and are copied as they are; None where nobody has profiled."""


@dataclass(frozen=True, slots=True)
class Risk:
    """One risk: likelihood and impact from 1 (very low) to 5 (very high); `reasons` is the evidence in words."""

    name: str
    likelihood: int
    impact: int
    reasons: tuple[str, ...]
    mitigation: str
    is_closed: bool
    owner: str = ""

    @property
    def score(self) -> int:
        """Likelihood times impact, 1 to 25."""
        return self.likelihood * self.impact


@dataclass(slots=True)
class _Judged:
    """A likelihood under way: it starts in the middle and each piece of evidence moves it."""

    likelihood: int = 3
    closed: bool = False
    reasons: list[str] = field(default_factory=list)

    def move(self, by: int, reason: str) -> None:
        self.likelihood = min(5, max(1, self.likelihood + by))
        self.reasons.append(reason)

    def close(self, reason: str) -> None:
        self.likelihood, self.closed = 1, True
        self.reasons.append(reason)


def risks(evidence: Evidence) -> list[Risk]:
    """Return the register, the greatest score first; closed risks stand last."""
    found = []
    for name, impact, mitigation, judge in _RISKS:
        judged = _Judged()
        judge(evidence, judged)
        found.append(Risk(name, judged.likelihood, impact, tuple(judged.reasons), mitigation, judged.closed))
    return sorted(found, key=lambda risk: (risk.is_closed, -risk.score))


def _data_loss(evidence: Evidence, judged: _Judged) -> None:
    if evidence.run_verified:
        judged.move(-1, "a run compared every loaded row with what was sent, and published")
    elif evidence.run_verified is None:
        judged.move(1, "no run or rehearsal has been verified yet")
    else:
        judged.move(2, "the last run did not pass its checks")
    if evidence.backup_verified:
        judged.move(-1, "a backup was restored and compared")
    else:
        judged.move(1, "no backup has been restored and compared")
    if evidence.run_verified and evidence.backup_verified and evidence.drill_passed:
        judged.close("verified run, restored backup and passed drill")


def _mapping(evidence: Evidence, judged: _Judged) -> None:
    if evidence.open_decisions is None:
        judged.move(1, "the plan has not been checked against both databases")
        return
    if evidence.open_decisions or evidence.columns_without_rule:
        judged.move(
            2, f"{evidence.open_decisions} open decisions, {evidence.columns_without_rule or 0} columns without a rule"
        )
    else:
        judged.move(-1, "every source column has a rule or is dropped on purpose")
    if evidence.doubtful_columns:
        judged.move(1, f"{evidence.doubtful_columns} columns by proposals of low score that nobody has accepted")
    elif not evidence.open_decisions and not evidence.columns_without_rule and evidence.approved:
        judged.close("checked against both databases and approved")


def _performance(evidence: Evidence, judged: _Judged) -> None:
    chance = evidence.window_chance
    if chance is None:
        judged.move(1, "no machine time is predicted for the window: rehearse, and write schedule: window:")
    elif chance >= _FITS_SURELY:
        judged.close(f"the run fits its window with a chance of {chance:.0%}")
    elif chance >= _FITS_LIKELY:
        judged.move(-1, f"the run fits its window with a chance of {chance:.0%}")
    else:
        judged.move(2, f"the run fits its window with a chance of {chance:.0%} only")


def _downtime(evidence: Evidence, judged: _Judged) -> None:
    judged.move(-1, "readers of the target see one instant of change; the source is only read")
    if evidence.window_chance is not None and evidence.window_chance < _FITS_LIKELY:
        judged.move(2, "the run may not end within its window")
    elif evidence.completed:
        judged.close("the run is over")
    elif evidence.rehearsed and evidence.window_chance is not None and evidence.window_chance >= _FITS_SURELY:
        judged.close(f"rehearsed, and the run fits its window with a chance of {evidence.window_chance:.0%}")


def _scope(evidence: Evidence, judged: _Judged) -> None:
    if evidence.approved is None:
        judged.move(0, "the plan is not approved: nothing says what its scope was")
    elif evidence.drifted:
        judged.move(2, "plan or databases changed since the approval")
    elif evidence.approved:
        judged.move(-2, "plan and databases are what was approved")
        if evidence.completed:
            judged.close("what was approved was run and validated")


def _skills(evidence: Evidence, judged: _Judged) -> None:
    if evidence.rule_kinds > _NEW_RULES_HIGH:
        judged.move(1, f"{evidence.rule_kinds} kinds of rule have to be understood")
    else:
        judged.move(-1, f"{evidence.rule_kinds} kinds of rule are in use")
    if evidence.team <= _TEAM_OF_ONE:
        judged.move(1, "one person knows the migration")
    if evidence.run_verified:
        judged.move(-1, "the team has taken a run through all checks")
    if evidence.run_verified and evidence.drill_passed and evidence.completed:
        judged.close("the team has rehearsed, drilled the rollback, run and validated")


def _rollback(evidence: Evidence, judged: _Judged) -> None:
    if evidence.drill_passed:
        judged.close("the rollback was drilled and proved")
    elif evidence.drill_passed is None:
        judged.move(1, "the rollback was never drilled")
    else:
        judged.move(2, "the last rollback drill failed")
    if not evidence.drill_passed and not evidence.backup_verified:
        judged.move(1, "no verified backup stands behind it")


def _source_quality(evidence: Evidence, judged: _Judged) -> None:
    if evidence.rows_read is None or evidence.rows_rejected is None:
        judged.move(1, "nobody has looked at the data")
        return
    share = evidence.rows_rejected / evidence.rows_read if evidence.rows_read else 0.0
    orphans = (evidence.rows_orphaned or 0) / evidence.rows_read if evidence.rows_read else 0.0
    if not evidence.rows_rejected:
        judged.close(f"none of {evidence.rows_read:,} rows would be rejected")
        return
    judged.move(
        1 if share > _REJECTS_HIGH else -1, f"{evidence.rows_rejected:,} of {evidence.rows_read:,} rows are rejected"
    )
    if orphans > _ORPHANS_HIGH:
        judged.move(1, f"{evidence.rows_orphaned:,} rows point to rows that are not there")


def _drift(evidence: Evidence, judged: _Judged) -> None:
    if evidence.drifted is None:
        judged.move(0, "no approved state to compare with")
    elif evidence.drifted:
        judged.move(2, "the databases are no longer what was approved")
    else:
        judged.move(-2, "the databases are what was approved")
        if evidence.completed:
            judged.close("the databases are what was approved, and the run is over")


def _ownership(evidence: Evidence, judged: _Judged) -> None:
    if evidence.unsigned is None:
        judged.move(1, "the plan names nobody who owns it or signs: write people:")
    elif evidence.unsigned:
        judged.move(0, f"not signed yet by {', '.join(evidence.unsigned)}")
    else:
        judged.close("everybody whom the plan names has signed")


def _personal(evidence: Evidence, judged: _Judged) -> None:
    if evidence.personal_columns is None:
        judged.move(0, "nobody has looked for personal data: the plan document and 'transhume profile' do")
    elif evidence.personal_columns:
        judged.move(1, f"copied as they are, and look personal: {', '.join(evidence.personal_columns)}")
    else:
        judged.close("no column that looks personal or secret is copied as it is")


_Judge = Callable[[Evidence, _Judged], None]
_RISKS: tuple[tuple[str, int, str, _Judge], ...] = (
    (
        "Data loss or corruption",
        5,
        "every row counted in one bucket and compared, one transaction, verified backups, phases",
        _data_loss,
    ),
    (
        "Inaccurate or incomplete mapping",
        4,
        "profile the source, review the mapping with those who know it, let check find what is left out",
        _mapping,
    ),
    (
        "Performance bottlenecks",
        3,
        "rehearse with measured rates, load in the machine's quiet hours, split the work into phases",
        _performance,
    ),
    (
        "Downtime",
        3,
        "run off-peak, tell users the window, publish in one transaction, freeze writes only for the last step",
        _downtime,
    ),
    ("Scope creep", 3, "an approved plan file, changes shown as a difference, the excluded counted", _scope),
    ("Skill gaps in the team", 3, "rehearse together, write the runbook, bring in who has done it before", _skills),
    ("Rollback failure", 5, "drill the rollback on a scratch copy, verify backups by restoring them", _rollback),
    ("Defects in the source data", 3, "validate before, decide by rule, repair and replay rejects", _source_quality),
    ("Source or target change under way", 3, "bind the run to schemas and plan, detect changes, freeze", _drift),
    ("Unclear ownership", 3, "name owners and signers in the plan, have each sign it", _ownership),
    (
        "Leak of personal data",
        4,
        "mask or drop what the new platform does not need, restrict who reads, keep values out of papers",
        _personal,
    ),
)
"""Name, impact, mitigation, judgement: the first seven are those of the request, in its order."""
